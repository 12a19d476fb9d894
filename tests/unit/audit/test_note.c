/* SPDX-License-Identifier: Apache-2.0
 *
 * Notes, keys, checkpoints and offline proofs: the published answers, and what rotation and witnesses need.
 * What is refused stands in test_proof_hostile.c.
 */
#include "audit/proof/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "audit/proof/tlog_proof.h"
#include "base/digest.h"

#define DASH "\xe2\x80\x94 "

static const char foo_key[] = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
static const char foo_note[] =
    "This is an example message.\n\n" DASH "example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
static const char our_key[] = "host.example/buckler+ab1131d5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
static const char our_note[] =
    "host.example/buckler\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n" DASH "host.example/buckler "
    "qxEx1V1096W5A34ygf21IULVrpXoin8TEMq+IshinfnNY+4PRZ7EU5ZRyQ35IVa8XCCAfdsdESj57SCYbsVG2wPnvgE=\n";

static struct slice text_of(const char *text) {
    return (struct slice){text, strlen(text)};
}

static struct slice slice_of(const struct buf *b) {
    return (struct slice){(const char *)b->bytes, b->size};
}

static struct note_key key_of(const char *vkey) {
    struct note_key key;
    struct error error;
    assert_int_equal(note_key_parse(text_of(vkey), &key, &error), 0);
    return key;
}

/* The seed is 32 bytes that count up from `first`. */
static struct note_signer *signer_of(const char *name, enum note_kind kind, uint8_t first) {
    uint8_t seed[CRYPTO_SEED_BYTES];
    struct note_signer *signer = NULL;
    struct error error;
    for (size_t i = 0; i < sizeof seed; i++) {
        seed[i] = (uint8_t)(first + i);
    }
    assert_int_equal(note_signer_new(name, kind, seed, &signer, &error), 0);
    return signer;
}

static struct checkpoint our_checkpoint(void) {
    struct checkpoint checkpoint = {.origin = "host.example/buckler", .size = 8};
    assert_true(hex_decode("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
                           checkpoint.root.bytes, TREE_HASH_BYTES));
    return checkpoint;
}

static void assert_text(const struct buf *b, const char *text) {
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->bytes, text, b->size);
}

/* ---- known answers ---- */

static void test_verifies_the_published_note(void **state) {
    (void)state;
    struct note_key key = key_of(foo_key);
    struct note_seen seen;
    struct note note;
    struct error error;
    assert_int_equal(note_parse(foo_note, sizeof foo_note - 1, &note, &error), 0);
    assert_true(slice_is(note.text, "This is an example message.\n"));
    assert_int_equal(note.line_count, 1);
    assert_int_equal(note.lines[0].id, 0x530d903a);
    assert_int_equal(note_verify(&note, &key, 1, &seen, &error), 0);
    assert_true(seen.verified);
}

static void test_signs_our_checkpoint_to_the_byte(void **state) {
    (void)state;
    struct note_signer *signer = signer_of("host.example/buckler", NOTE_ED25519, 0);
    struct checkpoint checkpoint = our_checkpoint();
    struct checkpoint again;
    struct note_key key = key_of(our_key);
    struct buf out = {0};
    struct buf vkey = {0};
    struct error error;
    note_key_print(note_signer_key(signer), &vkey);
    assert_text(&vkey, our_key);
    assert_int_equal(checkpoint_sign(&checkpoint, &signer, 1, 0, &out, &error), 0);
    assert_text(&out, our_note);
    assert_int_equal(checkpoint_open(out.bytes, out.size, &key, 1, NULL, &again, &error), 0);
    assert_string_equal(again.origin, "host.example/buckler");
    assert_int_equal(again.size, 8);
    assert_true(tree_hash_equal(&again.root, &checkpoint.root));
    buf_deinit(&out);
    buf_deinit(&vkey);
    assert_null(note_signer_free(signer));
}

/* The published example of a cosigned checkpoint; its time is what the page says, 1679315147. */
static void test_reads_the_time_of_the_published_cosignature(void **state) {
    (void)state;
    static const char example[] =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" DASH
        "example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" DASH
        "witness.example.com/w1 "
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/"
        "zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA"
        "==\n";
    struct note note;
    struct error error;
    uint8_t bytes[76];
    uint64_t time = 0;
    assert_int_equal(note_parse(example, sizeof example - 1, &note, &error), 0);
    assert_int_equal(note.line_count, 2);
    assert_true(base64_decode(note.lines[1].base64, bytes, sizeof bytes));
    for (size_t i = 4; i < 12; i++) {
        time = time << 8 | bytes[i];
    }
    assert_int_equal(time, 1679315147);
}

