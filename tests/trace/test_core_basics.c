// Whole conversations of the coordinator's core: verdicts, joins, early cutoff, failures.
#include "tests/lib/world.h"

#include <stdio.h>

static const char chain[] =
    "stepcache: 1\n"
    "name: demo\n"
    "params: {depth: 5}\n"
    "steps:\n"
    "  a: {command: [make-a, \"${params.depth}\", \"${outputs.x}\"], outputs: {x: x.txt}}\n"
    "  b: {command: [make-b, \"${inputs.x}\"], inputs: {x: a.x}, outputs: {y: y.txt}}\n";
static const char chain_changed[] =
    "stepcache: 1\n"
    "name: demo\n"
    "params: {depth: 6}\n"
    "steps:\n"
    "  a: {command: [make-a, \"${params.depth}\", \"${outputs.x}\"], outputs: {x: x.txt}}\n"
    "  b: {command: [make-b, \"${inputs.x}\"], inputs: {x: a.x}, outputs: {y: y.txt}}\n";

static void run_chain(struct world *w)
{
    world_agent(w, "a1", 2);
    world_submit(w, chain, NULL);
    world_report(w, "a", "one");
    world_report(w, "b", "two");
    world_said(w);
}

static void test_first_run_misses_and_records_every_step(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    assert_string_equal(world_said(&w), "welcome a1: keep 0, drop 0\n"
                                        "0: a miss never-seen\n"
                                        "assign a #1 to a1\n"
                                        "record a generation 1 if absent\n"
                                        "0: a done\n"
                                        "0: b miss never-seen\n"
                                        "assign b #1 to a1\n"
                                        "record b generation 1 if absent\n"
                                        "0: b done\n"
                                        "0: run done: 0 hits, 2 misses, 0 joined, 0 failed, 0 skipped\n");
}

static void test_second_run_hits_without_an_attempt(void **state)
{
    WORLD;
    run_chain(&w);
    world_submit(&w, chain, NULL);
    assert_string_equal(world_said(&w), "1: a hit cached\n"
                                        "1: a done\n"
                                        "1: b hit cached\n"
                                        "1: b done\n"
                                        "1: run done: 2 hits, 0 misses, 0 joined, 0 failed, 0 skipped\n");
}

static void test_changed_parameter_names_the_field(void **state)
{
    WORLD;
    run_chain(&w);
    world_submit(&w, chain_changed, NULL);
    assert_true(world_says(&w, "1: a miss changed command"));
    assert_false(world_says(&w, "1: b hit cached"));
}

