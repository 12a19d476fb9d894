/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static int by_score(const void *a, const void *b) {
    const struct metrics_sample *x = a;
    const struct metrics_sample *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? 1 : -1;
    }
    /* Ties have one order, so that resampling does not depend on the order of the rows. */
    return (int)y->positive - (int)x->positive;
}

int metrics_curve_new(struct metrics_sample *samples, size_t count, struct metrics_curve *ret) {
    *ret = (struct metrics_curve){0};
    for (size_t i = 0; i < count; i++) {
        if (!(samples[i].score >= 0 && samples[i].score <= 1)) {
            return METRICS_E_RANGE;
        }
    }
    struct metrics_step *steps = calloc(count > 0 ? count : 1, sizeof *steps);
    if (steps == NULL) {
        return -ENOMEM;
    }
    if (count > 0) {
        qsort(samples, count, sizeof *samples, by_score);
    }
    *ret = (struct metrics_curve){.steps = steps};
    for (size_t i = 0; i < count; i++) {
        ret->positives += samples[i].positive;
        ret->negatives += !samples[i].positive;
        if (i + 1 == count || samples[i + 1].score != samples[i].score) {
            steps[ret->count++] = (struct metrics_step){.threshold = samples[i].score,
                                                        .true_positives = ret->positives,
                                                        .false_positives = ret->negatives};
        }
    }
    return 0;
}

void metrics_curve_deinit(struct metrics_curve *curve) {
    free(curve->steps);
    *curve = (struct metrics_curve){0};
}

double metrics_average_precision(const struct metrics_curve *curve) {
    if (curve->positives == 0 || curve->negatives == 0) {
        return NAN;
    }
    double sum = 0;
    size_t before = 0;
    for (size_t i = 0; i < curve->count; i++) {
        const struct metrics_step *s = &curve->steps[i];
        sum += (double)(s->true_positives - before) * (double)s->true_positives /
               (double)(s->true_positives + s->false_positives);
        before = s->true_positives;
    }
    return sum / (double)curve->positives;
}

double metrics_auc(const struct metrics_curve *curve) {
    if (curve->positives == 0 || curve->negatives == 0) {
        return NAN;
    }
    double area = 0;
    struct metrics_step before = {0};
    for (size_t i = 0; i < curve->count; i++) {
        const struct metrics_step *s = &curve->steps[i];
        area += (double)(s->false_positives - before.false_positives) *
                (double)(s->true_positives + before.true_positives) / 2;
        before = *s;
    }
    return area / ((double)curve->positives * (double)curve->negatives);
}

static struct metrics_point point(const struct metrics_curve *curve, double threshold, size_t tp, size_t fp) {
    size_t missed = curve->positives - tp;
    return (struct metrics_point){
        .threshold = threshold,
        .true_positives = tp,
        .false_positives = fp,
        .precision = tp + fp > 0 ? (double)tp / (double)(tp + fp) : 0,
        .recall = curve->positives > 0 ? (double)tp / (double)curve->positives : NAN,
        .f1 = tp + fp + missed > 0 ? 2 * (double)tp / (double)(2 * tp + fp + missed) : 0,
        .fpr = curve->negatives > 0 ? (double)fp / (double)curve->negatives : NAN};
}

struct metrics_point metrics_at(const struct metrics_curve *curve, double threshold) {
    size_t low = 0; /* number of steps at or above the threshold */
    size_t high = curve->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (curve->steps[middle].threshold >= threshold) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct metrics_step *s = low > 0 ? &curve->steps[low - 1] : NULL;
    return point(curve, threshold, s != NULL ? s->true_positives : 0, s != NULL ? s->false_positives : 0);
}

struct metrics_point metrics_best_f1(const struct metrics_curve *curve) {
    struct metrics_point best = point(curve, NAN, 0, 0);
    for (size_t i = 0; i < curve->count && curve->positives > 0; i++) {
        const struct metrics_step *s = &curve->steps[i];
        struct metrics_point one = point(curve, s->threshold, s->true_positives, s->false_positives);
        if (isnan(best.threshold) || one.f1 > best.f1) {
            best = one;
        }
    }
    return best;
}

struct metrics_point metrics_at_fpr(const struct metrics_curve *curve, double fpr) {
    struct metrics_point last = point(curve, INFINITY, 0, 0);
    for (size_t i = 0; i < curve->count; i++) {
        const struct metrics_step *s = &curve->steps[i];
        if ((double)s->false_positives / (double)curve->negatives >
            fpr) { /* NaN, without negatives, is not */
            break;
        }
        last = point(curve, s->threshold, s->true_positives, s->false_positives);
    }
    return last;
}

void metrics_bins(const struct metrics_sample *samples, size_t count, struct metrics_bin ret[METRICS_BINS]) {
    for (size_t i = 0; i < METRICS_BINS; i++) {
        ret[i] = (struct metrics_bin){0};
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)(samples[i].score * METRICS_BINS);
        struct metrics_bin *bin = &ret[at < METRICS_BINS ? at : METRICS_BINS - 1];
        bin->count++;
        bin->positives += samples[i].positive;
        bin->score_sum += samples[i].score;
    }
}

