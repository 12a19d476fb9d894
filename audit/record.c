/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/record.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "audit/canonical.h"

static const char format_name[] = "buckler.audit/1";

/* The log's keys, in their order. */
enum added_key { ADDED_BATCH, ADDED_INDEX, ADDED_PREV, ADDED_TIME, ADDED_COUNT };
static const char *const added_names[ADDED_COUNT] = {"batch", "index", "prev", "time_ns"};

static bool is_key(const struct canonical_member *m, const char *name) {
    return m->key_size == strlen(name) && memcmp(m->key, name, m->key_size) == 0;
}

/* ---- building ---- */

/* The payload's members go into the line as they are; the log's keys are put where they belong among them. */
struct build {
    struct buf *out;
    const struct record_link *link;
    enum added_key next;
    bool first;
    const char *taken; /* a key of the payload that is the log's */
};

static void separate(struct build *b) {
    buf_append(b->out, ",", b->first ? 0 : 1);
    b->first = false;
}

static void add_key(struct build *b) {
    char text[DIGEST_HEX_SIZE + 32];
    const struct record_link *link = b->link;
    const char *name = added_names[b->next];
    uint64_t number = b->next == ADDED_BATCH   ? link->batch
                      : b->next == ADDED_INDEX ? link->index
                                               : link->time_ns;
    separate(b);
    if (b->next == ADDED_PREV) {
        (void)snprintf(text, sizeof text, "\"%s\":\"%s\"", name, link->prev);
    } else {
        (void)snprintf(text, sizeof text, "\"%s\":%llu", name, (unsigned long long)number);
    }
    buf_append(b->out, text, strlen(text));
    b->next++;
}

static void build_member(void *user, const struct canonical_member *m) {
    struct build *b = user;
    while (b->next < ADDED_COUNT) {
        const char *name = added_names[b->next];
        int order = canonical_compare(name, strlen(name), m->key, m->key_size);
        if (order > 0) {
            break;
        }
        b->taken = order == 0 ? name : b->taken;
        add_key(b);
    }
    separate(b);
    buf_append(b->out, m->key - 1, (size_t)(m->value + m->value_size - (m->key - 1)));
}

int record_build(const void *payload, size_t size, const struct record_link *link, struct buf *out,
                 struct error *reterr) {
    struct build build = {.out = out, .link = link, .first = true};
    size_t before = out->size;
    if (size > AUDIT_MAX_PAYLOAD_BYTES) {
        return error_set(reterr, -EINVAL, "a record of %zu bytes is longer than the limit of %d", size,
                         AUDIT_MAX_PAYLOAD_BYTES);
    }
    buf_append(out, "{", 1);
    const char *why = canonical_check(payload, size, build_member, &build);
    while (build.next < ADDED_COUNT) {
        add_key(&build);
    }
    buf_append(out, "}\n", 2);
    if (out->failed) {
        return error_errno(reterr, ENOMEM, "a record cannot be stored");
    }
    if (why == NULL && build.taken == NULL) {
        return 0;
    }
    out->size = before;
    return why != NULL
               ? error_set(reterr, -EINVAL, "a record %s", why)
               : error_set(reterr, -EINVAL, "a record has the key %s, which the log adds", build.taken);
}

/* ---- reading ---- */

struct parse {
    struct record_link link;
    unsigned found; /* bits (1 << enum added_key) */
    bool created, known_format;
    char log_id[RECORD_LOG_ID_SIZE];
};

/* A number that is not negative; canonical, hence decimal digits that fit. */
static bool take_number(const struct canonical_member *m, uint64_t *ret) {
    *ret = 0;
    for (size_t i = 0; i < m->value_size; i++) {
        if (m->value[i] < '0' || m->value[i] > '9') {
            return false;
        }
        *ret = *ret * 10 + (uint64_t)(m->value[i] - '0');
    }
    return true;
}

static bool take_text(const struct canonical_member *m, char *out, size_t out_size) {
    if (m->value_size < 2 || m->value[0] != '"' || m->value_size - 2 >= out_size) {
        return false;
    }
    memcpy(out, m->value + 1, m->value_size - 2);
    out[m->value_size - 2] = '\0';
    return true;
}

static bool take_hash(const struct canonical_member *m, char out[DIGEST_HEX_SIZE]) {
    uint8_t digest[DIGEST_BYTES];
    char again[DIGEST_HEX_SIZE];
    if (!take_text(m, out, DIGEST_HEX_SIZE) || !hex_decode(out, digest, sizeof digest)) {
        return false;
    }
    hex_encode(digest, sizeof digest, again);
    return strcmp(again, out) == 0; /* lower case */
}

static void parse_member(void *user, const struct canonical_member *m) {
    struct parse *p = user;
    char text[RECORD_LOG_ID_SIZE];
    uint64_t *const numbers[ADDED_COUNT] = {&p->link.batch, &p->link.index, NULL, &p->link.time_ns};
    for (unsigned key = 0; key < ADDED_COUNT; key++) {
        if (is_key(m, added_names[key]) &&
            (key == ADDED_PREV ? take_hash(m, p->link.prev) : take_number(m, numbers[key]))) {
            p->found |= 1u << key;
        }
    }
    if (is_key(m, "event")) {
        p->created = take_text(m, text, sizeof text) && strcmp(text, "log_created") == 0;
    } else if (is_key(m, "format")) {
        p->known_format = take_text(m, text, sizeof text) && strcmp(text, format_name) == 0;
    } else if (is_key(m, "log") && !take_text(m, p->log_id, sizeof p->log_id)) {
        p->log_id[0] = '\0';
    }
}

int record_parse(const char *line, size_t size, struct record_link *ret, char ret_log_id[RECORD_LOG_ID_SIZE],
                 struct error *reterr) {
    struct parse parse = {0};
    const char *why = canonical_check(line, size, parse_member, &parse);
    if (why != NULL) {
        return error_set(reterr, AUDIT_E_TAMPERED, "the line %s", why);
    }
    if (parse.found != (1u << ADDED_COUNT) - 1 || parse.link.batch > parse.link.index) {
        return error_set(reterr, AUDIT_E_TAMPERED, "the line lacks a sound index, batch, prev or time_ns");
    }
    *ret = parse.link;
    if (ret_log_id != NULL) {
        bool created = parse.created && parse.known_format;
        (void)snprintf(ret_log_id, RECORD_LOG_ID_SIZE, "%s", created ? parse.log_id : "");
    }
    return 0;
}

/* ---- events of the log ---- */

void record_created(struct buf *out, const char *log_id) {
    buf_printf(out, "{\"event\":\"log_created\",\"format\":\"%s\",\"log\":\"%s\",\"type\":\"event\"}",
               format_name, log_id);
}

void record_torn(struct buf *out, const char *file, const char *kept, uint64_t offset, uint64_t bytes,
                 uint64_t lost) {
    buf_printf(out,
               "{\"bytes\":%llu,\"event\":\"torn_tail\",\"file\":\"%s\",\"kept\":\"%s\",\"lost\":%llu,"
               "\"offset\":%llu,"
               "\"type\":\"event\"}",
               (unsigned long long)bytes, file, kept, (unsigned long long)lost, (unsigned long long)offset);
}
