/* SPDX-License-Identifier: Apache-2.0
 *
 * As much of ONNX as an image classifier needs: initialisers stored as raw data, and nodes with integer and
 * string attributes, in the order of the file. Everything else in a file is walked over, but walked over
 * checked. The graph points into the bytes it was read from and must not outlive them.
 *
 * After onnx_read every string lies inside the bytes, every initialiser has a known element type and exactly
 * the bytes that its shape needs, and names of initialisers are unique. Whether the nodes fit each other is
 * the caller's to say.
 */
#ifndef BUCKLER_ENGINE_VISION_ONNX_H
#define BUCKLER_ENGINE_VISION_ONNX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum {
    ONNX_MAX_NODES = 512,
    ONNX_MAX_INITIALIZERS = 512,
    ONNX_MAX_VALUES = 8, /* graph inputs, graph outputs */
    ONNX_MAX_INPUTS = 4,
    ONNX_MAX_ATTRIBUTES = 8,
    ONNX_MAX_INTS = 8,
    ONNX_MAX_DIMS = 4,
};

enum onnx_type { ONNX_TYPE_INVALID = 0, ONNX_FLOAT = 1, ONNX_INT64 = 7 };

struct onnx_text {
    const char *bytes; /* not NUL-terminated */
    size_t size;
};

struct onnx_tensor {
    struct onnx_text name;
    enum onnx_type type;
    uint32_t dim_count;
    uint64_t dims[ONNX_MAX_DIMS];
    uint64_t elements;
    const uint8_t *data; /* little-endian, unaligned */
    size_t offset;       /* of the tensor in the file, for messages */
};

struct onnx_attribute {
    struct onnx_text name;
    struct onnx_text text;
    int64_t integer;
    int64_t ints[ONNX_MAX_INTS];
    uint32_t int_count;
};

struct onnx_node {
    struct onnx_text operation;
    struct onnx_text inputs[ONNX_MAX_INPUTS];
    struct onnx_text output;
    struct onnx_attribute attributes[ONNX_MAX_ATTRIBUTES];
    uint32_t input_count, attribute_count;
    size_t offset;
};

/* A graph input or output. A dimension that is a name or missing is 0. */
struct onnx_value {
    struct onnx_text name;
    uint32_t type; /* ONNX number of the element type */
    uint32_t dim_count;
    uint64_t dims[ONNX_MAX_DIMS];
};

struct onnx_graph {
    struct onnx_tensor *initializers;
    struct onnx_node *nodes;
    struct onnx_value inputs[ONNX_MAX_VALUES], outputs[ONNX_MAX_VALUES];
    uint32_t initializer_count, node_count, input_count, output_count;
};

/* Memory comes from `arena`. ENGINE_E_FORMAT (with the byte offset), ENGINE_E_UNSUPPORTED, ENGINE_E_MEMORY.
 */
int onnx_read(const void *bytes, size_t size, struct arena *arena, struct onnx_graph *ret_graph,
              struct error *reterr) MUST_CHECK;

const struct onnx_tensor *onnx_initializer(const struct onnx_graph *graph,
                                           struct onnx_text name);                           /* NULL: none */
const struct onnx_attribute *onnx_attribute(const struct onnx_node *node, const char *name); /* NULL: none */
bool onnx_text_equal(struct onnx_text a, struct onnx_text b);
bool onnx_text_is(struct onnx_text text, const char *expected);

#endif
