// An agent that leaves: drained, stopped or deserted.
#include "tests/unit/agent_core_test.h"

static void test_drain_finishes_what_is_held(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    drain(f, false);
    assign(f, 2);
    assert_said(f, "rejected 2(the agent is leaving) release 2 ");
    exited(f, 1, 0, 0, false);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "take 1 ok reported 1 leave(the coordinator asked it to leave) ");
}

static void test_drain_with_nothing_held_leaves_at_once(void **state)
{
    struct fixture *f = *state;
    drain(f, false);
    assert_said(f, "leave(the coordinator asked it to leave) ");
}

static void test_stop_gives_back_what_waits_and_lets_what_runs_finish(void **state)
{
    struct fixture *f = *state;
    assign_all(f, &(struct want){1, 2000, 0}, 1);
    prepared(f, 1);
    assign(f, 2);
    assign(f, 4);
    prepared(f, 4);
    sc_buf_clear(&f->said);
    event(f, SC_AGENT_STOP, 0);
    assert_said(f, "give-up 2:0 term 4 ");
    event(f, SC_AGENT_WITHDRAWN, 4);
    event(f, SC_AGENT_CLEANED, 4);
    assert_said(f, "clean 4 rejected 4(the agent is leaving) release 4 ");
    assign(f, 3);
    prepared(f, 2);
    event(f, SC_AGENT_CLEANED, 2);
    assert_said(
        f, "rejected 3(the agent is leaving) release 3 clean 2 rejected 2(the agent is leaving) release 2 ");
    exited(f, 1, 0, 0, false);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "take 1 ok reported 1 leave(it was asked to stop) ");
}

static void test_second_stop_ends_what_runs_and_third_kills_it(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    event(f, SC_AGENT_STOP, 0);
    assert_said(f, "");
    event(f, SC_AGENT_STOP, 0);
    assert_said(f, "term 1 ");
    event(f, SC_AGENT_STOP, 0);
    assert_said(f, "kill 1 ");
    exited(f, 1, 0, SIGKILL, false);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "take 1 agent-lost reported 1 leave(it was asked to stop) ");
}

// What a process is asked for about it may hang; it is not thrown away for one that takes a moment.
static void test_agent_that_leaves_gives_up_a_look_that_takes_long(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    start(f, 2);
    exited(f, 1, 0, 0, false);
    event(f, SC_AGENT_STOP, 0);
    assert_said(f, "take 1 ok give-up 1:3000 ");
    exited(f, 2, 0, 0, false);
    assert_said(f, "take 2 ok ");
    f->now += 3000;
    event(f, SC_AGENT_DEADLINE, 0);
    assert_said(f, "phase 1:3 give-up 1:3000 phase 2:3 give-up 2:3000 renew[1 2] ");
    event(f, SC_AGENT_STOP, 0);
    assert_said(f, "give-up 1:0 give-up 2:0 ");
    pass(f, SC_TASK_WORD_MS); // they may not have come to it before
    assert_said(f, "give-up 1:0 give-up 2:0 ");
}

static void test_drain_now_ends_what_runs(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    drain(f, true);
    exited(f, 1, 0, SIGTERM, false);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "term 1 take 1 agent-lost reported 1 leave(the coordinator asked it to leave) ");
}

static void test_deserted_agent_ends_all_and_leaves(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    assign(f, 2);
    sc_buf_clear(&f->said);
    pass(f, 1000000); // silence alone is no reason
    sc_buf_clear(&f->said);
    event(f, SC_AGENT_DESERTED, 0);
    assert_said(f, "give-up 2:0 term 1 kill 1 ");
    pass(f, SC_TASK_WORD_MS);
    assert_said(f, "give-up 2:0 ");
    prepared(f, 2);
    event(f, SC_AGENT_CLEANED, 2);
    assert_said(f, "clean 2 release 2 ");
    exited(f, 1, 0, SIGKILL, false);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "take 1 cancelled release 1 leave(the coordinator is gone) ");
}

static void test_slow_fetching_and_storing_is_told(void **state)
{
    struct fixture *f = *state;
    assign(f, 1);
    pass(f, 600);
    assert_said(f, "accepted[1] prepare 1 phase 1:1 ");
    prepared(f, 1);
    exited(f, 1, 0, 0, false);
    sc_buf_clear(&f->said);
    pass(f, 600);
    assert_said(f, "phase 1:3 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_drain_finishes_what_is_held),
        TEST(test_drain_with_nothing_held_leaves_at_once),
        TEST(test_stop_gives_back_what_waits_and_lets_what_runs_finish),
        TEST(test_second_stop_ends_what_runs_and_third_kills_it),
        TEST(test_agent_that_leaves_gives_up_a_look_that_takes_long),
        TEST(test_drain_now_ends_what_runs),
        TEST(test_deserted_agent_ends_all_and_leaves),
        TEST(test_slow_fetching_and_storing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
