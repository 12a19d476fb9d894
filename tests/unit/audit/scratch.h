/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder for one test, and whole files in and out of memory. Private to the tests of audit/.
 */
#ifndef BUCKLER_TESTS_UNIT_AUDIT_SCRATCH_H
#define BUCKLER_TESTS_UNIT_AUDIT_SCRATCH_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bytes {
    char *data;
    size_t size;
};

/* In memory where that exists: these tests sync thousands of times, and what they check does not need a disk.
 */
static inline char *scratch_new(void) {
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    char *path = malloc(512);
    assert_non_null(path);
    (void)snprintf(path, 512, "%s/buckler-audit-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void scratch_path(char out[1024], const char *directory, const char *name) {
    assert_true(snprintf(out, 1024, "%s/%s", directory, name) < 1024);
}

static inline int scratch_remove(const char *path, const struct stat *info, int type, struct FTW *place) {
    (void)info;
    (void)type;
    return place->level == 0 ? 0 : remove(path);
}

static inline void scratch_empty(const char *directory) {
    assert_int_equal(nftw(directory, scratch_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The folder and the keys that lie beside it. */
static inline void scratch_free(char *directory) {
    char command[1024];
    assert_true(snprintf(command, sizeof command, "rm -rf '%s' '%s'.key*", directory, directory) <
                (int)sizeof command);
    assert_int_equal(system(command), 0);
    free(directory);
}

/* Makes `to`, and the key beside it, what `from` is. */
static inline void scratch_copy(const char *from, const char *to) {
    char command[4096];
    assert_true(snprintf(command, sizeof command,
                         "rm -rf '%s' '%s'.key* && cp -a '%s' '%s' && cp -a '%s.key' '%s.key'", to, to, from,
                         to, from, to) < (int)sizeof command);
    assert_int_equal(system(command), 0);
}

static inline struct bytes scratch_read(const char *directory, const char *name) {
    char path[1024];
    struct stat info;
    scratch_path(path, directory, name);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &info), 0);
    struct bytes bytes = {malloc((size_t)info.st_size + 1), (size_t)info.st_size};
    assert_non_null(bytes.data);
    assert_int_equal(read(fd, bytes.data, bytes.size), (ssize_t)bytes.size);
    bytes.data[bytes.size] = '\0';
    (void)close(fd);
    return bytes;
}

static inline void scratch_write(const char *directory, const char *name, const void *data, size_t size) {
    char path[1024];
    scratch_path(path, directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    (void)close(fd);
}

static inline int scratch_has(const char *directory, const char *suffix) {
    int found = 0;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        size_t length = strlen(entry->d_name);
        found += length >= strlen(suffix) && strcmp(entry->d_name + length - strlen(suffix), suffix) == 0;
    }
    (void)closedir(dir);
    return found;
}

#endif
