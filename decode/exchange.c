/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/exchange.h"

#include <errno.h>
#include <string.h>

#include "base/cursor.h"

uint64_t decode_output_bytes(uint64_t text_bytes) {
    const uint64_t pixels = (uint64_t)IMAGE_MAX_VARIANTS * DECODE_MAX_OUT_SIDE * DECODE_MAX_OUT_SIDE * 3;
    uint64_t text = 0;
    if (__builtin_mul_overflow(text_bytes, DECODE_TEXT_EXPANSION, &text) ||
        __builtin_add_overflow(text, UINT64_C(1) << 20, &text)) {
        return UINT64_MAX;
    }
    /* The spare page holds what alignment costs. */
    return (text > pixels ? text : pixels) + 4096;
}

void decode_setup_write(struct buf *out, const struct decode_setup *setup) {
    buf_u64(out, setup->output_bytes);
    buf_u64(out, setup->text_bytes);
    buf_u64(out, setup->image_pixels);
    buf_u64(out, setup->address_space_bytes);
    buf_u64(out, setup->cpu_s);
    buf_u32(out, setup->image_side);
}

int decode_setup_read(const struct imsg *message, struct decode_setup *ret) {
    struct cursor c;
    cursor_init(&c, message->body, message->body_size);
    ret->output_bytes = cursor_u64(&c);
    ret->text_bytes = cursor_u64(&c);
    ret->image_pixels = cursor_u64(&c);
    ret->address_space_bytes = cursor_u64(&c);
    ret->cpu_s = cursor_u64(&c);
    ret->image_side = cursor_u32(&c);
    return cursor_done(&c) ? 0 : -EPROTO;
}

void decode_order_write(struct buf *out, const struct decode_order *order) {
    buf_u32(out, order->kind);
    buf_u64(out, order->size);
    buf_u8(out, order->replace_invalid_utf8);
    buf_u32(out, order->form.resize_width);
    buf_u32(out, order->form.resize_height);
    buf_u32(out, order->form.jpeg_quality);
    buf_u32(out, order->form.crop_width);
    buf_u32(out, order->form.crop_height);
    buf_string(out, order->mime);
}

int decode_order_read(const struct imsg *message, struct decode_order *ret) {
    struct cursor c;
    cursor_init(&c, message->body, message->body_size);
    ret->kind = (enum content_kind)cursor_u32(&c);
    ret->size = cursor_u64(&c);
    ret->replace_invalid_utf8 = cursor_u8(&c) != 0;
    ret->form.resize_width = cursor_u32(&c);
    ret->form.resize_height = cursor_u32(&c);
    ret->form.jpeg_quality = cursor_u32(&c);
    ret->form.crop_width = cursor_u32(&c);
    ret->form.crop_height = cursor_u32(&c);
    cursor_string(&c, ret->mime, sizeof ret->mime);
    return cursor_done(&c) && ret->kind > CONTENT_INVALID && ret->kind < CONTENT_KIND_COUNT ? 0 : -EPROTO;
}

static void write_view(struct buf *out, const struct decode_view_place *view) {
    buf_u8(out, view->present);
    buf_u64(out, view->text_at);
    buf_u64(out, view->size);
    buf_u8(out, view->has_map);
    buf_u64(out, view->map_at);
}

static void read_view(struct cursor *c, struct decode_view_place *view) {
    view->present = cursor_u8(c) != 0;
    view->text_at = cursor_u64(c);
    view->size = cursor_u64(c);
    view->has_map = cursor_u8(c) != 0;
    view->map_at = cursor_u64(c);
}

void decode_answer_write(struct buf *out, const struct decode_answer *answer) {
    buf_u32(out, answer->status);
    buf_string(out, answer->error);
    buf_u32(out, answer->flags);
    buf_u32(out, answer->kind);
    for (int i = 0; i < DECODE_VIEWS; i++) {
        write_view(out, &answer->views[i]);
    }
    const struct decode_image_place *image = &answer->image;
    buf_u32(out, image->width);
    buf_u32(out, image->height);
    buf_u32(out, image->frames_total);
    buf_u32(out, image->frames_judged);
    buf_u32(out, image->variants);
    buf_u32(out, image->out_width);
    buf_u32(out, image->out_height);
    for (int i = 0; i < IMAGE_MAX_VARIANTS; i++) {
        buf_u64(out, image->pixels_at[i]);
    }
    buf_string(out, image->format);
}

int decode_answer_read(const struct imsg *message, struct decode_answer *ret) {
    struct cursor c;
    cursor_init(&c, message->body, message->body_size);
    ret->status = cursor_u32(&c);
    cursor_string(&c, ret->error, sizeof ret->error);
    ret->flags = cursor_u32(&c);
    ret->kind = (enum content_kind)cursor_u32(&c);
    for (int i = 0; i < DECODE_VIEWS; i++) {
        read_view(&c, &ret->views[i]);
    }
    struct decode_image_place *image = &ret->image;
    image->width = cursor_u32(&c);
    image->height = cursor_u32(&c);
    image->frames_total = cursor_u32(&c);
    image->frames_judged = cursor_u32(&c);
    image->variants = cursor_u32(&c);
    image->out_width = cursor_u32(&c);
    image->out_height = cursor_u32(&c);
    for (int i = 0; i < IMAGE_MAX_VARIANTS; i++) {
        image->pixels_at[i] = cursor_u64(&c);
    }
    cursor_string(&c, image->format, sizeof image->format);
    return cursor_done(&c) ? 0 : -EPROTO;
}
