#include "coordinator/core/agent.h"

#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/flight.h"
#include "coordinator/core/input.h"
#include "coordinator/core/need.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/step.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

enum {
    BACKLOG_MS = 300,
    BACKLOG_TIMES_MOST = 32, // times the agent's capacity
};

// What the flight decides is followed at once, so that one attempt's story is told before the next one's.
static void lose(struct sc_core *core, struct attempt *attempt, const char *why)
{
    flight_attempt_lost(core, attempt, why);
    step_follow_decisions(core);
}

void agent_attempt_over(struct sc_core *core, struct attempt *attempt, const char *why)
{
    if (attempt->flight)
        lose(core, attempt, why);
    attempt_release(core, attempt);
}

static void forget(struct sc_core *core, struct agent *agent, const char *why)
{
    struct attempt *attempt, *next;
    DL_FOREACH_SAFE (agent->attempts, attempt, next)
        agent_attempt_over(core, attempt, why);
}

static void describe(struct agent *agent, const struct sc_event *event)
{
    const struct sc_msg_hello *hello = event->u.hello;
    struct sc_slice name = agent->name;
    struct sc_arena arena;
    sc_arena_init(&arena);
    agent->name = sc_arena_copy(&arena, name);
    agent->assurance = sc_arena_copy(&arena, hello->assurance);
    agent->software = sc_arena_copy(&arena, hello->software);
    agent->path = sc_arena_copy(&arena, hello->path);
    agent->labels.items = SC_NEW_ARRAY(&arena, hello->labels.count, struct sc_named_text);
    agent->labels.count = hello->labels.count;
    for (uint32_t i = 0; i < hello->labels.count; i++)
        agent->labels.items[i] = (struct sc_named_text){sc_arena_copy(&arena, hello->labels.items[i].name),
                                                        sc_arena_copy(&arena, hello->labels.items[i].text)};
    sc_arena_done(&agent->arena);
    agent->arena = arena;
    agent->number = event->agent;
    agent->incarnation = hello->incarnation;
    agent->cpus_milli = hello->cpus_milli;
    agent->gpus = hello->gpus;
    agent->memory_bytes = hello->memory_bytes;
    agent->disk_bytes = hello->disk_bytes;
}

static bool holds(const struct sc_msg_hello *hello, uint64_t attempt)
{
    for (uint32_t i = 0; i < hello->held.count; i++)
        if (hello->held.items[i] == attempt)
            return true;
    return false;
}

// Attempts that the agent does not hold any more are lost; their slots are free, since it said hello without them.
static void settle_missing(struct sc_core *core, struct agent *agent, const struct sc_msg_hello *hello)
{
    struct attempt *attempt, *next;
    HASH_ITER (hh, core->attempts, attempt, next) {
        if (!sc_slice_eq(attempt->agent_name, agent->name) || holds(hello, attempt->id))
            continue;
        agent_attempt_over(core, attempt, "it came back without this attempt");
    }
}

static void welcome(struct sc_core *core, struct agent *agent, const struct sc_msg_hello *hello)
{
    struct sc_message *message = core_message(core, SC_MESSAGE_WELCOME);
    struct sc_msg_welcome *body = &message->body.welcome;
    body->coordinator = core->config.coordinator;
    body->domain = core->config.domain;
    body->lease_ms = (uint64_t)core->config.lease_ms;
    body->renew_ms = (uint64_t)core->config.renew_ms;
    body->drop.items = SC_NEW_ARRAY(&core->effects.arena, hello->held.count, uint64_t);
    body->keep.items = SC_NEW_ARRAY(&core->effects.arena, hello->held.count, uint64_t);
    bool ours = hello->coordinator.len == 0 || sc_slice_eq(hello->coordinator, core->config.coordinator);
    for (uint32_t i = 0; i < hello->held.count; i++) {
        struct attempt *attempt = ours ? attempt_find(core, hello->held.items[i]) : NULL;
        if (!attempt || !attempt->flight || !sc_slice_eq(attempt->agent_name, agent->name)) {
            body->drop.items[body->drop.count++] = hello->held.items[i];
            continue;
        }
        body->keep.items[body->keep.count++] = attempt->id;
        if (!attempt->agent)
            attempt_charge(agent, attempt);
        attempt_move(core, attempt, ATTEMPT_LIVE);
        attempt->deadline_ms = core->mono_ms + core->config.lease_ms;
        core_trace(core, "attempt %llu: adopted from agent " SC_SLICE_FMT, (unsigned long long)attempt->id,
                   SC_SLICE_ARG(agent->name));
    }
    core_send_agent(core, agent, message, core->last_seq);
    for (uint32_t i = 0; i < body->keep.count; i++) { // asked for while the agent was away
        struct attempt *attempt = attempt_find(core, body->keep.items[i]);
        if (attempt->listening)
            attempt_listen(core, attempt, true);
    }
}