/* ---- several signers ---- */

static void test_a_note_during_rotation_satisfies_old_and_new_key(void **state) {
    (void)state;
    struct note_signer *signers[2] = {signer_of("log.example", NOTE_ED25519, 1),
                                      signer_of("log.example", NOTE_ED25519, 2)};
    struct checkpoint checkpoint = our_checkpoint();
    struct checkpoint again;
    struct buf out = {0};
    struct error error;
    (void)strcpy(checkpoint.origin, "log.example");
    assert_int_equal(checkpoint_sign(&checkpoint, signers, 2, 0, &out, &error), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            checkpoint_open(out.bytes, out.size, note_signer_key(signers[i]), 1, NULL, &again, &error), 0);
    }
    /* Either line alone satisfies who knows both. */
    struct note_key both[2] = {*note_signer_key(signers[0]), *note_signer_key(signers[1])};
    struct note_seen seen[2];
    buf_clear(&out);
    assert_int_equal(checkpoint_sign(&checkpoint, &signers[1], 1, 0, &out, &error), 0);
    assert_int_equal(checkpoint_open(out.bytes, out.size, both, 2, seen, &again, &error), 0);
    assert_false(seen[0].verified);
    assert_true(seen[1].verified);
    buf_deinit(&out);
    (void)note_signer_free(signers[0]);
    (void)note_signer_free(signers[1]);
}

static void test_a_cosignature_signs_time_and_text(void **state) {
    (void)state;
    struct note_signer *signers[2] = {signer_of("host.example/buckler", NOTE_ED25519, 0),
                                      signer_of("witness.example/w", NOTE_COSIGNATURE, 9)};
    struct note_key keys[2] = {*note_signer_key(signers[0]), *note_signer_key(signers[1])};
    struct checkpoint checkpoint = our_checkpoint();
    struct checkpoint again;
    struct note_seen seen[2];
    struct buf out = {0};
    struct buf text = {0};
    struct error error;
    struct note note;
    uint8_t bytes[76];
    assert_int_equal(checkpoint_sign(&checkpoint, signers, 2, 1700000000, &out, &error), 0);
    assert_int_equal(checkpoint_open(out.bytes, out.size, keys, 2, seen, &again, &error), 0);
    assert_true(seen[0].verified && seen[1].verified);
    assert_int_equal(seen[1].time, 1700000000);

    /* The signing text, put together by hand. */
    assert_int_equal(note_parse(out.bytes, out.size, &note, &error), 0);
    assert_true(base64_decode(note.lines[1].base64, bytes, sizeof bytes));
    buf_printf(&text, "cosignature/v1\ntime 1700000000\n%.*s", (int)note.text.size, note.text.bytes);
    assert_int_equal(crypto_verify(keys[1].public_key, text.bytes, text.size, bytes + 12), 0);

    /* A witness says nothing of who issued the checkpoint. */
    assert_int_equal(checkpoint_open(out.bytes, out.size, &keys[1], 1, NULL, &again, &error),
                     PROOF_E_UNSIGNED);
    buf_deinit(&out);
    buf_deinit(&text);
    (void)note_signer_free(signers[0]);
    (void)note_signer_free(signers[1]);
}

static void test_a_line_of_a_witness_can_be_added_to_a_note(void **state) {
    (void)state;
    struct note_signer *witness = signer_of("witness.example/w", NOTE_COSIGNATURE, 9);
    struct note_key keys[2] = {key_of(our_key), *note_signer_key(witness)};
    struct checkpoint again;
    struct note_seen seen[2];
    struct note note;
    struct buf out = {0};
    struct error error;
    buf_append(&out, our_note, sizeof our_note - 1);
    assert_int_equal(note_parse(our_note, sizeof our_note - 1, &note, &error), 0);
    assert_int_equal(note_sign_line(note.text, witness, 5, &out, &error), 0);
    assert_int_equal(note_sign_line(note.text, witness, 4, &out, &error), 0);
    assert_int_equal(checkpoint_open(out.bytes, out.size, keys, 2, seen, &again, &error), 0);
    assert_true(seen[1].verified);
    assert_int_equal(seen[1].time, 5);
    assert_int_equal(note_sign_line(note.text, witness, UINT64_MAX, &out, &error), -22);
    buf_deinit(&out);
    (void)note_signer_free(witness);
}

