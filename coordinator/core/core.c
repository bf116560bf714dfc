#include "coordinator/core/core.h"

#include "coordinator/core/agent.h"
#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/flight.h"
#include "coordinator/core/forget.h"
#include "coordinator/core/heal.h"
#include "coordinator/core/need.h"
#include "coordinator/core/restore.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/run.h"
#include "coordinator/core/step.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/verdict.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

enum { EFFECTS_KEPT_BYTES = 4 << 20 }; // of the effects' memory, from one turn to the next

static void free_ended(struct sc_core *core)
{
    struct run *run, *next;
    DL_FOREACH_SAFE (core->ended, run, next) {
        sc_loaded_plan_free(run->plan);
        sc_arena_done(&run->arena);
        free(run);
    }
    core->ended = NULL;
}

static void watch_event(struct sc_core *core, const struct sc_event *event)
{
    struct run *run = run_find(core, event->u.watch->run);
    if (!run) {
        core_reply_error(core, event, SC_NOT_FOUND, "no open run " SC_SLICE_FMT,
                         SC_SLICE_ARG(event->u.watch->run));
        return;
    }
    watch_add(core, run, event->client, event->client_req, event->u.watch->logs,
              event->u.watch->own && run->options.attached, false);
}

// A client that does not watch any more; an attached run does not outlive the one that it is attached to.
static void leave(struct sc_core *core, struct run *run, uint64_t client)
{
    if (watch_unwatch(core, run, client) && run->options.attached &&
        (run->state == RUN_OPEN || run->state == RUN_LOADING))
        run_cancel(core, run, "its client is gone");
}

static void unwatch_event(struct sc_core *core, const struct sc_event *event)
{
    struct run *run = run_find(core, event->u.run);
    if (run)
        leave(core, run, event->client);
}

static void client_gone_event(struct sc_core *core, const struct sc_event *event)
{
    struct run *run, *next;
    DL_FOREACH_SAFE (core->runs, run, next)
        leave(core, run, event->client);
}

static void cancel_event(struct sc_core *core, const struct sc_event *event)
{
    struct run *run = run_find(core, event->u.cancel.run);
    if (!run) {
        core_reply_error(core, event, SC_NOT_FOUND, "no open run " SC_SLICE_FMT,
                         SC_SLICE_ARG(event->u.cancel.run));
        return;
    }
    if (event->u.cancel.now)
        attempt_kill_for(core, run);
    run_cancel(core, run, "asked by a client");
    struct sc_msg_done done = {.run = sc_arena_copy(&core->effects.arena, event->u.cancel.run)};
    core_reply(core, event->client, event->client_req, SC_MESSAGE_DONE, core->last_seq, &done, sizeof done);
}

// The attempt that an agent speaks of, when it is one of its own.
static struct attempt *own_attempt(struct sc_core *core, const struct sc_event *event, uint64_t id)
{
    struct attempt *attempt = attempt_find(core, id);
    return attempt && attempt->agent && attempt->agent->number == event->agent ? attempt : NULL;
}

// The agent that was asked, of the kind that was asked.
static bool answers_probe(const struct request *request, const struct agent *agent, enum sc_probe_kind kind)
{
    return agent && sc_slice_eq(agent->name, request->agent) &&
           kind == (request->need ? request->need->kind : SC_PROBE_FILE);
}

static void reading_event(struct sc_core *core, const struct sc_event *event)
{
    const struct request *request = core_find_request(core, event->u.progress->probe);
    if (request && request->kind == REQUEST_PROBE &&
        answers_probe(request, agent_by_number(core, event->agent), SC_PROBE_FILE))
        need_reading(core, request, event->u.progress);
}

static void progress_event(struct sc_core *core, const struct sc_event *event)
{
    const struct sc_msg_progress *progress = event->u.progress;
    if (progress->attempt == 0) {
        reading_event(core, event);
        return;
    }
    struct attempt *attempt = own_attempt(core, event, progress->attempt);
    if (!attempt || !attempt->flight)
        return;
    if (attempt->flight->state == FLIGHT_ASSIGNED)
        flight_move(core, attempt->flight, FLIGHT_RUNNING);
    if (attempt->state == ATTEMPT_OFFERED)
        attempt_move(core, attempt, ATTEMPT_LIVE);
    if (progress->phase == SC_PHASE_RUNNING || progress->phase == SC_PHASE_STORING)
        flight_started(core, attempt->flight);
    struct step *step;
    DL_FOREACH2 (attempt->flight->waiters, step, wait_next) {
        struct sc_event_body body = {
            .type = SC_EV_STEP_PROGRESS,
            .at = core->wall_ms,
            .run = step->run->id,
            .step = run_step_name(core, step, &core->effects.arena),
            .attempt = attempt->number,
            .phase = progress->phase,
            .done_bytes = progress->done_bytes,
            .total_bytes = progress->total_bytes,
        };
        watch_tell(core, step->run, step, &body, 0);
        if (progress->phase == SC_PHASE_CHECKING)
            need_tell_slow(core, step, attempt->agent_name);
    }
}