void agent_hello(struct sc_core *core, const struct sc_event *event)
{
    const struct sc_msg_hello *hello = event->u.hello;
    struct agent *agent = agent_by_name(core, hello->agent);
    if (!agent) {
        agent = sc_calloc(1, sizeof *agent);
        sc_arena_init(&agent->arena);
        agent->name = sc_arena_copy(&agent->arena, hello->agent);
        DL_APPEND(core->agents, agent);
    } else if (agent->number && agent->number != event->agent) {
        core_effect(core, SC_EFFECT_DROP_AGENT)->u.drop_agent = agent->number;
    }
    bool other = agent->number != event->agent || agent->incarnation != hello->incarnation;
    describe(agent, event);
    if (other)
        need_agent_gone(core, agent->name); // what was asked over another connection may never have arrived
    agent->heard_ms = core->mono_ms;
    core_trace(core, "agent " SC_SLICE_FMT ": hello, %u attempts held", SC_SLICE_ARG(agent->name),
               hello->held.count);
    settle_missing(core, agent, hello);
    welcome(core, agent, hello);
    need_hello(core, agent, hello);
}

void agent_renew(struct sc_core *core, const struct sc_event *event)
{
    struct agent *agent = agent_by_number(core, event->agent);
    if (!agent)
        return;
    agent->heard_ms = core->mono_ms;
    struct attempt *attempt;
    DL_FOREACH (agent->attempts, attempt)
        attempt->deadline_ms = core->mono_ms + core->config.lease_ms;
}

void agent_gone(struct sc_core *core, const struct sc_event *event)
{
    struct agent *agent = agent_by_number(core, event->agent);
    if (!agent)
        return;
    core_trace(core, "agent " SC_SLICE_FMT ": gone", SC_SLICE_ARG(agent->name));
    agent->number = 0;
    need_agent_gone(core, agent->name);
    forget(core, agent, "it has left");
    core->woken = true;
}

void agent_deadlines(struct sc_core *core)
{
    struct attempt *attempt, *next;
    HASH_ITER (hh, core->attempts, attempt, next) {
        if (attempt->deadline_ms > core->mono_ms || attempt->state == ATTEMPT_LOST)
            continue;
        if (attempt->flight)
            lose(core, attempt, "not heard of in time");
        else
            attempt_move(core, attempt, ATTEMPT_LOST);
        if (!attempt->agent)
            attempt_release(core, attempt); // restored, and its agent never came: nothing is charged
    }
    struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (agent->number && core->mono_ms - agent->heard_ms > core->config.lease_ms) {
            core_trace(core, "agent " SC_SLICE_FMT ": not heard of for %lld ms", SC_SLICE_ARG(agent->name),
                       (long long)(core->mono_ms - agent->heard_ms));
            agent->number = 0;
            need_agent_gone(core, agent->name);
        }
}

// ---- placement

static bool could_run(const struct agent *agent, const struct flight *flight, const struct sc_plan_step *step)
{
    return agent_suits(agent, step) && need_agent_has(flight->need, agent, flight->environment);
}

