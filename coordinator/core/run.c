#include "coordinator/core/run.h"

#include "coordinator/core/allow.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/expand.h"
#include "coordinator/core/flight.h"
#include "coordinator/core/step.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

#include <time.h>

void sc_loaded_plan_free(struct sc_loaded_plan *plan)
{
    if (!plan)
        return;
    sc_arena_done(&plan->arena);
    sc_buf_done(&plan->bytes);
    free(plan);
}

// "20260102-030405-k3x9": when it began (UTC), and enough from the generator to tell runs of one second apart.
static struct sc_slice mint_id(struct sc_core *core, struct sc_arena *arena)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    char tail[6] = {0};
    for (int i = 0; i < 5; i++)
        tail[i] = digits[sc_random_below(&core->random, 32)];
    time_t seconds = (time_t)(core->wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    return sc_arena_printf(arena, "%04d%02d%02d-%02d%02d%02d-%s", utc.tm_year + 1900, utc.tm_mon + 1,
                           utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, tail);
}

static void copy_options(struct sc_arena *arena, const struct sc_run_options *from,
                         struct sc_run_options *ret_to)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_encode(&sc_schema_run_options, from, &buf);
    struct sc_slice kept = sc_arena_copy(arena, sc_buf_slice(&buf));
    *ret_to = (struct sc_run_options){0};
    SC_ASSERT(sc_decode(&sc_schema_run_options, kept, SC_DECODE_LENIENT, arena, ret_to, NULL) == SC_OK);
}

static struct run *run_new(struct sc_core *core, struct sc_slice id, const struct sc_digest *plan,
                           const struct sc_run_options *options, struct sc_slice user)
{
    struct run *run = sc_calloc(1, sizeof *run);
    sc_arena_init(&run->arena);
    run->id = id.len ? sc_arena_copy(&run->arena, id) : mint_id(core, &run->arena);
    run->number = ++core->next_run;
    run->epoch = ++core->epoch;
    run->first_flight = core->next_flight + 1;
    run->plan_digest = *plan;
    run->user = sc_arena_copy(&run->arena, user);
    run->started_at = core->wall_ms;
    run->started_mono_ms = core->mono_ms;
    copy_options(&run->arena, options, &run->options);
    HASH_ADD_KEYPTR(by_id, core->runs_by_id, run->id.ptr, run->id.len, run);
    DL_APPEND(core->runs, run);
    return run;
}

void run_submit(struct sc_core *core, const struct sc_event *event)
{
    const struct sc_msg_submit *submit = event->u.submit;
    if (sc_core_open_runs(core) >= SC_LIMIT_RUNS_OPEN) {
        core_reply_error(core, event, SC_BUSY, "%d runs are open already; wait for one to end, or cancel one",
                         SC_LIMIT_RUNS_OPEN);
        return;
    }
    struct run *run = run_new(core, sc_slice(NULL, 0), &submit->plan, &submit->options, submit->user);
    if (!run->options.dry) {
        struct sc_fact fact = {.kind = SC_FACT_RUN,
                               .run = run->id,
                               .plan = run->plan_digest,
                               .options = run->options,
                               .user = run->user,
                               .at = run->started_at};
        run->first_seq = core_journal(core, &fact, false);
    }
    watch_add(core, run, event->client, event->client_req, submit->logs,
              run->options.attached || run->options.dry, submit->watch);
    struct request *request;
    struct sc_effect *effect = core_request(core, SC_EFFECT_LOAD_PLAN, REQUEST_PLAN, &request);
    effect->u.load_plan = run->plan_digest;
    request->run = run->number;
}

struct run *run_restore(struct sc_core *core, const struct sc_fact *fact, struct sc_loaded_plan *plan)
{
    struct run *run = run_new(core, fact->run, &fact->plan, &fact->options, fact->user);
    run->started_at = fact->at;
    run->restored = true;
    if (run_expand(run, plan))
        return run;
    run_free(core, run);
    return NULL;
}

static uint64_t oldest_needed(struct sc_core *core)
{
    uint64_t oldest = core->last_seq + 1;
    struct run *run;
    DL_FOREACH (core->runs, run)
        if (run->first_seq && run->state != RUN_FINAL && run->first_seq < oldest)
            oldest = run->first_seq;
    return oldest;
}

// Returns the seq after which it may be told.
static uint64_t close_for_good(struct sc_core *core, struct run *run, enum sc_end_state state)
{
    run->state = RUN_FINAL;
    struct sc_fact fact = {.kind = SC_FACT_CLOSED, .run = run->id, .state = state};
    uint64_t seq = core_journal(core, &fact, false);
    struct sc_effect *effect = core_effect(core, SC_EFFECT_RUN_CLOSED);
    effect->after_seq = seq;
    effect->u.run_closed.run = sc_arena_copy(&core->effects.arena, run->id);
    effect->u.run_closed.keep_from = oldest_needed(core);
    return seq;
}

