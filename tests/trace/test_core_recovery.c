// Whole conversations of the coordinator's core: lost agents, restarts, lost objects.
#include "tests/lib/world.h"

#include "base/limits.h"

static const char chain[] =
    "stepcache: 1\n"
    "name: demo\n"
    "steps:\n"
    "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}}\n"
    "  b: {command: [make-b, \"${inputs.x}\"], inputs: {x: a.x}, outputs: {y: y.txt}}\n"
    "  c: {command: [make-c, \"${inputs.y}\"], inputs: {y: b.y}, outputs: {z: z.txt}}\n";

static void test_an_agent_that_is_silent_for_a_lease_loses_its_attempts(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_said(&w);
    world_pass(&w, 14000);
    assert_string_equal(world_said(&w), "");
    world_pass(&w, 2000);
    assert_true(world_says(&w, "0: a retry after agent-lost"));
    world_agent(&w, "a2", 2);
    world_pass(&w, 3000);
    assert_true(world_says(&w, "assign a #2 to a2"));
}

static void test_an_agent_that_leaves_loses_its_attempts_at_once(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_agent_gone(&w, "a1");
    assert_true(world_says(&w, "0: a retry after agent-lost"));
}

static void test_a_failed_attempt_gives_its_slot_back(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2); // with 8 GiB
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}, resources: {memory: 5GiB}}\n"
                 "  b: {command: [y], outputs: {y: y.txt}, resources: {memory: 5GiB}}\n",
                 NULL);
    world_said(&w);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    assert_true(world_says(&w, "assign b #1 to a1"));
    world_fail(&w, "b", SC_OUTCOME_EXIT);
    assert_int_equal(sc_core_live_attempts(w.core), 0);
    world_pass(&w, 16000); // a silent agent has nothing left to lose
}

static void test_fail_fast_stops_the_others_after_a_restart(void **state)
{
    WORLD;
    struct sc_run_options fast = {.fail_fast = true};
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}}\n"
                 "  b: {command: [y], outputs: {y: y.txt}}\n",
                 &fast);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    struct sc_fact last = {0};
    while (last.kind !=
           SC_FACT_CANCEL) // the failure is durable; the cancellation that follows from it is not
        assert_int_equal(sc_decode(&sc_schema_fact, w.facts.items[--w.facts.count], SC_DECODE_LENIENT,
                                   &w.arena, &last, NULL),
                         SC_OK);
    world_restart(&w);
    assert_int_equal(sc_core_open_runs(w.core), 0); // it does not wait for b
}

static void test_a_report_under_a_stale_lease_changes_nothing(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_pass(&w, 16000); // lost
    world_agent(&w, "a2", 2);
    world_pass(&w, 14000); // a2's lease holds
    assert_true(world_says(&w, "assign a #2 to a2"));
    struct sc_msg_reported late = {.attempt = w.attempts.items[0].id};
    late.result.outcome = SC_OUTCOME_EXIT;
    world_said(&w);
    struct sc_event event = {
        .kind = SC_EVENT_REPORTED, .agent = 1, .mono_ms = w.mono_ms, .wall_ms = w.wall_ms};
    event.u.reported = &late;
    struct sc_effects *effects;
    sc_core_step(w.core, &event, &effects);
    for (uint32_t i = 0; i < sc_effects_count(effects); i++)
        assert_int_equal(sc_effects_at(effects, i)->kind, SC_EFFECT_TRACE);
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "0: a done"));
}

static void test_a_hello_without_an_attempt_loses_it_and_frees_its_slot(void **state)
{
    WORLD;
    world_agent(&w, "a1", 1);
    world_submit(&w, chain, NULL);
    world_agent(&w, "a1", 1); // another life
    assert_true(world_says(&w, "0: a retry after agent-lost"));
    assert_int_equal(sc_core_live_attempts(w.core), 0);
}

