// Environments that change under a run: no result is recorded under a key that names another than it ran in.
#include "tests/lib/world.h"

static const char chain[] =
    "stepcache: 1\n"
    "name: demo\n"
    "steps:\n"
    "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}}\n"
    "  b: {command: [make-b, \"${inputs.x}\"], inputs: {x: a.x}, outputs: {y: y.txt}}\n";
static const char pair[] = "stepcache: 1\n"
                           "name: pair\n"
                           "steps:\n"
                           "  c: {command: [make-c, \"${outputs.x}\"], outputs: {x: x.txt}}\n"
                           "  d: {command: [make-d, \"${outputs.x}\"], outputs: {x: x.txt}}\n";
static const char any[] = "stepcache: 1\n"
                          "name: any\n"
                          "environment: any\n"
                          "steps: {a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}}}\n";

#define OLD "numpy==1.24.2"
#define NEW "numpy==1.26.0"

static void test_step_whose_environment_changed_is_recorded_under_the_new_one(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    w.packages = NEW;
    world_said(&w);
    world_fail(&w, "a", SC_OUTCOME_ENVIRONMENT);
    assert_string_equal(world_said(&w), "0: note ; it begins again, as all that is under way does\n"
                                        "0: a miss never-seen\n"
                                        "assign a #1 to a1\n");
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    assert_true(world_says(&w, "0: run done: 0 hits, 2 misses, 0 joined, 0 failed, 0 skipped"));
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: run done: 2 hits, 0 misses, 0 joined, 0 failed, 0 skipped"));
    w.packages = OLD;
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "2: a miss changed environment.packages"));
}

static void test_environment_that_never_stays_ends_the_step(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    for (int i = 0; i < 3; i++) {
        world_fail(&w, "a", SC_OUTCOME_ENVIRONMENT);
        assert_int_equal(world_open_attempts(&w), 1);
    }
    world_fail(&w, "a", SC_OUTCOME_ENVIRONMENT);
    assert_true(world_says(&w, "0: a failed environment-changed"));
    assert_int_equal(w.records.count, 0);
}

static void test_joiners_look_again_too(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_submit(&w, chain, NULL);
    world_fail(&w, "a", SC_OUTCOME_ENVIRONMENT);
    assert_int_equal(world_open_attempts(&w), 1);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    assert_true(world_says(&w, "0: run done: 0 hits, 2 misses, 0 joined, 0 failed, 0 skipped"));
    assert_true(world_says(&w, "1: run done: 0 hits, 0 misses, 2 joined, 0 failed, 0 skipped"));
}

static void test_what_waits_for_an_environment_that_is_gone_takes_the_new_one(void **state)
{
    WORLD;
    world_agent(&w, "a1", 0); // no room: both wait
    world_submit(&w, pair, NULL);
    assert_int_equal(world_open_attempts(&w), 0);
    w.packages = NEW;
    world_submit(&w, chain, NULL); // asks anew
    world_agent(&w, "a1", 2);
    assert_true(world_says(&w, "assign c #1 to a1"));
    world_report(&w, "c", "one");
    world_report(&w, "d", "two");
    world_submit(&w, pair, NULL);
    assert_true(world_says(&w, "2: run done: 2 hits, 0 misses, 0 joined, 0 failed, 0 skipped"));
}

static void test_look_up_under_an_environment_that_went_is_made_again(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    w.hold_look_ups = true;
    world_submit(&w, chain, NULL);
    w.packages = NEW;
    world_submit(&w, pair, NULL); // asks anew, while a is looked up under the old one
    world_record_answers(&w);
    world_report(&w, "a", "one");
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "2: a hit cached"));
}