static void log_event(struct sc_core *core, const struct sc_event *event)
{
    struct attempt *attempt = own_attempt(core, event, event->u.log->attempt);
    if (!attempt || !attempt->flight)
        return;
    watch_tell_log(core, attempt, event->u.log);
}

static void accepted_event(struct sc_core *core, const struct sc_event *event)
{
    for (uint32_t i = 0; i < event->u.accepted->attempts.count; i++) {
        struct attempt *attempt = own_attempt(core, event, event->u.accepted->attempts.items[i]);
        if (attempt && attempt->state == ATTEMPT_OFFERED)
            attempt_move(core, attempt, ATTEMPT_LIVE);
    }
}

static void rejected_event(struct sc_core *core, const struct sc_event *event)
{
    struct attempt *attempt = own_attempt(core, event, event->u.rejected->attempt);
    if (attempt)
        agent_attempt_over(core, attempt, "it rejected the attempt");
}

static void reported_event(struct sc_core *core, const struct sc_event *event)
{
    struct attempt *attempt = own_attempt(core, event, event->u.reported->attempt);
    const struct sc_result *result = &event->u.reported->result;
    if (!attempt)
        return; // of a stale lease, or said twice
    if (attempt->agent)
        agent_measure(attempt->agent, result->wall_ms);
    if (attempt->state == ATTEMPT_LOST && !attempt->flight) {
        attempt_release(core, attempt);
        return;
    }
    struct agent *agent = attempt->agent;
    flight_reported(core, attempt, event->u.reported);
    if (agent)
        agent->heard_ms = core->mono_ms;
}

static void ended_event(struct sc_core *core, const struct sc_event *event)
{
    struct attempt *attempt = own_attempt(core, event, event->u.ended->attempt);
    if (attempt)
        agent_attempt_over(core, attempt, "the agent ended it");
}

static void looked_up(struct sc_core *core, struct request *request, const struct sc_event *event)
{
    struct run *run = run_by_number(core, request->run);
    struct sc_looked_up failed = {.found = SC_FOUND_ERROR, .message = event->message, .may_pass = true};
    for (uint32_t i = 0; run && i < request->step_count; i++)
        verdict_looked_up(core, &run->steps[request->steps[i]],
                          event->rc == SC_OK ? &event->u.looked_up.items[i] : &failed);
}

// Which event answers a request. Numbers of probes come from agents, so nothing is believed of them but this.
static enum sc_event_kind answer_of(enum request_kind kind)
{
    switch (kind) {
    case REQUEST_PLAN:
        return SC_EVENT_PLAN_LOADED;
    case REQUEST_LOOK_UP:
        return SC_EVENT_LOOKED_UP;
    case REQUEST_PRESENCE:
        return SC_EVENT_PRESENCE;
    case REQUEST_RECORD:
        return SC_EVENT_RECORDED;
    case REQUEST_CLOSE:
        return SC_EVENT_CLOSED_OUT;
    case REQUEST_PROBE:
        return SC_EVENT_PROBED;
    }
    return SC_EVENT_CONTINUE;
}

