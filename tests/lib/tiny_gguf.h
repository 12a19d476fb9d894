/* SPDX-License-Identifier: Apache-2.0
 *
 * Small random Gemma 1, 2 and 3 models as GGUF files, and a plain forward pass in double precision to hold
 * the engine against. The weights are tempered: branches are small beside the residual stream, as in trained
 * models, because with plain Gaussian weights 8-bit activations would prove nothing.
 */
#ifndef BUCKLER_TESTS_LIB_TINY_GGUF_H
#define BUCKLER_TESTS_LIB_TINY_GGUF_H

#include <stdint.h>

enum { TINY_VOCABULARY = 320, TINY_MAX_TENSORS = 400 };

enum tiny_types { TINY_F32, TINY_Q8_0, TINY_MIXED /* Q8_0, Q5_0, F16, BF16 and F32, changing */ };

struct tiny_options {
    uint32_t generation; /* of Gemma: 1, 2 or 3; of 2 the soft caps are so low that they matter */
    uint32_t layers, hidden, heads, kv_heads, head_size, feed_forward, window, context;
    uint32_t period; /* every how many layers one is global; 0: no key in the file, which means
                        the generation's: none slides, 2, 6 */
    uint32_t seed;
    enum tiny_types types;
};

/* Gemma 3, 12 layers of width 64: two periods, a window of 8. */
struct tiny_options tiny_default(enum tiny_types types);

struct tiny_tensor {
    char name[48];
    uint32_t cols, rows; /* a vector has one row */
    uint32_t type;
    float *values; /* what the file says, dequantised */
};

struct tiny_model {
    struct tiny_options options;
    struct tiny_tensor tensors[TINY_MAX_TENSORS];
    uint32_t tensor_count;
};

void tiny_init(struct tiny_model *m, const struct tiny_options *options);
void tiny_deinit(struct tiny_model *m);
struct tiny_tensor *tiny_find(struct tiny_model *m, const char *name);

/* Writes the file to a new temporary path, which is stored in `ret_path` (at least 64 bytes). Values that
 * were changed are quantised again, and the model then holds what the file says. */
void tiny_write(struct tiny_model *m, char *ret_path);

/* The residual stream after `layers` layers at every position, [count, hidden], and with `logits` not NULL
 * the logits, [count, TINY_VOCABULARY]. */
void tiny_forward(struct tiny_model *m, const uint32_t *tokens, uint32_t count, uint32_t layers, double *x,
                  double *logits);

#endif
