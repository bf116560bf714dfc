#include "coordinator/core/watch.h"

#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/tables.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

enum { SNAPSHOT_STEPS = 1000 }; // of one turn

static bool is_final(const struct step *step)
{
    return step->state == STEP_DONE || step->state == STEP_FAILED || step->state == STEP_CANCELLED ||
           step->state == STEP_SKIPPED;
}

static void base_event(const struct run *run, enum sc_event_type type, int64_t at,
                       struct sc_event_body *ret_event)
{
    *ret_event = (struct sc_event_body){.type = type, .at = at, .run = run->id};
}

void watch_run_started(struct sc_core *core, struct run *run, struct sc_event_body *ret_event)
{
    (void)core;
    base_event(run, SC_EV_RUN_STARTED, run->started_at, ret_event);
    ret_event->pipeline = run->plan->plan->name;
    ret_event->namespace_ = run->plan->plan->namespace_;
    ret_event->steps = run->step_count;
}

enum sc_end_state run_end_state(const struct run *run)
{
    if (run->failed || run->store_error)
        return SC_END_FAILED;
    return run->cancelled || run->cancelling ? SC_END_CANCELLED : SC_END_DONE;
}

void watch_run_finished(struct sc_core *core, struct run *run, struct sc_event_body *ret_event)
{
    base_event(run, SC_EV_RUN_FINISHED, core->wall_ms, ret_event);
    ret_event->state = run_end_state(run);
    ret_event->hits = run->hits;
    ret_event->misses = run->misses;
    ret_event->joined = run->joined;
    ret_event->failed = run->failed;
    ret_event->skipped = run->skipped;
    ret_event->ran_ms = run->ran_ms;
    ret_event->saved_ms = run->saved_ms;
    ret_event->bytes_up = run->bytes_up;
    ret_event->bytes_down = run->bytes_down;
    int64_t wall = core->mono_ms - run->started_mono_ms;
    ret_event->wall_ms = wall > 0 ? (uint64_t)wall : 0;
    ret_event->outputs.items = run->published.items;
    ret_event->outputs.count = run->published.count;
}

static void verdict_event(const struct sc_core *core, const struct step *step, struct sc_slice name,
                          struct sc_event_body *ret_event)
{
    base_event(step->run, SC_EV_STEP_VERDICT, core->wall_ms, ret_event);
    ret_event->step = name;
    ret_event->verdict = step->verdict;
    ret_event->reason = step->reason;
    if (step->reason != SC_REASON_DISABLED)
        ret_event->key = step->key;
    if (step->reason == SC_REASON_UPSTREAM)
        ret_event->detail = step->run->plan->plan->steps.items[step_group(step)->fate_by].name;
    const struct step_info *info = step->info;
    if (!info)
        return;
    ret_event->detail = info->detail;
    ret_event->fields.items = info->fields.items;
    ret_event->fields.count = info->fields.count;
    if (step->verdict == SC_VERDICT_HIT) {
        ret_event->made_by_run = info->made_by_run;
        ret_event->made_by_pipeline = info->made_by_pipeline;
        ret_event->made_by_step = info->made_by_step;
        ret_event->made_by_agent = info->made_by_agent;
        ret_event->ended_at = info->ended_at;
        ret_event->saved_ms = info->saved_ms;
    }
}

static void finished_event(const struct sc_core *core, const struct step *step, struct sc_slice name,
                           struct sc_event_body *ret_event)
{
    base_event(step->run, SC_EV_STEP_FINISHED, core->wall_ms, ret_event);
    ret_event->step = name;
    ret_event->state = step->state == STEP_DONE      ? SC_END_DONE
                       : step->state == STEP_FAILED  ? SC_END_FAILED
                       : step->state == STEP_SKIPPED ? SC_END_SKIPPED
                                                     : SC_END_CANCELLED;
    ret_event->cached = step->cached;
    ret_event->outcome = step->outcome;
    ret_event->attempt = step->number;
    const struct step_info *info = step->info;
    if (!info || step->cached)
        return;
    ret_event->agent = info->agent;
    ret_event->exit_code = info->exit_code;
    ret_event->signal = info->signal;
    ret_event->wall_ms = info->wall_ms;
    ret_event->cpu_ms = info->cpu_ms;
    ret_event->max_rss_bytes = info->max_rss_bytes;
    ret_event->text = info->message;
    if (step->state == STEP_FAILED)
        ret_event->log_tail = info->log_tail;
}

