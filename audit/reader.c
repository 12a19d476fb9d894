/* SPDX-License-Identifier: Apache-2.0
 *
 * Verification and reading, for tools and third parties. Nothing is written and no lock is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/scan.h"
#include "base/cleanup.h"

/* A broken system call is one more way in which a log cannot be read. */
static int unreadable(int rc, struct error *reterr) {
    if (rc < 0 && reterr != NULL) {
        reterr->code = AUDIT_E_UNREADABLE;
    }
    return rc < 0 ? AUDIT_E_UNREADABLE : rc;
}

static int open_log(const char *directory, int *ret_fd, struct head *ret_head, struct segment_list *ret_list,
                    struct error *reterr) {
    CLEANUP(close_fd) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_errno(reterr, errno, "%s cannot be opened", directory);
    }
    /* The head before the list: what it acknowledges is in files that exist by then. */
    int head_rc = head_read(fd, ret_head, reterr);
    if (head_rc != 0 && head_rc != -ENOENT) {
        return head_rc;
    }
    int rc = segment_list_read(fd, ret_list, reterr);
    if (rc == 0 && ret_list->count == 0) {
        rc = error_set(reterr, AUDIT_E_UNREADABLE, "%s holds no log", directory);
    }
    if (rc == 0 && head_rc != 0) {
        rc = error_set(reterr, AUDIT_E_TAMPERED,
                       "head is missing: nothing says how far the log was acknowledged");
    }
    if (rc == 0) {
        *ret_fd = steal_fd(&fd);
    }
    return rc;
}

static int scan_all(struct scan *scan, int fd, const struct segment_list *list, struct error *reterr) {
    for (size_t i = 0; i < list->count; i++) {
        int rc = scan_segment(scan, fd, &list->items[i], i + 1 == list->count, reterr);
        if (rc == AUDIT_E_TORN_TAIL && scan->chain.next >= scan->head.next && segment_writer_alive(fd)) {
            if (reterr != NULL) {
                *reterr = (struct error){0};
            }
            return 0; /* being written at this moment */
        }
        if (rc != 0) {
            return rc;
        }
    }
    return scan_finish(scan, reterr);
}

int audit_verify(const char *directory, struct audit_report *ret_report, struct error *reterr) {
    struct scan scan = {0};
    CLEANUP(segment_list_deinit) struct segment_list list = {0};
    CLEANUP(close_fd) int fd = -1;
    *ret_report = (struct audit_report){0};
    int rc = open_log(directory, &fd, &scan.head, &list, reterr);
    if (rc != 0) {
        (void)snprintf(ret_report->file, sizeof ret_report->file, "%s", rc == AUDIT_E_TAMPERED ? "head" : "");
        return unreadable(rc, reterr);
    }
    chain_start(&scan.chain);
    rc = scan_all(&scan, fd, &list, reterr);
    ret_report->records = scan.chain.next;
    ret_report->next_index = scan.chain.next;
    memcpy(ret_report->log_id, scan.chain.log_id, sizeof ret_report->log_id);
    memcpy(ret_report->last_hash, scan.chain.prev, sizeof ret_report->last_hash);
    if (rc != 0) {
        ret_report->bad_index = scan.bad.index;
        ret_report->offset = scan.bad.offset;
        (void)snprintf(ret_report->file, sizeof ret_report->file, "%s", scan.bad.file);
    }
    return unreadable(rc, reterr);
}

/* ---- each ---- */

struct each {
    uint64_t from, to;
    int (*fn)(void *user, uint64_t index, const char *json, size_t size);
    void *user;
    struct chain chain;
    bool stopped;
};

static int each_line(struct each *each, const char *name, const struct lines *lines, const char *line,
                     size_t size, struct error *reterr) {
    uint64_t index = each->chain.next;
    if (index >= each->to) {
        each->stopped = true;
        return 0;
    }
    int rc = chain_accept(&each->chain, line, size, reterr);
    if (rc != 0) {
        (void)error_prefix(reterr, "%s line %llu (byte %llu, index %llu): ", name,
                           (unsigned long long)lines->number, (unsigned long long)lines->offset,
                           (unsigned long long)index);
        return rc == CHAIN_E_PREV || rc == CHAIN_E_LINE ? AUDIT_E_TAMPERED : rc;
    }
    if (index >= each->from) {
        rc = each->fn(each->user, index, line, size);
        each->stopped = rc != 0;
    }
    return rc;
}

static int each_segment(struct each *each, int directory_fd, const struct segment *segment, bool final,
                        struct error *reterr) {
    struct lines lines;
    const char *line = NULL;
    size_t size = 0;
    if (segment->first != each->chain.next) {
        return error_set(reterr, AUDIT_E_GAP, "%s does not begin where the file before ends", segment->name);
    }
    CLEANUP(close_fd) int fd = segment_open(directory_fd, segment->name, O_RDONLY, reterr);
    int rc = fd < 0 ? fd : lines_open(&lines, fd);
    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && !each->stopped) {
        rc = lines_next(&lines, &line, &size);
        if (rc == 0) {
            rc = each_line(each, segment->name, &lines, line, size, reterr);
            continue;
        }
        if (rc == LINES_END || (rc == LINES_TORN && final && segment_writer_alive(directory_fd))) {
            rc = 0;
        } else {
            rc = error_set(reterr, rc == LINES_TORN && final ? AUDIT_E_TORN_TAIL : AUDIT_E_TAMPERED,
                           "%s line %llu (byte %llu): not a whole record", segment->name,
                           (unsigned long long)lines.number, (unsigned long long)lines.offset);
        }
        break;
    }
    lines_close(&lines);
    return rc;
}

int audit_each(const char *directory, uint64_t from, uint64_t to,
               int (*fn)(void *user, uint64_t index, const char *json, size_t size), void *user,
               struct error *reterr) {
    struct each each = {.from = from, .to = to, .fn = fn, .user = user};
    struct head head;
    CLEANUP(segment_list_deinit) struct segment_list list = {0};
    CLEANUP(close_fd) int fd = -1;
    int rc = open_log(directory, &fd, &head, &list, reterr);
    if (rc != 0) {
        return unreadable(rc, reterr);
    }
    size_t at = 0;
    while (at + 1 < list.count && list.items[at + 1].first <= from) {
        at++;
    }
    /* A chain without a hash accepts any first line: what stands before `from` is verification's business. */
    each.chain.next = list.items[at].first;
    each.chain.batch = each.chain.next;
    for (; at < list.count && rc == 0 && !each.stopped; at++) {
        rc = each_segment(&each, fd, &list.items[at], at + 1 == list.count, reterr);
    }
    return each.stopped ? rc : unreadable(rc, reterr);
}
