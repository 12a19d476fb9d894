/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker that does what the declared type of its order says: "sound", "wrong-id", "lie", "garbage",
 * "twice", "answer-and-die". For test_pool.c: what the pool does with a worker that was taken over.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/spawn.h"
#include "decode/exchange.h"

static void answer(uint64_t id, const struct decode_answer *a) {
    struct buf body = {0};
    decode_answer_write(&body, a);
    if (imsg_send(SPAWN_FD, DECODE_MSG_ANSWER, id, body.bytes, body.size, NULL, 0) != 0) {
        _exit(2);
    }
    buf_deinit(&body);
}

static void do_order(uint64_t id, const struct decode_order *order, uint8_t *output) {
    static const uint32_t map[2] = {0, 1};
    struct decode_answer a = {.kind = CONTENT_TEXT,
                              .views = {{.present = true, .size = 1},
                                        {0},
                                        {0},
                                        {.present = true, .size = 1, .has_map = true, .map_at = 8}}};
    output[0] = 'x';
    memcpy(output + 8, map, sizeof map);
    if (strcmp(order->mime, "garbage") == 0) {
        if (imsg_send(SPAWN_FD, DECODE_MSG_ANSWER, id, "garbage", 7, NULL, 0) != 0) {
            _exit(2);
        }
        return;
    }
    if (strcmp(order->mime, "lie") == 0) {
        a.views[0].text_at = UINT64_MAX;
    }
    answer(id + (strcmp(order->mime, "wrong-id") == 0), &a);
    if (strcmp(order->mime, "twice") == 0) {
        answer(id, &a);
    }
    if (strcmp(order->mime, "answer-and-die") == 0) {
        _exit(1);
    }
}

int main(void) {
    uint8_t *space = malloc(IMSG_SPACE_BYTES);
    struct imsg message;
    struct decode_setup setup;
    if (space == NULL || imsg_receive(SPAWN_FD, space, &message) != 0 ||
        decode_setup_read(&message, &setup) != 0) {
        return 2;
    }
    uint8_t *output = mmap(NULL, setup.output_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, message.fds[0], 0);
    imsg_close_fds(&message);
    if (output == MAP_FAILED || imsg_send(SPAWN_FD, DECODE_MSG_READY, 0, NULL, 0, NULL, 0) != 0) {
        return 2;
    }
    while (imsg_receive(SPAWN_FD, space, &message) == 0) {
        struct decode_order order;
        if (decode_order_read(&message, &order) != 0) {
            return 2;
        }
        imsg_close_fds(&message);
        do_order(message.id, &order, output);
    }
    return 0;
}
