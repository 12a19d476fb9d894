/* SPDX-License-Identifier: Apache-2.0
 *
 * Picture files as the pixels that a model takes, by the decode workers of the daemon: the same sandbox and
 * the same bits.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/loop.h"
#include "decode/decode.h"
#include "tools/command.h"

enum { MOST_PICTURES = 16, MOST_FILE_BYTES = 64 << 20, MOST_PIXEL_BYTES = 64 << 20 };

struct decoder {
    struct loop *loop;
    struct decode_pool *pool;
    bool done;
};

static void on_child(void *user, int signal_number) {
    struct decoder *d = user;
    int status = 0;
    (void)signal_number;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        (void)decode_child_died(d->pool, pid, status);
    }
}

static void on_done(struct decode_job *job) {
    ((struct decoder *)job->user)->done = true;
}

static int decoder_open(struct decoder *d, struct error *reterr) {
    static const struct log log = {.program = "bucklerctl", .level = LOG_ERROR_LEVEL};
    const struct decode_options options = {.workers = 1,
                                           .queue_jobs = 1,
                                           .text_bytes = 1 << 20,
                                           .image_pixels = UINT64_C(64) << 20,
                                           .image_side = 16384,
                                           .address_space_bytes = UINT64_C(512) << 20,
                                           .job_ms = 60000,
                                           .jobs_per_worker = MOST_PICTURES,
                                           .log = &log};
    d->loop = loop_new();
    if (d->loop == NULL || loop_add_signal(d->loop, SIGCHLD, on_child, d) == NULL) {
        return error_set(reterr, -ENOMEM, "cannot start the decoder");
    }
    return decode_pool_new(d->loop, &options, NULL, NULL, &d->pool, reterr);
}

static void decoder_close(struct decoder *d) {
    d->pool = decode_pool_free(d->pool);
    d->loop = loop_free(d->loop);
}

/* One file to RGB8 [side, side, 3]. */
static int decode_file(struct decoder *d, const char *path, uint32_t side, uint8_t *out,
                       struct error *reterr) {
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(free_ptr) char *bytes = NULL;
    size_t size = 0;
    int rc = command_read(path, MOST_FILE_BYTES, &bytes, &size, reterr);
    if (rc != 0) {
        return rc;
    }
    arena_init(&arena, MOST_PIXEL_BYTES);
    CLEANUP(close_fd) int fd = fd_sealed(bytes, size);
    struct decode_job job = {
        .kind = CONTENT_IMAGE,
        .fd = fd,
        .size = size,
        .mime = "",
        .form = {.resize_width = side, .resize_height = side, .crop_width = side, .crop_height = side},
        .arena = &arena,
        .done = on_done,
        .user = d};
    d->done = false;
    if (fd < 0 || decode_submit(d->pool, &job) != 0) {
        return error_set(reterr, DECODE_E_FAILED, "%s: cannot be handed to the decoder", path);
    }
    while (!d->done && rc == 0) {
        rc = loop_once(d->loop, -1);
    }
    if (rc != 0) {
        return error_errno(reterr, -rc, "cannot wait for the decoder");
    }
    if (job.status != 0) {
        *reterr = job.error;
        return error_prefix(reterr, "%s: ", path);
    }
    memcpy(out, job.part.image.pixels[0], (size_t)side * side * 3);
    return 0;
}

int command_pictures(const char *list, uint32_t side, uint8_t **ret_pixels, uint32_t *ret_count,
                     struct error *reterr) {
    size_t one = (size_t)side * side * 3;
    CLEANUP(free_ptr) uint8_t *pixels = malloc(one * MOST_PICTURES);
    CLEANUP(free_ptr) char *paths = strdup(list);
    CLEANUP(decoder_close) struct decoder d = {0};
    uint32_t count = 0;
    char *rest = NULL;

    if (pixels == NULL || paths == NULL) {
        return error_set(reterr, -ENOMEM, "pictures: out of memory");
    }
    int rc = decoder_open(&d, reterr);
    for (char *path = strtok_r(paths, ",", &rest); rc == 0 && path != NULL;
         path = strtok_r(NULL, ",", &rest)) {
        if (count == MOST_PICTURES) {
            return error_set(reterr, -E2BIG, "more than %d pictures", MOST_PICTURES);
        }
        rc = decode_file(&d, path, side, pixels + count++ * one, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    *ret_pixels = steal(pixels);
    *ret_count = count;
    return 0;
}
