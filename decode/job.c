/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool of decode workers as seen from the loop. A worker is DEAD, STARTING (warming up), IDLE or BUSY
 * with one job. Its socket is the only source of truth: an answer that was sent before the worker died still
 * counts, so every way to lose a worker first reads what is left in the socket, and a job leaves its worker
 * in exactly two places (an answer that was accepted, worker_lost). One timer serves a worker in all states:
 * restart, start-up limit, job limit.
 *
 * Every life of a worker gets a fresh output memory, so that a predecessor that is still dying cannot
 * scribble over its successor's results.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/spawn.h"
#include "decode/exchange.h"

enum {
    START_MS = 10000,      /* a worker that is not warm by then is replaced */
    RESTART_FIRST_MS = 50, /* delay after a worker that died before it was ready; doubles */
    RESTART_MOST_MS = 5000,
    MAX_PROGRAM_PATH = 4096,
};

enum worker_state { WORKER_INVALID, WORKER_DEAD, WORKER_STARTING, WORKER_IDLE, WORKER_BUSY, WORKER_BROKEN };

/* What the last job of a worker met; a change retires it. */
enum error_class { CLASS_UNTRIED, CLASS_SOUND, CLASS_BROKEN_INPUT };

struct worker {
    struct decode_pool *pool;
    enum worker_state state;
    pid_t pid;
    int socket;
    const uint8_t *output;
    struct loop_source *source;
    struct loop_source *timer;
    struct decode_job *job; /* NULL while BUSY: it was cancelled */
    uint64_t job_id;
    uint32_t jobs_done;
    uint32_t restart_ms;
    enum error_class last_class;
};

struct queue {
    struct decode_job *first;
    struct decode_job **tail;
    unsigned length;
};

/* A worker that was replaced before its SIGCHLD came. */
struct corpse {
    struct corpse *next;
    pid_t pid;
};

struct decode_pool {
    struct loop *loop;
    struct decode_options options;
    char program[MAX_PROGRAM_PATH];
    uint64_t output_bytes;
    void (*ready)(void *user);
    void *user;
    bool told_ready;
    uint64_t next_id;
    struct queue waiting;
    struct queue
        refused; /* have their status already; finished by the timer, never from inside decode_submit */
    struct loop_source *refused_timer;
    struct corpse *corpses;
    uint8_t *space; /* IMSG_SPACE_BYTES */
    struct worker *workers;
};

static void queue_init(struct queue *queue) {
    *queue = (struct queue){0};
    queue->tail = &queue->first;
}

static void queue_push(struct queue *queue, struct decode_job *job) {
    job->next = NULL;
    *queue->tail = job;
    queue->tail = &job->next;
    queue->length++;
}

static bool queue_remove(struct queue *queue, const struct decode_job *job) {
    for (struct decode_job **at = &queue->first; *at != NULL; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            if (*at == NULL) {
                queue->tail = at;
            }
            queue->length--;
            return true;
        }
    }
    return false;
}

static struct decode_job *queue_pop(struct queue *queue) {
    struct decode_job *job = queue->first;
    if (job != NULL) {
        (void)queue_remove(queue, job);
        job->next = NULL;
    }
    return job;
}

static void arm_ms(struct worker *w, uint64_t ms) {
    loop_arm(w->timer, ms == 0 ? 0 : clock_monotonic_ns() + ms * UINT64_C(1000000));
}

static void refuse_later(struct decode_pool *pool, struct decode_job *job) {
    queue_push(&pool->refused, job);
    loop_arm(pool->refused_timer, clock_monotonic_ns());
}

static void finish_refused(void *user) {
    struct decode_pool *pool = user;
    struct decode_job *job = queue_pop(&pool->refused);
    if (pool->refused.first != NULL) {
        loop_arm(pool->refused_timer, clock_monotonic_ns());
    }
    if (job != NULL) {
        job->done(job);
    }
}

/* ---- the life of a worker ---- */

static void on_socket(void *user, uint32_t events);

static int output_new(uint64_t bytes, const uint8_t **ret_output) {
    CLEANUP(close_fd) int fd = memfd_create("buckler-decoded", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Sealed in size: a worker that could shrink it would kill the reader with SIGBUS. */
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        return -errno;
    }
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        return -errno;
    }
    *ret_output = mapped;
    return steal_fd(&fd);
}

