/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/pick.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PPM = 1000000 };

static int32_t to_ppm(double value) {
    return (int32_t)lround(value * PPM);
}

/* A number above `low` and not above `high`, near the middle, with few digits. */
static int32_t between(int32_t low, int32_t high) {
    int32_t middle = low + (high - low) / 2;
    for (int32_t unit = PPM / 100; unit > 1; unit /= 10) {
        int32_t rounded = (middle + unit / 2) / unit * unit;
        if (rounded > low && rounded <= high) {
            return rounded;
        }
    }
    return middle > low ? middle : high;
}

bool pick_for_fpr(const struct metrics_curve *curve, double max_fpr, int32_t *ret_ppm) {
    struct metrics_point point = metrics_at_fpr(curve, max_fpr);
    if (!isfinite(point.threshold)) {
        return false;
    }
    for (size_t i = 0; i < curve->count; i++) {
        if (curve->steps[i].threshold < point.threshold) {
            *ret_ppm = between(to_ppm(curve->steps[i].threshold), to_ppm(point.threshold));
            return true;
        }
    }
    *ret_ppm = to_ppm(point.threshold);
    return true;
}

bool pick_for_recall(const struct metrics_curve *curve, double min_recall, int32_t *ret_ppm) {
    for (size_t i = 0; i < curve->count && curve->positives > 0; i++) {
        if ((double)curve->steps[i].true_positives / (double)curve->positives >= min_recall) {
            *ret_ppm = to_ppm(curve->steps[i].threshold);
            return true;
        }
    }
    return false;
}

size_t pick_least_negatives(double max_fpr) {
    /* The small part keeps 3 / 0.01, which is not exact, from being 301. */
    return max_fpr > 0 ? (size_t)ceil(3 / max_fpr - 1e-6) : SIZE_MAX;
}

void pick_format(int32_t ppm, char out[PICK_TEXT_SIZE]) {
    (void)snprintf(out, PICK_TEXT_SIZE, "%d.%06d", ppm / PPM, ppm % PPM);
    for (size_t end = strlen(out); out[end - 1] == '0' && out[end - 2] != '.'; end--) {
        out[end - 1] = '\0';
    }
}
