/* SPDX-License-Identifier: Apache-2.0
 *
 * The words that wire, policies, decoders and audit share. Every enum starts with an invalid zero, so that a
 * forgotten field is never a valid answer.
 */
#ifndef BUCKLER_BASE_VOCABULARY_H
#define BUCKLER_BASE_VOCABULARY_H

#include <stdbool.h>
#include <stdint.h>

enum content_kind { CONTENT_INVALID, CONTENT_TEXT, CONTENT_IMAGE, CONTENT_KIND_COUNT };
enum content_scope {
    SCOPE_INVALID,
    SCOPE_PROMPT,
    SCOPE_RESPONSE,
    SCOPE_UPLOAD,
    SCOPE_DOCUMENT,
    SCOPE_TOOL,
    SCOPE_COUNT
};
enum content_role { ROLE_INVALID, ROLE_USER, ROLE_ASSISTANT, ROLE_SYSTEM, ROLE_COUNT };
enum request_class { CLASS_INVALID, CLASS_INTERACTIVE, CLASS_STANDARD, CLASS_BATCH, CLASS_COUNT };

/* Weakest to strongest; a policy's strongest matching action wins. */
enum action {
    ACTION_INVALID,
    ACTION_ALLOW,
    ACTION_FLAG,
    ACTION_REDACT,
    ACTION_REVIEW,
    ACTION_DENY,
    ACTION_COUNT
};

/* What the decode workers notice about content. Bits of `flags`; names in flag_name(), in bit order. */
enum content_flag {
    FLAG_ZERO_WIDTH = 1u << 0,      /* zero-width or other default-ignorable characters */
    FLAG_BIDI = 1u << 1,            /* bidirectional control characters */
    FLAG_TAG_CHARACTERS = 1u << 2,  /* U+E0000…E007F or variation-selector smuggling: hidden text */
    FLAG_MIXED_SCRIPT = 1u << 3,    /* a word that mixes scripts: confusables */
    FLAG_COMPATIBILITY = 1u << 4,   /* NFKC changed letters or digits */
    FLAG_COMBINING = 1u << 5,       /* more than four combining marks on one base (zalgo) */
    FLAG_CONTROL_TOKEN = 1u << 6,   /* text that spells a model's control token */
    FLAG_SPACED_LETTERS = 1u << 7,  /* single letters kept apart: b o m b */
    FLAG_INVALID_UTF8 = 1u << 8,    /* malformed bytes were replaced by U+FFFD */
    FLAG_MIME_MISMATCH = 1u << 9,   /* the magic bytes disagree with the declared type */
    FLAG_TRAILING_DATA = 1u << 10,  /* bytes behind the end of an image */
    FLAG_ANIMATED = 1u << 11,       /* more than one frame */
    FLAG_TRUNCATED = 1u << 12,      /* an image that ends early; what decodes is judged */
    FLAG_ALPHA = 1u << 13,          /* transparency: judged on white and on black */
    FLAG_EXTREME_ASPECT = 1u << 14, /* one side more than ten times the other */
    FLAG_ENCODED_TEXT = 1u << 15,   /* a run of base64, hex or percent encoding that hides text */
    FLAG_COUNT = 16
};

/* Names as they stand on the wire and in YAML; NULL for the invalid value. The _from functions return the
 * invalid value for an unknown name. */
const char *content_kind_name(enum content_kind kind);
const char *content_scope_name(enum content_scope scope);
const char *content_role_name(enum content_role role);
const char *request_class_name(enum request_class class_);
const char *action_name(enum action action);
enum content_kind content_kind_from(const char *name);
enum content_scope content_scope_from(const char *name);
enum content_role content_role_from(const char *name);
enum request_class request_class_from(const char *name);
enum action action_from(const char *name);

/* bit 0 … FLAG_COUNT - 1; flag_from returns 0 for an unknown name. */
const char *flag_name(unsigned bit);
uint32_t flag_from(const char *name);

/* Whether an action lets the content through: allow, flag and redact do, review and deny do not. */
static inline bool action_allows(enum action action) {
    return action == ACTION_ALLOW || action == ACTION_FLAG || action == ACTION_REDACT;
}

/* Scores are integers in parts per million: the same decision on every machine and in every replay. */
enum { SCORE_ONE = 1000000, SCORE_NONE = -1 };

#endif
