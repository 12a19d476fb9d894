/* SPDX-License-Identifier: Apache-2.0
 *
 * Protocol buffers are fields (number, kind, value) in any order; a message is a length-delimited value whose
 * bytes are fields again. A `reader` is a bounded cursor over one message that knows where in the file it is.
 * After the first failure it yields no more fields, so that a message is read by one loop with one check
 * behind it.
 */
#include "engine/vision/onnx.h"

#include <string.h>

#include "base/cursor.h"
#include "engine/engine.h"

struct reader {
    struct cursor cursor;
    const uint8_t *file;
    const char *why; /* of the first failure, else NULL */
    size_t where;
    int code;
};

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
    uint32_t number;
    enum wire wire;
    uint64_t integer;     /* WIRE_VARINT */
    const uint8_t *bytes; /* WIRE_BYTES */
    size_t size;
    size_t offset;
};

static size_t reader_offset(const struct reader *r) {
    return (size_t)(r->cursor.bytes - r->file) + r->cursor.at;
}

static void reader_fail(struct reader *r, int code, const char *why) {
    if (r->why == NULL) {
        r->why = why;
        r->where = reader_offset(r);
        r->code = code;
    }
    r->cursor.failed = true;
}

static void reader_init(struct reader *r, const uint8_t *file, const uint8_t *bytes, size_t size) {
    *r = (struct reader){.file = file};
    cursor_init(&r->cursor, bytes, size);
}

/* A reader over the bytes of a field. */
static struct reader reader_inside(const struct reader *outer, const struct field *f) {
    struct reader r;
    reader_init(&r, outer->file, f->bytes, f->size);
    return r;
}

/* Failures inside a message are failures of the message. */
static void reader_join(struct reader *outer, const struct reader *inner) {
    if (inner->why != NULL && outer->why == NULL) {
        outer->why = inner->why;
        outer->where = inner->where;
        outer->code = inner->code;
        outer->cursor.failed = true;
    }
}

static uint64_t reader_varint(struct reader *r) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = cursor_u8(&r->cursor);
        if (r->cursor.failed) {
            reader_fail(r, ENGINE_E_FORMAT, "a number is cut off");
            return 0;
        }
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    reader_fail(r, ENGINE_E_FORMAT, "a number has more than 64 bits");
    return 0;
}

/* False at the end of the message and after a failure. */
static bool reader_next(struct reader *r, struct field *f) {
    if (cursor_left(&r->cursor) == 0) {
        return false;
    }
    *f = (struct field){.offset = reader_offset(r)};
    uint64_t key = reader_varint(r);
    if (key >> 3 == 0 || key >> 3 > 0x1fffffff) {
        reader_fail(r, ENGINE_E_FORMAT, "a field has no valid number");
        return false;
    }
    f->number = (uint32_t)(key >> 3);
    f->wire = (enum wire)(key & 7);
    switch (f->wire) {
    case WIRE_VARINT:
        f->integer = reader_varint(r);
        break;
    case WIRE_FIXED64:
        (void)cursor_u64(&r->cursor);
        break;
    case WIRE_FIXED32:
        (void)cursor_u32(&r->cursor);
        break;
    case WIRE_BYTES: {
        uint64_t size = reader_varint(r);
        if (size > cursor_left(&r->cursor)) {
            reader_fail(r, ENGINE_E_FORMAT, "a field is longer than what is left of its message");
            return false;
        }
        f->size = (size_t)size;
        f->bytes = cursor_take(&r->cursor, f->size);
        break;
    }
    default:
        reader_fail(r, ENGINE_E_FORMAT, "a field is of a kind that does not exist");
        return false;
    }
    if (r->cursor.failed) {
        reader_fail(r, ENGINE_E_FORMAT, "a field is cut off");
        return false;
    }
    return true;
}

static bool field_is(struct reader *r, const struct field *f, uint32_t number, enum wire wire) {
    if (f->number != number) {
        return false;
    }
    if (f->wire != wire) {
        reader_fail(r, ENGINE_E_FORMAT, "a field is of another kind than its number says");
        return false;
    }
    return true;
}

static struct onnx_text field_text(const struct field *f) {
    return (struct onnx_text){.bytes = (const char *)f->bytes, .size = f->size};
}

