/* SPDX-License-Identifier: Apache-2.0
 *
 * Hostile image files, each made here, each given to a real worker: it gets its code, and the pool lives on.
 */
#include "harness.h"
#include "pictures.h"

struct hostile {
    const char *name;
    void (*make)(struct buf *file);
    int status;
    uint32_t flags; /* that must be set when the status is 0 */
};

static void load_cut(struct buf *file, const char *name, size_t keep) {
    picture_load(name, file);
    assert_true(keep <= file->size);
    file->size = keep;
}

static size_t find(const struct buf *file, const char *what, size_t size, size_t from) {
    for (size_t i = from; i + size <= file->size; i++) {
        if (memcmp(file->bytes + i, what, size) == 0) {
            return i;
        }
    }
    fail_msg("the fixture does not hold what the test changes");
    return 0;
}

static void empty(struct buf *file) {
    buf_append(file, "", 0);
}

static void one_byte(struct buf *file) {
    buf_u8(file, 0xff);
}

static void text_file(struct buf *file) {
    buf_printf(file, "#!/bin/sh\necho not a picture\n");
}

static void svg(struct buf *file) {
    buf_printf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>1</script></svg>");
}

static void tiff(struct buf *file) {
    buf_append(file, "II*\0\x08\0\0\0\0\0\0\0\0\0", 14);
}

/* ---- PNG ---- */

static void png_only_signature(struct buf *file) {
    png_signature(file);
}

static void png_cut_header(struct buf *file) {
    load_cut(file, "rgb.png", 20);
}

static void png_head(struct buf *file, uint32_t width, uint32_t height, uint8_t depth, uint8_t colour) {
    static const uint8_t rows[16];
    png_signature(file);
    png_header(file, width, height, depth, colour);
    png_data(file, rows, sizeof rows);
    png_end(file);
}

static void png_zero(struct buf *file) {
    png_head(file, 0, 0, 8, 2);
}

static void png_zero_height(struct buf *file) {
    png_head(file, 100, 0, 8, 2);
}

static void png_900_megapixels(struct buf *file) {
    png_head(file, 30000, 30000, 8, 2);
}

static void png_largest_sides(struct buf *file) {
    png_head(file, 0x7fffffff, 0x7fffffff, 16, 6);
}

static void png_over_the_sides(struct buf *file) {
    png_head(file, 0xffffffff, 1, 8, 2);
}

static void png_over_the_pixels(struct buf *file) {
    png_head(file, 16384, 16384, 8, 2);
}

static void png_bomb(struct buf *file) {
    png_head(file, 8000, 8000, 8, 2);
}

static void png_tiny(struct buf *file) {
    png_picture(file, 4, 4);
}

static void png_wrong_header_crc(struct buf *file) {
    png_picture(file, 16, 16);
    file->bytes[30] ^= 1;
}

static void png_wrong_data_crc(struct buf *file) {
    png_picture(file, 16, 16);
    file->bytes[file->size - 13] ^= 1;
}

static void png_garbage(struct buf *file) {
    png_signature(file);
    for (int i = 0; i < 500; i++) {
        buf_u8(file, (uint8_t)(i * 37 + 11));
    }
}

static void png_two_headers(struct buf *file) {
    static const uint8_t rows[16 * 49];
    png_signature(file);
    png_header(file, 16, 16, 8, 2);
    png_header(file, 9000, 9000, 8, 2);
    png_data(file, rows, sizeof rows);
    png_end(file);
}

static void png_no_palette(struct buf *file) {
    png_head(file, 16, 16, 8, 3);
}

static void png_depth_3(struct buf *file) {
    png_head(file, 16, 16, 3, 2);
}

static void png_colour_5(struct buf *file) {
    png_head(file, 16, 16, 8, 5);
}

static void png_data_too_short(struct buf *file) {
    png_head(file, 64, 64, 8, 2);
}

