/* SPDX-License-Identifier: Apache-2.0
 *
 * JPEG by libjpeg-turbo, the library that Pillow uses, with its defaults (ISLOW transform, smooth
 * upsampling), so that pixels agree. libjpeg reports errors by calling back and never returning; `guarded` is
 * the one place where such an escape ends.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "decode/worker/image_steps.h"

struct reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const struct image_source *source;
    struct picture *picture;
    uint8_t *row; /* one CMYK row */
    int status;   /* what our own checks said, with `error` */
    struct error error;
};

static void on_error(j_common_ptr info) {
    struct reader *reader = info->client_data;
    longjmp(reader->escape, 1);
}

/* Warnings are counted by number only; nothing is printed. */
static void on_message(j_common_ptr info, int level) {
    info->err->num_warnings += level < 0;
}

static void on_text(j_common_ptr info) {
    (void)info;
}

static void on_progress(j_common_ptr info) {
    struct reader *reader = info->client_data;
    if (reader->info.input_scan_number > IMAGE_MAX_SCANS) {
        reader->status =
            error_set(&reader->error, DECODE_E_BOMB, "the JPEG has more than %d scans", IMAGE_MAX_SCANS);
        longjmp(reader->escape, 1);
    }
}

static bool guarded(struct reader *reader, void (*work)(struct reader *reader)) {
    if (setjmp(reader->escape) != 0) {
        return false;
    }
    work(reader);
    return reader->status == 0;
}

static void set_errors(struct jpeg_error_mgr *errors) {
    (void)jpeg_std_error(errors);
    errors->error_exit = on_error;
    errors->emit_message = on_message;
    errors->output_message = on_text;
}

static void read_header(struct reader *reader) {
    struct jpeg_decompress_struct *info = &reader->info;
    jpeg_create_decompress(info);
    info->progress = &reader->progress;
    reader->progress.progress_monitor = on_progress;
    jpeg_mem_src(info, reader->source->bytes, reader->source->size);
    (void)jpeg_read_header(info, TRUE);
}

/* Several scans keep the coefficients of the whole picture. */
static uint64_t coefficient_bytes(const struct jpeg_decompress_struct *info) {
    uint64_t bytes = 0;
    if (jpeg_has_multiple_scans((j_decompress_ptr)(uintptr_t)info)) {
        for (int i = 0; i < info->num_components; i++) {
            const jpeg_component_info *component = &info->comp_info[i];
            bytes += (uint64_t)(component->width_in_blocks + 8) * (component->height_in_blocks + 8) *
                     sizeof(JBLOCK);
        }
    }
    return bytes;
}

static uint8_t multiply(unsigned a, unsigned b) {
    unsigned t = a * b + 128;
    return (uint8_t)(((t >> 8) + t) >> 8);
}

/* Adobe writes ink inverted and says so by its marker; without the marker ink is ink. */
static void ink_to_rgb(const uint8_t *ink, uint32_t width, bool inverted, uint8_t *rgb) {
    uint8_t turn = inverted ? 255 : 0;
    for (uint32_t x = 0; x < width; x++, ink += 4, rgb += 3) {
        uint8_t paper = (uint8_t)(255 - (ink[3] ^ turn));
        for (int i = 0; i < 3; i++) {
            rgb[i] = (uint8_t)(paper - multiply(ink[i] ^ turn, paper));
        }
    }
}

static void read_rows(struct reader *reader) {
    struct jpeg_decompress_struct *info = &reader->info;
    size_t pitch = (size_t)info->image_width * 3;
    bool ink = info->num_components == 4;
    info->out_color_space = ink ? JCS_CMYK : JCS_RGB;
    (void)jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        uint8_t *to = reader->picture->pixels + info->output_scanline * pitch;
        JSAMPROW row = ink ? reader->row : to;
        (void)jpeg_read_scanlines(info, &row, 1);
        if (ink) {
            ink_to_rgb(reader->row, info->image_width, info->saw_Adobe_marker, to);
        }
    }
    (void)jpeg_finish_decompress(info);
}

static bool all_zero(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* The escape's reason in one sentence of ours: libjpeg's own may quote the file. */
static int why(struct reader *reader, struct error *reterr) {
    if (reader->status != 0) {
        return error_set(reterr, reader->status, "%s", reader->error.text);
    }
    switch (reader->errors.msg_code) {
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_ARITH_NOTIMPL:
        return error_set(reterr, DECODE_E_UNSUPPORTED, "this kind of JPEG is not supported");
    case JERR_IMAGE_TOO_BIG:
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image has a side of more than 65500 pixels");
    case JERR_OUT_OF_MEMORY:
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    default:
        return error_set(reterr, DECODE_E_FAILED, "the JPEG is broken (libjpeg error %d)",
                         reader->errors.msg_code);
    }
}

static int decode(struct reader *reader, struct error *reterr) {
    const struct image_source *source = reader->source;
    struct picture *picture = reader->picture;
    struct jpeg_decompress_struct *info = &reader->info;
    if (!guarded(reader, read_header)) {
        return why(reader, reterr);
    }
    int rc = image_check_size(source, info->image_width, info->image_height, reterr);
    if (rc != 0) {
        return rc;
    }
    if (info->num_components != 1 && info->num_components != 3 && info->num_components != 4) {
        return error_set(reterr, DECODE_E_UNSUPPORTED, "a JPEG of %d components is not supported",
                         info->num_components);
    }
    rc = image_allocate(source, info->image_width, info->image_height, 3, coefficient_bytes(info), picture,
                        reterr);
    if (rc != 0) {
        return rc;
    }
    reader->row = malloc((size_t)info->image_width * 4);
    if (reader->row == NULL) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    }
    if (!guarded(reader, read_rows)) {
        if (reader->status != 0 || info->output_scanline == 0) {
            return why(reader, reterr);
        }
        picture->flags |= FLAG_TRUNCATED; /* what came before the break is judged */
    } else if (info->src->bytes_in_buffer > 0 &&
               !all_zero(info->src->next_input_byte, info->src->bytes_in_buffer)) {
        picture->flags |= FLAG_TRAILING_DATA;
    }
    picture->flags |= reader->errors.num_warnings > 0 ? FLAG_TRUNCATED : 0;
    return 0;
}

