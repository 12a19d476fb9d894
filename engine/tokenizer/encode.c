/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to ids (spec gemma-models 5.3). Control strings, when asked for, cut the raw text. Each part between
 * them gets its spaces replaced by U+2581 and is read from the left: a frozen piece becomes its token at
 * once; what lies between frozen pieces is a stretch, which is merged.
 *
 * Merging is on a linked list of symbols with a heap of candidate pairs, best score first, leftmost among
 * equals. A candidate is stale when the two symbols at its place no longer have its length together. A
 * stretch also ends in front of a U+2581 where no piece of the vocabulary could join the two sides, so that
 * ordinary text is merged word by word in a few cache lines; this changes no result. Memory is linear in the
 * longest stretch.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/tokenizer/pieces.h"

enum { TEXT_MAX_BYTES = 1 << 28 };

#define NONE UINT32_MAX

struct symbol {
    uint32_t start, size; /* in the stretch; size 0: merged away */
    uint32_t previous, next;
};

struct candidate {
    float score;
    uint32_t left;
    uint32_t size; /* of both symbols together */
};

struct encoder {
    const struct tokenizer *t;
    struct error *reterr;
    bool want_offsets;

    uint32_t *tokens, *offsets;
    size_t count, capacity;

    char *norm; /* the current part */
    struct symbol *symbols;
    size_t symbol_capacity;
    struct candidate *heap;
    size_t heap_count, heap_capacity;

    const char *raw; /* the whole text, and how far its tokens reach */
    uint32_t raw_at;
    uint32_t mark_at; /* bytes of the U+2581 for the space at raw_at that tokens have taken */
};

static void encoder_deinit(struct encoder *e) {
    free(e->tokens);
    free(e->offsets);
    free(e->norm);
    free(e->symbols);
    free(e->heap);
}

static int out_of_memory(const struct encoder *e) {
    return error_set(e->reterr, -ENOMEM, "no memory to tokenise a text");
}

static bool grow(void **array, size_t *capacity, size_t wanted, size_t item) {
    if (wanted <= *capacity) {
        return true;
    }
    size_t next = wanted < 32 ? 64 : wanted + wanted / 2;
    void *bigger = realloc(*array, next * item);
    if (bigger == NULL) {
        return false;
    }
    *array = bigger;
    *capacity = next;
    return true;
}

/* ---- output ---- */

static int emit(struct encoder *e, uint32_t id) {
    if (e->count == e->capacity) {
        size_t capacity = e->capacity;
        if (e->want_offsets && !grow((void **)&e->offsets, &capacity, e->count + 1, sizeof *e->offsets)) {
            return out_of_memory(e);
        }
        if (!grow((void **)&e->tokens, &e->capacity, e->count + 1, sizeof *e->tokens)) {
            return out_of_memory(e);
        }
    }
    if (e->want_offsets) {
        e->offsets[e->count] = e->raw_at;
    }
    e->tokens[e->count++] = id;
    return 0;
}

/* Moves over `norm_size` bytes of the part: three of them may be one space of the raw text. */
static void advance(struct encoder *e, size_t norm_size) {
    while (norm_size > 0) {
        if (e->raw[e->raw_at] != ' ') {
            e->raw_at++;
            norm_size--;
            continue;
        }
        size_t left = SPACE_MARK_BYTES - e->mark_at;
        size_t taken = norm_size < left ? norm_size : left;
        norm_size -= taken;
        e->mark_at += (uint32_t)taken;
        if (e->mark_at == SPACE_MARK_BYTES) {
            e->mark_at = 0;
            e->raw_at++;
        }
    }
}

static int emit_symbol(struct encoder *e, const char *bytes, size_t size) {
    int64_t id = pieces_find(e->t, bytes, size);
    if (id >= 0 && e->t->pieces[id].class == PIECE_MERGE) {
        int rc = emit(e, (uint32_t)id);
        advance(e, size);
        return rc;
    }
    for (size_t i = 0; i < size; i++) {
        uint32_t byte = e->t->byte_id_plus_one[(uint8_t)bytes[i]];
        if (byte == 0) {
            return error_set(
                e->reterr, ENGINE_E_UNSUPPORTED,
                "the vocabulary has neither a piece for a character of the text nor the byte pieces to "
                "spell it; use a model whose vocabulary has them");
        }
        int rc = emit(e, byte - 1);
        if (rc != 0) {
            return rc;
        }
        advance(e, 1);
    }
    return 0;
}