static void test_equal_bytes_from_a_rerun_still_hit_below(void **state)
{
    WORLD;
    run_chain(&w);
    world_submit(&w, chain_changed, NULL);
    world_report(&w, "a", "one"); // the same content
    assert_true(world_says(&w, "1: b hit cached"));
    assert_true(world_says(&w, "1: run done: 1 hits, 1 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_changed_package_misses_and_names_packages(void **state)
{
    WORLD;
    run_chain(&w);
    w.packages = "numpy==1.26.0";
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: a miss changed environment.packages"));
}

static void test_two_runs_join_one_flight(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: a join in-flight"));
    assert_int_equal(world_open_attempts(&w), 1);
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "0: a done"));
    assert_true(world_says(&w, "1: a done"));
    world_report(&w, "b", "two");
    assert_true(world_says(&w, "0: run done: 0 hits, 2 misses, 0 joined, 0 failed, 0 skipped"));
    assert_true(world_says(&w, "1: run done: 0 hits, 0 misses, 2 joined, 0 failed, 0 skipped"));
}

static void test_a_joiner_does_not_inherit_a_failure(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_submit(&w, chain, NULL);
    world_said(&w);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    assert_string_equal(world_said(&w), "0: a failed exit\n"
                                        "0: b skipped upstream-failed\n"
                                        "0: run failed: 0 hits, 0 misses, 0 joined, 1 failed, 1 skipped\n"
                                        "1: a miss never-seen\n"
                                        "assign a #1 to a1\n");
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    assert_true(world_says(&w, "1: run done: 0 hits, 2 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_cancelling_the_owner_leaves_the_flight_to_the_joiner(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_submit(&w, chain, NULL);
    world_cancel(&w, 0);
    assert_true(world_says(&w, "0: a cancelled cancelled"));
    assert_false(world_says(&w, "revoke a1"));
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "record a generation 1 if absent"));
    assert_true(world_says(&w, "1: a done"));
}

static void test_a_run_that_is_refused_done_or_cancelled_is_told_closed_once(void **state)
{
    WORLD;
    struct sc_slice nosuch[] = {SC_SLICE_LIT("nosuch")};
    struct sc_run_options only = {.only = {nosuch, 1}}, dry = {.dry = true};
    run_chain(&w);
    assert_int_equal(w.closed_told, 1);
    world_submit(&w, chain, &only);
    assert_true(world_says(&w, "error the pipeline has no step nosuch"));
    assert_int_equal(w.closed_told, 2);
    world_submit(&w, chain, &dry);
    assert_int_equal(w.closed_told, 2); // nobody knows of it
    world_submit(&w, chain_changed, NULL);
    assert_int_equal(w.cancelled_told, 0);
    world_cancel(&w, 2);
    assert_int_equal(w.cancelled_told, 1);
    world_ended(&w, "a");
    assert_int_equal(w.closed_told, 3);
}

static void test_cancel_revokes_what_nobody_waits_for(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_said(&w);
    world_cancel(&w, 0);
    assert_string_equal(world_said(&w), "revoke a1\n"
                                        "0: a cancelled cancelled\n"
                                        "0: b cancelled cancelled\n");
    assert_int_equal(sc_core_live_attempts(w.core),
                     1); // its slot is charged until the agent says that it ended
    world_ended(&w, "a");
    assert_string_equal(world_said(&w),
                        "0: run cancelled: 0 hits, 0 misses, 0 joined, 0 failed, 0 skipped\n");
    assert_int_equal(sc_core_live_attempts(w.core), 0);
}

static void test_cancel_again_leaves_no_grace(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_cancel(&w, 0);
    world_said(&w);
    world_cancel_now(&w, 0);
    assert_string_equal(world_said(&w), "revoke a1 without grace\n");
    world_ended(&w, "a");
    assert_int_equal(sc_core_open_runs(w.core), 0);
    world_submit(&w, chain, NULL);
    world_said(&w);
    world_cancel_now(&w, 1); // at once
    assert_true(world_says(&w, "revoke a1 without grace"));
}

static void test_a_cancelled_run_does_not_wait_for_an_agent_that_is_lost(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_cancel(&w, 0);
    assert_int_equal(sc_core_open_runs(w.core), 1);
    world_pass(&w, 16000);
    assert_int_equal(sc_core_open_runs(w.core), 0);
    world_agent(&w, "a2", 2);
    world_submit(&w, chain, NULL);
    world_cancel(&w, 1);
    world_agent_gone(&w, "a2");
    assert_int_equal(sc_core_open_runs(w.core), 0);
}

static void test_an_attached_run_is_cancelled_with_its_client(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    struct sc_run_options attached = {.attached = true};
    world_submit(&w, chain, &attached);
    world_client_gone(&w, 1);
    assert_true(world_says(&w, "revoke a1"));
    world_ended(&w, "a");
    assert_int_equal(sc_core_open_runs(w.core), 0);
}

static void test_retry_waits_and_runs_again(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(
        &w,
        "stepcache: 1\nname: demo\nsteps:\n"
        "  a: {command: [x], outputs: {x: x.txt}, retry: {max_attempts: 2, on: [exit], backoff: PT2S}}\n",
        NULL);
    world_said(&w);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    assert_string_equal(world_said(&w), "0: a retry after exit\n");
    world_pass(&w, 1000);
    assert_string_equal(world_said(&w), "");
    world_pass(&w, 2000);
    assert_string_equal(world_said(&w), "assign a #2 to a1\n");
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    assert_string_equal(world_said(&w), "0: a failed exit\n"
                                        "0: run failed: 0 hits, 0 misses, 0 joined, 1 failed, 0 skipped\n");
}

static void test_outcome_outside_retry_on_is_final(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}, retry: {max_attempts: 5, on: [timeout]}}\n",
                 NULL);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    assert_true(world_says(&w, "0: a failed exit"));
}