static void test_what_runs_is_adopted_after_a_restart(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    uint64_t held = world_attempt(&w, "a")->id;
    world_restart(&w);
    world_said(&w);
    world_agent_holding(&w, "a1", 2, &held, 1);
    assert_string_equal(world_said(&w), "welcome a1: keep 1, drop 0\n"
                                        "0: a miss never-seen\n");
    assert_int_equal(sc_core_live_attempts(w.core), 1);
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "0: a done"));
    assert_true(world_says(&w, "record a generation 1 if absent"));
    assert_true(world_says(&w, "assign b #1 to a1"));
}

static void test_what_is_adopted_takes_its_share_of_the_agent(void **state)
{
    static const char *const resources[] = {"gpus: 1", "memory: 5GiB"};
    for (size_t i = 0; i < SC_COUNT(resources); i++) {
        WORLD;
        w.gpus = 1;
        SC_AUTO_FREE char *document =
            sc_asprintf("stepcache: 1\nname: demo\ndefaults: {resources: {%s}}\nsteps:\n"
                        "  a: {command: [x], outputs: {x: x.txt}}\n"
                        "  b: {command: [y], outputs: {y: y.txt}}\n",
                        resources[i]);
        world_agent(&w, "a1", 2);
        world_submit(&w, document, NULL);
        uint64_t held = world_attempt(&w, "a")->id;
        world_restart(&w);
        world_agent_holding(&w, "a1", 2, &held, 1);
        assert_int_equal(world_open_attempts(&w), 1); // b waits, as it did before
        world_report(&w, "a", "one");
        assert_true(world_says(&w, "assign b #1 to a1"));
    }
}

static void add_used_cpus(void *context, const struct sc_core_agent_view *agent)
{
    *(uint32_t *)context += agent->used_cpus_milli;
}

// Resources are in no key: equal steps may ask for different ones.
static void test_a_joiner_that_owns_the_flight_is_charged_by_its_own_plan_after_a_restart(void **state)
{
    WORLD;
    world_agent(&w, "a1", 0); // no room: all wait
    world_submit(&w, "stepcache: 1\nname: one\nsteps: {a: {command: [x], outputs: {x: x.txt}}}\n", NULL);
    world_submit(&w,
                 "stepcache: 1\nname: two\nsteps:\n"
                 "  before: {command: [y], outputs: {x: x.txt}}\n"
                 "  a: {command: [x], resources: {cpus: 3}, outputs: {x: x.txt}}\n",
                 NULL);
    assert_true(world_says(&w, "1: a join in-flight"));
    world_cancel(&w, 0);
    world_agent(&w, "a1", 4);
    uint64_t held[] = {world_attempt(&w, "a")->id, world_attempt(&w, "before")->id};
    world_restart(&w);
    world_agent_holding(&w, "a1", 4, held, 2);
    assert_true(world_says(&w, "welcome a1: keep 2, drop 0"));
    uint32_t used = 0;
    sc_core_agents(w.core, add_used_cpus, &used);
    assert_int_equal(used, 4000);
}

static void test_a_report_to_a_joiner_that_owns_the_flight_is_kept_over_a_restart(void **state)
{
    static const char one[] = "stepcache: 1\nname: one\nsteps: {a: {command: [x], outputs: {x: x.txt}}}\n";
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, one, NULL);
    world_submit(&w, one, NULL);
    world_cancel(&w, 0);
    w.hold_records = true; // the record is not written when the process dies
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "1: a done"));
    w.held_count = 0;
    w.hold_records = false;
    w.records.count = 0;
    world_restart(&w);
    world_agent(&w, "a1", 2);
    assert_int_equal(world_open_attempts(&w), 0);
    assert_true(world_says(&w, "1: run done: 0 hits, 1 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_an_agent_that_comes_back_smaller_gets_nothing_more(void **state)
{
    WORLD;
    w.gpus = 2;
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\ndefaults: {resources: {gpus: 1}}\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}}\n"
                 "  b: {command: [y], outputs: {y: y.txt}}\n"
                 "  c: {command: [z], outputs: {z: z.txt}}\n",
                 NULL);
    assert_int_equal(world_open_attempts(&w), 2);
    uint64_t held[] = {world_attempt(&w, "a")->id, world_attempt(&w, "b")->id};
    w.gpus = 1;
    world_agent_holding(&w, "a1", 2, held, 2);
    assert_int_equal(world_open_attempts(&w), 2);
    world_report(&w, "a", "one");
    assert_int_equal(world_open_attempts(&w), 1);
    world_report(&w, "b", "two");
    assert_int_equal(world_open_attempts(&w), 1);
}

