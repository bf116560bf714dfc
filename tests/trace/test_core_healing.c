// Whole conversations of the coordinator's core: what is gone from the store, and sources.
#include "tests/lib/world.h"

#include "base/limits.h"

static const char chain[] =
    "stepcache: 1\n"
    "name: demo\n"
    "steps:\n"
    "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}}\n"
    "  b: {command: [make-b, \"${inputs.x}\"], inputs: {x: a.x}, outputs: {y: y.txt}}\n"
    "  c: {command: [make-c, \"${inputs.y}\"], inputs: {y: b.y}, outputs: {z: z.txt}}\n";

static void test_lost_objects_of_a_hit_make_it_a_miss_with_that_reason(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    world_report(&w, "c", "three");
    w.records.items[0].objects_lost = true;
    world_said(&w);
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: a miss objects-lost"));
    assert_true(world_says(&w, "assign a #1 to a1 with force"));
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "record a generation 2 replaces"));
    assert_true(world_says(&w, "1: b hit cached"));
}

static void test_an_input_lost_in_mid_run_has_its_producer_run_again(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    world_lose(&w, "two");
    world_said(&w);
    world_fail(&w, "c", SC_OUTCOME_INPUT_LOST);
    assert_string_equal(world_said(&w), "look for 1 objects\n"
                                        "void objects-lost\n"
                                        "0: note 1 lost result needed by c: made again\n"
                                        "0: b miss objects-lost\n"
                                        "assign b #1 to a1 with force\n");
    w.gone.count = 0;
    world_report(&w, "b", "two");
    assert_true(world_says(&w, "0: b done"));
    world_report(&w, "c", "three");
    assert_true(world_says(&w, "0: run done: 0 hits, 3 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_an_input_that_is_there_but_never_readable_is_made_again(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    w.unreadable = sc_digest_of(sc_slice_str("two"));
    world_fail(&w, "c", SC_OUTCOME_INPUT_LOST);
    world_said(&w);
    world_fail(&w, "c", SC_OUTCOME_INPUT_LOST); // the first time it may have been the agent
    assert_string_equal(world_said(&w), "look for 1 objects\n"
                                        "void objects-lost\n"
                                        "0: note 1 lost result needed by c: made again\n"
                                        "0: b miss objects-lost\n"
                                        "assign b #1 to a1 with force\n");
    world_report(&w, "b", "two");
    world_report(&w, "c", "three");
    assert_true(world_says(&w, "0: run done: 0 hits, 3 misses, 0 joined, 0 failed, 0 skipped"));
}

static const char from_bucket[] = "stepcache: 1\nname: demo\nsources: {raw: 's3://bucket/key'}\nsteps:\n"
                                  "  a: {command: [x], inputs: {raw: sources.raw}, outputs: {x: x.txt}}\n";

static void test_a_source_that_is_gone_is_put_again_by_an_agent(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, from_bucket, NULL);
    assert_true(world_says(&w, "ask a1 for s3://bucket/key"));
    world_said(&w);
    world_lose(&w, "data");
    world_fail(&w, "a", SC_OUTCOME_INPUT_LOST);
    assert_string_equal(world_said(&w), "look for 1 objects\n"
                                        "0: note 1 lost result needed by a: made again\n"
                                        "ask a1 for s3://bucket/key with force\n"
                                        "0: a miss never-seen\n"
                                        "assign a #1 to a1\n");
    w.gone.count = 0;
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "0: run done: 0 hits, 1 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_a_source_that_is_gone_and_another_by_now_fails_the_step(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, from_bucket, NULL);
    world_lose(&w, "data");
    w.source = "another";
    world_said(&w);
    world_fail(&w, "a", SC_OUTCOME_INPUT_LOST);
    assert_true(world_says(&w, "0: a failed probe"));
}

static const char by_version[] =
    "stepcache: 1\nname: demo\nsources: {raw: {uri: 's3://bucket/key', identity: version}}\nsteps:\n"
    "  a: {command: [x], inputs: {raw: sources.raw}, outputs: {x: x.txt}}\n";

static void test_a_source_by_version_is_read_where_a_step_is_to_run_and_never_for_a_hit(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_said(&w);
    world_submit(&w, by_version, NULL);
    const char *said = world_said(&w);
    assert_contains(said, "ask a1 for s3://bucket/key by version\n");
    assert_contains(said, "ask a1 for s3://bucket/key\n0: a miss never-seen\nassign a #1 to a1\n");
    world_report(&w, "a", "one");
    world_said(&w);
    world_submit(&w, by_version, NULL);
    said = world_said(&w);
    assert_contains(said, "ask a1 for s3://bucket/key by version\n");
    assert_contains(said, "1: a hit");
    assert_null(strstr(said, "ask a1 for s3://bucket/key\n"));
    w.version = "v2";
    world_submit(&w, by_version, NULL);
    assert_contains(world_said(&w), "2: a miss changed");
}

static void test_a_source_by_version_is_not_read_for_a_run_that_may_not_make_anything(void **state)
{
    WORLD;
    struct sc_run_options only = {.cached_only = true};
    world_agent(&w, "a1", 2);
    world_submit(&w, by_version, &only);
    const char *said = world_said(&w);
    assert_contains(said, "0: a failed not-cached");
    assert_null(strstr(said, "ask a1 for s3://bucket/key\n"));
    world_submit(&w, by_version, NULL);
    world_report(&w, "a", "one");
    world_said(&w);
    world_submit(&w, by_version, &only);
    said = world_said(&w);
    assert_contains(said, "2: a hit");
    assert_null(strstr(said, "ask a1 for s3://bucket/key\n"));
}

static void test_a_source_by_version_that_is_gone_is_put_again_as_it_was(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, by_version, NULL);
    world_said(&w);
    world_lose(&w, "data");
    world_fail(&w, "a", SC_OUTCOME_INPUT_LOST);
    const char *said = world_said(&w);
    assert_contains(said, "ask a1 for s3://bucket/key with force\n");
    assert_contains(said, "assign a #1 to a1");
    w.version = "v2";
    world_fail(&w, "a", SC_OUTCOME_INPUT_LOST);
    assert_true(world_says(&w, "0: a failed probe"));
}

