/* SPDX-License-Identifier: Apache-2.0
 *
 * Bilinear resizing with antialiasing, bit for bit as Pillow does it: weights in doubles,
 * brought to 22 bits of fraction, horizontal pass to 8 bits, then the vertical pass.
 *
 * The source is read through steps, so that a turned picture needs no copy, sixteen rows at a time, so that
 * reading along columns stays within the cache. The vertical sums of all output rows are kept, and each
 * source row is added to the few rows it belongs to; integer sums do not depend on the order.
 */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "decode/worker/image_steps.h"

enum { FRACTION_BITS = 22, BLOCK_ROWS = 16 };

/* The taps of one axis: output o takes lo[o] … lo[o] + count[o] − 1, with weights at o·stride. */
struct taps {
    uint32_t *lo, *count;
    int32_t *weights;
    size_t stride;
};

static void taps_deinit(struct taps *taps) {
    free(taps->lo);
    free(taps->count);
    free(taps->weights);
}

static void fill_output(struct taps *taps, uint32_t o, uint32_t n, double scale, double *space) {
    double wide = scale > 1.0 ? scale : 1.0;
    double narrow = 1.0 / wide;
    double centre = (o + 0.5) * scale;
    int lo = (int)(centre - wide + 0.5);
    int hi = (int)(centre + wide + 0.5);
    lo = lo < 0 ? 0 : lo;
    hi = hi > (int)n ? (int)n : hi;
    double sum = 0;
    for (int t = lo; t < hi; t++) {
        double x = fabs((t - centre + 0.5) * narrow);
        space[t - lo] = x < 1.0 ? 1.0 - x : 0.0;
        sum += space[t - lo];
    }
    taps->lo[o] = (uint32_t)lo;
    taps->count[o] = (uint32_t)(hi - lo);
    for (int t = 0; t < hi - lo; t++) {
        double weight = sum != 0 ? space[t] / sum : space[t];
        double fixed = weight * (1 << FRACTION_BITS);
        taps->weights[o * taps->stride + (size_t)t] = (int32_t)(weight < 0 ? fixed - 0.5 : fixed + 0.5);
    }
}

/* n source pixels to m; when they are equal the pass copies, which one tap of weight one does exactly. */
static bool taps_init(struct taps *taps, uint32_t n, uint32_t m) {
    double scale = (double)n / m;
    double wide = scale > 1.0 ? scale : 1.0;
    taps->stride = n == m ? 1 : (size_t)ceil(wide) * 2 + 1;
    taps->lo = calloc(m, sizeof *taps->lo);
    taps->count = calloc(m, sizeof *taps->count);
    taps->weights = calloc(m * taps->stride, sizeof *taps->weights);
    CLEANUP(free_ptr) double *space = calloc(taps->stride, sizeof *space);
    if (taps->lo == NULL || taps->count == NULL || taps->weights == NULL || space == NULL) {
        return false;
    }
    for (uint32_t o = 0; o < m; o++) {
        if (n == m) {
            taps->lo[o] = o;
            taps->count[o] = 1;
            taps->weights[o] = 1 << FRACTION_BITS;
        } else {
            fill_output(taps, o, n, scale, space);
        }
    }
    return true;
}

/* The picture as it stands after turning: pixel (x, y) at base + x·step_x + y·step_y. */
struct turned {
    const uint8_t *base;
    ptrdiff_t step_x, step_y;
    uint32_t width, height;
    unsigned channels;
    uint8_t background;
};

static struct turned turn(const struct picture *p, uint8_t background) {
    ptrdiff_t along = p->channels;
    ptrdiff_t down = (ptrdiff_t)p->width * p->channels;
    ptrdiff_t right = (ptrdiff_t)(p->width - 1) * along;
    ptrdiff_t bottom = (ptrdiff_t)(p->height - 1) * down;
    struct turned t = {.base = p->pixels,
                       .width = p->width,
                       .height = p->height,
                       .channels = p->channels,
                       .step_x = along,
                       .step_y = down,
                       .background = background};
    unsigned o = p->orientation;
    bool flip_x =
        o == 2 || o == 3 || o == 7 || o == 8; /* of the stored picture, before the axes are swapped */
    bool flip_y = o == 3 || o == 4 || o == 6 || o == 7;
    if (flip_x) {
        t.base += right;
        t.step_x = -along;
    }
    if (flip_y) {
        t.base += bottom;
        t.step_y = -down;
    }
    if (o >= 5) {
        ptrdiff_t step = t.step_x;
        t.step_x = t.step_y;
        t.step_y = step;
        t.width = p->height;
        t.height = p->width;
    }
    return t;
}

