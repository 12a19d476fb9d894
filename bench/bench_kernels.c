/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast one core multiplies, for the shapes of two real models: tab-separated lines on standard output.
 *
 *   bench_kernels [SET]      all tables this processor runs, or only "portable", "avx2", "avx512"
 *
 * A GOP is 10^9 multiplications and additions, each counted as one. Times are processor time of this thread,
 * the best of several runs, so that what else the machine does weighs little.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/kernels/kernels.h"
#include "tests/unit/engine/kernels/stored.h"

struct shape {
    const char *model;
    const char *matrix;
    enum tensor_type type;
    uint32_t rows, cols;
};

static const struct shape shapes[] = {
    {"270m", "attn_q", TENSOR_Q5_0, 1024, 640},      {"270m", "attn_v", TENSOR_Q8_0, 256, 640},
    {"270m", "attn_output", TENSOR_Q4_K, 640, 1024}, {"270m", "ffn_gate", TENSOR_Q5_0, 2048, 640},
    {"270m", "ffn_down", TENSOR_Q4_K, 640, 2048},    {"270m", "ffn_down", TENSOR_Q6_K, 640, 2048},
    {"2b", "attn_q", TENSOR_Q4_K, 2048, 2304},       {"2b", "attn_v", TENSOR_Q6_K, 1024, 2304},
    {"2b", "attn_output", TENSOR_Q4_K, 2304, 2048},  {"2b", "ffn_gate", TENSOR_Q4_K, 9216, 2304},
    {"2b", "ffn_down", TENSOR_Q6_K, 2304, 9216},
};

static const uint32_t row_counts[] = {1, 16, 128, 512};

enum { RUNS = 5 };
static const double LEAST_S = 0.01;

static void *must(void *memory) {
    if (!memory) {
        fputs("bench_kernels: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static void print_cpu(void) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");

    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "model name", 10) == 0) {
            printf("# cpu: %s", strchr(line, ':') + 2);
            break;
        }
    }
    if (file) {
        (void)fclose(file);
    }
}