static void png_lying_chunk_length(struct buf *file) {
    png_picture(file, 16, 16);
    memset(file->bytes + 33, 0xff, 4); /* of IDAT */
}

static void png_metadata(struct buf *file) {
    struct buf body = {0};
    buf_printf(&body, "Comment");
    buf_u8(&body, 0);
    for (int i = 0; i < 5 << 16; i++) {
        buf_append(&body, "0123456789abcdef", 16);
    }
    png_signature(file);
    png_header(file, 16, 16, 8, 2);
    png_chunk(file, "tEXt", body.bytes, body.size);
    png_end(file);
    buf_deinit(&body);
}

static void png_many_frames(struct buf *file) {
    png_signature(file);
    png_header(file, 16, 16, 8, 2);
    png_chunk(file, "acTL", "\xff\xff\xff\xff\0\0\0\0", 8);
    png_end(file);
}

static void png_unknown_critical(struct buf *file) {
    png_signature(file);
    png_header(file, 16, 16, 8, 2);
    png_chunk(file, "EVIL", "abcd", 4);
    png_end(file);
}

static void png_half(struct buf *file) {
    png_picture(file, 64, 64);
    file->size /= 2;
}

static void png_tail(struct buf *file) {
    png_picture(file, 16, 16);
    buf_append(file, "PK\3\4", 4);
}

/* ---- JPEG ---- */

static void jpeg_only_start(struct buf *file) {
    buf_append(file, "\xff\xd8\xff", 3);
}

/* The frame header's fixture bytes: ff c0, length, precision, height, width. */
static size_t frame_header(const struct buf *file) {
    return find(file, "\xff\xc0", 2, 0);
}

static void jpeg_largest(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    memset(file->bytes + frame_header(file) + 5, 0xff, 4);
}

static void jpeg_zero_height(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    memset(file->bytes + frame_header(file) + 5, 0, 2);
}

static void jpeg_lying_size(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    memcpy(file->bytes + frame_header(file) + 5, "\x04\x00\x04\x00", 4);
}

static void jpeg_bomb(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    memcpy(file->bytes + frame_header(file) + 5, "\x1f\x40\x1f\x40", 4);
}

static void jpeg_12_bits(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    file->bytes[frame_header(file) + 4] = 12;
}

static void jpeg_lossless(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    file->bytes[frame_header(file) + 1] = 0xc3;
}

static void jpeg_bad_sampling(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    file->bytes[frame_header(file) + 11] = 0x99;
}

static void jpeg_no_tables(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    for (size_t i = 0; i + 1 < file->size; i++) {
        if (file->bytes[i] == 0xff && file->bytes[i + 1] == 0xdb) {
            file->bytes[i + 1] = 0xed; /* quantisation tables become application data */
        }
    }
}

static void jpeg_zero_length_segment(struct buf *file) {
    buf_append(file, "\xff\xd8\xff\xe0\0\0\xff\xda", 8);
}

static void jpeg_10000_scans(struct buf *file) {
    struct buf fixture = {0};
    picture_load("progressive.jpg", &fixture);
    size_t last = 0;
    for (size_t i = 0; i + 1 < fixture.size; i++) {
        last = fixture.bytes[i] == 0xff && fixture.bytes[i + 1] == 0xda ? i : last;
    }
    buf_append(file, fixture.bytes, last);
    for (int i = 0; i < 10000; i++) {
        buf_append(file, fixture.bytes + last, fixture.size - 2 - last);
    }
    buf_append(file, "\xff\xd9", 2);
    buf_deinit(&fixture);
}

static void jpeg_metadata(struct buf *file) {
    static const uint8_t body[65533];
    buf_append(file, "\xff\xd8", 2);
    for (int i = 0; i < 80; i++) {
        buf_append(file, "\xff\xe1\xff\xff", 4);
        buf_append(file, body, sizeof body);
    }
}

static void jpeg_half(struct buf *file) {
    picture_load("rgb-q95-s0.jpg", file);
    file->size -= 200;
}

