/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_writer.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { CHANNELS = 4, KERNEL = 8, STRIDE = 56 };

static void put_number(struct buf *b, uint64_t value) {
    while (value >= 0x80) {
        buf_u8(b, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    buf_u8(b, (uint8_t)value);
}

static void put_integer(struct buf *b, uint32_t field, int64_t value) {
    put_number(b, (uint64_t)field << 3);
    put_number(b, (uint64_t)value);
}

static void put_bytes(struct buf *b, uint32_t field, const void *bytes, size_t size) {
    put_number(b, (uint64_t)field << 3 | 2);
    put_number(b, size);
    buf_append(b, bytes, size);
}

static void put_text(struct buf *b, uint32_t field, const char *text) {
    put_bytes(b, field, text, strlen(text));
}

/* Ends the message `inner` as a field of `outer`. */
static void put_message(struct buf *outer, uint32_t field, struct buf *inner) {
    put_bytes(outer, field, inner->bytes, inner->size);
    buf_deinit(inner);
    *inner = (struct buf){0};
}

static void put_ints(struct buf *node, const char *name, const int64_t *values, size_t count) {
    struct buf a = {0};
    put_text(&a, 1, name);
    for (size_t i = 0; i < count; i++) {
        put_integer(&a, 8, values[i]);
    }
    put_integer(&a, 20, 7);
    put_message(node, 5, &a);
}

static void put_int(struct buf *node, const char *name, int64_t value) {
    struct buf a = {0};
    put_text(&a, 1, name);
    put_integer(&a, 3, value);
    put_integer(&a, 20, 2);
    put_message(node, 5, &a);
}

/* inputs: up to three names, NULL for none */
static void begin_node(struct buf *node, const char *operation, const char *a, const char *b, const char *c,
                       const char *output) {
    put_text(node, 1, a);
    if (b != NULL) {
        put_text(node, 1, b);
    }
    if (c != NULL) {
        put_text(node, 1, c);
    }
    put_text(node, 2, output);
    put_text(node, 4, operation);
}

static void plain_node(struct buf *graph, const char *operation, const char *a, const char *b,
                       const char *output) {
    struct buf node = {0};
    begin_node(&node, operation, a, b, NULL, output);
    put_message(graph, 1, &node);
}

static void window(struct buf *node, int64_t kernel, int64_t stride, int64_t before, int64_t after) {
    const int64_t kernels[] = {kernel, kernel}, strides[] = {stride, stride},
                  pads[] = {before, before, after, after};
    put_ints(node, "kernel_shape", kernels, 2);
    put_ints(node, "strides", strides, 2);
    put_ints(node, "pads", pads, 4);
}

/* Weights by formula: small, of both signs. */
static void tensor(struct buf *graph, const char *name, const int64_t *dims, size_t dim_count,
                   enum damage damage, bool target) {
    struct buf t = {0}, raw = {0};
    int64_t count = 1;
    for (size_t i = 0; i < dim_count; i++) {
        int64_t written = dims[i];
        count *= dims[i];
        if (target && i == 0) {
            written = damage == TENSOR_DIMENSION_ZERO        ? 0
                      : damage == TENSOR_DIMENSION_NEGATIVE  ? -4
                      : damage == TENSOR_DIMENSIONS_OVERFLOW ? INT64_MAX
                                                             : written;
        }
        put_integer(&t, 1, written);
    }
    if (target && damage == TOO_MANY_DIMS) {
        put_integer(&t, 1, 1);
    }
    for (int64_t i = 0; i < count; i++) {
        float value = (float)((i * 37) % 19 - 9) / 64.0F;
        value = damage == HUGE_WEIGHTS ? 3e38F : value;
        value = target && damage == WEIGHT_IS_NAN && i == 5 ? NAN : value;
        buf_append(&raw, &value, sizeof value);
    }
    size_t size = raw.size;
    size -= target && damage == TENSOR_TOO_SHORT ? 4 : 0;
    if (target && damage == TENSOR_TOO_LONG) {
        buf_u32(&raw, 0);
        size = raw.size;
    }
    put_integer(&t, 2, target && damage == HALF_PRECISION ? 10 : 1);
    if (!(target && damage == TENSOR_WITHOUT_NAME)) {
        put_text(&t, 8, name);
    }
    put_bytes(&t, 9, raw.bytes, size);
    if (target && damage == EXTERNAL_DATA) {
        put_integer(&t, 14, 1);
    }
    buf_deinit(&raw);
    put_message(graph, 5, &t);
}

static void tensors(struct buf *graph, enum damage damage) {
    const int64_t channels = damage == WRONG_CHANNELS ? 2 : 3, classes = damage == THREE_CLASSES ? 3 : 2;
    const int64_t first[] = {CHANNELS, channels, KERNEL, damage == WRONG_KERNEL ? KERNEL - 1 : KERNEL};
    const int64_t second[] = {damage == UNEQUAL_ADDENDS ? CHANNELS + 1 : CHANNELS, CHANNELS, 1, 1};
    const int64_t bias[] = {damage == WRONG_BIAS ? CHANNELS + 1 : CHANNELS};
    const int64_t dense[] = {damage == WRONG_DENSE ? CHANNELS + 1 : CHANNELS, classes};
    tensor(graph, "w1", first, 4, damage, true);
    tensor(graph, "b1", bias, 1, damage, false);
    tensor(graph, "w2", second, 4, damage, false);
    tensor(graph, "b2", second, 1, damage, false);
    tensor(graph, "w3", dense, 2, damage, false);
    tensor(graph, "b3", &classes, 1, damage, false);
    if (damage == TENSOR_TWICE) {
        tensor(graph, "b3", &classes, 1, damage, false);
    }
    const int64_t row[] = {damage == RESHAPE_WITHOUT_BATCH ? 1 : -1, CHANNELS};
    const int64_t two = 2;
    struct buf t = {0};
    put_integer(&t, 1, two);
    put_integer(&t, 2, 7);
    put_text(&t, 8, "row");
    put_bytes(&t, 9, row, sizeof row);
    put_message(graph, 5, &t);
}

static void first_convolution(struct buf *graph, enum damage damage) {
    const int64_t twos[] = {2, 2};
    struct buf node = {0};
    begin_node(&node, damage == UNKNOWN_OPERATOR ? "Gemm" : "Conv",
               damage == READS_FROM_NOWHERE ? "nowhere"
               : damage == READS_FROM_LATER ? "c2"
                                            : "planes",
               "w1", "b1", "c1");
    window(&node, KERNEL, damage == STRIDE_ZERO ? 0 : STRIDE, damage == PAD_LARGER_THAN_KERNEL ? KERNEL : 0,
           0);
    if (damage == DILATED) {
        put_ints(&node, "dilations", twos, 2);
    }
    if (damage == GROUPED) {
        put_int(&node, "group", 3);
    }
    if (damage == UNKNOWN_ATTRIBUTE) {
        put_int(&node, "alpha", 1);
    }
    if (damage == OTHER_DOMAIN) {
        put_text(&node, 7, "com.example");
    }
    put_message(graph, 1, &node);
}

static void nodes(struct buf *graph, enum damage damage) {
    const int64_t perm[] = {0, 3, 1, 2};
    struct buf node = {0};
    begin_node(&node, "Transpose", "picture", NULL, NULL, "planes");
    put_ints(&node, "perm", perm, 4);
    put_message(graph, 1, &node);
    first_convolution(graph, damage);
    plain_node(graph, "Relu", "c1", NULL, "r1");
    begin_node(&node, "Conv", "r1", "w2", "b2", damage == COMPUTES_TWICE ? "r1" : "c2");
    window(&node, 1, 1, 0, 0);
    put_message(graph, 1, &node);
    plain_node(graph, "Add", "c2", "r1", "a1");
    plain_node(graph, "Relu", "a1", NULL, "r2");
    begin_node(&node, "MaxPool", "r2", NULL, NULL, "p1");
    window(&node, 3, 2, 0, 1);
    put_message(graph, 1, &node);
    begin_node(&node, "AveragePool", "p1", NULL, NULL, "p2");
    window(&node, damage == POOL_OF_PART ? 1 : 2, 1, 0, 0);
    put_message(graph, 1, &node);
    plain_node(graph, "Reshape", "p2", "row", "flat");
    plain_node(graph, "MatMul", "flat", "w3", "m1");
    plain_node(graph, "Add", "m1", "b3", "logits");
    plain_node(graph, "Softmax", damage == NO_SOFTMAX_INPUT_ROW ? "p2" : "logits", NULL, "scores");
    for (int i = 0; damage == TOO_MANY_NODES && i < 512; i++) {
        plain_node(graph, "Relu", "scores", NULL, "more");
    }
}

static void picture(struct buf *graph, uint32_t field, const char *name, int64_t side, bool is_picture) {
    const int64_t dims[] = {side, side, 3};
    struct buf value = {0}, type = {0}, tensor_type = {0}, shape = {0}, dim = {0};
    put_text(&dim, 2, "batch");
    put_message(&shape, 1, &dim);
    for (int i = 0; i < (is_picture ? 3 : 1); i++) {
        put_integer(&dim, 1, dims[i]);
        put_message(&shape, 1, &dim);
    }
    put_integer(&tensor_type, 1, 1);
    put_message(&tensor_type, 2, &shape);
    put_message(&type, 1, &tensor_type);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(graph, field, &value);
}

void write_onnx(struct buf *out, enum damage damage) {
    struct buf graph = {0};
    put_text(&graph, 2, "small");
    tensors(&graph, damage);
    nodes(&graph, damage);
    picture(&graph, 11, "picture", damage == OTHER_PICTURE_SIZE ? 225 : 224, true);
    if (damage == TWO_INPUTS) {
        picture(&graph, 11, "other", 224, true);
    }
    if (damage != NO_OUTPUT) {
        picture(&graph, 12, "scores", 2, false);
    }
    put_integer(out, 1, 4);
    if (damage == FIELD_NUMBER_ZERO) {
        put_integer(out, 0, 1);
    }
    if (damage == UNKNOWN_WIRE_TYPE) {
        put_number(out, 9 << 3 | 3);
    }
    if (damage == ENDLESS_NUMBER) {
        buf_append(out, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12);
    }
    if (damage == TWO_GRAPHS) {
        put_bytes(out, 7, graph.bytes, graph.size);
    }
    if (damage == LENGTH_BEYOND_END) {
        put_number(out, 7 << 3 | 2);
        put_number(out, graph.size + 1);
        buf_append(out, graph.bytes, graph.size);
    } else if (damage != NO_GRAPH) {
        put_bytes(out, 7, graph.bytes, graph.size);
    }
    buf_deinit(&graph);
}
