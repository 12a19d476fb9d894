/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/adapter_writer.h"

#include <string.h>

static void put_value(struct buf *b, const char *dtype, float value) {
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (strcmp(dtype, "F32") == 0) {
        buf_u32(b, bits);
    } else if (strcmp(dtype, "BF16") == 0) {
        buf_u16(b, (uint16_t)(bits >> 16));
    } else {
        uint32_t half = (bits >> 16 & 0x8000) | (value == 0 ? 0 : ((bits >> 13 & 0x3ffff) - (112 << 10)));
        buf_u16(b, (uint16_t)half);
    }
}

void adapter_write_tensor(struct adapter_writer *w, const char *name, const char *dtype, uint32_t rows,
                          uint32_t cols, const float *values) {
    size_t begin = w->data.size;

    for (size_t i = 0; i < (size_t)rows * cols; i++) {
        put_value(&w->data, dtype, values[i]);
    }
    buf_printf(&w->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%u,%u],\"data_offsets\":[%zu,%zu]}",
               w->header.size == 0 ? "{" : ",", name, dtype, rows, cols, begin, w->data.size);
}

void adapter_write_file(struct adapter_writer *w, struct buf *out) {
    buf_printf(&w->header, "}");
    buf_u64(out, w->header.size);
    buf_append(out, w->header.bytes, w->header.size);
    buf_append(out, w->data.bytes, w->data.size);
    buf_deinit(&w->header);
    buf_deinit(&w->data);
}

void adapter_write_raw(const char *header, size_t data_size, struct buf *out) {
    buf_u64(out, strlen(header));
    buf_append(out, header, strlen(header));
    for (size_t i = 0; i < data_size; i++) {
        buf_u8(out, 0);
    }
}
