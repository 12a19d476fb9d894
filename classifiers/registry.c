/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "classifiers/classifier.h"
#include "classifiers/head/head.h"
#include "classifiers/lists/lists.h"
#include "classifiers/open_nsfw/open_nsfw.h"
#include "classifiers/yes_no/yes_no.h"

/* By name. */
static const struct classifier_type *const types[] = {
    &head_classifier,
    &lists_classifier,
    &open_nsfw_classifier,
    &yes_no_classifier,
};

const struct classifier_type *classifier_find(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i]->name, name) == 0) {
            return types[i];
        }
    }
    return NULL;
}

const struct classifier_type *const *classifier_all(size_t *ret_count) {
    *ret_count = sizeof types / sizeof types[0];
    return types;
}
