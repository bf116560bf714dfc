#include "coordinator/core/step.h"

#include "coordinator/core/effects.h"
#include "coordinator/core/flight.h"
#include "coordinator/core/input.h"
#include "coordinator/core/need.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

void step_release(struct sc_core *core, struct step *step)
{
    struct run *run = step->run;
    if (step->state != STEP_BLOCKED)
        return;
    if (run_is_stopping(run)) {
        step_end_quietly(core, step, STEP_CANCELLED, SC_OUTCOME_CANCELLED);
        return;
    }
    if (step_group(step)->mode == GROUP_LEFT_OUT) {
        step_end_quietly(core, step, STEP_SKIPPED, SC_OUTCOME_OK);
        return;
    }
    step_move(core, step, STEP_PROBING);
    step_evaluate(core, step);
}

void step_begin_again(struct sc_core *core, struct step *step)
{
    step->again = false;
    step->candidate = 0;
    step->chosen = false;
    step->unread = 0;
    step_move(core, step, STEP_BLOCKED);
    step_release(core, step);
}

void step_follow_decisions(struct sc_core *core)
{
    if (core->following)
        return; // called from below: the loop comes to it
    core->following = true;
    for (uint32_t i = 0; i < core->decision_count; i++) {
        struct decision decision = core->decisions[i]; // the list may move
        switch (decision.kind) {
        case DECISION_DONE:
            step_done(core, decision.step, decision.after_seq);
            break;
        case DECISION_FAILED:
            step_fail(core, decision.step, decision.outcome, decision.message);
            break;
        case DECISION_AGAIN:
            step_begin_again(core, decision.step);
            break;
        }
    }
    core->decision_count = 0;
    core->following = false;
}

void step_wait(struct sc_core *core, struct step *step)
{
    flight_join_or_start(core, step);
    step_follow_decisions(core); // a flight that is settled has its result at once
}

static void queue_look_up(struct sc_core *core, struct step *step)
{
    if (core->look_count == core->look_room) {
        core->look_room = core->look_room ? core->look_room * 2 : 256;
        core->look_queue = sc_realloc(core->look_queue, core->look_room, sizeof *core->look_queue);
    }
    core->look_queue[core->look_count++] = step;
}

// A step whose cache is off has no key to share; this one is the same after a restart, and no other step's.
static struct sc_digest private_key(const struct step *step)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_mp_put_array(&buf, 5);
    sc_mp_put_cstr(&buf, "stepcache.uncached/1");
    sc_mp_put_str(&buf, step->run->id);
    sc_mp_put_uint(&buf, step->group);
    sc_mp_put_uint(&buf, step->instance);
    sc_mp_put_uint(&buf, step->heals);
    return sc_digest_of(sc_buf_slice(&buf));
}

static bool cache_is_off(const struct step *step)
{
    return step_plan(step)->cache_disabled || step->run->options.no_cache;
}

static struct sc_slice why_not_run(const struct run *run, enum sc_reason reason)
{
    if (reason == SC_REASON_DISABLED)
        return sc_slice_str(
            run->options.cached_only
                ? "its cache is off, and --cached-only forbids to run it"
                : "its cache is off, and --only forbids to run what it needs; run the whole pipeline");
    return sc_slice_str(
        run->options.cached_only
            ? "not in the cache, and --cached-only forbids to run it"
            : "not in the cache, and --only forbids to run what it needs; run the whole pipeline first");
}

// A dry run stops at the verdict: what would run has no outputs, and what needs them can not be told.
static void would_run(struct sc_core *core, struct step *step)
{
    watch_tell_verdict(core, step, 0);
    step_end_quietly(core, step, STEP_SKIPPED, SC_OUTCOME_OK);
}

// Sources by version are read where a step is to run: it looks again when they are, since that may take long.
static void read_first(struct sc_core *core, struct step *step)
{
    step->reads = true;
    step->verdict = SC_VERDICT_NONE;
    step_move(core, step, STEP_BLOCKED);
    step_move(core, step, STEP_PROBING);
    step_evaluate(core, step);
}

void step_miss(struct sc_core *core, struct step *step, enum sc_reason reason)
{
    struct run *run = step->run;
    step->verdict = SC_VERDICT_MISS;
    step->reason = (uint8_t)reason;
    if (run->options.dry) {
        would_run(core, step);
        return;
    }
    bool only_cached = run->options.cached_only || step_group(step)->mode == GROUP_CACHED_ONLY;
    if (only_cached && !flight_find(core, &step->key)) {
        watch_tell_verdict(core, step, 0);
        step_fail(core, step, SC_OUTCOME_NOT_CACHED, why_not_run(run, reason));
        return;
    }
    if (!pins_read(step)) {
        read_first(core, step);
        return;
    }
    step_wait(core, step);
}

void step_evaluate(struct sc_core *core, struct step *step)
{
    struct group *group = step_group(step);
    struct eligible eligible = {.outcome = SC_OUTCOME_PROBE};
    if (!pins_ready(core, step, &eligible.failed, &eligible.message))
        return;
    if (!eligible.failed && group->mode != GROUP_FROM_RUN) {
        if (!group->need)
            group->need = need_of(core, step);
        if (!need_ready(core, step, &eligible))
            return;
    }
    if (eligible.failed) {
        step_fail(core, step, eligible.outcome, eligible.message);
        return;
    }
    if (group->mode != GROUP_FROM_RUN) {
        if (step->candidate >= eligible.count)
            step->candidate = 0;
        step->environment = eligible.environments[step->candidate];
        input_build_key(core, step, step->environment);
        step->key = cache_is_off(step) ? private_key(step) : core->key.digest;
    }
    if (step->state == STEP_PROBING || step->state == STEP_WAITING)
        step_move(core, step, STEP_LOOKING);
    // What is to come from an earlier run is looked for there, and is never run.
    if (cache_is_off(step) && group->mode != GROUP_FROM_RUN)
        step_miss(core, step, SC_REASON_DISABLED);
    else
        queue_look_up(core, step);
}

