// Events as plain lines, as JSON lines, and the summary at the end.
#include "stepctl/json.h"
#include "stepctl/render.h"
#include "stepctl/report.h"
#include "tests/lib/test.h"

#include <jansson.h>

enum { NOW = 1700000000 };
static struct sc_buf out;

static const char *line(const struct sc_event_body *event)
{
    sc_buf_clear(&out);
    sc_render_event(&out, event, (int64_t)NOW * 1000);
    return sc_buf_cstr(&out);
}

static struct sc_event_body event(enum sc_event_type type)
{
    return (struct sc_event_body){.type = type,
                                  .at = (int64_t)NOW * 1000 + 42,
                                  .run = SC_SLICE_LIT("r1"),
                                  .step = SC_SLICE_LIT("train[lr=0.1]")};
}

static void test_render_hit_says_who_made_it_when_and_what_it_saved(void **state)
{
    (void)state;
    struct sc_event_body e = event(SC_EV_STEP_VERDICT);
    e.verdict = SC_VERDICT_HIT;
    e.reason = SC_REASON_CACHED;
    e.made_by_run = sc_slice_str("r0");
    e.ended_at = ((int64_t)NOW - 2 * 86400) * 1000;
    e.saved_ms = 1200000;
    assert_string_equal(line(&e), "hit    train[lr=0.1]  made by run r0 2 days ago, saved 20m\n");
}

static void test_render_changed_says_the_field_old_and_new(void **state)
{
    (void)state;
    struct sc_changed_field fields[] = {
        {SC_SLICE_LIT("command"), SC_SLICE_LIT("--depth 5"), SC_SLICE_LIT("--depth 6")},
        {SC_SLICE_LIT("env.X"), SC_SLICE_LIT(""), SC_SLICE_LIT("1")}};
    struct sc_event_body e = event(SC_EV_STEP_VERDICT);
    e.verdict = SC_VERDICT_MISS;
    e.reason = SC_REASON_CHANGED;
    e.fields.items = fields;
    e.fields.count = 2;
    assert_string_equal(line(&e),
                        "miss   train[lr=0.1]  changed: command --depth 5 → --depth 6, env.X (none) → 1\n");
}

static void test_render_changed_of_long_values_shows_what_differs(void **state)
{
    (void)state;
    struct sc_changed_field field = {
        SC_SLICE_LIT("command"),
        SC_SLICE_LIT("python3 train.py --rate 0.1 --depth 5 --in in/train.csv --out out/model"),
        SC_SLICE_LIT("python3 train.py --rate 0.1 --depth 6 --in in/train.csv --out out/model")};
    struct sc_event_body e = event(SC_EV_STEP_VERDICT);
    e.verdict = SC_VERDICT_MISS;
    e.reason = SC_REASON_CHANGED;
    e.fields.items = &field;
    e.fields.count = 1;
    assert_string_equal(line(&e),
                        "miss   train[lr=0.1]  changed: command …0.1 --depth 5… → …0.1 --depth 6…\n");
}

static void test_render_changed_of_any_two_values_stays_within_them(void **state)
{
    (void)state;
    static const char text[] = "ab ab  ababüüab aba ababab  ab aüü abababab ab ab ab";
    for (size_t from = 0; from < sizeof text; from++)
        for (size_t to = 0; to < sizeof text; to++) {
            struct sc_changed_field field = {
                SC_SLICE_LIT("x"), sc_slice(text, to),
                sc_slice(text + from, sizeof text - 1 - (from < sizeof text - 1 ? from : sizeof text - 1))};
            struct sc_event_body e = event(SC_EV_STEP_VERDICT);
            e.verdict = SC_VERDICT_MISS;
            e.reason = SC_REASON_CHANGED;
            e.fields.items = &field;
            e.fields.count = 1;
            assert_true(strlen(line(&e)) < 400);
        }
}

static void test_render_every_reason_has_words(void **state)
{
    (void)state;
    for (int reason = SC_REASON_CACHED; reason < SC_REASON_COUNT; reason++)
        assert_true(*sc_render_reason_text((enum sc_reason)reason));
}

