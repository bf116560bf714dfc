#include "tests/unit/agent_core_test.h"

// ---- the way of an attempt

static void test_attempt_goes_from_assigned_to_reported(void **state)
{
    struct fixture *f = *state;
    assign(f, 1);
    assert_said(f, "accepted[1] prepare 1 ");
    prepared(f, 1);
    assert_said(f, "launch 1 ");
    started(f, 1);
    pass(f, SC_TASK_RUNNING_WORD_MS - 1);
    assert_said(f, ""); // a short step's report says it all
    exited(f, 1, 0, 0, false);
    assert_said(f, "take 1 ok ");
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "reported 1 ");
}

static void test_a_step_that_runs_for_a_while_is_told_once(void **state)
{
    struct fixture *f = *state;
    assign(f, 1);
    prepared(f, 1);
    started(f, 1);
    assert_said(f, "accepted[1] prepare 1 launch 1 ");
    pass(f, SC_TASK_RUNNING_WORD_MS);
    assert_said(f, "phase 1:2 ");
    pass(f, 1000);
    assert_said(f, "");
}

static void test_outcomes_are_told_apart(void **state)
{
    struct fixture *f = *state;
    const struct {
        uint32_t code, signal;
        bool oom;
        const char *said;
    } cases[] = {{1, 0, false, "take 1 exit "},
                 {0, 11, false, "take 2 signal "},
                 {0, 9, true, "take 3 out-of-memory "},
                 {137, 0, true, "take 4 out-of-memory "},
                 {0, 0, true, "take 5 ok "}};
    for (uint64_t i = 0; i < SC_COUNT(cases); i++) {
        start(f, i + 1);
        exited(f, i + 1, cases[i].code, cases[i].signal, cases[i].oom);
        assert_said(f, cases[i].said);
    }
}

static void test_preparation_that_fails_is_reported(void **state)
{
    struct fixture *f = *state;
    assign(f, 1);
    sc_buf_clear(&f->said);
    step(f, (struct sc_agent_event){
                .kind = SC_AGENT_PREPARED, .attempt = 1, .u.prepared = SC_OUTCOME_INPUT_LOST});
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "take 1 input-lost reported 1 ");
}

static void test_command_that_cannot_be_started_is_reported(void **state)
{
    struct fixture *f = *state;
    assign(f, 1);
    prepared(f, 1);
    sc_buf_clear(&f->said);
    event(f, SC_AGENT_NOT_STARTED, 1);
    assert_said(f, "take 1 start ");
}

// ---- ends before their time

static void test_timeout_is_term_then_kill(void **state)
{
    struct fixture *f = *state;
    assign_all(f, &(struct want){1, 1000, 60000}, 1);
    prepared(f, 1);
    f->now += 500;
    started(f, 1);
    event(f, SC_AGENT_HEARD, 0);
    sc_buf_clear(&f->said);
    for (int i = 0; i < 19; i++) { // the coordinator is there
        pass(f, 3000);
        event(f, SC_AGENT_HEARD, 0);
    }
    sc_buf_clear(&f->said);
    pass(f, 3000);
    assert_said(f, "renew[1] term 1 ");
    pass(f, 5000);
    assert_said(f, "renew[1] kill 1 ");
    exited(f, 1, 0, SIGKILL, false);
    assert_said(f, "take 1 timeout ");
}

static void test_timeout_counts_from_the_start_and_not_from_the_word_of_it(void **state)
{
    struct fixture *f = *state;
    assign_all(f, &(struct want){1, 1000, 100}, 1);
    prepared(f, 1);
    f->now += 90;
    step(f, (struct sc_agent_event){.kind = SC_AGENT_STARTED, .attempt = 1, .u.started_ms = f->now - 60});
    sc_buf_clear(&f->said);
    pass(f, 39);
    assert_said(f, "phase 1:2 ");
    pass(f, 1);
    assert_said(f, "term 1 ");
}

static void test_revoke_in_every_state(void **state)
{
    struct fixture *f = *state;
    const struct want wants[] = {{1, 2000, 0}, {2, 2000, 0}, {3, 2000, 0},
                                 {4, 2000, 0}, {5, 2000, 0}, {6, 2000, 0}};
    assign_all(f, wants, 6);
    prepared(f, 1); // runs
    prepared(f, 2); // waits for its place
    prepared(f, 3); // is ready; 4 and 5 are fetching, 6 is queued
    sc_buf_clear(&f->said);
    revoke_one(f, 6);
    assert_said(f, "ended 6 release 6 ");
    revoke_one(f, 4);
    assert_said(f, "give-up 4:0 ");
    prepared(f, 4);
    assert_said(f, "clean 4 ");
    event(f, SC_AGENT_CLEANED, 4);
    assert_said(f, "ended 4 release 4 ");
    revoke_one(f, 3);
    event(f, SC_AGENT_CLEANED, 3);
    assert_said(f, "clean 3 ended 3 release 3 ");
    revoke_one(f, 2);
    revoke_one(f, 2); // is not told twice
    assert_said(f, "term 2 ");
    event(f, SC_AGENT_WITHDRAWN, 2);
    event(f, SC_AGENT_CLEANED, 2);
    assert_said(f, "clean 2 ended 2 release 2 ");
    revoke_one(f, 1);
    assert_said(f, "term 1 ");
    pass(f, 2000);
    assert_said(f, "phase 5:1 kill 1 ");
    exited(f, 1, 0, SIGKILL, false);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "take 1 cancelled ended 1 release 1 ");
}

