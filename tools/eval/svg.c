/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/svg.h"

#include <math.h>
#include <string.h>

enum { LEFT = 44, TOP = 12, SIDE = 240, WIDTH = 300, HEIGHT = 296 };

/* Steps that move less than this are not seen. */
static const double least_move = 0.002;

void html_escape(struct buf *out, const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        const char *as = *c == '&'                ? "&amp;"
                         : *c == '<'              ? "&lt;"
                         : *c == '>'              ? "&gt;"
                         : *c == '"'              ? "&quot;"
                         : *c == '\''             ? "&#39;"
                         : *c < ' ' || *c == 0x7f ? "\xef\xbf\xbd"
                                                  : NULL;
        buf_append(out, as != NULL ? (const void *)as : c, as != NULL ? strlen(as) : 1);
    }
}

static double x_of(double value) {
    return LEFT + SIDE * value;
}

static double y_of(double value) {
    return TOP + SIDE * (1 - value);
}

static void begin(struct buf *out, const char *label, const char *x_title, const char *y_title) {
    buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    html_escape(out, label);
    buf_printf(out, "\">\n<rect class=\"area\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\"/>\n",
               LEFT, TOP, SIDE, SIDE);
    for (int i = 0; i <= 4; i++) {
        double at = i / 4.0;
        buf_printf(out, "<path class=\"grid\" d=\"M%.1f %dV%dM%d %.1fH%d\"/>", x_of(at), TOP, TOP + SIDE,
                   LEFT, y_of(at), LEFT + SIDE);
        buf_printf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>", x_of(at),
                   TOP + SIDE + 14, at);
        buf_printf(out, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT - 5,
                   y_of(at) + 3.5, at);
    }
    buf_printf(out, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", x_of(0.5),
               HEIGHT - 8, x_title);
    buf_printf(out,
               "<text class=\"axis\" transform=\"translate(11 %.1f) rotate(-90)\" "
               "text-anchor=\"middle\">%s</text>\n",
               y_of(0.5), y_title);
}

/* A path that leaves out what is not seen. */
struct pen {
    struct buf *out;
    double x, y;
    bool down;
};

static void move_to(struct pen *pen, double x, double y, bool must) {
    if (pen->down && !must && fabs(x - pen->x) < least_move && fabs(y - pen->y) < least_move) {
        return;
    }
    buf_printf(pen->out, "%s%.1f %.1f", pen->down ? "L" : "M", x_of(x), y_of(y));
    *pen = (struct pen){pen->out, x, y, true};
}

static double share(size_t part, size_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0;
}

void svg_precision_recall(struct buf *out, const char *label, const struct metrics_curve *curve,
                          double threshold) {
    double base = share(curve->positives, curve->positives + curve->negatives);
    begin(out, label, "recall", "precision");
    buf_printf(out,
               "<path class=\"guide\" d=\"M%d %.1fH%d\"><title>share of positives: %.3f</title></path>\n",
               LEFT, y_of(base), LEFT + SIDE, base);
    buf_printf(out, "<path class=\"line a\" d=\"");
    struct pen pen = {.out = out};
    for (size_t i = 0; i < curve->count; i++) {
        const struct metrics_step *s = &curve->steps[i];
        double precision = share(s->true_positives, s->true_positives + s->false_positives);
        if (i == 0) {
            move_to(&pen, 0, precision, true);
        }
        move_to(&pen, share(s->true_positives, curve->positives), precision, i + 1 == curve->count);
    }
    buf_printf(out, "\"/>\n");
    if (!isnan(threshold)) {
        struct metrics_point p = metrics_at(curve, threshold);
        if (p.true_positives + p.false_positives > 0 && curve->positives > 0) {
            buf_printf(
                out,
                "<circle class=\"mark\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"><title>the policy's threshold %g: "
                "precision %.3f, recall %.3f</title></circle>\n",
                x_of(p.recall), y_of(p.precision), threshold, p.precision, p.recall);
        }
    }
    buf_printf(out, "</svg>\n");
}

void svg_reliability(struct buf *out, const char *label, const struct metrics_bin bins[METRICS_BINS]) {
    size_t most = 1;
    for (size_t i = 0; i < METRICS_BINS; i++) {
        most = bins[i].count > most ? bins[i].count : most;
    }
    begin(out, label, "score", "share that is harmful");
    buf_printf(out,
               "<path class=\"guide\" d=\"M%.1f %.1fL%.1f %.1f\"><title>a score that is a "
               "probability</title></path>\n",
               x_of(0), y_of(0), x_of(1), y_of(1));
    buf_printf(out, "<path class=\"line a\" d=\"");
    struct pen pen = {.out = out};
    for (size_t i = 0; i < METRICS_BINS; i++) {
        if (bins[i].count > 0) {
            move_to(&pen, bins[i].score_sum / (double)bins[i].count, share(bins[i].positives, bins[i].count),
                    true);
        }
    }
    buf_printf(out, "\"/>\n");
    for (size_t i = 0; i < METRICS_BINS; i++) {
        const struct metrics_bin *b = &bins[i];
        if (b->count > 0) {
            double mean = b->score_sum / (double)b->count;
            double rate = share(b->positives, b->count);
            buf_printf(
                out,
                "<circle class=\"dot a\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>%zu rows, mean score "
                "%.3f, harmful %.3f</title></circle>\n",
                x_of(mean), y_of(rate), 2.2 + 5 * sqrt((double)b->count / (double)most), b->count, mean,
                rate);
        }
    }
    buf_printf(out, "</svg>\n");
}

/* Share of one class at or above each threshold, as stairs from 1 down to 0. */
static void stairs(struct buf *out, const char *class_, const struct metrics_curve *curve, bool positives) {
    struct pen pen = {.out = out};
    double value = 0;
    buf_printf(out, "<path class=\"line %s\" d=\"", class_);
    move_to(&pen, 1, 0, true);
    for (size_t i = 0; i < curve->count; i++) {
        const struct metrics_step *s = &curve->steps[i];
        double next = positives ? share(s->true_positives, curve->positives)
                                : share(s->false_positives, curve->negatives);
        bool seen = fabs(next - pen.y) >= least_move || i + 1 == curve->count;
        if (seen) {
            move_to(&pen, s->threshold, value, true);
            move_to(&pen, s->threshold, next, true);
        }
        value = next;
    }
    move_to(&pen, 0, value, true);
    buf_printf(out, "\"/>\n");
}

void svg_thresholds(struct buf *out, const char *label, const struct metrics_curve *curve, double threshold) {
    begin(out, label, "threshold", "share at or above it");
    if (!isnan(threshold)) {
        buf_printf(
            out,
            "<path class=\"guide mark\" d=\"M%.1f %dV%d\"><title>the policy's threshold %g</title></path>\n",
            x_of(threshold), TOP, TOP + SIDE, threshold);
    }
    stairs(out, "b", curve, false);
    stairs(out, "a", curve, true);
    buf_printf(
        out,
        "<g class=\"key\"><path class=\"line a\" d=\"M%d %dh16\"/><text class=\"tick\" x=\"%d\" y=\"%d\">"
        "recall</text><path class=\"line b\" d=\"M%d %dh16\"/><text class=\"tick\" x=\"%d\" "
        "y=\"%d\">false-alarm "
        "rate</text></g>\n</svg>\n",
        LEFT + 100, TOP + 12, LEFT + 121, TOP + 16, LEFT + 100, TOP + 28, LEFT + 121, TOP + 32);
}