static void test_unknown_keys_are_ignored_sixty_three_of_them(void **state) {
    (void)state;
    struct note_key keys[2] = {key_of(our_key), key_of(foo_key)};
    struct checkpoint again;
    struct buf out = {0};
    struct error error;
    const char *line = strstr(our_note, "\n\n") + 2;
    buf_append(&out, our_note, (size_t)(line - our_note));
    for (int i = 0; i < 63; i++) {
        /* Our name with another id, our id with another name, and an algorithm of the future. */
        buf_printf(&out, DASH "%s %s\n", i % 3 == 0 ? "host.example/buckler" : "other.example",
                   i % 3 == 0   ? "AAAAAAAA"
                   : i % 3 == 1 ? "qxEx1QAA"
                                : "qxEx1QAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==");
    }
    buf_printf(&out, "%s", line);
    assert_int_equal(checkpoint_open(out.bytes, out.size, keys, 2, NULL, &again, &error), 0);
    buf_printf(&out, "%s", line);
    assert_int_equal(checkpoint_open(out.bytes, out.size, keys, 2, NULL, &again, &error), PROOF_E_MALFORMED);
    buf_deinit(&out);
}

static void test_the_text_ends_at_the_last_empty_line(void **state) {
    (void)state;
    struct note_signer *signer = signer_of("poet.example", NOTE_ED25519, 3);
    static const char *const texts[] = {"a\n\nb\n", "a\n\n" DASH "poet.example AAAAAAAA\n", "\n", "a\n\n",
                                        "trafitto da un raggio di sole:\n\ned \xc3\xa8 subito sera.\n"};
    struct error error;
    struct note note;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf out = {0};
        assert_int_equal(note_sign(text_of(texts[i]), &signer, 1, 0, &out, &error), 0);
        assert_int_equal(note_parse(out.bytes, out.size, &note, &error), 0);
        assert_true(slice_is(note.text, texts[i]));
        assert_int_equal(note_verify(&note, note_signer_key(signer), 1, NULL, &error), 0);
        buf_deinit(&out);
    }
    (void)note_signer_free(signer);
}

static void test_refuses_a_note_after_any_change_of_a_bit(void **state) {
    (void)state;
    struct note_key key = key_of(our_key);
    struct checkpoint again;
    struct error error;
    char bytes[sizeof our_note];
    memcpy(bytes, our_note, sizeof our_note);
    for (size_t bit = 0; bit < 8 * (sizeof our_note - 1); bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        assert_int_not_equal(checkpoint_open(bytes, sizeof our_note - 1, &key, 1, NULL, &again, &error), 0);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t size = 0; size < sizeof our_note - 1; size++) {
        assert_int_not_equal(checkpoint_open(bytes, size, &key, 1, NULL, &again, &error), 0);
    }
}

static void test_refuses_to_sign_what_cannot_be_read_back(void **state) {
    (void)state;
    struct note_signer *signer = signer_of("poet.example", NOTE_ED25519, 3);
    struct note_signer *many[NOTE_MAX_SIGNATURES + 1];
    struct checkpoint checkpoint = our_checkpoint();
    struct buf out = {0};
    struct error error;
    static const char *const texts[] = {"", "no newline", "tab\there\n", "\xff\n", "nul\x01\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(note_sign(text_of(texts[i]), &signer, 1, 0, &out, &error), PROOF_E_MALFORMED);
    }
    for (size_t i = 0; i <= NOTE_MAX_SIGNATURES; i++) {
        many[i] = signer;
    }
    assert_int_equal(note_sign(text_of("a\n"), many, 0, 0, &out, &error), -22);
    assert_int_equal(note_sign(text_of("a\n"), many, NOTE_MAX_SIGNATURES + 1, 0, &out, &error), -22);
    /* No key with the origin's name; a witness that bears it; an origin that is no name; a wrong empty root.
     */
    assert_int_equal(checkpoint_sign(&checkpoint, &signer, 1, 0, &out, &error), -22);
    (void)note_signer_free(signer);
    signer = signer_of("host.example/buckler", NOTE_COSIGNATURE, 0);
    assert_int_equal(checkpoint_sign(&checkpoint, &signer, 1, 0, &out, &error), -22);
    (void)note_signer_free(signer);
    signer = signer_of("host.example/buckler", NOTE_ED25519, 0);
    checkpoint.size = 0;
    assert_int_equal(checkpoint_sign(&checkpoint, &signer, 1, 0, &out, &error), -22);
    checkpoint.size = UINT64_MAX;
    assert_int_equal(checkpoint_sign(&checkpoint, &signer, 1, 0, &out, &error), -22);
    memset(checkpoint.origin, 'a', sizeof checkpoint.origin);
    assert_int_equal(checkpoint_print(&checkpoint, &out, &error), -22);
    assert_int_equal(out.size, 0);
    (void)note_signer_free(signer);
}