static void test_expired_result_is_replaced_with_the_next_generation(void **state)
{
    WORLD;
    const char *document = "stepcache: 1\nname: demo\nsteps:\n"
                           "  a: {command: [x], outputs: {x: x.txt}, cache: {expire_after: PT30M}}\n";
    world_agent(&w, "a1", 2);
    world_submit(&w, document, NULL);
    world_report(&w, "a", "one");
    world_pass(&w, 29 * 60 * 1000);
    world_agent(&w, "a1", 2);
    world_said(&w);
    world_submit(&w, document, NULL);
    assert_true(world_says(&w, "1: a hit cached"));
    world_pass(&w, 2 * 60 * 1000);
    world_agent(&w, "a1", 2);
    world_said(&w);
    world_submit(&w, document, NULL);
    assert_true(world_says(&w, "2: a miss expired"));
    world_report(&w, "a", "new");
    assert_true(world_says(&w, "record a generation 2 replaces"));
}

static void test_result_from_the_future_is_expired(void **state)
{
    WORLD;
    const char *document = "stepcache: 1\nname: demo\nsteps:\n"
                           "  a: {command: [x], outputs: {x: x.txt}, cache: {expire_after: P1D}}\n";
    world_agent(&w, "a1", 2);
    world_submit(&w, document, NULL);
    world_report(&w, "a", "one");
    w.wall_ms -= 4 * 60 * 1000; // within the slack that clocks are given
    world_submit(&w, document, NULL);
    assert_true(world_says(&w, "1: a hit cached"));
    w.wall_ms -= 2 * 60 * 1000;
    world_submit(&w, document, NULL);
    assert_true(world_says(&w, "2: a miss expired"));
}

static void test_refresh_runs_again_and_replaces(void **state)
{
    WORLD;
    run_chain(&w);
    struct sc_slice names[] = {sc_slice_str("a")};
    struct sc_run_options refresh = {.refresh = {names, 1}};
    world_submit(&w, chain, &refresh);
    assert_true(world_says(&w, "1: a miss refresh"));
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "record a generation 2 replaces"));
    assert_true(world_says(&w, "1: b hit cached"));
}

static void test_force_runs_the_step_and_all_below(void **state)
{
    WORLD;
    run_chain(&w);
    struct sc_slice names[] = {sc_slice_str("a")};
    struct sc_run_options force = {.force = {names, 1}};
    world_submit(&w, chain, &force);
    assert_true(world_says(&w, "1: a miss forced"));
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "1: b miss forced"));
}

static void test_a_refresh_does_not_join_a_flight_begun_before(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    struct sc_run_options refresh = {.refresh_all = true};
    world_submit(&w, chain, &refresh);
    assert_int_equal(world_open_attempts(&w), 1);
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "0: a done"));
    assert_false(world_says(&w, "1: a done"));
    world_report(&w, "a", "again"); // an attempt of its own
    assert_true(world_says(&w, "1: a done"));
    assert_true(world_says(&w, "record a generation 2 replaces"));
}

static void test_cached_only_fails_a_miss_and_runs_nothing(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    struct sc_run_options only = {.cached_only = true};
    world_submit(&w, chain, &only);
    assert_true(world_says(&w, "0: a failed not-cached"));
    assert_int_equal(world_open_attempts(&w), 0);
}

static void test_no_cache_neither_looks_up_nor_records(void **state)
{
    WORLD;
    run_chain(&w);
    struct sc_run_options off = {.no_cache = true};
    world_submit(&w, chain, &off);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    assert_string_equal(world_said(&w), "1: a miss disabled\n"
                                        "assign a #1 to a1\n"
                                        "1: a done\n"
                                        "1: b miss disabled\n"
                                        "assign b #1 to a1\n"
                                        "1: b done\n"
                                        "1: run done: 0 hits, 2 misses, 0 joined, 0 failed, 0 skipped\n");
}

