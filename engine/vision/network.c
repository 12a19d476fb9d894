/* SPDX-License-Identifier: Apache-2.0
 *
 * From ONNX nodes to steps. First every node is checked against the shapes of its inputs and becomes a step
 * over numbered buffers (or none: a reshape and a fused ReLU only give a buffer another name); then buffers
 * that are not alive at the same time share slots of scratch.
 */
#include "engine/vision/network.h"

#include <math.h>
#include <string.h>

#include "engine/engine.h"

enum {
    MAX_CHANNELS = 4096,
    MAX_SIDE = 1024,
    MAX_SCRATCH_FLOATS = 16 << 20, /* 64 MiB */
    SLOT_ALIGN = 16,               /* floats: a cache line */
};

/* Something that a node may read: a name for a buffer. */
struct value {
    struct onnx_text name;
    struct shape shape;
    uint32_t buffer;
    bool flat; /* [N, C] instead of [N, C, H, W] */
};

struct buffer {
    size_t floats;
    uint32_t last_use; /* the step that reads it last */
    uint32_t slot;
};

struct builder {
    const struct onnx_graph *graph;
    const struct onnx_node *node; /* the one at hand */
    struct arena *arena;
    struct network *network;
    struct value values[ONNX_MAX_NODES + 1];
    struct buffer buffers[ONNX_MAX_NODES + 1];
    uint32_t value_count, buffer_count;
    struct error *reterr;
};

static int fail(const struct builder *b, int code, const char *why) {
    return error_set(b->reterr, code, "ONNX: at byte %zu: %s", b->node->offset, why);
}

static size_t shape_floats(struct shape s) {
    return (size_t)s.channels * s.height * s.width;
}

static bool same_shape(struct shape a, struct shape b) {
    return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

static struct value *find_value(struct builder *b, struct onnx_text name) {
    for (uint32_t i = b->value_count; i-- > 0;) {
        if (onnx_text_equal(b->values[i].name, name)) {
            return &b->values[i];
        }
    }
    return NULL;
}

/* How often a value is read, the graph's own output included. */
static uint32_t count_uses(const struct builder *b, struct onnx_text name) {
    uint32_t uses = 0;
    for (uint32_t n = 0; n < b->graph->node_count; n++) {
        for (uint32_t i = 0; i < b->graph->nodes[n].input_count; i++) {
            uses += onnx_text_equal(b->graph->nodes[n].inputs[i], name);
        }
    }
    for (uint32_t i = 0; i < b->graph->output_count; i++) {
        uses += onnx_text_equal(b->graph->outputs[i].name, name);
    }
    return uses;
}

/* ---- what nodes are made of ---- */

/* The i-th input as a value that was computed before. */
static int get_value(struct builder *b, uint32_t i, struct value **ret) {
    struct value *v = i < b->node->input_count ? find_value(b, b->node->inputs[i]) : NULL;
    if (v == NULL) {
        return fail(b, ENGINE_E_FORMAT, "a node reads something that no node before it computes");
    }
    *ret = v;
    return 0;
}

/* Names the result of the node at hand. */
static int add_value(struct builder *b, struct shape shape, bool flat, uint32_t buffer) {
    struct onnx_text name = b->node->output;
    if (find_value(b, name) != NULL || onnx_initializer(b->graph, name) != NULL) {
        return fail(b, ENGINE_E_FORMAT, "a node computes something that exists already");
    }
    b->values[b->value_count++] =
        (struct value){.name = name, .shape = shape, .buffer = buffer, .flat = flat};
    return 0;
}

/* A step that reads `from` (and `second`, unless NULL) and fills a new buffer. */
static int add_step(struct builder *b, struct network_step step, const struct value *from,
                    const struct value *second, bool flat) {
    struct network *n = b->network;
    step.from = from->shape;
    step.buffers[0] = from->buffer;
    step.buffers[1] = second != NULL ? second->buffer : from->buffer;
    step.buffer_out = b->buffer_count;
    b->buffers[step.buffers[0]].last_use = b->buffers[step.buffers[1]].last_use = n->step_count;
    b->buffers[b->buffer_count++] =
        (struct buffer){.floats = shape_floats(step.to), .last_use = n->step_count};
    n->steps[n->step_count++] = step;
    return add_value(b, step.to, flat, step.buffer_out);
}

/* Finite floats of an initialiser, copied and aligned. */
static int get_weights(struct builder *b, uint32_t i, uint32_t dim_count,
                       const struct onnx_tensor **ret_tensor, const float **ret) {
    const struct onnx_tensor *t =
        i < b->node->input_count ? onnx_initializer(b->graph, b->node->inputs[i]) : NULL;
    if (t == NULL || t->type != ONNX_FLOAT || t->dim_count != dim_count) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a node has no constant float weights of the usual shape");
    }
    float *values = t->elements <= SIZE_MAX / sizeof *values ? arena_new(b->arena, float, t->elements) : NULL;
    if (values == NULL) {
        return fail(b, ENGINE_E_MEMORY, "no memory for the weights of a node");
    }
    memcpy(values, t->data, t->elements * sizeof *values);
    for (uint64_t k = 0; k < t->elements; k++) {
        if (!isfinite(values[k])) {
            return fail(b, ENGINE_E_FORMAT, "a weight is not a finite number");
        }
    }
    b->network->parameters += t->elements;
    *ret_tensor = t;
    *ret = values;
    return 0;
}