static void jpeg_two(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    picture_load("rgb-q75-s2.jpg", file);
}

static void jpeg_wild_exif(struct buf *file) {
    struct buf fixture = {0};
    picture_load("rgb-q75-s2.jpg", &fixture);
    buf_append(file,
               "\xff\xd8\xff\xe1\0\x14"
               "Exif\0\0II*\0\xf0\xff\xff\xff\xff\xff\xff\xff",
               22 + 2);
    file->size = 24;
    file->bytes[5] = 22;
    buf_append(file, fixture.bytes + 2, fixture.size - 2);
    buf_deinit(&fixture);
}

static void jpeg_random_scan(struct buf *file) {
    picture_load("rgb-q75-s2.jpg", file);
    uint32_t seed = 7;
    for (size_t i = find(file, "\xff\xda", 2, 0) + 14; i < file->size; i++) {
        seed = seed * 1664525 + 1013904223;
        file->bytes[i] = (uint8_t)(seed >> 24);
    }
}

/* ---- WebP ---- */

static void webp_only_head(struct buf *file) {
    load_cut(file, "lossy.webp", 12);
}

static void webp_lying_riff(struct buf *file) {
    picture_load("lossy.webp", file);
    memset(file->bytes + 4, 0xee, 4);
}

static void webp_short_riff(struct buf *file) {
    picture_load("lossy.webp", file);
    memcpy(file->bytes + 4, "\x10\0\0\0", 4);
}

static void webp_lying_chunk(struct buf *file) {
    picture_load("lossy.webp", file);
    memset(file->bytes + 16, 0xff, 4);
}

static void webp_zero_chunk(struct buf *file) {
    buf_append(file, "RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0", 20);
}

/* An animation of one frame on a canvas of that size (less one, as the format has it). */
static void webp_canvas(struct buf *file, const char sides[6]) {
    buf_append(file, "RIFF\x3a\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0", 24);
    buf_append(file, sides, 6);
    buf_append(file, "ANIM\x06\0\0\0\0\0\0\0\0\0", 14);
    buf_append(file, "ANMF\x18\0\0\0\0\0\0\0\0\0", 14);
    buf_append(file, sides, 6);
    buf_append(file, "\0\0\0\0VP8L\0\0\0\0", 12);
}

static void webp_16_million_sides(struct buf *file) {
    webp_canvas(file, "\xff\xff\xff\xff\xff\xff");
}

static void webp_20000_wide(struct buf *file) {
    webp_canvas(file, "\x1f\x4e\0\xe7\x03\0");
}

static void webp_canvas_and_frame_differ(struct buf *file) {
    picture_load("lossy-alpha.webp", file);
    memcpy(file->bytes + 24, "\xff\x0f\0\xff\x0f\0", 6);
}

static void webp_random_data(struct buf *file) {
    picture_load("lossless.webp", file);
    for (size_t i = 26; i < file->size; i++) {
        file->bytes[i] = (uint8_t)(i * 97);
    }
}

static void webp_half(struct buf *file) {
    picture_load("lossy.webp", file);
    file->size = file->size / 4;
}

/* ---- GIF ---- */

static void gif_head(struct buf *file, uint16_t width, uint16_t height, bool colours) {
    buf_append(file, "GIF89a", 6);
    buf_u16(file, width);
    buf_u16(file, height);
    buf_append(file,
               colours ? "\x80\0\0"
                         "\0\0\0\xff\xff\xff"
                       : "\0\0\0",
               colours ? 9 : 3);
}

static void gif_frame(struct buf *file, uint16_t left, uint16_t top, uint16_t width, uint16_t height) {
    buf_u8(file, 0x2c);
    buf_u16(file, left);
    buf_u16(file, top);
    buf_u16(file, width);
    buf_u16(file, height);
    buf_append(file, "\0\x02\x02\x44\x01\0", 6); /* one or two pixels, then the end code */
}

