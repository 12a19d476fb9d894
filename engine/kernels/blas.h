/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenBLAS behind one function. Its sums are ordered by its own blocking, so it serves where equal bits for
 * equal content hold anyway because the shape never changes (whole images), not the text path.
 */
#ifndef BUCKLER_ENGINE_KERNELS_BLAS_H
#define BUCKLER_ENGINE_KERNELS_BLAS_H

#include <stdint.h>

/* c [m, n] = a [m, k] · b [k, n], all row-major and dense; c is overwritten and overlaps neither a nor b.
 * Computes on the calling thread only: parallelism is the engine's. */
void kernel_sgemm(uint32_t m, uint32_t n, uint32_t k, const float *a, const float *b, float *c);

#endif
