/* SPDX-License-Identifier: Apache-2.0
 *
 * A small sound file, read back; the same file damaged in one place at a time, refused with the place in the
 * message; and the real model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/formats/tensors.h"
#include "tests/lib/gguf_writer.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

/* The file that the damages below refer to. Behind a key stand 4 bytes of type and the value; behind a
 * tensor's name its dimension count (4), dimensions (8 each), type (4) and offset (8). */
static void write_sample(struct buf *out) {
    static const char *const strings[] = {"a", "", "ccc"};
    static const float floats[] = {0.5f, -2.0f};
    static const int32_t numbers[] = {1, -2, 3};
    struct gguf_writer w = {0};
    gguf_write_string(&w, "general.architecture", "gemma3");
    gguf_write_u32(&w, "general.alignment", 32);
    gguf_write_key(&w, "t.u8", U8);
    buf_u8(&w.metas, 200);
    gguf_write_key(&w, "t.i8", I8);
    buf_u8(&w.metas, 0xfb);
    gguf_write_key(&w, "t.u16", U16);
    buf_u16(&w.metas, 65535);
    gguf_write_key(&w, "t.i16", I16);
    buf_u16(&w.metas, 0x7fff);
    gguf_write_u32(&w, "t.u32", 70000);
    gguf_write_key(&w, "t.i32", I32);
    buf_u32(&w.metas, UINT32_MAX);
    gguf_write_f32(&w, "t.f32", 1.5f);
    gguf_write_bool(&w, "t.bool", 1);
    gguf_write_key(&w, "t.u64", U64);
    buf_u64(&w.metas, UINT64_MAX);
    gguf_write_key(&w, "t.i64", I64);
    buf_u64(&w.metas, 5);
    gguf_write_key(&w, "t.f64", F64);
    buf_u64(&w.metas, 0x4004000000000000); /* 2.5 */
    gguf_write_strings(&w, "t.strings", strings, 3);
    gguf_write_f32s(&w, "t.floats", floats, 2);
    gguf_write_i32s(&w, "t.numbers", numbers, 3);
    gguf_write_key(&w, "t.bools", ARRAY);
    buf_u32(&w.metas, BOOL);
    buf_u64(&w.metas, 2);
    buf_u8(&w.metas, 1);
    buf_u8(&w.metas, 0);
    gguf_write_u32(&w, "split.count", 1);
    gguf_write_tensor(&w, "weights", 0, (uint64_t[]){4, 2}, 2, 32, 1);
    gguf_write_tensor(&w, "quants_", 8, (uint64_t[]){32, 2}, 2, 68, 2);
    gguf_write_tensor(&w, "last", 1, (uint64_t[]){8}, 1, 16, 3);
    gguf_write_file(&w, out);
    assert_false(out->failed);
}

/* An exact allocation, so that a sanitizer sees a read beyond the end. */
static void *exact_copy(const struct buf *b, size_t size) {
    void *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, b->bytes, size);
    }
    return copy;
}

static size_t place_of(const struct buf *b, const char *needle) {
    const uint8_t *found = memmem(b->bytes, b->size, needle, strlen(needle));
    assert_non_null(found);
    return (size_t)(found - b->bytes) + strlen(needle);
}

