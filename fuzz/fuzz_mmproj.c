/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an mmproj GGUF: what opens plans its memory, and a small one sees a picture.
 */
#include <stdlib.h>

#include "engine/vision/siglip.h"

enum { MOST_STATE_BYTES = 1 << 20, MOST_OUT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_stage(void *user, unsigned worker) {
    siglip_stage(user, worker);
}

static void see(const struct siglip *model, struct pool *pool) {
    struct siglip_state state = {0};
    struct error e = {0};
    size_t out_bytes = (size_t)model->rows * model->hidden * sizeof(float);
    if (siglip_state_bytes(model, 1) > MOST_STATE_BYTES || out_bytes > MOST_OUT_BYTES ||
        siglip_state_init(&state, model, 1, &e) != 0) {
        return;
    }
    struct siglip_run run = {.model = model,
                             .state = &state,
                             .pool = pool,
                             .pixels = calloc((size_t)model->side * model->side, 3),
                             .out = malloc(out_bytes)};
    for (; run.pixels != NULL && run.out != NULL && run.stage < siglip_stages(model); run.stage++) {
        pool_run(pool, run_stage, &run);
    }
    free((void *)(uintptr_t)run.pixels);
    free(run.out);
    siglip_state_deinit(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tensor_file *file = NULL;
    struct siglip *model = NULL;
    struct pool *pool = NULL;
    struct error e = {0};
    if (gguf_open_memory(data, size, &file, &e) == 0 &&
        siglip_open(file, kernel_choose("portable"), &model, &e) == 0 && pool_new(1, &pool, &e) == 0) {
        see(model, pool);
    }
    (void)pool_free(pool);
    (void)siglip_free(model);
    (void)tensor_file_free(file);
    return 0;
}
