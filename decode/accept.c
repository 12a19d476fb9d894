/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool's distrust: everything that comes back from a worker is bounded first, then copied, and only the
 * copy is checked and used. A worker that was taken over can lie about what a text says; it cannot make the
 * core read or write outside its own memory, or hand it malformed UTF-8.
 */
#include <errno.h>
#include <string.h>

#include "base/utf8.h"
#include "decode/exchange.h"

static int refuse(struct decode_job *job) {
    job->part = (struct canonical_part){0};
    job->status =
        error_set(&job->error, DECODE_E_FAILED, "the decode worker gave an answer that cannot be true");
    return -EPROTO;
}

static int out_of_memory(struct decode_job *job) {
    job->part = (struct canonical_part){0};
    job->status = error_set(&job->error, -ENOMEM, "no memory for the decoded content");
    return 0;
}

static bool inside(uint64_t at, uint64_t size, uint64_t whole) {
    return at <= whole && size <= whole - at;
}

/* The map says for each byte where it came from: never backwards, never behind the end. */
static bool map_holds(const uint32_t *map, size_t size, size_t raw_size) {
    for (size_t i = 0; i < size; i++) {
        if (map[i] > map[i + 1]) {
            return false;
        }
    }
    return map[size] == raw_size;
}

static int copy_view(const struct decode_view_place *place, const uint8_t *output, uint64_t output_bytes,
                     size_t raw_size, struct arena *arena, struct text_view *ret) {
    if (!inside(place->text_at, place->size, output_bytes)) {
        return -EPROTO;
    }
    char *text = arena_copy(arena, output + place->text_at, place->size);
    if (text == NULL) {
        return -ENOMEM;
    }
    if (!utf8_valid(text, place->size, NULL)) {
        return -EPROTO;
    }
    *ret = (struct text_view){.text = text, .size = place->size};
    if (!place->has_map) {
        return 0;
    }
    if (!inside(place->map_at, (place->size + 1) * sizeof(uint32_t), output_bytes)) {
        return -EPROTO;
    }
    uint32_t *map = arena_new(arena, uint32_t, place->size + 1);
    if (map == NULL) {
        return -ENOMEM;
    }
    memcpy(map, output + place->map_at, (place->size + 1) * sizeof *map);
    ret->map = map;
    return map_holds(map, place->size, raw_size) ? 0 : -EPROTO;
}

static int accept_text(const struct decode_answer *answer, const uint8_t *output, uint64_t output_bytes,
                       struct decode_job *job) {
    struct canonical_text *text = &job->part.text;
    struct text_view *views[DECODE_VIEWS] = {&text->raw, &text->clean, &text->hidden, &text->folded};
    size_t raw_size = answer->views[0].size;
    bool as_sent = (answer->flags & FLAG_INVALID_UTF8) == 0;
    if (!answer->views[0].present || !answer->views[3].present || raw_size > UINT32_MAX ||
        (as_sent && raw_size != job->size)) {
        return refuse(job);
    }
    for (int i = 0; i < DECODE_VIEWS; i++) {
        if (!answer->views[i].present) {
            continue;
        }
        if (answer->views[i].has_map != (i > 0)) {
            return refuse(job);
        }
        int rc = copy_view(&answer->views[i], output, output_bytes, raw_size, job->arena, views[i]);
        if (rc != 0) {
            return rc == -ENOMEM ? out_of_memory(job) : refuse(job);
        }
    }
    job->status = 0;
    return 0;
}

static bool image_holds(const struct decode_image_place *image, const struct decode_options *options,
                        const struct decode_job *job) {
    static const char *const formats[] = {"jpeg", "png", "webp", "gif"};
    bool known = false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        known |= strcmp(image->format, formats[i]) == 0;
    }
    return known && image->width > 0 && image->height > 0 && image->width <= options->image_side &&
           image->height <= options->image_side &&
           (uint64_t)image->width * image->height <= options->image_pixels && image->variants >= 1 &&
           image->variants <= IMAGE_MAX_VARIANTS && image->frames_judged >= 1 &&
           image->frames_judged <= image->frames_total && image->out_width == job->form.crop_width &&
           image->out_height == job->form.crop_height;
}

static int accept_image(const struct decode_answer *answer, const uint8_t *output, uint64_t output_bytes,
                        const struct decode_options *options, struct decode_job *job) {
    const struct decode_image_place *place = &answer->image;
    if (!image_holds(place, options, job)) {
        return refuse(job);
    }
    size_t bytes = (size_t)place->out_width * place->out_height * 3; /* both at most DECODE_MAX_OUT_SIDE */
    struct canonical_image *image = &job->part.image;
    *image = (struct canonical_image){.width = place->width,
                                      .height = place->height,
                                      .frames_total = place->frames_total,
                                      .frames_judged = place->frames_judged,
                                      .variants = place->variants,
                                      .out_width = place->out_width,
                                      .out_height = place->out_height};
    memcpy(image->format, place->format, sizeof image->format);
    for (uint32_t i = 0; i < place->variants; i++) {
        if (!inside(place->pixels_at[i], bytes, output_bytes)) {
            return refuse(job);
        }
        uint8_t *pixels = arena_new(job->arena, uint8_t, bytes);
        if (pixels == NULL) {
            return out_of_memory(job);
        }
        memcpy(pixels, output + place->pixels_at[i], bytes);
        image->pixels[i] = pixels;
    }
    job->status = 0;
    return 0;
}

/* The sentence goes to a client, so it must be one plain line whatever the worker wrote. */
static void copy_sentence(struct decode_job *job, int status, const char *sentence) {
    for (const char *p = sentence; *p != '\0'; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            sentence = "the content could not be decoded";
            break;
        }
    }
    job->status = error_set(&job->error, status, "%s", sentence);
}

int decode_answer_accept(const struct decode_answer *answer, const uint8_t *output, uint64_t output_bytes,
                         const struct decode_options *options, struct decode_job *job) {
    job->part = (struct canonical_part){.kind = job->kind, .flags = answer->flags, .bytes = job->size};
    if (answer->status != 0) {
        if (answer->status > DECODE_E_TEXT_TOO_LARGE || answer->error[0] == '\0') {
            return refuse(job);
        }
        job->part = (struct canonical_part){0};
        copy_sentence(job, (int)answer->status, answer->error);
        return 0;
    }
    if (answer->kind != job->kind || answer->flags >> FLAG_COUNT != 0) {
        return refuse(job);
    }
    return job->kind == CONTENT_TEXT ? accept_text(answer, output, output_bytes, job)
                                     : accept_image(answer, output, output_bytes, options, job);
}
