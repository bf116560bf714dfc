// What passes between an agent and its coordinator, and what becomes of attempts when they lose each other.
#include "tests/unit/agent_core_test.h"

static void test_renews_while_it_is_heard(void **state)
{
    struct fixture *f = *state;
    start(f, 4);
    pass(f, 3000);
    event(f, SC_AGENT_HEARD, 0);
    pass(f, 3000);
    assert_said(f, "phase 4:2 renew[4] renew[4] ");
}

static void test_says_hello_again_when_nothing_is_heard(void **state)
{
    struct fixture *f = *state;
    start(f, 4);
    pass(f, 6000);
    assert_said(f, "phase 4:2 renew[4] hello[4] ");
    pass(f, 6000 + 12000);
    assert_said(f, "hello[4] hello[4] ");
    welcome(f, "c1", NULL, 0);
    pass(f, 3000);
    assert_said(f, "renew[4] ");
}

static void test_stranger_says_hello_with_what_it_holds(void **state)
{
    struct fixture *f = *state;
    report(f, 1);
    start(f, 2);
    event(f, SC_AGENT_STRANGER, 0);
    event(f, SC_AGENT_STRANGER, 0);
    assert_said(f, "hello[2 1] ");
}

static void test_reports_are_repeated_unless_dropped(void **state)
{
    struct fixture *f = *state;
    report(f, 1);
    report(f, 2);
    event(f, SC_AGENT_STRANGER, 0);
    sc_buf_clear(&f->said);
    const uint64_t drop[] = {1};
    welcome(f, "c1", drop, 1);
    assert_said(f, "release 1 reported 2 ");
}

static void test_report_is_forgotten_once_the_connection_lived_on(void **state)
{
    struct fixture *f = *state;
    report(f, 1);
    pass(f, 3000);
    event(f, SC_AGENT_HEARD, 0);
    assert_said(f, "renew[] ");
    pass(f, 3000);
    event(f, SC_AGENT_HEARD, 0);
    assert_said(f, "renew[] release 1 ");
}

static void test_assignment_that_crossed_a_hello_is_rejected(void **state)
{
    struct fixture *f = *state;
    event(f, SC_AGENT_STRANGER, 0);
    assign(f, 1);
    assert_said(f, "hello[] rejected 1(the agent was saying hello again) release 1 ");
}

static void test_attempts_of_another_coordinator_are_ended(void **state)
{
    struct fixture *f = *state;
    report(f, 1);
    start(f, 2);
    assign(f, 3);
    event(f, SC_AGENT_STRANGER, 0);
    sc_buf_clear(&f->said);
    welcome(f, "c2", NULL, 0);
    assert_said(f, "give-up 3:0 term 2 release 1 ");
    prepared(f, 3);
    event(f, SC_AGENT_CLEANED, 3);
    exited(f, 2, 0, SIGTERM, false);
    event(f, SC_AGENT_TAKEN, 2);
    assert_said(f, "clean 3 release 3 take 2 cancelled release 2 ");
}

static void test_dropped_attempt_is_ended_without_a_word(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    event(f, SC_AGENT_STRANGER, 0);
    sc_buf_clear(&f->said);
    const uint64_t drop[] = {1};
    welcome(f, "c1", drop, 1);
    exited(f, 1, 0, SIGTERM, false);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "term 1 take 1 cancelled release 1 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_renews_while_it_is_heard),
        TEST(test_says_hello_again_when_nothing_is_heard),
        TEST(test_stranger_says_hello_with_what_it_holds),
        TEST(test_reports_are_repeated_unless_dropped),
        TEST(test_report_is_forgotten_once_the_connection_lived_on),
        TEST(test_assignment_that_crossed_a_hello_is_rejected),
        TEST(test_attempts_of_another_coordinator_are_ended),
        TEST(test_dropped_attempt_is_ended_without_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