static void test_refuses_keys_with_names_that_no_note_can_carry(void **state) {
    (void)state;
    static const char *const names[] = {"",
                                        "a b",
                                        "a+b",
                                        "a\nb",
                                        "\xff",
                                        "a\x7f",
                                        "a\xc2\xa0",     /* no-break space */
                                        "a\xc2\x85",     /* next line */
                                        "\xe3\x80\x80z", /* ideographic space */
                                        "a\xe2\x80\xa8" /* line separator */};
    uint8_t seed[CRYPTO_SEED_BYTES] = {1};
    char longest[NOTE_NAME_SIZE + 1] = {0};
    struct note_signer *signer = NULL;
    struct note_key key;
    struct error error;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(note_signer_new(names[i], NOTE_ED25519, seed, &signer, &error), -22);
        assert_null(signer);
    }
    memset(longest, 'a', NOTE_NAME_SIZE);
    assert_int_equal(note_key_make(longest, NOTE_ED25519, seed, &key, &error), -22);
    longest[NOTE_NAME_SIZE - 1] = '\0';
    assert_int_equal(note_key_make(longest, NOTE_ED25519, seed, &key, &error), 0);
    assert_int_equal(note_key_make("a", NOTE_KIND_INVALID, seed, &key, &error), -22);
}

static void test_a_signer_signs_extensions_only(void **state) {
    (void)state;
    struct tree_range range;
    struct checkpoint last = {.origin = "a"};
    struct checkpoint next = {.origin = "a"};
    struct tree_hash leaf = {{1}};
    struct error error;
    tree_range_init(&range);
    assert_int_equal(tree_range_append(&range, &leaf), 0);
    last.size = next.size = 1;
    assert_int_equal(tree_range_root(&range, &last.root), 0);
    next.root = last.root;
    assert_int_equal(checkpoint_may_follow(NULL, &next, &range, &error), 0);
    assert_int_equal(checkpoint_may_follow(&last, &next, &range, &error), 0);
    last.root.bytes[0] ^= 1;
    assert_int_equal(checkpoint_may_follow(&last, &next, &range, &error), PROOF_E_MISMATCH);
    last.size = 2;
    assert_int_equal(checkpoint_may_follow(&last, &next, &range, &error), PROOF_E_MISMATCH);
    last.size = 0;
    assert_int_equal(checkpoint_may_follow(&last, &next, &range, &error), 0);
    last.origin[0] = 'b';
    assert_int_equal(checkpoint_may_follow(&last, &next, &range, &error), PROOF_E_MISMATCH);
    next.root.bytes[0] ^= 1;
    assert_int_equal(checkpoint_may_follow(NULL, &next, &range, &error), PROOF_E_MISMATCH);
    next.root.bytes[0] ^= 1;
    next.size = 2;
    assert_int_equal(checkpoint_may_follow(NULL, &next, &range, &error), PROOF_E_MISMATCH);
}

/* ---- offline proofs ---- */

