/* SPDX-License-Identifier: Apache-2.0
 *
 * The Merkle tree against the known answers of RFC 6962's test data, and against a second implementation that
 * is nothing but the definitions, written down as recursions.
 */
#include "audit/proof/tree.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

enum { SMALL = 300, MARKS = 5 };

/* Leaves that are all alike but for some, so that a tree of any size has a root. */
struct forest {
    uint64_t marks[MARKS];
    bool small; /* every leaf differs, and what was computed once is kept */
    struct tree_hash *kept;
    bool *known;
    struct tree_hash alike[64]; /* roots of 2^h equal leaves */
};

static void hash_from(const char *hex, struct tree_hash *ret) {
    assert_true(hex_decode(hex, ret->bytes, TREE_HASH_BYTES));
}

static void assert_hash(const struct tree_hash *hash, const char *hex) {
    char text[DIGEST_HEX_SIZE];
    hex_encode(hash->bytes, TREE_HASH_BYTES, text);
    assert_string_equal(text, hex);
}

static struct tree_hash join(struct tree_hash left, struct tree_hash right) {
    struct tree_hash hash;
    assert_int_equal(tree_node(&left, &right, &hash), 0);
    return hash;
}

static uint64_t half(uint64_t size) {
    uint64_t k = 1;
    while (2 * k < size) {
        k *= 2;
    }
    return k;
}

static bool marked(const struct forest *f, uint64_t from, uint64_t to) {
    for (size_t i = 0; i < MARKS; i++) {
        if (f->marks[i] >= from && f->marks[i] < to) {
            return true;
        }
    }
    return false;
}

static struct tree_hash mth(struct forest *f, uint64_t from, uint64_t to) {
    struct tree_hash hash;
    uint64_t size = to - from;
    size_t cell = f->small ? (size_t)from * (SMALL + 1) + (size_t)to : 0;
    if (f->small && f->known[cell]) {
        return f->kept[cell];
    }
    if (size == 1) {
        uint64_t content = f->small || marked(f, from, to) ? from + 1 : 0;
        assert_int_equal(tree_leaf(&content, sizeof content, &hash), 0);
    } else if (!f->small && (size & (size - 1)) == 0 && !marked(f, from, to)) {
        return f->alike[__builtin_ctzll(size)];
    } else {
        uint64_t k = half(size);
        hash = join(mth(f, from, from + k), mth(f, from + k, to));
    }
    if (f->small) {
        f->kept[cell] = hash;
        f->known[cell] = true;
    }
    return hash;
}

static void path(struct forest *f, uint64_t m, uint64_t from, uint64_t to, struct tree_proof *out) {
    if (to - from == 1) {
        return;
    }
    uint64_t k = half(to - from);
    if (m < k) {
        path(f, m, from, from + k, out);
        out->hashes[out->count++] = mth(f, from + k, to);
    } else {
        path(f, m - k, from + k, to, out);
        out->hashes[out->count++] = mth(f, from, from + k);
    }
}

static void subproof(struct forest *f, uint64_t m, uint64_t from, uint64_t to, bool whole,
                     struct tree_proof *out) {
    if (m == to - from) {
        if (!whole) {
            out->hashes[out->count++] = mth(f, from, to);
        }
        return;
    }
    uint64_t k = half(to - from);
    if (m <= k) {
        subproof(f, m, from, from + k, whole, out);
        out->hashes[out->count++] = mth(f, from + k, to);
    } else {
        subproof(f, m - k, from + k, to, false, out);
        out->hashes[out->count++] = mth(f, from, from + k);
    }
}

static int subtree(void *user, unsigned height, uint64_t index, struct tree_hash *ret, struct error *reterr) {
    (void)reterr;
    *ret = mth(user, index << height, (index + 1) << height);
    return 0;
}

static void forest_init(struct forest *f, bool small) {
    uint64_t zero = 0;
    memset(f, 0, sizeof *f);
    f->small = small;
    if (small) {
        f->kept = calloc((SMALL + 1) * (SMALL + 1), sizeof *f->kept);
        f->known = calloc((SMALL + 1) * (SMALL + 1), sizeof *f->known);
        assert_non_null(f->kept);
        assert_non_null(f->known);
        return;
    }
    assert_int_equal(tree_leaf(&zero, sizeof zero, &f->alike[0]), 0);
    for (size_t h = 1; h < 63; h++) {
        f->alike[h] = join(f->alike[h - 1], f->alike[h - 1]);
    }
}

static void forest_deinit(struct forest *f) {
    free(f->kept);
    free(f->known);
}