/* Repeated integers come one a field or packed into one. Adds to values[*count]. */
static void read_integers(struct reader *r, const struct field *f, int64_t *values, uint32_t limit,
                          uint32_t *count) {
    struct reader packed = reader_inside(r, f);
    bool single = f->wire == WIRE_VARINT;
    if (!single && f->wire != WIRE_BYTES) {
        reader_fail(r, ENGINE_E_FORMAT, "a list of numbers is of another kind");
        return;
    }
    while (single || cursor_left(&packed.cursor) > 0) {
        uint64_t value = single ? f->integer : reader_varint(&packed);
        if (*count == limit) {
            reader_fail(r, ENGINE_E_UNSUPPORTED, "a list of numbers is longer than any that is known");
            return;
        }
        values[(*count)++] = (int64_t)value;
        if (single) {
            return;
        }
    }
    reader_join(r, &packed);
}

/* TensorProto. The sum of sizes was not trusted anywhere before: elements are multiplied here, checked. */
static void read_tensor(struct reader *outer, const struct field *message, struct onnx_tensor *t) {
    struct reader r = reader_inside(outer, message);
    int64_t dims[ONNX_MAX_DIMS];
    uint32_t type = 0;
    struct field f;
    size_t bytes = 0;
    t->offset = message->offset;
    while (reader_next(&r, &f)) {
        if (f.number == 1) {
            read_integers(&r, &f, dims, ONNX_MAX_DIMS, &t->dim_count);
        } else if (field_is(&r, &f, 2, WIRE_VARINT)) {
            type = f.integer > UINT32_MAX ? 0 : (uint32_t)f.integer;
        } else if (field_is(&r, &f, 8, WIRE_BYTES)) {
            t->name = field_text(&f);
        } else if (field_is(&r, &f, 9, WIRE_BYTES)) {
            t->data = f.bytes;
            bytes = f.size;
        } else if (f.number == 13 || (f.number == 14 && f.integer != 0)) {
            reader_fail(&r, ENGINE_E_UNSUPPORTED, "a tensor is stored in another file");
        } else if (f.number >= 3 && f.number <= 7) {
            reader_fail(&r, ENGINE_E_UNSUPPORTED, "a tensor is stored otherwise than as raw data");
        }
    }
    if (r.why == NULL && type != ONNX_FLOAT && type != ONNX_INT64) {
        reader_fail(&r, ENGINE_E_UNSUPPORTED, "a tensor has an element type other than float and int64");
    }
    t->type = (enum onnx_type)type;
    t->elements = 1;
    for (uint32_t i = 0; i < t->dim_count && r.why == NULL; i++) {
        if (dims[i] < 1 || __builtin_mul_overflow(t->elements, (uint64_t)dims[i], &t->elements)) {
            reader_fail(&r, ENGINE_E_FORMAT, "a tensor has a dimension that is not possible");
        }
        t->dims[i] = (uint64_t)dims[i];
    }
    size_t width = type == ONNX_FLOAT ? sizeof(float) : sizeof(int64_t);
    if (r.why == NULL && (bytes % width != 0 || bytes / width != t->elements)) {
        reader_fail(&r, ENGINE_E_FORMAT, "a tensor has not the bytes that its shape needs");
    }
    reader_join(outer, &r);
}

static void read_attribute(struct reader *outer, const struct field *message, struct onnx_attribute *a) {
    struct reader r = reader_inside(outer, message);
    struct field f;
    while (reader_next(&r, &f)) {
        if (field_is(&r, &f, 1, WIRE_BYTES)) {
            a->name = field_text(&f);
        } else if (field_is(&r, &f, 3, WIRE_VARINT)) {
            a->integer = (int64_t)f.integer;
        } else if (field_is(&r, &f, 4, WIRE_BYTES)) {
            a->text = field_text(&f);
        } else if (f.number == 8) {
            read_integers(&r, &f, a->ints, ONNX_MAX_INTS, &a->int_count);
        }
    }
    reader_join(outer, &r);
}

