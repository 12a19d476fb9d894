/* SPDX-License-Identifier: Apache-2.0
 *
 * Malformed notes, keys, checkpoints, proofs, paths and tiles. Each row is refused, and the sentence says
 * why. Bytes are copied to memory of their exact size, so that a sanitizer sees a read beyond them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "audit/proof/tile.h"
#include "audit/proof/tlog_proof.h"

#define DASH "\xe2\x80\x94 "
#define ORIGIN "host.example/buckler"
#define ROOT "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="
#define SIGNATURE                                                                                            \
    "qxEx1V1096W5A34ygf21IULVrpXoin8TEMq+IshinfnNY+4PRZ7EU5ZRyQ35IVa8XCCAfdsdESj57SCYbsVG2wPnvgE="
#define LINE DASH ORIGIN " " SIGNATURE "\n"
#define NOTE ORIGIN "\n8\n" ROOT "\n\n" LINE
#define KEY ORIGIN "+ab1131d5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
#define TITLE "c2sp.org/tlog-proof@v1\n"
#define THREE ROOT "\n" ROOT "\n" ROOT "\n"
#define EIGHT THREE THREE ROOT "\n" ROOT "\n"
#define SIXTY_FOUR EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT

struct row {
    const char *bytes;
    size_t size;
    const char *sentence; /* a part of it */
};

#define ROW(literal, part)                                                                                   \
    { literal, sizeof(literal) - 1, part }

typedef int check(const char *bytes, size_t size, struct error *error);

static void assert_refused(const struct row *rows, size_t count, check *fn) {
    for (size_t i = 0; i < count; i++) {
        struct error error = {0};
        char *exact = malloc(rows[i].size + (rows[i].size == 0));
        assert_non_null(exact);
        memcpy(exact, rows[i].bytes, rows[i].size);
        int rc = fn(exact, rows[i].size, &error);
        free(exact);
        if (rc <= 0 || strstr(error.text, rows[i].sentence) == NULL) {
            fail_msg("row %zu: %d, %s", i, rc, error.text);
        }
        assert_int_equal(error.code, rc);
    }
}

#define REFUSED(rows, fn) assert_refused(rows, sizeof(rows) / sizeof *(rows), fn)

static struct note_key our_key(void) {
    struct note_key key;
    struct error error;
    assert_int_equal(note_key_parse((struct slice){KEY, sizeof KEY - 1}, &key, &error), 0);
    return key;
}

static int open_note(const char *bytes, size_t size, struct error *error) {
    struct note_key key = our_key();
    struct note note;
    int rc = note_parse(bytes, size, &note, error);
    return rc != 0 ? rc : note_verify(&note, &key, 1, NULL, error);
}

static void test_refuses_malformed_notes(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("", "is empty"),
        ROW("\n", "no empty line"),
        ROW("\n\n", "no signature behind"),
        ROW("text\n", "no empty line"),
        ROW("text\n\n", "no signature behind"),
        ROW("\n" LINE, "no empty line"),
        ROW("text\n" LINE, "no empty line"),
        ROW(ORIGIN "\n8\n" ROOT "\n\n" DASH ORIGIN " " SIGNATURE, "does not end in a newline"),
        ROW(NOTE "\n", "no signature behind"),
        ROW(NOTE "x\n", "does not begin with an em dash"),
        ROW("text\n\n" LINE "\n" LINE "more\n", "does not begin with an em dash"),
        ROW("text\r\n\r\n" LINE, "control character"),
        ROW("te\txt\n\n" LINE, "control character"),
        ROW("te\0xt\n\n" LINE, "control character"),
        ROW("te\xffxt\n\n" LINE, "not UTF-8"),
        ROW("te\xc0\xaext\n\n" LINE, "not UTF-8"),
        ROW("te\xed\xa0\x80xt\n\n" LINE, "not UTF-8"),
        ROW("text\n\n- a AAAAAAAA\n", "does not begin with an em dash"),
        ROW("text\n\n\xe2\x80\x93 a AAAAAAAA\n", "does not begin with an em dash"),
        ROW("text\n\n\xe2\x80\x94"
            "a AAAAAAAA\n",
            "does not begin with an em dash"),
        ROW("text\n\n\xe2\x80\x94\n", "does not begin with an em dash"),
        ROW("text\n\n" DASH "\n", "no valid key name"),
        ROW("text\n\n" DASH " AAAAAAAA\n", "no valid key name"),
        ROW("text\n\n" DASH "a+b AAAAAAAA\n", "no valid key name"),
        ROW("text\n\n" DASH "a\xc2\xa0"
            "b AAAAAAAA\n",
            "no valid key name"),
        ROW("text\n\n" DASH "a\n", "no signature"),
        ROW("text\n\n" DASH "a \n", "too short"),
        ROW("text\n\n" DASH "a AAAA\n", "too short"),
        ROW("text\n\n" DASH "a AAAAAA==\n", "too short"),
        ROW("text\n\n" DASH "a AAAAAAA\n", "not canonical base64"),
        ROW("text\n\n" DASH "a AAAAAAB=\n", "not canonical base64"),
        ROW("text\n\n" DASH "a AAAAAA-_\n", "not canonical base64"),
        ROW("text\n\n" DASH "a AAAAAAAA \n", "not canonical base64"),
        ROW("text\n\n" DASH "a  AAAAAAA\n", "not canonical base64"),
        ROW("text\n\n" DASH "a AAAA AAAA\n", "not canonical base64"),
        ROW("text\n\n" DASH "a AAAAAAAA\n", "no key that is trusted"),
        ROW("text\n\n" DASH ORIGIN " AAAAAAAA\n", "no key that is trusted"),
        ROW("text\n\n" DASH "other " SIGNATURE "\n", "no key that is trusted"),
        ROW("text\n\n" LINE, "signature by " ORIGIN "+ab1131d5 is wrong"),
        ROW("text\n\n" DASH ORIGIN " qxEx1QAA\n", "is wrong"),
        ROW(ORIGIN "\n8\n" ROOT "\n\n" DASH ORIGIN " qxEx1V1096W5A34ygf21IULVrpXoin8TEMq+IshinfnNY+4PRZ7EU5ZR"
                   "yQ35IVa8XCCAfdsdESj57SCYbsVG2wPnvgEA\n",
            "is wrong"),
        /* One good signature does not make up for a bad one by the same key. */
        ROW(NOTE DASH ORIGIN " qxEx1QAA\n", "is wrong"),
    };
    REFUSED(rows, open_note);
}