static void test_a_source_by_version_is_after_a_restart_what_it_was_before(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, by_version, NULL);
    uint64_t held = world_attempt(&w, "a")->id;
    world_restart(&w);
    w.version = "v2";
    world_agent_holding(&w, "a1", 2, &held, 1);
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "0: a done"));
    w.version = "v1";
    world_submit(&w, by_version, NULL);
    assert_true(world_says(&w, "0: a hit cached"));
}

static void test_an_agent_that_knows_no_versions_fails_the_step(void **state)
{
    WORLD;
    w.version = NULL;
    world_agent(&w, "a1", 2);
    world_submit(&w, by_version, NULL);
    assert_true(world_says(&w, "0: a failed probe"));
}

static void test_an_agent_that_never_reads_a_source_by_version_is_not_asked_for_ever(void **state)
{
    WORLD;
    w.never_reads = true;
    world_agent(&w, "a1", 2);
    world_submit(&w, by_version, NULL);
    assert_true(world_says(&w, "0: a failed probe"));
}

static void test_a_source_that_is_lost_again_and_again_fails_the_step(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, from_bucket, NULL);
    world_lose(&w, "data");
    for (int i = 0; i < SC_LIMIT_HEALS; i++) {
        world_said(&w);
        world_fail(&w, "a", SC_OUTCOME_INPUT_LOST);
        assert_true(world_says(&w, "ask a1 for s3://bucket/key with force"));
    }
    world_fail(&w, "a", SC_OUTCOME_INPUT_LOST);
    assert_true(world_says(&w, "0: a failed input-lost"));
}

static void test_healing_goes_as_far_up_as_needed(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    world_lose(&w, "two");
    world_lose(&w, "one");
    world_fail(&w, "c", SC_OUTCOME_INPUT_LOST);
    world_said(&w);
    world_fail(&w, "b", SC_OUTCOME_INPUT_LOST); // its own input is gone as well
    assert_true(world_says(&w, "assign a #1 to a1 with force"));
    w.gone.count = 0;
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    world_report(&w, "c", "three");
    assert_true(world_says(&w, "0: run done: 0 hits, 3 misses, 0 joined, 0 failed, 0 skipped"));
}

