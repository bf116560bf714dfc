// Places of an agent's steps: who gets them, and in which order.
#include "tests/unit/agent_core_test.h"

static void test_next_step_starts_when_a_slot_frees_and_not_when_its_outputs_are_taken(void **state)
{
    struct fixture *f = *state;
    const struct want wants[] = {{1, 1000, 0}, {2, 1000, 0}, {3, 1000, 0}};
    assign_all(f, wants, 3);
    prepared(f, 1);
    prepared(f, 2);
    prepared(f, 3);
    assert_said(f, "accepted[1 2 3] prepare 1 prepare 2 prepare 3 launch 1 launch 2 launch 3 after 1 ");
    exited(f, 2, 0, 0, false);
    assert_said(f, "take 2 ok go 3 ");
}

static void test_place_of_a_step_that_ends_passes_to_its_heir_without_a_word(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    start(f, 2);
    for (uint64_t n = 3; n <= 5; n++) {
        assign(f, n);
        prepared(f, n);
    }
    assert_said(f, "accepted[3] prepare 3 launch 3 after 1 accepted[4] prepare 4 launch 4 after 2 "
                   "accepted[5] prepare 5 ");
    exited(f, 1, 0, 0, false);
    assert_said(f, "take 1 ok launch 5 after 3 "); // 3 runs
    assign_all(f, &(struct want){6, 1000, 100}, 1);
    prepared(f, 6);
    exited(f, 2, 0, 0, false);
    assert_said(f, "accepted[6] prepare 6 take 2 ok launch 6 after 4 ");
    f->now += 200;
    exited(f, 4, 0, 0, false);
    started(f, 6);
    assert_said(f, "take 4 ok ");
    pass(f, 100); // its timeout counts from its own start
    assert_said(f, "phase 6:2 term 6 ");
}

static void test_only_what_needs_no_more_waits_for_a_place(void **state)
{
    struct fixture *f = *state;
    const struct sc_assignment items[] = {
        {.attempt = 1, .cpus_milli = 1200, .gpus = 1, .memory_bytes = 100},
        {.attempt = 2, .cpus_milli = 800, .gpus = 3, .memory_bytes = 500},
        {.attempt = 3, .cpus_milli = 900, .gpus = 0, .memory_bytes = 50},
        {.attempt = 4, .cpus_milli = 700, .gpus = 4, .memory_bytes = 50},
        {.attempt = 5, .cpus_milli = 700, .gpus = 3, .memory_bytes = 501},
        {.attempt = 6, .cpus_milli = 800, .gpus = 3, .memory_bytes = 500},
    };
    assign_items(f, items, SC_COUNT(items));
    prepared(f, 1);
    prepared(f, 2);
    sc_buf_clear(&f->said);
    prepared(f, 3); // fits the first place only
    assert_said(f, "launch 3 after 1 prepare 6 ");
    prepared(f, 4); // too many gpus for the second
    prepared(f, 5); // too much memory
    assert_said(f, "");
    prepared(f, 6);
    assert_said(f, "launch 6 after 2 ");
}

static void test_large_step_is_not_overtaken_for_ever_by_what_waits_for_places(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    start(f, 2);
    assign_all(f, &(struct want){3, 2000, 0}, 1);
    prepared(f, 3);
    sc_buf_clear(&f->said);
    uint64_t runs = 1, n = 10;
    for (; n < 110; n++) { // each waits for the place of the one before it
        assign(f, n);
        prepared(f, n);
        if (!strstr(sc_buf_cstr(&f->said), " after "))
            break;
        sc_buf_clear(&f->said);
        exited(f, runs, 0, 0, false);
        event(f, SC_AGENT_TAKEN, runs);
        sc_buf_clear(&f->said);
        runs = n;
    }
    assert_int_equal(n, 10 + 64);
    exited(f, runs, 0, 0, false);
    sc_buf_clear(&f->said);
    exited(f, 2, 0, 0, false);
    assert_said(f, "take 2 ok launch 3 launch 74 after 3 ");
}

static void test_launch_that_waits_and_is_refused_leaves_the_place_to_another(void **state)
{
    struct fixture *f = *state;
    const struct want wants[] = {{1, 2000, 0}, {2, 2000, 0}, {3, 2000, 0}};
    assign_all(f, wants, 3);
    prepared(f, 1);
    prepared(f, 2);
    prepared(f, 3);
    sc_buf_clear(&f->said);
    event(f, SC_AGENT_NOT_STARTED, 2);
    assert_said(f, "take 2 start launch 3 after 1 ");
}

static void test_preparation_runs_ahead_but_bounded(void **state)
{
    struct fixture *f = *state;
    const struct want wants[] = {{1, 2000, 0}, {2, 2000, 0}, {3, 2000, 0}, {4, 2000, 0}, {5, 2000, 0}};
    assign_all(f, wants, 5);
    assert_said(f, "accepted[1 2 3 4 5] prepare 1 prepare 2 prepare 3 ");
    prepared(f, 1);
    assert_said(f, "launch 1 prepare 4 ");
}

static void test_small_step_overtakes_a_large_one_but_not_for_ever(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    assign_all(f, &(struct want){2, 2000, 0}, 1);
    prepared(f, 2);
    sc_buf_clear(&f->said);
    uint32_t overtakes = 0;
    for (uint64_t n = 10; n < 110; n++) {
        assign(f, n);
        prepared(f, n);
        if (!strstr(sc_buf_cstr(&f->said), "launch"))
            break;
        sc_buf_clear(&f->said);
        overtakes++;
        exited(f, n, 0, 0, false);
        event(f, SC_AGENT_TAKEN, n);
        sc_buf_clear(&f->said);
    }
    assert_int_equal(overtakes, 64);
    exited(f, 1, 0, 0, false);
    assert_true(strstr(sc_buf_cstr(&f->said), "launch 2 ") != NULL);
}

static void test_what_the_agent_cannot_hold_is_rejected(void **state)
{
    struct fixture *f = *state;
    assign_all(f, &(struct want){1, 3000, 0}, 1);
    assert_said(f, "rejected 1(the step asks for more than the agent has) release 1 ");
    struct want wants[9];
    for (uint32_t i = 0; i < 9; i++)
        wants[i] = (struct want){10 + i, 1000, 0};
    assign_all(f, wants, 9);
    assert_said(f, "rejected 18(the agent's backlog is full) release 18 accepted[10 11 12 13 14 15 16 17] "
                   "prepare 10 prepare 11 prepare 12 ");
}

static void test_assignment_said_twice_is_held_once(void **state)
{
    struct fixture *f = *state;
    assign(f, 1);
    assign(f, 1);
    assert_said(f, "accepted[1] prepare 1 accepted[1] ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_next_step_starts_when_a_slot_frees_and_not_when_its_outputs_are_taken),
        TEST(test_place_of_a_step_that_ends_passes_to_its_heir_without_a_word),
        TEST(test_only_what_needs_no_more_waits_for_a_place),
        TEST(test_large_step_is_not_overtaken_for_ever_by_what_waits_for_places),
        TEST(test_launch_that_waits_and_is_refused_leaves_the_place_to_another),
        TEST(test_preparation_runs_ahead_but_bounded),
        TEST(test_small_step_overtakes_a_large_one_but_not_for_ever),
        TEST(test_what_the_agent_cannot_hold_is_rejected),
        TEST(test_assignment_said_twice_is_held_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