static void answered(struct sc_core *core, const struct sc_event *event)
{
    struct request *request = core_find_request(core, event->req);
    if (!request || answer_of(request->kind) != event->kind ||
        (request->kind == REQUEST_PROBE &&
         !answers_probe(request, agent_by_number(core, event->agent), event->u.probed->kind))) {
        if (event->kind == SC_EVENT_PLAN_LOADED)
            sc_loaded_plan_free(event->u.plan_loaded);
        return;
    }
    HASH_DEL(core->requests, request);
    struct run *run = run_by_number(core, request->run);
    struct flight *flight = flight_find(core, &request->flight);
    switch (request->kind) {
    case REQUEST_PLAN:
        if (run)
            run_plan_loaded(core, run, event->u.plan_loaded, event->rc, event->message);
        else
            sc_loaded_plan_free(event->u.plan_loaded);
        break;
    case REQUEST_LOOK_UP:
        looked_up(core, request, event);
        break;
    case REQUEST_PRESENCE:
        if (flight && flight->state == FLIGHT_CHECKING)
            heal_presence(core, flight, request, event);
        break;
    case REQUEST_RECORD:
        flight_recorded(core, flight, request, event);
        break;
    case REQUEST_CLOSE:
        if (run)
            run_closed_out(core, run, event);
        break;
    case REQUEST_PROBE:
        need_probed(core, request, event->u.probed);
        break;
    }
    core_free_request(request);
}

static void probed_event(struct sc_core *core, const struct sc_event *event)
{
    struct sc_event probed = *event;
    probed.req = event->u.probed->probe;
    answered(core, &probed);
}

static void journaled_event(struct sc_core *core, const struct sc_event *event)
{
    core->durable_seq = event->u.journaled_seq;
}

// What goes on is what every event is followed by.
static void continue_event(struct sc_core *core, const struct sc_event *event)
{
    (void)core;
    (void)event;
}

static void deadline_event(struct sc_core *core, const struct sc_event *event)
{
    (void)event;
    flight_deadlines(core);
    agent_deadlines(core);
    struct run *run, *next;
    DL_FOREACH_SAFE (core->runs, run, next)
        if (run->orphan_deadline_ms && run->orphan_deadline_ms <= core->mono_ms) {
            run->orphan_deadline_ms = 0;
            run_cancel(core, run, "its client did not come back");
        }
    DL_FOREACH (core->runs, run)
        if (run->look_again_ms && run->look_again_ms <= core->mono_ms) {
            run->look_again_ms = 0;
            core->woken = true;
        }
}

// The store refuses (rc), or takes again. What a cancelled run still waits for may not come for long: it ends without.
static void store_trouble(struct sc_core *core, const struct sc_event *event)
{
    core->store_trouble = event->rc != SC_OK;
    struct run *run;
    DL_FOREACH (core->runs, run)
        if (core->store_trouble)
            watch_tell_note(core, run, SC_SLICE_FMT, SC_SLICE_ARG(event->message));
}

// Each event's handler.
static void (*const handlers[SC_EVENT_KINDS])(struct sc_core *core, const struct sc_event *event) = {
    [SC_EVENT_SUBMIT] = run_submit,
    [SC_EVENT_PLAN_LOADED] = answered,
    [SC_EVENT_CANCEL] = cancel_event,
    [SC_EVENT_WATCH] = watch_event,
    [SC_EVENT_UNWATCH] = unwatch_event,
    [SC_EVENT_CLIENT_GONE] = client_gone_event,
    [SC_EVENT_HELLO] = agent_hello,
    [SC_EVENT_RENEW] = agent_renew,
    [SC_EVENT_AGENT_GONE] = agent_gone,
    [SC_EVENT_ACCEPTED] = accepted_event,
    [SC_EVENT_REJECTED] = rejected_event,
    [SC_EVENT_PROGRESS] = progress_event,
    [SC_EVENT_LOG] = log_event,
    [SC_EVENT_REPORTED] = reported_event,
    [SC_EVENT_ENDED] = ended_event,
    [SC_EVENT_PROBED] = probed_event,
    [SC_EVENT_LOOKED_UP] = answered,
    [SC_EVENT_PRESENCE] = answered,
    [SC_EVENT_RECORDED] = answered,
    [SC_EVENT_CLOSED_OUT] = answered,
    [SC_EVENT_STORE_TROUBLE] = store_trouble,
    [SC_EVENT_JOURNALED] = journaled_event,
    [SC_EVENT_DEADLINE] = deadline_event,
    [SC_EVENT_CONTINUE] = continue_event,
    [SC_EVENT_RESTORE_ROW] = restore_row,
    [SC_EVENT_RESTORE_END] = restore_end,
};

