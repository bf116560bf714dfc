// What agents report, taken for what it is: a report that no record can hold, clocks that are off, and a store that cannot be
// read when a key is looked up.
#include "tests/lib/test.h"
#include "tests/lib/world.h"

#include "base/limits.h"

enum { HOURS_MS = 3 * 3600 * 1000 };

static const char one_step[] = "stepcache: 1\nname: demo\nsteps:\n"
                               "  a: {command: [x], outputs: {x: x.txt}}\n";
static const char expiring[] = "stepcache: 1\nname: demo\nsteps:\n"
                               "  a: {command: [x], outputs: {x: x.txt}, cache: {expire_after: PT1H}}\n";

static void begin(struct world *w, const char *document)
{
    world_agent(w, "a1", 2);
    world_submit(w, document, NULL);
}

static const struct sc_core_record *recorded(const struct world *w)
{
    assert_int_equal(w->records.count, 1);
    return &w->records.items[0].record;
}

static void test_a_report_with_a_log_that_is_none_is_not_believed(void **state)
{
    (void)state;
    static uint8_t large[SC_LIMIT_LOG_INLINE_BYTES + 1];
    const struct sc_digest digest = sc_digest_of(sc_slice_str("log")),
                           of_none = sc_digest_of(sc_slice(NULL, 0)),
                           of_large = sc_digest_of(sc_slice(large, sizeof large));
    const struct sc_slice text = sc_slice_str("log");
    const struct sc_artifact odd[] = {
        {.kind = SC_ARTIFACT_DIR, .has_inline = true, .digest = digest, .bytes = 3, .inline_bytes = text},
        {.kind = SC_ARTIFACT_DIR, .digest = digest, .bytes = 3},
        {.kind = SC_ARTIFACT_LIST, .digest = digest, .bytes = 3},
        {.has_inline = true, .digest = digest, .bytes = 2, .inline_bytes = text},
        {.has_inline = true, .digest = of_none, .bytes = 3, .inline_bytes = text},
        {.has_inline = true, .bytes = 3, .inline_bytes = text},
        {.has_inline = true},
        {.digest = digest, .bytes = 3, .inline_bytes = text},
        {.bytes = 3, .inline_bytes = text},
        {.has_inline = true,
         .digest = of_large,
         .bytes = sizeof large,
         .inline_bytes = sc_slice(large, sizeof large)},
    };
    for (size_t i = 0; i < SC_COUNT(odd); i++) {
        WORLD;
        begin(&w, one_step);
        w.log = odd[i];
        world_report(&w, "a", "one");
        assert_true(world_says(&w, "0: a failed internal"));
        assert_int_equal(w.records.count, 0);
    }
}

static void test_a_report_with_a_log_or_none_is_recorded(void **state)
{
    (void)state;
    const struct sc_digest digest = sc_digest_of(sc_slice_str("log")),
                           of_none = sc_digest_of(sc_slice(NULL, 0));
    const struct sc_artifact good[] = {
        {.bytes = 0},
        {.has_inline = true, .digest = digest, .bytes = 3, .inline_bytes = sc_slice_str("log")},
        {.has_inline = true, .digest = of_none},
        {.digest = digest, .bytes = 1 << 20, .files = 1},
    };
    for (size_t i = 0; i < SC_COUNT(good); i++) {
        WORLD;
        begin(&w, one_step);
        w.log = good[i];
        world_report(&w, "a", "one");
        assert_true(world_says(&w, "0: a done"));
        assert_int_equal(recorded(&w)->stdout_.bytes, good[i].bytes);
    }
}

// The extension stands in the keys of an output's readers and in the path that they get it at.
static void test_a_report_of_another_extension_than_the_path_has_is_not_believed(void **state)
{
    (void)state;
    WORLD;
    begin(&w, one_step);
    w.ext = "/../x";
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "0: a failed internal"));
    assert_int_equal(w.records.count, 0);
}

static void test_a_result_that_ends_in_the_future_ended_when_it_was_reported(void **state)
{
    (void)state;
    WORLD;
    begin(&w, expiring);
    w.agents_ahead_ms = HOURS_MS;
    world_report(&w, "a", "one");
    assert_int_equal(recorded(&w)->ended_at, w.wall_ms);
    world_submit(&w, expiring, NULL);
    assert_true(world_says(&w, "1: a hit cached"));
    world_pass(&w, 2 * 3600 * 1000); // less than the clocks differ by, more than it is good for
    world_agent(&w, "a1", 2);
    world_submit(&w, expiring, NULL);
    assert_true(world_says(&w, "2: a miss expired"));
}

static void test_a_result_by_a_clock_that_is_behind_is_never_younger_than_it_is(void **state)
{
    (void)state;
    WORLD;
    begin(&w, expiring);
    w.agents_ahead_ms = -HOURS_MS;
    world_report(&w, "a", "one");
    assert_int_equal(recorded(&w)->ended_at, w.wall_ms - HOURS_MS);
    world_submit(&w, expiring, NULL);
    assert_true(world_says(&w, "1: a miss expired"));
    w.agents_ahead_ms = INT64_MIN;
    world_report(&w, "a", "one");
    assert_int_equal(recorded(&w)->ended_at, 0);
}

static void test_a_record_that_could_not_be_read_for_now_is_not_replaced(void **state)
{
    (void)state;
    WORLD;
    w.look_ups_fail = true;
    begin(&w, one_step);
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "record a generation 1 if absent"));
    // But what a user wants made anew takes the place of what is there.
    struct sc_run_options refresh = {.refresh_all = true};
    world_submit(&w, one_step, &refresh);
    world_report(&w, "a", "two");
    assert_true(world_says(&w, "record a generation 1 replaces"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_report_with_a_log_that_is_none_is_not_believed),
        cmocka_unit_test(test_a_report_with_a_log_or_none_is_recorded),
        cmocka_unit_test(test_a_report_of_another_extension_than_the_path_has_is_not_believed),
        cmocka_unit_test(test_a_result_that_ends_in_the_future_ended_when_it_was_reported),
        cmocka_unit_test(test_a_result_by_a_clock_that_is_behind_is_never_younger_than_it_is),
        cmocka_unit_test(test_a_record_that_could_not_be_read_for_now_is_not_replaced),
    };
    return cmocka_run_group_tests_name("core_reports", tests, NULL, NULL);
}
