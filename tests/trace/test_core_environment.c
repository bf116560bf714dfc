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
    world_agent(&w, "a1", 0);
    world_submit(&w, chain, NULL);
    w.packages = NEW;
    world_agent(&w, "a2", 2);
    world_agent_gone(&w, "a1");
    world_pass(&w, 1);
    assert_int_equal(world_open_attempts(&w), 0); // it may come back
    world_pass(&w, 10000);
    assert_true(world_says(&w, "assign a #1 to a2"));
    world_report(&w, "a", "one");
    world_submit(&w, chain, NULL);
    assert_true(world_says(&w, "1: a hit cached"));
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
    world_agent(&w, "a1", 2);
    world_submit(&w,
                 "stepcache: 1\nname: demo\nsteps:\n"
                 "  a: {command: [x], outputs: {x: x.txt}, resources: {cpus: 4}, cache: {enabled: false}}\n",
                 NULL);
    w.packages = "others";
    world_agent(&w, "a2", 4);
    world_pass(&w, 5000);
    world_agent_gone(&w, "a1"); // who alone had the environment that the step waits under
    world_said(&w);
    world_pass(&w, 6000);
    assert_true(world_says(&w, "assign a #1 to a2"));
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
