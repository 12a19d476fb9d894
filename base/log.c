/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void log_line(const struct log *log, enum log_level level, const char *message_id, const char *format, ...) {
    if (log == NULL || level > log->level) {
        return;
    }
    char line[1024];
    int used = snprintf(line, sizeof line, "<%d>%s: %s: ", (int)level, log->program, message_id);
    if (used < 0 || (size_t)used >= sizeof line) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + used, sizeof line - (size_t)used - 1, format, args);
    va_end(args);
    size_t length = strlen(line);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < 0x20) {
            line[i] = '?'; /* one message stays one line */
        }
    }
    line[length++] = '\n';
    /* One write a line, so that lines of several processes do not mix; a lost log line must not stop the
     * daemon. */
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}