static void test_agent_of_another_environment_takes_over_in_time(void **state)
{
    WORLD;
    world_agent(&w, "a1", 1);
    world_submit(&w, pair, NULL); // fills it
    world_submit(&w, chain, NULL);
    w.packages = NEW;
    world_agent(&w, "a2", 8);
    world_agent_gone(&w, "a1");
    world_pass(&w, 1);
    assert_false(world_says(&w, "assign a #1 to a2")); // it may come back
    world_pass(&w, 10000);
    assert_true(world_says(&w, "assign a #1 to a2"));
    world_report(&w, "a", "one");
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "2: a hit cached"));
}

static void test_an_architecture_is_not_looked_at_again(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, any, NULL);
    assert_false(world_attempt(&w, "a")->checks_environment);
    world_submit(&w, chain, NULL);
    assert_true(world_attempt(&w, "a")->checks_environment);
    world_report(&w, "a", "one");
    struct sc_run_options options = {.no_cache =
                                         true}; // nothing is recorded, and what it did is not done twice
    world_submit(&w, pair, &options);
    assert_false(world_attempt(&w, "c")->checks_environment);
}

static void test_what_the_key_ignores_is_not_looked_at_again(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    static const char form[] =
        "stepcache: 1\nname: demo\nsteps: {a: {command: [x], key: {ignore: [environment.%s]}}}\n";
    SC_AUTO_FREE char *all = sc_asprintf(form, "packages"), *some = sc_asprintf(form, "os");
    world_submit(&w, all, NULL);
    assert_false(world_attempt(&w, "a")->checks_environment); // an architecture and a PATH are left
    world_report(&w, "a", "one");
    world_submit(&w, some, NULL);
    assert_true(world_attempt(&w, "a")->checks_environment);
}

static void test_what_placement_begins_again_is_placed_without_another_event(void **state)
{
    WORLD;
    world_agent(&w, "a1", 1);
    world_submit(&w, pair, NULL); // fills it
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}, cache: {enabled: false}}\n",
                 NULL);
    w.packages = "others";
    world_agent(&w, "a2", 8);
    world_agent_gone(&w, "a1"); // who alone had the environment that the step waits under
    world_said(&w);
    world_pass(&w, 11000);
    assert_true(world_says(&w, "assign a #1 to a2"));
}

// ---- agents of several kinds

static const char big[] =
    "stepcache: 1\nname: big\nsteps:\n"
    "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}, resources: {cpus: 4}}\n";
static const char labelled[] =
    "stepcache: 1\nname: labelled\nsteps:\n"
    "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}, resources: {labels: {zone: a}}}\n";
static const char plain[] = "stepcache: 1\nname: labelled\nsteps:\n"
                            "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}}\n";

static void test_step_runs_under_the_environment_of_an_agent_that_can_run_it(void **state)
{
    WORLD;
    world_agent(&w, "large", 8);
    w.agent_packages = NEW;
    world_agent(&w, "small", 1);
    world_submit(&w, big, NULL);
    assert_true(world_says(&w, "assign a #1 to large"));
}

static void test_a_larger_agent_that_comes_takes_what_none_could_run(void **state)
{
    WORLD;
    world_agent(&w, "small", 1);
    world_submit(&w, big, NULL);
    w.agent_packages = NEW;
    world_agent(&w, "large", 8);
    assert_true(world_says(&w, "assign a #1 to large"));
}

static void test_result_of_a_machine_that_the_step_may_not_run_on_is_no_hit(void **state)
{
    WORLD;
    world_agent(&w, "b", 2);
    world_submit(&w, plain, NULL);
    world_report(&w, "a", "of b");
    w.agent_packages = NEW;
    w.zone = "a";
    world_agent(&w, "a", 2);
    world_submit(&w, labelled, NULL);
    assert_true(world_says(&w, "assign a #1 to a"));
    world_report(&w, "a", "of a");
    world_submit(&w, labelled, NULL);
    assert_true(world_says(&w, "2: a hit cached"));
}

