/* SPDX-License-Identifier: Apache-2.0
 *
 * use: open_nsfw. One probability for each variant of each image; the worst one is the image's
 * sexually_explicit.
 */
#include "classifiers/open_nsfw/open_nsfw.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "classifiers/support.h"

static const char default_model[] = "open-nsfw.onnx";
static const char category_name[] = "sexually_explicit";

/* As the network was trained: 256 × 256, once through JPEG, the middle 224 × 224. */
static const struct decode_image_form form = {
    .resize_width = 256, .resize_height = 256, .jpeg_quality = 75, .crop_width = 224, .crop_height = 224};

struct open_nsfw {
    struct engine_model *model;
    uint16_t category;
    char provenance[96];
};

static void open_nsfw_close(void *instance) {
    struct open_nsfw *nsfw = instance;
    if (nsfw != NULL) {
        nsfw->model = engine_model_unref(nsfw->model);
        free(nsfw);
    }
}

static void open_nsfw_cleanup(struct open_nsfw **nsfw) {
    open_nsfw_close(*nsfw);
}

static int open_nsfw_open(const struct policy *policy, const struct policy_classifier *config,
                          const struct classifier_env *env, void **ret_instance, struct error *reterr) {
    CLEANUP(open_nsfw_cleanup) struct open_nsfw *nsfw = calloc(1, sizeof *nsfw);
    int category = policy_category(policy, category_name);
    if (nsfw == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for open_nsfw");
    }
    if (category < 0 || !category_wanted(config, category_name)) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "open_nsfw judges %s and nothing else", category_name);
    }
    const char *name = config->model[0] != '\0' ? config->model : default_model;
    int rc = env->model(env->user, name, &nsfw->model, reterr);
    if (rc != 0) {
        return rc;
    }
    const struct engine_model_info *info = engine_model_info(nsfw->model);
    if (info->kind != ENGINE_MODEL_IMAGE_CLASSIFIER || info->image_width != form.crop_width ||
        info->image_height != form.crop_height) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "model %s is not the OpenNSFW network", name);
    }
    nsfw->category = (uint16_t)category;
    (void)snprintf(nsfw->provenance, sizeof nsfw->provenance, "model=%s", info->digest);
    *ret_instance = steal(nsfw);
    return 0;
}

static int open_nsfw_prepare(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct open_nsfw *nsfw = instance;
    const struct classifier_input *input = task->input;
    const size_t bytes = (size_t)form.crop_width * form.crop_height * 3;
    uint32_t images = 0;
    int rc = scores_begin(task, CONTENT_IMAGE, &nsfw->category, 1, reterr);
    if (rc != 0 || task->score_count == 0) {
        return rc;
    }
    for (size_t i = 0; i < input->part_count; i++) {
        if (part_is_judged(&input->parts[i], CONTENT_IMAGE)) {
            const struct canonical_image *image = &input->parts[i].content->image;
            if (image->out_width != form.crop_width || image->out_height != form.crop_height ||
                image->variants < 1 || image->variants > IMAGE_MAX_VARIANTS) {
                return error_set(reterr, -EINVAL, "an image came in a form that was not asked for");
            }
            images += image->variants;
        }
    }
    uint8_t *pixels = arena_calloc(task->arena, images, bytes);
    float *out = arena_new(task->arena, float, (size_t)images * 2);
    task->jobs = arena_new(task->arena, struct engine_job, 1);
    if (pixels == NULL || out == NULL || task->jobs == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the images");
    }
    uint32_t at = 0;
    for (size_t i = 0; i < input->part_count; i++) {
        const struct canonical_image *image = &input->parts[i].content->image;
        for (uint32_t v = 0; part_is_judged(&input->parts[i], CONTENT_IMAGE) && v < image->variants;
             v++, at++) {
            memcpy(pixels + at * bytes, image->pixels[v], bytes);
            out[2 * at] = out[2 * at + 1] = NAN;
        }
    }
    task->jobs[0] = (struct engine_job){.kind = ENGINE_JOB_IMAGES,
                                        .model = nsfw->model,
                                        .pixels = pixels,
                                        .image_count = images,
                                        .out_scores = out};
    task->job_count = 1;
    return 0;
}

static int open_nsfw_interpret(const void *instance, struct classifier_task *task, struct error *reterr) {
    (void)instance;
    int rc = jobs_check(task, reterr);
    if (rc != 0 || task->job_count == 0) {
        return rc;
    }
    const float *out = task->jobs[0].out_scores;
    for (size_t i = 0; i < task->score_count; i++) {
        struct score *score = &task->scores[i];
        const struct canonical_image *image = &task->input->parts[score->part].content->image;
        for (uint32_t v = 0; v < image->variants; v++, out += 2) {
            int32_t ppm = 0;
            if (ppm_from((double)out[1], &ppm) != 0) {
                return error_set(reterr, CLASSIFIER_E_NOT_FINITE,
                                 "open_nsfw gave a score that is no probability");
            }
            if (v == 0 || ppm > score->ppm) {
                score->ppm = ppm;
                score_set_raw(score, (double)out[1]);
                (void)snprintf(score->evidence, sizeof score->evidence, "%s",
                               image->variants == 1 ? ""
                               : v == 0             ? "on white"
                                                    : "on black");
            }
        }
    }
    return 0;
}

static const char *open_nsfw_provenance(const void *instance) {
    return ((const struct open_nsfw *)instance)->provenance;
}

static const struct decode_image_form *open_nsfw_form(const void *instance) {
    (void)instance;
    return &form;
}

const struct classifier_type open_nsfw_classifier = {
    .name = "open_nsfw",
    .kinds = 1u << CONTENT_IMAGE,
    .open = open_nsfw_open,
    .close = open_nsfw_close,
    .prepare = open_nsfw_prepare,
    .interpret = open_nsfw_interpret,
    .provenance = open_nsfw_provenance,
    .image_form = open_nsfw_form,
};