// Of the newest attempt of a step that began; false when none did, or another's work served it.
static bool started_event(const struct sc_core *core, const struct step *step, struct sc_slice name,
                          struct sc_event_body *ret_event)
{
    const struct attempt *attempt = step->flight && step->started ? step->flight->attempt : NULL;
    bool over = step->state == STEP_DONE || step->state == STEP_FAILED;
    if (!attempt && (!over || !step->own_work || step->number == 0))
        return false;
    base_event(step->run, SC_EV_STEP_STARTED, core->wall_ms, ret_event);
    ret_event->step = name;
    ret_event->attempt = step->number;
    if (attempt)
        ret_event->agent = attempt->agent_name;
    else if (step->info)
        ret_event->agent = step->info->agent;
    return true;
}

void watch_tell_started(struct sc_core *core, struct step *step)
{
    struct sc_event_body event;
    if (!step->run->watchers ||
        !started_event(core, step, run_step_name(core, step, &core->effects.arena), &event))
        return;
    event.agent =
        sc_arena_copy(&core->effects.arena, event.agent); // the attempt may go before the effects do
    watch_tell(core, step->run, step, &event, core->last_seq);
}

static void tell_to(struct sc_core *core, const struct sc_watching *to, uint32_t count,
                    const struct sc_event_body *event, uint64_t after_seq)
{
    struct sc_event_body *copy = SC_NEW(&core->effects.arena, struct sc_event_body);
    *copy = *event; // its texts lie in the run or in the effects' arena
    struct sc_effect *effect = core_effect(core, SC_EFFECT_NOTIFY);
    effect->after_seq = after_seq;
    effect->u.notify.to = to;
    effect->u.notify.to_count = count;
    effect->u.notify.event = copy;
}

static void tell_one(struct sc_core *core, const struct watcher *w, const struct sc_event_body *event)
{
    struct sc_watching *to = SC_NEW(&core->effects.arena, struct sc_watching);
    *to = (struct sc_watching){w->client, w->client_req};
    tell_to(core, to, 1, event, core->last_seq);
}

void watch_tell(struct sc_core *core, struct run *run, const struct step *step, struct sc_event_body *event,
                uint64_t after_seq)
{
    if (!run->watchers || core->restoring)
        return;
    uint32_t index = step ? (uint32_t)(step - run->steps) : 0, count = 0;
    struct watcher *w;
    DL_FOREACH (run->watchers, w)
        count++;
    struct sc_watching *to = SC_NEW_ARRAY(&core->effects.arena, count, struct sc_watching);
    count = 0;
    DL_FOREACH (run->watchers, w)
        if (!step || w->caught_up || index < w->cursor)
            to[count++] = (struct sc_watching){w->client, w->client_req};
    if (count)
        tell_to(core, to, count, event, after_seq);
}

void watch_tell_verdict(struct sc_core *core, struct step *step, uint64_t after_seq)
{
    if (!step->run->watchers)
        return;
    struct sc_event_body event;
    verdict_event(core, step, run_step_name(core, step, &core->effects.arena), &event);
    watch_tell(core, step->run, step, &event, after_seq);
}

void watch_tell_finished(struct sc_core *core, struct step *step, uint64_t after_seq)
{
    if (!step->run->watchers)
        return;
    struct sc_event_body event;
    finished_event(core, step, run_step_name(core, step, &core->effects.arena), &event);
    watch_tell(core, step->run, step, &event, after_seq);
}

