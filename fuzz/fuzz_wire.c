/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's header through the front's parser; what that accepts or refuses must survive the way to the
 * core. The same bytes also go straight into the core's decoder. Input: 1 byte number of frames, 8 bytes size
 * of each, the header.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "ipc/front/header.h"
#include "ipc/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct imsg message_of(const uint8_t *body, size_t size, size_t fd_count) {
    struct imsg message = {.type = IPC_REQUEST, .body = body, .body_size = size, .fd_count = fd_count};
    memset(message.fds, 0xff, sizeof message.fds);
    return message;
}

static void decode_raw(const uint8_t *data, size_t size) {
    struct ipc_request request;
    struct ipc_settings settings;
    struct imsg message = message_of(data, size, size > 0 ? data[0] % (IMSG_MAX_FDS + 1) : 0);
    if (ipc_decode_request(&message, &request) == 0) {
        ipc_request_deinit(&request);
    }
    int rc = ipc_decode_settings(&message, &settings);
    (void)rc; /* either answer is right */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct header_frames frames = {.part_bytes = IPC_MAX_PART_BYTES, .total_bytes = IPC_MAX_TOTAL_BYTES};
    struct ipc_request request = {.connection = 1, .tenant = "uid:1"};
    struct ipc_request decoded;
    struct buf body = {0};
    struct cursor c;
    decode_raw(data, size);
    cursor_init(&c, data, size);
    frames.count = cursor_u8(&c);
    uint64_t frame_size = cursor_u64(&c);
    for (size_t i = 0; i < IPC_MAX_PARTS; i++) {
        frames.sizes[i] = frame_size;
    }
    size_t length = cursor_left(&c);
    header_prepare();
    header_read(cursor_take(&c, length), length, &frames, &request);
    ipc_encode_request(&request, &body);
    if (!body.failed) {
        struct imsg message = message_of(body.bytes, body.size, request.part_count);
        if (ipc_decode_request(&message, &decoded) != 0 || decoded.op != request.op) {
            abort();
        }
        ipc_request_deinit(&decoded);
    }
    buf_deinit(&body);
    return 0;
}
