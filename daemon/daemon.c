/* SPDX-License-Identifier: Apache-2.0
 *
 * Start and stop of the core. The start is a set of prerequisites that become true in any order (decoders
 * warm, log recovered, policies loaded and their examples passed, sockets bound); daemon_advance looks at
 * them after each event and takes the next step that is possible.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/z85.h"
#include "daemon/links.h"
#include "daemon/notify.h"
#include "daemon/reload.h"
#include "daemon/request.h"

enum { DRAIN_MS = 20000, DRAIN_LAST_MS = 5000 };

void daemon_fail(struct daemon *d, int exit_code, const char *message_id, const char *sentence) {
    log_error(&d->log, message_id, "%s", sentence);
    if (d->exit_code ==
        0) { /* the first failure is the cause; what follows in the same round are its effects */
        d->exit_code = exit_code;
    }
    loop_stop(d->loop);
}

/* ---- what the loop calls ---- */

static void on_engine(void *user, uint32_t events) {
    struct daemon *d = user;
    (void)events;
    for (struct engine_job *job = engine_reap(d->engine); job != NULL; job = engine_reap(d->engine)) {
        if (reload_owns(d, job)) {
            reload_built(d, job);
        } else {
            request_engine_done(job);
        }
    }
}

static void on_deadline(void *user) {
    request_deadlines(user);
}

static void on_admission(void *user) {
    request_admit_next(user);
}

static void on_decode_ready(void *user) {
    struct daemon *d = user;
    d->decode_ready = true;
    daemon_advance(d);
}

static void on_child(void *user, int signal_number) {
    (void)signal_number;
    supervise_children(user);
}

static void on_reload(void *user, int signal_number) {
    (void)signal_number;
    struct daemon *d = user;
    (void)notify("RELOADING=1");
    reload_start(d);
}

static void on_stop(void *user, int signal_number) {
    (void)signal_number;
    daemon_drain(user);
}

static void on_drain_timeout(void *user) {
    struct daemon *d = user;
    log_warning(&d->log, "drain", "%u requests did not end in time", d->request_count);
    if (d->drain_is_late) {
        loop_stop(d->loop);
        return;
    }
    d->drain_is_late = true; /* what is left gets its reply and its record, and a moment to do so */
    loop_arm(d->drain_timer, clock_monotonic_ns() + (uint64_t)DRAIN_LAST_MS * 1000000u);
    request_end_all(d);
}

/* ---- start ---- */

static int make_dir(struct daemon *d, const char *path, mode_t mode) {
    if (mkdir(path, mode) == 0 || errno == EEXIST) {
        return 0;
    }
    log_error(&d->log, "state", "%s cannot be made: %s", path, strerror(errno));
    return DAEMON_EXIT_CONFIG;
}

/* The key that turns content and subjects into commitments; made at the first start, never leaves the state
 * folder. */
static int load_commitment_key(struct daemon *d) {
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/commitment.key", d->settings.keys_dir);
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (fd_read_all(fd, d->commitment_key, sizeof d->commitment_key) == 0) {
            return 0;
        }
        log_error(&d->log, "keys", "%s is not a key of %zu bytes", path, sizeof d->commitment_key);
        return DAEMON_EXIT_CONFIG;
    }
    char aside[1300];
    (void)snprintf(aside, sizeof aside, "%s.new", path);
    CLEANUP(close_fd) int out = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0 ||
        getrandom(d->commitment_key, sizeof d->commitment_key, 0) != (ssize_t)sizeof d->commitment_key ||
        fd_write_all(out, d->commitment_key, sizeof d->commitment_key) < 0 || fsync(out) != 0 ||
        rename(aside, path) != 0) {
        log_error(&d->log, "keys", "%s cannot be written: %s", path, strerror(errno));
        return DAEMON_EXIT_CONFIG;
    }
    return 0;
}

