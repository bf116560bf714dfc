#include "tests/lib/test.h"

#include "agent/core/core.h"
#include "agent/core/task.h"

#include <signal.h>
#include <stdio.h>

// The core's effects, one word or two each, so that a test reads as a conversation.
struct fixture {
    struct sc_agent_core *core;
    int64_t now;
    struct sc_buf said;
};

static void say(struct fixture *f, const struct sc_agent_effect *e)
{
    unsigned long long n = (unsigned long long)e->attempt;
    switch (e->kind) {
    case SC_AGENT_SAY_HELLO:
    case SC_AGENT_SAY_RENEW:
    case SC_AGENT_SAY_ACCEPTED:
        sc_buf_add_str(&f->said, e->kind == SC_AGENT_SAY_HELLO   ? "hello["
                                 : e->kind == SC_AGENT_SAY_RENEW ? "renew["
                                                                 : "accepted[");
        for (uint32_t i = 0; i < e->held.count; i++)
            sc_buf_printf(&f->said, i ? " %llu" : "%llu", (unsigned long long)e->held.items[i]);
        sc_buf_add_str(&f->said, "] ");
        return;
    case SC_AGENT_SAY_REJECTED:
        sc_buf_printf(&f->said, "rejected %llu(" SC_SLICE_FMT ") ", n, SC_SLICE_ARG(e->text));
        return;
    case SC_AGENT_SAY_PROGRESS:
        sc_buf_printf(&f->said, "phase %llu:%d ", n, (int)e->phase);
        return;
    case SC_AGENT_SAY_REPORTED:
        sc_buf_printf(&f->said, "reported %llu ", n);
        return;
    case SC_AGENT_SAY_ENDED:
        sc_buf_printf(&f->said, "ended %llu ", n);
        return;
    case SC_AGENT_PREPARE:
        sc_buf_printf(&f->said, "prepare %llu ", n);
        return;
    case SC_AGENT_LAUNCH:
        sc_buf_printf(&f->said, "launch %llu ", n);
        if (e->after)
            sc_buf_printf(&f->said, "after %llu ", (unsigned long long)e->after);
        return;
    case SC_AGENT_GO:
        sc_buf_printf(&f->said, "go %llu ", n);
        return;
    case SC_AGENT_SIGNAL:
        sc_buf_printf(&f->said, "%s %llu ", e->signal == SIGTERM ? "term" : "kill", n);
        return;
    case SC_AGENT_TAKE:
        sc_buf_printf(&f->said, "take %llu %s ", n, sc_outcome_name(e->outcome));
        return;
    case SC_AGENT_CLEAN:
        sc_buf_printf(&f->said, "clean %llu ", n);
        return;
    case SC_AGENT_GIVE_UP:
        sc_buf_printf(&f->said, "give-up %llu:%lld ", n, (long long)e->patience_ms);
        return;
    case SC_AGENT_RELEASE:
        sc_buf_printf(&f->said, "release %llu ", n);
        return;
    case SC_AGENT_LEAVE:
        sc_buf_printf(&f->said, "leave(" SC_SLICE_FMT ") ", SC_SLICE_ARG(e->text));
        return;
    case SC_AGENT_TRACE:
        return;
    }
    fail();
}

static void step(struct fixture *f, struct sc_agent_event event)
{
    event.mono_ms = f->now;
    const struct sc_agent_effects *effects = sc_agent_core_step(f->core, &event);
    for (uint32_t i = 0; i < effects->count; i++)
        say(f, &effects->items[i]);
    sc_agent_core_check(f->core);
}

// What was said since the last call.
#define assert_said(f, text)                                                                                 \
    do {                                                                                                     \
        assert_string_equal(sc_buf_cstr(&(f)->said), text);                                                  \
        sc_buf_clear(&(f)->said);                                                                            \
    } while (0)

static void event(struct fixture *f, enum sc_agent_event_kind kind, uint64_t attempt)
{
    step(f, (struct sc_agent_event){.kind = kind, .attempt = attempt});
}

static void welcome(struct fixture *f, const char *coordinator, const uint64_t *drop, uint32_t count)
{
    struct sc_msg_welcome w = {.coordinator = sc_slice_str(coordinator),
                               .lease_ms = 15000,
                               .renew_ms = 3000,
                               .drop = {(uint64_t *)(uintptr_t)drop, count}};
    step(f, (struct sc_agent_event){.kind = SC_AGENT_WELCOME, .u.welcome = &w});
}

struct want { // of an assignment
    uint64_t attempt;
    uint32_t cpus_milli;
    uint64_t timeout_ms;
};

static void assign_items(struct fixture *f, const struct sc_assignment *items, uint32_t count)
{
    struct sc_msg_assign assign = {.assignments = {(struct sc_assignment *)(uintptr_t)items, count}};
    step(f, (struct sc_agent_event){.kind = SC_AGENT_ASSIGN, .u.assign = &assign});
}

static void assign_all(struct fixture *f, const struct want *wants, uint32_t count)
{
    struct sc_assignment *items = sc_calloc(count, sizeof *items);
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct sc_assignment){.attempt = wants[i].attempt,
                                          .cpus_milli = wants[i].cpus_milli,
                                          .timeout_ms = wants[i].timeout_ms};
    assign_items(f, items, count);
    free(items);
}

static void assign(struct fixture *f, uint64_t attempt)
{
    assign_all(f, &(struct want){attempt, 1000, 0}, 1);
}