static void assert_same(const struct tree_proof *proof, const struct tree_proof *expected) {
    assert_int_equal(proof->count, expected->count);
    assert_memory_equal(proof->hashes, expected->hashes, expected->count * TREE_HASH_BYTES);
}

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- known answers ---- */

static const struct {
    const char *bytes;
    size_t size;
} records[8] = {{"", 0},
                {"\x00", 1},
                {"\x10", 1},
                {"\x20\x21", 2},
                {"\x30\x31", 2},
                {"\x40\x41\x42\x43", 4},
                {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
                {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16}};

static void test_answers_the_known_roots(void **state) {
    (void)state;
    static const char *const roots[9] = {
        [0] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        [1] = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        [3] = "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        [7] = "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        [8] = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    };
    struct tree_range range;
    struct tree_hash hash;
    tree_range_init(&range);
    for (size_t n = 0; n <= 8; n++) {
        if (roots[n] != NULL) {
            assert_int_equal(tree_range_root(&range, &hash), 0);
            assert_hash(&hash, roots[n]);
        }
        if (n < 8) {
            assert_int_equal(tree_leaf(records[n].bytes, records[n].size, &hash), 0);
            assert_int_equal(tree_range_append(&range, &hash), 0);
        }
    }
    assert_int_equal(range.size, 8);
}

static void test_answers_the_known_leaf(void **state) {
    (void)state;
    struct tree_hash hash;
    assert_int_equal(tree_leaf("\xa1\x01\x00", 3, &hash), 0);
    assert_hash(&hash, "1e3fc5dbcc7e769bd057abbfeeb8ff07de929ada1058d43ad96088a5dc52ecd1");
}

static int known_subtree(void *user, unsigned height, uint64_t index, struct tree_hash *ret,
                         struct error *reterr) {
    struct tree_hash leaves[8];
    (void)user;
    (void)reterr;
    size_t from = (size_t)index << height;
    for (size_t i = 0; i < (size_t)1 << height; i++) {
        assert_int_equal(tree_leaf(records[from + i].bytes, records[from + i].size, &leaves[i]), 0);
    }
    return tree_fold(leaves, height, ret);
}

static void test_answers_the_known_proofs(void **state) {
    (void)state;
    struct tree_source source = {known_subtree, NULL};
    struct tree_proof proof;
    struct tree_hash leaf, old_root, root;
    struct error error = {0};
    assert_int_equal(tree_prove_inclusion(&source, 6, 7, &proof, &error), 0);
    assert_int_equal(proof.count, 2);
    assert_hash(&proof.hashes[0], "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
    assert_hash(&proof.hashes[1], "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
    hash_from("ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c", &root);
    assert_int_equal(tree_leaf(records[6].bytes, records[6].size, &leaf), 0);
    assert_int_equal(tree_check_inclusion(&leaf, 6, 7, proof.hashes, 2, &root, &error), 0);

    assert_int_equal(tree_prove_consistency(&source, 4, 7, &proof, &error), 0);
    assert_int_equal(proof.count, 1);
    assert_hash(&proof.hashes[0], "837dbb152e9b079010717e84e865da4ebc0fa198a806d59d31bf15accef22d0e");
    assert_int_equal(tree_source_root(&source, 4, &old_root, &error), 0);
    assert_int_equal(tree_check_consistency(4, &old_root, 7, &root, proof.hashes, 1, &error), 0);
}

/* ---- against the definitions ---- */

static void test_range_and_source_have_the_defined_root_for_every_small_size(void **state) {
    (void)state;
    struct forest f;
    struct tree_range range;
    struct tree_hash hash, root;
    struct error error;
    forest_init(&f, true);
    struct tree_source source = {subtree, &f};
    tree_range_init(&range);
    for (uint64_t n = 1; n <= SMALL; n++) {
        hash = mth(&f, n - 1, n);
        assert_int_equal(tree_range_append(&range, &hash), 0);
        root = mth(&f, 0, n);
        assert_int_equal(tree_range_root(&range, &hash), 0);
        assert_true(tree_hash_equal(&hash, &root));
        assert_int_equal(tree_source_root(&source, n, &hash, &error), 0);
        assert_true(tree_hash_equal(&hash, &root));
    }
    forest_deinit(&f);
}

static void test_every_small_inclusion_proof_is_the_defined_one_and_checks(void **state) {
    (void)state;
    struct forest f;
    struct error error;
    forest_init(&f, true);
    struct tree_source source = {subtree, &f};
    for (uint64_t n = 1; n <= SMALL; n++) {
        struct tree_hash root = mth(&f, 0, n);
        for (uint64_t m = 0; m < n; m++) {
            struct tree_proof proof;
            struct tree_proof expected = {0};
            struct tree_hash leaf = mth(&f, m, m + 1);
            path(&f, m, 0, n, &expected);
            assert_int_equal(tree_prove_inclusion(&source, m, n, &proof, &error), 0);
            assert_same(&proof, &expected);
            assert_int_equal(tree_check_inclusion(&leaf, m, n, proof.hashes, proof.count, &root, &error), 0);
        }
    }
    forest_deinit(&f);
}

static void test_every_small_consistency_proof_is_the_defined_one_and_checks(void **state) {
    (void)state;
    struct forest f;
    struct error error;
    forest_init(&f, true);
    struct tree_source source = {subtree, &f};
    for (uint64_t n = 1; n <= SMALL; n++) {
        struct tree_hash root = mth(&f, 0, n);
        for (uint64_t m = 1; m <= n; m++) {
            struct tree_proof proof;
            struct tree_proof expected = {0};
            struct tree_hash old_root = mth(&f, 0, m);
            subproof(&f, m, 0, n, true, &expected);
            assert_int_equal(tree_prove_consistency(&source, m, n, &proof, &error), 0);
            assert_same(&proof, &expected);
            assert_int_equal(
                tree_check_consistency(m, &old_root, n, &root, proof.hashes, proof.count, &error), 0);
        }
    }
    forest_deinit(&f);
}

static void test_huge_trees_follow_the_definitions(void **state) {
    (void)state;
    struct forest f;
    struct error error;
    uint64_t random = 0x9e3779b97f4a7c15u;
    forest_init(&f, false);
    struct tree_source source = {subtree, &f};
    for (int round = 0; round < 400; round++) {
        uint64_t n = (next(&random) & (((uint64_t)1 << (2 + round % 39)) - 1)) + 2;
        uint64_t m = next(&random) % n;
        struct tree_proof proof;
        struct tree_proof expected = {0};
        f.marks[0] = m;
        f.marks[1] = n - 1;
        for (size_t i = 2; i < MARKS; i++) {
            f.marks[i] = next(&random) % n;
        }
        struct tree_hash leaf = mth(&f, m, m + 1);
        struct tree_hash root = mth(&f, 0, n);
        path(&f, m, 0, n, &expected);
        assert_int_equal(tree_prove_inclusion(&source, m, n, &proof, &error), 0);
        assert_same(&proof, &expected);
        assert_int_equal(tree_check_inclusion(&leaf, m, n, proof.hashes, proof.count, &root, &error), 0);
        proof.hashes[next(&random) % proof.count].bytes[round % 32] ^= 1;
        assert_int_equal(tree_check_inclusion(&leaf, m, n, proof.hashes, proof.count, &root, &error),
                         PROOF_E_MISMATCH);

        struct tree_hash old_root = mth(&f, 0, m + 1);
        expected.count = 0;
        subproof(&f, m + 1, 0, n, true, &expected);
        assert_int_equal(tree_prove_consistency(&source, m + 1, n, &proof, &error), 0);
        assert_same(&proof, &expected);
        assert_int_equal(
            tree_check_consistency(m + 1, &old_root, n, &root, proof.hashes, proof.count, &error), 0);
        if (proof.count > 0) {
            proof.hashes[next(&random) % proof.count].bytes[round % 32] ^= 1;
            assert_int_equal(
                tree_check_consistency(m + 1, &old_root, n, &root, proof.hashes, proof.count, &error),
                PROOF_E_MISMATCH);
        }
    }
    forest_deinit(&f);
}

static void test_the_largest_tree_fits_the_proof(void **state) {
    (void)state;
    struct forest f;
    struct error error;
    struct tree_proof proof;
    forest_init(&f, false);
    struct tree_source source = {subtree, &f};
    struct tree_hash root = mth(&f, 0, TREE_MAX_SIZE);
    for (uint64_t old = TREE_MAX_SIZE / 2; old <= TREE_MAX_SIZE / 2 + 2; old++) {
        struct tree_hash old_root = mth(&f, 0, old);
        struct tree_hash leaf = mth(&f, old, old + 1);
        assert_int_equal(tree_prove_consistency(&source, old, TREE_MAX_SIZE, &proof, &error), 0);
        assert_int_equal(
            tree_check_consistency(old, &old_root, TREE_MAX_SIZE, &root, proof.hashes, proof.count, &error),
            0);
        assert_int_equal(tree_prove_inclusion(&source, old, TREE_MAX_SIZE, &proof, &error), 0);
        assert_int_equal(
            tree_check_inclusion(&leaf, old, TREE_MAX_SIZE, proof.hashes, proof.count, &root, &error), 0);
    }
    forest_deinit(&f);
}

/* ---- what must not pass ---- */

static void test_refuses_every_changed_bit_place_and_length_of_inclusion(void **state) {
    (void)state;
    struct forest f;
    struct error error;
    forest_init(&f, true);
    struct tree_source source = {subtree, &f};
    for (uint64_t n = 1; n <= 40; n++) {
        struct tree_hash root = mth(&f, 0, n);
        for (uint64_t m = 0; m < n; m++) {
            struct tree_proof proof;
            struct tree_hash leaf = mth(&f, m, m + 1);
            assert_int_equal(tree_prove_inclusion(&source, m, n, &proof, &error), 0);
            for (size_t i = 0; i < proof.count; i++) {
                proof.hashes[i].bytes[(m + i) % 32] ^= (uint8_t)(1u << (n % 8));
                assert_int_equal(tree_check_inclusion(&leaf, m, n, proof.hashes, proof.count, &root, &error),
                                 PROOF_E_MISMATCH);
                proof.hashes[i].bytes[(m + i) % 32] ^= (uint8_t)(1u << (n % 8));
            }
            for (uint64_t other = 0; other < n; other++) {
                int rc = tree_check_inclusion(&leaf, other, n, proof.hashes, proof.count, &root, &error);
                assert_int_equal(rc == 0, other == m);
            }
            proof.hashes[proof.count] = root;
            assert_int_equal(tree_check_inclusion(&leaf, m, n, proof.hashes, proof.count + 1, &root, &error),
                             PROOF_E_MALFORMED);
            if (proof.count > 0) {
                assert_int_equal(
                    tree_check_inclusion(&leaf, m, n, proof.hashes, proof.count - 1, &root, &error),
                    PROOF_E_MALFORMED);
            }
        }
    }
    forest_deinit(&f);
}

static void test_refuses_every_changed_bit_root_and_length_of_consistency(void **state) {
    (void)state;
    struct forest f;
    struct error error;
    forest_init(&f, true);
    struct tree_source source = {subtree, &f};
    for (uint64_t n = 2; n <= 40; n++) {
        struct tree_hash root = mth(&f, 0, n);
        for (uint64_t m = 1; m <= n; m++) {
            struct tree_proof proof;
            struct tree_hash old_root = mth(&f, 0, m);
            struct tree_hash other = mth(&f, 0, m == 1 ? 2 : m - 1);
            assert_int_equal(tree_prove_consistency(&source, m, n, &proof, &error), 0);
            for (size_t i = 0; i < proof.count; i++) {
                proof.hashes[i].bytes[(m + i) % 32] ^= (uint8_t)(1u << (n % 8));
                assert_int_equal(
                    tree_check_consistency(m, &old_root, n, &root, proof.hashes, proof.count, &error),
                    PROOF_E_MISMATCH);
                proof.hashes[i].bytes[(m + i) % 32] ^= (uint8_t)(1u << (n % 8));
            }
            assert_int_equal(tree_check_consistency(m, &other, n, &root, proof.hashes, proof.count, &error),
                             PROOF_E_MISMATCH);
            assert_int_equal(
                tree_check_consistency(m, &old_root, n, &other, proof.hashes, proof.count, &error),
                m == n || !tree_hash_equal(&other, &root) ? PROOF_E_MISMATCH : 0);
            assert_int_equal(
                tree_check_consistency(m, &old_root, n, &root, proof.hashes, proof.count + 1, &error),
                PROOF_E_MALFORMED);
            if (proof.count > 0) {
                assert_int_equal(
                    tree_check_consistency(m, &old_root, n, &root, proof.hashes, proof.count - 1, &error),
                    PROOF_E_MALFORMED);
            }
        }
    }
    forest_deinit(&f);
}

static void test_refuses_questions_outside_the_tree(void **state) {
    (void)state;
    struct forest f;
    struct tree_proof proof;
    struct tree_hash hash = {{0}};
    struct error error;
    forest_init(&f, false);
    struct tree_source source = {subtree, &f};
    assert_int_equal(tree_prove_inclusion(&source, 0, 0, &proof, &error), PROOF_E_RANGE);
    assert_int_equal(tree_prove_inclusion(&source, 8, 8, &proof, &error), PROOF_E_RANGE);
    assert_int_equal(tree_prove_inclusion(&source, 0, UINT64_MAX, &proof, &error), PROOF_E_RANGE);
    assert_int_equal(tree_prove_consistency(&source, 9, 8, &proof, &error), PROOF_E_RANGE);
    assert_int_equal(tree_prove_consistency(&source, 1, UINT64_MAX, &proof, &error), PROOF_E_RANGE);
    assert_int_equal(tree_source_root(&source, UINT64_MAX, &hash, &error), PROOF_E_RANGE);
    assert_int_equal(tree_check_inclusion(&hash, 8, 8, NULL, 0, &hash, &error), PROOF_E_RANGE);
    assert_int_equal(tree_check_inclusion(&hash, 0, UINT64_MAX, NULL, 0, &hash, &error), PROOF_E_RANGE);
    assert_int_equal(tree_check_consistency(9, &hash, 8, &hash, NULL, 0, &error), PROOF_E_RANGE);
    assert_int_equal(tree_check_consistency(1, &hash, UINT64_MAX, &hash, NULL, 0, &error), PROOF_E_RANGE);
    forest_deinit(&f);
}

static void test_every_tree_begins_with_the_empty_one(void **state) {
    (void)state;
    struct forest f;
    struct tree_proof proof;
    struct tree_hash empty, root;
    struct error error;
    forest_init(&f, false);
    struct tree_source source = {subtree, &f};
    assert_int_equal(tree_prove_consistency(&source, 0, 1000, &proof, &error), 0);
    assert_int_equal(proof.count, 0);
    root = mth(&f, 0, 1000);
    assert_int_equal(tree_source_root(&source, 0, &empty, &error), 0);
    assert_int_equal(tree_check_consistency(0, &empty, 1000, &root, NULL, 0, &error), 0);
    assert_int_equal(tree_check_consistency(0, &empty, 1000, &root, &root, 1, &error), PROOF_E_MALFORMED);
    forest_deinit(&f);
}

static int broken_subtree(void *user, unsigned height, uint64_t index, struct tree_hash *ret,
                          struct error *reterr) {
    (void)height;
    (void)index;
    int *left = user;
    memset(ret, 0, sizeof *ret);
    return (*left)-- > 0 ? 0 : error_set(reterr, PROOF_E_MISSING, "gone");
}

static void test_passes_on_what_the_source_says(void **state) {
    (void)state;
    struct tree_proof proof;
    struct tree_hash hash;
    struct error error;
    int left = 0;
    struct tree_source source = {broken_subtree, &left};
    for (int calls = 0; calls < 3; calls++) {
        left = calls;
        assert_int_equal(tree_prove_inclusion(&source, 5, 7, &proof, &error), PROOF_E_MISSING);
        left = calls;
        assert_int_equal(tree_prove_consistency(&source, 5, 7, &proof, &error), PROOF_E_MISSING);
        left = calls;
        assert_int_equal(tree_source_root(&source, 7, &hash, &error), PROOF_E_MISSING);
    }
}

static void test_refuses_to_grow_beyond_the_largest_size(void **state) {
    (void)state;
    struct tree_range range;
    struct tree_hash leaf = {{7}};
    tree_range_init(&range);
    range.size = TREE_MAX_SIZE;
    assert_true(tree_range_append(&range, &leaf) < 0);
    assert_int_equal(range.size, TREE_MAX_SIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_the_known_roots),
        cmocka_unit_test(test_answers_the_known_leaf),
        cmocka_unit_test(test_answers_the_known_proofs),
        cmocka_unit_test(test_range_and_source_have_the_defined_root_for_every_small_size),
        cmocka_unit_test(test_every_small_inclusion_proof_is_the_defined_one_and_checks),
        cmocka_unit_test(test_every_small_consistency_proof_is_the_defined_one_and_checks),
        cmocka_unit_test(test_huge_trees_follow_the_definitions),
        cmocka_unit_test(test_the_largest_tree_fits_the_proof),
        cmocka_unit_test(test_refuses_every_changed_bit_place_and_length_of_inclusion),
        cmocka_unit_test(test_refuses_every_changed_bit_root_and_length_of_consistency),
        cmocka_unit_test(test_refuses_questions_outside_the_tree),
        cmocka_unit_test(test_every_tree_begins_with_the_empty_one),
        cmocka_unit_test(test_passes_on_what_the_source_says),
        cmocka_unit_test(test_refuses_to_grow_beyond_the_largest_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
