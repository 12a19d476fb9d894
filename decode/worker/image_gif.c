/* SPDX-License-Identifier: Apache-2.0
 *
 * GIF by giflib: the first frame on its canvas; what the frame does not cover, or marks as transparent, is
 * transparent. Later frames are counted by skipping their blocks.
 */
#include <stdlib.h>
#include <string.h>

#include <gif_lib.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "decode/worker/image_steps.h"

struct reader {
    struct cursor c;
    const struct image_source *source;
    struct picture *picture;
    size_t metadata;
    int transparent; /* index, -1: none */
    bool decoded;    /* the first frame, or its upper part */
};

static int read_bytes(GifFileType *gif, GifByteType *out, int wanted) {
    struct reader *reader = gif->UserData;
    size_t left = cursor_left(&reader->c);
    size_t count = wanted < 0 ? 0 : (size_t)wanted < left ? (size_t)wanted : left;
    const uint8_t *bytes = cursor_take(&reader->c, count);
    if (bytes != NULL && count > 0) {
        memcpy(out, bytes, count);
    }
    if (count > 0 && count < (size_t)wanted) {
        /* The block that the file ends in is filled up once: the library takes whole blocks only, and what is
         * there of this one is worth seeing. */
        memset(out + count, 0, (size_t)wanted - count);
        reader->picture->flags |= FLAG_TRUNCATED;
        return wanted;
    }
    return (int)count;
}

static int broken(const GifFileType *gif, struct error *reterr) {
    int code = gif->Error;
    return code == D_GIF_ERR_NOT_ENOUGH_MEM
               ? error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows")
               : error_set(reterr, DECODE_E_FAILED, "the GIF is broken (giflib error %d)", code);
}

static int take_extension(struct reader *reader, GifFileType *gif, struct error *reterr) {
    int code = 0;
    GifByteType *block = NULL;
    if (DGifGetExtension(gif, &code, &block) != GIF_OK) {
        return broken(gif, reterr);
    }
    if (code == GRAPHICS_EXT_FUNC_CODE && block != NULL && block[0] >= 4) {
        reader->transparent = (block[1] & 1) != 0 ? block[4] : -1;
    }
    while (block != NULL) {
        reader->metadata += block[0];
        if (DGifGetExtensionNext(gif, &block) != GIF_OK) {
            return broken(gif, reterr);
        }
    }
    return reader->metadata > IMAGE_MAX_METADATA_BYTES
               ? error_set(reterr, DECODE_E_BOMB, "the image carries more than 4 MiB of metadata")
               : 0;
}

static void put_line(const struct reader *reader, const GifImageDesc *desc, const ColorMapObject *colours,
                     const GifByteType *line, uint32_t row) {
    struct picture *picture = reader->picture;
    uint64_t y = (uint64_t)(unsigned)desc->Top + row;
    if (y >= picture->height) {
        return;
    }
    for (uint32_t i = 0; i < (uint32_t)desc->Width; i++) {
        uint64_t x = (uint64_t)(unsigned)desc->Left + i;
        if (x >= picture->width) {
            return;
        }
        if ((int)line[i] == reader->transparent || line[i] >= colours->ColorCount) {
            continue;
        }
        uint8_t *pixel = picture->pixels + (y * picture->width + x) * 4;
        pixel[0] = colours->Colors[line[i]].Red;
        pixel[1] = colours->Colors[line[i]].Green;
        pixel[2] = colours->Colors[line[i]].Blue;
        pixel[3] = 255;
    }
}

/* Row numbers in the order in which they are stored. */
static uint32_t stored_row(uint32_t n, uint32_t height, bool interlaced) {
    static const uint32_t first[] = {0, 4, 2, 1};
    static const uint32_t step[] = {8, 8, 4, 2};
    for (int pass = 0; interlaced && pass < 4; pass++) {
        uint32_t rows = height > first[pass] ? (height - first[pass] + step[pass] - 1) / step[pass] : 0;
        if (n < rows) {
            return first[pass] + n * step[pass];
        }
        n -= rows;
    }
    return n;
}