static int send_setup(struct worker *w, int output_fd) {
    const struct decode_options *options = &w->pool->options;
    /* Twice the wall clock of all its jobs: only a worker that spins where no job is looks at this limit. */
    struct decode_setup setup = {.output_bytes = w->pool->output_bytes,
                                 .text_bytes = options->text_bytes,
                                 .image_pixels = options->image_pixels,
                                 .address_space_bytes = options->address_space_bytes,
                                 .cpu_s = (uint64_t)options->jobs_per_worker * options->job_ms / 500 + 60,
                                 .image_side = options->image_side};
    struct buf body = {0};
    decode_setup_write(&body, &setup);
    int rc = body.failed ? -ENOMEM
                         : imsg_send(w->socket, DECODE_MSG_SETUP, 0, body.bytes, body.size, &output_fd, 1);
    buf_deinit(&body);
    return rc;
}

static void bury(struct decode_pool *pool, pid_t pid) {
    (void)kill(pid, SIGKILL);
    struct corpse *corpse = malloc(sizeof *corpse);
    if (corpse != NULL) { /* without it decode_child_died says "not mine", which harms nobody */
        *corpse = (struct corpse){.next = pool->corpses, .pid = pid};
        pool->corpses = corpse;
    }
}

/* Ends this life of the worker; the job, if any, must have been taken out before. */
static void worker_end(struct worker *w) {
    w->source = loop_remove(w->source);
    if (w->pid > 0) {
        bury(w->pool, w->pid);
    }
    w->pid = 0;
    if (w->socket >= 0) {
        (void)close(w->socket);
    }
    w->socket = -1;
    if (w->output != NULL) {
        (void)munmap((void *)(uintptr_t)w->output, w->pool->output_bytes);
    }
    w->output = NULL;
    w->state = WORKER_DEAD;
    w->jobs_done = 0;
    w->last_class = CLASS_UNTRIED;
    arm_ms(w, 0);
}

static int worker_start(struct worker *w, struct error *reterr) {
    struct decode_pool *pool = w->pool;
    char name[] = "buckler-decode";
    char *argv[] = {name, NULL};
    CLEANUP(close_fd) int output_fd = output_new(pool->output_bytes, &w->output);
    if (output_fd < 0) {
        return error_errno(reterr, -output_fd, "no memory for the output of a decode worker");
    }
    struct spawned spawned = {.socket = -1};
    int rc = spawn_role(pool->program, argv, &spawned, reterr);
    if (rc < 0) {
        worker_end(w);
        return rc;
    }
    w->pid = spawned.pid;
    w->socket = spawned.socket;
    w->state = WORKER_STARTING;
    rc = send_setup(w, output_fd);
    rc = rc == -EPIPE ? 0 : rc; /* it died already: its socket will say so, as for any other death */
    w->source = rc == 0 ? loop_add_file(pool->loop, w->socket, EPOLLIN, on_socket, w) : NULL;
    if (w->source == NULL) {
        worker_end(w);
        return error_errno(reterr, rc < 0 ? -rc : ENOMEM, "a decode worker cannot be set up");
    }
    arm_ms(w, START_MS);
    return 0;
}

/* Starts the successor: at once, or later when the last one died young. */
static void worker_replace(struct worker *w, bool young) {
    struct error error = {0};
    if (young) {
        w->restart_ms = w->restart_ms == 0 ? RESTART_FIRST_MS : w->restart_ms * 2;
        w->restart_ms = w->restart_ms > RESTART_MOST_MS ? RESTART_MOST_MS : w->restart_ms;
    } else if (worker_start(w, &error) == 0) {
        return;
    } else {
        log_error(w->pool->options.log, "decode-start", "%s", error.text);
        w->restart_ms = w->restart_ms == 0 ? RESTART_FIRST_MS : w->restart_ms;
    }
    arm_ms(w, w->restart_ms);
}

