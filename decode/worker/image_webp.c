/* SPDX-License-Identifier: Apache-2.0
 *
 * WebP by libwebp, without threads. Still pictures go through the incremental decoder, which gives what is
 * there when the end is missing; of animations the first frame on its canvas is taken.
 */
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "base/cursor.h"
#include "decode/worker/image_steps.h"

enum { FORMAT_LOSSLESS = 2 };

/* The RIFF chunks: orientation, metadata, frames, and bytes behind the declared end. */
static int walk_chunks(const struct image_source *source, struct picture *picture, struct error *reterr) {
    struct cursor c;
    size_t metadata = 0;
    uint32_t frames = 0;
    cursor_init(&c, source->bytes, source->size);
    (void)cursor_take(&c, 4);
    uint64_t end = (uint64_t)cursor_u32(&c) + 8;
    (void)cursor_take(&c, 4);
    while (cursor_left(&c) >= 8 && c.at < end) {
        const uint8_t *type = cursor_take(&c, 4);
        uint32_t length = cursor_u32(&c);
        const uint8_t *body = cursor_take(&c, length);
        if (type == NULL || body == NULL) {
            break;
        }
        (void)cursor_take(&c, length & 1);
        if (memcmp(type, "EXIF", 4) == 0) {
            picture->orientation = image_exif_orientation(body, length);
        }
        bool picture_data = memcmp(type, "VP8", 3) == 0 || memcmp(type, "ALPH", 4) == 0 ||
                            memcmp(type, "ANIM", 4) == 0 || memcmp(type, "ANMF", 4) == 0;
        metadata += picture_data ? 0 : length;
        frames += memcmp(type, "ANMF", 4) == 0;
    }
    if (end + (end & 1) < source->size) {
        picture->flags |= FLAG_TRAILING_DATA;
    } else if (end > source->size) {
        picture->flags |= FLAG_TRUNCATED;
    }
    if (metadata > IMAGE_MAX_METADATA_BYTES) {
        return error_set(reterr, DECODE_E_BOMB, "the image carries more than 4 MiB of metadata");
    }
    if (frames > IMAGE_MAX_FRAMES) {
        return error_set(reterr, DECODE_E_BOMB, "the image has more than %d frames", IMAGE_MAX_FRAMES);
    }
    picture->frames_total = frames > 0 ? frames : 1;
    return 0;
}

static int broken(int code, struct error *reterr) {
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return error_set(reterr, DECODE_E_UNSUPPORTED, "this kind of WebP is not supported");
    default:
        return error_set(reterr, DECODE_E_FAILED, "the WebP is broken (libwebp error %d)", code);
    }
}

static int decode_still(const struct image_source *source, struct picture *picture, struct error *reterr) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        return broken(VP8_STATUS_INVALID_PARAM, reterr);
    }
    config.output.colorspace = picture->channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = picture->pixels;
    config.output.u.RGBA.stride = (int)(picture->width * picture->channels);
    config.output.u.RGBA.size = (size_t)picture->width * picture->height * picture->channels;
    WebPIDecoder *decoder = WebPIDecode(NULL, 0, &config);
    if (decoder == NULL) {
        return broken(VP8_STATUS_OUT_OF_MEMORY, reterr);
    }
    VP8StatusCode code = WebPIUpdate(decoder, source->bytes, source->size);
    int rows = 0;
    if (code == VP8_STATUS_SUSPENDED && WebPIDecGetRGB(decoder, &rows, NULL, NULL, NULL) != NULL &&
        rows > 0) {
        picture->flags |= FLAG_TRUNCATED;
        code = VP8_STATUS_OK;
    }
    WebPIDelete(decoder);
    return code == VP8_STATUS_OK ? 0 : broken(code, reterr);
}

static int decode_first_frame(const struct image_source *source, struct picture *picture,
                              struct error *reterr) {
    WebPData data = {.bytes = source->bytes, .size = source->size};
    WebPAnimDecoderOptions options;
    WebPAnimDecoder *decoder = NULL;
    uint8_t *canvas = NULL; /* the decoder's */
    int timestamp = 0;
    if (WebPAnimDecoderOptionsInit(&options)) {
        options.color_mode = MODE_RGBA;
        options.use_threads = 0;
        decoder = WebPAnimDecoderNew(&data, &options);
    }
    bool good = decoder != NULL && WebPAnimDecoderGetNext(decoder, &canvas, &timestamp);
    if (good) {
        memcpy(picture->pixels, canvas, (size_t)picture->width * picture->height * 4);
    }
    WebPAnimDecoderDelete(decoder);
    return good ? 0 : broken(VP8_STATUS_BITSTREAM_ERROR, reterr);
}

int image_decode_webp(const struct image_source *source, struct picture *ret, struct error *reterr) {
    WebPBitstreamFeatures features;
    int rc = walk_chunks(source, ret, reterr);
    if (rc != 0) {
        return rc;
    }
    VP8StatusCode code = WebPGetFeatures(source->bytes, source->size, &features);
    if (code != VP8_STATUS_OK) {
        return broken(code, reterr);
    }
    uint64_t pixels = (uint64_t)features.width * (uint64_t)features.height;
    rc = image_check_size(source, (uint64_t)features.width, (uint64_t)features.height, reterr);
    if (rc != 0) {
        return rc;
    }
    /* Two canvases for an animation, four bytes a pixel; the lossless decoder keeps the whole picture as
     * well, and so does the alpha plane of a lossy one. */
    uint64_t codec = features.has_animation               ? pixels * 12
                     : features.format == FORMAT_LOSSLESS ? pixels * 4
                     : features.has_alpha                 ? pixels * 2
                                                          : 0;
    rc = image_allocate(source, (uint32_t)features.width, (uint32_t)features.height,
                        features.has_alpha || features.has_animation ? 4 : 3, codec + (UINT64_C(4) << 20),
                        ret, reterr);
    if (rc != 0) {
        return rc;
    }
    return features.has_animation ? decode_first_frame(source, ret, reterr)
                                  : decode_still(source, ret, reterr);
}