static void test_only_runs_one_step_on_cached_needs(void **state)
{
    WORLD;
    struct sc_slice names[] = {sc_slice_str("b")};
    struct sc_run_options only = {.only = {names, 1}};
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, &only);
    assert_true(world_says(&w, "0: a failed not-cached"));
    world_said(&w);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_fail(&w, "b", SC_OUTCOME_EXIT);
    world_said(&w);
    world_submit(&w, chain, &only);
    assert_true(world_says(&w, "2: a hit cached"));
    assert_true(world_says(&w, "assign b #1 to a1"));
}

static void test_from_takes_what_is_above_from_the_newest_run(void **state)
{
    WORLD;
    run_chain(&w);
    struct sc_run_options from = {.from = sc_slice_str("b")};
    world_submit(&w, chain_changed, &from); // a's key is another, and does not matter
    assert_true(world_says(&w, "1: a hit from-run"));
    assert_true(world_says(&w, "1: b hit cached"));
}

static const char uncached[] =
    "stepcache: 1\n"
    "name: demo\n"
    "steps:\n"
    "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}, cache: {enabled: false}}\n"
    "  b: {command: [make-b, \"${inputs.x}\"], inputs: {x: a.x}, outputs: {y: y.txt}}\n"
    "outputs: {y: b.y}\n";

static void test_a_step_whose_cache_is_off_runs_only_where_it_may(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    struct sc_slice names[] = {sc_slice_str("b")};
    const struct sc_run_options nothing_runs[] = {{.dry = true},
                                                  {.dry = true, .no_cache = true},
                                                  {.cached_only = true},
                                                  {.no_cache = true, .cached_only = true},
                                                  {.only = {names, 1}},
                                                  {.from = sc_slice_str("b")},
                                                  {.no_cache = true, .from = sc_slice_str("b")}};
    for (size_t i = 0; i < SC_COUNT(nothing_runs); i++) {
        world_submit(&w, uncached, &nothing_runs[i]);
        assert_int_equal(world_open_attempts(&w), 0);
        assert_int_equal(sc_core_open_runs(w.core), 0);
    }
    assert_true(world_says(&w, "0: a miss disabled"));
    assert_true(world_says(&w, "2: a failed not-cached"));
    world_submit(&w, uncached, NULL);
    assert_true(world_says(&w, "assign a #1 to a1"));
}

static void test_only_a_run_that_is_done_publishes(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    static const char checked[] = "stepcache: 1\n"
                                  "name: demo\n"
                                  "steps:\n"
                                  "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}}\n"
                                  "  check: {command: [\"true\"], outputs: {y: y.txt}}\n"
                                  "outputs: {x: a.x}\n";
    world_submit(&w, checked, NULL);
    world_report(&w, "a", "one");
    world_fail(&w, "check", SC_OUTCOME_EXIT);
    assert_false(world_says(&w, "publish 1"));
    world_said(&w);
    world_submit(&w, checked, NULL);
    world_report(&w, "check", "good");
    assert_true(world_says(&w, "publish 1"));
}

static void test_without_an_agent_nothing_is_due_again_and_again(void **state)
{
    WORLD;
    world_agent(&w, "a1", 1);
    world_submit(&w, uncached, NULL);
    world_report(&w, "a", "one");
    world_submit(&w, chain, NULL);
    world_agent_gone(&w, "a1");
    for (int i = 0; i < 10; i++) {
        world_pass(&w, 60000);
        assert_true(sc_core_next_deadline(w.core) > w.mono_ms);
    }
}

static void test_dry_run_gives_verdicts_and_runs_nothing(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    struct sc_run_options dry = {.dry = true};
    uint32_t facts = w.facts.count;
    world_submit(&w, chain, &dry);
    assert_true(world_says(&w, "0: a miss never-seen"));
    assert_true(world_says(&w, "0: b miss upstream"));
    assert_int_equal(world_open_attempts(&w), 0);
    assert_int_equal(sc_core_open_runs(w.core), 0);
    for (uint32_t i = facts; i < w.facts.count; i++) { // what an agent is may be kept, nothing of the run
        struct sc_fact fact = {0};
        assert_int_equal(
            sc_decode(&sc_schema_fact, w.facts.items[i], SC_DECODE_LENIENT, &w.arena, &fact, NULL), SC_OK);
        assert_int_equal(fact.kind, SC_FACT_CLASS);
    }
}

