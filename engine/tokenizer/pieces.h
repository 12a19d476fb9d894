/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to engine/tokenizer: the tables that tokenizer.c builds and encode.c reads.
 *
 * A piece is kept in two spellings: `norm`, in which a space is U+2581, is what text is matched against;
 * `text`, in which it is a space, is what a reader sees. Files spell the runs of spaces either way.
 */
#ifndef BUCKLER_ENGINE_TOKENIZER_PIECES_H
#define BUCKLER_ENGINE_TOKENIZER_PIECES_H

#include "engine/tokenizer/tokenizer.h"

enum { PIECE_MAX_BYTES = 1024, VOCABULARY_MAX = 1 << 24 };

/* U+2581, which stands for a space. */
#define SPACE_MARK "\xe2\x96\x81"
enum { SPACE_MARK_BYTES = 3 };

/* What text may do with a piece. Only PIECE_MERGE is ever found by merging, and only PIECE_FROZEN by prefix.
 */
enum piece_class {
    PIECE_INVALID,
    PIECE_MERGE,   /* type NORMAL */
    PIECE_FROZEN,  /* type USER_DEFINED: runs of newlines, spaces, tabs; HTML tags */
    PIECE_CONTROL, /* by type or by name: out of reach of user text */
    PIECE_BYTE,    /* <0x00> … <0xFF> */
    PIECE_UNUSED   /* never matched */
};

struct piece {
    uint32_t norm, norm_size; /* in the pool */
    uint32_t text, text_size;
    float score;
    uint8_t type;  /* as in the file */
    uint8_t class; /* enum piece_class */
};

/* A tree over bytes; nodes of one parent are a list. Node 0 is the root. */
struct trie_node {
    uint32_t child, sibling; /* 0: none */
    uint32_t id_plus_one;    /* 0: no piece ends here */
    uint8_t byte;
};

struct trie {
    struct trie_node *nodes;
    uint32_t count, capacity;
};

struct slot {
    uint32_t hash;
    uint32_t id_plus_one; /* 0: empty */
};

struct tokenizer {
    char *pool;
    struct piece *pieces;
    uint32_t count;
    uint32_t bos;
    uint32_t longest;   /* bytes of the longest PIECE_MERGE */
    struct slot *slots; /* norm spelling → id; open addressing, the last of equal pieces wins */
    uint32_t slot_mask;
    uint32_t byte_id_plus_one[256];
    bool before_space[256]; /* bytes in front of an inner U+2581 of some PIECE_MERGE: elsewhere a word ends */
    struct trie frozen;     /* norm spelling */
    struct trie control;    /* text spelling */
    char digest[65];
};

/* Id of the piece whose norm spelling is these bytes, of any class; -1 when there is none. */
int64_t pieces_find(const struct tokenizer *t, const char *norm, size_t size);

/* Adds a piece; a later equal one takes its place. False when memory is out. */
bool trie_add(struct trie *trie, const char *bytes, size_t size, uint32_t id);

/* Length of the longest piece that is a prefix of `bytes`, with its id; 0 when there is none. */
size_t trie_longest(const struct trie *trie, const char *bytes, size_t size, uint32_t *ret_id);

/* By name (spec 5.6): what the model treats as markup whatever its type says. */
bool control_name(const char *text, size_t size);

#endif