/* The worker died, overran or misbehaved: its job fails, and a successor takes its place. */
static void worker_lost(struct worker *w, const char *why) {
    bool young = w->state == WORKER_STARTING;
    struct decode_job *job = steal(w->job);
    log_warning(w->pool->options.log, "decode-worker-lost", "worker %d: %s", (int)w->pid, why);
    worker_end(w);
    worker_replace(w, young);
    if (job != NULL) {
        job->part = (struct canonical_part){0};
        job->status = error_set(&job->error, DECODE_E_FAILED, "the content could not be decoded: %s", why);
        job->done(job);
    }
}

/* ---- work ---- */

static int send_order(struct worker *w, const struct decode_job *job, uint64_t id) {
    struct decode_order order = {.kind = job->kind,
                                 .size = job->size,
                                 .replace_invalid_utf8 = job->replace_invalid_utf8,
                                 .form = job->form};
    /* A type that does not fit is none that we know; what fits of it disagrees with the magic bytes just as
     * well. */
    (void)snprintf(order.mime, sizeof order.mime, "%s", job->mime == NULL ? "" : job->mime);
    struct buf body = {0};
    decode_order_write(&body, &order);
    int rc = body.failed ? -ENOMEM
                         : imsg_send(w->socket, DECODE_MSG_ORDER, id, body.bytes, body.size, &job->fd, 1);
    buf_deinit(&body);
    return rc;
}

/* Hands waiting jobs to idle workers. Calls no `done`: decode_submit ends here. */
static void dispatch(struct decode_pool *pool) {
    for (unsigned i = 0; i < pool->options.workers && pool->waiting.first != NULL; i++) {
        struct worker *w = &pool->workers[i];
        while (w->state == WORKER_IDLE && pool->waiting.first != NULL) {
            struct decode_job *job = queue_pop(&pool->waiting);
            uint64_t id = ++pool->next_id;
            int rc = send_order(w, job, id);
            if (rc == 0) {
                w->state = WORKER_BUSY;
                w->job = job;
                w->job_id = id;
                arm_ms(w, pool->options.job_ms);
            } else if (rc == -EPIPE || rc == -EAGAIN) {
                /* It is dying; its socket event will replace it. The job goes back to the front. */
                w->state = WORKER_BROKEN;
                arm_ms(w, pool->options.job_ms);
                job->next = pool->waiting.first;
                pool->waiting.tail = job->next == NULL ? &job->next : pool->waiting.tail;
                pool->waiting.first = job;
                pool->waiting.length++;
            } else {
                job->status =
                    error_errno(&job->error, -rc, "the content cannot be handed to a decode worker");
                refuse_later(pool, job);
            }
        }
    }
}

static void tell_ready(struct decode_pool *pool) {
    for (unsigned i = 0; i < pool->options.workers; i++) {
        if (pool->workers[i].state < WORKER_IDLE) {
            return;
        }
    }
    if (!pool->told_ready) {
        pool->told_ready = true;
        if (pool->ready != NULL) {
            pool->ready(pool->user);
        }
    }
}

/* Whether the worker has served its time: so many jobs, or its codecs met broken input where the last job was
 * sound (or the other way round), since what an error path leaves behind in a heap is the least tested thing
 * of a codec. */
static bool worker_is_spent(struct worker *w, int status) {
    enum error_class class_ = status == DECODE_E_FAILED || status < 0 ? CLASS_BROKEN_INPUT : CLASS_SOUND;
    bool changed = w->last_class != CLASS_UNTRIED && class_ != w->last_class;
    w->last_class = class_;
    return changed || ++w->jobs_done >= w->pool->options.jobs_per_worker;
}

static void on_answer(struct worker *w, const struct imsg *message) {
    struct decode_pool *pool = w->pool;
    struct decode_answer answer = {0};
    if (message->id != w->job_id || decode_answer_read(message, &answer) != 0) {
        worker_lost(w, "the worker broke the protocol");
        return;
    }
    struct decode_job *job = steal(w->job);
    int rc = 0;
    int status = (int)answer.status;
    if (job != NULL) {
        rc = decode_answer_accept(&answer, w->output, pool->output_bytes, &pool->options, job);
        status = job->status;
    }
    if (rc != 0) {
        worker_lost(w, "the worker gave an answer that cannot be true");
    } else if (worker_is_spent(w, status)) {
        worker_end(w);
        worker_replace(w, false);
    } else {
        w->state = WORKER_IDLE;
        arm_ms(w, 0);
    }
    dispatch(pool);
    if (job != NULL) {
        job->done(job);
    }
}

