#include "agent/core/core.h"

#include "agent/core/task.h"
#include "base/limits.h"
#include "base/memory.h"

#include <signal.h>

enum {
    OVERTAKES_MOST = 64,        // then nothing starts before the one that waits for a larger slot
    SILENCE_RENEWS = 2,         // unheard of for so many renewals: say hello instead
    HELLO_WAIT_MOST_MS = 30000, // between two hellos that nobody answers
    STRANGER_WAIT_MS = 1000,    // between two hellos that errors ask for
    REPEATS_MOST = 3,           // of a report that welcomes neither drop nor keep
    REPORTS_MOST = 4096,        // kept for a repetition
    RENEW_LEAST_MS = 100,
    RENEW_MOST_MS = 3600 * 1000,
};
static const uint64_t reports_most_bytes = 16u << 20;

struct sc_agent_core *sc_agent_core_new(const struct sc_agent_core_config *config)
{
    SC_ASSERT(config->cpus_milli > 0 && config->prepare_ahead > 0 && config->backlog > 0);
    SC_ASSERT(config->renew_ms > 0 && config->grace_ms > 0);
    struct sc_agent_core *core = sc_calloc(1, sizeof *core);
    core->config = *config;
    core->renew_ms = core->hello_wait_ms = config->renew_ms;
    sc_buf_init(&core->coordinator, SC_LIMIT_VALUE_BYTES);
    sc_arena_init(&core->arena);
    return core;
}

void sc_agent_core_free(struct sc_agent_core *core)
{
    if (!core)
        return;
    struct task *task, *next;
    HASH_ITER (hh, core->by_attempt, task, next) {
        HASH_DELETE(hh, core->by_attempt, task);
        free(task);
    }
    sc_buf_done(&core->coordinator);
    sc_arena_done(&core->arena);
    free(core->effects.items);
    free(core);
}

// ---- what starts

// The place that it may wait for: of one that runs, has no heir and holds at least as much.
static struct task *find_place(const struct sc_agent_core *core, const struct task *task)
{
    struct task *place;
    DL_FOREACH (core->lists[LIST_RUNNING], place)
        if (!place->heir && sc_task_fits_place(task, place))
            return place;
    return NULL;
}

static void launch(struct sc_agent_core *core, struct task *task, struct task *place)
{
    if (place)
        sc_task_wait(core, task, place);
    else
        sc_task_move(core, task, TASK_RUNNING);
    sc_agent_effect(core, SC_AGENT_LAUNCH, task->attempt)->after = place ? place->attempt : 0;
    sc_agent_trace(core, "launch attempt %llu%s", (unsigned long long)task->attempt,
                   place ? ", to wait for a place" : "");
}

static void launch_ready(struct sc_agent_core *core)
{
    struct task *task, *next;
    bool passed = false;
    DL_FOREACH_SAFE (core->lists[LIST_AHEAD], task, next) {
        if (task->state != TASK_READY)
            continue;
        struct task *place = sc_task_fits(core, task) ? NULL : find_place(core, task);
        if (!place && !sc_task_fits(core, task)) {
            if (task->overtaken >= OVERTAKES_MOST)
                return;
            passed = true;
            continue;
        }
        if (passed) { // it starts before those that wait for a larger slot
            struct task *earlier;
            DL_FOREACH (core->lists[LIST_AHEAD], earlier) {
                if (earlier == task)
                    break;
                earlier->overtaken += earlier->state == TASK_READY;
            }
        }
        launch(core, task, place);
    }
}

// A slot that nobody inherits goes to the first that waits for another and fits.
static void start_waiting(struct sc_agent_core *core)
{
    struct task *task, *next;
    DL_FOREACH_SAFE (core->lists[LIST_WAITING], task, next) {
        if (task->cause != CAUSE_NONE || !sc_task_fits(core, task))
            continue;
        sc_task_move(core, task, TASK_RUNNING);
        sc_agent_effect(core, SC_AGENT_GO, task->attempt);
        sc_agent_trace(core, "attempt %llu waits no longer", (unsigned long long)task->attempt);
    }
}

