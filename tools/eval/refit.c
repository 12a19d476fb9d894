/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/refit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Scores come in parts per million: 0 and 1 stand for "beyond the last digit". */
static const double least_score = 5e-7;

static double log_odds(double score) {
    double s = score < least_score ? least_score : score > 1 - least_score ? 1 - least_score : score;
    return log(s / (1 - s));
}

static double logistic(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

struct fit {
    const struct metrics_sample *samples;
    size_t count;
    size_t leave_out; /* fold; REFIT_FOLDS: none */
    double target_positive, target_negative;
};

static bool in_fit(const struct fit *f, size_t i) {
    return f->leave_out == REFIT_FOLDS || i % REFIT_FOLDS != f->leave_out;
}

static double loss(const struct fit *f, const struct refit *at) {
    double sum = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (in_fit(f, i)) {
            double t = f->samples[i].positive ? f->target_positive : f->target_negative;
            double x = at->slope * log_odds(f->samples[i].score) + at->offset;
            /* -t log p - (1 - t) log(1 - p), without overflow. */
            sum += (x >= 0 ? x + log1p(exp(-x)) : log1p(exp(x))) - t * x;
        }
    }
    return sum;
}

/* One step of Newton's method, halved until the loss falls; false at the minimum. */
static bool newton_step(const struct fit *f, struct refit *at) {
    double g0 = 0, g1 = 0, h00 = 1e-12, h01 = 0, h11 = 1e-12;
    for (size_t i = 0; i < f->count; i++) {
        if (!in_fit(f, i)) {
            continue;
        }
        double z = log_odds(f->samples[i].score);
        double p = logistic(at->slope * z + at->offset);
        double off = p - (f->samples[i].positive ? f->target_positive : f->target_negative);
        double weight = p * (1 - p);
        g0 += off * z;
        g1 += off;
        h00 += weight * z * z;
        h01 += weight * z;
        h11 += weight;
    }
    double det = h00 * h11 - h01 * h01;
    if ((fabs(g0) < 1e-9 && fabs(g1) < 1e-9) || !(det > 0)) {
        return false;
    }
    double before = loss(f, at);
    for (double step = 1; step > 1e-10; step /= 2) {
        struct refit next = {at->slope - step * (h11 * g0 - h01 * g1) / det,
                             at->offset - step * (h00 * g1 - h01 * g0) / det};
        if (loss(f, &next) < before) {
            *at = next;
            return true;
        }
    }
    return false;
}

static struct refit fit_without(const struct metrics_sample *samples, size_t count, size_t leave_out) {
    enum { MOST_STEPS = 100 };
    struct fit f = {.samples = samples, .count = count, .leave_out = leave_out};
    size_t classes[2] = {0};
    for (size_t i = 0; i < count; i++) {
        classes[samples[i].positive] += in_fit(&f, i);
    }
    if (classes[0] == 0 || classes[1] == 0) {
        return (struct refit){NAN, NAN};
    }
    f.target_positive = ((double)classes[1] + 1) / ((double)classes[1] + 2);
    f.target_negative = 1 / ((double)classes[0] + 2);
    struct refit at = {0, log(((double)classes[1] + 1) / ((double)classes[0] + 1))};
    for (int i = 0; i < MOST_STEPS && newton_step(&f, &at); i++) {
    }
    return at;
}

struct refit refit_platt(const struct metrics_sample *samples, size_t count) {
    return fit_without(samples, count, REFIT_FOLDS);
}

double refit_apply(const struct refit *refit, double score) {
    return logistic(refit->slope * log_odds(score) + refit->offset);
}

int refit_ece(const struct metrics_sample *samples, size_t count, double *ret_ece) {
    struct metrics_sample *refitted = calloc(count > 0 ? count : 1, sizeof *refitted);
    if (refitted == NULL) {
        return -ENOMEM;
    }
    bool defined = count > 0;
    for (size_t fold = 0; fold < REFIT_FOLDS && defined; fold++) {
        struct refit refit = fit_without(samples, count, fold);
        defined = !isnan(refit.slope);
        for (size_t i = fold; i < count && defined; i += REFIT_FOLDS) {
            refitted[i] = (struct metrics_sample){refit_apply(&refit, samples[i].score), samples[i].positive};
        }
    }
    *ret_ece = defined ? metrics_ece(refitted, count) : NAN;
    free(refitted);
    return 0;
}
