/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes a small image classifier as an ONNX file, whole or with one thing wrong: 224×224×3 → convolution 8×8
 * → ReLU → convolution 1×1 → addition → ReLU → max pool → mean pool → product → softmax over two classes.
 */
#ifndef BUCKLER_TESTS_UNIT_ENGINE_VISION_ONNX_WRITER_H
#define BUCKLER_TESTS_UNIT_ENGINE_VISION_ONNX_WRITER_H

#include "base/buf.h"

enum damage {
    WHOLE,
    HUGE_WEIGHTS, /* sound, but its scores overflow */
    /* from here on a file that must be refused as ENGINE_E_FORMAT */
    NO_GRAPH,
    TWO_GRAPHS,
    FIELD_NUMBER_ZERO,
    UNKNOWN_WIRE_TYPE,
    LENGTH_BEYOND_END,
    ENDLESS_NUMBER,
    TENSOR_TOO_SHORT,
    TENSOR_TOO_LONG,
    TENSOR_DIMENSION_ZERO,
    TENSOR_DIMENSION_NEGATIVE,
    TENSOR_DIMENSIONS_OVERFLOW,
    TENSOR_WITHOUT_NAME,
    TENSOR_TWICE,
    WEIGHT_IS_NAN,
    WRONG_CHANNELS,
    WRONG_BIAS,
    WRONG_KERNEL,
    WRONG_DENSE,
    UNEQUAL_ADDENDS,
    READS_FROM_NOWHERE,
    READS_FROM_LATER,
    COMPUTES_TWICE,
    /* from here on ENGINE_E_UNSUPPORTED */
    FIRST_UNSUPPORTED,
    UNKNOWN_OPERATOR = FIRST_UNSUPPORTED,
    UNKNOWN_ATTRIBUTE,
    OTHER_DOMAIN,
    DILATED,
    GROUPED,
    STRIDE_ZERO,
    PAD_LARGER_THAN_KERNEL,
    POOL_OF_PART,
    HALF_PRECISION,
    EXTERNAL_DATA,
    TOO_MANY_DIMS,
    TOO_MANY_NODES,
    TWO_INPUTS,
    OTHER_PICTURE_SIZE,
    THREE_CLASSES,
    RESHAPE_WITHOUT_BATCH,
    NO_SOFTMAX_INPUT_ROW,
    NO_OUTPUT,
    DAMAGE_COUNT
};

void write_onnx(struct buf *out, enum damage damage);

#endif