static void test_render_every_outcome_has_words(void **state)
{
    (void)state;
    for (int outcome = 0; outcome < SC_OUTCOME_COUNT; outcome++) {
        sc_buf_clear(&out);
        sc_render_outcome(&out, (enum sc_outcome)outcome, 3, 9);
        assert_true(out.len > 0);
    }
    sc_buf_clear(&out);
    sc_render_outcome(&out, SC_OUTCOME_SIGNAL, 0, 9);
    assert_string_equal(sc_buf_cstr(&out), "killed by signal 9 (KILL)");
}

static void test_render_fail_and_done(void **state)
{
    (void)state;
    struct sc_event_body e = event(SC_EV_STEP_FINISHED);
    e.state = SC_END_FAILED;
    e.outcome = SC_OUTCOME_EXIT;
    e.exit_code = 3;
    e.wall_ms = 1500;
    assert_string_equal(line(&e), "fail   train[lr=0.1]  exit code 3 after 1.5s\n");
    e.state = SC_END_DONE;
    assert_string_equal(line(&e), "done   train[lr=0.1]  1.5s\n");
    e.cached = true; // its verdict said all
    assert_string_equal(line(&e), "");
}

static void test_render_log_lines_are_led_by_the_step_and_escaped(void **state)
{
    (void)state;
    struct sc_event_body e = event(SC_EV_STEP_LOG);
    e.text = sc_slice_str("one\r\ntwo\x1b[2J");
    assert_string_equal(line(&e), "train[lr=0.1] | one\ntrain[lr=0.1] | two\\x1b[2J\n");
}

static void test_render_names_cannot_move_the_cursor(void **state)
{
    (void)state;
    struct sc_event_body e = event(SC_EV_STEP_STARTED);
    e.step = sc_slice_str("a\x1b[1A\n");
    assert_string_equal(line(&e), "run    a\\x1b[1A\\n\n");
}

// ---- JSON

static json_t *object(const struct sc_event_body *e)
{
    sc_buf_clear(&out);
    sc_json_event(&out, e);
    assert_int_equal(out.ptr[out.len - 1], '\n');
    assert_ptr_equal(memchr(out.ptr, '\n', out.len), out.ptr + out.len - 1);
    json_t *parsed = json_loadb((const char *)out.ptr, out.len, JSON_ALLOW_NUL, NULL);
    assert_non_null(parsed);
    return parsed;
}

static void test_json_every_kind_is_one_object_a_line(void **state)
{
    (void)state;
    for (int type = 0; type < SC_EV_COUNT; type++) {
        struct sc_event_body e = event((enum sc_event_type)type);
        e.text = sc_slice("\xff\0\"\\\n", 5);
        e.log_tail = e.text;
        e.state = SC_END_FAILED;
        json_t *parsed = object(&e);
        assert_int_equal(json_integer_value(json_object_get(parsed, "v")), 1);
        assert_string_equal(json_string_value(json_object_get(parsed, "at")), "2023-11-14T22:13:20.042Z");
        json_decref(parsed);
    }
}

static void test_json_verdict_of_a_hit(void **state)
{
    (void)state;
    struct sc_event_body e = event(SC_EV_STEP_VERDICT);
    e.verdict = SC_VERDICT_HIT;
    e.reason = SC_REASON_CACHED;
    e.made_by_run = sc_slice_str("r0");
    e.saved_ms = 7;
    e.key.bytes[0] = 0xab;
    json_t *parsed = object(&e);
    assert_string_equal(json_string_value(json_object_get(parsed, "verdict")), "hit");
    assert_string_equal(json_string_value(json_object_get(json_object_get(parsed, "made_by"), "run")), "r0");
    assert_int_equal(strlen(json_string_value(json_object_get(parsed, "key"))), 64);
    assert_int_equal(json_integer_value(json_object_get(parsed, "saved_ms")), 7);
    assert_null(json_object_get(parsed, "fields"));
    json_decref(parsed);
}