/* Read once: a front that is started later gets it without the file. */
static int load_curve_secret(struct daemon *d) {
    const char *path = d->settings.curve_file;
    char text[Z85_KEY_SIZE + 1] = "";
    char more[Z85_KEY_SIZE];
    struct stat info;
    if (path[0] == '\0') {
        return 0;
    }
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        log_error(&d->log, "keys", "%s cannot be read: %s", path, strerror(errno));
        return DAEMON_EXIT_CONFIG;
    }
    if ((info.st_mode & 077) != 0) {
        log_error(&d->log, "keys", "%s: others than its owner can read it (chmod 600)", path);
        return DAEMON_EXIT_CONFIG;
    }
    const char *at = text;
    bool ok = info.st_size >= Z85_KEY_SIZE - 1 && info.st_size <= Z85_KEY_SIZE &&
              fd_read_all(fd, text, (size_t)info.st_size) == 0 && z85_next_key(&at, d->curve_secret) == 1 &&
              z85_next_key(&at, more) == 0;
    explicit_bzero(text, sizeof text);
    if (!ok) {
        log_error(&d->log, "keys", "%s holds no secret key (bucklerctl keys generate makes one)", path);
        return DAEMON_EXIT_CONFIG;
    }
    return 0;
}

static int prepare_state(struct daemon *d) {
    const struct settings *s = &d->settings;
    int rc = make_dir(d, s->state_dir, 0750);
    rc = rc != 0 ? rc : make_dir(d, s->run_dir, 0755);
    rc = rc != 0 ? rc : make_dir(d, s->audit_dir, 0700);
    rc = rc != 0 ? rc : make_dir(d, s->keys_dir, 0700);
    return rc != 0 ? rc : load_commitment_key(d);
}

static int add_sources(struct daemon *d) {
    d->loop = loop_new();
    if (d->loop == NULL) {
        return DAEMON_EXIT_UNAVAILABLE;
    }
    /* Signals first: threads that start later inherit the blocked mask. */
    bool ok = loop_add_signal(d->loop, SIGCHLD, on_child, d) != NULL &&
              loop_add_signal(d->loop, SIGHUP, on_reload, d) != NULL &&
              loop_add_signal(d->loop, SIGTERM, on_stop, d) != NULL &&
              loop_add_signal(d->loop, SIGINT, on_stop, d) != NULL;
    d->deadline_timer = loop_add_timer(d->loop, on_deadline, d);
    d->drain_timer = loop_add_timer(d->loop, on_drain_timeout, d);
    d->admission_timer = loop_add_timer(d->loop, on_admission, d);
    return ok && d->deadline_timer != NULL && d->drain_timer != NULL && d->admission_timer != NULL
               ? 0
               : DAEMON_EXIT_UNAVAILABLE;
}

static int start_engine(struct daemon *d) {
    const struct settings *s = &d->settings;
    struct error error = {0};
    struct engine_options options = {
        .threads = s->engine_threads, .step_tokens = s->step_tokens, .kv_tokens = s->kv_tokens};
    if (engine_open(&options, &d->engine, &error) != 0) {
        log_error(&d->log, "engine", "%s", error.text);
        return DAEMON_EXIT_UNAVAILABLE;
    }
    d->engine_source = loop_add_file(d->loop, engine_eventfd(d->engine), EPOLLIN, on_engine, d);
    d->models = models_new(d->engine, &d->settings);
    d->idempotency = idempotency_new();
    /* What one step can compute; more would only wait where no tenant's weight counts. */
    d->admission = admission_new(s->step_tokens, s->max_requests);
    bool ok = d->engine_source != NULL && d->models != NULL && d->idempotency != NULL && d->admission != NULL;
    return ok ? 0 : DAEMON_EXIT_UNAVAILABLE;
}

static int start_decoders(struct daemon *d) {
    const struct settings *s = &d->settings;
    struct error error = {0};
    struct decode_options options = {.workers = s->decode_workers,
                                     .queue_jobs = s->decode_queue,
                                     .text_bytes = s->text_bytes,
                                     .image_pixels = s->image_pixels,
                                     .image_side = s->image_side,
                                     .address_space_bytes = s->decode_address_space,
                                     .job_ms = s->decode_job_ms,
                                     .jobs_per_worker = s->decode_jobs_per_worker,
                                     .log = &d->log};
    if (decode_pool_new(d->loop, &options, on_decode_ready, d, &d->decode, &error) != 0) {
        log_error(&d->log, "decode", "%s", error.text);
        return DAEMON_EXIT_UNAVAILABLE;
    }
    return 0;
}