static void read_node(struct reader *outer, const struct field *message, struct onnx_node *n) {
    struct reader r = reader_inside(outer, message);
    struct field f;
    uint32_t outputs = 0;
    n->offset = message->offset;
    while (reader_next(&r, &f)) {
        if (field_is(&r, &f, 1, WIRE_BYTES)) {
            if (n->input_count == ONNX_MAX_INPUTS) {
                reader_fail(&r, ENGINE_E_UNSUPPORTED, "a node has more inputs than any known operator");
                break;
            }
            n->inputs[n->input_count++] = field_text(&f);
        } else if (field_is(&r, &f, 2, WIRE_BYTES)) {
            n->output = field_text(&f);
            outputs++;
        } else if (field_is(&r, &f, 4, WIRE_BYTES)) {
            n->operation = field_text(&f);
        } else if (field_is(&r, &f, 5, WIRE_BYTES)) {
            if (n->attribute_count == ONNX_MAX_ATTRIBUTES) {
                reader_fail(&r, ENGINE_E_UNSUPPORTED, "a node has more attributes than any known operator");
                break;
            }
            read_attribute(&r, &f, &n->attributes[n->attribute_count++]);
        } else if (field_is(&r, &f, 7, WIRE_BYTES) && f.size > 0) {
            reader_fail(&r, ENGINE_E_UNSUPPORTED, "a node is of another operator domain");
        }
    }
    if (r.why == NULL && (outputs != 1 || n->output.size == 0)) {
        reader_fail(&r, ENGINE_E_UNSUPPORTED, "a node has not exactly one output");
    }
    reader_join(outer, &r);
}

/* TensorShapeProto: repeated dim { dim_value | dim_param }. */
static void read_shape(struct reader *outer, const struct field *message, struct onnx_value *v) {
    struct reader r = reader_inside(outer, message);
    struct field f;
    while (reader_next(&r, &f)) {
        if (!field_is(&r, &f, 1, WIRE_BYTES)) {
            continue;
        }
        if (v->dim_count == ONNX_MAX_DIMS) {
            reader_fail(&r, ENGINE_E_UNSUPPORTED, "an input or output has more than four dimensions");
            break;
        }
        struct reader dimension = reader_inside(&r, &f);
        struct field d;
        while (reader_next(&dimension, &d)) {
            if (field_is(&dimension, &d, 1, WIRE_VARINT)) {
                v->dims[v->dim_count] = d.integer;
            }
        }
        reader_join(&r, &dimension);
        v->dim_count++;
    }
    reader_join(outer, &r);
}

/* TypeProto { tensor_type = 1: { elem_type = 1, shape = 2 } } */
static void read_type(struct reader *outer, const struct field *message, struct onnx_value *v) {
    struct reader r = reader_inside(outer, message);
    struct field f;
    while (reader_next(&r, &f)) {
        if (!field_is(&r, &f, 1, WIRE_BYTES)) {
            continue;
        }
        struct reader tensor = reader_inside(&r, &f);
        struct field t;
        while (reader_next(&tensor, &t)) {
            if (field_is(&tensor, &t, 1, WIRE_VARINT)) {
                v->type = t.integer > UINT32_MAX ? 0 : (uint32_t)t.integer;
            } else if (field_is(&tensor, &t, 2, WIRE_BYTES)) {
                read_shape(&tensor, &t, v);
            }
        }
        reader_join(&r, &tensor);
    }
    reader_join(outer, &r);
}

static void read_value(struct reader *outer, const struct field *message, struct onnx_value *values,
                       uint32_t *count) {
    struct reader r = reader_inside(outer, message);
    struct field f;
    if (*count == ONNX_MAX_VALUES) {
        reader_fail(outer, ENGINE_E_UNSUPPORTED,
                    "the graph has more inputs or outputs than a classifier has");
        return;
    }
    struct onnx_value *v = &values[(*count)++];
    while (reader_next(&r, &f)) {
        if (field_is(&r, &f, 1, WIRE_BYTES)) {
            v->name = field_text(&f);
        } else if (field_is(&r, &f, 2, WIRE_BYTES)) {
            read_type(&r, &f, v);
        }
    }
    reader_join(outer, &r);
}

/* How many nodes and initialisers a graph has, so that both get exactly the room they need. */
static void count_graph(struct reader *outer, const struct field *message, struct onnx_graph *g) {
    struct reader r = reader_inside(outer, message);
    struct field f;
    while (reader_next(&r, &f)) {
        g->node_count += f.number == 1;
        g->initializer_count += f.number == 5;
        if (g->node_count > ONNX_MAX_NODES || g->initializer_count > ONNX_MAX_INITIALIZERS) {
            reader_fail(&r, ENGINE_E_UNSUPPORTED, "the graph has more nodes or weights than are allowed");
        }
    }
    reader_join(outer, &r);
}

