/* SPDX-License-Identifier: Apache-2.0
 *
 * A convolutional network as a list of steps over planned buffers. Built once from a checked ONNX graph,
 * constant afterwards. Planes are laid out channel by channel (C, H, W), so that a convolution is one product
 * of the weights as they are stored with the columns of the picture, and a 1×1 convolution needs no columns
 * at all.
 */
#ifndef BUCKLER_ENGINE_VISION_NETWORK_H
#define BUCKLER_ENGINE_VISION_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/vision/onnx.h"

enum network_operation {
    NETWORK_INVALID,
    NETWORK_CONVOLUTION,
    NETWORK_ADD,
    NETWORK_RELU,
    NETWORK_MAX_POOL,
    NETWORK_MEAN_POOL, /* over the whole plane */
    NETWORK_DENSE,
    NETWORK_SOFTMAX,
};

struct shape {
    uint32_t channels, height, width;
};

struct network_step {
    enum network_operation operation;
    bool relu; /* behind a convolution or an addition */
    uint32_t buffers[2], buffer_out;
    size_t in[2], out; /* the same as offsets into scratch, in floats */
    struct shape from, to;
    uint32_t kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left, pad_bottom, pad_right;
    const float *weights, *bias;
};

struct network {
    struct network_step *steps;
    uint32_t step_count;
    struct shape input;
    size_t input_at, output_at; /* offsets into scratch, in floats */
    size_t columns_at;
    size_t scratch_floats;
    uint32_t outputs;
    uint64_t parameters, multiplies;
};

/* Weights and steps are allocated in `arena`; the bytes of the graph are not needed afterwards. The input is
 * one picture [?, H, W, C] that a transposition turns into planes. Codes as of open_nsfw_open. */
int network_build(const struct onnx_graph *graph, struct arena *arena, struct network *ret_network,
                  struct error *reterr) MUST_CHECK;

/* Planes are expected at scratch + input_at; leaves `outputs` values at scratch + output_at. */
void network_run(const struct network *network, float *scratch);

#endif