/* Integers of an attribute between `low` and `high`; `fallback` for each when it is absent. */
static int get_ints(const struct builder *b, const char *name, uint32_t count, int64_t fallback, int64_t low,
                    int64_t high, uint32_t *ret) {
    const struct onnx_attribute *a = onnx_attribute(b->node, name);
    if (a != NULL && a->int_count != count) {
        return fail(b, ENGINE_E_UNSUPPORTED, "an attribute has another number of values than for pictures");
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t value = a != NULL ? a->ints[i] : fallback;
        if (value < low || value > high) {
            return fail(b, ENGINE_E_UNSUPPORTED, "an attribute is out of the range that is supported");
        }
        ret[i] = (uint32_t)value;
    }
    return 0;
}

/* Attributes that would change the result and are only known with their plain value. */
static int check_plain(const struct builder *b, const char *const *known) {
    for (uint32_t i = 0; i < b->node->attribute_count; i++) {
        const struct onnx_attribute *a = &b->node->attributes[i];
        bool found = false;
        for (const char *const *k = known; *k != NULL; k++) {
            found = found || onnx_text_is(a->name, *k);
        }
        bool plain = (onnx_text_is(a->name, "auto_pad") && onnx_text_is(a->text, "NOTSET")) ||
                     (onnx_text_is(a->name, "group") && a->integer == 1) ||
                     (onnx_text_is(a->name, "ceil_mode") && a->integer == 0) ||
                     (onnx_text_is(a->name, "storage_order") && a->integer == 0) ||
                     (onnx_text_is(a->name, "count_include_pad") && a->integer == 0);
        if (!found && !plain) {
            return fail(b, ENGINE_E_UNSUPPORTED, "a node has an attribute that is not known");
        }
    }
    return 0;
}

/* Output positions along one side. */
static int slide(const struct builder *b, uint32_t size, uint32_t kernel, uint32_t stride, uint32_t before,
                 uint32_t after, uint32_t *ret) {
    uint32_t padded = size + before + after;
    if (before >= kernel || after >= kernel || kernel > padded || (padded - kernel) / stride + 1 > MAX_SIDE) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a window does not fit its picture");
    }
    *ret = (padded - kernel) / stride + 1;
    return 0;
}