static void test_independent_branches_go_on_after_a_failure(void **state)
{
    WORLD;
    const char *document = "stepcache: 1\nname: demo\nsteps:\n"
                           "  a: {command: [x], outputs: {x: x.txt}}\n"
                           "  b: {command: [y], inputs: {x: a.x}, outputs: {y: y.txt}}\n"
                           "  c: {command: [z], outputs: {z: z.txt}}\n"
                           "  d: {command: [w], inputs: {z: c.z}, outputs: {w: w.txt}}\n";
    world_agent(&w, "a1", 2);
    world_submit(&w, document, NULL);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    assert_true(world_says(&w, "0: b skipped upstream-failed"));
    world_report(&w, "c", "c");
    world_report(&w, "d", "d");
    assert_true(world_says(&w, "0: run failed: 0 hits, 2 misses, 0 joined, 1 failed, 1 skipped"));
}

static void test_fail_fast_stops_the_others(void **state)
{
    WORLD;
    struct sc_run_options fast = {.fail_fast = true};
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}}\n"
                 "  c: {command: [z], outputs: {z: z.txt}}\n",
                 &fast);
    world_fail(&w, "a", SC_OUTCOME_EXIT);
    assert_true(world_says(&w, "revoke a1"));
    assert_true(world_says(&w, "0: c cancelled cancelled"));
    world_ended(&w, "c");
    assert_int_equal(w.last_state, SC_END_FAILED);
}

