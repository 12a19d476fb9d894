/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading records, for tools. Nothing is written and no lock is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/proof/tile.h"
#include "audit/segment.h"
#include "base/cleanup.h"

struct each {
    uint64_t from, to;
    int (*fn)(void *user, const struct audit_record *record);
    void *user;
    uint64_t next;
    bool stopped;
};

static int each_frame(struct each *each, const struct frame *frame) {
    const struct audit_record record = {frame->seq, frame->time_ns, (const char *)frame->payload,
                                        frame->size};
    int rc = frame->seq < each->from ? 0 : each->fn(each->user, &record);
    each->stopped = rc != 0;
    each->next++;
    return rc;
}

static int each_in(struct each *each, struct segment_reader *reader, const char *name, bool in_flight,
                   struct error *reterr) {
    struct segment_header header;
    struct frame frame;
    const char *why = NULL;
    int rc = segment_reader_header(reader, &header, &why);
    while (rc == 0 && each->next < each->to && !each->stopped) {
        rc = segment_reader_next(reader, &frame, &why);
        if (rc == 0 && frame.seq != each->next) {
            rc = SEGMENT_BAD;
            why = "another record stands there";
        }
        if (rc == 0) {
            rc = each_frame(each, &frame);
        }
    }
    if (each->stopped || rc == SEGMENT_END || (rc == SEGMENT_BAD && in_flight)) {
        return each->stopped ? rc : 0;
    }
    return rc <= 0 ? rc
                   : error_set(reterr, AUDIT_E_TAMPERED, "%s byte %llu (index %llu): %s", name,
                               (unsigned long long)reader->offset, (unsigned long long)each->next, why);
}

static int each_segment(struct each *each, int directory_fd, const struct segment *segment, bool final,
                        struct error *reterr) {
    struct segment_reader reader;
    if (segment->first != each->next) {
        return error_set(reterr, AUDIT_E_GAP, "%s does not begin where the file before ends", segment->name);
    }
    CLEANUP(close_fd) int fd = segment_open(directory_fd, segment->name, O_RDONLY, reterr);
    int rc = fd < 0 ? fd : segment_reader_open(&reader, fd);
    if (rc != 0) {
        return rc;
    }
    rc = each_in(each, &reader, segment->name, final && segment_writer_alive(directory_fd), reterr);
    segment_reader_close(&reader);
    return rc;
}

int audit_each(const char *directory, uint64_t from, uint64_t to,
               int (*fn)(void *user, const struct audit_record *record), void *user, struct error *reterr) {
    struct each each = {.from = from, .to = to, .fn = fn, .user = user};
    CLEANUP(segment_list_deinit) struct segment_list list = {0};
    CLEANUP(close_fd) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? error_errno(reterr, errno, "%s cannot be opened", directory)
                    : segment_list_read(fd, &list, reterr);
    if (rc == 0 && list.count == 0) {
        rc = error_set(reterr, AUDIT_E_UNREADABLE, "%s holds no log", directory);
    }
    size_t at = 0;
    while (at + 1 < list.count && list.items[at + 1].first <= from) {
        at++;
    }
    each.next = list.count == 0 ? 0 : list.items[at].first;
    for (; rc == 0 && at < list.count && each.next < to && !each.stopped; at++) {
        rc = each_segment(&each, fd, &list.items[at], at + 1 == list.count, reterr);
    }
    return rc;
}

int audit_key(const char *directory, char ret_key[AUDIT_KEY_SIZE], struct error *reterr) {
    CLEANUP(buf_deinit) struct buf key = {0};
    CLEANUP(close_fd) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_errno(reterr, errno, "%s cannot be opened", directory);
    }
    int rc = tile_get(&tile_io_kernel, fd, KEY_FILE, AUDIT_KEY_SIZE - 1, &key, reterr);
    if (rc != 0 || key.size == 0) {
        return rc < 0 ? rc : error_set(reterr, AUDIT_E_UNREADABLE, "%s holds no verifier key", directory);
    }
    (void)snprintf(ret_key, AUDIT_KEY_SIZE, "%.*s", (int)strcspn((const char *)key.bytes, "\n"),
                   (const char *)key.bytes);
    return 0;
}