static void reject(struct sc_core *core, struct run *run, enum sc_rc rc, struct sc_slice message)
{
    struct watcher *w;
    DL_FOREACH (run->watchers, w) {
        struct sc_event event = {.client = w->client, .client_req = w->client_req};
        core_reply_error(core, &event, rc, SC_SLICE_FMT, SC_SLICE_ARG(message));
    }
    if (!run->options.dry)
        close_for_good(core, run, SC_END_FAILED);
    run_free(core, run);
}

void run_plan_loaded(struct sc_core *core, struct run *run, struct sc_loaded_plan *plan, enum sc_rc rc,
                     struct sc_slice message)
{
    if (!plan) {
        reject(core, run, rc == SC_OK ? SC_NOT_FOUND : rc, message);
        return;
    }
    if (!run_expand(run, plan)) {
        reject(core, run, SC_LIMIT, sc_slice_str("the plan has more than 100000 step instances"));
        return;
    }
    struct sc_slice bad, why;
    if (allow_refuses(&core->config, plan->plan, &core->effects.arena, &why)) {
        reject(core, run, SC_INVALID, why); // the request was wrong
        return;
    }
    if (run_bad_option(run, &bad)) {
        reject(core, run, SC_NOT_FOUND,
               sc_arena_printf(&core->effects.arena, "the pipeline has no step " SC_SLICE_FMT,
                               SC_SLICE_ARG(bad)));
        return;
    }
    core_trace(core, "run " SC_SLICE_FMT ": accepted, %u steps", SC_SLICE_ARG(run->id), run->step_count);
    struct sc_event_body event;
    watch_run_started(core, run, &event);
    struct watcher *w;
    DL_FOREACH (run->watchers, w) {
        struct sc_msg_started started = {.run = run->id, .steps = run->step_count};
        core_reply(core, w->client, w->client_req, SC_MESSAGE_STARTED, run->first_seq, &started,
                   sizeof started);
        if (!w->caught_up)
            core->more = true;
    }
    watch_tell(core, run, NULL, &event, run->first_seq);
    // A client that does not watch wants only `started`: its watcher was added to be answered.
    struct watcher *next;
    DL_FOREACH_SAFE (run->watchers, w, next)
        if (!w->caught_up && !w->owner) {
            DL_DELETE(run->watchers, w);
            free(w);
        }
    if (run->cancelling) { // asked while the plan was loading
        run->cancelling = false;
        run_cancel(core, run, "cancelled before it began");
        return;
    }
    run_begin(run);
}

// ---- work of a run, in pieces: a turn visits a bounded number of steps, however wide a change ripples

enum { STEPS_A_TURN = 1000 };

void run_begin(struct run *run)
{
    for (uint32_t i = 0; i < run->plan->plan->steps.count; i++)
        if (run->groups[i].needs == 0 || run->groups[i].fate != FATE_NONE)
            run_visit_later(run, &run->groups[i]);
}

// A step that can not run, since something it needs did not.
static void end_by_fate(struct sc_core *core, struct step *step, enum group_fate fate)
{
    struct run *run = step->run;
    if (run->cancelling) {
        step_end_quietly(core, step, STEP_CANCELLED, SC_OUTCOME_CANCELLED);
        return;
    }
    if (fate == FATE_WOULD_RUN && step_group(step)->mode != GROUP_LEFT_OUT) {
        step->verdict = SC_VERDICT_MISS;
        step->reason = SC_REASON_UPSTREAM;
        watch_tell_verdict(core, step, 0);
    }
    step_end_quietly(core, step, STEP_SKIPPED,
                     fate == FATE_UPSTREAM_FAILED ? SC_OUTCOME_UPSTREAM : SC_OUTCOME_OK);
}

static void visit_step(struct sc_core *core, struct step *step)
{
    const struct group *group = step_group(step);
    if (step->state != STEP_BLOCKED)
        return;
    if (group->fate != FATE_NONE)
        end_by_fate(core, step, group->fate);
    else if (group->needs == 0)
        step_release(core, step);
}

static uint32_t visit(struct sc_core *core, struct run *run, uint32_t budget)
{
    while (budget > 0 && run->visit_first) {
        struct group *group = &run->groups[run->visit_first - 1];
        for (; budget > 0 && run->visit_at < group->count; budget--)
            visit_step(core, &run->steps[group->first + run->visit_at++]);
        if (run->visit_at < group->count)
            break;
        run->visit_at = 0;
        group->visiting = false;
        run->visit_first = group->visit_next;
        if (!run->visit_first)
            run->visit_last = 0;
    }
    return budget;
}

