// The live view's pure part, and the model that it shows.
#include "stepctl/view_model.h"

#include "stepctl/text.h"
#include "tests/lib/test.h"

#include <locale.h>
#include <stdio.h>

static struct sc_model model;
static struct sc_arena arena;

static struct sc_event_body event(enum sc_event_type type, const char *step)
{
    return (struct sc_event_body){
        .type = type, .at = 1000, .run = SC_SLICE_LIT("r1"), .step = sc_slice_str(step)};
}

static bool verdict(const char *step, enum sc_verdict verdict, enum sc_reason reason)
{
    struct sc_event_body e = event(SC_EV_STEP_VERDICT, step);
    e.verdict = verdict;
    e.reason = reason;
    e.saved_ms = verdict == SC_VERDICT_HIT ? 60000 : 0;
    return sc_model_apply(&model, &e);
}

static bool started(const char *step, uint64_t attempt)
{
    struct sc_event_body e = event(SC_EV_STEP_STARTED, step);
    e.attempt = attempt;
    return sc_model_apply(&model, &e);
}

static bool finished(const char *step, enum sc_end_state state, bool cached)
{
    struct sc_event_body e = event(SC_EV_STEP_FINISHED, step);
    e.state = state;
    e.cached = cached;
    e.outcome = state == SC_END_FAILED ? SC_OUTCOME_EXIT : SC_OUTCOME_OK;
    e.exit_code = state == SC_END_FAILED ? 3 : 0;
    e.wall_ms = 5000;
    e.text = sc_slice_str("why");
    return sc_model_apply(&model, &e);
}

static bool run_finished(enum sc_end_state state)
{
    struct sc_event_body e = event(SC_EV_RUN_FINISHED, "");
    e.state = state;
    return sc_model_apply(&model, &e);
}

static struct sc_view_lines layout(uint32_t width, uint32_t height)
{
    struct sc_view_style style = {.width = width, .height = height, .now_ms = 61000};
    return sc_view_layout(&model, &style, &arena);
}

// The whole picture as one text.
static const char *picture(uint32_t width, uint32_t height)
{
    struct sc_view_lines lines = layout(width, height);
    struct sc_buf text;
    sc_buf_init(&text, 0);
    for (uint32_t i = 0; i < lines.items.count; i++) {
        sc_buf_add_slice(&text, lines.items.items[i].text);
        sc_buf_add_byte(&text, '\n');
    }
    const char *copy = sc_arena_cstr(&arena, sc_buf_slice(&text));
    sc_buf_done(&text);
    return copy;
}

static void many(const char *name, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char step[64];
        snprintf(step, sizeof step, "%s[i=%u]", name, i);
        verdict(step, SC_VERDICT_MISS, SC_REASON_NEVER_SEEN);
    }
}

static void test_view_has_a_line_a_step_and_the_totals(void **state)
{
    (void)state;
    verdict("prepare", SC_VERDICT_HIT, SC_REASON_CACHED);
    verdict("train", SC_VERDICT_MISS, SC_REASON_NEVER_SEEN);
    started("train", 1);
    assert_int_equal(layout(80, 24).items.count, 3);
    const char *text = picture(80, 24);
    assert_contains(text, "prepare");
    assert_contains(text, "saved 60s");
    assert_contains(text, "runs");
    assert_contains(text, "60s");
    assert_contains(text, "never seen");
    assert_contains(text, "1/2");
}

static void test_view_folds_a_group_that_does_not_fit(void **state)
{
    (void)state;
    verdict("prepare", SC_VERDICT_HIT, SC_REASON_CACHED);
    many("train", 200);
    started("train[i=3]", 1);
    struct sc_view_lines lines = layout(80, 24);
    assert_int_equal(lines.items.count, 3);
    const char *text = picture(80, 24);
    assert_contains(text, "train x200");
    assert_contains(text, "1 runs, 199 ready");
}

static void test_view_without_room_shows_failed_and_running_first(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char step[32];
        snprintf(step, sizeof step, "step-%d", i);
        verdict(step, SC_VERDICT_MISS, SC_REASON_NEVER_SEEN);
    }
    started("step-700", 1);
    finished("step-900", SC_END_FAILED, false);
    const char *text = picture(80, 10);
    assert_true(strstr(text, "step-900") < strstr(text, "step-700"));
    assert_null(strstr(text, "step-1 "));
    assert_contains(text, "1/1000");
}