static void test_a_report_before_the_step_has_come_so_far_again_is_kept(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    uint64_t held = world_attempt(&w, "b")->id;
    w.records.count = 0; // so that a is not simply looked up
    world_restart(&w);
    world_said(&w);
    world_agent_holding(&w, "a1", 2, &held, 1);
    assert_true(world_says(&w, "0: a done")); // from the fact, not by an attempt
    assert_false(world_says(&w, "assign a #1 to a1"));
    assert_false(world_says(&w, "assign a #2 to a1"));
    world_report(&w, "b", "two");
    world_report(&w, "c", "three");
    assert_true(world_says(&w, "0: run done: 0 hits, 3 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_a_restart_repeats_nothing_that_was_reported(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    w.hold_records = true; // the record is not written when the process dies
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_fail(&w, "b", SC_OUTCOME_AGENT_LOST);
    w.held_count = 0;
    w.hold_records = false;
    w.records.count = 0;
    world_restart(&w);
    world_said(&w);
    world_agent(&w, "a1", 2);
    world_pass(&w, 100000);
    world_agent(&w, "a1", 2);
    const char *said = world_said(&w);
    assert_contains(said, "record a generation 1 if absent\n0: a done\n");
    assert_null(strstr(said, "assign a"));
    assert_contains(said, "assign b #2 to a1");
}

static void test_what_was_stored_too_long_before_a_restart_is_made_again(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        WORLD;
        w.config.record_within_ms = 100000;
        world_restart(&w);
        world_agent(&w, "a1", 2);
        w.hold_records = true;
        world_submit(&w, chain, NULL);
        w.stored_ms = 50000;
        world_report(&w, "a", "one");
        w.held_count = 0;
        w.hold_records = false;
        w.records.count = 0;
        w.wall_ms += late ? 50001 : 50000;
        world_restart(&w);
        world_said(&w);
        world_agent(&w, "a1", 2);
        const char *said = world_said(&w);
        assert_int_equal(strstr(said, "record a generation 1 if absent\n0: a done\n") != NULL, !late);
        assert_int_equal(strstr(said, "assign a") != NULL, late);
    }
}

static void test_a_failure_stays_a_failure_after_a_restart(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}}\n"
                 "  c: {command: [z], outputs: {z: z.txt}}\n",
                 NULL);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    world_restart(&w);
    world_said(&w);
    world_agent(&w, "a1", 2);
    assert_false(world_says(&w, "assign a #1 to a1"));
    world_pass(&w, 1);
    world_report(&w, "c", "c");
    assert_true(world_says(&w, "0: run failed: 0 hits, 1 misses, 0 joined, 1 failed, 0 skipped"));
}

static void test_an_attached_run_whose_client_never_returns_is_cancelled(void **state)
{
    WORLD;
    struct sc_run_options attached = {.attached = true};
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, &attached);
    w.run_count = 0; // nobody watches again
    world_restart(&w);
    world_agent(&w, "a1", 2);
    world_pass(&w, 31000);
    assert_int_equal(sc_core_open_runs(w.core), 0);
}

