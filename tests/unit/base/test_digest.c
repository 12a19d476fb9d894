/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of FIPS 180-4 (examples) and RFC 4231.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"

static void assert_hex(const uint8_t digest[DIGEST_BYTES], const char *hex) {
    char text[DIGEST_HEX_SIZE];
    hex_encode(digest, DIGEST_BYTES, text);
    assert_string_equal(text, hex);
}

static void test_sha256_of_the_standard_examples(void **state) {
    static const char long_one[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    uint8_t digest[DIGEST_BYTES];
    (void)state;
    assert_int_equal(digest_sha256("", 0, digest), 0);
    assert_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(digest_sha256("abc", 3, digest), 0);
    assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(digest_sha256(long_one, sizeof long_one - 1, digest), 0);
    assert_hex(digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_hmac_of_rfc_4231(void **state) {
    uint8_t digest[DIGEST_BYTES];
    uint8_t key[131];
    (void)state;
    memset(key, 0x0b, 20);
    assert_int_equal(digest_hmac(key, 20, "Hi There", 8, digest), 0);
    assert_hex(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(digest_hmac("Jefe", 4, "what do ya want for nothing?", 28, digest), 0);
    assert_hex(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    assert_int_equal(
        digest_hmac(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First", 54, digest),
        0);
    assert_hex(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_digests_a_file_and_names_one_that_is_not_there(void **state) {
    char path[] = "/tmp/buckler-digest-XXXXXX";
    uint8_t digest[DIGEST_BYTES];
    struct error e = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(digest_file(path, digest, &e), 0);
    assert_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(digest_file(path, digest, &e), 0);
    assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(digest_file(path, digest, &e), -ENOENT);
    assert_non_null(strstr(e.text, path));
    assert_true(digest_file("/", digest, &e) < 0);
    (void)close(fd);
}

static void test_hex_goes_there_and_back(void **state) {
    uint8_t bytes[256];
    uint8_t back[256];
    char text[513];
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
    }
    hex_encode(bytes, sizeof bytes, text);
    assert_int_equal(strlen(text), 512);
    assert_true(hex_decode(text, back, sizeof back));
    assert_memory_equal(bytes, back, sizeof back);
    assert_true(hex_decode("aBCd", back, 2));
    assert_memory_equal(back, "\xab\xcd", 2);
}

static void test_refuses_what_is_not_hex_of_that_length(void **state) {
    static const char *const bad[] = {"",     "ab",   "abcde", "abcdef",    "abcg",
                                      "ab d", "0xab", "-1ab",  "ab\xc3\xa9"};
    uint8_t out[2];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(hex_decode(bad[i], out, 2));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_of_the_standard_examples),
        cmocka_unit_test(test_hmac_of_rfc_4231),
        cmocka_unit_test(test_digests_a_file_and_names_one_that_is_not_there),
        cmocka_unit_test(test_hex_goes_there_and_back),
        cmocka_unit_test(test_refuses_what_is_not_hex_of_that_length),
    };
    return cmocka_run_group_tests_name("base/digest", tests, NULL, NULL);
}
