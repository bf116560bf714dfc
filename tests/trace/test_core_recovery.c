// Whole conversations of the coordinator's core: lost agents, restarts, questions.
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
