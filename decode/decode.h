/* SPDX-License-Identifier: Apache-2.0
 *
 * Parent side of the decode workers: hand over a sealed descriptor, get canonical content or a reason. The
 * workers (buckler-decode) are started ahead, one job at a time each, and live under seccomp and rlimits. A
 * worker that dies or overruns costs its own job (DECODE_E_FAILED) and is replaced at once.
 *
 * All of it runs on the thread of the loop; nothing blocks. A job finishes exactly once, through `done`,
 * never from inside decode_submit.
 */
#ifndef BUCKLER_DECODE_DECODE_H
#define BUCKLER_DECODE_DECODE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "decode/canonical.h"

enum decode_error {
    DECODE_E_UNSUPPORTED = 1, /* 415 unsupported_media */
    DECODE_E_FAILED,          /* 422 decode_failed: broken, or the worker died or overran */
    DECODE_E_INVALID_UTF8,    /* 422 invalid_utf8 */
    DECODE_E_BOMB,            /* 422 bomb */
    DECODE_E_TOO_LARGE,       /* 413 image_too_large: over the pixel or side limit */
    DECODE_E_TEXT_TOO_LARGE,  /* 413 part_too_large */
    DECODE_E_OVERLOADED,      /* 503 overloaded: the job queue is full */
};

struct decode_options {
    unsigned workers;             /* at least 1 */
    unsigned queue_jobs;          /* bound of waiting jobs */
    uint64_t text_bytes;          /* most bytes of one text part */
    uint64_t image_pixels;        /* most pixels: 64 M */
    uint32_t image_side;          /* most pixels of one side: 16384 */
    uint64_t address_space_bytes; /* of a worker: 512 MiB */
    uint32_t job_ms;              /* wall clock of one job: 2000 */
    uint32_t jobs_per_worker;     /* retired after so many: 1000 */
    const struct log *log;
    const char *program; /* of the workers; NULL: buckler-decode beside the running program */
};

/* How pixels shall come out: resized bilinearly, bit for bit like Pillow (horizontal pass first), optionally
 * through a JPEG round trip of that quality, then the centre crop. Sides of the resize: 8 to 2048. */
struct decode_image_form {
    uint32_t resize_width, resize_height;
    uint32_t jpeg_quality; /* 0: no round trip */
    uint32_t crop_width, crop_height;
};

struct decode_job {
    enum content_kind kind;
    int fd;                        /* sealed memfd, borrowed until done */
    uint64_t size;                 /* of it */
    const char *mime;              /* declared, may be "" */
    bool replace_invalid_utf8;     /* instead of DECODE_E_INVALID_UTF8 */
    struct decode_image_form form; /* images */
    struct arena *arena;           /* the results are allocated here */
    void (*done)(struct decode_job *job);
    void *user;

    int status;                 /* 0 or DECODE_E_* or negative */
    struct error error;         /* one sentence for the client */
    struct canonical_part part; /* when status is 0 */

    struct decode_job *next; /* the pool's */
};

struct decode_pool;

/* Starts the workers and returns; `ready` is called on the loop when all answered their warm-up. */
int decode_pool_new(struct loop *loop, const struct decode_options *options, void (*ready)(void *user),
                    void *user, struct decode_pool **ret, struct error *reterr) MUST_CHECK;

/* Kills the workers; jobs that still wait are forgotten without `done`. Accepts NULL; returns NULL. */
struct decode_pool *decode_pool_free(struct decode_pool *pool);

/* 0, or DECODE_E_OVERLOADED (done is not called then). */
int decode_submit(struct decode_pool *pool, struct decode_job *job) MUST_CHECK;

/* Forgets a job: `done` will not be called and its memory may go. A running worker is left to finish or
 * overrun. */
void decode_cancel(struct decode_pool *pool, struct decode_job *job);

/* SIGCHLD: tells whether `pid` was one of its workers (and replaces it). */
bool decode_child_died(struct decode_pool *pool, int pid, int wait_status);

/* For status pages and tests: pids of the live workers into pids[], at most `most`; returns how many. */
unsigned decode_worker_pids(const struct decode_pool *pool, int *pids, unsigned most);

#endif
