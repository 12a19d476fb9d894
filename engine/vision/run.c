/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of the steps. NaN is never lost on the way: comparisons are written so that it wins.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/blas.h"
#include "engine/vision/network.h"

static size_t plane_size(struct shape s) {
    return (size_t)s.height * s.width;
}

/* One row of columns: what the weight at (channel, ky, kx) meets at every output position. */
static void gather_row(const struct network_step *s, const float *plane, uint32_t ky, uint32_t kx,
                       float *row) {
    for (uint32_t y = 0; y < s->to.height; y++) {
        int64_t in_y = (int64_t)y * s->stride_y + ky - s->pad_top;
        float *out = row + (size_t)y * s->to.width;
        if (in_y < 0 || in_y >= s->from.height) {
            memset(out, 0, s->to.width * sizeof *out);
            continue;
        }
        const float *line = plane + (size_t)in_y * s->from.width;
        int64_t in_x = (int64_t)kx - s->pad_left;
        for (uint32_t x = 0; x < s->to.width; x++, in_x += s->stride_x) {
            out[x] = in_x >= 0 && in_x < s->from.width ? line[in_x] : 0.0f;
        }
    }
}

static void finish(const struct network_step *s, float *out, const float *bias) {
    size_t size = plane_size(s->to);
    for (uint32_t c = 0; c < s->to.channels; c++) {
        float *plane = out + c * size;
        float add = bias[c];
        for (size_t i = 0; i < size; i++) {
            float value = plane[i] + add;
            plane[i] = s->relu && value < 0.0f ? 0.0f : value;
        }
    }
}

static void convolve(const struct network_step *s, const float *in, float *columns, float *out) {
    size_t positions = plane_size(s->to);
    size_t depth = (size_t)s->from.channels * s->kernel_height * s->kernel_width;
    bool direct = s->kernel_height == 1 && s->kernel_width == 1 && s->stride_y == 1 && s->stride_x == 1;
    if (!direct) {
        float *row = columns;
        for (uint32_t c = 0; c < s->from.channels; c++) {
            for (uint32_t ky = 0; ky < s->kernel_height; ky++) {
                for (uint32_t kx = 0; kx < s->kernel_width; kx++, row += positions) {
                    gather_row(s, in + c * plane_size(s->from), ky, kx, row);
                }
            }
        }
    }
    kernel_sgemm(s->to.channels, (uint32_t)positions, (uint32_t)depth, s->weights, direct ? in : columns,
                 out);
    finish(s, out, s->bias);
}

static float max_window(const struct network_step *s, const float *plane, uint32_t y, uint32_t x) {
    float best = -INFINITY;
    for (uint32_t ky = 0; ky < s->kernel_height; ky++) {
        int64_t in_y = (int64_t)y * s->stride_y + ky - s->pad_top;
        if (in_y < 0 || in_y >= s->from.height) {
            continue;
        }
        for (uint32_t kx = 0; kx < s->kernel_width; kx++) {
            int64_t in_x = (int64_t)x * s->stride_x + kx - s->pad_left;
            if (in_x >= 0 && in_x < s->from.width) {
                float value = plane[(size_t)in_y * s->from.width + (size_t)in_x];
                best = value > best || isnan(value) ? value : best;
            }
        }
    }
    return best;
}

static void max_pool(const struct network_step *s, const float *in, float *out) {
    for (uint32_t c = 0; c < s->to.channels; c++) {
        const float *plane = in + c * plane_size(s->from);
        for (uint32_t y = 0; y < s->to.height; y++) {
            for (uint32_t x = 0; x < s->to.width; x++) {
                *out++ = max_window(s, plane, y, x);
            }
        }
    }
}

static void mean_pool(const struct network_step *s, const float *in, float *out) {
    size_t size = plane_size(s->from);
    for (uint32_t c = 0; c < s->from.channels; c++) {
        float sum = 0.0f;
        for (size_t i = 0; i < size; i++) {
            sum += in[c * size + i];
        }
        out[c] = sum / (float)size;
    }
}

static void add(const struct network_step *s, const float *a, const float *b, float *out) {
    size_t count = s->to.channels * plane_size(s->to);
    for (size_t i = 0; i < count; i++) {
        float value = a[i] + b[i];
        out[i] = s->relu && value < 0.0f ? 0.0f : value;
    }
}

static void relu(const struct network_step *s, const float *in, float *out) {
    size_t count = s->to.channels * plane_size(s->to);
    for (size_t i = 0; i < count; i++) {
        out[i] = in[i] < 0.0f ? 0.0f : in[i];
    }
}

static void dense(const struct network_step *s, const float *in, float *out) {
    for (uint32_t o = 0; o < s->to.channels; o++) {
        float sum = 0.0f;
        for (uint32_t c = 0; c < s->from.channels; c++) {
            sum += in[c] * s->weights[(size_t)c * s->to.channels + o];
        }
        out[o] = sum + s->bias[o];
    }
}

static void softmax(const struct network_step *s, const float *in, float *out) {
    float highest = in[0], sum = 0.0f;
    for (uint32_t i = 1; i < s->to.channels; i++) {
        highest = in[i] > highest ? in[i] : highest;
    }
    for (uint32_t i = 0; i < s->to.channels; i++) {
        out[i] = expf(in[i] - highest);
        sum += out[i];
    }
    for (uint32_t i = 0; i < s->to.channels; i++) {
        out[i] /= sum;
    }
}

void network_run(const struct network *network, float *scratch) {
    for (uint32_t i = 0; i < network->step_count; i++) {
        const struct network_step *s = &network->steps[i];
        const float *a = scratch + s->in[0];
        float *out = scratch + s->out;
        switch (s->operation) {
        case NETWORK_CONVOLUTION:
            convolve(s, a, scratch + network->columns_at, out);
            break;
        case NETWORK_ADD:
            add(s, a, scratch + s->in[1], out);
            break;
        case NETWORK_RELU:
            relu(s, a, out);
            break;
        case NETWORK_MAX_POOL:
            max_pool(s, a, out);
            break;
        case NETWORK_MEAN_POOL:
            mean_pool(s, a, out);
            break;
        case NETWORK_DENSE:
            dense(s, a, out);
            break;
        case NETWORK_SOFTMAX:
            softmax(s, a, out);
            break;
        case NETWORK_INVALID:
            break;
        }
    }
}
