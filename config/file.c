/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/config.h"

static void close_file(FILE **file) {
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

int config_read_file(const char *path, struct buf *ret, struct config_report *report) {
    CLEANUP(close_file) FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        config_report_add(report, path, 1, 1, "cannot be read: %s", strerror(errno));
        return CONFIG_E_INVALID;
    }
    char block[16384];
    size_t before = ret->size;
    for (;;) {
        size_t got = fread(block, 1, sizeof block, file);
        buf_append(ret, block, got);
        if (ret->failed) {
            return -ENOMEM;
        }
        if (ret->size - before > CONFIG_MAX_BYTES) {
            config_report_add(report, path, 1, 1, "larger than %d bytes", CONFIG_MAX_BYTES);
            return CONFIG_E_INVALID;
        }
        if (got < sizeof block) {
            break;
        }
    }
    if (ferror(file) != 0) {
        config_report_add(report, path, 1, 1, "cannot be read: %s", strerror(errno));
        return CONFIG_E_INVALID;
    }
    return 0;
}
