/* SPDX-License-Identifier: Apache-2.0
 *
 * Three kinds of threads. Any thread submits: it plans its job and puts it on `incoming` (or on `calls`).
 * The driver moves incoming jobs to its own lists and alternates between a round of images, a stage of a
 * vision tower and a step of text. One helper thread executes calls, so that a slow one does not stop
 * scoring. Everything that is finished goes on the done list under the one lock; nothing is computed under
 * it.
 *
 * Text. A job is admitted when the pages it may hold are free of promises to others, in the order of
 * arrival for each model; so an admitted job always comes to its end. The oldest admitted job gets the
 * first quarter of a step, which bounds its wait; the rest goes to the jobs that need the fewest tokens,
 * which keeps the mean wait short.
 */
#include "engine/graph/schedule.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/graph/model.h"

/* A submitted job. */
struct work {
    struct work *next;
    struct engine_job *job;
    struct engine_model *model; /* a reference, NULL for calls */
    struct forest *forest;
    uint32_t images_done;
    uint32_t stage; /* of the picture in the vision tower */
    bool admitted;
    uint64_t submitted_ns, started_ns;
};

struct work_list {
    struct work *head, *tail;
};

struct image_task {
    struct work *work;
    uint32_t image;
    int status;
    struct error error;
};

struct scheduler {
    struct pool *pool;
    pthread_t driver, helper;
    bool driver_started, helper_started;
    int event;

    pthread_mutex_t lock; /* holds for the fields up to the next comment */
    pthread_cond_t driver_wakes, helper_wakes, job_done;
    struct work_list incoming, calls;
    struct engine_job *done_head, *done_tail;
    unsigned in_flight, queue_jobs;
    bool stop;

    /* the driver's */
    struct work_list texts, images; /* in the order of arrival */
    struct work **candidates;       /* [queue_jobs] */
    struct image_task *image_tasks; /* [workers] */
    uint64_t round, steps;
};

/* ---- lists ---- */

static void list_push(struct work_list *list, struct work *w) {
    w->next = NULL;
    *(list->head == NULL ? &list->head : &list->tail->next) = w;
    list->tail = w;
}

static struct work *list_pop(struct work_list *list) {
    struct work *w = list->head;

    if (w != NULL) {
        list->head = w->next;
    }
    return w;
}

/* ---- the end of a job ---- */

static void work_free(struct work *w) {
    if (w->forest != NULL) {
        struct kvcache *kv = &w->model->state.kv;

        w->model->pages_promised -= w->admitted ? w->forest->page_share : 0;
        forest_free(w->forest, kv);
    }
    engine_model_unref(w->model);
    free(w);
}

/* The status is in the job. Nobody touches `w` afterwards, and the job belongs to whoever reaps it. */
static void finish(struct scheduler *s, struct work *w) {
    struct engine_job *job = w->job;
    uint64_t now = clock_monotonic_ns();
    uint64_t started = w->started_ns == 0 ? now : w->started_ns;

    job->queue_ns = started - w->submitted_ns;
    job->compute_ns = now - started;
    work_free(w);
    job->next = NULL;
    pthread_mutex_lock(&s->lock);
    *(s->done_head == NULL ? &s->done_head : &s->done_tail->next) = job;
    s->done_tail = job;
    s->in_flight--;
    (void)eventfd_write(s->event, 1);
    pthread_cond_broadcast(&s->job_done);
    pthread_mutex_unlock(&s->lock);
}

/* Whether the job must end before it is computed (further); sets its status then. */
static bool is_over(struct engine_job *job, uint64_t now) {
    if (atomic_load(&job->cancelled)) {
        job->status = error_set(&job->error, ENGINE_E_CANCELLED, "the job was cancelled");
    } else if (job->deadline_ns != 0 && now >= job->deadline_ns) {
        job->status = error_set(&job->error, ENGINE_E_DEADLINE, "the deadline passed");
    }
    return job->status != 0;
}

/* ---- calls ---- */

static struct work *next_call(struct scheduler *s, bool *ret_stop) {
    pthread_mutex_lock(&s->lock);
    while (s->calls.head == NULL && !s->stop) {
        pthread_cond_wait(&s->helper_wakes, &s->lock);
    }
    struct work *w = list_pop(&s->calls);
    *ret_stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return w;
}

