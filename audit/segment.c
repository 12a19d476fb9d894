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
#include "base/fd.h"

enum { LINES_SPACE_BYTES = 4 * 65536, HEAD_BYTES = 86 };
_Static_assert(LINES_SPACE_BYTES > 2 * RECORD_MAX_LINE_BYTES,
               "a whole line always fits behind what is left over");

static const char prefix[] = "audit-";
static const char suffix[] = ".jsonl";

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

/* ---- lines ---- */

int lines_open(struct lines *lines, int fd) {
    *lines = (struct lines){.fd = fd, .space = malloc(LINES_SPACE_BYTES)};
    return lines->space == NULL ? -ENOMEM : 0;
}

void lines_close(struct lines *lines) {
    free(lines->space);
    *lines = (struct lines){.fd = -1};
}

/* Moves what is left to the front and reads behind it. 0, LINES_END at the end of the file, or -errno. */
static int fill(struct lines *lines) {
    memmove(lines->space, lines->space + lines->begin, lines->end - lines->begin);
    lines->end -= lines->begin;
    lines->begin = 0;
    ssize_t got = 0;
    do {
        got = pread(lines->fd, lines->space + lines->end, LINES_SPACE_BYTES - lines->end,
                    (off_t)(lines->next_offset + lines->end));
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -errno;
    }
    lines->end += (size_t)got;
    return got == 0 ? LINES_END : 0;
}

static void consume(struct lines *lines, size_t bytes) {
    lines->begin += bytes;
    lines->next_offset += bytes;
}

/* Forgets what is there up to and with the next newline. 0 when it was found. */
static int skip_line(struct lines *lines) {
    for (;;) {
        char *from = lines->space + lines->begin;
        char *newline = memchr(from, '\n', lines->end - lines->begin);
        if (newline != NULL) {
            consume(lines, (size_t)(newline - from) + 1);
            return 0;
        }
        consume(lines, lines->end - lines->begin);
        int rc = fill(lines);
        if (rc != 0) {
            return rc;
        }
    }
}

int lines_next(struct lines *lines, const char **ret_line, size_t *ret_size) {
    if (lines->skipping) {
        int rc = skip_line(lines);
        if (rc != 0) {
            return rc;
        }
        lines->skipping = false;
    }
    lines->offset = lines->next_offset;
    lines->number++;
    for (;;) {
        size_t have = lines->end - lines->begin;
        char *newline = memchr(lines->space + lines->begin, '\n', have);
        size_t size = newline == NULL ? have : (size_t)(newline - lines->space) - lines->begin;
        if (size > RECORD_MAX_LINE_BYTES) {
            lines->skipping = true;
            return LINES_TOO_LONG;
        }
        int rc = newline == NULL ? fill(lines) : 0;
        if (newline != NULL || (rc == LINES_END && have > 0)) {
            *ret_line = lines->space + lines->begin;
            *ret_size = size;
            consume(lines, newline == NULL ? size : size + 1);
            return newline == NULL ? LINES_TORN : 0;
        }
        if (rc != 0) {
            return rc;
        }
    }
}

/* ---- head ---- */

int head_read(int directory_fd, struct head *ret, struct error *reterr) {
    char text[HEAD_BYTES + 1];
    uint8_t digest[DIGEST_BYTES];
    unsigned long long next = 0;
    CLEANUP(close_fd) int fd = segment_open(directory_fd, "head", O_RDONLY, reterr);
    if (fd < 0) {
        return fd;
    }
    ssize_t got = pread(fd, text, sizeof text, 0);
    if (got < 0) {
        return error_errno(reterr, errno, "head cannot be read");
    }
    *ret = (struct head){0};
    if (got == HEAD_BYTES) {
        char again[HEAD_BYTES + 1];
        text[HEAD_BYTES] = '\0';
        memcpy(ret->hash, text + 21, 64);
        next = strtoull(text, NULL, 10);
        (void)snprintf(again, sizeof again, "%020llu %s\n", next, ret->hash);
        if (memcmp(again, text, HEAD_BYTES) == 0 && hex_decode(ret->hash, digest, sizeof digest)) {
            hex_encode(digest, sizeof digest, again);
            ret->next = next;
            if (strcmp(again, ret->hash) == 0) {
                return 0;
            }
        }
    }
    return error_set(reterr, AUDIT_E_TAMPERED, "head is not what the writer wrote");
}

int head_write(int fd, const struct chain *chain) {
    char text[HEAD_BYTES + 1];
    (void)snprintf(text, sizeof text, "%020llu %s\n", (unsigned long long)chain->next, chain->prev);
    ssize_t put = 0;
    do {
        put = pwrite(fd, text, HEAD_BYTES, 0);
    } while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : put == HEAD_BYTES ? 0 : -ENOSPC;
}

bool segment_writer_alive(int directory_fd) {
    CLEANUP(close_fd) int fd = openat(directory_fd, "LOCK", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
