/* SPDX-License-Identifier: Apache-2.0
 *
 * "Did you mean": the edit distance with neighbouring letters swapped counted once (optimal string
 * alignment).
 */
#include <stdio.h>
#include <string.h>

#include "config/config.h"

enum { NEAREST_MAX_LENGTH = 64 };

static unsigned min2(unsigned a, unsigned b) {
    return a < b ? a : b;
}

static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    unsigned rows[3][NEAREST_MAX_LENGTH + 1];
    unsigned *older = rows[0];
    unsigned *old = rows[1];
    unsigned *now = rows[2];
    for (size_t j = 0; j <= b_length; j++) {
        old[j] = (unsigned)j;
        older[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned cost = a[i - 1] != b[j - 1];
            now[j] = min2(old[j - 1] + cost, min2(old[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                now[j] = min2(now[j], older[j - 2] + 1);
            }
        }
        unsigned *free_row = older;
        older = old;
        old = now;
        now = free_row;
    }
    return old[b_length];
}

const char *config_nearest(const char *word, const char *const *names, size_t count, char *out,
                           size_t out_size) {
    size_t length = strlen(word);
    const char *best = NULL;
    unsigned best_distance = 0;
    for (size_t i = 0; i < count && length <= NEAREST_MAX_LENGTH; i++) {
        size_t name_length = strlen(names[i]);
        if (name_length > NEAREST_MAX_LENGTH) {
            continue;
        }
        unsigned found = distance(word, length, names[i], name_length);
        if (found <= name_length / 3 + 1 && found < name_length && (best == NULL || found < best_distance)) {
            best = names[i];
            best_distance = found;
        }
    }
    if (best == NULL) {
        return "";
    }
    (void)snprintf(out, out_size, " (did you mean \"%s\"?)", best);
    return out;
}
