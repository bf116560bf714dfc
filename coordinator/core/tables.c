#include "coordinator/core/tables.h"

#include "base/memory.h"

// ---- runs

struct run *run_find(struct sc_core *core, struct sc_slice id)
{
    struct run *run;
    HASH_FIND(by_id, core->runs_by_id, id.ptr, id.len, run);
    return run;
}

struct run *run_by_number(struct sc_core *core, uint64_t number)
{
    struct run *run;
    DL_FOREACH (core->runs, run)
        if (run->number == number)
            return run;
    return NULL;
}

void run_look_again_at(struct run *run, int64_t at_ms)
{
    if (!run->look_again_ms || at_ms < run->look_again_ms)
        run->look_again_ms = at_ms;
}

void run_store_failed(struct run *run, enum sc_rc rc, struct sc_slice message)
{
    if (run->store_rc != SC_OK)
        return;
    run->store_rc = rc;
    run->store_message = sc_arena_copy(&run->arena, message);
}

bool run_is_stopping(const struct run *run)
{
    return run->cancelling || run->failing;
}

void run_visit_later(struct run *run, struct group *group)
{
    if (group->visiting)
        return;
    group->visiting = true;
    uint32_t index = (uint32_t)(group - run->groups) + 1;
    if (run->visit_last)
        run->groups[run->visit_last - 1].visit_next = index;
    else
        run->visit_first = index;
    run->visit_last = index;
    group->visit_next = 0;
}

// ---- steps

// 2-ARCHITECTURE, "step of a run". Every other move is a defect.
static const uint16_t step_moves[STEP_STATES] = {
    [STEP_BLOCKED] =
        1 << STEP_PROBING | 1 << STEP_LOOKING | 1 << STEP_SKIPPED | 1 << STEP_CANCELLED | 1 << STEP_FAILED,
    [STEP_PROBING] =
        1 << STEP_LOOKING | 1 << STEP_FAILED | 1 << STEP_CANCELLED | 1 << STEP_SKIPPED | 1 << STEP_BLOCKED,
    [STEP_LOOKING] = 1 << STEP_DONE | 1 << STEP_WAITING | 1 << STEP_FAILED | 1 << STEP_CANCELLED |
                     1 << STEP_SKIPPED | 1 << STEP_BLOCKED,
    [STEP_WAITING] =
        1 << STEP_DONE | 1 << STEP_LOOKING | 1 << STEP_FAILED | 1 << STEP_CANCELLED | 1 << STEP_BLOCKED,
    [STEP_DONE] = 1 << STEP_HEALING,
    [STEP_HEALING] = 1 << STEP_DONE | 1 << STEP_FAILED | 1 << STEP_CANCELLED | 1 << STEP_PROBING |
                     1 << STEP_LOOKING | 1 << STEP_WAITING,
};

void step_move(struct sc_core *core, struct step *step, enum step_state to)
{
    (void)core;
    SC_ASSERT(step_moves[step->state] & 1 << to);
    step->state = (uint8_t)to;
}

const struct sc_plan_step *step_plan(const struct step *step)
{
    return &step->run->plan->plan->steps.items[step->group];
}

struct group *step_group(const struct step *step)
{
    return &step->run->groups[step->group];
}

struct step_info *step_info(struct step *step)
{
    if (!step->info)
        step->info = SC_NEW(&step->run->arena, struct step_info);
    return step->info;
}

struct sc_slice run_step_name(struct sc_core *core, const struct step *step, struct sc_arena *arena)
{
    (void)core;
    const struct sc_plan_step *plan_step = step_plan(step);
    if (!plan_step->matrix.count)
        return plan_step->name;
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_plan_instance_name(plan_step, step->instance, &name);
    return sc_arena_copy(arena, sc_buf_slice(&name));
}

// Outputs and values by the names of the plan; false when the record lacks one.
bool step_take_record(struct step *step, const struct sc_core_record *record)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    struct sc_arena *arena = &step->run->arena;
    if (record->outputs.count < plan_step->outputs.count || record->values.count < plan_step->values.count)
        return false;
    struct step_result *result = SC_NEW(arena, struct step_result);
    result->outputs = SC_NEW_ARRAY(arena, plan_step->outputs.count, struct sc_artifact);
    result->values = SC_NEW_ARRAY(arena, plan_step->values.count, struct sc_slice);
    result->output_count = plan_step->outputs.count;
    result->value_count = plan_step->values.count;
    for (uint32_t i = 0, k = 0; i < plan_step->outputs.count; i++, k++) {
        while (k < record->outputs.count &&
               !sc_slice_eq(record->outputs.items[k].name, plan_step->outputs.items[i].name))
            k++;
        if (k == record->outputs.count)
            return false;
        sc_artifact_copy(arena, &record->outputs.items[k].artifact, &result->outputs[i]);
    }
    for (uint32_t i = 0, k = 0; i < plan_step->values.count; i++, k++) {
        while (k < record->values.count &&
               !sc_slice_eq(record->values.items[k].name, plan_step->values.items[i].name))
            k++;
        if (k == record->values.count)
            return false;
        result->values[i] = sc_arena_copy(arena, record->values.items[k].text);
    }
    step->result = result;
    return true;
}

void step_take_result(struct step *step, const struct sc_result *from)
{
    struct sc_core_record as_record = {.outputs = {from->outputs.items, from->outputs.count},
                                       .values = {from->values.items, from->values.count}};
    SC_ASSERT(
        step_take_record(step, &as_record)); // the agent's report was checked against the plan when it came
}

