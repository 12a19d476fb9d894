/* SPDX-License-Identifier: Apache-2.0
 *
 * Pixels: the same as Pillow's for every format, mode and orientation in the golden folder, the known answers
 * of the resize, and what each oddity of a file says in flags.
 */
#include "pictures.h"

#include "base/digest.h"
#include "decode/worker/image_steps.h"

static const struct image_limits limits = {
    .pixels = UINT64_C(64) << 20, .side = 16384, .memory_bytes = UINT64_C(256) << 20};

enum { SPACE_BYTES = 4 << 20 };

struct result {
    uint8_t *space;
    struct canonical_image image;
    uint32_t flags;
    int rc;
    struct error error;
};

static void run(const struct buf *file, const char *mime, struct decode_image_form form, struct result *ret) {
    *ret = (struct result){.space = malloc(SPACE_BYTES)};
    assert_non_null(ret->space);
    struct sink sink = {.bytes = ret->space, .size = SPACE_BYTES};
    ret->rc = image_canonicalise(&limits, file->bytes, file->size, mime, &form, &sink, &ret->image,
                                 &ret->flags, &ret->error);
}

static struct decode_image_form plain(uint32_t width, uint32_t height) {
    return (struct decode_image_form){width, height, 0, width, height};
}

static void test_pixels_are_those_of_pillow(void **state) {
    char name[64];
    char digest[80];
    unsigned width = 0;
    unsigned height = 0;
    unsigned frames = 0;
    unsigned variants = 0;
    unsigned count = 0;
    (void)state;
    FILE *list = fopen(BUCKLER_SOURCE_DIR "/tests/unit/decode/golden/expected.txt", "r");
    assert_non_null(list);
    while (fscanf(list, "%63s %u %u %u %u %79s", name, &width, &height, &frames, &variants, digest) == 6) {
        struct buf file = {0};
        struct result result;
        uint8_t sum[DIGEST_BYTES];
        char hex[DIGEST_HEX_SIZE];
        struct buf pixels = {0};
        picture_load(name, &file);
        run(&file, "", plain(width, height), &result);
        assert_int_equal(result.rc, 0);
        assert_int_equal(result.image.width, width);
        assert_int_equal(result.image.height, height);
        assert_int_equal(result.image.frames_total, frames);
        assert_int_equal(result.image.frames_judged, 1);
        assert_int_equal(result.image.variants, variants);
        assert_int_equal((result.flags & FLAG_ALPHA) != 0, variants == 2);
        assert_int_equal((result.flags & FLAG_ANIMATED) != 0, frames > 1);
        for (unsigned i = 0; i < variants; i++) {
            buf_append(&pixels, result.image.pixels[i], (size_t)width * height * 3);
        }
        assert_int_equal(digest_sha256(pixels.bytes, pixels.size, sum), 0);
        hex_encode(sum, sizeof sum, hex);
        if (strcmp(hex, digest) != 0) {
            fail_msg("%s: pixels differ", name);
        }
        buf_deinit(&pixels);
        buf_deinit(&file);
        free(result.space);
        count++;
    }
    (void)fclose(list);
    assert_true(count >= 50);
}