static void test_view_never_is_wider_or_higher_than_the_window(void **state)
{
    (void)state;
    verdict("prepare\x1b[2J\n", SC_VERDICT_HIT, SC_REASON_CACHED);
    verdict("漢字漢字漢字漢字漢字", SC_VERDICT_MISS, SC_REASON_CHANGED);
    many("a-name-that-is-long-enough-to-be-cut", 7);
    finished("a-name-that-is-long-enough-to-be-cut[i=2]", SC_END_FAILED, false);
    for (uint32_t width = 0; width < 130; width++)
        for (uint32_t height = 0; height < 14; height++) {
            struct sc_view_lines lines = layout(width, height);
            assert_true(lines.items.count <= height);
            for (uint32_t i = 0; i < lines.items.count; i++) {
                assert_true(lines.items.items[i].columns <= width);
                assert_int_equal(sc_text_width(lines.items.items[i].text), lines.items.items[i].columns);
                assert_null(memchr(lines.items.items[i].text.ptr, 0x1b, lines.items.items[i].text.len));
            }
        }
}

static void test_view_colours_only_when_asked(void **state)
{
    (void)state;
    verdict("a", SC_VERDICT_HIT, SC_REASON_CACHED);
    assert_null(strchr(picture(80, 24), 0x1b));
    struct sc_view_style style = {.width = 80, .height = 24, .colour = true};
    struct sc_view_lines lines = sc_view_layout(&model, &style, &arena);
    assert_non_null(memchr(lines.items.items[0].text.ptr, 0x1b, lines.items.items[0].text.len));
}

static void test_view_shows_progress_as_a_bar(void **state)
{
    (void)state;
    verdict("a", SC_VERDICT_MISS, SC_REASON_NEVER_SEEN);
    started("a", 1);
    struct sc_event_body e = event(SC_EV_STEP_PROGRESS, "a");
    e.phase = SC_PHASE_FETCHING;
    e.done_bytes = 50;
    e.total_bytes = 100;
    sc_model_apply(&model, &e);
    assert_contains(picture(100, 24), "fetching 60s");
    assert_contains(picture(100, 24), "50%");
    e = event(SC_EV_STEP_PROGRESS, "a");
    e.phase = SC_PHASE_CHECKING;
    sc_model_apply(&model, &e);
    assert_contains(picture(100, 24), "checking the environment 60s");
}

static void reading(const char *source, int64_t at_ms, uint64_t done_mib)
{
    struct sc_event_body e = event(SC_EV_STEP_PROGRESS, "a");
    e.phase = SC_PHASE_FETCHING;
    e.at = at_ms;
    e.text = sc_slice_str(source);
    e.done_bytes = done_mib << 20;
    e.total_bytes = UINT64_C(8) << 30;
    sc_model_apply(&model, &e);
}

static void test_view_shows_how_far_a_source_is_with_rate_and_time_left(void **state)
{
    (void)state;
    sc_model_expect(&model, sc_slice_str("a"));
    reading("s3://data/raw", 1000, 1024);
    assert_contains(picture(120, 24), "reading s3://data/raw 1.0 GiB of 8.0 GiB");
    assert_null(strstr(picture(120, 24), "left"));
    reading("s3://data/raw", 6000, 2048);
    assert_contains(picture(120, 24), "reading s3://data/raw 2.0 GiB of 8.0 GiB, 204 MiB/s, 31s left");
    reading("s3://data/raw", 5000, 4096); // told late
    assert_contains(picture(120, 24), "2.0 GiB of 8.0 GiB");
    reading("s3://data/raw", 8000, 100); // it is read again: what came before tells nothing of its rate
    assert_contains(picture(120, 24), "100 MiB of 8.0 GiB");
    assert_null(strstr(picture(120, 24), "left"));
    verdict("a", SC_VERDICT_MISS, SC_REASON_NEVER_SEEN);
    started("a", 1);
    assert_null(strstr(picture(120, 24), "reading"));
}

static void test_model_keeps_the_order_that_was_expected(void **state)
{
    (void)state;
    sc_model_expect(&model, sc_slice_str("first"));
    sc_model_expect(&model, sc_slice_str("second"));
    verdict("second", SC_VERDICT_HIT, SC_REASON_CACHED);
    const char *text = picture(80, 24);
    assert_true(strstr(text, "first") < strstr(text, "second"));
    assert_contains(text, "waits");
}

static void test_model_counts_and_groups(void **state)
{
    (void)state;
    many("train", 3);
    verdict("eval", SC_VERDICT_JOIN, SC_REASON_IN_FLIGHT);
    started("train[i=0]", 1);
    finished("train[i=0]", SC_END_DONE, false);
    assert_int_equal(model.groups.count, 2);
    assert_int_equal(model.groups.items[0].steps, 3);
    assert_int_equal(model.groups.items[0].counts[SC_MODEL_DONE], 1);
    assert_int_equal(model.counts[SC_MODEL_READY], 2);
    assert_int_equal(model.counts[SC_MODEL_JOINED], 1);
}

