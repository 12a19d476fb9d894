/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"

/* At least one whole frame; more, so that a call to the kernel is worth its while. */
enum { SPACE_BYTES = 512 * 1024 };
_Static_assert(SPACE_BYTES > 2 * (FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD_BYTES), "a frame fits");

static const char prefix[] = "audit-";
static const char suffix[] = ".seg";

void segment_name(uint64_t first, char out[SEGMENT_NAME_SIZE]) {
    (void)snprintf(out, SEGMENT_NAME_SIZE, "%s%012llu%s", prefix, (unsigned long long)first, suffix);
}

static bool parse_name(const char *name, struct segment *ret) {
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    errno = 0;
    ret->first = strtoull(name + sizeof prefix - 1, NULL, 10);
    segment_name(ret->first, ret->name);
    return errno == 0 && strcmp(ret->name, name) == 0;
}

static int compare(const void *a, const void *b) {
    uint64_t x = ((const struct segment *)a)->first;
    uint64_t y = ((const struct segment *)b)->first;
    return (x > y) - (x < y);
}

static void close_dir(DIR **dir) {
    if (*dir != NULL) {
        (void)closedir(*dir);
    }
}

int segment_list_read(int directory_fd, struct segment_list *ret, struct error *reterr) {
    CLEANUP(close_fd) int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    CLEANUP(segment_list_deinit) struct segment_list list = {0};
    if (dir == NULL) {
        return error_errno(reterr, errno, "the directory cannot be listed");
    }
    fd = -1; /* the stream owns it now */
    errno = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct segment one;
        if (parse_name(entry->d_name, &one)) {
            struct segment *grown = reallocarray(list.items, list.count + 1, sizeof *grown);
            if (grown == NULL) {
                return error_errno(reterr, ENOMEM, "the directory cannot be listed");
            }
            list.items = grown;
            list.items[list.count++] = one;
        }
        errno = 0;
    }
    if (errno != 0) {
        return error_errno(reterr, errno, "the directory cannot be listed");
    }
    if (list.count > 1) {
        qsort(list.items, list.count, sizeof list.items[0], compare);
    }
    *ret = list;
    list = (struct segment_list){0};
    return 0;
}

void segment_list_deinit(struct segment_list *list) {
    free(list->items);
    *list = (struct segment_list){0};
}

int segment_open(int directory_fd, const char *name, int flags, struct error *reterr) {
    CLEANUP(close_fd) int fd = openat(directory_fd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0640);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        return error_errno(reterr, errno, "%s cannot be opened", name);
    }
    if (!S_ISREG(info.st_mode)) {
        return error_errno(reterr, EINVAL, "%s is not a file", name);
    }
    return steal_fd(&fd);
}

