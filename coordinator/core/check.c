// The invariants that are cheap enough to look at after every event.
#include "coordinator/core/core.h"

#include "coordinator/core/tables.h"

#include "base/memory.h"

static bool was_done(const struct run *run, uint32_t group)
{
    for (uint32_t i = 0; i < run->groups[group].count; i++)
        if (!run->steps[run->groups[group].first + i].result)
            return false;
    return true;
}

// Done once is enough: what is made again, since its objects were lost, has readers that run meanwhile.
static bool needs_were_done(const struct step *step)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    for (uint32_t i = 0; i < plan_step->inputs.count; i++)
        if (plan_step->inputs.items[i].from != SC_FROM_SOURCE &&
            !was_done(step->run, plan_step->inputs.items[i].node))
            return false;
    for (uint32_t i = 0; i < plan_step->after.count; i++)
        if (!was_done(step->run, plan_step->after.items[i]))
            return false;
    return true;
}

static void check_run(const struct run *run)
{
    uint32_t unfinished = 0;
    for (uint32_t i = 0; run->state != RUN_LOADING && i < run->step_count; i++) {
        const struct step *step = &run->steps[i];
        bool final = step->state == STEP_DONE || step->state == STEP_FAILED ||
                     step->state == STEP_CANCELLED || step->state == STEP_SKIPPED;
        unfinished += !final;
        SC_ASSERT(step->state != STEP_DONE || step->result);
        SC_ASSERT((step->state == STEP_WAITING) == (step->flight != NULL));
        // 3: a step looks or runs only when all its inputs are committed.
        SC_ASSERT((step->state != STEP_WAITING && step->state != STEP_LOOKING) || needs_were_done(step));
    }
    SC_ASSERT(run->state == RUN_LOADING || unfinished == run->unfinished);
}

void sc_core_check(const struct sc_core *core)
{
    SC_ASSERT(core->decision_count == 0 && !core->woken &&
              !core->need_moved); // a turn works off what it left
    const struct run *run;
    DL_FOREACH (core->runs, run)
        check_run(run);
    const struct agent *agent;
    DL_FOREACH (core->agents, agent) {
        uint32_t cpus = 0, gpus = 0, count = 0;
        uint64_t memory = 0;
        const struct attempt *attempt;
        DL_FOREACH (agent->attempts, attempt) {
            cpus += attempt->cpus_milli;
            gpus += attempt->gpus;
            memory += attempt->memory_bytes;
            count++;
        }
        SC_ASSERT(cpus == agent->used_cpus_milli && count == agent->attempt_count);
        SC_ASSERT(gpus == agent->used_gpus && memory == agent->used_memory_bytes);
    }
    const struct flight *flight;
    DL_FOREACH (core->flights, flight) {
        SC_ASSERT(flight->state != FLIGHT_SETTLED || flight->result);
        SC_ASSERT(flight->queued == (flight->state == FLIGHT_QUEUED && flight->queued));
        SC_ASSERT(!flight->attempt || flight->attempt->flight == flight);
    }
}