static uint64_t processor_ns(void) {
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static double seconds_of(void (*work)(void *user), void *user, unsigned calls) {
    uint64_t start = processor_ns();

    for (unsigned i = 0; i < calls; i++) {
        work(user);
    }
    return (double)(processor_ns() - start) * 1e-9;
}

/* Seconds of one call of work(): the best of RUNS rounds of so many calls that asking for the time costs
 * nothing. */
static double best_s(void (*work)(void *user), void *user) {
    unsigned calls = 1;
    double best;

    while (seconds_of(work, user, calls) < LEAST_S) {
        calls *= 2;
    }
    best = seconds_of(work, user, calls);
    for (int run = 1; run < RUNS; run++) {
        double seconds = seconds_of(work, user, calls);
        best = seconds < best ? seconds : best;
    }
    return best / calls;
}

struct job {
    const struct kernel_set *k;
    struct packed_matrix w;
    const void *stored;
    uint32_t rows;
    void *q;
    float *x, *y, *out;
    size_t n;
    struct kv_run run;
    uint32_t heads;
};

static void run_matmul(void *user) {
    struct job *j = user;
    j->k->matmul(&j->w, j->q, j->rows, 0, (j->w.rows + PANEL_ROWS - 1) / PANEL_ROWS, j->out, j->w.rows);
}

static void run_pack(void *user) {
    struct job *j = user;
    j->k->pack(&j->w, j->stored, 0, (j->w.rows + PANEL_ROWS - 1) / PANEL_ROWS);
}

static void run_dequantize(void *user) {
    struct job *j = user;
    j->k->dequantize(j->w.type, j->stored, (size_t)16 * j->w.cols, j->x);
}

static void run_quantize(void *user) {
    struct job *j = user;
    j->k->quantize_rows(j->x, j->n, 1, (uint32_t)j->n, j->q);
}

static void run_matmul_f32(void *user) {
    struct job *j = user;
    j->k->matmul_f32(j->y, (uint32_t)j->n, j->x, j->n, j->rows, 0, 1024, j->out, 1024);
}

static void run_norm(void *user) {
    struct job *j = user;
    j->k->rms_norm(j->x, j->y, j->n, 1e-6F, j->out);
}

static void run_gelu(void *user) {
    struct job *j = user;
    memcpy(j->out, j->x, j->n * sizeof(float));
    j->k->gelu_mul(j->out, j->y, j->n);
}

static void run_attend(void *user) {
    struct job *j = user;
    j->k->attend_heads(j->x, j->heads, &j->run, 1, j->n, 0, j->out);
}

static void bench_shape(const struct kernel_set *k, const struct shape *shape) {
    uint64_t seed = 1;
    struct job j = {.k = k};
    void *stored = must(random_stored(&seed, shape->type, shape->rows, shape->cols));
    float *x = must(random_floats(&seed, (size_t)512 * shape->cols));

    must(packed_data(k, shape->type, stored, shape->rows, shape->cols, &j.w));
    j.stored = stored;
    j.q = must(aligned_alloc(64, 512 * k->activation_bytes(shape->cols)));
    j.out = must(malloc((size_t)512 * shape->rows * sizeof(float)));
    k->quantize_rows(x, shape->cols, 512, shape->cols, j.q);
    for (size_t i = 0; i < sizeof(row_counts) / sizeof(row_counts[0]); i++) {
        j.rows = row_counts[i];
        double s = best_s(run_matmul, &j);
        printf("%s\tmatmul\t%s\t%s\t%s\t%u×%u\t%u\t%.1f\t%.1f\n", k->name, shape->model, shape->matrix,
               tensor_type_info(shape->type)->name, shape->rows, shape->cols, j.rows, s * 1e6,
               2e-9 * j.rows * shape->rows * shape->cols / s);
    }
    double s = best_s(run_pack, &j);
    printf("%s\tpack\t%s\t%s\t%s\t%u×%u\t-\t%.1f\t%.3f\n", k->name, shape->model, shape->matrix,
           tensor_type_info(shape->type)->name, shape->rows, shape->cols, s * 1e6,
           1e-9 * shape->rows * shape->cols / s);
    j.x = x;
    s = best_s(run_dequantize, &j);
    printf("%s\tdequantize\t%s\t%s\t%s\t16×%u\t-\t%.1f\t%.3f\n", k->name, shape->model, shape->matrix,
           tensor_type_info(shape->type)->name, shape->cols, s * 1e6, 16e-9 * shape->cols / s);
    free(stored);
    free(x);
    free(j.w.data);
    free(j.q);
    free(j.out);
}

static void print_line(const struct job *j, const char *what, uint32_t rows, double s, double operations) {
    printf("%s\t%s\t-\t-\tF32\t%zu\t%u\t%.3f\t%.1f\n", j->k->name, what, j->n, rows, s * 1e6,
           1e-9 * operations / s);
}

/* The kernels that are not a matrix product: microseconds a call; GOP/s where operations can be counted. */
static void bench_others(const struct kernel_set *k) {
    uint64_t seed = 2;
    struct job j = {.k = k, .heads = 4};
    double s;

    j.x = must(random_floats(&seed, (size_t)512 * 2304));
    j.y = must(random_floats(&seed, (size_t)1024 * 2304));
    j.q = must(aligned_alloc(64, k->activation_bytes(2304)));
    j.out = must(malloc((size_t)512 * 2304 * sizeof(float)));
    j.n = 640;
    s = best_s(run_quantize, &j);
    print_line(&j, "quantize_rows", 1, s, 640);
    s = best_s(run_norm, &j);
    print_line(&j, "rms_norm", 1, s, 4 * 640);
    j.n = 2048;
    s = best_s(run_gelu, &j);
    print_line(&j, "gelu_mul", 1, s, 2048);
    j.n = 640;
    j.rows = 128;
    s = best_s(run_matmul_f32, &j);
    print_line(&j, "matmul_f32", 128, s, 2.0 * 128 * 1024 * 640);
    j.n = 256;
    for (j.heads = 1; j.heads <= 2; j.heads++) {
        j.run = (struct kv_run){.keys = j.y, .values = j.y + (size_t)512 * 256, .count = 512, .stride = 256};
        s = best_s(run_attend, &j);
        print_line(&j, j.heads == 1 ? "attend_1_head" : "attend_2_heads", 512, s, 4.0 * j.heads * 512 * 256);
    }
    j.heads = 4;
    for (uint32_t keys = 64; keys <= 2048; keys *= 2) {
        j.run =
            (struct kv_run){.keys = j.y, .values = j.y + (size_t)keys * 256, .count = keys, .stride = 256};
        s = best_s(run_attend, &j);
        print_line(&j, "attend_4_heads", keys, s, 4.0 * j.heads * keys * 256);
    }
    free(j.x);
    free(j.y);
    free(j.q);
    free(j.out);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"avx512", "avx2", "portable"};

    print_cpu();
    puts("set\tkernel\tmodel\tmatrix\ttype\tshape\trows\tmicroseconds\tGOP/s");
    for (size_t n = 0; n < 3; n++) {
        const struct kernel_set *k = kernel_choose(names[n]);

        if (!k || (argc > 1 ? strcmp(argv[1], names[n]) != 0 : k != kernel_choose(NULL))) {
            continue;
        }
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
            bench_shape(k, &shapes[i]);
        }
        bench_others(k);
    }
    return 0;
}