static void *helper_main(void *user) {
    struct scheduler *s = user;
    struct work *w;
    bool stop;

    while ((w = next_call(s, &stop)) != NULL) {
        uint64_t now = clock_monotonic_ns();

        if (stop) {
            atomic_store(&w->job->cancelled, true);
        }
        if (!is_over(w->job, now)) {
            w->started_ns = now;
            w->job->status = w->job->call(w->job->user, &w->job->error);
        }
        finish(s, w);
    }
    return NULL;
}

/* ---- images ---- */

struct image_round {
    struct scheduler *scheduler;
    size_t count;
};

static void run_images(void *user, unsigned worker) {
    struct image_round *round = user;
    size_t i;

    while (pool_claim(round->scheduler->pool, round->count, &i)) {
        struct image_task *task = &round->scheduler->image_tasks[i];
        const struct engine_model *m = task->work->model;
        struct engine_job *job = task->work->job;

        task->status = open_nsfw_run(m->image, job->pixels + (size_t)task->image * OPEN_NSFW_PIXEL_BYTES, 1,
                                     m->image_scratch + worker * m->image_scratch_bytes,
                                     job->out_scores + (size_t)task->image * OPEN_NSFW_SCORES, &task->error);
    }
}

/* One picture for every worker, of as many jobs as it takes. */
static void step_images(struct scheduler *s) {
    struct image_round round = {.scheduler = s};
    unsigned workers = pool_workers(s->pool);
    uint64_t now = clock_monotonic_ns();

    for (struct work *w = s->images.head; w != NULL && round.count < workers; w = w->next) {
        if (w->model->image == NULL) {
            continue;
        }
        w->started_ns = w->started_ns == 0 ? now : w->started_ns;
        while (w->images_done < w->job->image_count && round.count < workers) {
            s->image_tasks[round.count++] = (struct image_task){.work = w, .image = w->images_done++};
        }
    }
    if (round.count == 0) {
        return;
    }
    pool_run(s->pool, run_images, &round);
    for (size_t i = 0; i < round.count; i++) {
        struct image_task *task = &s->image_tasks[i];

        if (task->status != 0 && task->work->job->status == 0) {
            task->work->job->status = task->status;
            task->work->job->error = task->error;
        }
    }
}

/* ---- the vision tower ---- */

static void run_tower(void *user, unsigned worker) {
    siglip_stage(user, worker);
}

/* One stage of the picture in work, which is that of the oldest job: nobody else uses the buffers before it
 * is through. */
static void step_tower(struct scheduler *s) {
    struct work *w = s->images.head;

    while (w != NULL && w->model->tower == NULL) {
        w = w->next;
    }
    if (w == NULL) {
        return;
    }
    struct engine_job *job = w->job;
    const struct siglip *tower = w->model->tower;
    size_t rows = (size_t)tower->rows * tower->hidden;
    struct siglip_run run = {.model = tower,
                             .state = &w->model->tower_state,
                             .pool = s->pool,
                             .stage = w->stage,
                             .pixels = job->pixels + (size_t)w->images_done * tower->side * tower->side * 3,
                             .out = job->out_rows + w->images_done * rows};
    w->started_ns = w->started_ns == 0 ? clock_monotonic_ns() : w->started_ns;
    pool_run(s->pool, run_tower, &run);
    if (++w->stage < siglip_stages(tower)) {
        return;
    }
    w->stage = 0;
    if (atomic_load(&run.not_finite)) {
        job->status = error_set(&job->error, ENGINE_E_NOT_FINITE,
                                "the rows of picture %u are not finite numbers", w->images_done);
    }
    w->images_done++;
}

/* ---- text ---- */

/* Promises pages to jobs in the order of arrival; a job that has to wait holds back later ones of its model.
 */
static void admit(struct scheduler *s) {
    s->round++;
    for (struct work *w = s->texts.head; w != NULL; w = w->next) {
        struct engine_model *m = w->model;

        if (w->admitted || m->blocked_round == s->round) {
            continue;
        }
        if (w->forest->page_share > m->state.kv.page_count - m->pages_promised) {
            m->blocked_round = s->round;
            continue;
        }
        m->pages_promised += w->forest->page_share;
        w->admitted = true;
    }
}