static void schedule(struct sc_agent_core *core)
{
    start_waiting(core);
    launch_ready(core);
    while (core->counts[LIST_AHEAD] - core->looking < core->config.prepare_ahead && core->lists[LIST_QUEUE]) {
        struct task *task = core->lists[LIST_QUEUE];
        sc_task_move(core, task, TASK_FETCHING);
        task->deadline_ms = core->now_ms + SC_TASK_WORD_MS;
        sc_agent_effect(core, SC_AGENT_PREPARE, task->attempt);
    }
    if (core->leaving && !core->left && sc_agent_core_busy(core) == 0) {
        core->left = true;
        sc_agent_effect(core, SC_AGENT_LEAVE, 0)->text = sc_slice_str(core->reason);
        sc_agent_trace(core, "leave: %s", core->reason);
    }
}

// ---- from the coordinator

// The connection lives. A report that was said long enough ago has arrived, and is in the journal by now.
static void heard(struct sc_agent_core *core, bool acknowledges)
{
    core->heard_ms = core->now_ms;
    struct task *task;
    while (acknowledges && !core->hello_open && (task = core->lists[LIST_REPORTS]) &&
           core->now_ms - task->said_ms >= SILENCE_RENEWS * core->renew_ms)
        sc_task_release(core, task);
}

static void on_welcome(struct sc_agent_core *core, const struct sc_msg_welcome *welcome)
{
    heard(core, false);
    bool other =
        core->coordinator.len && !sc_slice_eq(sc_buf_slice(&core->coordinator), welcome->coordinator);
    if (other) {
        sc_agent_trace(core, "another coordinator: end all attempts of the old one");
        sc_task_end_all(core, CAUSE_DROPPED, core->config.grace_ms);
    }
    sc_buf_clear(&core->coordinator);
    sc_buf_add_slice(&core->coordinator, welcome->coordinator);
    core->welcomed = true;
    core->hello_open = false;
    if (welcome->renew_ms)
        core->renew_ms = welcome->renew_ms < RENEW_LEAST_MS  ? RENEW_LEAST_MS
                         : welcome->renew_ms > RENEW_MOST_MS ? RENEW_MOST_MS
                                                             : (int64_t)welcome->renew_ms;
    core->hello_wait_ms = core->renew_ms;
    core->renew_at_ms = core->now_ms + core->renew_ms;
    for (uint32_t i = 0; i < welcome->drop.count; i++) {
        struct task *task = sc_task_find(core, welcome->drop.items[i]);
        if (task)
            sc_task_end(core, task, CAUSE_DROPPED, core->config.grace_ms);
    }
    struct task *task, *next;
    DL_FOREACH_SAFE (core->lists[LIST_REPORTS], task, next) {
        if (++task->repeats > REPEATS_MOST) {
            sc_task_release(core, task);
            continue;
        }
        task->said_ms = core->now_ms;
        sc_agent_effect(core, SC_AGENT_SAY_REPORTED, task->attempt);
        sc_agent_trace(core, "report attempt %llu again", (unsigned long long)task->attempt);
    }
}

// Why an assignment cannot be taken, or NULL.
static const char *refusal(const struct sc_agent_core *core, const struct sc_assignment *assignment)
{
    const struct sc_agent_core_config *c = &core->config;
    if (core->leaving)
        return "the agent is leaving";
    // It crossed a hello that did not hold it: the coordinator may count it as lost already.
    if (core->hello_open || !core->welcomed)
        return "the agent was saying hello again";
    if (HASH_CNT(hh, core->by_attempt) - core->counts[LIST_REPORTS] >= c->backlog)
        return "the agent's backlog is full";
    if (assignment->cpus_milli > c->cpus_milli || assignment->gpus > c->gpus ||
        (c->memory_bytes && assignment->memory_bytes > c->memory_bytes))
        return "the step asks for more than the agent has";
    return NULL;
}

static void on_assign(struct sc_agent_core *core, const struct sc_msg_assign *assign)
{
    heard(core, true);
    uint64_t *accepted = SC_NEW_ARRAY(&core->arena, assign->assignments.count, uint64_t);
    uint32_t count = 0;
    for (uint32_t i = 0; i < assign->assignments.count; i++) {
        const struct sc_assignment *assignment = &assign->assignments.items[i];
        if (sc_task_find(core, assignment->attempt)) { // said twice
            accepted[count++] = assignment->attempt;
            continue;
        }
        const char *reason = refusal(core, assignment);
        if (reason) {
            sc_agent_say_rejected(core, assignment->attempt, reason);
            sc_agent_effect(core, SC_AGENT_RELEASE, assignment->attempt);
            continue;
        }
        sc_task_add(core, assignment);
        accepted[count++] = assignment->attempt;
    }
    if (count == 0)
        return;
    struct sc_agent_effect *effect = sc_agent_effect(core, SC_AGENT_SAY_ACCEPTED, 0);
    effect->held.items = accepted;
    effect->held.count = count;
}