static void test_refuses_a_note_that_is_too_long(void **state) {
    (void)state;
    struct note note;
    struct error error = {0};
    char *bytes = malloc(NOTE_MAX_BYTES + 1);
    assert_non_null(bytes);
    memset(bytes, 'a', NOTE_MAX_BYTES + 1);
    static const char end[] = "\n\n" DASH "a AAAAAAA=\n";
    memcpy(bytes + NOTE_MAX_BYTES + 1 - (sizeof end - 1), end, sizeof end - 1);
    assert_int_equal(note_parse(bytes, NOTE_MAX_BYTES + 1, &note, &error), PROOF_E_MALFORMED);
    assert_non_null(strstr(error.text, "longer than a mebibyte"));
    assert_int_equal(note_parse(bytes + 1, NOTE_MAX_BYTES, &note, &error), 0);
    free(bytes);
}

static int parse_key(const char *bytes, size_t size, struct error *error) {
    struct note_key key;
    return note_key_parse((struct slice){bytes, size}, &key, error);
}

static void test_refuses_malformed_verifier_keys(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("", "name and a plus sign"),
        ROW("a", "name and a plus sign"),
        ROW("+ab1131d5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "name and a plus sign"),
        ROW("a b+ab1131d5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "name and a plus sign"),
        ROW(ORIGIN "+", "eight lower-case"),
        ROW(ORIGIN "+ab1131d5", "eight lower-case"),
        ROW(ORIGIN "+ab1131d+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "eight lower-case"),
        ROW(ORIGIN "+AB1131D5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "eight lower-case"),
        ROW(ORIGIN "+0xb1131d+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "eight lower-case"),
        ROW(ORIGIN "+ab1131d5+", "end in base64"),
        ROW(ORIGIN "+ab1131d5+AQ", "end in base64"),
        ROW(KEY "\n", "end in base64"),
        ROW(ORIGIN "+ab1131d5+AQ==", "neither an Ed25519 key"),
        ROW(ORIGIN "+ab1131d5+AgOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "neither an Ed25519 key"),
        ROW(ORIGIN "+ab1131d5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4AAAA", "neither an Ed25519 key"),
        ROW(ORIGIN "+ab1131d5+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "not that of its name"),
        ROW(ORIGIN "+ab1131d6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "not that of its name"),
        ROW("other.example+ab1131d5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", "not that of its name"),
    };
    REFUSED(rows, parse_key);
}

static int parse_checkpoint(const char *bytes, size_t size, struct error *error) {
    struct checkpoint checkpoint;
    return checkpoint_parse((struct slice){bytes, size}, &checkpoint, error);
}

static void test_refuses_malformed_checkpoints(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("", "fewer than three lines"),
        ROW("a\n8\n", "fewer than three lines"),
        ROW("a\n8\n" ROOT, "fewer than three lines"),
        ROW("\n8\n" ROOT "\n", "origin is no valid name"),
        ROW("a b\n8\n" ROOT "\n", "origin is no valid name"),
        ROW("a\n08\n" ROOT "\n", "without leading zeros"),
        ROW("a\n00\n" ROOT "\n", "without leading zeros"),
        ROW("a\n\n" ROOT "\n", "without leading zeros"),
        ROW("a\n-1\n" ROOT "\n", "without leading zeros"),
        ROW("a\n+8\n" ROOT "\n", "without leading zeros"),
        ROW("a\n 8\n" ROOT "\n", "without leading zeros"),
        ROW("a\n0x8\n" ROOT "\n", "without leading zeros"),
        ROW("a\n9223372036854775808\n" ROOT "\n", "without leading zeros"),
        ROW("a\n18446744073709551624\n" ROOT "\n", "without leading zeros"),
        ROW("a\n8\n\n", "32 bytes in base64"),
        ROW("a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg\n", "32 bytes in base64"),
        ROW("a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyh=\n", "32 bytes in base64"),
        ROW("a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQygA\n", "32 bytes in base64"),
        ROW("a\n8\n" ROOT "\nextension\n", "extension lines"),
        ROW("a\n8\n" ROOT "\n\n", "extension lines"),
        ROW("a\n8\n" ROOT "\nx", "extension lines"),
        ROW("a\n0\n" ROOT "\n", "another root than the empty one"),
    };
    REFUSED(rows, parse_checkpoint);
}

static int verify_proof(const char *bytes, size_t size, struct error *error) {
    struct note_key key = our_key();
    struct tree_hash leaf = {{0}};
    struct checkpoint checkpoint;
    uint64_t index = 0;
    return tlog_proof_verify(bytes, size, &leaf, &key, 1, NULL, &index, &checkpoint, error);
}

static void test_refuses_malformed_proofs(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("", "does not begin with the line"),
        ROW("c2sp.org/tlog-proof@v1", "does not begin with the line"),
        ROW("c2sp.org/tlog-proof@v2\nindex 7\n" THREE "\n" NOTE, "does not begin with the line"),
        ROW(" " TITLE "index 7\n" THREE "\n" NOTE, "does not begin with the line"),
        ROW(TITLE, "no index line"),
        ROW(TITLE "index 7", "no index line"),
        ROW(TITLE "index\n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "index 07\n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "index  7\n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "index 7 \n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "index -7\n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "index 9223372036854775808\n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "Index 7\n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "extra aGk\nindex 7\n" THREE "\n" NOTE, "extra data is not base64"),
        ROW(TITLE "extra a===\nindex 7\n" THREE "\n" NOTE, "extra data is not base64"),
        ROW(TITLE "extra aGk=\nextra aGk=\nindex 7\n" THREE "\n" NOTE, "no index line"),
        ROW(TITLE "index 7\nextra aGk=\n" THREE "\n" NOTE, "32 bytes in base64"),
        ROW(TITLE "index 7\n" THREE, "no empty line before"),
        ROW(TITLE "index 7\n" THREE "\n", "no checkpoint"),
        ROW(TITLE "index 7\n" THREE NOTE, "32 bytes in base64"),
        ROW(TITLE "index 7\n" THREE "QUJD\n\n" NOTE, "32 bytes in base64"),
        ROW(TITLE "index 7\n" SIXTY_FOUR ROOT "\n\n" NOTE, "more than 64 hashes"),
        ROW(TITLE "index 7\n" THREE "\n\n" NOTE, "origin is no valid name"),
        ROW(TITLE "index 7\n" THREE "\n" ORIGIN "\n8\n" ROOT "\n", "no empty line between"),
        ROW(TITLE "index 7\n" THREE "\n" ORIGIN "\n9\n" ROOT "\n\n" LINE, "is wrong"),
        ROW(TITLE "index 7\n" THREE "\n" ORIGIN "\n8\n" ROOT "\n\n" DASH "other " SIGNATURE "\n",
            "no key that is trusted"),
        ROW(TITLE "index 8\n" THREE "\n" NOTE, "has no leaf 8"),
        ROW(TITLE "index 9223372036854775807\n" THREE "\n" NOTE, "has no leaf"),
        ROW(TITLE "index 7\n\n" NOTE, "has 0 hashes where these sizes need 3"),
        ROW(TITLE "index 7\n" SIXTY_FOUR "\n" NOTE, "has 64 hashes where these sizes need 3"),
        ROW(TITLE "index 7\n" THREE "\n" NOTE, "leads to another root"),
    };
    REFUSED(rows, verify_proof);
}

static int parse_path(const char *bytes, size_t size, struct error *error) {
    struct tile tile;
    return tile_parse((struct slice){bytes, size}, &tile, error);
}

static void test_refuses_malformed_paths(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("", "does not begin with tile/"),
        ROW("checkpoint", "does not begin with tile/"),
        ROW("/tile/0/000", "does not begin with tile/"),
        ROW("tile", "does not begin with tile/"),
        ROW("tile/", "no level"),
        ROW("tile//000", "no level"),
        ROW("tile/64/000", "no level"),
        ROW("tile/00/000", "no level"),
        ROW("tile/-1/000", "no level"),
        ROW("tile/Entries/000", "no level"),
        ROW("tile/18446744073709551616/000", "no level"),
        ROW("tile/../000", "no level"),
        ROW("tile/0", "no index"),
        ROW("tile/0/", "no index"),
        ROW("tile/0/0", "no index"),
        ROW("tile/0/00", "no index"),
        ROW("tile/0/0a0", "no index"),
        ROW("tile/0/../000", "no index"),
        ROW("tile/entries", "no index"),
        ROW("tile/entriesx/000", "no index"),
        ROW("tile/0/x000/001", "no index"),
        ROW("tile/0/x001", "no index"),
        ROW("tile/0/x001/", "no index"),
        ROW("tile/0/x001/x002", "no index"),
        ROW("tile/0/x0010/002", "no index"),
        ROW("tile/0/xx01/002", "no index"),
        ROW("tile/0/x009/x223/x372/x036/x854/x775/808", "no index"),
        ROW("tile/0/x001/x000/x000/x000/x000/x000/x000/x000/000", "no index"),
        ROW("tile/0/001/002", "behind its index"),
        ROW("tile/0/0000", "behind its index"),
        ROW("tile/0/000/", "behind its index"),
        ROW("tile/0/000.p", "behind its index"),
        ROW("tile/0/000\0", "behind its index"),
        ROW("tile/0/000.p/", "no width"),
        ROW("tile/0/000.p/0", "no width"),
        ROW("tile/0/000.p/01", "no width"),
        ROW("tile/0/000.p/256", "no width"),
        ROW("tile/0/000.p/x", "no width"),
        ROW("tile/0/000.p/1/2", "behind its width"),
        ROW("tile/0/000.p/1\n", "behind its width"),
    };
    REFUSED(rows, parse_path);
}

static int parse_two_hashes(const char *bytes, size_t size, struct error *error) {
    struct tree_hash hashes[TILE_WIDTH];
    return tile_parse_hashes(bytes, size, 2, hashes, error);
}

static int parse_two_records(const char *bytes, size_t size, struct error *error) {
    struct slice records[TILE_WIDTH];
    return tile_parse_bundle(bytes, size, 2, records, error);
}

static void test_refuses_malformed_tiles(void **state) {
    (void)state;
    static const char zeros[66] = {0};
    static const struct row hashes[] = {
        {zeros, 0, "a tile of 2 hashes is 0 bytes long"},
        {zeros, 1, "is 1 bytes long"},
        {zeros, 32, "is 32 bytes long"},
        {zeros, 63, "is 63 bytes long"},
        {zeros, 65, "a tile of 2 hashes is 65 bytes long"},
        {zeros, 66, "is 66 bytes long"},
    };
    static const struct row records[] = {
        ROW("", "ends inside record 0"),
        ROW("\0", "ends inside record 0"),
        ROW("\0\1", "ends inside record 0"),
        ROW("\0\2a", "ends inside record 0"),
        ROW("\1\0a\0\0", "ends inside record 0"), /* the length is big-endian */
        ROW("\xff\xff", "ends inside record 0"),
        ROW("\0\1a", "ends inside record 1"),
        ROW("\0\1a\0", "ends inside record 1"),
        ROW("\0\1a\0\1", "ends inside record 1"),
        ROW("\0\1a\0\1bc", "goes on behind its 2 records"),
        ROW("\0\0\0\0\0\0", "goes on behind its 2 records"),
    };
    REFUSED(hashes, parse_two_hashes);
    REFUSED(records, parse_two_records);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_malformed_notes),
        cmocka_unit_test(test_refuses_a_note_that_is_too_long),
        cmocka_unit_test(test_refuses_malformed_verifier_keys),
        cmocka_unit_test(test_refuses_malformed_checkpoints),
        cmocka_unit_test(test_refuses_malformed_proofs),
        cmocka_unit_test(test_refuses_malformed_paths),
        cmocka_unit_test(test_refuses_malformed_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