/* The model with admitted jobs whose last step is longest ago. */
static struct engine_model *choose_model(const struct scheduler *s) {
    struct engine_model *chosen = NULL;

    for (const struct work *w = s->texts.head; w != NULL; w = w->next) {
        if (w->admitted && (chosen == NULL || w->model->last_step < chosen->last_step)) {
            chosen = w->model;
        }
    }
    return chosen;
}

static int compare_work(const void *a, const void *b) {
    const struct work *x = *(struct work *const *)a, *y = *(struct work *const *)b;

    if (x->forest->tokens_left != y->forest->tokens_left) {
        return x->forest->tokens_left < y->forest->tokens_left ? -1 : 1;
    }
    return x->submitted_ns < y->submitted_ns ? -1 : x->submitted_ns > y->submitted_ns;
}

/* Adds what fits of one job; `kept` rows stay free. */
static int pack_one(struct engine_model *m, struct work *w, uint32_t kept) {
    struct step *step = &m->state.step;
    uint32_t room = step->row_limit - step->row_count;
    int r = room <= kept ? 0 : step_add(step, w->forest, &m->state.kv, room - kept);

    if (r < 0) {
        w->job->status = error_errno(&w->job->error, -r, "cannot pack the job");
        return r;
    }
    if (r > 0 && w->started_ns == 0) {
        w->started_ns = clock_monotonic_ns();
    }
    return 0;
}

/* Fills the step of model `m`; negative when a job had to be failed and nothing is to be run. */
static int pack(struct scheduler *s, struct engine_model *m) {
    size_t count = 0;

    for (struct work *w = s->texts.head; w != NULL; w = w->next) {
        if (w->admitted && w->model == m) {
            s->candidates[count++] = w;
        }
    }
    step_clear(&m->state.step);
    const struct work *oldest = s->candidates[0];
    uint64_t quarter = (m->state.step.row_limit + 3) / 4;
    uint32_t kept = (uint32_t)(oldest->forest->tokens_left < quarter ? oldest->forest->tokens_left : quarter);
    uint32_t least = forest_least(oldest->forest);
    int r = 0;
    kept = kept < least ? least : kept;
    qsort(s->candidates, count, sizeof(struct work *), compare_work);
    for (size_t i = 0; r == 0 && i < count; i++) {
        kept = s->candidates[i] == oldest ? 0 : kept;
        r = pack_one(m, s->candidates[i], kept);
    }
    for (size_t i = 0; r < 0 && i < count; i++) {
        forest_unschedule(s->candidates[i]->forest);
    }
    if (r == 0) {
        step_arrange(&m->state.step);
    }
    return r;
}

static void run_text(void *user, unsigned worker) {
    struct text_run *run = user;

    run->model->architecture->forward(run, worker);
}

/* What was read, and sums that are read for the last time. */
static void settle(struct engine_model *m) {
    const struct step *step = &m->state.step;

    for (uint32_t t = 0; t < step->tap_count; t++) {
        const struct step_tap *tap = &step->taps[t];
        const struct step_slice *slice = &step->slices[tap->slice];
        struct engine_job *job = tap->forest->job;

        if (m->state.tap_failed[t]) {
            job->status = error_set(&job->error, ENGINE_E_NOT_FINITE, "readout %u is not a finite number",
                                    tap->readout);
        }
        if (slice->start + slice->count == slice->forest->segments[slice->segment].needed) {
            free(tap->forest->sums[tap->readout]);
            tap->forest->sums[tap->readout] = NULL;
        }
    }
    for (uint32_t i = 0; i < step->slice_count; i++) {
        if (i == 0 || step->slices[i].forest != step->slices[i - 1].forest) {
            forest_settle(step->slices[i].forest, &m->state.kv);
        }
    }
}

static void step_text(struct scheduler *s) {
    struct engine_model *m = choose_model(s);

    if (m == NULL || pack(s, m) != 0) {
        return;
    }
    struct text_run run = {.model = m->text, .state = &m->state, .pool = s->pool};
    m->last_step = ++s->steps;
    if (text_state_prepare(&m->state, &m->text->config) != 0) {
        for (uint32_t i = 0; i < m->state.step.slice_count; i++) {
            struct engine_job *job = m->state.step.slices[i].forest->job;
            job->status = error_errno(&job->error, ENOMEM, "cannot run the job");
        }
        return;
    }
    pool_run(s->pool, run_text, &run);
    settle(m);
}