static void on_revoke(struct sc_agent_core *core, const struct sc_msg_revoke *revoke)
{
    heard(core, true);
    int64_t grace_ms =
        revoke->grace_ms && revoke->grace_ms < INT32_MAX ? (int64_t)revoke->grace_ms : core->config.grace_ms;
    for (uint32_t i = 0; i < revoke->attempts.count; i++) {
        struct task *task = sc_task_find(core, revoke->attempts.items[i]);
        if (task)
            sc_task_end(core, task, CAUSE_REVOKED, grace_ms);
        else
            sc_agent_effect(core, SC_AGENT_SAY_ENDED, revoke->attempts.items[i]);
    }
}

// Each stage holds what those before it do: no new attempts, and what waits is given back; what runs is told to end; it is
// killed.
static void leave(struct sc_agent_core *core, const char *reason, enum leaving stage)
{
    core->reason = core->reason ? core->reason : reason;
    if (stage <= core->leaving)
        return;
    core->leaving = stage;
    if (stage == LEAVING_DRAINED)
        return; // by the coordinator, which knows what it has assigned: that is finished
    for (int list = 0; list < LIST_COUNT; list++) {
        struct task *task, *next;
        if (list != LIST_RUNNING || stage >= LEAVING_STOPPED)
            DL_FOREACH_SAFE (core->lists[list], task, next)
                sc_task_end(core, task, CAUSE_STOPPED, core->config.grace_ms);
    }
    if (stage == LEAVING_KILLED)
        sc_task_kill_all(core);
}

// ---- from the shell's workers and the runner

static void on_looking(struct sc_agent_core *core, struct task *task)
{
    if (task->looking || core->looking == SC_TASK_LOOKING_MOST)
        return;
    task->looking = true;
    core->looking++;
}

static void on_prepared(struct sc_agent_core *core, struct task *task, enum sc_outcome outcome)
{
    if (task->cause != CAUSE_NONE)
        sc_task_clean(core, task);
    else if (outcome != SC_OUTCOME_OK)
        sc_task_take(core, task, outcome);
    else
        sc_task_move(core, task, TASK_READY);
}

static void on_started(struct task *task, int64_t started_ms)
{
    if (task->state != TASK_RUNNING)
        return;
    if (task->timeout_ms)
        task->deadline_ms = started_ms + task->timeout_ms;
    task->running_word_ms = started_ms + SC_TASK_RUNNING_WORD_MS;
}

static enum sc_outcome outcome_of(const struct task *task, enum sc_outcome otherwise)
{
    switch (task->cause) {
    case CAUSE_NONE:
        return otherwise;
    case CAUSE_TIMEOUT:
        return SC_OUTCOME_TIMEOUT;
    case CAUSE_STOPPED:
        return SC_OUTCOME_AGENT_LOST;
    case CAUSE_REVOKED:
    case CAUSE_DROPPED:
        return SC_OUTCOME_CANCELLED;
    }
    SC_ASSERT(false);
    return otherwise;
}

static void on_exited(struct sc_agent_core *core, struct task *task, const struct sc_agent_event *event)
{
    enum sc_outcome outcome = SC_OUTCOME_OK;
    if ((event->u.exited.signal || event->u.exited.exit_code) && event->u.exited.oom)
        outcome = SC_OUTCOME_OUT_OF_MEMORY;
    else if (event->u.exited.signal)
        outcome = SC_OUTCOME_SIGNAL;
    else if (event->u.exited.exit_code)
        outcome = SC_OUTCOME_EXIT;
    sc_task_take(core, task, outcome_of(task, outcome));
}

static void on_runner_lost(struct sc_agent_core *core)
{
    static const enum task_list launched[] = {LIST_WAITING, LIST_RUNNING}; // without heirs, then
    for (size_t i = 0; i < SC_COUNT(launched); i++) {
        struct task *task, *next;
        DL_FOREACH_SAFE (core->lists[launched[i]], task, next)
            sc_task_take(core, task, outcome_of(task, SC_OUTCOME_AGENT_LOST));
    }
}