static uint8_t over(uint8_t colour, uint8_t alpha, uint8_t background) {
    unsigned t = (unsigned)colour * alpha + (unsigned)background * (255u - alpha) + 128;
    return (uint8_t)(((t >> 8) + t) >> 8);
}

/* Rows y … y + rows − 1 as RGB into `out`, one behind the other. */
static void gather(const struct turned *t, uint32_t y, uint32_t rows, uint8_t *out) {
    size_t pitch = (size_t)t->width * 3;
    for (uint32_t x = 0; x < t->width; x++) {
        const uint8_t *pixel = t->base + (ptrdiff_t)x * t->step_x + (ptrdiff_t)y * t->step_y;
        for (uint32_t r = 0; r < rows; r++, pixel += t->step_y) {
            uint8_t *to = out + r * pitch + (size_t)x * 3;
            if (t->channels == 3 || pixel[3] == 255) {
                to[0] = pixel[0];
                to[1] = pixel[1];
                to[2] = pixel[2];
            } else {
                to[0] = over(pixel[0], pixel[3], t->background);
                to[1] = over(pixel[1], pixel[3], t->background);
                to[2] = over(pixel[2], pixel[3], t->background);
            }
        }
    }
}

static uint8_t clip(int32_t sum) {
    int32_t v = sum >> FRACTION_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void across(const struct taps *taps, const uint8_t *row, uint32_t m, uint8_t *out) {
    for (uint32_t o = 0; o < m; o++) {
        const int32_t *k = taps->weights + o * taps->stride;
        const uint8_t *p = row + (size_t)taps->lo[o] * 3;
        int32_t r = 1 << (FRACTION_BITS - 1);
        int32_t g = r;
        int32_t b = r;
        for (uint32_t i = 0; i < taps->count[o]; i++, p += 3) {
            r += p[0] * k[i];
            g += p[1] * k[i];
            b += p[2] * k[i];
        }
        out[o * 3] = clip(r);
        out[o * 3 + 1] = clip(g);
        out[o * 3 + 2] = clip(b);
    }
}

struct down {
    const struct taps *taps;
    int32_t *sums; /* [out_height][out_width · 3] */
    size_t pitch;
    uint32_t out_height;
    uint32_t first; /* the first output row that is not finished: windows move forward only */
};

static void add_row(struct down *d, uint32_t y, const uint8_t *restrict row) {
    while (d->first < d->out_height && d->taps->lo[d->first] + d->taps->count[d->first] <= y) {
        d->first++;
    }
    for (uint32_t o = d->first; o < d->out_height && d->taps->lo[o] <= y; o++) {
        if (y - d->taps->lo[o] >= d->taps->count[o]) {
            continue;
        }
        int32_t k = d->taps->weights[o * d->taps->stride + (y - d->taps->lo[o])];
        int32_t *restrict sums = d->sums + o * d->pitch;
        for (size_t i = 0; i < d->pitch; i++) {
            sums[i] += row[i] * k;
        }
    }
}

int image_resize(const struct picture *picture, uint8_t background, uint32_t out_width, uint32_t out_height,
                 uint8_t *out, struct error *reterr) {
    struct turned t = turn(picture, background);
    size_t pitch = (size_t)out_width * 3;
    CLEANUP(taps_deinit) struct taps horizontal = {0};
    CLEANUP(taps_deinit) struct taps vertical = {0};
    CLEANUP(free_ptr) uint8_t *rows = malloc((size_t)t.width * 3 * BLOCK_ROWS);
    CLEANUP(free_ptr) uint8_t *row = malloc(pitch);
    CLEANUP(free_ptr) int32_t *sums = malloc(pitch * out_height * sizeof *sums);
    if (rows == NULL || row == NULL || sums == NULL || !taps_init(&horizontal, t.width, out_width) ||
        !taps_init(&vertical, t.height, out_height)) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    }
    for (size_t i = 0; i < pitch * out_height; i++) {
        sums[i] = 1 << (FRACTION_BITS - 1);
    }
    struct down d = {.taps = &vertical, .sums = sums, .pitch = pitch, .out_height = out_height};
    for (uint32_t y = 0; y < t.height; y += BLOCK_ROWS) {
        uint32_t count = t.height - y < BLOCK_ROWS ? t.height - y : BLOCK_ROWS;
        gather(&t, y, count, rows);
        for (uint32_t r = 0; r < count; r++) {
            across(&horizontal, rows + (size_t)r * t.width * 3, out_width, row);
            add_row(&d, y + r, row);
        }
    }
    for (size_t i = 0; i < pitch * out_height; i++) {
        out[i] = clip(sums[i]);
    }
    return 0;
}