static void test_matrix_instances_fan_in(void **state)
{
    WORLD;
    const char *document =
        "stepcache: 1\nname: demo\nsteps:\n"
        "  t: {command: [x, \"${matrix.lr}\"], matrix: {lr: [0.1, 0.01]}, outputs: {m: m.bin}}\n"
        "  e: {command: [y, \"${inputs.m}\"], inputs: {m: t.m}, outputs: {r: r.txt}}\n";
    world_agent(&w, "a1", 2);
    world_submit(&w, document, NULL);
    world_report(&w, "t[lr=0.1]", "one");
    assert_false(world_says(&w, "0: e miss never-seen"));
    world_report(&w, "t[lr=0.01]", "two");
    assert_true(world_says(&w, "0: e miss never-seen"));
    world_report(&w, "e", "r");
    world_said(&w);
    world_submit(&w, document, NULL);
    assert_true(world_says(&w, "1: run done: 3 hits, 0 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_a_run_closes_when_its_records_have_settled(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    w.hold_records = true;
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    assert_int_equal(sc_core_open_runs(w.core), 1);
    world_record_answers(&w);
    assert_int_equal(sc_core_open_runs(w.core), 0);
}

static void test_a_cancelled_run_does_not_wait_for_a_store_that_refuses(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    w.hold_records = true;
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    world_store_refuses(&w, "No space left on device");
    assert_true(world_says(&w, "0: note No space left on device"));
    assert_int_equal(sc_core_open_runs(w.core), 1);
    world_cancel(&w, 0);
    assert_int_equal(sc_core_open_runs(w.core), 0);
    assert_int_equal(w.last_state, SC_END_CANCELLED);
    world_record_answers(&w); // late, and to nobody
}

static void test_a_step_that_fits_no_agent_fails_with_what_is_there(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(
        &w,
        "stepcache: 1\nname: demo\nsteps:\n  a: {command: [x], outputs: {x: x.txt}, resources: {cpus: 64}}\n",
        NULL);
    world_pass(&w, 100);
    world_pass(&w, 11000);
    assert_true(world_says(&w, "0: a failed start"));
}

static const char sources_document[] =
    "stepcache: 1\nname: demo\nnamespace: %s\nsources:\n  here: ./x\n  raw: '%s'\nsteps:\n"
    "  a: {command: [x], inputs: {raw: sources.raw}, outputs: {x: x.txt}}\n";

// What the coordinator says to a run of this namespace with this source.
static const char *submit_source(struct world *w, const char *namespace_, const char *address)
{
    char document[1024];
    snprintf(document, sizeof document, sources_document, namespace_, address);
    world_said(w);
    world_submit(w, document, NULL);
    return world_said(w);
}

static void test_a_namespace_names_only_the_data_that_it_is_allowed(void **state)
{
    WORLD;
    struct sc_slice team[] = {SC_SLICE_LIT("s3://data/raw"), SC_SLICE_LIT("/srv/data/")},
                    others[] = {SC_SLICE_LIT("s3://public")};
    struct sc_allow allow[] = {{SC_SLICE_LIT("team"), {team, SC_COUNT(team)}},
                               {SC_SLICE_LIT("*"), {others, SC_COUNT(others)}}};
    w.config.allow.items = allow;
    w.config.allow.count = SC_COUNT(allow);
    sc_core_free(w.core);
    w.core = sc_core_new(&w.config);
    static const struct {
        const char *namespace_, *address;
        bool good;
    } cases[] = {
        {"team", "s3://data/raw", true},
        {"team", "s3://data/raw/", true},
        {"team", "s3://data/raw/a.csv?versionId=1", true},
        {"team", "file:///srv/data/x", true},
        {"team", "file:///srv/data/", true},
        {"team", "s3://data/", false},
        {"team", "s3://data/rawer", false},
        {"team", "s3://data/ra/", false},
        {"team", "s3://dat/raw", false},
        {"team", "s3://public/x", false},
        {"team", "file:///srv/database", false},
        {"team", "file:///srv/", false},
        {"other", "s3://public/x", true},
        {"other", "s3://public/", true},
        {"other", "s3://public2/x", false},
        {"other", "file:///srv/data/x", false},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        const char *said = submit_source(&w, cases[i].namespace_, cases[i].address);
        if (!strstr(said, "is not among what namespace") != cases[i].good)
            fail_msg("%s %s: %s", cases[i].namespace_, cases[i].address, said);
    }
    assert_contains(submit_source(&w, "team", "s3://data/other"),
                    "source raw (line 6): s3://data/other is not among what namespace team may name here: "
                    "s3://data/raw, /srv/data/");
    w.config.allow.count = 1; // without a line for all others, they name what they like
    sc_core_free(w.core);
    w.core = sc_core_new(&w.config);
    assert_null(strstr(submit_source(&w, "other", "file:///etc/"), "not among"));
}

// Placement grants one step and gives another up, whose failure cancels the first: the agent hears of it in that order.
static void test_an_assignment_is_out_before_it_is_revoked(void **state)
{
    WORLD;
    struct sc_run_options fast = {.fail_fast = true};
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}, resources: {cpus: 4}}\n"
                 "  b: {command: [y], outputs: {y: y.txt}, resources: {cpus: 64}}\n",
                 &fast);
    world_pass(&w, 100);
    world_said(&w);
    w.mono_ms += 11000;
    w.hello_class = w.packages;
    world_agent(&w, "a2", 4);
    assert_string_equal(world_said(&w), "welcome a2: keep 0, drop 0\n"
                                        "assign a #1 to a2\n"
                                        "0: b failed start\n"
                                        "revoke a2\n"
                                        "0: a cancelled cancelled\n");
    world_ended(&w, "a");
    assert_string_equal(world_said(&w), "0: run failed: 0 hits, 0 misses, 0 joined, 1 failed, 0 skipped\n");
}

// A chain of 30,000 steps: what a failure at its head does ripples in pieces, not on the stack.
static void test_a_failure_ripples_down_a_long_chain(void **state)
{
    WORLD;
    enum { STEPS = 30000 };
    struct sc_buf document;
    sc_buf_init(&document, 0);
    sc_buf_add_str(&document, "stepcache: 1\nname: long\nsteps:\n  s0: {command: [x], outputs: {o: o}}\n");
    for (int i = 1; i < STEPS; i++)
        sc_buf_printf(&document, "  s%d: {command: [x], inputs: {i: s%d.o}, outputs: {o: o}}\n", i, i - 1);
    world_agent(&w, "a1", 2);
    world_submit(&w, sc_buf_cstr(&document), NULL);
    sc_buf_done(&document);
    world_fail(&w, "s0", SC_OUTCOME_EXIT);
    assert_true(world_says(&w, "0: s29999 skipped upstream-failed"));
    assert_true(world_says(&w, "0: run failed: 0 hits, 0 misses, 0 joined, 1 failed, 29999 skipped"));
}