static void gif_only_head(struct buf *file) {
    buf_append(file, "GIF89a", 6);
}

static void gif_largest(struct buf *file) {
    gif_head(file, 65535, 65535, true);
    gif_frame(file, 0, 0, 65535, 65535);
    buf_u8(file, 0x3b);
}

static void gif_bomb(struct buf *file) {
    gif_head(file, 8000, 8000, true);
    gif_frame(file, 0, 0, 8000, 8000);
    buf_u8(file, 0x3b);
}

static void gif_zero(struct buf *file) {
    gif_head(file, 0, 0, true);
    gif_frame(file, 0, 0, 8, 8);
    buf_u8(file, 0x3b);
}

static void gif_huge_frame(struct buf *file) {
    gif_head(file, 16, 16, true);
    gif_frame(file, 0, 0, 65535, 65535);
    buf_u8(file, 0x3b);
}

static void gif_no_frame(struct buf *file) {
    gif_head(file, 16, 16, true);
    buf_u8(file, 0x3b);
}

static void gif_no_colours(struct buf *file) {
    gif_head(file, 16, 16, false);
    gif_frame(file, 0, 0, 16, 16);
    buf_u8(file, 0x3b);
}

static void gif_bad_code_size(struct buf *file) {
    gif_head(file, 16, 16, true);
    buf_append(file, "\x2c\0\0\0\0\x10\0\x10\0\0\x63\x02\x44\x01\0\x3b", 16);
}

static void gif_frame_outside(struct buf *file) {
    struct buf fixture = {0};
    picture_load("palette.gif", &fixture);
    size_t at = find(&fixture, "\x2c\0\0\0\0\x18\0", 7, 0);
    buf_append(file, fixture.bytes, fixture.size);
    memset(file->bytes + at + 1, 0xff, 4);
    buf_deinit(&fixture);
}

static void gif_many_frames(struct buf *file) {
    struct buf fixture = {0};
    picture_load("palette.gif", &fixture);
    buf_append(file, fixture.bytes, fixture.size - 1);
    for (int i = 0; i < 10001; i++) {
        gif_frame(file, 0, 0, 1, 1);
    }
    buf_u8(file, 0x3b);
    buf_deinit(&fixture);
}

static void gif_endless_comment(struct buf *file) {
    gif_head(file, 16, 16, true);
    buf_append(file, "\x21\xfe", 2);
    for (int i = 0; i < 1000; i++) {
        buf_append(file,
                   "\x04"
                   "abcd",
                   5);
    }
}

static void gif_comments(struct buf *file) {
    gif_head(file, 16, 16, true);
    for (int i = 0; i < 18000; i++) {
        static const uint8_t block[255];
        buf_append(file, "\x21\xfe\xff", 3);
        buf_append(file, block, sizeof block);
        buf_u8(file, 0);
    }
}