bool segment_writer_alive(int directory_fd) {
    CLEANUP(close_fd) int fd = openat(directory_fd, "LOCK", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- frames ---- */

int segment_reader_open(struct segment_reader *reader, int fd) {
    *reader = (struct segment_reader){.fd = fd, .space = malloc(SPACE_BYTES)};
    return reader->space == NULL ? -ENOMEM : 0;
}

void segment_reader_close(struct segment_reader *reader) {
    free(reader->space);
    *reader = (struct segment_reader){.fd = -1};
}

/* Makes the bytes from `offset` on available, `want` of them unless the file ends before. */
static int window(struct segment_reader *reader, uint64_t offset, size_t want, const uint8_t **ret_bytes,
                  size_t *ret_size) {
    uint64_t end = reader->space_offset + reader->space_size;
    if (offset < reader->space_offset || offset > end || end - offset < want) {
        size_t keep = offset < reader->space_offset || offset > end ? 0 : (size_t)(end - offset);
        memmove(reader->space, reader->space + reader->space_size - keep, keep);
        reader->space_offset = offset;
        reader->space_size = keep;
        while (reader->space_size < want) {
            ssize_t got = pread(reader->fd, reader->space + reader->space_size,
                                SPACE_BYTES - reader->space_size, (off_t)(offset + reader->space_size));
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0) {
                return -errno;
            }
            if (got == 0) {
                break;
            }
            reader->space_size += (size_t)got;
        }
    }
    *ret_bytes = reader->space + (offset - reader->space_offset);
    *ret_size = (size_t)(reader->space_offset + reader->space_size - offset);
    return 0;
}

int segment_reader_header(struct segment_reader *reader, struct segment_header *ret, const char **ret_why) {
    const uint8_t *bytes = NULL;
    size_t have = 0;
    int rc = window(reader, 0, SEGMENT_HEADER_BYTES, &bytes, &have);
    if (rc < 0) {
        return rc;
    }
    *ret_why = have < SEGMENT_HEADER_BYTES ? "is shorter than a header" : segment_header_parse(bytes, ret);
    reader->offset = 0;
    reader->next_offset = SEGMENT_HEADER_BYTES;
    return *ret_why == NULL ? 0 : SEGMENT_BAD;
}

/* SEGMENT_END when there are only zeros from the offset on. */
static int check_end(struct segment_reader *reader, const char **ret_why) {
    const uint8_t *bytes = NULL;
    size_t have = 0;
    for (uint64_t at = reader->next_offset;; at += have) {
        int rc = window(reader, at, SPACE_BYTES / 2, &bytes, &have);
        if (rc < 0 || have == 0) {
            return rc < 0 ? rc : SEGMENT_END;
        }
        if (bytes[0] != 0 || memcmp(bytes, bytes + 1, have - 1) != 0) {
            *ret_why = "bytes follow the end of the data";
            return SEGMENT_BAD;
        }
    }
}

/* The bytes of the frame at the offset, as far as its length lets itself be believed. */
static int parse_at(struct segment_reader *reader, uint64_t offset, struct frame *ret, const char **ret_why) {
    const uint8_t *bytes = NULL;
    size_t have = 0;
    int rc = window(reader, offset, FRAME_HEADER_BYTES, &bytes, &have);
    if (rc < 0) {
        return rc;
    }
    struct cursor c;
    cursor_init(&c, bytes, have);
    size_t length = cursor_u32(&c);
    *ret_why = have < FRAME_HEADER_BYTES          ? "the frame is cut off"
               : length == 0                      ? "there is no frame"
               : length > FRAME_MAX_PAYLOAD_BYTES ? "the frame has an impossible length"
                                                  : NULL;
    if (*ret_why == NULL) {
        rc = window(reader, offset, frame_bytes(length), &bytes, &have);
        if (rc < 0) {
            return rc;
        }
        *ret_why = have < frame_bytes(length) ? "the frame is cut off"
                                              : frame_parse(bytes, frame_bytes(length), ret);
    }
    return *ret_why == NULL ? 0 : SEGMENT_BAD;
}

int segment_reader_next(struct segment_reader *reader, struct frame *ret, const char **ret_why) {
    static const uint8_t zeros[4];
    const uint8_t *bytes = NULL;
    size_t have = 0;
    reader->offset = reader->next_offset;
    int rc = window(reader, reader->offset, FRAME_HEADER_BYTES, &bytes, &have);
    if (rc < 0) {
        return rc;
    }
    if (have == 0 || memcmp(bytes, zeros, have < 4 ? have : 4) == 0) {
        return check_end(reader, ret_why);
    }
    rc = parse_at(reader, reader->offset, ret, ret_why);
    if (rc == 0) {
        reader->next_offset += frame_bytes(ret->size);
    }
    return rc;
}

int segment_reader_is_damage(struct segment_reader *reader, uint64_t missing) {
    const uint8_t *bytes = NULL;
    size_t have = 0;
    struct frame frame;
    const char *why = NULL;
    uint64_t step = 8;
    for (uint64_t at = reader->offset;; at += step) {
        int rc = window(reader, at, FRAME_HEADER_BYTES, &bytes, &have);
        if (rc < 0 || have < FRAME_HEADER_BYTES) {
            return rc;
        }
        rc = parse_at(reader, at, &frame, &why);
        if (rc < 0) {
            return rc;
        }
        if (rc == 0 && frame.batch > missing) {
            return 1;
        }
        step = rc == 0 ? frame_bytes(frame.size) : 8;
    }
}
