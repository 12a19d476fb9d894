/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of a log directory: `audit-NNNNNNNNNNNN.jsonl`, named after the first index in them, read line by
 * line in bounded memory; and `head`, 86 bytes that say how far the log was acknowledged:
 *
 *   20 digits: next index · space · 64 hex digits: SHA-256 of the last line · newline
 *
 * head is rewritten in place after each batch and synced only at rotation and at the end. It may therefore be
 * older than the log, never newer.
 */
#ifndef BUCKLER_AUDIT_SEGMENT_H
#define BUCKLER_AUDIT_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"
#include "base/error.h"

enum { SEGMENT_NAME_SIZE = 48 };

struct segment {
    uint64_t first;
    char name[SEGMENT_NAME_SIZE];
};

struct segment_list {
    struct segment *items; /* ascending */
    size_t count;
};

void segment_name(uint64_t first, char out[SEGMENT_NAME_SIZE]);

/* Names that are not exactly what segment_name writes are no segments. */
int segment_list_read(int directory_fd, struct segment_list *ret, struct error *reterr) MUST_CHECK;
void segment_list_deinit(struct segment_list *list);

/* Opens a regular file of the directory without following a link. Returns the descriptor or -errno. */
int segment_open(int directory_fd, const char *name, int flags, struct error *reterr) MUST_CHECK;

/* ---- lines ---- */

enum lines_result { LINES_END = 1, LINES_TORN, LINES_TOO_LONG };

struct lines {
    int fd;          /* borrowed */
    uint64_t offset; /* of the line that was returned last */
    uint64_t number; /* of it, from 1 */
    uint64_t next_offset;
    char *space;
    size_t begin, end;
    bool skipping;
};

int lines_open(struct lines *lines, int fd) MUST_CHECK;
void lines_close(struct lines *lines);

/* 0: one line without its newline, valid until the next call. LINES_END; LINES_TORN: bytes without a newline
 * are the last thing in the file (they are returned); LINES_TOO_LONG: no record is so long (the next call
 * goes on behind its newline); -errno. */
int lines_next(struct lines *lines, const char **ret_line, size_t *ret_size) MUST_CHECK;

/* ---- head ---- */

struct head {
    uint64_t next;
    char hash[DIGEST_HEX_SIZE];
};

/* -ENOENT when there is none, AUDIT_E_TAMPERED when it is not a head. */
int head_read(int directory_fd, struct head *ret, struct error *reterr) MUST_CHECK;

/* Writes in place to an open file. */
int head_write(int fd, const struct chain *chain) MUST_CHECK;

/* True while a writer holds the lock; asks without taking it. */
bool segment_writer_alive(int directory_fd);

#endif