static const struct hostile cases[] = {
    {"an empty file", empty, DECODE_E_UNSUPPORTED, 0},
    {"one byte", one_byte, DECODE_E_UNSUPPORTED, 0},
    {"a script", text_file, DECODE_E_UNSUPPORTED, 0},
    {"an SVG", svg, DECODE_E_UNSUPPORTED, 0},
    {"a TIFF", tiff, DECODE_E_UNSUPPORTED, 0},
    {"PNG: only the signature", png_only_signature, DECODE_E_FAILED, 0},
    {"PNG: header cut", png_cut_header, DECODE_E_FAILED, 0},
    {"PNG: 0 × 0", png_zero, DECODE_E_FAILED, 0},
    {"PNG: 100 × 0", png_zero_height, DECODE_E_FAILED, 0},
    {"PNG: 30000 × 30000", png_900_megapixels, DECODE_E_TOO_LARGE, 0},
    {"PNG: largest sides", png_largest_sides, DECODE_E_TOO_LARGE, 0},
    {"PNG: sides over the format", png_over_the_sides, DECODE_E_TOO_LARGE, 0},
    {"PNG: 16384 × 16384", png_over_the_pixels, DECODE_E_TOO_LARGE, 0},
    {"PNG: 8000 × 8000 in a hundred bytes", png_bomb, DECODE_E_BOMB, 0},
    {"PNG: 4 × 4", png_tiny, DECODE_E_UNSUPPORTED, 0},
    {"PNG: wrong check sum of the header", png_wrong_header_crc, DECODE_E_FAILED, 0},
    {"PNG: wrong check sum of the data", png_wrong_data_crc, 0, FLAG_TRUNCATED},
    {"PNG: garbage behind the signature", png_garbage, DECODE_E_FAILED, 0},
    {"PNG: two headers", png_two_headers, DECODE_E_FAILED, 0},
    {"PNG: no palette", png_no_palette, DECODE_E_FAILED, 0},
    {"PNG: three bits", png_depth_3, DECODE_E_FAILED, 0},
    {"PNG: colour type five", png_colour_5, DECODE_E_FAILED, 0},
    {"PNG: data for no row", png_data_too_short, DECODE_E_FAILED, 0},
    {"PNG: lying chunk length", png_lying_chunk_length, 0, FLAG_TRUNCATED},
    {"PNG: 5 MiB of text", png_metadata, DECODE_E_BOMB, 0},
    {"PNG: four thousand million frames", png_many_frames, DECODE_E_BOMB, 0},
    {"PNG: unknown critical chunk", png_unknown_critical, DECODE_E_FAILED, 0},
    {"PNG: half", png_half, 0, FLAG_TRUNCATED},
    {"PNG: with a ZIP behind it", png_tail, 0, FLAG_TRAILING_DATA},
    {"JPEG: only the start", jpeg_only_start, DECODE_E_FAILED, 0},
    {"JPEG: 65535 × 65535", jpeg_largest, DECODE_E_TOO_LARGE, 0},
    {"JPEG: no height", jpeg_zero_height, DECODE_E_FAILED, 0},
    {"JPEG: 1024 × 1024 claimed", jpeg_lying_size, 0, FLAG_TRUNCATED},
    {"JPEG: 8000 × 8000 in a thousand bytes", jpeg_bomb, DECODE_E_BOMB, 0},
    {"JPEG: twelve bits", jpeg_12_bits, DECODE_E_UNSUPPORTED, 0},
    {"JPEG: lossless", jpeg_lossless, DECODE_E_UNSUPPORTED, 0},
    {"JPEG: sampling 9 × 9", jpeg_bad_sampling, DECODE_E_FAILED, 0},
    {"JPEG: no tables", jpeg_no_tables, DECODE_E_FAILED, 0},
    {"JPEG: segment of length zero", jpeg_zero_length_segment, DECODE_E_FAILED, 0},
    {"JPEG: 10,000 scans", jpeg_10000_scans, DECODE_E_BOMB, 0},
    {"JPEG: 5 MiB of metadata", jpeg_metadata, DECODE_E_BOMB, 0},
    {"JPEG: half", jpeg_half, 0, FLAG_TRUNCATED},
    {"JPEG: two in one file", jpeg_two, 0, FLAG_TRAILING_DATA},
    {"JPEG: EXIF that points outside", jpeg_wild_exif, 0, 0},
    {"JPEG: random scan", jpeg_random_scan, 0, FLAG_TRUNCATED},
    {"WebP: only the head", webp_only_head, DECODE_E_FAILED, 0},
    {"WebP: RIFF size too large", webp_lying_riff, 0, FLAG_TRUNCATED},
    {"WebP: RIFF size too small", webp_short_riff, DECODE_E_FAILED, 0},
    {"WebP: lying chunk length", webp_lying_chunk, DECODE_E_FAILED, 0},
    {"WebP: empty chunk", webp_zero_chunk, DECODE_E_FAILED, 0},
    {"WebP: 16 million a side", webp_16_million_sides, DECODE_E_FAILED, 0},
    {"WebP: 20000 × 1000", webp_20000_wide, DECODE_E_TOO_LARGE, 0},
    {"WebP: canvas and frame differ", webp_canvas_and_frame_differ, DECODE_E_FAILED, 0},
    {"WebP: random data", webp_random_data, DECODE_E_FAILED, 0},
    {"WebP: a quarter", webp_half, DECODE_E_FAILED, 0},
    {"GIF: only the head", gif_only_head, DECODE_E_FAILED, 0},
    {"GIF: 65535 × 65535", gif_largest, DECODE_E_TOO_LARGE, 0},
    {"GIF: 8000 × 8000 in forty bytes", gif_bomb, DECODE_E_BOMB, 0},
    {"GIF: 0 × 0", gif_zero, DECODE_E_FAILED, 0},
    {"GIF: a frame larger than the limit", gif_huge_frame, DECODE_E_TOO_LARGE, 0},
    {"GIF: no frame", gif_no_frame, DECODE_E_FAILED, 0},
    {"GIF: no colours", gif_no_colours, DECODE_E_FAILED, 0},
    {"GIF: code size 99", gif_bad_code_size, DECODE_E_FAILED, 0},
    {"GIF: a frame outside its canvas", gif_frame_outside, 0, FLAG_ALPHA},
    {"GIF: 10,002 frames", gif_many_frames, DECODE_E_BOMB, 0},
    {"GIF: a comment without end", gif_endless_comment, DECODE_E_FAILED, 0},
    {"GIF: 4.5 MiB of comments", gif_comments, DECODE_E_BOMB, 0},
};