static void test_cancel_ends_every_step_of_a_wide_run(void **state)
{
    WORLD;
    struct sc_buf document;
    sc_buf_init(&document, 0);
    sc_buf_add_str(&document, "stepcache: 1\nname: wide\nsteps:\n");
    for (int i = 0; i < 3000; i++)
        sc_buf_printf(&document, "  s%d: {command: [x, \"%d\"], outputs: {o: o}}\n", i, i);
    world_agent(&w, "a1", 2);
    world_submit(&w, sc_buf_cstr(&document), NULL);
    sc_buf_done(&document);
    world_cancel(&w, 0);
    assert_true(world_says(&w, "0: s2999 cancelled cancelled"));
    world_agent_gone(&w, "a1");
    assert_int_equal(sc_core_open_runs(w.core), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_run_misses_and_records_every_step),
        cmocka_unit_test(test_second_run_hits_without_an_attempt),
        cmocka_unit_test(test_changed_parameter_names_the_field),
        cmocka_unit_test(test_equal_bytes_from_a_rerun_still_hit_below),
        cmocka_unit_test(test_changed_package_misses_and_names_packages),
        cmocka_unit_test(test_two_runs_join_one_flight),
        cmocka_unit_test(test_a_joiner_does_not_inherit_a_failure),
        cmocka_unit_test(test_cancelling_the_owner_leaves_the_flight_to_the_joiner),
        cmocka_unit_test(test_a_run_that_is_refused_done_or_cancelled_is_told_closed_once),
        cmocka_unit_test(test_cancel_revokes_what_nobody_waits_for),
        cmocka_unit_test(test_cancel_again_leaves_no_grace),
        cmocka_unit_test(test_a_cancelled_run_does_not_wait_for_an_agent_that_is_lost),
        cmocka_unit_test(test_an_attached_run_is_cancelled_with_its_client),
        cmocka_unit_test(test_retry_waits_and_runs_again),
        cmocka_unit_test(test_outcome_outside_retry_on_is_final),
        cmocka_unit_test(test_expired_result_is_replaced_with_the_next_generation),
        cmocka_unit_test(test_result_from_the_future_is_expired),
        cmocka_unit_test(test_refresh_runs_again_and_replaces),
        cmocka_unit_test(test_force_runs_the_step_and_all_below),
        cmocka_unit_test(test_a_refresh_does_not_join_a_flight_begun_before),
        cmocka_unit_test(test_cached_only_fails_a_miss_and_runs_nothing),
        cmocka_unit_test(test_a_step_whose_cache_is_off_runs_only_where_it_may),
        cmocka_unit_test(test_only_a_run_that_is_done_publishes),
        cmocka_unit_test(test_without_an_agent_nothing_is_due_again_and_again),
        cmocka_unit_test(test_no_cache_neither_looks_up_nor_records),
        cmocka_unit_test(test_only_runs_one_step_on_cached_needs),
        cmocka_unit_test(test_from_takes_what_is_above_from_the_newest_run),
        cmocka_unit_test(test_dry_run_gives_verdicts_and_runs_nothing),
        cmocka_unit_test(test_independent_branches_go_on_after_a_failure),
        cmocka_unit_test(test_fail_fast_stops_the_others),
        cmocka_unit_test(test_matrix_instances_fan_in),
        cmocka_unit_test(test_a_run_closes_when_its_records_have_settled),
        cmocka_unit_test(test_a_cancelled_run_does_not_wait_for_a_store_that_refuses),
        cmocka_unit_test(test_a_step_that_fits_no_agent_fails_with_what_is_there),
        cmocka_unit_test(test_a_namespace_names_only_the_data_that_it_is_allowed),
        cmocka_unit_test(test_an_assignment_is_out_before_it_is_revoked),
        cmocka_unit_test(test_a_failure_ripples_down_a_long_chain),
        cmocka_unit_test(test_cancel_ends_every_step_of_a_wide_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
