/* SPDX-License-Identifier: Apache-2.0
 *
 * The segment files of a log directory, `audit-NNNNNNNNNNNN.seg`, named after the first index in them, read
 * frame by frame in bounded memory.
 */
#ifndef BUCKLER_AUDIT_SEGMENT_H
#define BUCKLER_AUDIT_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/frame.h"
#include "base/error.h"

#define KEY_FILE "vkey"

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

/* True while a writer holds the lock; asks without taking it. */
bool segment_writer_alive(int directory_fd);

/* ---- frames ---- */

enum segment_result {
    SEGMENT_END = 1, /* nothing but zeros follows */
    SEGMENT_BAD,     /* what follows is no frame or no header */
};

struct segment_reader {
    int fd;          /* borrowed */
    uint64_t offset; /* of the frame that was returned last, or of what is none */
    uint64_t next_offset;
    uint8_t *space;
    uint64_t space_offset; /* of the bytes in `space`, in the file */
    size_t space_size;
};

int segment_reader_open(struct segment_reader *reader, int fd) MUST_CHECK;
void segment_reader_close(struct segment_reader *reader);

/* The header at the beginning of the file; frames follow. 0, SEGMENT_BAD with the reason in ret_why, or
 * -errno. */
int segment_reader_header(struct segment_reader *reader, struct segment_header *ret,
                          const char **ret_why) MUST_CHECK;

/* 0: a frame, whose payload is valid until the next call. SEGMENT_END, SEGMENT_BAD with the reason in
 * ret_why, or -errno; it does not move on then. */
int segment_reader_next(struct segment_reader *reader, struct frame *ret, const char **ret_why) MUST_CHECK;

/* Behind a place where a frame is missing: looks from there to the end of the file for one whose batch began
 * after `missing`. Batches are written one after the other is durable, so such a frame says that the hole was
 * durable once. 1: there is one, 0: what is there is what is left of one batch, or -errno. */
int segment_reader_is_damage(struct segment_reader *reader, uint64_t missing) MUST_CHECK;

#endif
