/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vocabulary.h"

#include <stddef.h>
#include <string.h>

static const char *const kind_names[] = {NULL, "text", "image"};
static const char *const scope_names[] = {NULL, "prompt", "response", "upload", "document", "tool"};
static const char *const role_names[] = {NULL, "user", "assistant", "system"};
static const char *const class_names[] = {NULL, "interactive", "standard", "batch"};
static const char *const action_names[] = {NULL, "allow", "flag", "redact", "review", "deny"};
static const char *const flag_names[] = {"zero_width",    "bidi",          "tag_characters", "mixed_script",
                                         "compatibility", "combining",     "control_token",  "spaced_letters",
                                         "invalid_utf8",  "mime_mismatch", "trailing_data",  "animated",
                                         "truncated",     "alpha",         "extreme_aspect", "encoded_text"};

_Static_assert(sizeof kind_names / sizeof *kind_names == CONTENT_KIND_COUNT, "a name for each kind");
_Static_assert(sizeof scope_names / sizeof *scope_names == SCOPE_COUNT, "a name for each scope");
_Static_assert(sizeof role_names / sizeof *role_names == ROLE_COUNT, "a name for each role");
_Static_assert(sizeof class_names / sizeof *class_names == CLASS_COUNT, "a name for each class");
_Static_assert(sizeof action_names / sizeof *action_names == ACTION_COUNT, "a name for each action");
_Static_assert(sizeof flag_names / sizeof *flag_names == FLAG_COUNT, "a name for each flag");

static const char *name_at(const char *const *names, unsigned count, unsigned index) {
    return index < count ? names[index] : NULL;
}

static unsigned index_of(const char *const *names, unsigned count, const char *name) {
    for (unsigned i = 1; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return 0;
}

const char *content_kind_name(enum content_kind kind) {
    return name_at(kind_names, CONTENT_KIND_COUNT, kind);
}

const char *content_scope_name(enum content_scope scope) {
    return name_at(scope_names, SCOPE_COUNT, scope);
}

const char *content_role_name(enum content_role role) {
    return name_at(role_names, ROLE_COUNT, role);
}

const char *request_class_name(enum request_class class_) {
    return name_at(class_names, CLASS_COUNT, class_);
}

const char *action_name(enum action action) {
    return name_at(action_names, ACTION_COUNT, action);
}

enum content_kind content_kind_from(const char *name) {
    return (enum content_kind)index_of(kind_names, CONTENT_KIND_COUNT, name);
}

enum content_scope content_scope_from(const char *name) {
    return (enum content_scope)index_of(scope_names, SCOPE_COUNT, name);
}

enum content_role content_role_from(const char *name) {
    return (enum content_role)index_of(role_names, ROLE_COUNT, name);
}

enum request_class request_class_from(const char *name) {
    return (enum request_class)index_of(class_names, CLASS_COUNT, name);
}

enum action action_from(const char *name) {
    return (enum action)index_of(action_names, ACTION_COUNT, name);
}

const char *flag_name(unsigned bit) {
    return name_at(flag_names, FLAG_COUNT, bit);
}

uint32_t flag_from(const char *name) {
    for (unsigned i = 0; i < FLAG_COUNT; i++) {
        if (strcmp(flag_names[i], name) == 0) {
            return 1u << i;
        }
    }
    return 0;
}