/* kernel_shape, strides and pads of a convolution or pool over `from`, and the plane that comes out. */
static int get_window(const struct builder *b, struct shape from, struct network_step *s) {
    static const char *const known[] = {"kernel_shape", "strides", "pads", "dilations", NULL};
    uint32_t kernel[2], strides[2], pads[4], dilations[2];
    int code = check_plain(b, known);
    code = code != 0 ? code : get_ints(b, "kernel_shape", 2, 0, 1, 64, kernel);
    code = code != 0 ? code : get_ints(b, "strides", 2, 1, 1, 64, strides);
    code = code != 0 ? code : get_ints(b, "pads", 4, 0, 0, 63, pads);
    code = code != 0 ? code : get_ints(b, "dilations", 2, 1, 1, 1, dilations);
    if (code != 0) {
        return code;
    }
    s->kernel_height = kernel[0];
    s->kernel_width = kernel[1];
    s->stride_y = strides[0];
    s->stride_x = strides[1];
    s->pad_top = pads[0];
    s->pad_left = pads[1];
    s->pad_bottom = pads[2];
    s->pad_right = pads[3];
    code = slide(b, from.height, kernel[0], strides[0], pads[0], pads[2], &s->to.height);
    return code != 0 ? code : slide(b, from.width, kernel[1], strides[1], pads[1], pads[3], &s->to.width);
}

/* ---- operators ---- */

static int build_convolution(struct builder *b) {
    struct network_step s = {.operation = NETWORK_CONVOLUTION};
    const struct onnx_tensor *w = NULL, *bias = NULL;
    struct value *in = NULL;
    int code = get_value(b, 0, &in);
    code = code != 0 ? code : get_window(b, in->shape, &s);
    code = code != 0 ? code : get_weights(b, 1, 4, &w, &s.weights);
    code = code != 0 ? code : get_weights(b, 2, 1, &bias, &s.bias);
    if (code != 0) {
        return code;
    }
    if (in->flat || b->node->input_count != 3 || w->dims[0] > MAX_CHANNELS ||
        w->dims[1] != in->shape.channels || w->dims[2] != s.kernel_height || w->dims[3] != s.kernel_width ||
        bias->dims[0] != w->dims[0]) {
        return fail(b, ENGINE_E_FORMAT, "the weights of a convolution do not fit its input");
    }
    s.to.channels = (uint32_t)w->dims[0];
    size_t positions = (size_t)s.to.height * s.to.width;
    uint64_t depth = (uint64_t)w->dims[1] * s.kernel_height * s.kernel_width;
    uint64_t columns = 0;
    bool direct = s.kernel_height == 1 && s.kernel_width == 1 && s.stride_y == 1 && s.stride_x == 1;
    if (__builtin_mul_overflow(depth, (uint64_t)positions, &columns) || columns > MAX_SCRATCH_FLOATS ||
        shape_floats(s.to) > MAX_SCRATCH_FLOATS) {
        return fail(b, ENGINE_E_MEMORY, "a convolution needs more scratch than is allowed");
    }
    if (direct && (s.pad_top | s.pad_left | s.pad_bottom | s.pad_right) != 0) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a window of one is padded");
    }
    if (!direct && columns > b->network->scratch_floats) {
        b->network->scratch_floats = (size_t)columns; /* for now the size of the columns alone */
    }
    b->network->multiplies += columns * s.to.channels;
    return add_step(b, s, in, NULL, false);
}

/* Alone, or part of the step before when that step's result is read by nobody else. */
static int build_relu(struct builder *b) {
    struct value *in = NULL;
    int code = get_value(b, 0, &in);
    if (code != 0) {
        return code;
    }
    struct network *n = b->network;
    struct network_step *last = n->step_count > 0 ? &n->steps[n->step_count - 1] : NULL;
    if (last != NULL && last->buffer_out == in->buffer && count_uses(b, in->name) == 1 && !last->relu &&
        (last->operation == NETWORK_CONVOLUTION || last->operation == NETWORK_ADD)) {
        last->relu = true;
        return add_value(b, in->shape, in->flat, in->buffer);
    }
    return add_step(b, (struct network_step){.operation = NETWORK_RELU, .to = in->shape}, in, NULL, in->flat);
}

/* A constant addend is the bias of the dense layer before it. */
static int build_bias(struct builder *b, struct value *in) {
    struct network *n = b->network;
    struct network_step *last = n->step_count > 0 ? &n->steps[n->step_count - 1] : NULL;
    const struct onnx_tensor *bias = NULL;
    if (last == NULL || last->operation != NETWORK_DENSE || last->buffer_out != in->buffer ||
        last->bias != NULL || count_uses(b, in->name) != 1) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a constant is added elsewhere than behind a product");
    }
    int code = get_weights(b, 1, 1, &bias, &last->bias);
    if (code == 0 && bias->dims[0] != last->to.channels) {
        code = fail(b, ENGINE_E_FORMAT, "a bias does not fit its product");
    }
    return code != 0 ? code : add_value(b, in->shape, true, in->buffer);
}

