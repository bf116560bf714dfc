#include "coordinator/core/forget.h"

#include "coordinator/core/tables.h"

#include "base/memory.h"

enum {
    LOOK_FROM = 1024, // entries in all; more when more is in use
    NEEDS_KEPT = 128, // that nothing open uses
    ANSWERS_KEPT = 32 // to one need, by agents that are away
};

// What open runs, flights and questions under way point at.
static void hold_used(struct sc_core *core)
{
    const struct run *run;
    DL_FOREACH (core->runs, run) {
        for (uint32_t i = 0; run->groups && i < run->plan->plan->steps.count; i++)
            if (run->groups[i].need)
                run->groups[i].need->held = true;
        for (uint32_t i = 0; i < run->step_count; i++)
            if (run->steps[i].environment)
                run->steps[i].environment->held = true;
    }
    const struct flight *flight;
    DL_FOREACH (core->flights, flight) {
        if (flight->need)
            flight->need->held = true;
        if (flight->environment)
            flight->environment->held = true;
    }
    for (struct request *request = core->requests; request; request = request->hh.next)
        if (request->need)
            request->need->held = true;
}

static int by_use(const void *a, const void *b)
{
    const struct need *x = *(const struct need *const *)a, *y = *(const struct need *const *)b;
    return x->used < y->used ? -1 : x->used > y->used;
}

static void forget_needs(struct sc_core *core)
{
    struct need **idle = sc_calloc(HASH_COUNT(core->needs) + 1, sizeof(struct need *));
    size_t count = 0;
    for (struct need *need = core->needs; need; need = need->hh.next) {
        if (!need->held)
            idle[count++] = need;
        need->held = false;
    }
    qsort(idle, count, sizeof(struct need *), by_use);
    for (size_t i = 0; i + NEEDS_KEPT < count; i++)
        need_free(core, idle[i]);
    free(idle);
}

// The earliest to answer go first.
static void forget_answers(struct sc_core *core, struct need *need)
{
    uint32_t away = 0;
    struct answer *answer, *next;
    for (int pass = 0; pass < 2; pass++)
        LL_FOREACH_SAFE(need->answers, answer, next)
        {
            const struct agent *agent = agent_by_name(core, answer->agent);
            if (answer->pending || (agent && agent->number))
                continue;
            if (pass == 0)
                away++;
            else if (away > ANSWERS_KEPT) {
                answer_free(core, need, answer);
                away--;
            }
        }
}

static void forget_environments(struct sc_core *core)
{
    for (struct need *need = core->needs; need; need = need->hh.next)
        for (struct answer *answer = need->answers; answer; answer = answer->next)
            if (answer->environment)
                answer->environment->held = true;
    struct environment *environment, *next;
    HASH_ITER (hh, core->environments, environment, next) {
        if (!environment->held)
            environment_free(core, environment);
        else
            environment->held = false;
    }
}

void forget_old(struct sc_core *core)
{
    if (core->restoring || core->remembered < LOOK_FROM || core->remembered < 2 * core->remembered_before)
        return;
    hold_used(core);
    forget_needs(core);
    for (struct need *need = core->needs; need; need = need->hh.next)
        forget_answers(core, need);
    forget_environments(core);
    core->remembered_before = core->remembered;
}
