#include "coordinator/core/heal.h"

#include "coordinator/core/effects.h"
#include "coordinator/core/input.h"
#include "coordinator/core/need.h"
#include "coordinator/core/step.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>

// What the store does not have, sorted. Runs that share a flight share digests, not the order of inputs.
struct gone {
    struct sc_digest *items;
    uint32_t count;
    struct sc_digest
        unreadable; // what the agent could not have, though the store says that it is there; zero: none
};

static int by_digest(const void *a, const void *b)
{
    return sc_digest_cmp(a, b);
}

// What could not be told is not lost.
static struct gone gone_of(struct sc_core *core, const struct request *request, const struct sc_event *event)
{
    struct gone gone = {.items = SC_NEW_ARRAY(&core->effects.arena, request->object_count, struct sc_digest)};
    if (event->rc != SC_OK)
        return gone;
    SC_ASSERT(event->u.presence.count == request->object_count);
    for (uint32_t i = 0; i < request->object_count; i++)
        if (event->u.presence.rets[i] == SC_NOT_FOUND)
            gone.items[gone.count++] = request->objects[i];
    if (gone.count)
        qsort(gone.items, gone.count, sizeof *gone.items, by_digest);
    return gone;
}

// An agent that says so once may be wrong itself; twice, the store's word is not enough: HEAD sees no wrong byte.
static bool is_gone(const struct gone *gone, const struct step *step, const struct sc_digest *digest)
{
    if (step->attempts > 0 && gone->count == 0 && sc_digest_eq(&gone->unreadable, digest))
        return true;
    return gone->count && bsearch(digest, gone->items, gone->count, sizeof *gone->items, by_digest);
}

static void make_again(struct sc_core *core, struct step *maker)
{
    struct run *run = maker->run;
    struct sc_effect *effect = core_effect(core, SC_EFFECT_WRITE_VOID);
    effect->u.write_void.key = maker->key;
    effect->u.write_void.reason = sc_slice_str("objects-lost");
    step_unfinished(maker);
    step_move(core, maker, STEP_HEALING);
    if (maker->cached)
        run->hits--;
    else if (maker->verdict == SC_VERDICT_JOIN)
        run->joined--;
    else
        run->misses--;
    maker->cached = maker->own_work = false;
    maker->heals++;
    maker->candidate = 0;
    maker->chosen = false;
    maker->unread = 0;
    maker->lost = true;
}

// An agent that sees the source puts it there again.
static bool heal_source(const struct step *step, const struct input_artifact *input)
{
    struct source_pin *pin = &step->run->pins[input->source];
    if (input->code || step->run->plan->plan->sources.items[input->source].kind == SC_SOURCE_LOCAL ||
        (pin->read && pin->heals >= SC_LIMIT_HEALS))
        return false;
    pin_again(pin);
    return true;
}

// What no step makes and no agent sees comes from the client, which sends what the store does not have.
static struct sc_slice why_unmade(struct sc_core *core, const struct step *step,
                                  const struct input_artifact *input)
{
    struct sc_arena *arena = &core->effects.arena;
    if (input->code)
        return sc_slice_str("its code is gone from the store; start the run again, which stores it anew");
    return sc_arena_printf(arena,
                           "the source " SC_SLICE_FMT
                           " is gone from the store; start the run again, which stores it anew",
                           SC_SLICE_ARG(step->run->plan->plan->sources.items[input->source].name));
}

// The makers of a waiter's inputs that are gone run again. False when something is gone that no step can make.
static bool heal_inputs(struct sc_core *core, struct step *step, const struct gone *gone,
                        uint32_t *ret_healed, struct sc_slice *ret_why)
{
    struct sc_arena *arena = &core->effects.arena;
    struct input_artifact *inputs;
    uint32_t count = input_artifacts(step, arena, &inputs);
    for (uint32_t i = 0; i < count; i++) {
        struct step *maker = inputs[i].maker;
        if (!is_gone(gone, step, &inputs[i].artifact->digest))
            continue;
        if (!maker && heal_source(step, &inputs[i])) {
            (*ret_healed)++;
            continue;
        }
        if (!maker) {
            *ret_why = why_unmade(core, step, &inputs[i]);
            return false;
        }
        if (maker->state == STEP_DONE && maker->heals >= SC_LIMIT_HEALS) {
            *ret_why = sc_arena_printf(
                arena, "the output of " SC_SLICE_FMT " was lost %d times in this run; check the store",
                SC_SLICE_ARG(run_step_name(core, maker, arena)), SC_LIMIT_HEALS);
            return false;
        }
        if (maker->state == STEP_DONE) // else another reader noticed first
            make_again(core, maker);
        (*ret_healed)++;
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

void heal_presence(struct sc_core *core, struct flight *flight, const struct request *request,
                   const struct sc_event *event)
{
    struct gone gone = gone_of(core, request, event);
    if (flight->result)
        gone.unreadable = flight->result->lost;
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
        bool good = event->rc == SC_OK && heal_inputs(core, step, &gone, &healed, &why);
        if (!good || (healed == 0 && ++step->attempts > SC_LIMIT_HEALS)) {
            step_fail(core, step, SC_OUTCOME_INPUT_LOST, why);
            wake_healing(core, run);
            continue;
        }
        if (healed == 0) { // all is there: the agent's trouble may pass
            step_begin_again(core, step);
            continue;
        }
        if (step_group(step)->fate == FATE_NONE)
            watch_tell_note(core, run, "%u lost result%s needed by " SC_SLICE_FMT ": made again", healed,
                            healed == 1 ? "" : "s",
                            SC_SLICE_ARG(run_step_name(core, step, &core->effects.arena)));
        step_move(core, step, STEP_BLOCKED);
        step->verdict = SC_VERDICT_NONE; // it falls anew, or the step is skipped
        // Nobody else looks at it when a maker has failed meanwhile.
        run_visit_later(run, step_group(step));
        wake_healing(core, run);
    }
}