static int build_add(struct builder *b) {
    struct value *left = NULL, *right = NULL;
    int code = get_value(b, 0, &left);
    if (code == 0 && b->node->input_count == 2 && onnx_initializer(b->graph, b->node->inputs[1]) != NULL) {
        return build_bias(b, left);
    }
    code = code != 0 ? code : get_value(b, 1, &right);
    if (code != 0) {
        return code;
    }
    if (!same_shape(left->shape, right->shape) || left->flat != right->flat || b->node->input_count != 2) {
        return fail(b, ENGINE_E_FORMAT, "two things of different shapes are added");
    }
    struct network_step s = {.operation = NETWORK_ADD, .to = left->shape};
    return add_step(b, s, left, right, left->flat);
}

static int build_pool(struct builder *b, enum network_operation operation) {
    struct network_step s = {.operation = operation};
    struct value *in = NULL;
    int code = get_value(b, 0, &in);
    code = code != 0 ? code : get_window(b, in->shape, &s);
    if (code != 0) {
        return code;
    }
    bool whole = s.kernel_height == in->shape.height && s.kernel_width == in->shape.width &&
                 s.to.height == 1 && s.to.width == 1 &&
                 (s.pad_top | s.pad_left | s.pad_bottom | s.pad_right) == 0;
    if (in->flat || (operation == NETWORK_MEAN_POOL && !whole)) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a mean is taken of less than the whole plane");
    }
    s.to.channels = in->shape.channels;
    return add_step(b, s, in, NULL, false);
}

/* Only what leaves the values in their order: [N, C, 1, 1] to [N, C] and the like. */
static int build_reshape(struct builder *b) {
    struct value *in = NULL;
    int code = get_value(b, 0, &in);
    if (code != 0) {
        return code;
    }
    const struct onnx_tensor *t =
        b->node->input_count == 2 ? onnx_initializer(b->graph, b->node->inputs[1]) : NULL;
    if (t == NULL || t->type != ONNX_INT64 || t->dim_count != 1 || t->elements > ONNX_MAX_DIMS) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a reshape to something that is not constant");
    }
    int64_t dims[ONNX_MAX_DIMS];
    memcpy(dims, t->data, t->elements * sizeof dims[0]);
    uint64_t others = 0;
    for (uint64_t i = 1; i < t->elements; i++) {
        others += dims[i] == 1;
    }
    if (in->shape.height != 1 || in->shape.width != 1 || t->elements < 2 || dims[0] != -1 ||
        dims[t->elements - 1] != (int64_t)in->shape.channels || others != t->elements - 2) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a reshape other than from planes of one value to a row");
    }
    return add_value(b, in->shape, true, in->buffer);
}

static int build_dense(struct builder *b) {
    struct network_step s = {.operation = NETWORK_DENSE, .to = {.height = 1, .width = 1}};
    const struct onnx_tensor *w = NULL;
    struct value *in = NULL;
    int code = get_value(b, 0, &in);
    code = code != 0 ? code : get_weights(b, 1, 2, &w, &s.weights);
    if (code != 0) {
        return code;
    }
    if (!in->flat || b->node->input_count != 2 || w->dims[0] != in->shape.channels ||
        w->dims[1] > MAX_CHANNELS) {
        return fail(b, ENGINE_E_FORMAT, "the weights of a product do not fit its input");
    }
    s.to.channels = (uint32_t)w->dims[1];
    b->network->multiplies += w->elements;
    return add_step(b, s, in, NULL, true);
}