static void prepared(struct fixture *f, uint64_t attempt)
{
    step(f,
         (struct sc_agent_event){.kind = SC_AGENT_PREPARED, .attempt = attempt, .u.prepared = SC_OUTCOME_OK});
}

static void started(struct fixture *f, uint64_t attempt)
{
    step(f, (struct sc_agent_event){.kind = SC_AGENT_STARTED, .attempt = attempt, .u.started_ms = f->now});
}

static void exited(struct fixture *f, uint64_t attempt, uint32_t code, uint32_t signal, bool oom)
{
    step(f, (struct sc_agent_event){
                .kind = SC_AGENT_EXITED, .attempt = attempt, .u.exited = {code, signal, oom}});
}

static void revoke_one(struct fixture *f, uint64_t attempt)
{
    struct sc_msg_revoke r = {.attempts = {&attempt, 1}, .grace_ms = 2000};
    step(f, (struct sc_agent_event){.kind = SC_AGENT_REVOKE, .u.revoke = &r});
}

static void drain(struct fixture *f, bool now)
{
    struct sc_msg_drain d = {.now = now};
    step(f, (struct sc_agent_event){.kind = SC_AGENT_DRAIN, .u.drain = &d});
}

// Jumps to the next deadline.
static void wake(struct fixture *f)
{
    int64_t next = sc_agent_core_next_deadline(f->core);
    assert_true(next != INT64_MAX);
    f->now = next > f->now ? next : f->now;
    event(f, SC_AGENT_DEADLINE, 0);
}

// Lets time go by, waking as often as the core asks for.
static void pass(struct fixture *f, int64_t ms)
{
    int64_t until = f->now + ms;
    while (sc_agent_core_next_deadline(f->core) <= until)
        wake(f);
    f->now = until;
}

static void begin(struct fixture *f)
{
    struct sc_agent_core_config config = {.cpus_milli = 2000,
                                          .gpus = 4,
                                          .memory_bytes = 1000,
                                          .backlog = 8,
                                          .prepare_ahead = 3,
                                          .grace_ms = 5000,
                                          .renew_ms = 3000,
                                          .trace = true};
    f->now = 1000;
    f->core = sc_agent_core_new(&config);
    sc_buf_init(&f->said, 0);
    event(f, SC_AGENT_START, 0);
    welcome(f, "c1", NULL, 0);
    assert_said(f, "hello[] ");
}

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    begin(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sc_agent_core_free(f->core);
    sc_buf_done(&f->said);
    free(f);
    return 0;
}

static void start(struct fixture *f, uint64_t attempt)
{
    assign(f, attempt);
    prepared(f, attempt);
    started(f, attempt);
    sc_buf_clear(&f->said);
}

static void report(struct fixture *f, uint64_t attempt)
{
    start(f, attempt);
    exited(f, attempt, 0, 0, false);
    event(f, SC_AGENT_TAKEN, attempt);
    sc_buf_clear(&f->said);
}

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

// ---- slots

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

// ---- the coordinator

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

// ---- leaving

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
        TEST(test_next_step_starts_when_a_slot_frees_and_not_when_its_outputs_are_taken),
        TEST(test_place_of_a_step_that_ends_passes_to_its_heir_without_a_word),
        TEST(test_only_what_needs_no_more_waits_for_a_place),
        TEST(test_large_step_is_not_overtaken_for_ever_by_what_waits_for_places),
        TEST(test_launch_that_waits_and_is_refused_leaves_the_place_to_another),
        TEST(test_preparation_runs_ahead_but_bounded),
        TEST(test_small_step_overtakes_a_large_one_but_not_for_ever),
        TEST(test_what_the_agent_cannot_hold_is_rejected),
        TEST(test_assignment_said_twice_is_held_once),
        TEST(test_timeout_is_term_then_kill),
        TEST(test_timeout_counts_from_the_start_and_not_from_the_word_of_it),
        TEST(test_revoke_in_every_state),
        TEST(test_what_waits_for_a_look_lets_others_be_prepared),
        TEST(test_revoke_that_crosses_the_start_of_what_waited_ends_it),
        TEST(test_revoke_of_what_is_done_is_answered_by_its_report),
        TEST(test_revoke_of_what_is_unknown_is_answered),
        TEST(test_runner_that_dies_takes_its_steps_along),
        TEST(test_renews_while_it_is_heard),
        TEST(test_says_hello_again_when_nothing_is_heard),
        TEST(test_stranger_says_hello_with_what_it_holds),
        TEST(test_reports_are_repeated_unless_dropped),
        TEST(test_report_is_forgotten_once_the_connection_lived_on),
        TEST(test_assignment_that_crossed_a_hello_is_rejected),
        TEST(test_attempts_of_another_coordinator_are_ended),
        TEST(test_dropped_attempt_is_ended_without_a_word),
        TEST(test_drain_finishes_what_is_held),
        TEST(test_drain_with_nothing_held_leaves_at_once),
        TEST(test_stop_gives_back_what_waits_and_lets_what_runs_finish),
        TEST(test_second_stop_ends_what_runs_and_third_kills_it),
        TEST(test_agent_that_leaves_gives_up_a_look_that_takes_long),
        TEST(test_drain_now_ends_what_runs),
        TEST(test_deserted_agent_ends_all_and_leaves),
        TEST(test_slow_fetching_and_storing_is_told),
        cmocka_unit_test(test_random_conversations_keep_the_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