static void test_an_offline_proof_convinces_of_its_record_only(void **state) {
    (void)state;
    struct note_signer *signer = signer_of("log.example", NOTE_ED25519, 7);
    struct tree_hash leaves[2];
    struct checkpoint checkpoint = {.origin = "log.example", .size = 2};
    struct checkpoint again;
    struct tree_proof path = {.count = 1};
    struct tlog_proof parsed;
    struct buf note = {0};
    struct buf out = {0};
    struct error error;
    uint64_t index = 99;
    assert_int_equal(tree_leaf("one", 3, &leaves[0]), 0);
    assert_int_equal(tree_leaf("two", 3, &leaves[1]), 0);
    assert_int_equal(tree_node(&leaves[0], &leaves[1], &checkpoint.root), 0);
    assert_int_equal(checkpoint_sign(&checkpoint, &signer, 1, 0, &note, &error), 0);
    path.hashes[0] = leaves[0];
    assert_int_equal(tlog_proof_print("hi", 2, 1, &path, slice_of(&note), &out, &error), 0);
    assert_memory_equal(out.bytes, "c2sp.org/tlog-proof@v1\nextra aGk=\nindex 1\n", 42);
    const struct note_key *key = note_signer_key(signer);
    assert_int_equal(tlog_proof_verify(out.bytes, out.size, &leaves[1], key, 1, NULL, &index, &again, &error),
                     0);
    assert_int_equal(index, 1);
    assert_int_equal(again.size, 2);
    assert_int_equal(tlog_proof_verify(out.bytes, out.size, &leaves[0], key, 1, NULL, &index, &again, &error),
                     PROOF_E_MISMATCH);
    assert_int_equal(tlog_proof_parse(out.bytes, out.size, &parsed, &error), 0);
    assert_true(parsed.has_extra && slice_is(parsed.extra, "aGk="));
    /* The unsigned extra line apart, every bit counts. */
    for (size_t bit = 0; bit < 8 * out.size; bit++) {
        if (bit / 8 < 23 || bit / 8 >= 33) {
            out.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(
                tlog_proof_verify(out.bytes, out.size, &leaves[1], key, 1, NULL, &index, &again, &error), 0);
            out.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    buf_deinit(&note);
    buf_deinit(&out);
    (void)note_signer_free(signer);
}

static void test_refuses_to_print_a_proof_that_does_not_fit_its_checkpoint(void **state) {
    (void)state;
    struct tree_proof path = {.count = 3};
    struct buf out = {0};
    struct error error;
    assert_int_equal(tlog_proof_print(NULL, 0, 8, &path, text_of(our_note), &out, &error), -22);
    assert_int_equal(tlog_proof_print(NULL, 0, 0, &path, text_of(foo_note), &out, &error), -22);
    path.count = 2;
    assert_int_equal(tlog_proof_print(NULL, 0, 7, &path, text_of(our_note), &out, &error), -22);
    assert_int_equal(out.size, 0);
    path.count = 3;
    assert_int_equal(tlog_proof_print(NULL, 0, 7, &path, text_of(our_note), &out, &error), 0);
    buf_deinit(&out);
}

/* ---- encodings ---- */

static void test_base64_is_the_published_one(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xfb\xff\xfe", "+//+"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buf out = {0};
        char bytes[8] = {0};
        size_t size = strlen(pairs[i][0]);
        base64_append(&out, pairs[i][0], size);
        buf_u8(&out, 0);
        assert_string_equal((const char *)out.bytes, pairs[i][1]);
        assert_true(base64_decode(text_of(pairs[i][1]), bytes, size));
        assert_memory_equal(bytes, pairs[i][0], size);
        assert_false(base64_decode(text_of(pairs[i][1]), bytes, size + 1));
        buf_deinit(&out);
    }
}

static void test_refuses_every_other_spelling_of_base64(void **state) {
    (void)state;
    static const char *const texts[] = {"Zg",       "Zg=",    "Zg===",       "Zh==",  "Zm9=", "=",
                                        "==",       "====",   "A===",        "Zm9v ", "Zm 9", "Zm-_",
                                        "Zg==Zg==", "Zm9v\n", "Z\xc3\xa9==", "Z=m="};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(base64_valid(text_of(texts[i])));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verifies_the_published_note),
        cmocka_unit_test(test_signs_our_checkpoint_to_the_byte),
        cmocka_unit_test(test_reads_the_time_of_the_published_cosignature),
        cmocka_unit_test(test_a_note_during_rotation_satisfies_old_and_new_key),
        cmocka_unit_test(test_a_cosignature_signs_time_and_text),
        cmocka_unit_test(test_a_line_of_a_witness_can_be_added_to_a_note),
        cmocka_unit_test(test_unknown_keys_are_ignored_sixty_three_of_them),
        cmocka_unit_test(test_the_text_ends_at_the_last_empty_line),
        cmocka_unit_test(test_refuses_a_note_after_any_change_of_a_bit),
        cmocka_unit_test(test_refuses_to_sign_what_cannot_be_read_back),
        cmocka_unit_test(test_refuses_keys_with_names_that_no_note_can_carry),
        cmocka_unit_test(test_a_signer_signs_extensions_only),
        cmocka_unit_test(test_an_offline_proof_convinces_of_its_record_only),
        cmocka_unit_test(test_refuses_to_print_a_proof_that_does_not_fit_its_checkpoint),
        cmocka_unit_test(test_base64_is_the_published_one),
        cmocka_unit_test(test_refuses_every_other_spelling_of_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