static void test_reads_what_was_written(void **state) {
    (void)state;
    struct buf b = {0};
    struct tensor_file *f = NULL;
    struct error e = {0};
    write_sample(&b);
    if (gguf_open_memory(b.bytes, b.size, &f, &e) != 0) {
        fail_msg("%s", e.text);
    }
    uint64_t u = 0;
    double d = 0;
    bool t = false;
    const char *text = NULL;
    size_t size = 0;
    assert_true(meta_u64(f, "t.u8", &u) && u == 200);
    assert_false(meta_u64(f, "t.i8", &u)); /* negative */
    assert_true(meta_u64(f, "t.u16", &u) && u == 65535);
    assert_true(meta_u64(f, "t.i16", &u) && u == 32767);
    assert_true(meta_u64(f, "t.u32", &u) && u == 70000);
    assert_false(meta_u64(f, "t.i32", &u));
    assert_true(meta_u64(f, "t.u64", &u) && u == UINT64_MAX);
    assert_true(meta_u64(f, "t.i64", &u) && u == 5);
    assert_false(meta_u64(f, "t.f32", &u));
    assert_false(meta_u64(f, "t.bool", &u));
    assert_false(meta_u64(f, "t.u", &u));
    assert_true(meta_f64(f, "t.f32", &d) && d == 1.5);
    assert_true(meta_f64(f, "t.f64", &d) && d == 2.5);
    assert_false(meta_f64(f, "t.u32", &d));
    assert_true(meta_bool(f, "t.bool", &t) && t);
    assert_false(meta_bool(f, "t.u8", &t));
    assert_true(meta_string(f, "general.architecture", &text, &size) && size == 6);
    assert_memory_equal(text, "gemma3", 6);
    assert_false(meta_string(f, "t.strings", &text, &size));
    assert_int_equal(tensor_file_bytes(f), b.size);
    assert_ptr_equal(tensor_file_map(f), b.bytes);
    f = tensor_file_free(f);
    buf_deinit(&b);
}

static bool join(void *user, uint64_t index, const char *text, size_t size) {
    char *out = user;
    (void)sprintf(out + strlen(out), "%d=%.*s;", (int)index, (int)size, text);
    return index < 1 || out[0] != 'x';
}

static void test_reads_arrays(void **state) {
    (void)state;
    struct buf b = {0};
    struct tensor_file *f = NULL;
    write_sample(&b);
    assert_int_equal(gguf_open_memory(b.bytes, b.size, &f, NULL), 0);
    uint64_t u = 0;
    char joined[64] = "";
    assert_true(meta_array(f, "t.strings", &u) && u == 3);
    assert_true(meta_each_string(f, "t.strings", join, joined));
    assert_string_equal(joined, "0=a;1=;2=ccc;");
    char stopped[64] = "x";
    assert_false(meta_each_string(f, "t.strings", join, stopped));
    assert_string_equal(stopped, "x0=a;1=;");
    assert_false(meta_each_string(f, "t.numbers", join, joined));
    assert_true(meta_array_u64(f, "t.numbers", 2, &u) && u == 3);
    assert_false(meta_array_u64(f, "t.numbers", 1, &u)); /* negative */
    assert_false(meta_array_u64(f, "t.numbers", 3, &u)); /* behind the end */
    assert_false(meta_array_u64(f, "t.strings", 0, &u));
    assert_true(meta_array_u64(f, "t.bools", 0, &u) && u == 1);
    assert_true(meta_array_u64(f, "t.bools", 1, &u) && u == 0);
    assert_false(meta_array(f, "t.u32", &u));
    const uint8_t *raw = meta_array_raw(f, "t.floats", F32, &u);
    assert_non_null(raw);
    assert_int_equal(u, 2);
    assert_memory_equal(raw, "\0\0\0\x3f\0\0\0\xc0", 8);
    assert_null(meta_array_raw(f, "t.floats", I32, &u));
    assert_null(meta_array_raw(f, "t.strings", STRING, &u));
    f = tensor_file_free(f);
    buf_deinit(&b);
}

static void test_finds_tensors_inside_the_file(void **state) {
    (void)state;
    struct buf b = {0};
    struct tensor_file *f = NULL;
    write_sample(&b);
    assert_int_equal(gguf_open_memory(b.bytes, b.size, &f, NULL), 0);
    assert_int_equal(tensor_count(f), 3);
    const struct tensor *q = tensor_find(f, "quants_");
    assert_ptr_equal(q, tensor_at(f, 1));
    assert_int_equal(q->type, 8);
    assert_int_equal(q->dim_count, 2);
    assert_int_equal(q->dims[0], 32);
    assert_int_equal(q->dims[1], 2);
    assert_int_equal(q->dims[2], 1);
    assert_int_equal(q->dims[3], 1);
    assert_int_equal(q->bytes, 68);
    assert_int_equal(((const uint8_t *)q->data)[67], 69);
    const struct tensor *last = tensor_find(f, "last");
    assert_non_null(last);
    assert_ptr_equal((const uint8_t *)last->data + last->bytes, b.bytes + b.size);
    assert_int_equal(((const uint8_t *)last->data)[0], 3);
    assert_null(tensor_find(f, "weight"));
    assert_null(tensor_find(f, "weightsx"));
    assert_null(tensor_at(f, 3));
    tensor_drop_pages(f, last);
    f = tensor_file_free(f);
    buf_deinit(&b);
}

