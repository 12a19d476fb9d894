/* SPDX-License-Identifier: Apache-2.0 */
#include "base/z85.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

_Static_assert(sizeof alphabet == 85 + 1, "85 characters");

static bool is_key(const char *text, size_t length) {
    if (length != Z85_KEY_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < length; i += 5) {
        uint64_t value = 0;
        for (size_t k = i; k < i + 5; k++) {
            const char *found = text[k] != '\0' ? strchr(alphabet, text[k]) : NULL;
            if (found == NULL) {
                return false;
            }
            value = value * 85 + (uint64_t)(found - alphabet);
        }
        if (value > UINT32_MAX) {
            return false;
        }
    }
    return true;
}

bool z85_is_key(const char *text) {
    return is_key(text, strnlen(text, Z85_KEY_SIZE));
}

int z85_next_key(const char **text, char ret_key[Z85_KEY_SIZE]) {
    *text += strspn(*text, "\n");
    size_t length = strcspn(*text, "\n");
    if (length == 0) {
        return 0;
    }
    if (!is_key(*text, length)) {
        return -EINVAL;
    }
    memcpy(ret_key, *text, length);
    ret_key[length] = '\0';
    *text += length;
    return 1;
}