static int decode_frame(struct reader *reader, GifFileType *gif, struct error *reterr) {
    const GifImageDesc *desc = &gif->Image;
    const ColorMapObject *colours = desc->ColorMap != NULL ? desc->ColorMap : gif->SColorMap;
    if (desc->Width <= 0 || desc->Height <= 0 || colours == NULL) {
        return error_set(reterr, DECODE_E_FAILED, "the GIF is broken (an empty frame or no colours)");
    }
    CLEANUP(free_ptr) GifByteType *line = malloc((size_t)desc->Width);
    if (line == NULL) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    }
    for (uint32_t n = 0; n < (uint32_t)desc->Height; n++) {
        if (DGifGetLine(gif, line, desc->Width) != GIF_OK) {
            if (n == 0) {
                return broken(gif, reterr);
            }
            reader->decoded = true; /* the rows so far are judged */
            return broken(gif, reterr);
        }
        put_line(reader, desc, colours, line, stored_row(n, (uint32_t)desc->Height, desc->Interlace));
    }
    reader->decoded = true;
    return 0;
}

static bool skip_frame(GifFileType *gif) {
    int size = 0;
    GifByteType *block = NULL;
    if (DGifGetCode(gif, &size, &block) != GIF_OK) {
        return false;
    }
    while (block != NULL) {
        if (DGifGetCodeNext(gif, &block) != GIF_OK) {
            return false;
        }
    }
    return true;
}

/* A frame's descriptor was met: the first is decoded (within the size that passed), the others are counted.
 */
static int take_frame(struct reader *reader, GifFileType *gif, uint32_t *frames, struct error *reterr) {
    const struct image_limits *limits = reader->source->limits;
    if (DGifGetImageDesc(gif) != GIF_OK) {
        return broken(gif, reterr);
    }
    if (++*frames > IMAGE_MAX_FRAMES) {
        return error_set(reterr, DECODE_E_BOMB, "the image has more than %d frames", IMAGE_MAX_FRAMES);
    }
    if (*frames > 1) {
        return skip_frame(gif) ? 0 : broken(gif, reterr);
    }
    if ((uint64_t)gif->Image.Width * (uint64_t)gif->Image.Height > limits->pixels) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "a frame of the GIF is larger than its limit");
    }
    return decode_frame(reader, gif, reterr);
}

static int read_records(struct reader *reader, GifFileType *gif, struct error *reterr) {
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    uint32_t frames = 0;
    int rc = 0;
    while (rc == 0 && type != TERMINATE_RECORD_TYPE) {
        if (DGifGetRecordType(gif, &type) != GIF_OK) {
            rc = broken(gif, reterr);
        } else if (type == EXTENSION_RECORD_TYPE) {
            rc = take_extension(reader, gif, reterr);
        } else if (type == IMAGE_DESC_RECORD_TYPE) {
            rc = take_frame(reader, gif, &frames, reterr);
        }
    }
    if (rc == DECODE_E_FAILED && reader->decoded) {
        reader->picture->flags |= FLAG_TRUNCATED;
        rc = 0;
    } else if (rc == 0 && !reader->decoded) {
        rc = error_set(reterr, DECODE_E_FAILED, "the GIF has no frame");
    }
    reader->picture->frames_total = frames;
    return rc;
}

int image_decode_gif(const struct image_source *source, struct picture *ret, struct error *reterr) {
    struct reader reader = {.source = source, .picture = ret, .transparent = -1};
    int code = 0;
    cursor_init(&reader.c, source->bytes, source->size);
    GifFileType *gif = DGifOpen(&reader, read_bytes, &code);
    if (gif == NULL) {
        return error_set(reterr, DECODE_E_FAILED, "the GIF is broken (giflib error %d)", code);
    }
    int rc = gif->SWidth < 0 || gif->SHeight < 0
                 ? error_set(reterr, DECODE_E_FAILED, "the image has no pixels")
                 : image_check_size(source, (uint64_t)gif->SWidth, (uint64_t)gif->SHeight, reterr);
    rc = rc != 0 ? rc
                 : image_allocate(source, (uint32_t)gif->SWidth, (uint32_t)gif->SHeight, 4, UINT64_C(4) << 20,
                                  ret, reterr);
    rc = rc != 0 ? rc : read_records(&reader, gif, reterr);
    if (rc == 0 && cursor_left(&reader.c) > 0 && (ret->flags & FLAG_TRUNCATED) == 0) {
        ret->flags |= FLAG_TRAILING_DATA;
    }
    (void)DGifCloseFile(gif, &code);
    return rc;
}