static int start_audit(struct daemon *d) {
    struct error error = {0};
    if (d->check_only || d->settings.audit_mode == SETTINGS_AUDIT_OFF || role_start(&d->audit, &error) == 0) {
        return 0;
    }
    log_error(&d->log, "audit", "%s", error.text);
    return DAEMON_EXIT_UNAVAILABLE;
}

int daemon_init(struct daemon *d) {
    d->state = DAEMON_STARTING;
    d->records_tail = &d->records;
    role_init(&d->front, d, &front_role);
    role_init(&d->audit, d, &audit_role);
    int rc = add_sources(d);
    rc = rc != 0 ? rc : load_curve_secret(d);
    rc = rc != 0 || d->check_only ? rc : prepare_state(d);
    rc = rc != 0 ? rc : start_audit(d);
    rc = rc != 0 ? rc : start_decoders(d);
    rc = rc != 0 ? rc : start_engine(d);
    if (rc == 0) {
        reload_start(d);
    }
    return rc;
}

static void say_ready(struct daemon *d) {
    d->state = DAEMON_SERVING;
    log_notice(&d->log, "ready", "generation %u, %s, %u threads", d->generation->number,
               engine_instruction_set(d->engine), engine_threads(d->engine));
    if (!notify("READY=1")) {
        (void)puts("ready");
        (void)fflush(stdout);
    }
}

void daemon_advance(struct daemon *d) {
    reload_advance(d);
    bool audit_ready = d->audit.ready || d->check_only || d->settings.audit_mode == SETTINGS_AUDIT_OFF;
    if (d->state != DAEMON_STARTING || d->generation == NULL || !audit_ready) {
        return;
    }
    if (d->check_only) {
        loop_stop(d->loop);
    } else if (d->front.ready) {
        say_ready(d);
    } else if (d->front.pid == 0) {
        struct error error = {0};
        if (role_start(&d->front, &error) != 0) {
            daemon_fail(d, DAEMON_EXIT_UNAVAILABLE, "front", error.text);
        }
    }
}

/* ---- stop ---- */

void daemon_drain_check(struct daemon *d) {
    if (d->state != DAEMON_DRAINING || d->request_count > 0) {
        return;
    }
    if (!d->stop_recorded) { /* the last record; its end calls this again */
        d->stop_recorded = true;
        char event[96];
        (void)snprintf(event, sizeof event, "{\"event\":\"stop\",\"time_ns\":%llu,\"type\":\"event\"}",
                       (unsigned long long)clock_unix_ns());
        request_record_event(d, strdup(event));
    }
    if (d->request_count == 0) {
        loop_stop(d->loop);
    }
}

void daemon_drain(struct daemon *d) {
    if (d->state != DAEMON_SERVING) {
        loop_stop(d->loop); /* not serving yet, or asked twice */
        return;
    }
    (void)notify("STOPPING=1");
    log_notice(&d->log, "drain", "%u requests are finished first", d->request_count);
    d->state = DAEMON_DRAINING;
    loop_arm(d->drain_timer, clock_monotonic_ns() + (uint64_t)DRAIN_MS * 1000000u);
    daemon_drain_check(d);
}

void daemon_deinit(struct daemon *d) {
    role_stop(&d->front);
    role_finish(&d->audit); /* it signs a last checkpoint */
    d->decode = decode_pool_free(d->decode);
    if (d->request_count > 0) {
        _exit(d->exit_code); /* a drain that ran out of time: engine threads still use what would be freed */
    }
    d->engine_source = loop_remove(d->engine_source);
    d->generation = generation_unref(d->generation);
    d->admission = admission_free(d->admission);
    d->idempotency = idempotency_free(d->idempotency);
    d->models = models_free(d->models);
    d->engine = engine_free(d->engine);
    d->loop = loop_free(d->loop);
    explicit_bzero(d->curve_secret, sizeof d->curve_secret);
}
