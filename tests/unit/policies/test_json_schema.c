/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds the JSON Schemas for editors against the loader's tables: the same keys, types, words, bounds,
 * defaults and requirements, and patterns that take and refuse the same words.
 */
#include <jansson.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policies/schema.h"

static size_t differences;

static void differ(const char *path, const char *what) {
    print_error("%s: %s\n", path, what);
    differences++;
}

static bool is_shown(const struct config_row *row) {
    return row->type != CONFIG_KEY && row->type != CONFIG_LATER && row->key[0] != '\0';
}

static void expect_type(const json_t *schema, const char *path, const char *type) {
    const char *found = json_string_value(json_object_get(schema, "type"));
    if (found == NULL || strcmp(found, type) != 0) {
        differ(path, "type differs");
    }
}

static void expect_integer(const json_t *schema, const char *path, const char *key, uint64_t expected,
                           bool wanted) {
    const json_t *value = json_object_get(schema, key);
    if ((value != NULL) != wanted || (wanted && (uint64_t)json_integer_value(value) != expected)) {
        differ(path, key);
    }
}

/* ---- choices ---- */

static size_t count_choices(const struct config_choice *choices) {
    size_t count = 0;
    for (; choices->name != NULL; choices++) {
        count += !choices->later;
    }
    return count;
}

static void compare_choices(const struct config_row *row, const json_t *schema, const char *path) {
    const json_t *words = json_object_get(schema, "enum");
    if (json_array_size(words) != count_choices(row->choices)) {
        differ(path, "enum: another number of words");
    }
    for (const struct config_choice *c = row->choices; c->name != NULL; c++) {
        size_t i = 0;
        const json_t *word = NULL;
        bool found = false;
        json_array_foreach(words, i, word) {
            found = found || strcmp(json_string_value(word), c->name) == 0;
        }
        if (found == c->later) {
            differ(path, c->name);
        }
    }
}

static void compare_flags(const struct config_row *row, const json_t *schema, const char *path) {
    const json_t *forms = json_object_get(schema, "anyOf");
    const json_t *list = json_array_get(forms, 1);
    if (json_array_size(forms) != 2 || json_integer_value(json_object_get(list, "minItems")) != 1 ||
        !json_is_true(json_object_get(list, "uniqueItems"))) {
        differ(path, "not one word or a list of different words");
    }
    compare_choices(row, json_array_get(forms, 0), path);
    compare_choices(row, json_object_get(list, "items"), path);
}

/* ---- text ---- */

/* Whether the schema's pattern and exclusions take the word. */
static bool schema_takes(const json_t *schema, const char *word) {
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    const json_t *excluded = json_object_get(json_object_get(schema, "not"), "enum");
    regex_t compiled;
    size_t i = 0;
    const json_t *other = NULL;
    if (pattern != NULL) {
        assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
        bool matches = regexec(&compiled, word, 0, NULL, 0) == 0;
        regfree(&compiled);
        if (!matches) {
            return false;
        }
    }
    json_array_foreach(excluded, i, other) {
        if (strcmp(json_string_value(other), word) == 0) {
            return false;
        }
    }
    return true;
}

static void compare_pattern(const struct config_row *row, const json_t *schema, const char *path) {
    static const char *const words[] = {
        "a",   "A",   "7",   "a b", ".a",  "-a",           "_a",       "a.b",    "a-b",
        "a_b", "A.b", "a,b", "a/b", "any", "child_safety", "violence", "9lives", "\xc3\xa9"};
    if (row->check == NULL) {
        if (json_object_get(schema, "pattern") != NULL) {
            differ(path, "pattern where the loader has none");
        }
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (schema_takes(schema, words[i]) != (row->check(words[i]) == NULL)) {
            differ(path, words[i]);
        }
    }
}

static void compare_text(const struct config_row *row, const json_t *schema, const char *path) {
    uint64_t max = row->type == CONFIG_STRING ? row->max : row->size - 1;
    expect_type(schema, path, "string");
    expect_integer(schema, path, "minLength", row->min, row->min > 0);
    expect_integer(schema, path, "maxLength", max > 0 ? max : 65536, true);
    if (row->type != CONFIG_STRING) { /* a check of a string may look at more than words */
        compare_pattern(row, schema, path);
    }
}

