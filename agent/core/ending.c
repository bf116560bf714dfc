// What is said of attempts, and how each is ended before its time, wherever it stands.
#include "agent/core/task.h"

#include "base/memory.h"

#include <signal.h>

void sc_agent_hold(struct sc_agent_core *core, struct sc_agent_effect *effect, bool reports)
{
    uint32_t room = HASH_CNT(hh, core->by_attempt);
    effect->held.items = SC_NEW_ARRAY(&core->arena, room, uint64_t);
    for (int list = 0; list < LIST_COUNT; list++) {
        struct task *task;
        if (list == LIST_REPORTS && !reports)
            continue;
        DL_FOREACH (core->lists[list], task)
            effect->held.items[effect->held.count++] = task->attempt;
    }
}

void sc_agent_say_hello(struct sc_agent_core *core)
{
    if (core->gone || core->left)
        return;
    core->hello_open = true;
    core->hello_ms = core->now_ms;
    sc_agent_hold(core, sc_agent_effect(core, SC_AGENT_SAY_HELLO, 0), true);
    sc_agent_trace(core, "say hello");
}

void sc_agent_say_rejected(struct sc_agent_core *core, uint64_t attempt, const char *reason)
{
    sc_agent_effect(core, SC_AGENT_SAY_REJECTED, attempt)->text = sc_slice_str(reason);
    sc_agent_trace(core, "reject attempt %llu: %s", (unsigned long long)attempt, reason);
}

void sc_task_release(struct sc_agent_core *core, struct task *task)
{
    if (task->state == TASK_REPORTED)
        core->reports_bytes -= task->report_bytes;
    sc_agent_effect(core, SC_AGENT_RELEASE, task->attempt);
    sc_task_remove(core, task);
}

// What became of an attempt that never ran, or of which nothing is reported.
void sc_task_answer(struct sc_agent_core *core, struct task *task)
{
    if (!core->gone && task->cause == CAUSE_REVOKED)
        sc_agent_effect(core, SC_AGENT_SAY_ENDED, task->attempt);
    if (!core->gone && task->cause == CAUSE_STOPPED)
        sc_agent_say_rejected(core, task->attempt, "the agent is leaving");
    sc_task_release(core, task);
}

void sc_task_signal(struct sc_agent_core *core, struct task *task, int signal, int64_t grace_ms)
{
    if (task->state == TASK_RUNNING)
        sc_task_move(core, task, TASK_ENDING);
    sc_agent_effect(core, SC_AGENT_SIGNAL, task->attempt)->signal = signal;
    task->deadline_ms = core->now_ms + grace_ms;
    sc_agent_trace(core, "signal %d to attempt %llu", signal, (unsigned long long)task->attempt);
}

void sc_task_give_up(struct sc_agent_core *core, const struct task *task, int64_t patience_ms)
{
    sc_agent_effect(core, SC_AGENT_GIVE_UP, task->attempt)->patience_ms = patience_ms;
}

void sc_task_clean(struct sc_agent_core *core, struct task *task)
{
    sc_task_move(core, task, TASK_CLEANING);
    sc_agent_effect(core, SC_AGENT_CLEAN, task->attempt);
}

void sc_task_take(struct sc_agent_core *core, struct task *task, enum sc_outcome outcome)
{
    sc_task_move(core, task, TASK_TAKING);
    task->deadline_ms = core->now_ms + SC_TASK_WORD_MS;
    sc_agent_effect(core, SC_AGENT_TAKE, task->attempt)->outcome = outcome;
    sc_agent_trace(core, "attempt %llu ended: %s", (unsigned long long)task->attempt,
                   sc_outcome_name(outcome));
}

// It may not have come to its look yet: said again with each word.
static void drop_look(struct sc_agent_core *core, struct task *task)
{
    task->unwanted = true;
    sc_task_give_up(core, task, 0);
    if (task->deadline_ms > core->now_ms + SC_TASK_WORD_MS)
        task->deadline_ms = core->now_ms + SC_TASK_WORD_MS;
}

// Of one that has run. What nobody wants waits for no process; an agent that leaves waits a little.
static void end_look(struct sc_agent_core *core, struct task *task, enum task_cause cause)
{
    if (cause != CAUSE_STOPPED || core->leaving >= LEAVING_STOPPED) {
        drop_look(core, task);
        return;
    }
    sc_task_give_up(core, task, SC_TASK_PATIENCE_MS);
    if (task->deadline_ms > core->now_ms + SC_TASK_PATIENCE_MS)
        task->deadline_ms = core->now_ms + SC_TASK_PATIENCE_MS;
}

// Ends an attempt before its time, wherever it stands. A step that was told to end already is not told again.
void sc_task_end(struct sc_agent_core *core, struct task *task, enum task_cause cause, int64_t grace_ms)
{
    switch (task->state) {
    case TASK_QUEUED:
        task->cause = cause;
        sc_task_answer(core, task);
        return;
    case TASK_FETCHING: // PREPARED comes
        task->cause = cause;
        drop_look(core, task);
        return;
    case TASK_READY:
        task->cause = cause;
        sc_task_clean(core, task);
        return;
    case TASK_RUNNING:
        task->cause = cause;
        sc_task_signal(core, task, SIGTERM, grace_ms);
        return;
    case TASK_WAITING: // WITHDRAWN comes, or it has started just now, and is told so
        if (task->cause == CAUSE_NONE) {
            task->cause = cause;
            sc_task_signal(core, task, SIGTERM, grace_ms);
            return;
        }
        // fall through
    case TASK_ENDING:
        task->cause = cause;
        if (task->deadline_ms > core->now_ms + grace_ms)
            task->deadline_ms = core->now_ms + grace_ms;
        return;
    case TASK_TAKING: // it was done already: reported, unless nobody wants that
        if (cause == CAUSE_DROPPED)
            task->cause = cause;
        end_look(core, task, cause);
        return;
    case TASK_CLEANING:
        task->cause = cause;
        return;
    case TASK_REPORTED:
        if (cause == CAUSE_REVOKED)
            sc_agent_effect(core, SC_AGENT_SAY_ENDED, task->attempt);
        if (cause != CAUSE_STOPPED)
            sc_task_release(core, task);
        return;
    case TASK_STATES:
        break;
    }
    SC_ASSERT(false);
}

void sc_task_end_all(struct sc_agent_core *core, enum task_cause cause, int64_t grace_ms)
{
    for (int list = 0; list < LIST_COUNT; list++) {
        struct task *task, *next;
        DL_FOREACH_SAFE (core->lists[list], task, next)
            sc_task_end(core, task, cause, grace_ms);
    }
}

void sc_task_kill_all(struct sc_agent_core *core)
{
    struct task *task;
    DL_FOREACH (core->lists[LIST_RUNNING], task)
        sc_task_signal(core, task, SIGKILL, core->config.grace_ms);
}