/* ---- the driver ---- */

/* Waits until there is something to do and takes over what came in. False when the engine stops. */
static bool take_incoming(struct scheduler *s) {
    struct work *w;

    pthread_mutex_lock(&s->lock);
    while (!s->stop && s->incoming.head == NULL && s->texts.head == NULL && s->images.head == NULL) {
        pthread_cond_wait(&s->driver_wakes, &s->lock);
    }
    while ((w = list_pop(&s->incoming)) != NULL) {
        list_push(w->job->kind == ENGINE_JOB_IMAGES ? &s->images : &s->texts, w);
    }
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return !stop;
}

static bool is_complete(const struct work *w) {
    return w->forest != NULL ? forest_finished(w->forest) : w->images_done == w->job->image_count;
}

/* Finishes what is complete, failed, cancelled or too late. */
static void sweep(struct scheduler *s, struct work_list *list) {
    struct work_list kept = {0};
    uint64_t now = clock_monotonic_ns();
    struct work *w;

    while ((w = list_pop(list)) != NULL) {
        if ((w->job->status == 0 && is_complete(w)) || is_over(w->job, now)) {
            finish(s, w);
        } else {
            list_push(&kept, w);
        }
    }
    *list = kept;
}

static void cancel_all(struct scheduler *s, struct work_list *list) {
    for (struct work *w = list->head; w != NULL; w = w->next) {
        atomic_store(&w->job->cancelled, true);
    }
    sweep(s, list);
}

static void *driver_main(void *user) {
    struct scheduler *s = user;

    while (take_incoming(s)) {
        sweep(s, &s->images);
        step_images(s);
        step_tower(s);
        sweep(s, &s->images);
        sweep(s, &s->texts);
        admit(s);
        step_text(s);
        sweep(s, &s->texts);
    }
    cancel_all(s, &s->images);
    cancel_all(s, &s->texts);
    return NULL;
}

/* ---- the door ---- */

static int start_threads(struct scheduler *s, unsigned workers, struct error *reterr) {
    int r = pool_new(workers, &s->pool, reterr);

    if (r != 0) {
        return r;
    }
    r = thread_start(&s->driver, "engine-driver", driver_main, s, reterr);
    if (r != 0) {
        return r;
    }
    s->driver_started = true;
    r = thread_start(&s->helper, "engine-helper", helper_main, s, reterr);
    s->helper_started = r == 0;
    return r;
}

int scheduler_new(unsigned workers, unsigned queue_jobs, struct scheduler **ret_scheduler,
                  struct error *reterr) {
    struct scheduler *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return error_errno(reterr, ENOMEM, "cannot start the engine");
    }
    s->queue_jobs = queue_jobs;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->driver_wakes, NULL);
    pthread_cond_init(&s->helper_wakes, NULL);
    pthread_cond_init(&s->job_done, NULL);
    s->candidates = calloc(queue_jobs, sizeof *s->candidates);
    s->image_tasks = calloc(workers, sizeof *s->image_tasks);
    s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = 0;
    if (s->candidates == NULL || s->image_tasks == NULL || s->event < 0) {
        r = error_errno(reterr, s->event < 0 ? errno : ENOMEM, "cannot start the engine");
    }
    r = r == 0 ? start_threads(s, workers, reterr) : r;
    if (r != 0) {
        scheduler_free(s);
        return r;
    }
    *ret_scheduler = s;
    return 0;
}

struct scheduler *scheduler_free(struct scheduler *s) {
    if (s == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->driver_wakes);
    pthread_cond_broadcast(&s->helper_wakes);
    pthread_mutex_unlock(&s->lock);
    if (s->driver_started) {
        pthread_join(s->driver, NULL);
    }
    if (s->helper_started) {
        pthread_join(s->helper, NULL);
    }
    pool_free(s->pool);
    if (s->event >= 0) {
        close(s->event);
    }
    pthread_cond_destroy(&s->job_done);
    pthread_cond_destroy(&s->helper_wakes);
    pthread_cond_destroy(&s->driver_wakes);
    pthread_mutex_destroy(&s->lock);
    free(s->candidates);
    free(s->image_tasks);
    free(s);
    return NULL;
}