static int build_softmax(struct builder *b) {
    const struct onnx_attribute *axis = onnx_attribute(b->node, "axis");
    struct value *in = NULL;
    int code = get_value(b, 0, &in);
    if (code != 0) {
        return code;
    }
    if (!in->flat || (axis != NULL && axis->integer != 1 && axis->integer != -1)) {
        return fail(b, ENGINE_E_UNSUPPORTED, "a softmax along something else than the classes");
    }
    struct network_step s = {.operation = NETWORK_SOFTMAX, .to = in->shape};
    return add_step(b, s, in, NULL, true);
}

/* The picture: the one graph input that is not a weight, turned to planes by the first node. */
static int build_input(struct builder *b) {
    const struct onnx_value *picture = NULL;
    uint32_t perm[4];
    for (uint32_t i = 0; i < b->graph->input_count; i++) {
        const struct onnx_value *v = &b->graph->inputs[i];
        if (onnx_initializer(b->graph, v->name) == NULL) {
            if (picture != NULL) {
                return fail(b, ENGINE_E_UNSUPPORTED, "the graph has two inputs");
            }
            picture = v;
        }
    }
    int code = get_ints(b, "perm", 4, 0, 0, 3, perm);
    if (code != 0) {
        return code;
    }
    bool transposed = onnx_text_is(b->node->operation, "Transpose") && perm[0] == 0 && perm[1] == 3 &&
                      perm[2] == 1 && perm[3] == 2 && b->node->input_count == 1;
    if (picture == NULL || !transposed || !onnx_text_equal(b->node->inputs[0], picture->name) ||
        count_uses(b, picture->name) != 1 || picture->type != ONNX_FLOAT || picture->dim_count != 4 ||
        picture->dims[1] < 1 || picture->dims[1] > MAX_SIDE || picture->dims[2] < 1 ||
        picture->dims[2] > MAX_SIDE || picture->dims[3] < 1 || picture->dims[3] > 4) {
        return fail(b, ENGINE_E_UNSUPPORTED,
                    "the first node does not turn one input of pictures into planes");
    }
    b->network->input = (struct shape){.channels = (uint32_t)picture->dims[3],
                                       .height = (uint32_t)picture->dims[1],
                                       .width = (uint32_t)picture->dims[2]};
    b->buffers[b->buffer_count++] = (struct buffer){.floats = shape_floats(b->network->input)};
    return add_value(b, b->network->input, false, 0);
}

static int build_node(struct builder *b) {
    struct onnx_text operation = b->node->operation;
    if (onnx_text_is(operation, "Conv")) {
        return build_convolution(b);
    }
    if (onnx_text_is(operation, "Relu")) {
        return build_relu(b);
    }
    if (onnx_text_is(operation, "Add")) {
        return build_add(b);
    }
    if (onnx_text_is(operation, "MaxPool")) {
        return build_pool(b, NETWORK_MAX_POOL);
    }
    if (onnx_text_is(operation, "AveragePool")) {
        return build_pool(b, NETWORK_MEAN_POOL);
    }
    if (onnx_text_is(operation, "Reshape")) {
        return build_reshape(b);
    }
    if (onnx_text_is(operation, "MatMul")) {
        return build_dense(b);
    }
    if (onnx_text_is(operation, "Softmax")) {
        return build_softmax(b);
    }
    return fail(b, ENGINE_E_UNSUPPORTED, "a node is of an operator that is not known");
}

/* ---- scratch ---- */

struct slot {
    size_t floats;
    uint32_t free_after; /* the last step that needs what is in it */
};

/* The fullest use of old room: the smallest free slot that is large enough, else the largest free one, grown.
 */
static uint32_t choose_slot(struct slot *slots, uint32_t *count, size_t floats, uint32_t step) {
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < *count; i++) {
        if (slots[i].free_after >= step) {
            continue;
        }
        bool fits = slots[i].floats >= floats;
        if (best == UINT32_MAX ||
            (fits && (slots[best].floats < floats || slots[i].floats < slots[best].floats)) ||
            (!fits && slots[best].floats < floats && slots[i].floats > slots[best].floats)) {
            best = i;
        }
    }
    if (best == UINT32_MAX) {
        best = (*count)++;
        slots[best] = (struct slot){0};
    }
    slots[best].floats = slots[best].floats > floats ? slots[best].floats : floats;
    return best;
}