static void test_resize_gives_the_known_answers(void **state) {
    static const struct {
        uint32_t w, h, out_w, out_h;
        const char *digest; /* first 16 bytes of the SHA-256 */
    } rows[] = {{37, 23, 16, 16, "9b92b2c261cb5d9a94889e0d97b1a2de"},
                {5, 4, 16, 16, "56614e568a4b28f9c90dcd32e99e7bea"},
                {100, 3, 7, 20, "7e7abaa361faf2e7761685496e38e7b6"},
                {64, 64, 64, 10, "f9f35818c08d6c7702af719fe3e5830f"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct picture picture = {.width = rows[i].w, .height = rows[i].h, .channels = 3, .orientation = 1};
        uint8_t out[64 * 64 * 3];
        uint8_t sum[DIGEST_BYTES];
        char hex[DIGEST_HEX_SIZE];
        struct error error = {0};
        picture.pixels = malloc((size_t)rows[i].w * rows[i].h * 3);
        assert_non_null(picture.pixels);
        for (uint32_t y = 0; y < rows[i].h; y++) {
            for (uint32_t x = 0; x < rows[i].w; x++) {
                for (uint32_t c = 0; c < 3; c++) {
                    picture.pixels[(y * rows[i].w + x) * 3 + c] =
                        (uint8_t)(3 * x * x + 5 * y * y + 7 * x * y + 61 * c + 11 * x + 17 * y);
                }
            }
        }
        assert_int_equal(image_resize(&picture, 0, rows[i].out_w, rows[i].out_h, out, &error), 0);
        assert_int_equal(digest_sha256(out, (size_t)rows[i].out_w * rows[i].out_h * 3, sum), 0);
        hex_encode(sum, sizeof sum, hex);
        assert_memory_equal(hex, rows[i].digest, 32);
        free(picture.pixels);
    }
}

/* Rows of pillow_parity.py --write. */
static void test_resizes_for_vision_towers(void **state) {
    static const struct {
        const char *name, *digest;
    } rows[] = {{"rgb-q75-s2.jpg", "e42ebc7a283ac8db47f33926c6232d312c52b0e5ef09791f035c6511b3b31a07"},
                {"palette.png", "a6395d02af016e73414849707efb03ad019927ba336a42337f84da561d8b9d63"},
                {"lossless.webp", "8cc8c40c75e5cf7fc78580c3b9e1be1f798b969ff1cea408a7d8b6f701a7edf6"}};
    enum { SIDE = 896 };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf file = {0};
        struct result result;
        uint8_t sum[DIGEST_BYTES];
        char hex[DIGEST_HEX_SIZE];
        picture_load(rows[i].name, &file);
        run(&file, "", plain(SIDE, SIDE), &result);
        assert_int_equal(result.rc, 0);
        assert_int_equal(digest_sha256(result.image.pixels[0], (size_t)SIDE * SIDE * 3, sum), 0);
        hex_encode(sum, sizeof sum, hex);
        assert_string_equal(hex, rows[i].digest);
        buf_deinit(&file);
        free(result.space);
    }
}

static void test_crops_the_centre_after_the_resize(void **state) {
    struct buf file = {0};
    struct result whole;
    struct result centre;
    struct decode_image_form form = {20, 16, 0, 10, 8};
    (void)state;
    png_picture(&file, 40, 30);
    run(&file, "", plain(20, 16), &whole);
    run(&file, "", form, &centre);
    assert_int_equal(whole.rc, 0);
    assert_int_equal(centre.rc, 0);
    assert_int_equal(centre.image.out_width, 10);
    assert_int_equal(centre.image.out_height, 8);
    for (size_t y = 0; y < 8; y++) {
        assert_memory_equal(centre.image.pixels[0] + y * 30, whole.image.pixels[0] + ((y + 4) * 20 + 5) * 3,
                            30);
    }
    free(whole.space);
    free(centre.space);
    buf_deinit(&file);
}

static void test_a_round_trip_through_jpeg_changes_little_and_always_the_same(void **state) {
    struct buf file = {0};
    struct result before;
    struct result after[2];
    struct decode_image_form form = {32, 32, 75, 32, 32};
    unsigned changed = 0;
    (void)state;
    png_picture(&file, 40, 30);
    run(&file, "", plain(32, 32), &before);
    for (int i = 0; i < 2; i++) {
        run(&file, "", form, &after[i]);
        assert_int_equal(after[i].rc, 0);
    }
    assert_memory_equal(after[0].image.pixels[0], after[1].image.pixels[0], 32 * 32 * 3);
    for (size_t i = 0; i < 32 * 32 * 3; i++) {
        changed += before.image.pixels[0][i] != after[0].image.pixels[0][i];
    }
    assert_true(changed > 100);
    free(before.space);
    free(after[0].space);
    free(after[1].space);
    buf_deinit(&file);
}

/* Sixteen bits a sample: the high byte, for grey too (Pillow clips grey; a declared difference). */
static void test_takes_the_high_byte_of_16_bit_samples(void **state) {
    static const struct {
        uint8_t colour;
        unsigned samples;
    } kinds[] = {{0, 1}, {2, 3}, {4, 2}, {6, 4}};
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct buf rows = {0};
        struct buf file = {0};
        struct result result;
        bool alpha = (kinds[k].colour & 4) != 0;
        for (uint32_t y = 0; y < 8; y++) {
            buf_u8(&rows, 0);
            for (uint32_t i = 0; i < 8 * kinds[k].samples; i++) {
                bool is_alpha = alpha && i % kinds[k].samples == kinds[k].samples - 1;
                buf_u8(&rows, is_alpha ? 0xff : (uint8_t)(16 * y + i)); /* the high byte comes first */
                buf_u8(&rows, 0xff);
            }
        }
        png_signature(&file);
        png_header(&file, 8, 8, 16, kinds[k].colour);
        png_data(&file, rows.bytes, rows.size);
        png_end(&file);
        run(&file, "", plain(8, 8), &result);
        assert_int_equal(result.rc, 0);
        assert_int_equal(result.image.variants, 1);
        bool grey = kinds[k].colour == 0 || kinds[k].colour == 4;
        for (uint32_t x = 0; x < 8; x++) {
            for (uint32_t c = 0; c < 3; c++) {
                uint32_t want = 16 * 5 + x * kinds[k].samples + (grey ? 0 : c);
                assert_int_equal(result.image.pixels[0][(5 * 8 + x) * 3 + c], want);
            }
        }
        free(result.space);
        buf_deinit(&rows);
        buf_deinit(&file);
    }
}