static void test_model_tells_news_from_repetition(void **state)
{
    (void)state;
    assert_true(verdict("a", SC_VERDICT_MISS, SC_REASON_NEVER_SEEN));
    assert_true(started("a", 1));
    assert_false(verdict("a", SC_VERDICT_MISS, SC_REASON_NEVER_SEEN));
    assert_false(started("a", 1));
    assert_true(started("a", 2));
    assert_true(finished("a", SC_END_DONE, false));
    assert_false(finished("a", SC_END_DONE, false));
    assert_true(verdict("b", SC_VERDICT_HIT, SC_REASON_CACHED));
    assert_true(finished("b", SC_END_DONE, true));
    assert_false(verdict("b", SC_VERDICT_HIT, SC_REASON_CACHED));
    assert_false(finished("b", SC_END_DONE, true));
    assert_true(run_finished(SC_END_DONE));
    assert_false(run_finished(SC_END_DONE));
}

static void test_model_of_a_healed_step_runs_again(void **state)
{
    (void)state;
    verdict("a", SC_VERDICT_HIT, SC_REASON_CACHED);
    finished("a", SC_END_DONE, true);
    assert_true(verdict("a", SC_VERDICT_MISS, SC_REASON_OBJECTS_LOST));
    assert_true(started("a", 1));
    assert_true(finished("a", SC_END_DONE, false));
    assert_int_equal(model.counts[SC_MODEL_DONE], 1);
    assert_int_equal(model.counts[SC_MODEL_HIT], 0);
}

static void test_model_own_work_found_after_a_restart_is_no_news(void **state)
{
    (void)state;
    struct sc_event_body begin = event(SC_EV_RUN_STARTED, "");
    sc_model_apply(&model, &begin);
    verdict("a", SC_VERDICT_MISS, SC_REASON_NEVER_SEEN);
    started("a", 1);
    finished("a", SC_END_DONE, false);
    struct sc_event_body hit = event(SC_EV_STEP_VERDICT, "a");
    hit.verdict = SC_VERDICT_HIT;
    hit.reason = SC_REASON_CACHED;
    hit.made_by_run = sc_slice_str("r1");
    assert_false(sc_model_apply(&model, &hit));
    assert_false(finished("a", SC_END_DONE, true));
}

static void test_model_exit_codes(void **state)
{
    (void)state;
    run_finished(SC_END_DONE);
    assert_int_equal(sc_model_exit_code(&model), 0);
    model.end.state = SC_END_CANCELLED;
    assert_int_equal(sc_model_exit_code(&model), 4);
    model.end.state = SC_END_FAILED;
    assert_int_equal(sc_model_exit_code(&model), 1);
    model.end.code = sc_slice_str("unreachable");
    assert_int_equal(sc_model_exit_code(&model), 3);
}

static void test_model_a_failure_of_the_store_alone_is_exit_3(void **state)
{
    (void)state;
    struct sc_event_body e = event(SC_EV_STEP_FINISHED, "a");
    e.state = SC_END_FAILED;
    e.outcome = SC_OUTCOME_STORE;
    sc_model_apply(&model, &e);
    run_finished(SC_END_FAILED);
    assert_int_equal(sc_model_exit_code(&model), 3);
    finished("b", SC_END_FAILED, false);
    assert_int_equal(sc_model_exit_code(&model), 1);
}

static void test_model_holds_a_hundred_thousand_steps(void **state)
{
    (void)state;
    many("s", 100000);
    assert_int_equal(model.steps.count, 100000);
    assert_non_null(sc_model_find(&model, sc_slice_str("s[i=99999]")));
    assert_null(sc_model_find(&model, sc_slice_str("s[i=100000]")));
}

static int setup(void **state)
{
    (void)state;
    sc_model_init(&model);
    sc_arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sc_model_done(&model);
    sc_arena_done(&arena);
    return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        EACH(test_view_has_a_line_a_step_and_the_totals),
        EACH(test_view_folds_a_group_that_does_not_fit),
        EACH(test_view_without_room_shows_failed_and_running_first),
        EACH(test_view_never_is_wider_or_higher_than_the_window),
        EACH(test_view_colours_only_when_asked),
        EACH(test_view_shows_progress_as_a_bar),
        EACH(test_view_shows_how_far_a_source_is_with_rate_and_time_left),
        EACH(test_model_keeps_the_order_that_was_expected),
        EACH(test_model_counts_and_groups),
        EACH(test_model_tells_news_from_repetition),
        EACH(test_model_of_a_healed_step_runs_again),
        EACH(test_model_own_work_found_after_a_restart_is_no_news),
        EACH(test_model_exit_codes),
        EACH(test_model_a_failure_of_the_store_alone_is_exit_3),
        EACH(test_model_holds_a_hundred_thousand_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