/* At most one message, since any `done` may change everything. False when there was none. */
static bool read_one(struct worker *w) {
    struct imsg message = {0};
    int rc = imsg_receive(w->socket, w->pool->space, &message);
    if (rc == -EAGAIN) {
        return false;
    }
    if (rc != 0) {
        worker_lost(w, rc == -EPIPE ? "the worker died" : "the worker broke the protocol");
        return true;
    }
    imsg_close_fds(&message);
    if (message.type == DECODE_MSG_READY && w->state == WORKER_STARTING && message.body_size == 0) {
        w->state = WORKER_IDLE;
        w->restart_ms = 0;
        arm_ms(w, 0);
        dispatch(w->pool);
        tell_ready(w->pool);
    } else if (message.type == DECODE_MSG_ANSWER && w->state == WORKER_BUSY) {
        on_answer(w, &message);
    } else {
        worker_lost(w, "the worker broke the protocol");
    }
    return true;
}

static void on_socket(void *user, uint32_t events) {
    struct worker *w = user;
    if (!read_one(w) && (events & (EPOLLHUP | EPOLLERR)) != 0) {
        worker_lost(w, "the worker died");
    }
}

static void on_timer(void *user) {
    struct worker *w = user;
    if (w->state == WORKER_DEAD) {
        worker_replace(w, false);
    } else if (!read_one(w)) { /* an answer that came just in time counts */
        worker_lost(w, w->state == WORKER_STARTING ? "the worker did not start in time" : "it took too long");
    }
}

/* ---- the door ---- */

static int check_options(const struct decode_options *options, struct error *reterr) {
    uint64_t output = decode_output_bytes(options->text_bytes);
    if (options->workers == 0 || options->job_ms == 0 || options->jobs_per_worker == 0 ||
        options->image_side == 0 || options->text_bytes == 0 || options->text_bytes > UINT32_MAX) {
        return error_set(reterr, -EINVAL, "decode: a limit is zero or out of range");
    }
    if (options->address_space_bytes < DECODE_BASE_BYTES ||
        output > options->address_space_bytes - DECODE_BASE_BYTES) {
        return error_set(reterr, -EINVAL,
                         "decode: texts of %" PRIu64 " bytes need workers with %" PRIu64
                         " MiB of address space (raise address_space or lower the text limit)",
                         options->text_bytes,
                         (output >= UINT64_MAX / 2 ? output : output + DECODE_BASE_BYTES) >> 20);
    }
    return 0;
}

int decode_pool_new(struct loop *loop, const struct decode_options *options, void (*ready)(void *user),
                    void *user, struct decode_pool **ret, struct error *reterr) {
    int rc = check_options(options, reterr);
    if (rc != 0) {
        return rc;
    }
    struct decode_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return error_errno(reterr, ENOMEM, "decode");
    }
    *pool = (struct decode_pool){.loop = loop,
                                 .options = *options,
                                 .ready = ready,
                                 .user = user,
                                 .output_bytes = decode_output_bytes(options->text_bytes)};
    queue_init(&pool->waiting);
    queue_init(&pool->refused);
    pool->space = malloc(IMSG_SPACE_BYTES);
    pool->workers = calloc(options->workers, sizeof *pool->workers);
    pool->refused_timer = loop_add_timer(loop, finish_refused, pool);
    rc = options->program == NULL ? spawn_sibling_path("buckler-decode", pool->program, sizeof pool->program)
         : strlen(options->program) < sizeof pool->program ? 0
                                                           : -ENAMETOOLONG;
    if (rc != 0) {
        (void)error_errno(reterr, -rc, "decode: the program buckler-decode was not found");
    } else if (options->program != NULL) {
        memcpy(pool->program, options->program, strlen(options->program) + 1);
    }
    if (rc == 0 && (pool->space == NULL || pool->workers == NULL || pool->refused_timer == NULL)) {
        rc = error_errno(reterr, ENOMEM, "decode");
    }
    for (unsigned i = 0; i < options->workers && pool->workers != NULL; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .state = WORKER_DEAD, .socket = -1};
    }
    for (unsigned i = 0; i < options->workers && rc == 0; i++) {
        struct worker *w = &pool->workers[i];
        w->timer = loop_add_timer(loop, on_timer, w);
        rc = w->timer == NULL ? error_errno(reterr, ENOMEM, "decode") : worker_start(w, reterr);
    }
    if (rc != 0) {
        (void)decode_pool_free(pool);
        return rc;
    }
    pool->options.program = pool->program;
    *ret = pool;
    return 0;
}

