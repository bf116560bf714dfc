#include "agent/core/task.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

const bool sc_task_moves[TASK_STATES][TASK_STATES] = {
    [TASK_QUEUED] = {[TASK_FETCHING] = true},
    [TASK_FETCHING] = {[TASK_READY] = true, [TASK_TAKING] = true, [TASK_CLEANING] = true},
    [TASK_READY] = {[TASK_WAITING] = true, [TASK_RUNNING] = true, [TASK_CLEANING] = true},
    [TASK_WAITING] = {[TASK_RUNNING] = true, [TASK_TAKING] = true, [TASK_CLEANING] = true},
    [TASK_RUNNING] = {[TASK_ENDING] = true, [TASK_TAKING] = true},
    [TASK_ENDING] = {[TASK_TAKING] = true},
    [TASK_TAKING] = {[TASK_REPORTED] = true},
};

enum task_list sc_task_list(enum task_state state)
{
    switch (state) {
    case TASK_QUEUED:
        return LIST_QUEUE;
    case TASK_FETCHING:
    case TASK_READY:
        return LIST_AHEAD;
    case TASK_WAITING:
        return LIST_WAITING;
    case TASK_RUNNING:
    case TASK_ENDING:
        return LIST_RUNNING;
    case TASK_TAKING:
    case TASK_CLEANING:
        return LIST_CLOSING;
    case TASK_REPORTED:
        return LIST_REPORTS;
    case TASK_STATES:
        break;
    }
    SC_ASSERT(false);
    return LIST_COUNT;
}

const char *sc_task_state_name(enum task_state state)
{
    static const char *const names[TASK_STATES] = {"queued", "fetching", "ready",    "waiting", "running",
                                                   "ending", "taking",   "cleaning", "reported"};
    return names[state];
}

struct task *sc_task_find(const struct sc_agent_core *core, uint64_t attempt)
{
    struct task *task;
    HASH_FIND(hh, core->by_attempt, &attempt, sizeof attempt, task);
    return task;
}

static void enlist(struct sc_agent_core *core, struct task *task)
{
    enum task_list list = sc_task_list(task->state);
    DL_APPEND(core->lists[list], task);
    core->counts[list]++;
}

static void delist(struct sc_agent_core *core, struct task *task)
{
    enum task_list list = sc_task_list(task->state);
    DL_DELETE(core->lists[list], task);
    core->counts[list]--;
}

struct task *sc_task_add(struct sc_agent_core *core, const struct sc_assignment *assignment)
{
    struct task *task = sc_calloc(1, sizeof *task);
    task->attempt = assignment->attempt;
    task->cpus_milli = assignment->cpus_milli;
    task->gpus = assignment->gpus;
    task->memory_bytes = assignment->memory_bytes;
    task->timeout_ms = assignment->timeout_ms > INT64_MAX / 2 ? 0 : (int64_t)assignment->timeout_ms;
    task->deadline_ms = task->running_word_ms = INT64_MAX;
    HASH_ADD(hh, core->by_attempt, attempt, sizeof task->attempt, task);
    enlist(core, task);
    return task;
}

static void leave_place(struct task *task)
{
    task->place->heir = NULL;
    task->place = NULL;
}

// The runner has started it in the place of one that is over. What it was told before reaches it now.
static void inherit(struct sc_agent_core *core, struct task *heir)
{
    int64_t kill_ms = heir->deadline_ms;
    sc_task_move(core, heir, TASK_RUNNING);
    if (heir->cause == CAUSE_NONE)
        return;
    sc_task_move(core, heir, TASK_ENDING);
    heir->deadline_ms = kill_ms;
}

void sc_task_wait(struct sc_agent_core *core, struct task *task, struct task *place)
{
    SC_ASSERT(!place->heir && sc_task_list(place->state) == LIST_RUNNING);
    sc_task_move(core, task, TASK_WAITING);
    task->place = place;
    place->heir = task;
}

