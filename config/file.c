/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/config.h"

int config_read_file(const char *path, struct buf *ret, struct config_report *report) {
    /* Non-blocking, so that a pipe in the place of a file is refused and not waited for. */
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        config_report_add(report, path, 1, 1, "cannot be read: %s", strerror(errno));
        return CONFIG_E_INVALID;
    }
    if (!S_ISREG(info.st_mode)) {
        config_report_add(report, path, 1, 1, "not a regular file");
        return CONFIG_E_INVALID;
    }
    char block[16384];
    size_t before = ret->size;
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            config_report_add(report, path, 1, 1, "cannot be read: %s", strerror(errno));
            return CONFIG_E_INVALID;
        }
        if (got == 0) {
            return 0;
        }
        buf_append(ret, block, (size_t)got);
        if (ret->failed) {
            return -ENOMEM;
        }
        if (ret->size - before > CONFIG_MAX_BYTES) {
            config_report_add(report, path, 1, 1, "larger than %d bytes", CONFIG_MAX_BYTES);
            return CONFIG_E_INVALID;
        }
    }
}
