/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines on standard error for the journal: `<N>program: message-id: text`. Programs log, modules return
 * errors. A message id is a stable short word; the text never holds content of a client.
 */
#ifndef BUCKLER_BASE_LOG_H
#define BUCKLER_BASE_LOG_H

enum log_level {
    LOG_ERROR_LEVEL = 3,
    LOG_WARNING_LEVEL = 4,
    LOG_NOTICE_LEVEL = 5,
    LOG_INFO_LEVEL = 6,
    LOG_DEBUG_LEVEL = 7
};

struct log {
    const char *program;  /* static string */
    enum log_level level; /* lines above it are dropped */
};

void log_line(const struct log *log, enum log_level level, const char *message_id, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(log, id, ...) log_line((log), LOG_ERROR_LEVEL, (id), __VA_ARGS__)
#define log_warning(log, id, ...) log_line((log), LOG_WARNING_LEVEL, (id), __VA_ARGS__)
#define log_notice(log, id, ...) log_line((log), LOG_NOTICE_LEVEL, (id), __VA_ARGS__)
#define log_info(log, id, ...) log_line((log), LOG_INFO_LEVEL, (id), __VA_ARGS__)
#define log_debug(log, id, ...) log_line((log), LOG_DEBUG_LEVEL, (id), __VA_ARGS__)

#endif