static void test_gives_each_hostile_file_its_code_and_lives(void **state) {
    struct harness h;
    struct decode_options options = harness_options(1);
    struct buf good = {0};
    unsigned wrong = 0;
    (void)state;
    harness_init(&h, &options);
    png_picture(&good, 16, 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct harness_job j;
        struct buf file = {0};
        cases[i].make(&file);
        assert_false(file.failed);
        harness_job_init(&j, CONTENT_IMAGE, file.bytes, file.size);
        int status = harness_run(&h, &j);
        if (status != cases[i].status ||
            (status == 0 && (j.job.part.flags & cases[i].flags) != cases[i].flags)) {
            print_error("%s: status %d (%s), flags %x\n", cases[i].name, status, j.job.error.text,
                        j.job.part.flags);
            wrong++;
        }
        assert_int_equal(status == 0, j.job.error.text[0] == '\0');
        harness_job_deinit(&j);
        buf_deinit(&file);
        harness_job_init(&j, CONTENT_IMAGE, good.bytes, good.size);
        assert_int_equal(harness_run(&h, &j), 0);
        assert_int_equal(j.job.part.image.width, 16);
        harness_job_deinit(&j);
    }
    assert_int_equal(wrong, 0);
    buf_deinit(&good);
    harness_deinit(&h);
}

/* No file above may have ended its worker: with nothing but kills and retirements by class the codes would be
 * the same, so the parser's own answer is told apart by its sentence. */
static void test_no_hostile_file_ends_its_worker(void **state) {
    struct harness h;
    struct decode_options options = harness_options(1);
    (void)state;
    harness_init(&h, &options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct harness_job j;
        struct buf file = {0};
        cases[i].make(&file);
        harness_job_init(&j, CONTENT_IMAGE, file.bytes, file.size);
        (void)harness_run(&h, &j);
        if (strstr(j.job.error.text, "worker") != NULL) {
            fail_msg("%s: %s", cases[i].name, j.job.error.text);
        }
        harness_job_deinit(&j);
        buf_deinit(&file);
    }
    harness_deinit(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_each_hostile_file_its_code_and_lives),
        cmocka_unit_test(test_no_hostile_file_ends_its_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
