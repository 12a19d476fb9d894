/* SPDX-License-Identifier: Apache-2.0
 *
 * buckler-decode: the program that reads foreign text and images. Started by the pool with its socket on
 * descriptor 3; takes its limits and the shared output from the first message, warms up, locks itself in,
 * says ready, then does one order at a time until the socket closes. It keeps nothing from one order to the
 * next.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "decode/exchange.h"
#include "decode/worker/image.h"
#include "decode/worker/sandbox.h"
#include "decode/worker/text.h"

static const struct log worker_log = {.program = "buckler-decode", .level = LOG_NOTICE_LEVEL};

struct work {
    struct decode_setup setup;
    struct unicode *unicode;
    uint8_t *output;
    uint8_t *space; /* IMSG_SPACE_BYTES */
};

static int map_output(struct work *work, int fd, struct error *reterr) {
    void *mapped =
        fd < 0 ? MAP_FAILED : mmap(NULL, work->setup.output_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        return error_errno(reterr, errno, "the output memory cannot be mapped");
    }
    work->output = mapped;
    return 0;
}

static int set_up(struct work *work, struct error *reterr) {
    struct imsg message = {0};
    int rc = imsg_receive(SPAWN_FD, work->space, &message);
    if (rc != 0 || message.type != DECODE_MSG_SETUP || decode_setup_read(&message, &work->setup) != 0) {
        imsg_close_fds(&message);
        return error_set(reterr, -EPROTO, "no setup on descriptor %d (this program is started by bucklerd)",
                         SPAWN_FD);
    }
    rc = map_output(work, message.fds[0], reterr);
    imsg_close_fds(&message);
    rc = rc != 0 ? rc : unicode_new(&work->unicode, reterr);
    rc = rc != 0 ? rc : image_warm_up(reterr);
    return rc != 0 ? rc : worker_sandbox_enter(&work->setup, reterr);
}

static uint64_t place(const struct work *work, const void *p) {
    return (uint64_t)((const uint8_t *)p - work->output);
}

static void place_view(const struct work *work, const struct text_view *view, struct decode_view_place *ret) {
    if (view->text != NULL) {
        *ret = (struct decode_view_place){.present = true,
                                          .text_at = place(work, view->text),
                                          .size = view->size,
                                          .has_map = view->map != NULL,
                                          .map_at = view->map == NULL ? 0 : place(work, view->map)};
    }
}

static bool is_media(const char *mime) {
    return strncasecmp(mime, "image/", 6) == 0 || strncasecmp(mime, "audio/", 6) == 0 ||
           strncasecmp(mime, "video/", 6) == 0;
}

static int do_text(struct work *work, const struct decode_order *order, const uint8_t *bytes,
                   struct sink *out, struct decode_answer *answer, struct error *reterr) {
    struct canonical_text text;
    int rc = text_canonicalise(work->unicode, bytes, order->size, order->replace_invalid_utf8, out, &text,
                               &answer->flags, reterr);
    if (rc == 0) {
        answer->flags |= is_media(order->mime) ? FLAG_MIME_MISMATCH : 0;
        place_view(work, &text.raw, &answer->views[0]);
        place_view(work, &text.clean, &answer->views[1]);
        place_view(work, &text.hidden, &answer->views[2]);
        place_view(work, &text.folded, &answer->views[3]);
    }
    return rc;
}

static int do_image(struct work *work, const struct decode_order *order, const uint8_t *bytes,
                    struct sink *out, struct decode_answer *answer, struct error *reterr) {
    struct canonical_image image;
    uint64_t taken = work->setup.output_bytes + DECODE_BASE_BYTES;
    uint64_t left = work->setup.address_space_bytes > taken ? work->setup.address_space_bytes - taken : 0;
    struct image_limits limits = {.pixels = work->setup.image_pixels,
                                  .side = work->setup.image_side,
                                  .memory_bytes = left > order->size ? left - order->size : 0};
    int rc = image_canonicalise(&limits, bytes, order->size, order->mime, &order->form, out, &image,
                                &answer->flags, reterr);
    if (rc == 0) {
        answer->image = (struct decode_image_place){.width = image.width,
                                                    .height = image.height,
                                                    .frames_total = image.frames_total,
                                                    .frames_judged = image.frames_judged,
                                                    .variants = image.variants,
                                                    .out_width = image.out_width,
                                                    .out_height = image.out_height};
        memcpy(answer->image.format, image.format, sizeof image.format);
        for (uint32_t i = 0; i < image.variants; i++) {
            answer->image.pixels_at[i] = place(work, image.pixels[i]);
        }
    }
    return rc;
}

static void do_order(struct work *work, struct imsg *message, struct decode_answer *answer) {
    struct error error = {0};
    struct decode_order order;
    const uint8_t *bytes = NULL;
    CLEANUP(close_fd) int fd = imsg_take_fd(message, 0);
    if (message->type != DECODE_MSG_ORDER || decode_order_read(message, &order) != 0) {
        _exit(EXIT_FAILURE); /* the pool never does this */
    }
    int rc = fd < 0 ? -EBADF : fd_map_sealed(fd, order.size, &bytes);
    if (rc != 0) {
        rc = error_set(&error, DECODE_E_FAILED,
                       "the content did not arrive as a sealed descriptor of its size");
    } else {
        struct sink out = {.bytes = work->output, .size = work->setup.output_bytes};
        answer->kind = order.kind;
        rc = order.kind == CONTENT_TEXT ? do_text(work, &order, bytes, &out, answer, &error)
                                        : do_image(work, &order, bytes, &out, answer, &error);
        fd_unmap(bytes, order.size);
    }
    answer->status = rc > 0 ? (uint32_t)rc : rc < 0 ? DECODE_E_FAILED : 0;
    (void)snprintf(answer->error, sizeof answer->error, "%.255s", rc == 0 ? "" : error.text);
}

static int serve(struct work *work) {
    for (;;) {
        struct imsg message = {0};
        struct decode_answer answer = {0};
        struct buf body = {0};
        int rc = imsg_receive(SPAWN_FD, work->space, &message);
        if (rc != 0) {
            return rc == -EPIPE ? 0 : rc;
        }
        do_order(work, &message, &answer);
        imsg_close_fds(&message);
        decode_answer_write(&body, &answer);
        rc = body.failed ? -ENOMEM
                         : imsg_send(SPAWN_FD, DECODE_MSG_ANSWER, message.id, body.bytes, body.size, NULL, 0);
        buf_deinit(&body);
        if (rc != 0) {
            return rc == -EPIPE ? 0 : rc;
        }
    }
}

int main(void) {
    struct error error = {0};
    struct work work = {.space = malloc(IMSG_SPACE_BYTES)};
    /* One warm heap: fresh pages cost a big image half of its time. What more than a usual photograph
     * took is given back. */
    (void)mallopt(M_MMAP_MAX, 0);
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 20);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (work.space == NULL || set_up(&work, &error) != 0) {
        log_error(&worker_log, "decode-setup", "%s", work.space == NULL ? "no memory" : error.text);
        _exit(EXIT_FAILURE);
    }
    if (imsg_send(SPAWN_FD, DECODE_MSG_READY, 0, NULL, 0, NULL, 0) != 0) {
        _exit(EXIT_FAILURE);
    }
    /* No exit handlers: they would ask the kernel for what the sandbox forbids. */
    _exit(serve(&work) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