static void cancel_step(struct sc_core *core, struct step *step)
{
    if (step->state == STEP_WAITING)
        flight_detach(core, step);
    if (step->state == STEP_BLOCKED || step->state == STEP_PROBING || step->state == STEP_WAITING ||
        step->state == STEP_HEALING || step->state == STEP_LOOKING)
        step_end_quietly(core, step, STEP_CANCELLED, SC_OUTCOME_CANCELLED);
}

void run_cancel(struct sc_core *core, struct run *run, const char *why)
{
    if (run->cancelling || run->state == RUN_FINAL || (run->state == RUN_CLOSING && !core->store_trouble))
        return;
    run->cancelling = true;
    if (run->state == RUN_LOADING)
        return;
    core_trace(core, "run " SC_SLICE_FMT ": cancelled: %s", SC_SLICE_ARG(run->id), why);
    if (!run->options.dry && !core->restoring) {
        struct sc_fact fact = {.kind = SC_FACT_CANCEL, .run = run->id};
        uint64_t seq = core_journal(core, &fact, false);
        struct sc_effect *effect = core_effect(core, SC_EFFECT_RUN_CANCELLED);
        effect->after_seq = seq;
        effect->u.run_cancelled = sc_arena_copy(&core->effects.arena, run->id);
    }
    run->cancel_at = 0;
    core->more = true;
}

static uint32_t collect_keys(struct sc_core *core, struct run *run, struct sc_digest **ret_keys)
{
    struct sc_digest *keys = SC_NEW_ARRAY(&core->effects.arena, run->step_count, struct sc_digest);
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->step_count; i++)
        if (run->steps[i].state == STEP_DONE && run->steps[i].reason != SC_REASON_DISABLED)
            keys[count++] = run->steps[i].key;
    *ret_keys = keys;
    return count;
}

static void collect_published(struct sc_core *core, struct run *run, struct sc_close_out *out)
{
    const struct sc_plan *plan = run->plan->plan;
    uint32_t most = 0;
    for (uint32_t i = 0; i < plan->outputs.count; i++)
        most += run->groups[plan->outputs.items[i].step].count;
    out->publish.items = SC_NEW_ARRAY(&core->effects.arena, most, struct sc_publish_item);
    if (run_end_state(run) != SC_END_DONE)
        return; // what a failed check lets through must not become the newest
    for (uint32_t i = 0; i < plan->outputs.count; i++) {
        const struct sc_plan_publish *publish = &plan->outputs.items[i];
        const struct group *group = &run->groups[publish->step];
        for (uint32_t k = 0; k < group->count; k++) {
            const struct step *step = &run->steps[group->first + k];
            if (step->state != STEP_DONE)
                continue;
            out->publish.items[out->publish.count++] = (struct sc_publish_item){
                .name = publish->name,
                .step = run_step_name(core, step, &core->effects.arena),
                .output = plan->steps.items[publish->step].outputs.items[publish->output].name,
                .artifact = step->result->outputs[publish->output],
            };
        }
    }
}

static void finish_dry(struct sc_core *core, struct run *run);

// A cancelled run does not wait for a store that refuses: what was not written is made again when it is wanted.
static bool abandon(struct sc_core *core, struct run *run)
{
    if (!core->store_trouble || !run->cancelling || run->unfinished > 0 || run->ending > 0 ||
        (run->state != RUN_OPEN && run->state != RUN_CLOSING))
        return false;
    struct sc_event nothing = {.kind = SC_EVENT_CLOSED_OUT};
    run_closed_out(core, run, &nothing);
    return true;
}

// A pipeline may hold no step that runs.
static void maybe_close(struct sc_core *core, struct run *run)
{
    if (abandon(core, run) || run->state != RUN_OPEN || run->unfinished > 0 || run->unrecorded > 0 ||
        run->ending > 0)
        return;
    run->state = RUN_CLOSING;
    if (run->options.dry) {
        finish_dry(core, run);
        return;
    }
    struct request *request;
    struct sc_close_out *out = SC_NEW(&core->effects.arena, struct sc_close_out);
    *out = (struct sc_close_out){
        .run = run->id,
        .namespace_ = run->plan->plan->namespace_,
        .pipeline = run->plan->plan->name,
        .user = run->user,
        .plan = run->plan_digest,
        .template_ = run->plan->template_,
        .started_at = run->started_at,
        .ended_at = core->wall_ms,
        .state = run_end_state(run),
        .params = {run->plan->plan->params.items, run->plan->plan->params.count},
    };
    out->keys.count = collect_keys(core, run, &out->keys.items);
    collect_published(core, run, out);
    struct sc_effect *effect = core_request(core, SC_EFFECT_CLOSE_OUT, REQUEST_CLOSE, &request);
    effect->u.close_out = out;
    effect->after_seq = core->last_seq;
    request->run = run->number;
}