/* The marker segments before the first scan: orientation, and how much is not picture. */
static int walk_segments(const struct image_source *source, struct picture *picture, struct error *reterr) {
    struct cursor c;
    size_t metadata = 0;
    bool oriented = false;
    cursor_init(&c, source->bytes, source->size);
    (void)cursor_take(&c, 2);
    while (cursor_left(&c) >= 4) {
        uint8_t fill = cursor_u8(&c);
        uint8_t marker = cursor_u8(&c);
        if (fill != 0xff || marker == 0xda || marker == 0xd9) {
            break;
        }
        if (marker == 0xff || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
            c.at -= marker == 0xff; /* a filling byte before the marker; or one that stands alone */
            continue;
        }
        uint16_t length = __builtin_bswap16(cursor_u16(&c));
        const uint8_t *body = cursor_take(&c, length >= 2 ? length - 2u : 0);
        if (body == NULL || length < 2) {
            break;
        }
        metadata += (marker >= 0xe0 && marker <= 0xef) || marker == 0xfe ? length : 0;
        if (marker == 0xe1 && !oriented && length >= 8 && memcmp(body, "Exif\0\0", 6) == 0) {
            picture->orientation = image_exif_orientation(body, length - 2u);
            oriented = true;
        }
    }
    return metadata > IMAGE_MAX_METADATA_BYTES
               ? error_set(reterr, DECODE_E_BOMB, "the image carries more than 4 MiB of metadata")
               : 0;
}

int image_decode_jpeg(const struct image_source *source, struct picture *ret, struct error *reterr) {
    struct reader reader = {.source = source, .picture = ret};
    int rc = walk_segments(source, ret, reterr);
    if (rc != 0) {
        return rc;
    }
    set_errors(&reader.errors);
    reader.info.err = &reader.errors;
    reader.info.client_data = &reader;
    rc = decode(&reader, reterr);
    jpeg_destroy_decompress(&reader.info);
    free(reader.row);
    return rc;
}

/* ---- the round trip ---- */

struct writer {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf escape;
    const uint8_t *rgb;
    uint32_t width, height;
    unsigned quality;
    unsigned char *encoded; /* libjpeg's malloc */
    unsigned long encoded_size;
};

static void on_writer_error(j_common_ptr info) {
    struct writer *writer = info->client_data;
    longjmp(writer->escape, 1);
}

static void write_all(struct writer *writer) {
    struct jpeg_compress_struct *info = &writer->info;
    jpeg_create_compress(info);
    jpeg_mem_dest(info, &writer->encoded, &writer->encoded_size);
    info->image_width = writer->width;
    info->image_height = writer->height;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, (int)writer->quality, TRUE);
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < info->image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)writer->rgb + (size_t)info->next_scanline * writer->width * 3;
        (void)jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
}

static bool guarded_write(struct writer *writer) {
    if (setjmp(writer->escape) != 0) {
        return false;
    }
    write_all(writer);
    return true;
}

int image_jpeg_round_trip(uint8_t *rgb, uint32_t width, uint32_t height, unsigned quality,
                          struct error *reterr) {
    static const struct image_limits limits = {.pixels = (uint64_t)DECODE_MAX_OUT_SIDE * DECODE_MAX_OUT_SIDE,
                                               .side = DECODE_MAX_OUT_SIDE,
                                               .memory_bytes = UINT64_C(1) << 30};
    struct writer writer = {.rgb = rgb, .width = width, .height = height, .quality = quality};
    set_errors(&writer.errors);
    writer.errors.error_exit = on_writer_error;
    writer.info.err = &writer.errors;
    writer.info.client_data = &writer;
    bool written = guarded_write(&writer);
    jpeg_destroy_compress(&writer.info);
    struct image_source source = {.bytes = writer.encoded, .size = writer.encoded_size, .limits = &limits};
    struct picture picture = {.orientation = 1};
    int rc = written
                 ? image_decode_jpeg(&source, &picture, reterr)
                 : error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    if (rc == 0) {
        memcpy(rgb, picture.pixels, (size_t)width * height * 3);
    }
    free(picture.pixels);
    free(writer.encoded);
    return rc;
}