static int plan_scratch(struct builder *b) {
    struct network *n = b->network;
    struct slot *slots = arena_new(b->arena, struct slot, b->buffer_count);
    size_t *at = arena_new(b->arena, size_t, b->buffer_count);
    if (slots == NULL || at == NULL) {
        return fail(b, ENGINE_E_MEMORY, "no memory for the plan");
    }
    uint32_t slot_count = 1;
    slots[0] = (struct slot){.floats = b->buffers[0].floats, .free_after = b->buffers[0].last_use};
    for (uint32_t i = 0; i < n->step_count; i++) {
        struct buffer *out = &b->buffers[n->steps[i].buffer_out];
        out->slot = choose_slot(slots, &slot_count, out->floats, i);
        slots[out->slot].free_after = out->last_use;
    }
    size_t total = 0;
    for (uint32_t i = 0; i < slot_count; i++) {
        at[i] = total;
        total += (slots[i].floats + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
    }
    n->columns_at = total;
    n->scratch_floats = (total + n->scratch_floats + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
    if (n->scratch_floats > MAX_SCRATCH_FLOATS) {
        return fail(b, ENGINE_E_MEMORY, "the network needs more scratch than is allowed");
    }
    for (uint32_t i = 0; i < n->step_count; i++) {
        struct network_step *s = &n->steps[i];
        s->in[0] = at[b->buffers[s->buffers[0]].slot];
        s->in[1] = at[b->buffers[s->buffers[1]].slot];
        s->out = at[b->buffers[s->buffer_out].slot];
    }
    n->input_at = at[b->buffers[0].slot];
    return 0;
}

static const struct network_step *last_writer(const struct network *n, uint32_t buffer) {
    const struct network_step *last = NULL;
    for (uint32_t i = 0; i < n->step_count; i++) {
        last = n->steps[i].buffer_out == buffer ? &n->steps[i] : last;
    }
    return last;
}

static int build_all(struct builder *b) {
    for (uint32_t i = 0; i < b->graph->node_count; i++) {
        b->node = &b->graph->nodes[i];
        int code = i == 0 ? build_input(b) : build_node(b);
        if (code != 0) {
            return code;
        }
    }
    for (uint32_t i = 0; i < b->network->step_count; i++) {
        if (b->network->steps[i].operation == NETWORK_DENSE && b->network->steps[i].bias == NULL) {
            return fail(b, ENGINE_E_UNSUPPORTED, "a product has no bias behind it");
        }
    }
    struct value *out = b->graph->output_count == 1 ? find_value(b, b->graph->outputs[0].name) : NULL;
    if (out == NULL || !out->flat || b->network->step_count == 0) {
        return fail(b, ENGINE_E_UNSUPPORTED, "the graph has not exactly one output, a row of scores");
    }
    uint32_t buffer = out->buffer;
    const struct network_step *maker = last_writer(b->network, buffer);
    if (maker == NULL || maker->operation != NETWORK_SOFTMAX) { /* anything else need not lie in 0…1 */
        return fail(b, ENGINE_E_UNSUPPORTED, "the graph's output is not that of a softmax");
    }
    b->buffers[buffer].last_use = b->network->step_count; /* the caller reads it after the last step */
    int code = plan_scratch(b);
    if (code == 0) {
        b->network->outputs = out->shape.channels;
        b->network->output_at = maker->out;
    }
    return code;
}

int network_build(const struct onnx_graph *graph, struct arena *arena, struct network *ret_network,
                  struct error *reterr) {
    struct network network = {0};
    struct builder *b = arena_new(arena, struct builder, 1);
    if (graph->node_count == 0) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED, "ONNX: the graph has no nodes");
    }
    network.steps = arena_new(arena, struct network_step, graph->node_count);
    if (b == NULL || network.steps == NULL) {
        return error_set(reterr, ENGINE_E_MEMORY, "ONNX: no memory for a network of %u nodes",
                         graph->node_count);
    }
    *b = (struct builder){.graph = graph, .arena = arena, .network = &network, .reterr = reterr};
    int code = build_all(b);
    if (code == 0) {
        *ret_network = network;
    }
    return code;
}