/* ---- numbers ---- */

static void compare_number(const struct config_row *row, const json_t *schema, const char *path) {
    if (row->type == CONFIG_FRACTION) {
        expect_type(schema, path, "number");
        if (json_number_value(json_object_get(schema, "minimum")) != (double)row->min / 1e6 ||
            json_number_value(json_object_get(schema, "maximum")) !=
                (row->max > 0 ? (double)row->max / 1e6 : 1.0)) {
            differ(path, "bounds differ");
        }
        return;
    }
    expect_type(schema, path, "integer");
    expect_integer(schema, path, "minimum", row->min, true);
    expect_integer(schema, path, "maximum", row->max, true);
}

static void compare_duration(const json_t *schema, const char *path) {
    static const char *const good[] = {"180d", "1 h", "250ms", "0s"};
    static const char *const bad[] = {"180", "d", "01d", "1.5h", "1  h", "1w"};
    expect_type(schema, path, "string");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!schema_takes(schema, good[i])) {
            differ(path, good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (schema_takes(schema, bad[i])) {
            differ(path, bad[i]);
        }
    }
}

/* ---- structure ---- */

static void compare_value(const struct config_row *row, const json_t *schema, const char *path);

static bool requires(const json_t *schema, const char *key) {
    size_t i = 0;
    const json_t *name = NULL;
    json_array_foreach(json_object_get(schema, "required"), i, name) {
        if (strcmp(json_string_value(name), key) == 0) {
            return true;
        }
    }
    return false;
}

static void compare_map(const struct config_row *rows, const json_t *schema, const char *path) {
    const json_t *properties = json_object_get(schema, "properties");
    size_t shown = 0;
    size_t required = 0;
    expect_type(schema, path, "object");
    if (!json_is_false(json_object_get(schema, "additionalProperties"))) {
        differ(path, "takes unknown keys");
    }
    for (const struct config_row *row = rows; row->key != NULL; row++) {
        if (!is_shown(row)) {
            continue;
        }
        char inner[256];
        (void)snprintf(inner, sizeof inner, "%s.%s", path, row->key);
        const json_t *property = json_object_get(properties, row->key);
        shown++;
        required += row->required;
        if (property == NULL) {
            differ(inner, "missing in the schema");
            continue;
        }
        if (row->required != requires(schema, row->key)) {
            differ(inner, "required differs");
        }
        compare_value(row, property, inner);
    }
    if (json_object_size(properties) != shown ||
        json_array_size(json_object_get(schema, "required")) != required) {
        differ(path, "more keys than the loader has");
    }
}

static const struct config_row *short_form(const struct config_row *rows) {
    for (; rows->key != NULL; rows++) {
        if (rows->key[0] == '\0') {
            return rows;
        }
    }
    return NULL;
}

static void compare_element(const struct config_row *rows, const json_t *schema, const char *path) {
    const struct config_row *word = short_form(rows);
    bool has_keys = false;
    for (const struct config_row *row = rows; row->key != NULL; row++) {
        has_keys = has_keys || is_shown(row);
    }
    if (word == NULL) {
        compare_map(rows, schema, path);
    } else if (!has_keys) {
        compare_value(word, schema, path);
    } else {
        const json_t *forms = json_object_get(schema, "anyOf");
        compare_value(word, json_array_get(forms, 0), path);
        compare_map(rows, json_array_get(forms, 1), path);
    }
}

static void compare_items(const struct config_row *row, const json_t *schema, const char *path) {
    bool is_table = row->type == CONFIG_TABLE;
    expect_type(schema, path, is_table ? "object" : "array");
    expect_integer(schema, path, is_table ? "minProperties" : "minItems", row->min, row->min > 0);
    expect_integer(schema, path, is_table ? "maxProperties" : "maxItems", row->max, true);
    for (const struct config_row *key = row->rows; is_table && key->key != NULL; key++) {
        if (key->type == CONFIG_KEY) {
            compare_text(key, json_object_get(schema, "propertyNames"), path);
        }
    }
    compare_element(row->rows, json_object_get(schema, is_table ? "additionalProperties" : "items"), path);
}