struct sc_core *sc_core_new(const struct sc_core_config *config)
{
    for (uint32_t i = 0; i < SC_EVENT_KINDS; i++)
        SC_ASSERT(handlers[i]); // a kind without one does not live through any test
    struct sc_core *core = sc_calloc(1, sizeof *core);
    sc_arena_init(&core->arena);
    sc_arena_init(&core->effects.arena);
    sc_random_init(&core->random, config->seed);
    core->next_req =
        sc_random_next(&core->random) >> 16; // answers to an earlier life's questions fit none of this one's
    sc_key_init(&core->key);
    core->config = *config;
    core->config.coordinator = sc_arena_copy(&core->arena, config->coordinator);
    core->config.domain = sc_arena_copy(&core->arena, config->domain);
    return core;
}

void sc_core_free(struct sc_core *core)
{
    if (!core)
        return;
    struct flight *flight, *fnext;
    DL_FOREACH_SAFE (core->flights, flight, fnext) {
        if (flight->attempt)
            flight->attempt->flight = NULL;
        flight->attempt = NULL;
        flight->waiters = NULL;
        flight_free(core, flight);
    }
    struct run *run, *rnext;
    DL_FOREACH_SAFE (core->runs, run, rnext)
        run_free(core, run);
    free_ended(core);
    struct attempt *attempt, *anext;
    HASH_ITER (hh, core->attempts, attempt, anext) {
        attempt->flight = NULL;
        attempt_release(core, attempt);
    }
    struct agent *agent, *gnext;
    DL_FOREACH_SAFE (core->agents, agent, gnext) {
        sc_arena_done(&agent->arena);
        free(agent);
    }
    struct environment *environment, *enext;
    HASH_ITER (hh, core->environments, environment, enext)
        environment_free(core, environment);
    struct need *need, *nnext;
    HASH_ITER (hh, core->needs, need, nnext)
        need_free(core, need);
    struct request *request, *qnext;
    HASH_ITER (hh, core->requests, request, qnext) {
        HASH_DEL(core->requests, request);
        core_free_request(request);
    }
    free(core->look_queue);
    free(core->decisions);
    free(core->effects.items);
    sc_key_done(&core->key);
    sc_arena_done(&core->effects.arena);
    sc_arena_done(&core->arena);
    free(core);
}

// What lower rooms left to be done, since it calls upper ones.
static void work_off(struct sc_core *core)
{
    flight_environments_gone(core);
    step_follow_decisions(core);
    step_wake(core);
}

bool sc_core_step(struct sc_core *core, const struct sc_event *event, struct sc_effects **ret_effects)
{
    core->mono_ms = event->mono_ms;
    core->wall_ms = event->wall_ms;
    core->more = false;
    core->effects.count = 0;
    if (core->effects.arena.total_bytes > EFFECTS_KEPT_BYTES)
        sc_arena_done(&core->effects.arena);
    sc_arena_reset(&core->effects.arena);
    free_ended(core);
    forget_old(core);
    handlers[event->kind](core, event);
    work_off(core);
    struct run *run;
    DL_FOREACH (core->runs, run)
        watch_go_on(core, run);
    if (!core->restoring) {
        run_work(core);
        agent_place(core);
        agent_flush(core);              // before anything that was just granted may be revoked
        if (core->decision_count > 0) { // placement gave some up
            step_follow_decisions(core);
            core->more = true; // a group to visit, a flight to place
        }
        verdict_flush_look_ups(core);
    }
    *ret_effects = &core->effects;
    return core->more;
}

int64_t sc_core_next_deadline(const struct sc_core *core)
{
    int64_t at = INT64_MAX;
    int64_t flights = flight_next_deadline(core);
    if (flights < at)
        at = flights;
    for (const struct attempt *a = core->attempts; a; a = a->hh.next)
        if (a->state != ATTEMPT_LOST && a->deadline_ms < at)
            at = a->deadline_ms;
    const struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (agent->number && agent->heard_ms + core->config.lease_ms + 1 < at)
            at = agent->heard_ms + core->config.lease_ms + 1;
    const struct run *run;
    DL_FOREACH (core->runs, run) {
        if (run->orphan_deadline_ms && run->orphan_deadline_ms < at)
            at = run->orphan_deadline_ms;
        if (run->look_again_ms && run->state == RUN_OPEN && run->look_again_ms < at)
            at = run->look_again_ms;
    }
    return at;
}

uint32_t sc_core_remembered(const struct sc_core *core)
{
    return core->remembered;
}

uint32_t sc_core_live_attempts(const struct sc_core *core)
{
    return HASH_COUNT(core->attempts);
}