static void test_reads_version_2_and_a_file_without_tensors(void **state) {
    (void)state;
    struct buf b = {0};
    struct tensor_file *f = NULL;
    write_sample(&b);
    b.bytes[4] = 2;
    assert_int_equal(gguf_open_memory(b.bytes, b.size, &f, NULL), 0);
    f = tensor_file_free(f);
    buf_clear(&b);
    gguf_write_file(&(struct gguf_writer){0}, &b);
    assert_int_equal(gguf_open_memory(b.bytes, 24, &f, NULL), 0);
    assert_int_equal(tensor_count(f), 0);
    assert_null(tensor_find(f, ""));
    f = tensor_file_free(f);
    buf_deinit(&b);
}

/* One place of the sample overwritten: at the end of `after` in the file (NULL: at 0) plus `shift`. */
struct damage {
    const char *name;
    const char *after;
    int shift;
    const char *bytes;
    size_t size;
    int code;
    const char *says;
};

#define PATCH(literal) literal, sizeof literal - 1
#define BAD ENGINE_E_FORMAT
#define LATER ENGINE_E_UNSUPPORTED

static const struct damage damages[] = {
    {"magic", NULL, 0, PATCH("GGUG"), BAD, "byte 0 the letters GGUF"},
    {"magic of another format", NULL, 0, PATCH("ggml"), BAD, "byte 0 "},
    {"version 0", NULL, 4, PATCH("\0\0\0\0"), BAD, "byte 4 the version is 0"},
    {"version 1", NULL, 4, PATCH("\1\0\0\0"), LATER, "byte 4"},
    {"version 4", NULL, 4, PATCH("\4\0\0\0"), LATER, "byte 4"},
    {"big-endian", NULL, 4, PATCH("\0\0\0\3"), LATER, "byte 4"},
    {"tensor count of 2^63", NULL, 8, PATCH("\0\0\0\0\0\0\0\x80"), BAD, "byte 8 "},
    {"tensor count of all ones", NULL, 8, PATCH("\xff\xff\xff\xff\xff\xff\xff\xff"), BAD, "byte 8 "},
    {"tensor count one too high", NULL, 8, PATCH("\4"), BAD, "byte "},
    {"tensor count one too low", NULL, 8, PATCH("\2"), 0, NULL}, /* the rest is trailing data */
    {"value count of all ones", NULL, 16, PATCH("\xff\xff\xff\xff\xff\xff\xff\xff"), BAD, "byte 16 "},
    {"value count one too high", NULL, 16, PATCH("\x13"), BAD, "byte "},
    {"value count one too low", NULL, 16, PATCH("\x11"), BAD, "byte "},
    {"key length of all ones", "t.bool", -14, PATCH("\xff\xff\xff\xff\xff\xff\xff\xff"), BAD,
     "a metadata key"},
    {"key length beyond the end", "t.bool", -14, PATCH("\0\4\0\0"), BAD, "a metadata key"},
    {"empty key", "general.architecture", -28, PATCH("\0"), BAD, "byte 24 a metadata key is empty"},
    {"key with a NUL", "t.bool", -2, PATCH("\0"), BAD, "holds a NUL"},
    {"duplicate key", "t.i32", -5, PATCH("t.u32"), BAD, "t.u32 stands a second time"},
    {"duplicate key of another type", "t.i8", -4, PATCH("t.u8"), BAD, "t.u8 stands a second time"},
    {"unknown value type", "t.bool", 0, PATCH("\x0d"), BAD, "unknown type 13"},
    {"huge value type", "t.bool", 0, PATCH("\xff\xff\xff\xff"), BAD, "unknown type 4294967295"},
    {"boolean 2", "t.bool", 4, PATCH("\2"), BAD, "a boolean is 2"},
    {"boolean 255", "t.bool", 4, PATCH("\xff"), BAD, "a boolean is 255"},
    {"boolean 2 in an array", "t.bools", 17, PATCH("\2"), BAD, "a boolean is 2"},
    {"string length of all ones", "general.architecture", 4, PATCH("\xff\xff\xff\xff\xff\xff\xff\xff"), BAD,
     "byte 56 a string value claims"},
    {"string length beyond the end", "general.architecture", 4, PATCH("\0\0\1"), BAD, "byte 56 "},
    {"array of arrays", "t.numbers", 4, PATCH("\x09"), BAD, "an array holds arrays"},
    {"array of an unknown type", "t.numbers", 4, PATCH("\x40"), BAD, "unknown type 64"},
    {"array count of all ones", "t.numbers", 8, PATCH("\xff\xff\xff\xff\xff\xff\xff\xff"), BAD,
     "an array claims"},
    {"array count that overflows", "t.numbers", 8, PATCH("\1\0\0\0\0\0\0\x40"), BAD, "an array claims"},
    {"array count beyond the end", "t.numbers", 8, PATCH("\0\1"), BAD, "an array claims"},
    {"string array count beyond the end", "t.strings", 8, PATCH("\0\1"), BAD, "an array claims"},
    {"string in an array beyond the end", "t.strings", 16, PATCH("\0\0\1"), BAD, "a string of an array"},
    {"string in an array of all ones", "t.strings", 16, PATCH("\xff\xff\xff\xff\xff\xff\xff\xff"), BAD,
     "a string of an array"},
    {"alignment 0", "general.alignment", 4, PATCH("\0"), BAD, "general.alignment is 0"},
    {"alignment 1", "general.alignment", 4, PATCH("\1"), BAD, "general.alignment is 1"},
    {"alignment 3", "general.alignment", 4, PATCH("\3"), BAD, "general.alignment is 3"},
    {"alignment 33", "general.alignment", 4, PATCH("\x21"), BAD, "general.alignment is 33"},
    {"alignment 2^31", "general.alignment", 4, PATCH("\0\0\0\x80"), BAD, "byte "},
    {"alignment of the sum only", "general.alignment", 4, PATCH("\x40"), BAD,
     "not a multiple of the alignment"},
    {"alignment as a float", "general.alignment", 0, PATCH("\6"), BAD, "not a 32-bit unsigned integer"},
    {"split file", "split.count", 4, PATCH("\2"), LATER, "byte "},
    {"tensor name length of all ones", "weights", -15, PATCH("\xff\xff\xff\xff\xff\xff\xff\xff"), BAD,
     "a tensor name claims"},
    {"tensor name of 64 bytes", "weights", -15, PATCH("\x40"), BAD, "a tensor name is 64 bytes long"},
    {"tensor name with a NUL", "weights", -1, PATCH("\0"), BAD, "a tensor name is empty, holds a NUL"},
    {"tensor name not UTF-8", "weights", -1, PATCH("\xff"), BAD, "not UTF-8"},
    {"duplicate tensor name", "quants_", -7, PATCH("weights"), BAD, "a second tensor named weights"},
    {"five dimensions", "weights", 0, PATCH("\5"), BAD, "5 dimensions"},
    {"dimension count of all ones", "weights", 0, PATCH("\xff\xff\xff\xff"), BAD, "dimensions, more than 4"},
    {"dimension 0", "weights", 4, PATCH("\0"), BAD, "a dimension of tensor weights is 0"},
    {"negative dimension", "weights", 4, PATCH("\xfc\xff\xff\xff\xff\xff\xff\xff"), BAD,
     "a dimension of tensor"},
    {"dimensions that overflow", "weights", 4, PATCH("\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0"), BAD,
     "beyond 63 bits"},
    {"dimensions of 2^63 values", "weights", 4, PATCH("\0\0\0\0\0\0\0\x40"), BAD, "beyond 63 bits"},
    {"dimensions of 2^63 bytes", "weights", 4, PATCH("\0\0\0\0\0\0\0\x10"), BAD, "larger than 63 bits"},
    {"dimensions whose bytes overflow", "weights", 4, PATCH("\0\0\0\0\0\0\0\x20"), BAD,
     "larger than 63 bits"},
    {"dimensions beyond the file", "last", 4, PATCH("\0\1"), BAD, "beyond the end of the file"},
    {"removed tensor type 4", "weights", 20, PATCH("\4"), BAD, "removed type 4"},
    {"removed tensor type 36", "weights", 20, PATCH("\x24"), BAD, "removed type 36"},
    {"unknown tensor type 43", "weights", 20, PATCH("\x2b"), BAD, "type 43"},
    {"tensor type of all ones", "weights", 20, PATCH("\xff\xff\xff\xff"), BAD, "type 4294967295"},
    {"row not of whole blocks", "weights", 20, PATCH("\x08"), BAD, "not a multiple of its blocks of 32"},
    {"misaligned offset", "quants_", 24, PATCH("\x21"), BAD, "not a multiple of the alignment"},
    {"overlapping tensors", "quants_", 24, PATCH("\0"), BAD, "overlap or leave a gap"},
    {"gap between tensors", "quants_", 24, PATCH("\x40"), BAD, "overlap or leave a gap"},
    {"gap before the last tensor", "last", 16, PATCH("\xa0"), BAD, "overlap or leave a gap"},
    {"first offset not 0", "weights", 24, PATCH("\x20"), BAD, "overlap or leave a gap"},
    {"offset of nearly 2^64", "quants_", 24, PATCH("\xe0\xff\xff\xff\xff\xff\xff\xff"), BAD, "byte "},
    {"larger type than the data", "last", 12, PATCH("\x1b"), BAD, "beyond the end of the file"},
};

