#include "coordinator/core/restore.h"

#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/flight.h"
#include "coordinator/core/need.h"
#include "coordinator/core/run.h"
#include "coordinator/core/step.h"
#include "coordinator/core/tables.h"

#include "base/memory.h"

static struct flight *restored_flight(struct sc_core *core, const struct sc_fact *fact)
{
    struct flight *flight = flight_find(core, &fact->key);
    if (!flight) {
        flight = flight_new(core, &fact->key);
        flight->state = FLIGHT_QUEUED;
        flight->restored = true;
    }
    flight->made_by_run = sc_arena_copy(&flight->arena, fact->run); // whoever owned it last
    return flight;
}

static void restore_grant(struct sc_core *core, const struct sc_fact *fact)
{
    const struct run *run = run_find(core, fact->run);
    if (!run || fact->group >= run->plan->plan->steps.count)
        return;
    struct flight *flight = restored_flight(core, fact);
    if (flight->attempt && flight->attempt->id == fact->attempt)
        return; // another has become its owner
    struct attempt *attempt =
        attempt_new(core, fact->attempt, fact->agent, &run->plan->plan->steps.items[fact->group]);
    attempt->state = ATTEMPT_LIVE;
    attempt->number = flight->tries = fact->number;
    attempt->flight = flight;
    if (flight->attempt) { // its end was no fact: it is not what the flight waits for
        flight->attempt->flight = NULL;
        attempt_release(core, flight->attempt);
    }
    flight->attempt = attempt;
    flight->state = FLIGHT_RUNNING;
}

static void drop_attempt(struct sc_core *core, uint64_t id)
{
    struct attempt *attempt = attempt_find(core, id);
    if (!attempt)
        return;
    if (attempt->flight) {
        attempt->flight->attempt = NULL;
        if (attempt->flight->state == FLIGHT_RUNNING)
            attempt->flight->state = FLIGHT_QUEUED;
    }
    attempt->flight = NULL;
    attempt_release(core, attempt);
}

static void restore_report(struct sc_core *core, const struct sc_fact *fact)
{
    drop_attempt(core, fact->attempt);
    if (!run_find(core, fact->run) || flight_is_too_late(core, &fact->result))
        return; // where it was recorded, it is found
    struct flight *flight = restored_flight(core, fact);
    flight->tries = fact->number;
    if (fact->result.outcome != SC_OUTCOME_OK) {
        flight->failures++;
        return;
    }
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_encode(&sc_schema_result, &fact->result, &buf);
    struct sc_slice kept = sc_arena_copy(&flight->arena, sc_buf_slice(&buf));
    struct sc_result *result = SC_NEW(&flight->arena, struct sc_result);
    SC_ASSERT(sc_decode(&sc_schema_result, kept, SC_DECODE_LENIENT, &flight->arena, result, NULL) == SC_OK);
    flight->result = result;
    flight->state = FLIGHT_SETTLED;
}

static void restore_run(struct sc_core *core, const struct sc_event *event, const struct sc_fact *fact)
{
    if (!event->u.restore.plan)
        return; // its plan is gone from the store: the run can not go on; whoever watches it is told that it is unknown
    struct run *run = run_restore(core, fact, event->u.restore.plan);
    if (run)
        run->first_seq = event->u.restore.seq;
}

static void restore_failed(struct sc_core *core, const struct sc_fact *fact)
{
    struct run *run = run_find(core, fact->run);
    if (!run || fact->group >= run->plan->plan->steps.count ||
        fact->instance >= run->groups[fact->group].count)
        return;
    struct step *step = &run->steps[run->groups[fact->group].first + fact->instance];
    if (step->state != STEP_BLOCKED)
        return;
    struct step_info *info = step_info(step);
    step->key = fact->key;
    step->number = fact->number;
    info->log_tail = sc_arena_copy(&run->arena, fact->result.log_tail);
    info->exit_code = fact->result.exit_code;
    info->signal = fact->result.signal;
    info->wall_ms = fact->result.wall_ms;
    info->cpu_ms = fact->result.cpu_ms;
    step->verdict = SC_VERDICT_MISS;
    step_fail(core, step, fact->result.outcome, fact->result.message);
}

void restore_row(struct sc_core *core, const struct sc_event *event)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_fact fact = {0};
    core->restoring = true;
    if (core->last_seq < event->u.restore.seq)
        core->last_seq = event->u.restore.seq;
    if (sc_decode(&sc_schema_fact, event->u.restore.fact, SC_DECODE_LENIENT, &arena, &fact, NULL) != SC_OK)
        return; // a fact of a later version: what it tells is not known here
    struct run *run = fact.run.len ? run_find(core, fact.run) : NULL;
    switch (fact.kind) {
    case SC_FACT_RUN:
        restore_run(core, event, &fact);
        return;
    case SC_FACT_CLASS:
        need_restore(core, &fact);
        return;
    case SC_FACT_PIN:
        if (run && fact.index < run->plan->plan->sources.count)
            need_restore_pin(run, &fact);
        return;
    case SC_FACT_GRANT:
        restore_grant(core, &fact);
        return;
    case SC_FACT_LOST: {
        struct attempt *attempt = attempt_find(core, fact.attempt);
        if (attempt && attempt->flight)
            attempt->flight->failures++;
        drop_attempt(core, fact.attempt);
        return;
    }
    case SC_FACT_REPORT:
        restore_report(core, &fact);
        return;
    case SC_FACT_FAILED:
        restore_failed(core, &fact);
        return;
    case SC_FACT_CANCEL:
        if (run)
            run_cancel(core, run, "before the restart");
        return;
    case SC_FACT_CLOSED:
        if (run)
            run_free(core, run);
        return;
    case SC_FACT_NONE:
    case SC_FACT_KINDS:
        return;
    }
}

// Attempts of agents that did not come back are lost after a lease; the rest of the story is told by the living.
void restore_end(struct sc_core *core, const struct sc_event *event)
{
    enum { ORPHAN_MS = 30000 }; // an attached run waits so long for its client to come back
    if (core->last_seq < event->u.restore.seq)
        core->last_seq = event->u.restore.seq;
    core->durable_seq = core->last_seq;
    core->restoring = false;
    struct attempt *attempt, *anext;
    HASH_ITER (hh, core->attempts, attempt, anext) {
        attempt->deadline_ms = core->mono_ms + core->config.lease_ms;
        const struct run *run =
            run_find(core, attempt->flight ? attempt->flight->made_by_run : sc_slice(NULL, 0));
        if (!run || run->cancelling)
            drop_attempt(core, attempt->id); // its agent is told to end it
    }
    struct flight *flight, *fnext;
    DL_FOREACH_SAFE (core->flights, flight, fnext)
        if (!flight->attempt && !run_find(core, flight->made_by_run))
            flight_free(core, flight);
    struct run *run, *rnext;
    DL_FOREACH_SAFE (core->runs, run, rnext) {
        run->started_mono_ms = core->mono_ms;
        if (run->options.attached)
            run->orphan_deadline_ms = core->mono_ms + ORPHAN_MS;
        core_trace(core, "run " SC_SLICE_FMT ": taken up again", SC_SLICE_ARG(run->id));
        run_begin(run);
    }
}