static void test_shows_what_alpha_hides_on_one_of_two_grounds(void **state) {
    struct buf rows = {0};
    struct buf file = {0};
    struct result result;
    (void)state;
    for (int y = 0; y < 8; y++) {
        buf_u8(&rows, 0);
        for (int x = 0; x < 8; x++) {
            buf_append(&rows, x < 4 ? "\xff\xff\xff\x80" : "\x10\x20\x30\x00", 4);
        }
    }
    png_signature(&file);
    png_header(&file, 8, 8, 8, 6);
    png_data(&file, rows.bytes, rows.size);
    png_end(&file);
    run(&file, "image/png", plain(8, 8), &result);
    assert_int_equal(result.rc, 0);
    assert_int_equal(result.flags, FLAG_ALPHA);
    assert_int_equal(result.image.variants, 2);
    assert_int_equal(result.image.pixels[0][0], 255); /* white on white */
    assert_int_equal(result.image.pixels[1][0], 128); /* white on black */
    assert_int_equal(result.image.pixels[0][7 * 3], 255);
    assert_int_equal(result.image.pixels[1][7 * 3], 0);
    free(result.space);
    buf_deinit(&rows);
    buf_deinit(&file);
}

/* Without Adobe's marker the four components are ink as it stands, not inverted. */
static void test_reads_ink_by_the_adobe_marker(void **state) {
    struct buf file = {0};
    struct result with;
    struct result without;
    (void)state;
    picture_load("cmyk.jpg", &file);
    run(&file, "", plain(24, 17), &with);
    size_t at = 0;
    while (memcmp(file.bytes + at, "\xff\xee", 2) != 0) {
        at++;
    }
    file.bytes[at + 1] = 0xed; /* APP14 becomes some APP13 */
    run(&file, "", plain(24, 17), &without);
    assert_int_equal(with.rc, 0);
    assert_int_equal(without.rc, 0);
    assert_memory_not_equal(with.image.pixels[0], without.image.pixels[0], 24 * 17 * 3);
    free(with.space);
    free(without.space);
    buf_deinit(&file);
}

static void test_reads_orientation_in_both_byte_orders(void **state) {
    (void)state;
    for (int big = 0; big < 2; big++) {
        for (uint16_t o = 0; o <= 10; o++) {
            struct buf exif = {0};
            exif_orientation(&exif, big, o);
            assert_int_equal(image_exif_orientation(exif.bytes, exif.size), o >= 1 && o <= 8 ? o : 1);
            for (size_t cut = 0; cut + 8 < exif.size; cut++) {
                assert_int_equal(image_exif_orientation(exif.bytes, cut), 1);
            }
            buf_deinit(&exif);
        }
    }
    assert_int_equal(image_exif_orientation((const uint8_t *)"II*\0\xff\xff\xff\xff\1\0\0\0", 12), 1);
    assert_int_equal(image_exif_orientation((const uint8_t *)"II*\0\0\0\0\0\1\0\0\0", 12), 1);
}

static void test_flags_a_declared_type_that_disagrees(void **state) {
    static const struct {
        const char *mime;
        bool agrees;
    } rows[] = {{"", true},           {"image/png", true},
                {"IMAGE/PNG", true},  {"image/png; charset=binary", true},
                {"image/*", true},    {"application/octet-stream", true},
                {"image/apng", true}, {"image/jpeg", false},
                {"image/", false},    {"text/plain", false},
                {"png", false},       {"image/pn", false},
                {"image/pngx", false}};
    struct buf file = {0};
    (void)state;
    png_picture(&file, 8, 8);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct result result;
        run(&file, rows[i].mime, plain(8, 8), &result);
        assert_int_equal(result.rc, 0);
        assert_int_equal(result.flags, rows[i].agrees ? 0 : FLAG_MIME_MISMATCH);
        free(result.space);
    }
    buf_deinit(&file);
}