static void test_refuses_each_damage_and_says_where(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const struct damage *d = &damages[i];
        struct buf b = {0};
        struct error e = {0};
        struct tensor_file *f = NULL;
        write_sample(&b);
        size_t at = d->after == NULL ? (size_t)d->shift : place_of(&b, d->after) + (size_t)d->shift;
        assert_in_range(at + d->size, 1, b.size);
        memcpy(b.bytes + at, d->bytes, d->size);
        void *bytes = exact_copy(&b, b.size);
        int rc = gguf_open_memory(bytes, b.size, &f, &e);
        if (rc != d->code ||
            (rc != 0 && (strstr(e.text, d->says) == NULL || strstr(e.text, "byte ") == NULL))) {
            fail_msg("%s: %d \"%s\"", d->name, rc, e.text);
        }
        if (rc != 0) {
            assert_null(f);
            assert_int_equal(e.code, rc);
        }
        f = tensor_file_free(f);
        free(bytes);
        buf_deinit(&b);
    }
}

static void test_refuses_every_truncation(void **state) {
    (void)state;
    struct buf b = {0};
    write_sample(&b);
    for (size_t size = 0; size < b.size; size++) {
        struct tensor_file *f = NULL;
        struct error e = {0};
        void *bytes = exact_copy(&b, size);
        int rc = gguf_open_memory(bytes, size, &f, &e);
        if (rc != ENGINE_E_FORMAT || strstr(e.text, "byte ") == NULL) {
            fail_msg("cut to %zu bytes: %d \"%s\"", size, rc, e.text);
        }
        free(bytes);
    }
    buf_deinit(&b);
}