static void test_without_an_agent_of_its_labels_nothing_serves(void **state)
{
    WORLD;
    world_agent(&w, "b", 2);
    world_submit(&w, plain, NULL);
    world_report(&w, "a", "of b");
    world_submit(&w, labelled, NULL);
    world_pass(&w, 9000);
    assert_false(world_says(&w, "1: a failed start"));
    world_pass(&w, 2000);
    assert_true(world_says(&w, "1: a failed start"));
}

static void test_result_needs_no_room(void **state)
{
    WORLD;
    world_agent(&w, "large", 8);
    world_submit(&w, big, NULL);
    world_report(&w, "a", "one");
    world_agent_gone(&w, "large");
    world_agent(&w, "small", 1);
    world_submit(&w, big, NULL);
    assert_true(world_says(&w, "1: a hit cached"));
}

static void test_steps_spread_over_environments(void **state)
{
    WORLD;
    world_agent(&w, "one", 2);
    w.agent_packages = NEW;
    world_agent(&w, "two", 2);
    world_submit(&w, pair, NULL);
    assert_true(world_says(&w, "assign c #1 to one"));
    assert_true(world_says(&w, "assign d #1 to two"));
    world_submit(&w, pair, NULL); // what is made already is not made twice
    assert_true(world_says(&w, "1: c join in-flight"));
    assert_true(world_says(&w, "1: d join in-flight"));
    world_report(&w, "c", "one");
    world_report(&w, "d", "two");
    world_submit(&w, pair, NULL);
    assert_true(world_says(&w, "2: run done: 2 hits, 0 misses, 0 joined, 0 failed, 0 skipped"));
}

// ---- steps that change the environment that later ones of their run have

static const char upgrade[] =
    "stepcache: 1\nname: upgrade\nsteps:\n"
    "  z: {command: [make-z, \"${outputs.x}\"], outputs: {x: x.txt}}\n"
    "  setup: {command: [install], outputs: {x: x.txt}, environment: any, cache: {enabled: false}}\n"
    "  mid: {command: [make-m, \"${inputs.x}\"], inputs: {x: setup.x}, outputs: {x: x.txt}, environment: "
    "any}\n"
    "  use: {command: [make-u, \"${inputs.x}\"], inputs: {x: mid.x}, outputs: {x: x.txt}}\n"
    "  after: {command: [make-f, \"${outputs.x}\"], outputs: {x: x.txt}, after: [use]}\n";

static void run_upgrade(struct world *w)
{
    world_agent(w, "a1", 8);
    world_submit(w, upgrade, NULL);
    world_report(w, "z", "z");
    world_report(w, "setup", "same");
    world_report(w, "mid", "mid");
    world_report(w, "use", "use");
    world_report(w, "after", "after");
    world_said(w);
}

static void test_hit_below_a_step_that_ran_is_of_the_environment_that_it_left(void **state)
{
    WORLD;
    run_upgrade(&w);
    world_submit(&w, upgrade, NULL);
    assert_true(world_says(&w, "1: z hit cached"));
    w.packages = NEW; // setup installs it
    world_report(&w, "setup", "same");
    assert_true(world_says(&w, "1: mid hit cached"));
    assert_false(world_says(&w, "1: use hit cached"));
    assert_true(world_says(&w, "assign use #1 to a1"));
    world_report(&w, "use", "new");
    assert_false(world_says(&w, "1: after hit cached"));
    world_report(&w, "after", "new");
    world_submit(&w, upgrade, NULL);
    world_report(&w, "setup", "same");
    assert_true(world_says(&w, "2: use hit cached"));
    assert_true(world_says(&w, "2: after hit cached"));
}

static void test_a_report_answers_for_the_environment_that_it_held(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    struct sc_run_options options = {.refresh = {(struct sc_slice[]){SC_SLICE_LIT("a")}, 1}};
    world_submit(&w, chain, &options);
    uint32_t asked = w.probes;
    w.deaf = true;
    world_report(&w, "a", "one");
    assert_true(world_says(&w, "1: b hit cached"));
    assert_int_equal(w.probes, asked);
}