static void test_what_runs_for_a_joiner_is_kept_over_a_restart(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_submit(&w, chain, NULL);
    uint64_t held = world_attempt(&w, "a")->id;
    world_cancel(&w, 0);
    assert_true(world_says(&w, "0: run cancelled: 0 hits, 0 misses, 0 joined, 0 failed, 0 skipped"));
    for (int i = 0; i < 2; i++) { // a second time, too
        world_restart(&w);
        world_said(&w);
        world_agent_holding(&w, "a1", 2, &held, 1);
        assert_string_equal(world_said(&w), "welcome a1: keep 1, drop 0\n"
                                            "1: a miss never-seen\n");
        assert_int_equal(sc_core_live_attempts(w.core), 1);
    }
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "1: a done"));
    assert_true(world_says(&w, "record a generation 1 if absent"));
}

static void test_a_joiner_runs_the_step_when_the_attempt_is_lost_over_a_restart(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_submit(&w, chain, NULL);
    world_cancel(&w, 0);
    world_restart(&w);
    world_said(&w);
    world_agent(&w, "a1", 2); // it does not hold it any more
    world_pass(&w, 16000);
    world_agent(&w, "a1", 2);
    world_pass(&w, 5000);
    assert_true(world_says(&w, "assign a #2 to a1"));
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "1: a done"));
}

static void test_a_held_attempt_of_a_run_that_was_being_cancelled_is_dropped(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    uint64_t held = world_attempt(&w, "a")->id;
    world_cancel(&w, 0); // and its step has its grace
    assert_int_equal(sc_core_open_runs(w.core), 1);
    world_restart(&w);
    world_said(&w);
    world_agent_holding(&w, "a1", 2, &held, 1);
    assert_true(world_says(&w, "welcome a1: keep 0, drop 1"));
    assert_int_equal(sc_core_open_runs(w.core), 0);
}

static void test_a_held_attempt_of_a_closed_run_is_dropped(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    uint64_t held = world_attempt(&w, "a")->id;
    world_cancel(&w, 0);
    world_ended(&w, "a");
    w.run_count = 0;
    world_restart(&w);
    world_said(&w);
    world_agent_holding(&w, "a1", 2, &held, 1);
    assert_true(world_says(&w, "welcome a1: keep 0, drop 1"));
}

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

static void test_a_class_in_a_hello_never_serves_a_run_that_can_ask(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    w.packages = "numpy==1.26.0"; // upgraded while the agent runs on
    w.hello_class = "numpy==1.24.2";
    world_said(&w);
    world_agent(&w, "a1", 2); // says hello again with what it knew at its start
    world_submit(&w, chain, NULL);
    assert_false(world_says(&w, "1: a hit cached"));
    assert_true(world_says(&w, "1: a miss changed environment.packages"));
}

static void test_a_question_lost_with_a_connection_is_asked_again(void **state)
{
    WORLD;
    w.deaf = true; // probes are not answered
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    assert_false(world_says(&w, "0: a miss never-seen"));
    w.deaf = false;
    world_agent(&w, "a1", 2); // a new life
    assert_true(world_says(&w, "0: a miss never-seen"));
}

// A probe that hangs: watchers are told whom they wait for, once.
static void test_an_answer_that_takes_long_is_told_of(void **state)
{
    static const char probes[] = "stepcache: 1\n"
                                 "name: demo\n"
                                 "environment: {probe: [\"nvcc --version\", uname]}\n"
                                 "steps: {a: {command: [make-a]}, b: {command: [make-b]}}\n";
    WORLD;
    w.deaf = true;
    world_agent(&w, "a1", 2);
    world_submit(&w, probes, NULL);
    world_pass(&w, 4999);
    assert_null(strstr(world_said(&w), "waits"));
    world_pass(&w, 1);
    assert_string_equal(
        world_said(&w),
        "0: note step a waits for the probe `nvcc --version` and those after it on agent a1\n");
    world_pass(&w, 3000);
    world_submit(&w, chain, NULL); // another question
    world_pass(&w, 5000);
    const char *said = world_said(&w);
    assert_null(strstr(said, "0: note"));
    assert_non_null(
        strstr(said, "1: note step a waits for the python3 on its PATH to tell its packages on agent a1\n"));
}