static void on_taken(struct sc_agent_core *core, struct task *task, uint64_t bytes)
{
    if (task->cause == CAUSE_REVOKED || task->cause == CAUSE_DROPPED || core->gone) {
        sc_task_answer(core, task);
        return;
    }
    sc_task_move(core, task, TASK_REPORTED);
    task->said_ms = core->now_ms;
    task->report_bytes = bytes;
    core->reports_bytes += bytes;
    sc_agent_effect(core, SC_AGENT_SAY_REPORTED, task->attempt);
    while (core->counts[LIST_REPORTS] > 1 &&
           (core->counts[LIST_REPORTS] > REPORTS_MOST || core->reports_bytes > reports_most_bytes))
        sc_task_release(core, core->lists[LIST_REPORTS]);
}

static void on_attempt(struct sc_agent_core *core, const struct sc_agent_event *event)
{
    struct task *task = sc_task_find(core, event->attempt);
    if (!task)
        return;
    enum task_list list = sc_task_list(task->state);
    bool launched = list == LIST_WAITING || list == LIST_RUNNING;
    if (event->kind == SC_AGENT_LOOKING && task->state == TASK_FETCHING)
        on_looking(core, task);
    else if (event->kind == SC_AGENT_PREPARED && task->state == TASK_FETCHING)
        on_prepared(core, task, event->u.prepared);
    else if (event->kind == SC_AGENT_STARTED && launched)
        on_started(task, event->u.started_ms);
    else if (event->kind == SC_AGENT_NOT_STARTED && launched)
        sc_task_take(core, task, outcome_of(task, SC_OUTCOME_START));
    else if (event->kind == SC_AGENT_WITHDRAWN && list == LIST_WAITING)
        sc_task_clean(core, task);
    else if (event->kind == SC_AGENT_EXITED && launched)
        on_exited(core, task, event);
    else if (event->kind == SC_AGENT_TAKEN && task->state == TASK_TAKING)
        on_taken(core, task, event->u.taken_bytes);
    else if (event->kind == SC_AGENT_CLEANED && task->state == TASK_CLEANING)
        sc_task_answer(core, task);
}

// ---- time

static void tend_tasks(struct sc_agent_core *core)
{
    struct task *task;
    DL_FOREACH (core->lists[LIST_RUNNING], task) {
        if (task->running_word_ms <= core->now_ms) {
            task->running_word_ms = INT64_MAX;
            sc_agent_effect(core, SC_AGENT_SAY_PROGRESS, task->attempt)->phase = SC_PHASE_RUNNING;
        }
        if (task->deadline_ms > core->now_ms)
            continue;
        if (task->state == TASK_RUNNING) {
            task->cause = CAUSE_TIMEOUT;
            sc_task_signal(core, task, SIGTERM, core->config.grace_ms);
        } else {
            sc_task_signal(core, task, SIGKILL, core->config.grace_ms);
        }
    }
    static const enum task_list slow[] = {LIST_AHEAD, LIST_CLOSING};
    for (size_t i = 0; i < SC_COUNT(slow); i++) {
        DL_FOREACH (core->lists[slow[i]], task) {
            if (task->deadline_ms > core->now_ms)
                continue;
            task->deadline_ms = core->now_ms + (task->unwanted ? SC_TASK_WORD_MS : SC_TASK_NEXT_WORD_MS);
            if (task->unwanted) {
                sc_task_give_up(core, task, 0);
                continue;
            }
            sc_agent_effect(core, SC_AGENT_SAY_PROGRESS, task->attempt)->phase =
                task->state == TASK_FETCHING ? SC_PHASE_FETCHING : SC_PHASE_STORING;
            if (task->state == TASK_TAKING && core->leaving >= LEAVING_FINISHING)
                sc_task_give_up(core, task, SC_TASK_PATIENCE_MS);
        }
    }
}

// Nobody will come back to hear of anything.
static void desert(struct sc_agent_core *core)
{
    if (core->gone)
        return;
    core->gone = true;
    core->leaving = LEAVING_KILLED;
    core->reason = "the coordinator is gone";
    sc_agent_trace(core, "%s", core->reason);
    sc_task_end_all(core, CAUSE_DROPPED, core->config.grace_ms);
    sc_task_kill_all(core);
}

