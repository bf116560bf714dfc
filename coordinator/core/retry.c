#include "coordinator/core/retry.h"

#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/need.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

// The message lies in the effects' arena.
static void decide_failed(struct sc_core *core, struct step *step, enum sc_outcome outcome,
                          struct sc_slice message)
{
    struct decision *decision = decision_add(core, step, DECISION_FAILED);
    decision->outcome = outcome;
    decision->message = message;
}

void flight_remember_work(struct step *step, const struct flight *flight, const struct sc_result *result)
{
    struct step_info *info = step_info(step);
    struct sc_arena *arena = &step->run->arena;
    info->wall_ms = result->wall_ms;
    info->cpu_ms = result->cpu_ms;
    info->max_rss_bytes = result->max_rss_bytes;
    info->exit_code = result->exit_code;
    info->signal = result->signal;
    info->message = sc_arena_copy(arena, result->message);
    info->log_tail = sc_arena_copy(arena, result->log_tail);
    if (flight->attempt)
        info->agent = sc_arena_copy(arena, flight->attempt->agent_name);
}

// Frees a flight that is over. Who waits still begins anew: the record is there to be replaced by now, or the key is
// another.
void flight_finish(struct sc_core *core, struct flight *flight)
{
    struct step *waiters = flight->waiters, *step, *next;
    flight->waiters = NULL;
    DL_FOREACH2 (waiters, step, wait_next)
        step->flight = NULL;
    flight_free(core, flight);
    DL_FOREACH_SAFE2 (waiters, step, next, wait_next) {
        step->wait_prev = step->wait_next = NULL;
        decision_add(core, step, DECISION_AGAIN);
    }
}

void flight_begin_again(struct sc_core *core, struct flight *flight)
{
    SC_ASSERT(!flight->attempt);
    core_trace(core, "flight %llu: no agent that could run it has its environment any more",
               (unsigned long long)flight->number);
    flight_move(core, flight, FLIGHT_DEAD);
    flight_finish(core, flight);
}

void flight_environments_gone(struct sc_core *core)
{
    if (!core->need_moved)
        return;
    core->need_moved = false;
    struct flight *flight, *next;
    DL_FOREACH_SAFE (core->flights, flight, next)
        if (flight->need && flight->need->moved && flight->waiters &&
            (flight->state == FLIGHT_QUEUED || flight->state == FLIGHT_BACKOFF) &&
            !need_anyone_has(core, flight->need, flight->environment, step_plan(flight->waiters)))
            flight_begin_again(core, flight);
    for (struct need *need = core->needs; need; need = need->hh.next)
        need->moved = false;
}

// The result is nobody's: its key names an environment that it did not, or not all the time, run in.
void flight_environment_changed(struct sc_core *core, struct flight *flight, struct attempt *attempt,
                                const struct sc_result *result)
{
    if (flight->need)
        need_forget(core, flight->need, attempt->agent_name);
    flight->attempt = NULL;
    attempt->flight = NULL;
    attempt_release(core, attempt);
    flight_move(core, flight, FLIGHT_DEAD);
    struct step *step, *next;
    DL_FOREACH_SAFE2 (flight->waiters, step, next, wait_next) {
        if (!step->run->told_environment)
            watch_tell_note(core, step->run, SC_SLICE_FMT "; it begins again, as all that is under way does",
                            SC_SLICE_ARG(result->message));
        step->run->told_environment = true;
        if (++step->moves <= SC_LIMIT_ENVIRONMENT_CHANGES)
            continue;
        flight_remove_waiter(flight, step);
        decide_failed(
            core, step, SC_OUTCOME_ENVIRONMENT,
            sc_arena_printf(&core->effects.arena,
                            SC_SLICE_FMT
                            "; that happened %d times in this run: a probe must print the same as long as "
                            "nothing has changed, and packages must not be installed meanwhile",
                            SC_SLICE_ARG(result->message), SC_LIMIT_ENVIRONMENT_CHANGES + 1));
    }
    flight_finish(core, flight);
}

static uint32_t retry_bit(enum sc_outcome outcome)
{
    switch (outcome) {
    case SC_OUTCOME_AGENT_LOST:
        return SC_RETRY_AGENT_LOST;
    case SC_OUTCOME_OUT_OF_MEMORY:
        return SC_RETRY_OUT_OF_MEMORY;
    case SC_OUTCOME_EXIT:
        return SC_RETRY_EXIT;
    case SC_OUTCOME_SIGNAL:
        return SC_RETRY_SIGNAL;
    case SC_OUTCOME_TIMEOUT:
        return SC_RETRY_TIMEOUT;
    case SC_OUTCOME_OUTPUT_MISSING:
        return SC_RETRY_OUTPUT_MISSING;
    case SC_OUTCOME_DISK_FULL:
        return SC_RETRY_DISK_FULL;
    case SC_OUTCOME_INPUT_LOST:
        return SC_RETRY_INPUT_LOST;
    case SC_OUTCOME_STORE:
        return SC_RETRY_STORE;
    case SC_OUTCOME_OK:
    case SC_OUTCOME_OUTPUT_NOT_ALLOWED:
    case SC_OUTCOME_START:
    case SC_OUTCOME_VALUE:
    case SC_OUTCOME_CANCELLED:
    case SC_OUTCOME_NOT_CACHED:
    case SC_OUTCOME_UPSTREAM:
    case SC_OUTCOME_PROBE:
    case SC_OUTCOME_ENVIRONMENT:
    case SC_OUTCOME_INTERNAL:
    case SC_OUTCOME_COUNT:
        return 0;
    }
    return 0;
}

