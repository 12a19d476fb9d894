/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, int code, const char *format, ...) {
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(e->text, sizeof e->text, format, args); /* a cut sentence is still a sentence */
        va_end(args);
        e->code = code;
    }
    return code;
}

int error_errno(struct error *e, int number, const char *format, ...) {
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
        size_t used = strlen(e->text);
        (void)snprintf(e->text + used, sizeof e->text - used, ": %s", strerror(number));
        e->code = -number;
    }
    return -number;
}

int error_prefix(struct error *e, const char *format, ...) {
    if (e == NULL) {
        return -EIO;
    }
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    size_t used = strlen(e->text);
    (void)snprintf(e->text + used, sizeof e->text - used, "%s", old);
    return e->code;
}

int error_recode(struct error *e, int code, int positive) {
    if (code <= 0) {
        return code;
    }
    if (e != NULL) {
        e->code = positive;
    }
    return positive;
}