// Short attempts wait at the agent, so that the next starts the instant a slot frees and many share one sync of the
// journal; long ones wait here, where another agent may take them. The backlog is worth about BACKLOG_MS of work.
static uint32_t room_milli(const struct agent *agent)
{
    uint64_t times = agent->mean_count == 0 ? 1 : BACKLOG_MS / (agent->mean_wall_ms + 1);
    if (times > BACKLOG_TIMES_MOST)
        times = BACKLOG_TIMES_MOST;
    uint64_t most = agent->cpus_milli * (1 + times);
    return agent->used_cpus_milli < most ? (uint32_t)(most - agent->used_cpus_milli) : 0;
}

// An agent that came back smaller may have more in use than it has.
static bool is_free(uint64_t wanted, uint64_t used, uint64_t all)
{
    return used <= all && wanted <= all - used;
}

static bool fits_now(const struct agent *agent, const struct sc_plan_step *step)
{
    return step->cpus_milli <= room_milli(agent) && is_free(step->gpus, agent->used_gpus, agent->gpus) &&
           (agent->memory_bytes == 0 ||
            is_free(step->memory_bytes, agent->used_memory_bytes, agent->memory_bytes));
}

// Whether the environment can change while a step runs: an architecture and the PATH that it is given can not.
static bool can_change(const struct sc_environment *environment)
{
    for (uint32_t i = 0; i < environment->parts.count; i++)
        if (!sc_slice_eq_str(environment->parts.items[i].name, "arch") &&
            !sc_slice_eq_str(environment->parts.items[i].name, "path"))
            return true;
    return false;
}

// What the agent is to find unchanged when the step has ended: the parts of the environment that are in the key.
static void assign_environment(struct sc_core *core, const struct flight *flight,
                               struct sc_assignment *assignment)
{
    static const char prefix[] = "environment.";
    const sc_text_list *ignored = &step_plan(flight->waiters)->ignored;
    struct sc_arena *arena = &core->effects.arena;
    struct sc_msg_probe probe = need_question(flight->need);
    probe.ignored.items = SC_NEW_ARRAY(arena, ignored->count, struct sc_slice);
    for (uint32_t i = 0; i < ignored->count; i++)
        if (sc_slice_starts(ignored->items[i], prefix))
            probe.ignored.items[probe.ignored.count++] = sc_slice_from(ignored->items[i], sizeof prefix - 1);
    struct sc_environment keyed = sc_environment_without(arena, &flight->environment->parts, &probe.ignored);
    if (!can_change(&keyed))
        return;
    assignment->probe = probe;
    assignment->environment =
        probe.ignored.count ? sc_environment_digest(&keyed) : flight->environment->digest;
}

static void grant(struct sc_core *core, struct flight *flight, struct agent *agent)
{
    struct step *owner = flight->waiters;
    flight->tries++;
    uint64_t seq =
        flight_journal_grant(core, flight, core->last_seq + 1, agent->name, agent_is_saturated(agent));
    struct attempt *attempt = attempt_new(core, seq, agent->name, step_plan(owner));
    attempt->number = flight->tries;
    attempt->deadline_ms = core->mono_ms + core->config.lease_ms;
    attempt->flight = flight;
    flight->attempt = attempt;
    attempt_charge(agent, attempt);
    flight_unqueue(core, flight);
    flight_move(core, flight, FLIGHT_ASSIGNED);
    struct step *step;
    DL_FOREACH2 (flight->waiters, step, wait_next)
        step->number = flight->tries;
    if (!agent->outbox.items)
        agent->outbox.items = SC_NEW_ARRAY(&core->effects.arena, SC_LIMIT_BATCH_ASSIGN, struct sc_assignment);
    struct sc_assignment *assignment = &agent->outbox.items[agent->outbox.count++];
    input_assign(core, owner, &core->effects.arena, assignment);
    assignment->attempt = attempt->id;
    if (!flight->unrecorded)
        assign_environment(core, flight, assignment);
    assignment->number = flight->tries;
    assignment->force_upload = flight->force_upload;
    assignment->unrecorded = flight->unrecorded;
    assignment->listened = attempt->listening = watch_wants_log(flight);
    agent->outbox_seq = seq;
    core_trace(core, "attempt %llu: " SC_SLICE_FMT " to agent " SC_SLICE_FMT, (unsigned long long)attempt->id,
               SC_SLICE_ARG(assignment->step), SC_SLICE_ARG(agent->name));
    if (agent->outbox.count == SC_LIMIT_BATCH_ASSIGN)
        agent_flush(core);
}