static void test_a_step_that_is_checked_for_long_is_told_of(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_said(&w);
    world_progress(&w, "a", SC_PHASE_CHECKING);
    world_progress(&w, "a", SC_PHASE_CHECKING);
    assert_string_equal(
        world_said(&w),
        "0: note step a waits for the python3 on its PATH to tell its packages on agent a1\n");
}

static void test_an_environment_without_parts_is_no_answer(void **state)
{
    WORLD;
    w.empty_answers = true;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "0: a failed probe"));
    assert_int_equal(world_open_attempts(&w), 0);
}

static void test_capacity_is_never_exceeded_for_gpus(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2); // no gpu
    world_submit(
        &w,
        "stepcache: 1\nname: demo\nsteps:\n  a: {command: [x], outputs: {x: x.txt}, resources: {gpus: 1}}\n",
        NULL);
    assert_int_equal(world_open_attempts(&w), 0);
}

static void test_the_same_events_give_the_same_conversation(void **state)
{
    (void)state;
    const char *said[2];
    char *kept[2];
    for (int i = 0; i < 2; i++) {
        WORLD;
        world_agent(&w, "a1", 2);
        world_submit(&w, chain, NULL);
        world_pass(&w, 16000);
        world_agent(&w, "a2", 2);
        world_pass(&w, 1000);
        world_report(&w, "a", "one");
        said[i] = world_said(&w);
        kept[i] = sc_strdup(said[i]);
    }
    assert_string_equal(kept[0], kept[1]);
    free(kept[0]);
    free(kept[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_agent_that_is_silent_for_a_lease_loses_its_attempts),
        cmocka_unit_test(test_an_agent_that_leaves_loses_its_attempts_at_once),
        cmocka_unit_test(test_a_failed_attempt_gives_its_slot_back),
        cmocka_unit_test(test_fail_fast_stops_the_others_after_a_restart),
        cmocka_unit_test(test_a_report_under_a_stale_lease_changes_nothing),
        cmocka_unit_test(test_a_hello_without_an_attempt_loses_it_and_frees_its_slot),
        cmocka_unit_test(test_what_runs_is_adopted_after_a_restart),
        cmocka_unit_test(test_what_is_adopted_takes_its_share_of_the_agent),
        cmocka_unit_test(test_a_joiner_that_owns_the_flight_is_charged_by_its_own_plan_after_a_restart),
        cmocka_unit_test(test_a_report_to_a_joiner_that_owns_the_flight_is_kept_over_a_restart),
        cmocka_unit_test(test_an_agent_that_comes_back_smaller_gets_nothing_more),
        cmocka_unit_test(test_a_report_before_the_step_has_come_so_far_again_is_kept),
        cmocka_unit_test(test_a_restart_repeats_nothing_that_was_reported),
        cmocka_unit_test(test_what_was_stored_too_long_before_a_restart_is_made_again),
        cmocka_unit_test(test_a_failure_stays_a_failure_after_a_restart),
        cmocka_unit_test(test_an_attached_run_whose_client_never_returns_is_cancelled),
        cmocka_unit_test(test_what_runs_for_a_joiner_is_kept_over_a_restart),
        cmocka_unit_test(test_a_joiner_runs_the_step_when_the_attempt_is_lost_over_a_restart),
        cmocka_unit_test(test_a_held_attempt_of_a_run_that_was_being_cancelled_is_dropped),
        cmocka_unit_test(test_a_held_attempt_of_a_closed_run_is_dropped),
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
        cmocka_unit_test(test_a_class_in_a_hello_never_serves_a_run_that_can_ask),
        cmocka_unit_test(test_a_question_lost_with_a_connection_is_asked_again),
        cmocka_unit_test(test_an_answer_that_takes_long_is_told_of),
        cmocka_unit_test(test_a_step_that_is_checked_for_long_is_told_of),
        cmocka_unit_test(test_an_environment_without_parts_is_no_answer),
        cmocka_unit_test(test_capacity_is_never_exceeded_for_gpus),
        cmocka_unit_test(test_the_same_events_give_the_same_conversation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
