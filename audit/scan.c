/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static void place_set(struct scan_place *place, const char *file, const struct lines *lines, uint64_t index) {
    *place = (struct scan_place){.offset = lines->offset, .line = lines->number, .index = index};
    (void)snprintf(place->file, sizeof place->file, "%s", file);
}

/* Puts the place in front of the sentence. */
static int fail(struct scan *scan, int code, struct error *reterr) {
    if (reterr != NULL) {
        reterr->code = code;
    }
    (void)error_prefix(reterr, "%s line %llu (byte %llu, index %llu): ", scan->bad.file,
                       (unsigned long long)scan->bad.line, (unsigned long long)scan->bad.offset,
                       (unsigned long long)scan->bad.index);
    return code;
}

/* A later line names the hash of this one, or the head does: then this one is as it was written. */
static bool confirmed(const struct scan *scan, struct lines *lines, uint64_t index, const char *hash) {
    const char *line = NULL;
    size_t size = 0;
    struct record_link link;
    if (lines_next(lines, &line, &size) == 0) {
        return record_parse(line, size, &link, NULL, NULL) == 0 && strcmp(link.prev, hash) == 0;
    }
    return scan->head.next == index + 1 && strcmp(scan->head.hash, hash) == 0;
}

/* prev does not fit: either the line before was changed, or this one. */
static int blame(struct scan *scan, struct lines *lines, const char *line, size_t size,
                 struct error *reterr) {
    uint8_t digest[DIGEST_BYTES];
    char hash[DIGEST_HEX_SIZE];
    int rc = digest_sha256(line, size, digest);
    if (rc != 0) {
        return error_errno(reterr, -rc, "%s", scan->bad.file);
    }
    hex_encode(digest, sizeof digest, hash);
    bool first = scan->chain.next == 0;
    if (!first && confirmed(scan, lines, scan->chain.next, hash)) {
        scan->bad = scan->last;
        (void)error_set(reterr, 0, "the record was changed: the next one names another hash");
    } else {
        (void)error_set(reterr, 0, "the record was changed: it does not name the hash of the one before");
    }
    return fail(scan, AUDIT_E_TAMPERED, reterr);
}

/* Whether what begins with a line that is no record is an incomplete last batch. 1, 0 or -errno. */
static int is_torn(const struct scan *scan, struct lines *lines, int line_result) {
    uint64_t missing = scan->chain.next;
    const char *line = NULL;
    size_t size = 0;
    struct record_link link;
    if (line_result != LINES_TORN && missing < scan->head.next) {
        return 0;
    }
    for (;;) {
        int rc = lines_next(lines, &line, &size);
        if (rc == LINES_END || rc < 0) {
            return rc < 0 ? rc : 1;
        }
        if (rc == 0 && record_parse(line, size, &link, NULL, NULL) == 0 && link.batch > missing) {
            return 0;
        }
    }
}

static int not_a_record(struct scan *scan, struct lines *lines, int line_result, bool final,
                        struct error *reterr) {
    int torn = final ? is_torn(scan, lines, line_result) : 0;
    if (torn < 0) {
        return error_errno(reterr, -torn, "%s cannot be read", scan->bad.file);
    }
    if (torn == 1) {
        (void)error_set(reterr, 0, "the last batch is incomplete");
        return fail(scan, AUDIT_E_TORN_TAIL, reterr);
    }
    if (line_result == LINES_TOO_LONG) {
        (void)error_set(reterr, 0, "the line is longer than any record");
    } else if (line_result == LINES_TORN) {
        (void)error_set(reterr, 0, "the line has no end, and more files follow");
    }
    return fail(scan, AUDIT_E_TAMPERED, reterr);
}

static int check_head(struct scan *scan, struct error *reterr) {
    if (scan->chain.next == scan->head.next && strcmp(scan->chain.prev, scan->head.hash) != 0) {
        scan->bad = scan->last;
        (void)error_set(reterr, 0, "the record was changed: it has not the hash that was acknowledged");
        return fail(scan, AUDIT_E_TAMPERED, reterr);
    }
    return 0;
}

static int scan_lines(struct scan *scan, struct lines *lines, const struct segment *segment, bool final,
                      struct error *reterr) {
    const char *line = NULL;
    size_t size = 0;
    for (;;) {
        int rc = lines_next(lines, &line, &size);
        if (rc == LINES_END) {
            return 0;
        }
        place_set(&scan->bad, segment->name, lines, scan->chain.next);
        if (rc < 0) {
            return error_errno(reterr, -rc, "%s cannot be read", segment->name);
        }
        if (rc != 0) {
            return not_a_record(scan, lines, rc, final, reterr);
        }
        rc = chain_accept(&scan->chain, line, size, reterr);
        if (rc == CHAIN_E_LINE) {
            return not_a_record(scan, lines, 0, final, reterr);
        }
        if (rc == CHAIN_E_PREV) {
            return blame(scan, lines, line, size, reterr);
        }
        if (rc != 0) {
            return rc < 0 ? rc : fail(scan, rc, reterr);
        }
        scan->last = scan->bad;
        scan->sound_bytes = lines->next_offset;
        rc = check_head(scan, reterr);
        if (rc != 0) {
            return rc;
        }
    }
}

int scan_segment(struct scan *scan, int directory_fd, const struct segment *segment, bool final,
                 struct error *reterr) {
    struct lines lines;
    scan->sound_bytes = 0;
    if (segment->first != scan->chain.next) {
        scan->bad = (struct scan_place){.line = 1, .index = scan->chain.next};
        memcpy(scan->bad.file, segment->name, sizeof scan->bad.file);
        int code = segment->first > scan->chain.next ? AUDIT_E_GAP : AUDIT_E_TAMPERED;
        (void)error_set(reterr, 0, "the file does not begin where the one before ends");
        return fail(scan, code, reterr);
    }
    CLEANUP(close_fd) int fd = segment_open(directory_fd, segment->name, O_RDONLY, reterr);
    if (fd < 0) {
        return fd;
    }
    int rc = lines_open(&lines, fd);
    if (rc != 0) {
        return error_errno(reterr, -rc, "%s cannot be read", segment->name);
    }
    rc = scan_lines(scan, &lines, segment, final, reterr);
    lines_close(&lines);
    return rc;
}

int scan_finish(struct scan *scan, struct error *reterr) {
    if (scan->chain.next >= scan->head.next) {
        return 0;
    }
    scan->bad = scan->last;
    scan->bad.index = scan->chain.next;
    return error_set(reterr, AUDIT_E_GAP,
                     "%s: the log ends before index %llu, but everything before index %llu was acknowledged",
                     scan->last.file, (unsigned long long)scan->chain.next,
                     (unsigned long long)scan->head.next);
}