static void say_done(struct sc_core *core, struct run *run, uint64_t after_seq)
{
    struct sc_event_body event;
    watch_run_finished(core, run, &event);
    struct watcher *w;
    DL_FOREACH (run->watchers, w)
        w->cursor = run->step_count;
    struct sc_msg_done done = {.state = run_end_state(run),
                               .run = sc_arena_copy(&core->effects.arena, run->id)};
    event.run = done.run;
    struct sc_published *outputs =
        SC_NEW_ARRAY(&core->effects.arena, run->published.count, struct sc_published);
    for (uint32_t i = 0; i < run->published.count; i++) { // the run's memory goes before the effects do
        outputs[i] = run->published.items[i];
        outputs[i].name = sc_arena_copy(&core->effects.arena, outputs[i].name);
        outputs[i].uri = sc_arena_copy(&core->effects.arena, outputs[i].uri);
    }
    event.outputs.items = outputs;
    event.text = sc_arena_copy(&core->effects.arena, event.text);
    watch_tell(core, run, NULL, &event, after_seq);
    DL_FOREACH (run->watchers, w)
        core_reply(core, w->client, w->client_req, SC_MESSAGE_DONE, after_seq, &done, sizeof done);
}

void run_closed_out(struct sc_core *core, struct run *run, const struct sc_event *event)
{
    if (event->rc != SC_OK) {
        watch_tell_note(core, run, "the run's results could not all be written: " SC_SLICE_FMT,
                        SC_SLICE_ARG(event->message));
        run_store_failed(run, event->rc, event->message);
    }
    run->published.items = SC_NEW_ARRAY(&run->arena, event->u.closed_out.count, struct sc_published);
    for (uint32_t i = 0; event->rc == SC_OK && i < event->u.closed_out.count; i++) {
        struct sc_published *to = &run->published.items[run->published.count++];
        *to = event->u.closed_out.outputs[i];
        to->name = sc_arena_copy(&run->arena, to->name);
        to->uri = sc_arena_copy(&run->arena, to->uri);
    }
    // Late snapshots end before the last word.
    struct watcher *w;
    bool waiting;
    do {
        watch_go_on(core, run);
        waiting = false;
        DL_FOREACH (run->watchers, w)
            waiting |= !w->caught_up;
    } while (waiting);
    uint64_t seq = close_for_good(core, run, run_end_state(run));
    say_done(core, run, seq);
    core_trace(core, "run " SC_SLICE_FMT ": %s", SC_SLICE_ARG(run->id),
               sc_end_state_name(run_end_state(run)));
    run_free(core, run);
}

static void finish_dry(struct sc_core *core, struct run *run)
{
    run->state = RUN_FINAL;
    say_done(core, run, 0);
    run_free(core, run);
}

static uint32_t advance(struct sc_core *core, struct run *run, uint32_t budget)
{
    if (run->failing)
        run_cancel(core, run, "a step failed, and --fail-fast stops the others");
    for (; run->cancelling && budget > 0 && run->cancel_at < run->step_count; budget--)
        cancel_step(core, &run->steps[run->cancel_at++]);
    budget = visit(core, run, budget);
    if (run->visit_first || (run->cancelling && run->cancel_at < run->step_count))
        core->more = true;
    return budget;
}

void run_work(struct sc_core *core)
{
    uint32_t budget = STEPS_A_TURN;
    struct run *run, *next;
    DL_FOREACH_SAFE (core->runs, run, next) {
        if (run->state == RUN_OPEN)
            budget = advance(core, run, budget);
        maybe_close(core, run);
    }
}

uint32_t sc_core_open_runs(const struct sc_core *core)
{
    uint32_t count = 0;
    const struct run *run;
    DL_FOREACH (core->runs, run)
        count++;
    return count;
}

// The effects of this call, and callers up the stack, may borrow from the run: its memory goes when the next call begins.
void run_free(struct sc_core *core, struct run *run)
{
    HASH_DELETE(by_id, core->runs_by_id, run);
    DL_DELETE(core->runs, run);
    struct watcher *w, *next;
    DL_FOREACH_SAFE (run->watchers, w, next) {
        DL_DELETE(run->watchers, w);
        free(w);
    }
    struct flight *f, *fnext;
    DL_FOREACH_SAFE (core->flights, f, fnext)
        if (f->restored && !f->waiters && !f->attempt && sc_slice_eq(f->made_by_run, run->id))
            flight_free(core, f); // restored for a step of this run, which went another way
    DL_APPEND(core->ended, run);
}