static void test_json_run_finished_has_outputs_by_name(void **state)
{
    (void)state;
    struct sc_published published = {.name = SC_SLICE_LIT("report"), .bytes = 5, .uri = SC_SLICE_LIT("/x")};
    struct sc_event_body e = event(SC_EV_RUN_FINISHED);
    e.step = (struct sc_slice){0};
    e.state = SC_END_DONE;
    e.outputs.items = &published;
    e.outputs.count = 1;
    json_t *parsed = object(&e);
    json_t *report = json_object_get(json_object_get(parsed, "outputs"), "report");
    assert_int_equal(json_integer_value(json_object_get(report, "bytes")), 5);
    assert_string_equal(json_string_value(json_object_get(report, "uri")), "/x");
    assert_null(json_object_get(parsed, "step"));
    json_decref(parsed);
}

static void test_json_times_at_the_edges(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {INT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
                 {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
                 {INT64_C(1709251199000), "2024-02-29T23:59:59.000Z"},
                 {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
                 {INT64_MAX, "1970-01-01T00:00:00.000Z"},
                 {-1, "1970-01-01T00:00:00.000Z"}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_event_body e = event(SC_EV_NOTE);
        e.at = cases[i].ms;
        json_t *parsed = object(&e);
        assert_string_equal(json_string_value(json_object_get(parsed, "at")), cases[i].text);
        json_decref(parsed);
    }
}

static void test_json_error_has_its_place(void **state)
{
    (void)state;
    sc_buf_clear(&out);
    sc_json_error(&out, 0, SC_DOCUMENT, sc_slice_str("wrong"), sc_slice_str("right"), "p.yaml", 3, 7);
    json_t *parsed = json_loadb((const char *)out.ptr, out.len, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(parsed, "code")), "document");
    assert_string_equal(json_string_value(json_object_get(parsed, "file")), "p.yaml");
    assert_int_equal(json_integer_value(json_object_get(parsed, "line")), 3);
    assert_int_equal(json_integer_value(json_object_get(parsed, "column")), 7);
    json_decref(parsed);
}

// ---- the end

static void test_report_tells_failures_with_their_log_and_what_to_do(void **state)
{
    (void)state;
    struct sc_model model;
    sc_model_init(&model);
    struct sc_event_body e = event(SC_EV_RUN_STARTED);
    sc_model_apply(&model, &e);
    e = event(SC_EV_STEP_FINISHED);
    e.state = SC_END_FAILED;
    e.outcome = SC_OUTCOME_EXIT;
    e.exit_code = 3;
    e.log_tail = sc_slice_str("line one\nthe reason\n");
    sc_model_apply(&model, &e);
    e = event(SC_EV_RUN_FINISHED);
    e.state = SC_END_FAILED;
    e.failed = 1;
    e.hits = 2;
    e.saved_ms = 1200000;
    sc_model_apply(&model, &e);
    sc_buf_clear(&out);
    sc_report_failures(&out, &model);
    sc_report_summary(&out, &model, &(struct sc_report_options){0});
    const char *text = sc_buf_cstr(&out);
    assert_contains(text, "failed: train[lr=0.1]: exit code 3");
    assert_contains(text, "    the reason\n");
    assert_contains(text, "stepctl logs r1 'train[lr=0.1]'");
    assert_contains(text, "2 hits, 1 failed");
    assert_contains(text, "saved 20m");
    sc_model_done(&model);
}

int main(void)
{
    sc_buf_init(&out, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render_hit_says_who_made_it_when_and_what_it_saved),
        cmocka_unit_test(test_render_changed_says_the_field_old_and_new),
        cmocka_unit_test(test_render_changed_of_long_values_shows_what_differs),
        cmocka_unit_test(test_render_changed_of_any_two_values_stays_within_them),
        cmocka_unit_test(test_render_every_reason_has_words),
        cmocka_unit_test(test_render_every_outcome_has_words),
        cmocka_unit_test(test_render_fail_and_done),
        cmocka_unit_test(test_render_log_lines_are_led_by_the_step_and_escaped),
        cmocka_unit_test(test_render_names_cannot_move_the_cursor),
        cmocka_unit_test(test_json_every_kind_is_one_object_a_line),
        cmocka_unit_test(test_json_verdict_of_a_hit),
        cmocka_unit_test(test_json_run_finished_has_outputs_by_name),
        cmocka_unit_test(test_json_times_at_the_edges),
        cmocka_unit_test(test_json_error_has_its_place),
        cmocka_unit_test(test_report_tells_failures_with_their_log_and_what_to_do),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sc_buf_done(&out);
    return failed;
}