static int64_t word_due(const struct sc_agent_core *core)
{
    if (!core->started || core->gone || core->left)
        return INT64_MAX;
    return core->hello_open ? core->hello_ms + core->hello_wait_ms : core->renew_at_ms;
}

static void tend_conversation(struct sc_agent_core *core)
{
    if (core->now_ms < word_due(core))
        return;
    if (core->hello_open) {
        core->hello_wait_ms =
            core->hello_wait_ms * 2 < HELLO_WAIT_MOST_MS ? core->hello_wait_ms * 2 : HELLO_WAIT_MOST_MS;
        sc_agent_say_hello(core);
        return;
    }
    core->renew_at_ms = core->now_ms + core->renew_ms;
    if (core->now_ms - core->heard_ms >= SILENCE_RENEWS * core->renew_ms)
        sc_agent_say_hello(core);
    else
        sc_agent_hold(core, sc_agent_effect(core, SC_AGENT_SAY_RENEW, 0), false);
}

int64_t sc_agent_core_next_deadline(const struct sc_agent_core *core)
{
    int64_t next = word_due(core);
    static const enum task_list timed[] = {LIST_RUNNING, LIST_AHEAD, LIST_CLOSING};
    for (size_t i = 0; i < SC_COUNT(timed); i++) {
        const struct task *task;
        DL_FOREACH (core->lists[timed[i]], task) {
            if (task->deadline_ms < next)
                next = task->deadline_ms;
            if (task->running_word_ms < next)
                next = task->running_word_ms;
        }
    }
    return next;
}

// ---- the entrance

static void on_start(struct sc_agent_core *core)
{
    if (core->started)
        return;
    core->started = true;
    core->heard_ms = core->now_ms;
    sc_agent_say_hello(core);
}

static void dispatch(struct sc_agent_core *core, const struct sc_agent_event *event)
{
    switch (event->kind) {
    case SC_AGENT_START:
        on_start(core);
        return;
    case SC_AGENT_WELCOME:
        on_welcome(core, event->u.welcome);
        return;
    case SC_AGENT_ASSIGN:
        on_assign(core, event->u.assign);
        return;
    case SC_AGENT_REVOKE:
        on_revoke(core, event->u.revoke);
        return;
    case SC_AGENT_DRAIN:
        heard(core, true);
        leave(core, "the coordinator asked it to leave",
              event->u.drain->now ? LEAVING_STOPPED : LEAVING_DRAINED);
        return;
    case SC_AGENT_STRANGER:
        heard(core, false);
        if (!core->hello_open || core->now_ms - core->hello_ms >= STRANGER_WAIT_MS)
            sc_agent_say_hello(core);
        return;
    case SC_AGENT_HEARD:
        heard(core, true);
        return;
    case SC_AGENT_LOOKING:
    case SC_AGENT_PREPARED:
    case SC_AGENT_STARTED:
    case SC_AGENT_NOT_STARTED:
    case SC_AGENT_WITHDRAWN:
    case SC_AGENT_EXITED:
    case SC_AGENT_TAKEN:
    case SC_AGENT_CLEANED:
        on_attempt(core, event);
        return;
    case SC_AGENT_RUNNER_LOST:
        on_runner_lost(core);
        return;
    case SC_AGENT_STOP:
        leave(core, "it was asked to stop",
              core->leaving < LEAVING_FINISHING    ? LEAVING_FINISHING
              : core->leaving == LEAVING_FINISHING ? LEAVING_STOPPED
                                                   : LEAVING_KILLED);
        return;
    case SC_AGENT_DESERTED:
        desert(core);
        return;
    case SC_AGENT_DEADLINE:
        tend_tasks(core);
        tend_conversation(core);
        return;
    }
    SC_ASSERT(false);
}

const struct sc_agent_effects *sc_agent_core_step(struct sc_agent_core *core,
                                                  const struct sc_agent_event *event)
{
    core->effects.count = 0;
    if (core->arena.head) {
        sc_arena_done(&core->arena);
        sc_arena_init(&core->arena);
    }
    core->now_ms = event->mono_ms;
    dispatch(core, event);
    schedule(core);
    return &core->effects;
}

struct sc_slice sc_agent_core_coordinator(const struct sc_agent_core *core)
{
    return sc_buf_slice(&core->coordinator);
}

uint32_t sc_agent_core_busy(const struct sc_agent_core *core)
{
    return HASH_CNT(hh, core->by_attempt) - core->counts[LIST_REPORTS];
}