static void test_whatever_opens_lies_inside_the_file(void **state) {
    (void)state;
    struct buf b = {0};
    size_t opened = 0;
    write_sample(&b);
    uint8_t *bytes = exact_copy(&b, b.size);
    for (size_t at = 0; at < b.size; at++) {
        for (unsigned value = 0; value < 256; value += 15) {
            struct tensor_file *f = NULL;
            bytes[at] = (uint8_t)value;
            if (gguf_open_memory(bytes, b.size, &f, NULL) == 0) {
                opened++;
            }
            for (size_t i = 0; f != NULL && i < tensor_count(f); i++) {
                const struct tensor *t = tensor_at(f, i);
                size_t offset = (size_t)((const uint8_t *)t->data - bytes);
                assert_in_range(offset, 0, b.size);
                assert_in_range(t->bytes, 1, b.size - offset);
                assert_ptr_equal(tensor_find(f, t->name), t);
            }
            f = tensor_file_free(f);
        }
        bytes[at] = b.bytes[at];
    }
    assert_true(opened > b.size); /* the data alone gives that many sound files */
    free(bytes);
    buf_deinit(&b);
}

static void test_a_name_in_a_message_is_printable(void **state) {
    (void)state;
    struct buf b = {0};
    struct error e = {0};
    struct tensor_file *f = NULL;
    struct gguf_writer w = {0};
    gguf_write_key(&w, "evil\n\x1b[31m", 99);
    buf_u64(&w.metas, 0);
    gguf_write_file(&w, &b);
    assert_int_equal(gguf_open_memory(b.bytes, b.size, &f, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "evil??[31m"));
    buf_deinit(&b);
}