double metrics_ece(const struct metrics_sample *samples, size_t count) {
    struct metrics_bin bins[METRICS_BINS];
    double sum = 0;
    metrics_bins(samples, count, bins);
    for (size_t i = 0; i < METRICS_BINS; i++) {
        sum += fabs(bins[i].score_sum - (double)bins[i].positives);
    }
    return count > 0 ? sum / (double)count : NAN;
}

double metrics_brier(const struct metrics_sample *samples, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double off = samples[i].score - (samples[i].positive ? 1 : 0);
        sum += off * off;
    }
    return count > 0 ? sum / (double)count : NAN;
}

/* ---- resampling ---- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t bound) {
    return (size_t)(((unsigned __int128)next_random(state) * bound) >> 64);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between the neighbours, as numpy.percentile does. */
static double percentile(const double *sorted, size_t count, double share) {
    double at = share * (double)(count - 1);
    size_t low = (size_t)at;
    size_t high = low + 1 < count ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

static struct metrics_interval interval(double values[METRICS_RESAMPLES]) {
    qsort(values, METRICS_RESAMPLES, sizeof *values, by_value);
    return (struct metrics_interval){percentile(values, METRICS_RESAMPLES, 0.025),
                                     percentile(values, METRICS_RESAMPLES, 0.975)};
}

struct resampling {
    const struct metrics_sample *samples; /* sorted */
    size_t count;
    size_t *order;   /* places of the positives, then of the negatives */
    uint32_t *times; /* how often each was drawn */
    struct metrics_step *steps;
    size_t positives;
    uint64_t random;
};

/* One resample as a curve over the drawn samples, which are in order already. */
static struct metrics_curve resample(struct resampling *r) {
    size_t negatives = r->count - r->positives;
    struct metrics_curve curve = {.steps = r->steps};
    for (size_t i = 0; i < r->count; i++) {
        r->times[i] = 0;
    }
    for (size_t i = 0; i < r->positives; i++) {
        r->times[r->order[below(&r->random, r->positives)]]++;
    }
    for (size_t i = 0; i < negatives; i++) {
        r->times[r->order[r->positives + below(&r->random, negatives)]]++;
    }
    size_t seen = 0;
    for (size_t i = 0; i < r->count; i++) {
        *(r->samples[i].positive ? &curve.positives : &curve.negatives) += r->times[i];
        bool last = i + 1 == r->count || r->samples[i + 1].score != r->samples[i].score;
        if (last && curve.positives + curve.negatives > seen) {
            seen = curve.positives + curve.negatives;
            r->steps[curve.count++] = (struct metrics_step){.threshold = r->samples[i].score,
                                                            .true_positives = curve.positives,
                                                            .false_positives = curve.negatives};
        }
    }
    return curve;
}

static void number_classes(struct resampling *r) {
    size_t next = 0;
    for (int positive = 1; positive >= 0; positive--) {
        for (size_t i = 0; i < r->count; i++) {
            if (r->samples[i].positive == (positive != 0)) {
                r->order[next++] = i;
            }
        }
        r->positives = positive != 0 ? next : r->positives;
    }
}

int metrics_bootstrap(const struct metrics_sample *samples, size_t count, struct metrics_interval *ret_ap,
                      struct metrics_interval *ret_auc) {
    size_t positives = 0;
    for (size_t i = 0; i < count; i++) {
        positives += samples[i].positive;
    }
    *ret_ap = *ret_auc = (struct metrics_interval){NAN, NAN};
    if (positives < METRICS_LEAST_FOR_INTERVAL || count - positives < METRICS_LEAST_FOR_INTERVAL) {
        return 0;
    }
    struct resampling r = {.samples = samples,
                           .count = count,
                           .order = calloc(count, sizeof *r.order),
                           .times = calloc(count, sizeof *r.times),
                           .steps = calloc(count, sizeof *r.steps),
                           .random = 20240229};
    int rc = r.order == NULL || r.times == NULL || r.steps == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        double ap[METRICS_RESAMPLES];
        double auc[METRICS_RESAMPLES];
        number_classes(&r);
        for (size_t i = 0; i < METRICS_RESAMPLES; i++) {
            struct metrics_curve curve = resample(&r);
            ap[i] = metrics_average_precision(&curve);
            auc[i] = metrics_auc(&curve);
        }
        *ret_ap = interval(ap);
        *ret_auc = interval(auc);
    }
    free(r.order);
    free(r.times);
    free(r.steps);
    return rc;
}

struct metrics_interval metrics_wilson(size_t hits, size_t trials) {
    if (trials == 0) {
        return (struct metrics_interval){0, 1};
    }
    const double z = 1.959963984540054;
    double n = (double)trials;
    double rate = (double)hits / n;
    double middle = (rate + z * z / (2 * n)) / (1 + z * z / n);
    double half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n));
    return (struct metrics_interval){hits == 0 ? 0 : middle - half, hits == trials ? 1 : middle + half};
}