static void compare_default(const struct config_row *row, const json_t *schema, const char *path) {
    const json_t *value = json_object_get(schema, "default");
    char *written = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    const char *plain = json_is_string(value) ? json_string_value(value) : written;
    if ((plain != NULL) != (row->fallback != NULL) || (plain != NULL && strcmp(plain, row->fallback) != 0)) {
        differ(path, "default differs");
    }
    free(written);
}

static void compare_value(const struct config_row *row, const json_t *schema, const char *path) {
    if (row->key[0] != '\0' && json_object_get(schema, "description") == NULL) {
        differ(path, "no description");
    }
    compare_default(row, schema, path);
    switch (row->type) {
    case CONFIG_BOOL:
        expect_type(schema, path, "boolean");
        break;
    case CONFIG_U32:
    case CONFIG_U64:
    case CONFIG_FRACTION:
        compare_number(row, schema, path);
        break;
    case CONFIG_DURATION:
        compare_duration(schema, path);
        break;
    case CONFIG_ENUM:
        compare_choices(row, schema, path);
        break;
    case CONFIG_FLAGS:
        compare_flags(row, schema, path);
        break;
    case CONFIG_TEXT:
    case CONFIG_STRING:
        compare_text(row, schema, path);
        break;
    case CONFIG_STRUCT:
        compare_map(row->rows, schema, path);
        break;
    case CONFIG_LIST:
    case CONFIG_TABLE:
        compare_items(row, schema, path);
        break;
    default:
        differ(path, "a type that this test does not know");
    }
}

static void compare_file(const struct config_row *rows, const char *path) {
    json_error_t error;
    json_t *schema = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (schema == NULL) {
        fail_msg("%s:%d: %s", path, error.line, error.text);
    }
    differences = 0;
    compare_map(rows, schema, "");
    json_decref(schema);
    assert_int_equal(differences, 0);
}

static void test_policy_schema_says_what_the_loader_does(void **state) {
    (void)state;
    compare_file(policy_rows, BUCKLER_SOURCE_DIR "/policies/schema/policy.schema.json");
}

static void test_list_schema_says_what_the_loader_does(void **state) {
    (void)state;
    compare_file(policy_list_rows, BUCKLER_SOURCE_DIR "/policies/schema/list.schema.json");
}

/* The table of classifiers' keys, which the schema says with if and then. */
static void test_policy_schema_knows_which_keys_each_classifier_takes(void **state) {
    (void)state;
    json_t *schema = json_load_file(BUCKLER_SOURCE_DIR "/policies/schema/policy.schema.json", 0, NULL);
    assert_non_null(schema);
    const json_t *classifier =
        json_object_get(json_object_get(json_object_get(schema, "properties"), "classifiers"), "items");
    const json_t *cases = json_object_get(classifier, "allOf");
    assert_int_equal(json_array_size(cases), USE_COUNT - 1);
    for (int use = USE_HEAD; use < USE_COUNT; use++) {
        const struct source_use_info *info = &source_uses[use];
        const json_t *one = json_array_get(cases, (size_t)use - 1);
        const json_t *when =
            json_object_get(json_object_get(json_object_get(one, "if"), "properties"), "use");
        const json_t *then = json_object_get(one, "then");
        const json_t *taken = json_object_get(then, "properties");
        assert_string_equal(json_string_value(json_object_get(when, "const")), info->name);
        assert_int_equal(requires(then, "model"), info->takes_model);
        assert_int_equal(requires(then, "files"), info->takes_files);
        assert_int_equal(json_is_false(json_object_get(taken, "model")), !info->takes_model);
        assert_int_equal(json_is_false(json_object_get(taken, "files")), !info->takes_files);
        assert_int_equal(json_is_false(json_object_get(taken, "guidelines")), !info->takes_guidelines);
    }
    json_decref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_schema_says_what_the_loader_does),
        cmocka_unit_test(test_list_schema_says_what_the_loader_does),
        cmocka_unit_test(test_policy_schema_knows_which_keys_each_classifier_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