/* ---- merging ---- */

static bool better(const struct candidate *a, const struct candidate *b) {
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void sift_down(struct candidate *heap, size_t count, size_t at) {
    struct candidate moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && better(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!better(&heap[child], &moving)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void sift_up(struct candidate *heap, size_t at) {
    struct candidate moving = heap[at];
    while (at > 0 && better(&moving, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moving;
}

/* Appends the pair (left, its next) when it is a piece; without restoring the order of the heap. */
static bool append_candidate(struct encoder *e, const char *bytes, uint32_t left) {
    uint32_t right = left == NONE ? NONE : e->symbols[left].next;
    if (right == NONE) {
        return false;
    }
    uint32_t size = e->symbols[left].size + e->symbols[right].size;
    if (size > e->t->longest) {
        return false;
    }
    int64_t id = pieces_find(e->t, bytes + e->symbols[left].start, size);
    if (id < 0 || e->t->pieces[id].class != PIECE_MERGE) {
        return false;
    }
    e->heap[e->heap_count++] =
        (struct candidate){.score = e->t->pieces[id].score, .left = left, .size = size};
    return true;
}

static void push_candidate(struct encoder *e, const char *bytes, uint32_t left) {
    if (append_candidate(e, bytes, left)) {
        sift_up(e->heap, e->heap_count - 1);
    }
}

/* One symbol a character. Returns their number, 0 when memory is out. */
static uint32_t make_symbols(struct encoder *e, const char *bytes, size_t size) {
    if (!grow((void **)&e->symbols, &e->symbol_capacity, size, sizeof *e->symbols)) {
        return 0;
    }
    uint32_t count = 0;
    for (size_t at = 0; at < size;) {
        uint32_t point = 0;
        size_t length = utf8_decode(bytes + at, size - at, &point);
        e->symbols[count] = (struct symbol){.start = (uint32_t)at,
                                            .size = (uint32_t)length,
                                            .previous = count == 0 ? NONE : count - 1,
                                            .next = at + length < size ? count + 1 : NONE};
        count++;
        at += length;
    }
    return count;
}

static void merge_all(struct encoder *e, const char *bytes) {
    struct symbol *symbols = e->symbols;
    while (e->heap_count > 0) {
        struct candidate best = e->heap[0];
        e->heap[0] = e->heap[--e->heap_count];
        if (e->heap_count > 0) {
            sift_down(e->heap, e->heap_count, 0);
        }
        struct symbol *left = &symbols[best.left];
        if (left->size == 0 || left->next == NONE || left->size + symbols[left->next].size != best.size) {
            continue;
        }
        struct symbol *right = &symbols[left->next];
        left->size = best.size;
        left->next = right->next;
        right->size = 0;
        if (left->next != NONE) {
            symbols[left->next].previous = best.left;
        }
        push_candidate(e, bytes, left->previous);
        push_candidate(e, bytes, best.left);
    }
}

static int encode_stretch(struct encoder *e, const char *bytes, size_t size) {
    if (size == 0) {
        return 0;
    }
    uint32_t count = make_symbols(e, bytes, size);
    /* A merge takes one symbol and one candidate away and adds at most two: never more than 2 · count wait.
     */
    if (count == 0 || !grow((void **)&e->heap, &e->heap_capacity, (size_t)count * 2, sizeof *e->heap)) {
        return out_of_memory(e);
    }
    e->heap_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        (void)append_candidate(e, bytes, i);
    }
    for (size_t i = e->heap_count / 2; i-- > 0;) {
        sift_down(e->heap, e->heap_count, i);
    }
    merge_all(e, bytes);
    for (uint32_t i = 0; i != NONE; i = e->symbols[i].next) {
        int rc = emit_symbol(e, bytes + e->symbols[i].start, e->symbols[i].size);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- parts of a text ---- */

static size_t character_size(uint8_t first) {
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static bool word_ends(const struct tokenizer *t, const char *norm, size_t at) {
    return memcmp(norm + at, SPACE_MARK, SPACE_MARK_BYTES) == 0 && !t->before_space[(uint8_t)norm[at - 1]];
}

static int encode_norm(struct encoder *e, const char *norm, size_t size) {
    size_t begin = 0;
    size_t at = 0;
    int rc = 0;
    while (at < size && rc == 0) {
        uint32_t id = 0;
        size_t frozen = trie_longest(&e->t->frozen, norm + at, size - at, &id);
        if (frozen > 0) {
            rc = encode_stretch(e, norm + begin, at - begin);
            rc = rc != 0 ? rc : emit(e, id);
            advance(e, frozen);
            at += frozen;
            begin = at;
            continue;
        }
        if (at > begin && size - at >= SPACE_MARK_BYTES && word_ends(e->t, norm, at)) {
            rc = encode_stretch(e, norm + begin, at - begin);
            begin = at;
        }
        at += character_size((uint8_t)norm[at]);
    }
    return rc != 0 ? rc : encode_stretch(e, norm + begin, size - begin);
}

/* `size` bytes of raw text without control strings, from raw_at on. */
static int encode_part(struct encoder *e, size_t size) {
    if (size == 0) {
        return 0;
    }
    const char *text = e->raw + e->raw_at;
    size_t spaces = 0;
    for (size_t i = 0; i < size; i++) {
        spaces += text[i] == ' ';
    }
    free(e->norm);
    e->norm = malloc(size + spaces * (SPACE_MARK_BYTES - 1));
    if (e->norm == NULL) {
        return out_of_memory(e);
    }
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ') {
            memcpy(e->norm + used, SPACE_MARK, SPACE_MARK_BYTES);
            used += SPACE_MARK_BYTES;
        } else {
            e->norm[used++] = text[i];
        }
    }
    return encode_norm(e, e->norm, used);
}

static int encode_text(struct encoder *e, size_t size, bool control) {
    size_t at = 0;
    while (control && at < size) {
        uint32_t id = 0;
        size_t length = trie_longest(&e->t->control, e->raw + at, size - at, &id);
        if (length == 0) {
            at++;
            continue;
        }
        int rc = encode_part(e, at - e->raw_at);
        rc = rc != 0 ? rc : emit(e, id);
        if (rc != 0) {
            return rc;
        }
        at += length;
        e->raw_at = (uint32_t)at;
    }
    return encode_part(e, size - e->raw_at);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, bool bos, bool control,
                     uint32_t **ret_tokens, uint32_t **ret_offsets, size_t *ret_count, struct error *reterr) {
    size_t bad = 0;
    if (size > TEXT_MAX_BYTES) {
        return error_set(reterr, ENGINE_E_TOO_LONG,
                         "a text of %zu bytes is more than the %d that are tokenised at "
                         "once; cut it into windows",
                         size, TEXT_MAX_BYTES);
    }
    if (!utf8_valid(text, size, &bad)) {
        return error_set(reterr, ENGINE_E_INVALID,
                         "the text to tokenise is not UTF-8 at byte %zu; make it valid first", bad);
    }
    CLEANUP(encoder_deinit)
    struct encoder e = {.t = t, .reterr = reterr, .want_offsets = ret_offsets != NULL, .raw = text};
    int rc = bos ? emit(&e, t->bos) : 0;
    rc = rc != 0 ? rc : encode_text(&e, size, control);
    if (rc != 0) {
        return rc;
    }
    /* An empty text still hands out memory that can be freed, never NULL. */
    if (e.count == 0 && (!grow((void **)&e.tokens, &e.capacity, 1, sizeof *e.tokens) ||
                         (e.want_offsets && (e.offsets = calloc(1, sizeof *e.offsets)) == NULL))) {
        return out_of_memory(&e);
    }
    *ret_tokens = steal(e.tokens);
    if (ret_offsets != NULL) {
        *ret_offsets = steal(e.offsets);
    }
    *ret_count = e.count;
    return 0;
}