void step_wake(struct sc_core *core)
{
    if (!core->woken)
        return;
    core->woken = false;
    struct run *run, *next;
    DL_FOREACH_SAFE (core->runs, run, next) {
        if (run->state != RUN_OPEN)
            continue;
        for (uint32_t i = 0; i < run->step_count && run->state == RUN_OPEN; i++)
            if (run->steps[i].state == STEP_PROBING)
                step_evaluate(core, &run->steps[i]);
    }
}

static enum group_fate fate_below(const struct step *step)
{
    if (step->state == STEP_FAILED || step->outcome == SC_OUTCOME_UPSTREAM)
        return FATE_UPSTREAM_FAILED;
    if (step->state == STEP_CANCELLED)
        return FATE_CANCELLED;
    return step->verdict == SC_VERDICT_MISS ? FATE_WOULD_RUN : FATE_LEFT_OUT;
}

static void group_finished(struct run *run, const struct group *group)
{
    for (uint32_t d = 0; d < group->dependent_count; d++) {
        struct group *dependent = &run->groups[run->dependents[group->dependent_first + d]];
        uint64_t ran = group->ran > group->asked_after ? group->ran : group->asked_after;
        if (dependent->asked_after < ran)
            dependent->asked_after = ran;
        SC_ASSERT(dependent->needs > 0);
        if (--dependent->needs == 0)
            run_visit_later(run, dependent);
    }
}

static void group_broken(struct run *run, struct group *group, const struct step *because)
{
    if (group->broken)
        return;
    group->broken = true;
    for (uint32_t d = 0; d < group->dependent_count; d++) {
        struct group *dependent = &run->groups[run->dependents[group->dependent_first + d]];
        if (dependent->fate != FATE_NONE)
            continue;
        dependent->fate = (uint8_t)fate_below(because);
        dependent->fate_by = because->group;
        run_visit_later(run, dependent);
    }
}

// Counts, and marks what is to be visited; the run's end is noticed by run_work.
static void final(struct step *step)
{
    struct run *run = step->run;
    struct group *group = step_group(step);
    SC_ASSERT(run->unfinished > 0);
    run->unfinished--;
    if (step->state == STEP_DONE) {
        SC_ASSERT(group->unfinished > 0);
        if (--group->unfinished == 0 && !group->broken)
            group_finished(run, group);
        return;
    }
    group_broken(run, group, step);
    if (step->state == STEP_FAILED && run->options.fail_fast)
        run->failing = true;
}

void step_unfinished(struct step *step)
{
    struct run *run = step->run;
    struct group *group = step_group(step);
    run->unfinished++;
    if (group->unfinished++ > 0 || group->broken)
        return;
    for (uint32_t d = 0; d < group->dependent_count; d++)
        run->groups[run->dependents[group->dependent_first + d]].needs++;
}

void step_done(struct sc_core *core, struct step *step, uint64_t after_seq)
{
    struct run *run = step->run;
    step_move(core, step, STEP_DONE);
    step->outcome = SC_OUTCOME_OK;
    if (step->cached) {
        run->hits++;
        run->saved_ms += step->info ? step->info->saved_ms : 0;
    } else if (step->verdict == SC_VERDICT_JOIN) {
        run->joined++;
    } else {
        run->misses++;
    }
    if (!step->cached)
        step_group(step)->ran = core->epoch;
    watch_tell_finished(core, step, after_seq);
    final(step);
}

void step_fail(struct sc_core *core, struct step *step, enum sc_outcome outcome, struct sc_slice message)
{
    struct run *run = step->run;
    step_move(core, step, STEP_FAILED);
    step->outcome = (uint8_t)outcome;
    if (message.len)
        step_info(step)->message = sc_arena_copy(&run->arena, message);
    run->failed++;
    uint64_t seq = 0;
    if (!run->options.dry && !core->restoring) {
        const struct step_info *info = step_info(step);
        struct sc_fact fact = {
            .kind = SC_FACT_FAILED,
            .run = run->id,
            .group = step->group,
            .instance = step->instance,
            .number = step->number,
            .key = step->key,
            .result = {.outcome = outcome,
                       .message = info->message,
                       .log_tail = info->log_tail,
                       .exit_code = info->exit_code,
                       .signal = info->signal,
                       .wall_ms = info->wall_ms,
                       .cpu_ms = info->cpu_ms},
        };
        seq = core_journal(core, &fact, false);
    }
    watch_tell_finished(core, step, seq);
    final(step);
}

void step_end_quietly(struct sc_core *core, struct step *step, enum step_state to, enum sc_outcome outcome)
{
    step_move(core, step, to);
    step->outcome = (uint8_t)outcome;
    if (to == STEP_CANCELLED)
        step->run->cancelled++;
    else if (step->verdict == SC_VERDICT_MISS)
        step->run->misses++; // a dry run's
    else
        step->run->skipped++;
    if (to != STEP_SKIPPED ||
        step->verdict != SC_VERDICT_MISS) // a dry run's miss is all that there is to tell
        watch_tell_finished(core, step, 0);
    final(step);
}