static void read_graph(struct reader *outer, const struct field *message, struct onnx_graph *g) {
    struct reader r = reader_inside(outer, message);
    struct field f;
    uint32_t node = 0, initializer = 0;
    while (reader_next(&r, &f)) {
        if (field_is(&r, &f, 1, WIRE_BYTES)) {
            read_node(&r, &f, &g->nodes[node++]);
        } else if (field_is(&r, &f, 5, WIRE_BYTES)) {
            read_tensor(&r, &f, &g->initializers[initializer++]);
        } else if (field_is(&r, &f, 11, WIRE_BYTES)) {
            read_value(&r, &f, g->inputs, &g->input_count);
        } else if (field_is(&r, &f, 12, WIRE_BYTES)) {
            read_value(&r, &f, g->outputs, &g->output_count);
        } else if (f.number == 15) {
            reader_fail(&r, ENGINE_E_UNSUPPORTED, "the graph has sparse weights");
        }
    }
    reader_join(outer, &r);
}

static int check_names(const struct onnx_graph *g, struct error *reterr) {
    for (uint32_t i = 0; i < g->initializer_count; i++) {
        const struct onnx_tensor *t = &g->initializers[i];
        if (t->name.size == 0 || onnx_initializer(g, t->name) != t) {
            return error_set(reterr, ENGINE_E_FORMAT, "ONNX: at byte %zu: a tensor has no name of its own",
                             t->offset);
        }
    }
    return 0;
}

static int reader_error(const struct reader *r, struct error *reterr) {
    return error_set(reterr, r->code, "ONNX: at byte %zu: %s", r->where, r->why);
}

int onnx_read(const void *bytes, size_t size, struct arena *arena, struct onnx_graph *ret_graph,
              struct error *reterr) {
    struct reader r;
    struct field f, graph = {0};
    reader_init(&r, bytes, bytes, size);
    while (reader_next(&r, &f)) {
        if (field_is(&r, &f, 7, WIRE_BYTES)) {
            if (graph.bytes != NULL) {
                reader_fail(&r, ENGINE_E_FORMAT, "there is a second graph");
            }
            graph = f;
        }
    }
    if (r.why == NULL && graph.bytes == NULL) {
        reader_fail(&r, ENGINE_E_FORMAT, "there is no graph");
    }
    if (r.why != NULL) {
        return reader_error(&r, reterr);
    }
    struct onnx_graph g = {0};
    count_graph(&r, &graph, &g);
    if (r.why != NULL) {
        return reader_error(&r, reterr);
    }
    g.nodes = arena_new(arena, struct onnx_node, g.node_count);
    g.initializers = arena_new(arena, struct onnx_tensor, g.initializer_count);
    if ((g.node_count > 0 && g.nodes == NULL) || (g.initializer_count > 0 && g.initializers == NULL)) {
        return error_set(reterr, ENGINE_E_MEMORY, "ONNX: no memory for %u nodes and %u tensors", g.node_count,
                         g.initializer_count);
    }
    read_graph(&r, &graph, &g);
    if (r.why != NULL) {
        return reader_error(&r, reterr);
    }
    int code = check_names(&g, reterr);
    if (code == 0) {
        *ret_graph = g;
    }
    return code;
}

const struct onnx_tensor *onnx_initializer(const struct onnx_graph *graph, struct onnx_text name) {
    for (uint32_t i = 0; i < graph->initializer_count; i++) {
        if (onnx_text_equal(graph->initializers[i].name, name)) {
            return &graph->initializers[i];
        }
    }
    return NULL;
}

const struct onnx_attribute *onnx_attribute(const struct onnx_node *node, const char *name) {
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        if (onnx_text_is(node->attributes[i].name, name)) {
            return &node->attributes[i];
        }
    }
    return NULL;
}

bool onnx_text_equal(struct onnx_text a, struct onnx_text b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

bool onnx_text_is(struct onnx_text text, const char *expected) {
    return text.size == strlen(expected) && (text.size == 0 || memcmp(text.bytes, expected, text.size) == 0);
}