static struct agent *choose(struct sc_core *core, const struct flight *flight, bool *ret_could)
{
    const struct sc_plan_step *plan_step = step_plan(flight->waiters);
    struct agent *agent, *best = NULL;
    *ret_could = false;
    DL_FOREACH (core->agents, agent) {
        if (agent_suits(agent, plan_step))
            need_ask_newcomer(core, flight->need, agent);
        if (!could_run(agent, flight, plan_step))
            continue;
        *ret_could = true;
        if (fits_now(agent, plan_step) && (!best || room_milli(agent) > room_milli(best)))
            best = agent;
    }
    return best;
}

static void fail_unplaceable(struct sc_core *core, struct flight *flight)
{
    struct sc_result result = {.outcome = SC_OUTCOME_START,
                               .message = agent_none_suits(core, step_plan(flight->waiters))};
    flight_unqueue(core, flight);
    flight_fail(core, flight, &result, 0);
}

void agent_place(struct sc_core *core)
{
    bool room = false;
    struct agent *agent;
    DL_FOREACH (core->agents, agent)
        room |= agent->number && room_milli(agent) > 0;
    uint32_t unplaced = 0;
    struct flight *flight, *next;
    DL_FOREACH_SAFE2 (core->queue, flight, next, qnext) {
        if (unplaced >= QUEUE_SCAN_MOST)
            return;
        bool could = true;
        if (!room && flight->unplaceable_since_ms == 0 && unplaced > 0)
            return; // agents are full; the queue's head is enough to notice what fits nowhere
        struct agent *best = choose(core, flight, &could);
        if (best) {
            grant(core, flight, best);
            continue;
        }
        unplaced++;
        if (could) {
            flight->unplaceable_since_ms = 0;
            continue;
        }
        if (flight->unplaceable_since_ms == 0)
            flight->unplaceable_since_ms = core->mono_ms;
        else if (core->mono_ms - flight->unplaceable_since_ms >= core->config.agent_wait_ms &&
                 agent_any_alive(core)) {
            if (agent_any_suits(core, step_plan(flight->waiters)))
                flight_begin_again(core, flight); // under the key of another environment
            else
                fail_unplaceable(core, flight);
        }
    }
}

void agent_flush(struct sc_core *core)
{
    struct agent *agent;
    DL_FOREACH (core->agents, agent) {
        if (!agent->outbox.count)
            continue;
        struct sc_message *message = core_message(core, SC_MESSAGE_ASSIGN);
        message->body.assign.assignments.items = agent->outbox.items;
        message->body.assign.assignments.count = agent->outbox.count;
        core_send_agent(core, agent, message, agent->outbox_seq);
        agent->outbox.items = NULL;
        agent->outbox.count = 0;
    }
}

void agent_measure(struct agent *agent, uint64_t wall_ms)
{
    uint64_t weight = agent->mean_count < 8 ? ++agent->mean_count : 8;
    agent->mean_wall_ms = (agent->mean_wall_ms * (weight - 1) + wall_ms) / weight;
}

void sc_core_agents(const struct sc_core *core,
                    void (*visit)(void *context, const struct sc_core_agent_view *agent), void *context)
{
    const struct agent *agent;
    DL_FOREACH (core->agents, agent) {
        if (!agent->number)
            continue;
        struct sc_core_agent_view view = {
            .name = agent->name,
            .assurance = agent->assurance,
            .software = agent->software,
            .cpus_milli = agent->cpus_milli,
            .used_cpus_milli = agent->used_cpus_milli,
            .attempts = agent->attempt_count,
            .gpus = agent->gpus,
            .memory_bytes = agent->memory_bytes,
            .heard_ms = core->mono_ms - agent->heard_ms,
        };
        visit(context, &view);
    }
}
