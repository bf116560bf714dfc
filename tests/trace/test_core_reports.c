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

// What was stored too long ago may have been collected: nothing is recorded, and the step runs again.
static void test_a_report_long_after_its_outputs_were_stored_is_made_again(void **state)
{
    (void)state;
    WORLD;
    w.config.record_within_ms = 100000;
    world_restart(&w);
    begin(&w, expiring);
    w.stored_ms = 100001;
    world_said(&w);
    world_report(&w, "a", "one");
    assert_false(world_says(&w, "record a generation 1 if absent"));
    world_pass(&w, 10000);
    w.stored_ms = 100000;
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "record a generation 1 if absent"));
}

static bool missed(const struct world *w)
{
    return strstr(sc_buf_cstr((struct sc_buf *)&w->transcript), "1: a miss") != NULL;
}

// Never a miss, also for who wants it made anew: what is there may be an honest record.
static void test_a_store_that_cannot_be_read_is_asked_again_and_nothing_is_replaced(void **state)
{
    struct sc_run_options options[] = {{0}, {.refresh_all = true}};
    for (size_t i = 0; i < SC_COUNT(options); i++) {
        WORLD;
        begin(&w, one_step);
        world_report(&w, "a", "one");
        w.look_ups_fail = true;
        world_submit(&w, one_step, &options[i]);
        for (int s = 0; s < 5; s++) {
            assert_true(world_says(&w, "1: note the store cannot be read, trying again for 300 s: read the "
                                       "record: Input/output error"));
            assert_false(missed(&w));
            world_pass(&w, 2000);
        }
        w.look_ups_fail = false;
        world_pass(&w, 2000);
        assert_true(world_says(&w, i ? "1: a miss refresh" : "1: a hit cached"));
    }
}

static void test_a_store_that_can_not_be_read_for_too_long_fails_the_step_with_its_words(void **state)
{
    struct sc_run_options dry = {.dry = true};
    for (int i = 0; i < 3; i++) { // patience is over; not worth it; a plan has none
        WORLD;
        begin(&w, one_step);
        world_report(&w, "a", "one");
        w.look_ups_fail = true;
        w.store_is_gone = i == 1;
        world_submit(&w, one_step, i == 2 ? &dry : NULL);
        for (int s = 0; i == 0 && s < 299; s++) {
            assert_false(world_says(&w, "1: a failed store"));
            world_pass(&w, 1000);
        }
        world_pass(&w, 3000);
        assert_true(world_says(&w, "1: a failed store"));
        assert_false(missed(&w));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_report_with_a_log_that_is_none_is_not_believed),
        cmocka_unit_test(test_a_report_with_a_log_or_none_is_recorded),
        cmocka_unit_test(test_a_report_of_another_extension_than_the_path_has_is_not_believed),
        cmocka_unit_test(test_a_result_that_ends_in_the_future_ended_when_it_was_reported),
        cmocka_unit_test(test_a_result_by_a_clock_that_is_behind_is_never_younger_than_it_is),
        cmocka_unit_test(test_a_report_long_after_its_outputs_were_stored_is_made_again),
        cmocka_unit_test(test_a_store_that_cannot_be_read_is_asked_again_and_nothing_is_replaced),
        cmocka_unit_test(test_a_store_that_can_not_be_read_for_too_long_fails_the_step_with_its_words),
    };
    return cmocka_run_group_tests_name("core_reports", tests, NULL, NULL);
}