// The backoff of a step's n-th retry: doubling, at most an hour, and up to a fifth more so that retries spread.
static int64_t backoff(struct sc_core *core, const struct sc_plan_step *plan_step, uint32_t failures)
{
    int64_t ms = plan_step->retry_backoff_ms;
    for (uint32_t i = 1; i < failures && ms < 3600000; i++)
        ms *= 2;
    if (ms > 3600000)
        ms = 3600000;
    return ms + (int64_t)sc_random_below(&core->random, (uint64_t)(ms / 5 + 1));
}

static void tell_retry(struct sc_core *core, struct step *step, enum sc_outcome outcome, int64_t wait_ms,
                       uint64_t after_seq)
{
    struct sc_event_body event = {
        .type = SC_EV_STEP_RETRY,
        .at = core->wall_ms,
        .run = step->run->id,
        .step = run_step_name(core, step, &core->effects.arena),
        .attempt = step->number,
        .outcome = outcome,
        .next_in_ms = (uint64_t)wait_ms,
        .text = step->info ? step->info->message : sc_slice(NULL, 0),
        .log_tail = step->info ? step->info->log_tail : sc_slice(NULL, 0),
    };
    watch_tell(core, step->run, step, &event, after_seq);
}

void flight_fail(struct sc_core *core, struct flight *flight, const struct sc_result *result,
                 uint64_t after_seq)
{
    struct step *owner = flight->waiters;
    while (owner && owner->again)
        owner = owner->wait_next;
    flight->failures++;
    if (!owner) { // restored, and its step has not come yet; or only steps are left that want a younger one
        if (flight->waiters) {
            flight_finish(core, flight);
            return;
        }
        flight->state = FLIGHT_QUEUED;
        return;
    }
    flight_remember_work(owner, flight, result);
    const struct sc_plan_step *plan_step = step_plan(owner);
    owner->attempts++;
    if (plan_step->retry_on & retry_bit(result->outcome) && owner->attempts < plan_step->retry_attempts) {
        int64_t wait_ms = backoff(core, plan_step, owner->attempts);
        flight_move(core, flight, FLIGHT_BACKOFF);
        flight->backoff_ms = core->mono_ms + wait_ms;
        tell_retry(core, owner, result->outcome, wait_ms, after_seq);
        return;
    }
    flight_move(core, flight, FLIGHT_DEAD);
    struct step *failed = owner;
    flight_remove_waiter(flight, failed);
    flight_finish(core, flight); // the others queue again under their own limits
    decide_failed(core, failed, result->outcome, result->message);
}

void flight_fail_attempt(struct sc_core *core, struct flight *flight, struct attempt *attempt,
                         const struct sc_result *result, uint64_t after_seq)
{
    struct sc_result *copy = SC_NEW(&core->effects.arena, struct sc_result); // the flight's memory may go
    *copy = *result;
    copy->message = sc_arena_copy(&core->effects.arena, result->message);
    copy->log_tail = sc_arena_copy(&core->effects.arena, result->log_tail);
    struct step *owner = flight->waiters;
    if (owner)
        flight_remember_work(owner, flight, copy);
    flight->attempt = NULL;
    attempt->flight = NULL;
    flight_fail(core, flight, copy, after_seq);
}

void flight_attempt_lost(struct sc_core *core, struct attempt *attempt, const char *why)
{
    struct flight *flight = attempt->flight;
    core_trace(core, "attempt %llu: lost: %s", (unsigned long long)attempt->id, why);
    attempt_move(core, attempt, ATTEMPT_LOST);
    if (!flight)
        return;
    struct sc_fact fact = {.kind = SC_FACT_LOST, .attempt = attempt->id, .key = flight->key};
    uint64_t seq = core_journal(core, &fact, false);
    struct step *step;
    DL_FOREACH2 (flight->waiters, step, wait_next)
        step->started = false;
    if (flight->state == FLIGHT_ASSIGNED)
        flight_move(core, flight, FLIGHT_RUNNING);
    struct sc_result result = {
        .outcome = SC_OUTCOME_AGENT_LOST,
        .message = sc_arena_printf(&core->effects.arena, "agent " SC_SLICE_FMT " is lost: %s",
                                   SC_SLICE_ARG(attempt->agent_name), why),
    };
    flight_fail_attempt(core, flight, attempt, &result, seq);
}

void flight_deadlines(struct sc_core *core)
{
    struct flight *flight, *next;
    DL_FOREACH_SAFE (core->flights, flight, next) {
        if (core->backoff_count == 0)
            return;
        if (flight->state == FLIGHT_BACKOFF && flight->backoff_ms <= core->mono_ms) {
            flight_move(core, flight, FLIGHT_QUEUED);
            flight_queue(core, flight);
        }
    }
}

// Called every turn, so it looks only at what can have a deadline: flights in backoff, and the queue's head.
int64_t flight_next_deadline(const struct sc_core *core)
{
    int64_t at = INT64_MAX;
    const struct flight *flight;
    if (core->backoff_count > 0)
        DL_FOREACH (core->flights, flight)
            if (flight->state == FLIGHT_BACKOFF && flight->backoff_ms < at)
                at = flight->backoff_ms;
    // Without an agent nothing is decided about what fits nowhere; a hello is an event of its own.
    bool anybody = agent_any_alive(core);
    uint32_t looked = 0;
    DL_FOREACH2 (core->queue, flight, qnext) {
        if (!anybody || looked++ >= QUEUE_SCAN_MOST || flight->unplaceable_since_ms == 0)
            break;
        if (flight->unplaceable_since_ms + core->config.agent_wait_ms < at)
            at = flight->unplaceable_since_ms + core->config.agent_wait_ms;
    }
    return at;
}