void sc_task_move(struct sc_agent_core *core, struct task *task, enum task_state state)
{
    SC_ASSERT(sc_task_moves[task->state][state]);
    core->looking -= task->looking;
    task->looking = task->unwanted = false;
    bool had = sc_task_list(task->state) == LIST_RUNNING, has = sc_task_list(state) == LIST_RUNNING;
    if (sc_task_list(task->state) != sc_task_list(state)) {
        delist(core, task);
        task->state = state;
        enlist(core, task);
    }
    task->state = state;
    task->deadline_ms = task->running_word_ms = INT64_MAX;
    if (has && !had) {
        core->used_cpus_milli += task->cpus_milli;
        core->used_gpus += task->gpus;
        core->used_memory_bytes += task->memory_bytes;
    } else if (had && !has) {
        core->used_cpus_milli -= task->cpus_milli;
        core->used_gpus -= task->gpus;
        core->used_memory_bytes -= task->memory_bytes;
    }
    if (task->place && state != TASK_WAITING)
        leave_place(task);
    struct task *heir = task->heir;
    if (!has && heir) {
        leave_place(heir);
        inherit(core, heir);
    }
}

void sc_task_remove(struct sc_agent_core *core, struct task *task)
{
    SC_ASSERT(sc_task_list(task->state) != LIST_RUNNING);
    delist(core, task);
    HASH_DELETE(hh, core->by_attempt, task);
    free(task);
}

bool sc_task_fits(const struct sc_agent_core *core, const struct task *task)
{
    const struct sc_agent_core_config *c = &core->config;
    if (task->cpus_milli > c->cpus_milli - core->used_cpus_milli || task->gpus > c->gpus - core->used_gpus)
        return false;
    return c->memory_bytes == 0 || task->memory_bytes <= c->memory_bytes - core->used_memory_bytes;
}

bool sc_task_fits_place(const struct task *task, const struct task *place)
{
    return task->cpus_milli <= place->cpus_milli && task->gpus <= place->gpus &&
           task->memory_bytes <= place->memory_bytes;
}

struct sc_agent_effect *sc_agent_effect(struct sc_agent_core *core, enum sc_agent_effect_kind kind,
                                        uint64_t attempt)
{
    if (core->effects.count == core->effects_room) {
        core->effects_room = core->effects_room ? core->effects_room * 2 : 64;
        core->effects.items =
            sc_realloc(core->effects.items, core->effects_room, sizeof *core->effects.items);
    }
    struct sc_agent_effect *effect = &core->effects.items[core->effects.count++];
    *effect = (struct sc_agent_effect){.kind = kind, .attempt = attempt};
    return effect;
}

void sc_agent_trace(struct sc_agent_core *core, const char *format, ...)
{
    if (!core->config.trace)
        return;
    char line[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    SC_ASSERT(len >= 0);
    struct sc_slice text = sc_slice(line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
    sc_agent_effect(core, SC_AGENT_TRACE, 0)->text = sc_arena_copy(&core->arena, text);
}

void sc_agent_core_check(const struct sc_agent_core *core)
{
    uint32_t cpus = 0, gpus = 0, all = 0, looking = 0;
    uint64_t memory = 0, bytes = 0;
    for (int list = 0; list < LIST_COUNT; list++) {
        const struct task *task;
        uint32_t count = 0;
        DL_FOREACH (core->lists[list], task) {
            SC_ASSERT((int)sc_task_list(task->state) == list);
            SC_ASSERT(sc_task_find(core, task->attempt) == task);
            SC_ASSERT((list == LIST_WAITING) == (task->place != NULL));
            SC_ASSERT(!task->place || (task->place->heir == task && sc_task_fits_place(task, task->place)));
            SC_ASSERT(!task->heir || (list == LIST_RUNNING && task->heir->place == task));
            SC_ASSERT(!task->looking || task->state == TASK_FETCHING);
            count++;
            looking += task->looking;
            cpus += list == LIST_RUNNING ? task->cpus_milli : 0;
            gpus += list == LIST_RUNNING ? task->gpus : 0;
            memory += list == LIST_RUNNING ? task->memory_bytes : 0;
            bytes += list == LIST_REPORTS ? task->report_bytes : 0;
        }
        SC_ASSERT(count == core->counts[list]);
        all += count;
    }
    SC_ASSERT(all == HASH_CNT(hh, core->by_attempt));
    SC_ASSERT(cpus == core->used_cpus_milli && cpus <= core->config.cpus_milli);
    SC_ASSERT(gpus == core->used_gpus && gpus <= core->config.gpus);
    SC_ASSERT(memory == core->used_memory_bytes && bytes == core->reports_bytes);
    SC_ASSERT(!core->config.memory_bytes || memory <= core->config.memory_bytes);
    SC_ASSERT(looking == core->looking && looking <= SC_TASK_LOOKING_MOST);
    SC_ASSERT(core->counts[LIST_AHEAD] <= core->config.prepare_ahead + SC_TASK_LOOKING_MOST);
}