struct decode_pool *decode_pool_free(struct decode_pool *pool) {
    if (pool == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < pool->options.workers && pool->workers != NULL; i++) {
        struct worker *w = &pool->workers[i];
        if (w->timer != NULL) {
            worker_end(w);
        }
        w->timer = loop_remove(w->timer);
    }
    pool->refused_timer = loop_remove(pool->refused_timer);
    while (pool->corpses != NULL) {
        struct corpse *next = pool->corpses->next;
        free(pool->corpses);
        pool->corpses = next;
    }
    free(pool->workers);
    free(pool->space);
    free(pool);
    return NULL;
}

static bool form_holds(const struct decode_image_form *form) {
    return form->resize_width >= DECODE_MIN_OUT_SIDE && form->resize_width <= DECODE_MAX_OUT_SIDE &&
           form->resize_height >= DECODE_MIN_OUT_SIDE && form->resize_height <= DECODE_MAX_OUT_SIDE &&
           form->crop_width >= 1 && form->crop_width <= form->resize_width && form->crop_height >= 1 &&
           form->crop_height <= form->resize_height && form->jpeg_quality <= 100;
}

int decode_submit(struct decode_pool *pool, struct decode_job *job) {
    job->status = 0;
    job->error = (struct error){0};
    job->part = (struct canonical_part){0};
    if (job->kind == CONTENT_TEXT && job->size > pool->options.text_bytes) {
        job->status = error_set(&job->error, DECODE_E_TEXT_TOO_LARGE,
                                "the text has %" PRIu64 " bytes, the limit is %" PRIu64, job->size,
                                pool->options.text_bytes);
        refuse_later(pool, job);
        return 0;
    }
    if (job->kind != CONTENT_TEXT && (job->kind != CONTENT_IMAGE || !form_holds(&job->form))) {
        job->status = error_set(&job->error, -EINVAL, "decode: the job asks for an impossible form");
        refuse_later(pool, job);
        return 0;
    }
    bool idle = false;
    for (unsigned i = 0; i < pool->options.workers; i++) {
        idle |= pool->workers[i].state == WORKER_IDLE;
    }
    if (!idle && pool->waiting.length >= pool->options.queue_jobs) {
        return DECODE_E_OVERLOADED;
    }
    queue_push(&pool->waiting, job);
    dispatch(pool);
    return 0;
}

void decode_cancel(struct decode_pool *pool, struct decode_job *job) {
    if (queue_remove(&pool->waiting, job) || queue_remove(&pool->refused, job)) {
        return;
    }
    for (unsigned i = 0; i < pool->options.workers; i++) {
        if (pool->workers[i].job == job) {
            pool->workers[i].job = NULL;
        }
    }
}

bool decode_child_died(struct decode_pool *pool, int pid, int wait_status) {
    (void)wait_status;
    for (struct corpse **at = &pool->corpses; *at != NULL; at = &(*at)->next) {
        if ((*at)->pid == pid) {
            struct corpse *corpse = *at;
            *at = corpse->next;
            free(corpse);
            return true;
        }
    }
    for (unsigned i = 0; i < pool->options.workers; i++) {
        struct worker *w = &pool->workers[i];
        if (w->pid != pid) {
            continue;
        }
        /* Reaped: the number may be given to another process, so nobody may kill it any more. */
        w->pid = 0;
        if (w->state == WORKER_BUSY) {
            (void)read_one(w); /* either its answer, or the end of the socket, which replaces it */
        } else {
            worker_lost(w, "the worker died");
        }
        return true;
    }
    return false;
}

unsigned decode_worker_pids(const struct decode_pool *pool, int *pids, unsigned most) {
    unsigned count = 0;
    for (unsigned i = 0; i < pool->options.workers; i++) {
        if (pool->workers[i].pid > 0 && count < most) {
            pids[count++] = pool->workers[i].pid;
        }
    }
    return count;
}
