/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kernels/blas.h"

#include <cblas.h>

void kernel_sgemm(uint32_t m, uint32_t n, uint32_t k, const float *a, const float *b, float *c) {
    if (openblas_get_num_threads() != 1) {
        openblas_set_num_threads(1);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0F, a,
                (blasint)k, b, (blasint)n, 0.0F, c, (blasint)n);
}