static void test_what_waits_for_a_look_lets_others_be_prepared(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 1; n <= 5; n++)
        assign(f, n);
    assert_said(f,
                "accepted[1] prepare 1 accepted[2] prepare 2 accepted[3] prepare 3 accepted[4] accepted[5] ");
    event(f, SC_AGENT_LOOKING, 2);
    event(f, SC_AGENT_LOOKING, 2);
    assert_said(f, "prepare 4 ");
    prepared(f, 2);
    assert_said(f, "launch 2 ");
    prepared(f, 4);
    assert_said(f, "launch 4 prepare 5 ");
}

static void test_revoke_that_crosses_the_start_of_what_waited_ends_it(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    start(f, 2);
    assign(f, 3);
    prepared(f, 3);
    sc_buf_clear(&f->said);
    revoke_one(f, 3);
    f->now += 1500;
    exited(f, 2, 0, 0, false); // a free slot is not for what is to end
    assert_said(f, "term 3 take 2 ok ");
    exited(f, 1, 0, 0, false); // and no word of 3: it has started
    assert_said(f, "take 1 ok ");
    pass(f, 499);
    assert_said(f, "");
    pass(f, 1);
    assert_said(f, "kill 3 phase 2:3 phase 1:3 ");
    exited(f, 3, 0, SIGKILL, false);
    event(f, SC_AGENT_TAKEN, 3);
    assert_said(f, "take 3 cancelled ended 3 release 3 ");
}

static void test_revoke_of_what_is_done_is_answered_by_its_report(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    exited(f, 1, 0, 0, false);
    revoke_one(f, 1);
    event(f, SC_AGENT_TAKEN, 1);
    assert_said(f, "take 1 ok give-up 1:0 reported 1 ");
}

static void test_revoke_of_what_is_unknown_is_answered(void **state)
{
    struct fixture *f = *state;
    revoke_one(f, 77);
    assert_said(f, "ended 77 ");
}

static void test_runner_that_dies_takes_its_steps_along(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    start(f, 2);
    assign(f, 3);
    prepared(f, 3);
    sc_buf_clear(&f->said);
    event(f, SC_AGENT_RUNNER_LOST, 0);
    assert_said(f, "take 3 agent-lost take 1 agent-lost take 2 agent-lost "); // 3 may have begun
}

// ---- any order of events keeps the invariants

static void test_random_conversations_keep_the_invariants(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct fixture f = {0};
        begin(&f);
        uint64_t x = seed * 2654435761u + 1;
        for (int i = 0; i < 400; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            uint64_t n = 1 + (x >> 33) % 24, what = (x >> 50) % 16;
            const uint64_t drop[] = {n, n + 1};
            f.now += (int64_t)((x >> 40) % 900);
            if (what == 0)
                assign_all(&f, &(struct want){n, (uint32_t)(500 + (x >> 20) % 1800), (x >> 10) % 3 * 1000},
                           1);
            else if (what < 4)
                assign(&f, n);
            else if (what == 4)
                revoke_one(&f, n);
            else if (what == 5)
                welcome(&f, (x >> 10) % 30 ? "c1" : "c2", drop, (uint32_t)((x >> 20) % 3));
            else if (what == 6)
                event(&f, SC_AGENT_STRANGER, 0);
            else if (what == 7)
                event(&f, (x >> 10) % 8 ? SC_AGENT_HEARD : SC_AGENT_RUNNER_LOST, 0);
            else if (what < 10)
                prepared(&f, n);
            else if (what == 10 && (x >> 10) % 2)
                event(&f, SC_AGENT_LOOKING, n);
            else if (what == 10)
                started(&f, n);
            else if (what < 13)
                exited(&f, n, (x >> 10) % 2, 0, false);
            else if (what == 13)
                event(&f, (x >> 10) % 2 ? SC_AGENT_CLEANED : SC_AGENT_WITHDRAWN, n);
            else if (what == 15 && n == 1)
                event(&f, SC_AGENT_DESERTED, 0);
            else if (what == 14)
                event(&f, SC_AGENT_TAKEN, n);
            else if (sc_agent_core_next_deadline(f.core) <= f.now)
                event(&f, SC_AGENT_DEADLINE, 0);
            if (i == 390)
                event(&f, SC_AGENT_STOP, 0);
        }
        // Liveness: when everything is answered, it leaves.
        for (int round = 0; round < 4; round++) {
            for (uint64_t n = 1; n <= 25; n++) {
                prepared(&f, n);
                event(&f, SC_AGENT_WITHDRAWN, n);
                exited(&f, n, 0, 0, false);
                event(&f, SC_AGENT_TAKEN, n);
                event(&f, SC_AGENT_CLEANED, n);
            }
        }
        assert_int_equal(sc_agent_core_busy(f.core), 0);
        assert_true(strstr(sc_buf_cstr(&f.said), "leave(") != NULL);
        sc_agent_core_free(f.core);
        sc_buf_done(&f.said);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_attempt_goes_from_assigned_to_reported),
        TEST(test_a_step_that_runs_for_a_while_is_told_once),
        TEST(test_outcomes_are_told_apart),
        TEST(test_preparation_that_fails_is_reported),
        TEST(test_command_that_cannot_be_started_is_reported),
        TEST(test_timeout_is_term_then_kill),
        TEST(test_timeout_counts_from_the_start_and_not_from_the_word_of_it),
        TEST(test_revoke_in_every_state),
        TEST(test_what_waits_for_a_look_lets_others_be_prepared),
        TEST(test_revoke_that_crosses_the_start_of_what_waited_ends_it),
        TEST(test_revoke_of_what_is_done_is_answered_by_its_report),
        TEST(test_revoke_of_what_is_unknown_is_answered),
        TEST(test_runner_that_dies_takes_its_steps_along),
        cmocka_unit_test(test_random_conversations_keep_the_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
