/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/note.h"

#include <errno.h>
#include <string.h>

#include "audit/proof/note_key.h"
#include "audit/proof/tree.h"
#include "base/utf8.h"

static int refuse(struct error *reterr, const char *sentence) {
    return error_set(reterr, PROOF_E_MALFORMED, "%s", sentence);
}

static bool has_control(struct slice text) {
    for (size_t i = 0; i < text.size; i++) {
        if ((unsigned char)text.bytes[i] < 0x20 && text.bytes[i] != '\n') {
            return true;
        }
    }
    return false;
}

/* What holds for the whole note, and for a text that shall become one. */
static int check_characters(struct slice bytes, struct error *reterr) {
    if (bytes.size == 0) {
        return refuse(reterr, "the note is empty");
    }
    if (bytes.size > NOTE_MAX_BYTES) {
        return refuse(reterr, "the note is longer than a mebibyte");
    }
    if (!utf8_valid(bytes.bytes, bytes.size, NULL)) {
        return refuse(reterr, "the note is not UTF-8");
    }
    if (has_control(bytes)) {
        return refuse(reterr, "the note has a control character in it");
    }
    return bytes.bytes[bytes.size - 1] == '\n' ? 0 : refuse(reterr, "the note does not end in a newline");
}

/* ---- reading ---- */

static int parse_line(struct slice line, struct note_line *ret, struct error *reterr) {
    if (!slice_skip(&line, NOTE_DASH)) {
        return refuse(reterr, "a signature line does not begin with an em dash and a space");
    }
    const char *space = line.size > 0 ? memchr(line.bytes, ' ', line.size) : NULL;
    size_t name_size = space != NULL ? (size_t)(space - line.bytes) : line.size;
    struct note_line parsed = {.name = {line.bytes, name_size}};
    if (!note_name_valid(parsed.name)) {
        return refuse(reterr, "a signature line has no valid key name");
    }
    if (space == NULL) {
        return refuse(reterr, "a signature line has no signature");
    }
    parsed.base64 = (struct slice){space + 1, line.size - name_size - 1};
    size_t length = 0;
    if (!base64_size(parsed.base64, &length) || !base64_valid(parsed.base64)) {
        return refuse(reterr, "a signature is not canonical base64");
    }
    if (length < 5) {
        return refuse(reterr, "a signature is too short to hold a key id and more");
    }
    /* Eight digits are six bytes, or five where the padding begins. */
    uint8_t head[6] = {0};
    (void)base64_decode((struct slice){parsed.base64.bytes, 8}, head, length < 6 ? length : 6);
    parsed.id = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    *ret = parsed;
    return 0;
}

/* Offset behind the last empty line, 0 when there is none. */
static size_t find_signatures(const char *bytes, size_t size) {
    for (size_t i = size; i >= 2; i--) {
        if (bytes[i - 1] == '\n' && bytes[i - 2] == '\n') {
            return i;
        }
    }
    return 0;
}

int note_parse(const void *bytes, size_t size, struct note *ret, struct error *reterr) {
    struct cursor c;
    int rc = check_characters((struct slice){bytes, size}, reterr);
    if (rc != 0) {
        return rc;
    }
    size_t begin = find_signatures(bytes, size);
    if (begin == 0) {
        return refuse(reterr, "the note has no empty line between text and signatures");
    }
    if (begin == size) {
        return refuse(reterr, "the note has no signature behind its last empty line");
    }
    ret->text = (struct slice){bytes, begin - 1};
    ret->line_count = 0;
    cursor_init(&c, (const char *)bytes + begin, size - begin);
    while (cursor_left(&c) > 0) {
        struct slice line = line_take(&c);
        if (ret->line_count == NOTE_MAX_SIGNATURES) {
            return refuse(reterr, "the note has more than 64 signatures");
        }
        rc = parse_line(line, &ret->lines[ret->line_count], reterr);
        if (rc != 0) {
            return rc;
        }
        ret->line_count++;
    }
    return 0;
}

int note_verify(const struct note *note, const struct note_key *keys, size_t count,
                struct note_seen *ret_seen, struct error *reterr) {
    size_t verified = 0;
    for (size_t k = 0; k < count; k++) {
        struct note_seen seen = {0};
        for (size_t i = 0; i < note->line_count; i++) {
            const struct note_line *line = &note->lines[i];
            uint64_t time = 0;
            if (line->id != keys[k].id || !slice_is(line->name, keys[k].name)) {
                continue;
            }
            int rc = note_key_check(&keys[k], note->text, line->base64, &time);
            if (rc == -EBADMSG) {
                return error_set(reterr, PROOF_E_SIGNATURE, "the signature by %s+%08x is wrong", keys[k].name,
                                 (unsigned)keys[k].id);
            }
            if (rc < 0) {
                return error_errno(reterr, -rc, "a signature cannot be checked");
            }
            seen.time = seen.verified && seen.time > time ? seen.time : time;
            seen.verified = true;
        }
        verified += seen.verified;
        if (ret_seen != NULL) {
            ret_seen[k] = seen;
        }
    }
    return verified > 0 ? 0 : error_set(reterr, PROOF_E_UNSIGNED, "no key that is trusted signed the note");
}

/* ---- writing ---- */

int note_sign(struct slice text, struct note_signer *const *signers, size_t count, uint64_t time,
              struct buf *out, struct error *reterr) {
    int rc = check_characters(text, reterr);
    if (rc != 0) {
        return rc;
    }
    if (text.size > NOTE_MAX_BYTES / 2) {
        return refuse(reterr, "the text leaves no room for signatures");
    }
    if (count == 0 || count > NOTE_MAX_SIGNATURES) {
        return error_set(reterr, -EINVAL, "a note has 1 to %d signers", NOTE_MAX_SIGNATURES);
    }
    buf_append(out, text.bytes, text.size);
    buf_append(out, "\n", 1);
    for (size_t i = 0; i < count; i++) {
        rc = note_sign_line(text, signers[i], time, out, reterr);
        if (rc != 0) {
            return rc;
        }
    }
    return out->failed ? error_errno(reterr, ENOMEM, "a note cannot be signed") : 0;
}
