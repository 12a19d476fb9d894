/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/head/ngrams.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { SEED_WORD = 1, SEED_PAIR, SEED_CHARACTERS, SHORTEST = 3, LONGEST = 5 };

struct summing {
    const int8_t *table;
    size_t count;
    struct ngram_marks *marks;
    int32_t *sums;
    size_t buckets;
};

static unsigned char lowered(char c) {
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : (unsigned char)c;
}

static bool is_word(char c) {
    unsigned char byte = lowered(c);
    return byte >= 0x80 || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

static uint32_t mix(uint32_t hash, unsigned char byte) {
    return (hash ^ byte) * 16777619u;
}

static uint32_t seeded(unsigned char seed) {
    return mix(2166136261u, seed);
}

static uint32_t mix_all(uint32_t hash, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        hash = mix(hash, lowered(bytes[i]));
    }
    return hash;
}

static void meet(struct summing *s, uint32_t hash) {
    uint32_t bucket = (hash ^ hash >> 15) % NGRAM_BUCKETS;
    uint64_t bit = UINT64_C(1) << (bucket % 64);
    if ((s->marks->bits[bucket / 64] & bit) != 0) {
        return;
    }
    s->marks->bits[bucket / 64] |= bit;
    s->buckets++;
    for (size_t c = 0; c < s->count; c++) {
        s->sums[c] += s->table[(size_t)bucket * s->count + c];
    }
}

/* Byte i of " word ". */
static unsigned char padded(const char *word, size_t size, size_t i) {
    return i == 0 || i == size + 1 ? ' ' : lowered(word[i - 1]);
}

static void meet_word(struct summing *s, const char *word, size_t size) {
    meet(s, mix_all(seeded(SEED_WORD), word, size));
    for (size_t start = 0; start + SHORTEST <= size + 2; start++) {
        uint32_t hash = seeded(SEED_CHARACTERS);
        for (size_t length = 1; length <= LONGEST && start + length <= size + 2; length++) {
            hash = mix(hash, padded(word, size, start + length - 1));
            if (length >= SHORTEST) {
                meet(s, hash);
            }
        }
    }
}

size_t ngrams_sum(const char *text, size_t size, const int8_t *table, size_t count, struct ngram_marks *marks,
                  int32_t sums[]) {
    struct summing s = {.table = table, .count = count, .marks = marks, .sums = sums};
    const char *before = NULL;
    size_t before_size = 0;
    size_t words = 0;
    memset(marks, 0, sizeof *marks);
    for (size_t at = 0; at < size && words < NGRAM_MAX_WORDS;) {
        size_t end = at;
        while (end < size && is_word(text[end])) {
            end++;
        }
        if (end == at) {
            at++;
            continue;
        }
        meet_word(&s, text + at, end - at);
        if (before != NULL) {
            uint32_t pair = mix(mix_all(seeded(SEED_PAIR), before, before_size), ' ');
            meet(&s, mix_all(pair, text + at, end - at));
        }
        before = text + at;
        before_size = end - at;
        words++;
        at = end;
    }
    return s.buckets;
}

double ngrams_weigh(int32_t sum, size_t buckets, double step) {
    return buckets == 0 ? 0.0 : sum * step / sqrt((double)buckets);
}
