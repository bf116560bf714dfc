// What the tests of the agent's core share: a conversation with it, said in a word or two each.
#pragma once

#include "tests/lib/test.h"

#include "agent/core/core.h"
#include "agent/core/task.h"

#include <signal.h>
#include <stdio.h>

#define UNUSED_OK __attribute__((unused))

// The core's effects, one word or two each, so that a test reads as a conversation.
struct fixture {
    struct sc_agent_core *core;
    int64_t now;
    struct sc_buf said;
};

static UNUSED_OK void say(struct fixture *f, const struct sc_agent_effect *e)
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

static UNUSED_OK void step(struct fixture *f, struct sc_agent_event event)
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

static UNUSED_OK void event(struct fixture *f, enum sc_agent_event_kind kind, uint64_t attempt)
{
    step(f, (struct sc_agent_event){.kind = kind, .attempt = attempt});
}

static UNUSED_OK void welcome(struct fixture *f, const char *coordinator, const uint64_t *drop,
                              uint32_t count)
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

static UNUSED_OK void assign_items(struct fixture *f, const struct sc_assignment *items, uint32_t count)
{
    struct sc_msg_assign assign = {.assignments = {(struct sc_assignment *)(uintptr_t)items, count}};
    step(f, (struct sc_agent_event){.kind = SC_AGENT_ASSIGN, .u.assign = &assign});
}

static UNUSED_OK void assign_all(struct fixture *f, const struct want *wants, uint32_t count)
{
    struct sc_assignment *items = sc_calloc(count, sizeof *items);
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct sc_assignment){.attempt = wants[i].attempt,
                                          .cpus_milli = wants[i].cpus_milli,
                                          .timeout_ms = wants[i].timeout_ms};
    assign_items(f, items, count);
    free(items);
}

static UNUSED_OK void assign(struct fixture *f, uint64_t attempt)
{
    assign_all(f, &(struct want){attempt, 1000, 0}, 1);
}

static UNUSED_OK void prepared(struct fixture *f, uint64_t attempt)
{
    step(f,
         (struct sc_agent_event){.kind = SC_AGENT_PREPARED, .attempt = attempt, .u.prepared = SC_OUTCOME_OK});
}

static UNUSED_OK void started(struct fixture *f, uint64_t attempt)
{
    step(f, (struct sc_agent_event){.kind = SC_AGENT_STARTED, .attempt = attempt, .u.started_ms = f->now});
}

static UNUSED_OK void exited(struct fixture *f, uint64_t attempt, uint32_t code, uint32_t signal, bool oom)
{
    step(f, (struct sc_agent_event){
                .kind = SC_AGENT_EXITED, .attempt = attempt, .u.exited = {code, signal, oom}});
}

static UNUSED_OK void revoke_one(struct fixture *f, uint64_t attempt)
{
    struct sc_msg_revoke r = {.attempts = {&attempt, 1}, .grace_ms = 2000};
    step(f, (struct sc_agent_event){.kind = SC_AGENT_REVOKE, .u.revoke = &r});
}

static UNUSED_OK void drain(struct fixture *f, bool now)
{
    struct sc_msg_drain d = {.now = now};
    step(f, (struct sc_agent_event){.kind = SC_AGENT_DRAIN, .u.drain = &d});
}

// Jumps to the next deadline.
static UNUSED_OK void wake(struct fixture *f)
{
    int64_t next = sc_agent_core_next_deadline(f->core);
    assert_true(next != INT64_MAX);
    f->now = next > f->now ? next : f->now;
    event(f, SC_AGENT_DEADLINE, 0);
}

// Lets time go by, waking as often as the core asks for.
static UNUSED_OK void pass(struct fixture *f, int64_t ms)
{
    int64_t until = f->now + ms;
    while (sc_agent_core_next_deadline(f->core) <= until)
        wake(f);
    f->now = until;
}

static UNUSED_OK void begin(struct fixture *f)
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

static UNUSED_OK int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    begin(f);
    *state = f;
    return 0;
}

static UNUSED_OK int teardown(void **state)
{
    struct fixture *f = *state;
    sc_agent_core_free(f->core);
    sc_buf_done(&f->said);
    free(f);
    return 0;
}

static UNUSED_OK void start(struct fixture *f, uint64_t attempt)
{
    assign(f, attempt);
    prepared(f, attempt);
    started(f, attempt);
    sc_buf_clear(&f->said);
}

static UNUSED_OK void report(struct fixture *f, uint64_t attempt)
{
    start(f, attempt);
    exited(f, attempt, 0, 0, false);
    event(f, SC_AGENT_TAKEN, attempt);
    sc_buf_clear(&f->said);
}
