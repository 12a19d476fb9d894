/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/vision/open_nsfw.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/vision/network.h"
#include "engine/vision/onnx.h"

enum {
    MAX_FILE_BYTES = 256 << 20,
    MAX_GRAPH_BYTES = 8 << 20, /* nodes and tensors, without the weights that they point to */
};

/* What the network was trained with: blue, green, red, minus these means. */
static const float channel_means[3] = {104.0f, 117.0f, 123.0f};

struct open_nsfw {
    struct arena arena; /* steps and weights */
    struct network network;
    struct open_nsfw_info info;
};

struct open_nsfw *open_nsfw_free(struct open_nsfw *model) {
    if (model != NULL) {
        arena_deinit(&model->arena);
        free(model);
    }
    return NULL;
}

static void free_model(struct open_nsfw **model) {
    *model = open_nsfw_free(*model);
}

const struct open_nsfw_info *open_nsfw_info(const struct open_nsfw *model) {
    return &model->info;
}

static int check_kind(const struct network *n, struct error *reterr) {
    if (n->input.channels != 3 || n->input.height != OPEN_NSFW_SIDE || n->input.width != OPEN_NSFW_SIDE ||
        n->outputs != OPEN_NSFW_SCORES) {
        return error_set(
            reterr, ENGINE_E_UNSUPPORTED,
            "ONNX: a network from %u×%u×%u pixels to %u scores, where OpenNSFW has 224×224×3 and 2",
            n->input.height, n->input.width, n->input.channels, n->outputs);
    }
    return 0;
}

int open_nsfw_open_memory(const void *bytes, size_t size, struct open_nsfw **ret_model,
                          struct error *reterr) {
    CLEANUP(free_model) struct open_nsfw *model = calloc(1, sizeof *model);
    CLEANUP(arena_deinit) struct arena graph_arena = {0};
    struct onnx_graph graph = {0};
    if (model == NULL) {
        return error_errno(reterr, ENOMEM, "OpenNSFW: no memory");
    }
    if (size > MAX_FILE_BYTES) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED, "OpenNSFW: a file of more than %d MiB",
                         MAX_FILE_BYTES >> 20);
    }
    arena_init(&graph_arena, MAX_GRAPH_BYTES);
    /* Weights are copied out of the file, so they are never more than the file; the rest is small. */
    arena_init(&model->arena, size + MAX_GRAPH_BYTES);
    int code = onnx_read(bytes, size, &graph_arena, &graph, reterr);
    code = code != 0 ? code : network_build(&graph, &model->arena, &model->network, reterr);
    code = code != 0 ? code : check_kind(&model->network, reterr);
    if (code != 0) {
        return code;
    }
    model->info = (struct open_nsfw_info){
        .parameters = model->network.parameters,
        .resident_bytes = model->arena.used_bytes,
        .scratch_bytes = model->network.scratch_floats * sizeof(float),
        .multiplies = model->network.multiplies,
    };
    *ret_model = steal(model);
    return 0;
}

int open_nsfw_open(const char *path, struct open_nsfw **ret_model, struct error *reterr) {
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        return error_errno(reterr, errno, "cannot open %s", path);
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s: not a file with something in it", path);
    }
    size_t size = (size_t)status.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return error_errno(reterr, errno, "cannot map %s", path);
    }
    int code = open_nsfw_open_memory(bytes, size, ret_model, reterr);
    (void)munmap(bytes, size);
    if (code != 0) {
        (void)error_prefix(reterr, "%s: ", path);
    }
    return code;
}

/* RGB pixels to planes of blue, green and red around zero. */
static void fill_planes(const uint8_t *pixels, float *planes) {
    size_t size = (size_t)OPEN_NSFW_SIDE * OPEN_NSFW_SIDE;
    for (size_t i = 0; i < size; i++) {
        for (size_t c = 0; c < 3; c++) {
            planes[c * size + i] = (float)pixels[i * 3 + 2 - c] - channel_means[c];
        }
    }
}

int open_nsfw_run(const struct open_nsfw *model, const uint8_t *pixels, uint32_t count, void *scratch,
                  float *ret_scores, struct error *reterr) {
    float *floats = scratch;
    for (uint32_t i = 0; i < count; i++) {
        fill_planes(pixels + (size_t)i * OPEN_NSFW_PIXEL_BYTES, floats + model->network.input_at);
        network_run(&model->network, floats);
        for (uint32_t k = 0; k < OPEN_NSFW_SCORES; k++) {
            float score = floats[model->network.output_at + k];
            if (!isfinite(score)) {
                return error_set(reterr, ENGINE_E_NOT_FINITE,
                                 "OpenNSFW: the score of picture %u is not a number", i);
            }
            ret_scores[(size_t)i * OPEN_NSFW_SCORES + k] = score;
        }
    }
    return 0;
}