static void test_flags_what_lies_behind_the_end(void **state) {
    static const char *const names[] = {"rgb.png", "rgb-q75-s2.jpg", "lossy.webp", "palette.gif"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf file = {0};
        struct result result;
        picture_load(names[i], &file);
        run(&file, "", plain(24, 17), &result);
        assert_int_equal(result.flags & FLAG_TRAILING_DATA, 0);
        free(result.space);
        buf_append(&file, "PK\3\4 and more", 13);
        run(&file, "", plain(24, 17), &result);
        assert_int_equal(result.rc, 0);
        assert_int_equal(result.flags & (FLAG_TRAILING_DATA | FLAG_TRUNCATED), FLAG_TRAILING_DATA);
        free(result.space);
        buf_deinit(&file);
    }
}

/* What decodes is judged, and the flag says that it is not all. */
static void test_judges_the_top_of_a_truncated_picture(void **state) {
    static const char *const names[] = {"rgb.png", "rgb-q75-s2.jpg", "rgb-q95-s0.jpg", "palette.gif"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf file = {0};
        struct result whole;
        struct result cut;
        picture_load(names[i], &file);
        run(&file, "", plain(24, 17), &whole);
        file.size -= 20;
        run(&file, "", plain(24, 17), &cut);
        if (cut.rc != 0) {
            fail_msg("%s: %s", names[i], cut.error.text);
        }
        assert_true((cut.flags & FLAG_TRUNCATED) != 0);
        assert_memory_equal(cut.image.pixels[0], whole.image.pixels[0], 24 * 3);
        free(whole.space);
        free(cut.space);
        buf_deinit(&file);
    }
}

static void test_flags_extreme_aspect(void **state) {
    struct buf long_file = {0};
    struct buf file = {0};
    struct result result;
    (void)state;
    png_picture(&long_file, 8, 81);
    run(&long_file, "", plain(8, 8), &result);
    assert_int_equal(result.flags, FLAG_EXTREME_ASPECT);
    free(result.space);
    png_picture(&file, 8, 80);
    run(&file, "", plain(8, 8), &result);
    assert_int_equal(result.flags, 0);
    free(result.space);
    buf_deinit(&long_file);
    buf_deinit(&file);
}

static void test_refuses_a_picture_that_needs_more_memory_than_allowed(void **state) {
    struct buf file = {0};
    uint8_t space[8 * 8 * 3];
    struct sink sink = {.bytes = space, .size = sizeof space};
    struct canonical_image image;
    struct decode_image_form form = plain(8, 8);
    struct error error = {0};
    uint32_t flags = 0;
    struct image_limits small = limits;
    (void)state;
    small.memory_bytes = 1000;
    png_picture(&file, 64, 64);
    assert_int_equal(
        image_canonicalise(&small, file.bytes, file.size, "", &form, &sink, &image, &flags, &error),
        DECODE_E_TOO_LARGE);
    buf_deinit(&file);
}

static void test_warms_up_with_its_own_samples(void **state) {
    struct error error = {0};
    (void)state;
    assert_int_equal(image_warm_up(&error), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_are_those_of_pillow),
        cmocka_unit_test(test_resize_gives_the_known_answers),
        cmocka_unit_test(test_resizes_for_vision_towers),
        cmocka_unit_test(test_crops_the_centre_after_the_resize),
        cmocka_unit_test(test_a_round_trip_through_jpeg_changes_little_and_always_the_same),
        cmocka_unit_test(test_takes_the_high_byte_of_16_bit_samples),
        cmocka_unit_test(test_shows_what_alpha_hides_on_one_of_two_grounds),
        cmocka_unit_test(test_reads_ink_by_the_adobe_marker),
        cmocka_unit_test(test_reads_orientation_in_both_byte_orders),
        cmocka_unit_test(test_flags_a_declared_type_that_disagrees),
        cmocka_unit_test(test_flags_what_lies_behind_the_end),
        cmocka_unit_test(test_judges_the_top_of_a_truncated_picture),
        cmocka_unit_test(test_flags_extreme_aspect),
        cmocka_unit_test(test_refuses_a_picture_that_needs_more_memory_than_allowed),
        cmocka_unit_test(test_warms_up_with_its_own_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