// Labels sort as texts, "n=10" before "n=9"; instances are in the order of the document.
static void test_healing_finds_the_instance_whose_output_is_gone(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  part: {command: [p, \"${matrix.n}\"], matrix: {n: [9, 10]}, outputs: {x: x.txt}}\n"
                 "  all: {command: [q, \"${inputs.x}\"], inputs: {x: part.x}, outputs: {y: y.txt}}\n",
                 NULL);
    world_report(&w, "part[n=9]", "nine");
    world_report(&w, "part[n=10]", "ten");
    world_lose(&w, "nine");
    world_said(&w);
    world_fail(&w, "all", SC_OUTCOME_INPUT_LOST);
    assert_string_equal(world_said(&w), "look for 2 objects\n"
                                        "void objects-lost\n"
                                        "0: note 1 lost result needed by all: made again\n"
                                        "0: part[n=9] miss objects-lost\n"
                                        "assign part[n=9] #1 to a1 with force\n");
}

static void test_healing_makes_all_that_is_gone_again_and_nothing_else(void **state)
{
    WORLD;
    world_agent(&w, "a1", 5);
    world_submit(
        &w,
        "stepcache: 1\nname: demo\nsteps:\n"
        "  part: {command: [p, \"${matrix.n}\"], matrix: {n: [a, b, c, d, e]}, outputs: {x: x.txt}}\n"
        "  all: {command: [q, \"${inputs.x}\"], inputs: {x: part.x}, outputs: {y: y.txt}}\n",
        NULL);
    static const char *const names[] = {"part[n=a]", "part[n=b]", "part[n=c]", "part[n=d]", "part[n=e]"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        world_report(&w, names[i], names[i]);
    world_lose(&w, names[0]);
    world_lose(&w, names[1]);
    world_lose(&w, names[3]);
    world_lose(&w, names[4]);
    world_fail(&w, "all", SC_OUTCOME_INPUT_LOST);
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        SC_AUTO_FREE char *line = sc_asprintf("0: %s miss objects-lost", names[i]);
        assert_true(world_says(&w, line) == (i != 2));
    }
}

static const char with_one[] =
    "stepcache: 1\nname: demo\nsteps:\n"
    "  side: {command: [s], outputs: {x: x.txt}}\n"
    "  b: {command: [make-b], outputs: {y: y.txt}}\n"
    "  c: {command: [make-c, \"${inputs.y}\"], inputs: {a: side.x, y: b.y}, key: {ignore: [inputs.a]},"
    " outputs: {z: z.txt}}\n";
static const char with_two[] =
    "stepcache: 1\nname: demo\nsteps:\n"
    "  side: {command: [s, \"${matrix.n}\"], matrix: {n: [1, 2]}, outputs: {x: x.txt}}\n"
    "  b: {command: [make-b], outputs: {y: y.txt}}\n"
    "  c: {command: [make-c, \"${inputs.y}\"], inputs: {a: side.x, y: b.y}, key: {ignore: [inputs.a]},"
    " outputs: {z: z.txt}}\n";

static void test_a_joiner_of_another_plan_heals_what_it_lost_itself(void **state)
{
    WORLD;
    world_agent(&w, "a1", 4);
    world_submit(&w, with_one, NULL);
    world_report(&w, "b", "two");
    world_report(&w, "side", "one");
    world_submit(&w, with_two, NULL);
    world_report(&w, "side[n=1]", "s1");
    world_report(&w, "side[n=2]", "s2");
    assert_true(world_says(&w, "1: c join in-flight"));
    world_lose(&w, "two");
    world_said(&w);
    world_fail(&w, "c", SC_OUTCOME_INPUT_LOST);
    assert_string_equal(world_said(&w), "look for 2 objects\n"
                                        "void objects-lost\n"
                                        "0: note 1 lost result needed by c: made again\n"
                                        "void objects-lost\n"
                                        "1: note 1 lost result needed by c: made again\n"
                                        "0: b miss objects-lost\n"
                                        "assign b #1 to a1 with force\n"
                                        "1: b join in-flight\n");
}

static void test_a_loss_that_the_store_can_not_confirm_heals_nothing(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_lose(&w, "one");
    w.gone_rc = SC_IO;
    world_said(&w);
    world_fail(&w, "b", SC_OUTCOME_INPUT_LOST);
    assert_string_equal(world_said(&w), "look for 1 objects\n"
                                        "0: b miss never-seen\n"
                                        "assign b #1 to a1\n");
}

static void test_a_lost_input_whose_producer_has_failed_meanwhile_skips_the_step(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  b: {command: [b], outputs: {y: y.txt}}\n"
                 "  c: {command: [c], inputs: {y: b.y}, outputs: {z: z.txt}}\n"
                 "  d: {command: [d], inputs: {y: b.y}, outputs: {z: z.txt}}\n",
                 NULL);
    world_report(&w, "b", "two");
    world_lose(&w, "two");
    world_fail(&w, "c", SC_OUTCOME_INPUT_LOST);
    world_fail(&w, "b", SC_OUTCOME_EXIT);
    world_fail(&w, "d", SC_OUTCOME_INPUT_LOST);
    assert_true(world_says(&w, "0: c skipped upstream-failed"));
    assert_true(world_says(&w, "0: d skipped upstream-failed"));
    assert_true(world_says(&w, "0: run failed: 0 hits, 0 misses, 0 joined, 1 failed, 2 skipped"));
}

