/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/eval/svg.h"

static void test_escape_leaves_no_markup(void **state) {
    (void)state;
    struct buf out = {0};
    html_escape(&out, "<img src=x onerror=\"a('b')\">&amp;\x01\x1b[0m\x7f\n gr\xc3\xbc\xc3\x9f");
    assert_string_equal(
        (char *)out.bytes,
        "&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;amp;\xef\xbf\xbd\xef\xbf\xbd[0m"
        "\xef\xbf\xbd\xef\xbf\xbd gr\xc3\xbc\xc3\x9f");
    buf_deinit(&out);
}

static void test_plots_escape_their_label_and_have_no_undefined_number(void **state) {
    (void)state;
    struct metrics_sample both[] = {{.9, true}, {.2, false}, {.4, true}, {.4, false}};
    struct metrics_sample one[] = {{.9, true}};
    struct metrics_sample *const sets[] = {both, one, NULL};
    const size_t counts[] = {4, 1, 0};
    for (size_t i = 0; i < 3; i++) {
        struct buf out = {0};
        struct metrics_curve curve;
        struct metrics_bin bins[METRICS_BINS];
        assert_int_equal(metrics_curve_new(sets[i], counts[i], &curve), 0);
        metrics_bins(sets[i], counts[i], bins);
        svg_precision_recall(&out, "\"><script>", &curve, 0.5);
        svg_reliability(&out, "\"><script>", bins);
        svg_thresholds(&out, "\"><script>", &curve, NAN);
        assert_false(out.failed);
        assert_null(strstr((char *)out.bytes, "<script>"));
        assert_null(strstr((char *)out.bytes, "nan"));
        assert_null(strstr((char *)out.bytes, "inf"));
        assert_non_null(strstr((char *)out.bytes, "aria-label=\"&quot;&gt;&lt;script&gt;\""));
        metrics_curve_deinit(&curve);
        buf_deinit(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape_leaves_no_markup),
        cmocka_unit_test(test_plots_escape_their_label_and_have_no_undefined_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
