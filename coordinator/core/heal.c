// Healing: an agent could not have an input that the store was believed to hold. The coordinator confirms the loss itself,
// withdraws the records that name what is gone, and lets their producers run again, as far up as needed.
#include "coordinator/core/state.h"

#include "base/limits.h"
#include "base/memory.h"

static uint32_t collect(struct sc_core *core, struct flight *flight, struct sc_artifact **ret_items,
                        const struct sc_assigned_input **ret_inputs, uint32_t *ret_input_count)
{
    struct sc_assignment a;
    input_assign(core, flight->waiters, &core->effects.arena, &a);
    uint32_t most = 1;
    for (uint32_t i = 0; i < a.inputs.count; i++)
        most += a.inputs.items[i].kind == SC_INPUT_FAN_IN ? a.inputs.items[i].entries.count : 1;
    struct sc_artifact *items = SC_NEW_ARRAY(&core->effects.arena, most, struct sc_artifact);
    uint32_t count = 0;
    for (uint32_t i = 0; i < a.inputs.count; i++) {
        const struct sc_assigned_input *input = &a.inputs.items[i];
        if (input->kind == SC_INPUT_ARTIFACT)
            items[count++] = input->artifact;
        for (uint32_t k = 0; input->kind == SC_INPUT_FAN_IN && k < input->entries.count; k++)
            items[count++] = input->entries.items[k].artifact;
    }
    *ret_items = items;
    *ret_inputs = a.inputs.items;
    *ret_input_count = a.inputs.count;
    return count;
}

void heal_begin(struct sc_core *core, struct flight *flight)
{
    struct sc_artifact *items;
    const struct sc_assigned_input *inputs;
    uint32_t input_count, count = collect(core, flight, &items, &inputs, &input_count);
    core_trace(core, "flight %llu: an input could not be had; looking which are gone",
               (unsigned long long)flight->number);
    struct request *request;
    struct sc_effect *effect = core_request(core, SC_EFFECT_PRESENCE, REQUEST_PRESENCE, &request);
    effect->u.presence.items = items;
    effect->u.presence.count = count;
    request->flight = flight->key;
}

// The producers of a waiter whose outputs are gone run again. False when something is gone that no step can make.
static bool heal_producers(struct sc_core *core, struct step *step, const enum sc_rc *rets, uint32_t count,
                           uint32_t *ret_healed, struct sc_slice *ret_why)
{
    struct run *run = step->run;
    const struct sc_plan_step *plan_step = step_plan(step);
    uint32_t at = 0;
    for (uint32_t i = 0; i < plan_step->inputs.count; i++) {
        const struct sc_plan_input *input = &plan_step->inputs.items[i];
        if (input->from == SC_FROM_VALUE)
            continue;
        if (input->from == SC_FROM_SOURCE) {
            if (at < count && rets[at++] != SC_OK) {
                *ret_why =
                    sc_arena_printf(&core->effects.arena,
                                    "the source " SC_SLICE_FMT
                                    " is gone from the store; start the run again, which stores it anew",
                                    SC_SLICE_ARG(run->plan->plan->sources.items[input->node].name));
                return false;
            }
            continue;
        }
        struct group *group = &run->groups[input->node];
        for (uint32_t k = 0; k < group->count; k++) {
            struct step *producer = &run->steps[group->first + k];
            if (at >= count || rets[at++] == SC_OK)
                continue;
            if (producer->state != STEP_DONE) { // another consumer noticed first
                (*ret_healed)++;
                continue;
            }
            if (producer->heals >= SC_LIMIT_HEALS) {
                *ret_why = sc_arena_printf(
                    &core->effects.arena,
                    "the output of " SC_SLICE_FMT " was lost %d times in this run; check the store",
                    SC_SLICE_ARG(run_step_name(core, producer, &core->effects.arena)), SC_LIMIT_HEALS);
                return false;
            }
            struct sc_effect *effect = core_effect(core, SC_EFFECT_WRITE_VOID);
            effect->u.write_void.key = producer->key;
            effect->u.write_void.reason = sc_slice_str("objects-lost");
            run_step_unfinished(core, producer);
            step_move(core, producer, STEP_HEALING);
            if (producer->cached)
                run->hits--;
            else if (producer->verdict == SC_VERDICT_JOIN)
                run->joined--;
            else
                run->misses--;
            producer->cached = producer->own_work = false;
            producer->heals++;
            producer->lost = true;
            (*ret_healed)++;
        }
    }
    return true;
}

static void wake_healing(struct sc_core *core, struct run *run)
{
    for (uint32_t i = 0; i < run->step_count; i++)
        if (run->steps[i].state == STEP_HEALING) {
            step_move(core, &run->steps[i], STEP_PROBING);
            step_evaluate(core, &run->steps[i]);
        }
}

void heal_presence(struct sc_core *core, struct flight *flight, const struct sc_event *event)
{
    struct step *waiters = flight->waiters, *step, *next;
    flight->waiters = NULL;
    DL_FOREACH2 (waiters, step, wait_next)
        step->flight = NULL;
    struct sc_slice lost_message =
        sc_arena_copy(&core->effects.arena, flight->result ? flight->result->message : sc_slice(NULL, 0));
    flight_free(core, flight);
    DL_FOREACH_SAFE2 (waiters, step, next, wait_next) {
        struct run *run = step->run;
        uint32_t healed = 0;
        struct sc_slice why = lost_message;
        step->wait_prev = step->wait_next = NULL;
        step->again = false;
        bool good = event->rc == SC_OK && heal_producers(core, step, event->u.presence.rets,
                                                         event->u.presence.count, &healed, &why);
        if (!good || (healed == 0 && ++step->attempts > SC_LIMIT_HEALS)) {
            step_fail(core, step, SC_OUTCOME_INPUT_LOST, why);
            wake_healing(core, run);
            continue;
        }
        if (healed == 0) { // all is there: the agent's trouble may pass
            step_move(core, step, STEP_LOOKING);
            step_evaluate(core, step);
            continue;
        }
        watch_tell_note(core, run, "%u lost result%s needed by " SC_SLICE_FMT ": made again", healed,
                        healed == 1 ? "" : "s",
                        SC_SLICE_ARG(run_step_name(core, step, &core->effects.arena)));
        step_move(core, step, STEP_BLOCKED);
        wake_healing(core, run);
    }
}