/* ---- files ---- */

static void test_opens_a_file_and_names_it_when_it_is_bad(void **state) {
    (void)state;
    char path[] = "/tmp/buckler-gguf-XXXXXX";
    struct buf b = {0};
    struct tensor_file *f = NULL;
    struct error e = {0};
    write_sample(&b);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(gguf_open(path, &f, &e), ENGINE_E_FORMAT); /* empty */
    assert_non_null(strstr(e.text, path));
    assert_int_equal(write(fd, b.bytes, b.size), b.size);
    assert_int_equal(gguf_open(path, &f, &e), 0);
    assert_int_equal(tensor_file_bytes(f), b.size);
    tensor_drop_pages(f, tensor_at(f, 0));
    assert_int_equal(((const uint8_t *)tensor_at(f, 0)->data)[0], 1);
    f = tensor_file_free(f);
    assert_int_equal(ftruncate(fd, (off_t)b.size - 1), 0);
    assert_int_equal(gguf_open(path, &f, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "byte "));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(gguf_open(path, &f, &e), -ENOENT);
    assert_int_equal(gguf_open("/", &f, &e), ENGINE_E_FORMAT);
    assert_null(f);
    (void)close(fd);
    buf_deinit(&b);
}

static void test_opens_the_real_model(void **state) {
    (void)state;
    const char *models = getenv("BUCKLER_MODELS");
    const char *home = getenv("HOME");
    char path[4096];
    struct tensor_file *f = NULL;
    struct error e = {0};
    uint64_t layers = 0;
    double base = 0;
    (void)snprintf(path, sizeof path, "%s%s/gemma-3-270m-q4_k_m.gguf", models != NULL ? models : home,
                   models != NULL ? "" : "/.cache/buckler/models");
    if (gguf_open(path, &f, &e) != 0) {
        fail_msg("%s", e.text);
    }
    assert_int_equal(tensor_count(f), 236);
    assert_true(meta_u64(f, "gemma3.block_count", &layers) && layers == 18);
    assert_true(meta_f64(f, "gemma3.rope.freq_base", &base) && base == 1e6);
    const struct tensor *t = tensor_find(f, "token_embd.weight");
    assert_non_null(t);
    assert_int_equal(t->dims[0], 640);
    assert_int_equal(t->dims[1], 262144);
    assert_int_equal(t->bytes, 262144 * 640 / 32 * 34);
    const struct tensor *last = tensor_at(f, 235);
    const uint8_t *map = tensor_file_map(f);
    assert_true((const uint8_t *)last->data + last->bytes <= map + tensor_file_bytes(f));
    f = tensor_file_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_reads_arrays),
        cmocka_unit_test(test_finds_tensors_inside_the_file),
        cmocka_unit_test(test_reads_version_2_and_a_file_without_tensors),
        cmocka_unit_test(test_refuses_each_damage_and_says_where),
        cmocka_unit_test(test_refuses_every_truncation),
        cmocka_unit_test(test_whatever_opens_lies_inside_the_file),
        cmocka_unit_test(test_a_name_in_a_message_is_printable),
        cmocka_unit_test(test_opens_a_file_and_names_it_when_it_is_bad),
        cmocka_unit_test(test_opens_the_real_model),
    };
    return cmocka_run_group_tests_name("formats/gguf", tests, NULL, NULL);
}
