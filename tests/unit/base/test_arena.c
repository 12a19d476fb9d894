/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"

static void test_hands_out_zeroed_memory_aligned_to_64(void **state) {
    struct arena a;
    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t size = 0; size < 300; size++) {
        unsigned char *p = arena_calloc(&a, size, 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 0xff, size);
    }
    arena_deinit(&a);
    assert_null(a.head);
}

static void test_pieces_do_not_overlap(void **state) {
    enum { COUNT = 500 };
    struct arena a;
    unsigned char *pieces[COUNT];
    (void)state;
    arena_init(&a, 64 << 20);
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 50 == 0 ? 40000 : i;
        pieces[i] = arena_calloc(&a, size + 1, 1);
        assert_non_null(pieces[i]);
        memset(pieces[i], (int)(i % 251), size + 1);
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 50 == 0 ? 40000 : i;
        assert_int_equal(pieces[i][0], i % 251);
        assert_int_equal(pieces[i][size], i % 251);
    }
    arena_deinit(&a);
}

static void test_refuses_what_is_over_the_limit(void **state) {
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    assert_non_null(arena_calloc(&a, 1, 512));
    assert_null(arena_calloc(&a, 1, 513));
    assert_int_equal(a.used_bytes, 512);
    assert_non_null(arena_calloc(&a, 1, 512));
    assert_null(arena_calloc(&a, 1, 1));
    arena_deinit(&a);
}

static void test_refuses_products_that_overflow(void **state) {
    struct arena a;
    (void)state;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_calloc(&a, SIZE_MAX / 2, 3));
    assert_null(arena_calloc(&a, SIZE_MAX, 1));
    assert_null(arena_calloc(&a, 1, SIZE_MAX - 64));
    assert_null(arena_copy(&a, "", SIZE_MAX));
    assert_int_equal(a.used_bytes, 0);
    arena_deinit(&a);
}

static void test_copies_with_a_nul_behind(void **state) {
    struct arena a;
    (void)state;
    arena_init(&a, 4096);
    assert_string_equal(arena_copy(&a, "abcdef", 3), "abc");
    assert_string_equal(arena_copy(&a, NULL, 0), "");
    int *numbers = arena_new(&a, int, 3);
    assert_non_null(numbers);
    assert_int_equal(numbers[2], 0);
    arena_deinit(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_out_zeroed_memory_aligned_to_64),
        cmocka_unit_test(test_pieces_do_not_overlap),
        cmocka_unit_test(test_refuses_what_is_over_the_limit),
        cmocka_unit_test(test_refuses_products_that_overflow),
        cmocka_unit_test(test_copies_with_a_nul_behind),
    };
    return cmocka_run_group_tests_name("base/arena", tests, NULL, NULL);
}