/* Everything that can be wrong with a job is found here. */
static int check_job(struct engine_job *job, struct forest **ret_forest, struct error *reterr) {
    const struct engine_model *m = job->model;

    switch (job->kind) {
    case ENGINE_JOB_FOREST: {
        if (m == NULL || m->text == NULL) {
            return error_set(reterr, ENGINE_E_INVALID, "the job needs a text model");
        }
        const struct text_config *c = &m->text->config;
        struct forest_limits limits = {.layers = c->layers,
                                       .hidden = c->hidden,
                                       .vocabulary = c->vocabulary,
                                       .context = c->context,
                                       .page_count = m->state.kv.page_count,
                                       .step_tokens = m->step_tokens,
                                       .whole = c->both_ways};
        return forest_new(job, &limits, ret_forest, reterr);
    }
    case ENGINE_JOB_IMAGES:
        if (m == NULL || (m->image == NULL && m->tower == NULL) || job->image_count == 0 ||
            job->pixels == NULL || (m->image != NULL ? job->out_scores : job->out_rows) == NULL) {
            return error_set(reterr, ENGINE_E_INVALID,
                             "the job needs an image model, pictures and room for what they give");
        }
        return 0;
    case ENGINE_JOB_CALL:
        return job->call == NULL ? error_set(reterr, ENGINE_E_INVALID, "the job has nothing to call") : 0;
    default:
        return error_set(reterr, ENGINE_E_INVALID, "the job is of no known kind");
    }
}

static int enqueue(struct scheduler *s, struct work *w, struct error *reterr) {
    int r = 0;

    pthread_mutex_lock(&s->lock);
    if (s->in_flight >= s->queue_jobs) {
        r = error_set(reterr, ENGINE_E_BUSY, "%u jobs are waiting already", s->queue_jobs);
    } else if (w->job->kind == ENGINE_JOB_CALL) {
        list_push(&s->calls, w);
        pthread_cond_signal(&s->helper_wakes);
    } else {
        list_push(&s->incoming, w);
        pthread_cond_signal(&s->driver_wakes);
    }
    s->in_flight += r == 0;
    pthread_mutex_unlock(&s->lock);
    return r;
}

int scheduler_submit(struct scheduler *s, struct engine_job *job, struct error *reterr) {
    struct work *w = calloc(1, sizeof *w);

    if (w == NULL) {
        return error_errno(reterr, ENOMEM, "cannot take the job");
    }
    job->status = 0;
    job->error = (struct error){0};
    job->tokens_computed = 0;
    job->queue_ns = job->compute_ns = 0;
    w->job = job;
    w->submitted_ns = clock_monotonic_ns();
    int r = check_job(job, &w->forest, reterr);
    if (r != 0) {
        free(w);
        return r;
    }
    w->model = job->kind == ENGINE_JOB_CALL ? NULL : engine_model_ref(job->model);
    r = enqueue(s, w, reterr);
    if (r != 0) {
        work_free(w);
    }
    return r;
}

int scheduler_eventfd(const struct scheduler *s) {
    return s->event;
}

static void take_done(struct scheduler *s, struct engine_job *before, struct engine_job *job) {
    *(before == NULL ? &s->done_head : &before->next) = job->next;
    s->done_tail = s->done_tail == job ? before : s->done_tail;
    job->next = NULL;
    if (s->done_head == NULL) {
        eventfd_t unused;
        (void)eventfd_read(s->event, &unused);
    }
}

struct engine_job *scheduler_reap(struct scheduler *s) {
    pthread_mutex_lock(&s->lock);
    struct engine_job *job = s->done_head;
    if (job != NULL) {
        take_done(s, NULL, job);
    }
    pthread_mutex_unlock(&s->lock);
    return job;
}

void scheduler_wait(struct scheduler *s, struct engine_job *job) {
    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct engine_job *before = NULL, *at = s->done_head;

        while (at != NULL && at != job) {
            before = at;
            at = at->next;
        }
        if (at != NULL) {
            take_done(s, before, job);
            break;
        }
        pthread_cond_wait(&s->job_done, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}