void watch_tell_note(struct sc_core *core, struct run *run, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct sc_event_body event;
    base_event(run, SC_EV_NOTE, core->wall_ms, &event);
    event.text = sc_arena_copy(&core->effects.arena, sc_slice_str(text));
    watch_tell(core, run, NULL, &event, 0);
}

static bool has_log_watcher(const struct run *run)
{
    const struct watcher *w;
    DL_FOREACH (run->watchers, w)
        if (w->logs)
            return true;
    return false;
}

bool watch_wants_log(const struct flight *flight)
{
    struct step *step;
    DL_FOREACH2 (flight->waiters, step, wait_next)
        if (has_log_watcher(step->run))
            return true;
    return false;
}

// ---- logs

// Each watcher of each step that waits has a place of its own in the log. When one comes late the agent tells the log from its
// beginning again, and whoever was told that part already does not get it twice.

static uint64_t *told_so_far(struct attempt *attempt, const struct step *step, const struct watcher *w,
                             enum sc_stream stream)
{
    uint32_t index = (uint32_t)(step - step->run->steps);
    struct log_told *told = attempt->logs_told;
    while (told && (told->run != step->run->number || told->step != index || told->client != w->client ||
                    told->client_req != w->client_req))
        told = told->next;
    if (!told) {
        told = sc_calloc(1, sizeof *told);
        *told = (struct log_told){.next = attempt->logs_told,
                                  .run = step->run->number,
                                  .step = index,
                                  .client = w->client,
                                  .client_req = w->client_req};
        attempt->logs_told = told;
    }
    return &told->bytes[stream];
}

static void tell_left_out(struct sc_core *core, const struct watcher *w, struct sc_event_body event,
                          uint64_t bytes)
{
    event.text = sc_arena_printf(&core->effects.arena,
                                 "[stepcache: %llu bytes of this log are left out here; all of it is there "
                                 "when the step has ended]\n",
                                 (unsigned long long)bytes);
    tell_one(core, w, &event);
}

static void tell_log_to(struct sc_core *core, struct attempt *attempt, const struct step *step,
                        const struct watcher *w, const struct sc_msg_log *log, struct sc_event_body event)
{
    uint64_t *told = told_so_far(attempt, step, w, log->stream), end = log->offset + log->text.len;
    if (end <= *told || (*told < log->offset && !log->begins))
        return; // said again for another; or it comes later, after what is before it
    if (*told < log->offset)
        tell_left_out(core, w, event, log->offset - *told);
    else
        event.text = sc_slice_from(event.text, (size_t)(*told - log->offset));
    *told = end;
    tell_one(core, w, &event);
}

void watch_tell_log(struct sc_core *core, struct attempt *attempt, const struct sc_msg_log *log)
{
    struct sc_slice text = sc_arena_copy(&core->effects.arena, log->text);
    struct step *step;
    DL_FOREACH2 (attempt->flight->waiters, step, wait_next) {
        if (!has_log_watcher(step->run))
            continue;
        struct sc_event_body event;
        base_event(step->run, SC_EV_STEP_LOG, core->wall_ms, &event);
        event.step = run_step_name(core, step, &core->effects.arena);
        event.attempt = attempt->number;
        event.stream = log->stream;
        event.text = text;
        const struct watcher *w;
        DL_FOREACH (step->run->watchers, w)
            if (w->logs && w->caught_up)
                tell_log_to(core, attempt, step, w, log, event);
    }
}

void watch_joined(struct sc_core *core, struct flight *flight, const struct step *step)
{
    if (flight->attempt && has_log_watcher(step->run))
        attempt_listen(core, flight->attempt, true);
}

// A watcher of the run's logs has heard of all steps: it gets the log of what runs.
static void listen_for(struct sc_core *core, const struct run *run)
{
    struct flight *f;
    DL_FOREACH (core->flights, f) {
        const struct step *step = f->attempt ? f->waiters : NULL;
        while (step && step->run != run)
            step = step->wait_next;
        if (step)
            attempt_listen(core, f->attempt, true);
    }
}

