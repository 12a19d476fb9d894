/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/names.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

int names_find(const struct names *names, const char *name) {
    json_t *number = json_object_get(names->numbers, name);
    return number != NULL ? (int)json_integer_value(number) : -1;
}

int names_add(struct names *names, const char *name) {
    int number = names_find(names, name);
    if (number >= 0) {
        return number;
    }
    if (names->numbers == NULL && (names->numbers = json_object()) == NULL) {
        return -ENOMEM;
    }
    if (names->count == names->capacity) {
        size_t capacity = names->capacity > 0 ? 2 * names->capacity : 16;
        const char **items = capacity <= INT_MAX ? reallocarray(names->items, capacity, sizeof *items) : NULL;
        if (items == NULL) {
            return -ENOMEM;
        }
        names->items = items;
        names->capacity = capacity;
    }
    if (json_object_set_new(names->numbers, name, json_integer((json_int_t)names->count)) != 0) {
        return -ENOMEM;
    }
    /* The key's own bytes, which stay where they are as long as the key is in the object. */
    names->items[names->count] = json_object_iter_key(json_object_iter_at(names->numbers, name));
    return (int)names->count++;
}

void names_deinit(struct names *names) {
    json_decref(names->numbers);
    free(names->items);
    *names = (struct names){0};
}