struct decision *decision_add(struct sc_core *core, struct step *step, enum decision_kind kind)
{
    if (core->decision_count == core->decision_room) {
        core->decision_room = core->decision_room ? core->decision_room * 2 : 64;
        core->decisions = sc_realloc(core->decisions, core->decision_room, sizeof *core->decisions);
    }
    struct decision *decision = &core->decisions[core->decision_count++];
    *decision = (struct decision){.step = step, .kind = kind};
    return decision;
}

// ---- flights

static const uint16_t flight_moves[FLIGHT_STATES] = {
    [FLIGHT_QUEUED] = 1 << FLIGHT_ASSIGNED | 1 << FLIGHT_ABORTED | 1 << FLIGHT_DEAD | 1 << FLIGHT_SETTLED,
    [FLIGHT_ASSIGNED] = 1 << FLIGHT_RUNNING | 1 << FLIGHT_QUEUED | 1 << FLIGHT_CHECKING | 1 << FLIGHT_ABORTED,
    [FLIGHT_RUNNING] = 1 << FLIGHT_CHECKING | 1 << FLIGHT_BACKOFF | 1 << FLIGHT_DEAD | 1 << FLIGHT_ABORTED,
    [FLIGHT_CHECKING] = 1 << FLIGHT_SETTLED | 1 << FLIGHT_BACKOFF | 1 << FLIGHT_DEAD | 1 << FLIGHT_ABORTED,
    [FLIGHT_BACKOFF] = 1 << FLIGHT_QUEUED | 1 << FLIGHT_ABORTED | 1 << FLIGHT_DEAD,
};

void flight_move(struct sc_core *core, struct flight *flight, enum flight_state to)
{
    SC_ASSERT(flight_moves[flight->state] & 1 << to);
    SC_ASSERT(to != FLIGHT_ABORTED || !flight->waiters);
    core->backoff_count += to == FLIGHT_BACKOFF;
    core->backoff_count -= flight->state == FLIGHT_BACKOFF;
    flight->state = to;
}

struct flight *flight_find(struct sc_core *core, const struct sc_digest *key)
{
    struct flight *flight;
    HASH_FIND(hh, core->flights_by_key, key, sizeof *key, flight);
    return flight;
}

struct flight *flight_new(struct sc_core *core, const struct sc_digest *key)
{
    struct flight *flight = sc_calloc(1, sizeof *flight);
    flight->key = *key;
    flight->number = ++core->next_flight;
    sc_arena_init(&flight->arena);
    HASH_ADD(hh, core->flights_by_key, key, sizeof flight->key, flight);
    DL_APPEND(core->flights, flight);
    return flight;
}

void flight_queue(struct sc_core *core, struct flight *flight)
{
    SC_ASSERT(!flight->queued && flight->state == FLIGHT_QUEUED);
    flight->unplaceable_since_ms = 0;
    flight->queued = true;
    flight->queued_milli =
        flight->environment && flight->waiters ? step_plan(flight->waiters)->cpus_milli : 0;
    if (flight->queued_milli)
        flight->environment->queued_milli += flight->queued_milli;
    DL_APPEND2(core->queue, flight, qprev, qnext);
}

void flight_unqueue(struct sc_core *core, struct flight *flight)
{
    if (flight->queued)
        DL_DELETE2(core->queue, flight, qprev, qnext);
    flight->queued = false;
    if (flight->queued_milli)
        flight->environment->queued_milli -= flight->queued_milli;
    flight->queued_milli = 0;
}

void flight_free(struct sc_core *core, struct flight *flight)
{
    SC_ASSERT(!flight->waiters && !flight->attempt);
    flight_unqueue(core, flight);
    HASH_DEL(core->flights_by_key, flight);
    DL_DELETE(core->flights, flight);
    sc_arena_done(&flight->arena);
    free(flight);
}

void flight_add_waiter(struct flight *flight, struct step *step)
{
    step->flight = flight;
    DL_APPEND2(flight->waiters, step, wait_prev, wait_next);
}

void flight_remove_waiter(struct flight *flight, struct step *step)
{
    DL_DELETE2(flight->waiters, step, wait_prev, wait_next);
    step->wait_prev = step->wait_next = NULL;
    step->flight = NULL;
}

// ---- agents

struct agent *agent_by_number(struct sc_core *core, uint64_t number)
{
    struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (number && agent->number == number)
            return agent;
    return NULL;
}

struct agent *agent_by_name(struct sc_core *core, struct sc_slice name)
{
    struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (sc_slice_eq(agent->name, name))
            return agent;
    return NULL;
}

bool agent_any_alive(const struct sc_core *core)
{
    const struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (agent->number)
            return true;
    return false;
}

// ---- what a key needs

void answer_free(struct sc_core *core, struct need *need, struct answer *answer)
{
    LL_DELETE(need->answers, answer);
    core->remembered--;
    free((void *)answer->agent.ptr);
    sc_buf_done(&answer->message);
    free(answer);
}

void need_free(struct sc_core *core, struct need *need)
{
    while (need->answers)
        answer_free(core, need, need->answers);
    HASH_DEL(core->needs, need);
    core->remembered--;
    sc_arena_done(&need->arena);
    free(need);
}

void environment_free(struct sc_core *core, struct environment *environment)
{
    HASH_DEL(core->environments, environment);
    core->remembered--;
    sc_arena_done(&environment->arena);
    free(environment);
}