void watch_add(struct sc_core *core, struct run *run, uint64_t client, uint64_t client_req, bool logs,
               bool owner, bool caught_up)
{
    struct watcher *w = sc_calloc(1, sizeof *w);
    *w = (struct watcher){
        .client = client, .client_req = client_req, .logs = logs, .owner = owner, .caught_up = caught_up};
    DL_APPEND(run->watchers, w);
    if (owner)
        run->orphan_deadline_ms = 0;
    if (!caught_up)
        core->more = true;
}

void watch_go_on(struct sc_core *core, struct run *run)
{
    struct watcher *w;
    if (run->state == RUN_LOADING)
        return;
    DL_FOREACH (run->watchers, w) {
        if (w->caught_up)
            continue;
        struct sc_event_body event;
        if (w->cursor == 0) {
            watch_run_started(core, run, &event);
            tell_one(core, w, &event);
        }
        for (uint32_t n = 0; n < SNAPSHOT_STEPS && w->cursor < run->step_count; n++, w->cursor++) {
            const struct step *step = &run->steps[w->cursor];
            struct sc_slice name = run_step_name(core, step, &core->effects.arena);
            if (step->verdict != SC_VERDICT_NONE) {
                verdict_event(core, step, name, &event);
                tell_one(core, w, &event);
            }
            if (started_event(core, step, name, &event)) {
                event.agent = sc_arena_copy(&core->effects.arena, event.agent);
                tell_one(core, w, &event);
            }
            if (is_final(step)) {
                finished_event(core, step, name, &event);
                tell_one(core, w, &event);
            }
        }
        w->caught_up = w->cursor == run->step_count;
        if (!w->caught_up)
            core->more = true;
        else if (w->logs)
            listen_for(core, run);
    }
}

// Nobody is listened to for nothing.
static void forget_logs(struct sc_core *core, const struct run *run, uint64_t client)
{
    struct flight *f;
    DL_FOREACH (core->flights, f) {
        if (!f->attempt || !f->attempt->listening)
            continue;
        attempt_forget_logs(f->attempt, run->number, client);
        if (!watch_wants_log(f))
            attempt_listen(core, f->attempt, false);
    }
}

bool watch_unwatch(struct sc_core *core, struct run *run, uint64_t client)
{
    bool logs = false;
    struct watcher *w, *next;
    bool owner = false;
    DL_FOREACH_SAFE (run->watchers, w, next) {
        if (w->client != client)
            continue;
        owner |= w->owner;
        logs |= w->logs;
        DL_DELETE(run->watchers, w);
        free(w);
    }
    if (logs)
        forget_logs(core, run, client);
    return owner;
}

bool sc_core_visit_events(const struct sc_core *const_core, struct sc_slice id,
                          void (*visit)(void *context, const struct sc_event_body *event), void *context)
{
    struct sc_core *core = (struct sc_core *)const_core; // only for the run's lookup, which changes nothing
    struct run *run = run_find(core, id);
    if (!run || run->state == RUN_LOADING)
        return false;
    struct sc_event_body event;
    watch_run_started(core, run, &event);
    visit(context, &event);
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    for (uint32_t i = 0; i < run->step_count; i++) {
        const struct step *step = &run->steps[i];
        sc_buf_clear(&name);
        sc_plan_instance_name(step_plan(step), step->instance, &name);
        if (step->verdict != SC_VERDICT_NONE) {
            verdict_event(core, step, sc_buf_slice(&name), &event);
            visit(context, &event);
        }
        if (started_event(core, step, sc_buf_slice(&name), &event))
            visit(context, &event);
        if (is_final(step)) {
            finished_event(core, step, sc_buf_slice(&name), &event);
            visit(context, &event);
        }
    }
    if (run->state == RUN_CLOSING || run->state == RUN_FINAL) {
        watch_run_finished(core, run, &event);
        visit(context, &event);
    }
    return true;
}