static void test_a_report_answers_for_nothing_that_its_key_ignores(void **state)
{
    WORLD;
    static const char ignoring[] =
        "stepcache: 1\n"
        "name: demo\n"
        "steps:\n"
        "  a: {command: [make-a, \"${outputs.x}\"], outputs: {x: x.txt}, key: {ignore: "
        "[environment.packages]}}\n"
        "  b: {command: [make-b, \"${inputs.x}\"], inputs: {x: a.x}, outputs: {y: y.txt}}\n";
    world_agent(&w, "a1", 2);
    world_submit(&w, ignoring, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    struct sc_run_options options = {.refresh = {(struct sc_slice[]){SC_SLICE_LIT("a")}, 1}};
    world_submit(&w, ignoring, &options);
    w.packages = NEW; // a installs it, which its own look passes over
    world_report(&w, "a", "one");
    assert_false(world_says(&w, "1: b hit cached"));
    assert_true(world_says(&w, "1: b miss changed environment.packages"));
}

static void test_misses_and_hits_ask_once_a_run(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_agent(&w, "a2", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    assert_int_equal(w.probes, 2);
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: b hit cached"));
    assert_int_equal(w.probes, 4);
}

static void test_join_below_a_step_that_ran_is_of_the_environment_that_it_left(void **state)
{
    WORLD;
    run_upgrade(&w);
    world_submit(&w, upgrade, NULL);
    w.records.count = 0; // nothing is known any more
    w.hold_records = true;
    world_report(&w, "setup", "same");
    world_report(&w, "mid", "mid");
    world_report(&w, "use", "use");
    w.records.count = 0; // they are on their way
    world_submit(&w, upgrade, NULL);
    w.packages = NEW;
    world_report(&w, "setup", "same");
    assert_false(world_says(&w, "2: use join in-flight"));
    assert_true(world_says(&w, "2: use miss never-seen"));
}

static void test_question_from_before_a_change_counts_no_more(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    w.hold_probes = true;
    world_submit(&w, pair, NULL); // asks; the answer is of before the change
    w.packages = NEW;
    world_fail(&w, "a", SC_OUTCOME_ENVIRONMENT);
    assert_int_equal(world_open_attempts(&w), 0);
    world_record_answers(&w);
    assert_int_equal(world_open_attempts(&w), 3);
    world_report(&w, "a", "one");
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "2: a hit cached"));
}

static void test_changed_fields_are_told_once(void **state)
{
    WORLD;
    world_agent(&w, "a1", 2);
    world_submit(&w, chain, NULL);
    world_report(&w, "a", "one");
    world_report(&w, "b", "two");
    w.packages = NEW;
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: a miss changed environment.packages"));
    w.packages = "torch==2.0";
    world_said(&w);
    world_fail(&w, "a", SC_OUTCOME_ENVIRONMENT);
    assert_true(world_says(&w, "1: a miss changed environment.packages"));
}

static void submit_probing(struct world *w, int number)
{
    SC_AUTO_FREE char *document =
        sc_asprintf("stepcache: 1\nname: p\nenvironment: {probe: [version %d]}\n"
                    "steps: {s%d: {command: [make, \"${outputs.x}\"], outputs: {x: x.txt}}}\n",
                    number, number);
    world_submit(w, document, NULL);
}

