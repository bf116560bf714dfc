#include "coordinator/core/expand.h"

#include "base/limits.h"
#include "base/memory.h"

// Marks groups by the run's options; names were checked by name_error.
static void mark(struct run *run, const sc_text_list *names, void (*set)(struct group *group))
{
    for (uint32_t i = 0; i < names->count; i++) {
        uint32_t group, instance;
        bool all;
        if (sc_plan_find(run->plan->plan, names->items[i], &group, &instance, &all))
            set(&run->groups[group]);
    }
}

static void set_refreshed(struct group *group)
{
    group->refreshed = true;
}

static void set_forced(struct group *group)
{
    group->forced = true;
}

static void set_normal(struct group *group)
{
    group->mode = GROUP_NORMAL;
}

static void spread_options(struct run *run)
{
    const struct sc_plan *plan = run->plan->plan;
    for (uint32_t i = 0; i < plan->steps.count; i++)
        run->groups[i].refreshed = run->options.refresh_all;
    mark(run, &run->options.refresh, set_refreshed);
    mark(run, &run->options.force, set_forced);
    uint32_t from = 0, instance;
    bool all,
        has_from = run->options.from.len && sc_plan_find(plan, run->options.from, &from, &instance, &all);
    SC_AUTO_FREE bool *above = sc_calloc(plan->steps.count, sizeof *above); // of `from`, or of `only`
    if (run->options.only.count) {
        for (uint32_t i = 0; i < plan->steps.count; i++)
            run->groups[i].mode = GROUP_LEFT_OUT;
        mark(run, &run->options.only, set_normal);
        for (uint32_t i = 0; i < plan->steps.count; i++)
            above[i] = run->groups[i].mode == GROUP_NORMAL;
    }
    if (has_from)
        above[from] = true;
    // Needs have lower indexes: one pass down marks what is above, one pass up spreads force to what is below.
    for (uint32_t i = plan->steps.count; i-- > 0;) {
        const struct sc_plan_step *step = &plan->steps.items[i];
        for (uint32_t k = 0; above[i] && k < step->inputs.count; k++) {
            if (step->inputs.items[k].from == SC_FROM_SOURCE)
                continue;
            struct group *need = &run->groups[step->inputs.items[k].node];
            above[step->inputs.items[k].node] = true;
            if (need->mode != GROUP_NORMAL || has_from)
                need->mode = has_from ? GROUP_FROM_RUN : GROUP_CACHED_ONLY;
        }
    }
    for (uint32_t i = 0; i < plan->steps.count; i++)
        for (uint32_t k = 0; k < plan->steps.items[i].inputs.count; k++)
            if (plan->steps.items[i].inputs.items[k].from != SC_FROM_SOURCE &&
                run->groups[plan->steps.items[i].inputs.items[k].node].forced)
                run->groups[i].forced = true;
}

// Every distinct group that a step needs, by inputs and by `after`. `seen` holds the last step that counted a group.
static uint32_t each_need(const struct sc_plan_step *step, uint32_t index, uint32_t *seen,
                          void (*visit)(void *context, uint32_t need), void *context)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < step->inputs.count + step->after.count; k++) {
        bool input = k < step->inputs.count;
        if (input && step->inputs.items[k].from == SC_FROM_SOURCE)
            continue;
        uint32_t need = input ? step->inputs.items[k].node : step->after.items[k - step->inputs.count];
        if (seen[need] == index + 1)
            continue;
        seen[need] = index + 1;
        count++;
        visit(context, need);
    }
    return count;
}

static void count_dependent(void *context, uint32_t need)
{
    ((struct run *)context)->groups[need].dependent_count++;
}

struct edge_fill {
    struct run *run;
    uint32_t *fill;
    uint32_t index;
};
static void add_dependent(void *context, uint32_t need)
{
    struct edge_fill *e = context;
    e->run->dependents[e->run->groups[need].dependent_first + e->fill[need]++] = e->index;
}

static void link_groups(struct run *run)
{
    const struct sc_plan *plan = run->plan->plan;
    uint32_t total = 0, count = plan->steps.count;
    SC_AUTO_FREE uint32_t *seen = sc_calloc(count, sizeof *seen);
    for (uint32_t i = 0; i < count; i++)
        run->groups[i].needs = each_need(&plan->steps.items[i], i, seen, count_dependent, run);
    for (uint32_t i = 0; i < count; i++) {
        run->groups[i].dependent_first = total;
        total += run->groups[i].dependent_count;
    }
    run->dependents = SC_NEW_ARRAY(&run->arena, total, uint32_t);
    memset(seen, 0, count * sizeof *seen);
    SC_AUTO_FREE uint32_t *fill = sc_calloc(count, sizeof *fill);
    for (uint32_t i = 0; i < count; i++) {
        struct edge_fill e = {run, fill, i};
        each_need(&plan->steps.items[i], i, seen, add_dependent, &e);
    }
}

bool run_expand(struct run *run, struct sc_loaded_plan *loaded)
{
    const struct sc_plan *plan = loaded->plan;
    run->plan = loaded;
    run->groups = SC_NEW_ARRAY(&run->arena, plan->steps.count, struct group);
    uint64_t total = 0;
    for (uint32_t i = 0; i < plan->steps.count; i++) {
        run->groups[i].first = (uint32_t)total;
        run->groups[i].count = run->groups[i].unfinished = sc_plan_instances(&plan->steps.items[i]);
        total += run->groups[i].count;
        if (total > SC_LIMIT_STEP_INSTANCES)
            return false;
    }
    run->step_count = run->unfinished = (uint32_t)total;
    run->steps = SC_NEW_ARRAY(&run->arena, run->step_count, struct step);
    for (uint32_t i = 0; i < plan->steps.count; i++)
        for (uint32_t k = 0; k < run->groups[i].count; k++)
            run->steps[run->groups[i].first + k] = (struct step){.group = i, .instance = k, .run = run};
    run->pins = SC_NEW_ARRAY(&run->arena, plan->sources.count, struct source_pin);
    for (uint32_t i = 0; i < plan->sources.count; i++)
        if (plan->sources.items[i].kind == SC_SOURCE_LOCAL)
            run->pins[i] =
                (struct source_pin){.known = true, .read = true, .artifact = plan->sources.items[i].artifact};
    link_groups(run);
    spread_options(run);
    run->state = RUN_OPEN;
    return true;
}

static bool name_error(struct run *run, const sc_text_list *names, struct sc_slice *ret_bad)
{
    for (uint32_t i = 0; i < names->count; i++) {
        uint32_t group, instance;
        bool all;
        if (!sc_plan_find(run->plan->plan, names->items[i], &group, &instance, &all)) {
            *ret_bad = names->items[i];
            return true;
        }
    }
    return false;
}

bool run_bad_option(struct run *run, struct sc_slice *ret_bad)
{
    sc_text_list from = {&run->options.from, run->options.from.len ? 1 : 0};
    return name_error(run, &run->options.refresh, ret_bad) || name_error(run, &run->options.force, ret_bad) ||
           name_error(run, &run->options.only, ret_bad) || name_error(run, &from, ret_bad);
}
