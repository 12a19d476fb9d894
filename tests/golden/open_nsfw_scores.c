/* SPDX-License-Identifier: Apache-2.0
 *
 * open_nsfw_scores MODEL.onnx PIXELS: pictures of 224×224 RGB bytes one behind another in a file; prints
 * "sfw nsfw" a line with nine digits. The C side of open_nsfw_parity.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/vision/open_nsfw.h"

static int print_scores(const struct open_nsfw *model, FILE *pixels, void *scratch, uint8_t *picture) {
    float scores[OPEN_NSFW_SCORES];
    struct error error;
    while (fread(picture, OPEN_NSFW_PIXEL_BYTES, 1, pixels) == 1) {
        if (open_nsfw_run(model, picture, 1, scratch, scores, &error) != 0) {
            (void)fprintf(stderr, "open_nsfw_scores: %s\n", error.text);
            return 1;
        }
        printf("%.9g %.9g\n", (double)scores[0], (double)scores[1]);
    }
    return ferror(pixels) != 0;
}

int main(int argc, char **argv) {
    struct open_nsfw *model = NULL;
    struct error error;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: open_nsfw_scores MODEL.onnx PIXELS\n");
        return 2;
    }
    if (open_nsfw_open(argv[1], &model, &error) != 0) {
        (void)fprintf(stderr, "open_nsfw_scores: %s\n", error.text);
        return 1;
    }
    FILE *pixels = fopen(argv[2], "rb");
    void *scratch = aligned_alloc(64, open_nsfw_info(model)->scratch_bytes);
    uint8_t *picture = malloc(OPEN_NSFW_PIXEL_BYTES);
    int bad =
        pixels == NULL || scratch == NULL || picture == NULL || print_scores(model, pixels, scratch, picture);
    if (pixels != NULL) {
        (void)fclose(pixels);
    }
    free(picture);
    free(scratch);
    model = open_nsfw_free(model);
    return bad;
}