static void test_healing_is_bounded(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_lose(&w, "one");
    for (int i = 0; i < 2; i++) {
        world_fail(&w, "b", SC_OUTCOME_INPUT_LOST);
        world_report(&w, "a", "one");
    }
    world_fail(&w, "b", SC_OUTCOME_INPUT_LOST);
    assert_true(world_says(&w, "0: b failed input-lost"));
    assert_int_equal(sc_core_open_runs(w.core), 0);
}

static void test_equal_steps_of_a_healing_run_and_another_share_the_flight(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    world_lose(&w, "two");
    world_fail(&w, "c", SC_OUTCOME_INPUT_LOST);
    world_said(&w);
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: a hit cached"));
    assert_true(world_says(&w, "1: b join in-flight"));
    w.gone.count = 0;
    world_report(&w, "b", "two");
    assert_true(world_says(&w, "1: b done"));
    assert_true(world_says(&w, "1: c join in-flight"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_objects_of_a_hit_make_it_a_miss_with_that_reason),
        cmocka_unit_test(test_an_input_lost_in_mid_run_has_its_producer_run_again),
        cmocka_unit_test(test_an_input_that_is_there_but_never_readable_is_made_again),
        cmocka_unit_test(test_healing_goes_as_far_up_as_needed),
        cmocka_unit_test(test_a_source_that_is_gone_is_put_again_by_an_agent),
        cmocka_unit_test(test_a_source_that_is_gone_and_another_by_now_fails_the_step),
        cmocka_unit_test(test_a_source_that_is_lost_again_and_again_fails_the_step),
        cmocka_unit_test(test_a_source_by_version_is_read_where_a_step_is_to_run_and_never_for_a_hit),
        cmocka_unit_test(test_a_source_by_version_is_not_read_for_a_run_that_may_not_make_anything),
        cmocka_unit_test(test_a_source_by_version_that_is_gone_is_put_again_as_it_was),
        cmocka_unit_test(test_a_source_by_version_is_after_a_restart_what_it_was_before),
        cmocka_unit_test(test_an_agent_that_never_reads_a_source_by_version_is_not_asked_for_ever),
        cmocka_unit_test(test_an_agent_that_knows_no_versions_fails_the_step),
        cmocka_unit_test(test_healing_finds_the_instance_whose_output_is_gone),
        cmocka_unit_test(test_healing_makes_all_that_is_gone_again_and_nothing_else),
        cmocka_unit_test(test_a_joiner_of_another_plan_heals_what_it_lost_itself),
        cmocka_unit_test(test_a_loss_that_the_store_can_not_confirm_heals_nothing),
        cmocka_unit_test(test_a_lost_input_whose_producer_has_failed_meanwhile_skips_the_step),
        cmocka_unit_test(test_healing_is_bounded),
        cmocka_unit_test(test_equal_steps_of_a_healing_run_and_another_share_the_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