static void test_what_agents_told_is_forgotten_when_no_run_needs_it_any_more(void **state)
{
    enum { RUNS = 1000, BOUND = 1100 };
    WORLD;
    world_agent(&w, "a1", 2);
    submit_probing(&w, 0); // stays open
    world_submit(&w, any, NULL);
    world_report(&w, "a", "one");
    uint32_t most = 0, asked = w.probes;
    for (int i = 1; i <= RUNS; i++) {
        SC_AUTO_FREE char *step = sc_asprintf("s%d", i);
        submit_probing(&w, i);
        world_report(&w, step, "result");
        if (i % 50 == 0)
            world_submit(&w, any, NULL); // used, so remembered
        most = sc_core_remembered(w.core) > most ? sc_core_remembered(w.core) : most;
    }
    assert_true(w.probes - asked >= RUNS);
    assert_true(most > 900); // it was counted
    assert_true(most < BOUND);
    world_report(&w, "s0", "result"); // the need of the oldest is as it was
    assert_true(world_says(&w, "0: run done: 0 hits, 1 misses, 0 joined, 0 failed, 0 skipped"));
    submit_probing(&w, 1); // forgotten, so asked anew, and the key is the same
    assert_string_equal(strrchr(world_said(&w), ':'), ": 1 hits, 0 misses, 0 joined, 0 failed, 0 skipped\n");
    world_agent_gone(&w, "a1");
    world_submit(&w, any, NULL);
    world_pass(&w, 10000);
    assert_string_equal(strrchr(world_said(&w), ':'), ": 1 hits, 0 misses, 0 joined, 0 failed, 0 skipped\n");
}

static void test_answers_of_agents_that_went_are_forgotten_but_for_the_latest(void **state)
{
    enum { AGENTS = 2000 };
    WORLD;
    for (int i = 0; i < AGENTS; i++) {
        SC_AUTO_FREE char *name = sc_asprintf("pod-%d", i);
        world_agent(&w, name, 2);
        world_submit(&w, any, NULL);
        if (i == 0)
            world_report(&w, "a", "one");
        world_agent_gone(&w, name);
        w.agent_count = 0;
    }
    assert_true(sc_core_remembered(w.core) < 1100);
    world_said(&w);
    world_submit(&w, any, NULL);
    world_pass(&w, 10000);
    assert_string_equal(strrchr(world_said(&w), ':'), ": 1 hits, 0 misses, 0 joined, 0 failed, 0 skipped\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_whose_environment_changed_is_recorded_under_the_new_one),
        cmocka_unit_test(test_environment_that_never_stays_ends_the_step),
        cmocka_unit_test(test_joiners_look_again_too),
        cmocka_unit_test(test_what_waits_for_an_environment_that_is_gone_takes_the_new_one),
        cmocka_unit_test(test_look_up_under_an_environment_that_went_is_made_again),
        cmocka_unit_test(test_agent_of_another_environment_takes_over_in_time),
        cmocka_unit_test(test_an_architecture_is_not_looked_at_again),
        cmocka_unit_test(test_what_the_key_ignores_is_not_looked_at_again),
        cmocka_unit_test(test_what_placement_begins_again_is_placed_without_another_event),
        cmocka_unit_test(test_step_runs_under_the_environment_of_an_agent_that_can_run_it),
        cmocka_unit_test(test_a_larger_agent_that_comes_takes_what_none_could_run),
        cmocka_unit_test(test_result_of_a_machine_that_the_step_may_not_run_on_is_no_hit),
        cmocka_unit_test(test_without_an_agent_of_its_labels_nothing_serves),
        cmocka_unit_test(test_result_needs_no_room),
        cmocka_unit_test(test_steps_spread_over_environments),
        cmocka_unit_test(test_hit_below_a_step_that_ran_is_of_the_environment_that_it_left),
        cmocka_unit_test(test_a_report_answers_for_the_environment_that_it_held),
        cmocka_unit_test(test_a_report_answers_for_nothing_that_its_key_ignores),
        cmocka_unit_test(test_misses_and_hits_ask_once_a_run),
        cmocka_unit_test(test_join_below_a_step_that_ran_is_of_the_environment_that_it_left),
        cmocka_unit_test(test_question_from_before_a_change_counts_no_more),
        cmocka_unit_test(test_changed_fields_are_told_once),
        cmocka_unit_test(test_what_agents_told_is_forgotten_when_no_run_needs_it_any_more),
        cmocka_unit_test(test_answers_of_agents_that_went_are_forgotten_but_for_the_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
