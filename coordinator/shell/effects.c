// Effects of the core: turned into journal rows, jobs and messages, at once or when the journal allows.
#include "coordinator/shell/loop.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/log.h"
#include "coordinator/core/fact.h"
#include "coordinator/shell/copy.h"

static void notify(struct sc_loop *loop, const struct sc_watching *to, uint32_t to_count,
                   const struct sc_event_body *event)
{
    for (uint32_t i = 0; i < to_count; i++)
        if (sc_loop_follow_wants(loop, &to[i], event))
            sc_loop_add_event(loop, &to[i], event);
}

static void reply(struct sc_loop *loop, uint64_t client, const struct sc_message *message)
{
    sc_loop_flush_events_of(loop, client);
    if (loop->follows && message->type == SC_MESSAGE_DONE)
        sc_loop_follow_done(loop, client, message->id);
    (void)sc_loop_send_client(loop, client, message);
}

// ---- letting out what waited

static void let_out(struct sc_loop *loop, struct sc_held *held)
{
    switch (held->kind) {
    case SC_HELD_JOB:
        sc_loop_post(loop, SC_STEAL(held->job));
        break;
    case SC_HELD_EVENT:
        notify(loop, held->to, held->to_count, &held->event);
        break;
    case SC_HELD_REPLY:
        reply(loop, held->peer, &held->message);
        break;
    case SC_HELD_AGENT_MESSAGE:
        sc_loop_send_agent(loop, held->peer, &held->message);
        break;
    case SC_HELD_AGENT_DROP: {
        struct sc_peer *agent = sc_peers_by_number(&loop->agents, held->peer);
        if (agent)
            sc_peers_remove(&loop->agents, agent);
        break;
    }
    }
    sc_held_free(held);
}

void sc_loop_release(struct sc_loop *loop)
{
    struct sc_held *held;
    for (enum sc_lane lane = 0; lane < SC_LANES; lane++)
        while ((held = sc_lanes_take(&loop->lanes, lane, loop->durable_seq)))
            let_out(loop, held);
}

// ---- effects by kind

static bool clear(const struct sc_loop *loop, enum sc_lane lane, const struct sc_effect *effect)
{
    return sc_lanes_clear(&loop->lanes, lane, effect->after_seq, loop->durable_seq);
}

static void send_job(struct sc_loop *loop, enum sc_lane lane, const struct sc_effect *effect,
                     struct sc_job *job)
{
    job->req = effect->req;
    job->after_seq = effect->after_seq;
    if (clear(loop, lane, effect)) {
        sc_loop_post(loop, job);
        return;
    }
    struct sc_held *held = sc_lanes_hold(&loop->lanes, lane, SC_HELD_JOB, effect->after_seq);
    held->job = job;
    sc_lanes_account(&loop->lanes, held);
}

static void journal(struct sc_loop *loop, const struct sc_effect *effect)
{
    sc_journal_add_fact(loop->journal, effect->u.journal.seq, effect->u.journal.slot, effect->u.journal.fact,
                        effect->u.journal.lazy);
    if (!loop->submitting)
        return;
    struct sc_fact fact;
    if (sc_decode(&sc_schema_fact, effect->u.journal.fact, SC_DECODE_LENIENT, &loop->submit_arena, &fact,
                  NULL) != SC_OK ||
        fact.kind != SC_FACT_RUN)
        return;
    // The run can be asked for as soon as its client hears of it, so its row goes with its fact.
    loop->submitted = (struct sc_job_run){.run = sc_arena_copy(&loop->submit_arena, fact.run),
                                          .user = sc_arena_copy(&loop->submit_arena, fact.user),
                                          .started_at = fact.at,
                                          .plan = fact.plan};
    sc_journal_add_run(loop->journal, &loop->submitted);
    if (loop->config.name)
        loop->submitted_open = (struct sc_open_run){.domain = sc_slice_str(loop->config.domain),
                                                    .coordinator = sc_slice_str(loop->config.name),
                                                    .run = loop->submitted.run,
                                                    .user = loop->submitted.user,
                                                    .plan = fact.plan,
                                                    .options = fact.options,
                                                    .started_at = fact.at};
}

static void load_plan(struct sc_loop *loop, const struct sc_effect *effect)
{
    struct sc_job *job = sc_job_new(SC_JOB_LOAD_PLAN);
    job->u.load_plan.digest = effect->u.load_plan;
    if (loop->submitting && loop->submitted.run.len) {
        job->u.load_plan.has_row = true;
        job->u.load_plan.row = loop->submitted;
        job->u.load_plan.row.run = sc_arena_copy(&job->arena, loop->submitted.run);
        job->u.load_plan.row.user = sc_arena_copy(&job->arena, loop->submitted.user);
    }
    if (loop->submitting && loop->submitted_open.run.len) {
        job->u.load_plan.open = SC_NEW(&job->arena, struct sc_open_run);
        sc_copy_struct(&sc_schema_open_run, &loop->submitted_open, &job->arena, job->u.load_plan.open);
    }
    send_job(loop, SC_LANE_READS, effect, job);
}

// The items of a batch share most of their texts: one is copied again only when it is another.
static struct sc_slice copy_once(struct sc_arena *arena, struct sc_slice text, struct sc_slice last_from,
                                 struct sc_slice last_to)
{
    return text.ptr == last_from.ptr && text.len == last_from.len ? last_to : sc_arena_copy(arena, text);
}

static void look_up(struct sc_loop *loop, const struct sc_effect *effect)
{
    struct sc_job *job = sc_job_new(SC_JOB_LOOK_UP);
    uint32_t count = effect->u.look_up.count;
    struct sc_lookup_item *to = SC_NEW_ARRAY(&job->arena, count, struct sc_lookup_item);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_lookup_item *from = &effect->u.look_up.items[i];
        struct sc_lookup_item none = {0};
        const struct sc_lookup_item *last_from = i ? from - 1 : &none, *last_to = i ? &to[i - 1] : &none;
        to[i] = *from;
        to[i].namespace_ =
            copy_once(&job->arena, from->namespace_, last_from->namespace_, last_to->namespace_);
        to[i].pipeline = copy_once(&job->arena, from->pipeline, last_from->pipeline, last_to->pipeline);
        to[i].step = copy_once(&job->arena, from->step, last_from->step, last_to->step);
    }
    job->u.look_up.items = to;
    job->u.look_up.count = count;
    send_job(loop, SC_LANE_READS, effect, job);
}

static void presence(struct sc_loop *loop, const struct sc_effect *effect)
{
    struct sc_job *job = sc_job_new(SC_JOB_PRESENCE);
    uint32_t count = effect->u.presence.count;
    job->u.presence.items = SC_NEW_ARRAY(&job->arena, count, struct sc_artifact);
    job->u.presence.count = count;
    for (uint32_t i = 0; i < count; i++)
        sc_artifact_copy(&job->arena, &effect->u.presence.items[i], &job->u.presence.items[i]);
    send_job(loop, SC_LANE_READS, effect, job);
}

static void record_of(const struct sc_core_record *r, struct sc_record *ret_record)
{
    *ret_record = (struct sc_record){
        .v = SC_SLICE_LIT("stepcache.record/1"),
        .key = r->key,
        .generation = r->generation ? r->generation : 1,
        .supersedes = r->generation > 1 ? r->generation - 1 : 0,
        .logs = {.stdout_ = r->stdout_, .stderr_ = r->stderr_},
        .ended_at = r->ended_at,
        .wall_ms = r->wall_ms,
        .cpu_ms = r->cpu_ms,
        .max_rss_bytes = r->max_rss_bytes,
        .namespace_ = r->namespace_,
        .pipeline = r->pipeline,
        .step = r->step,
        .run = r->run,
        .agent = r->agent,
        .attempt = r->attempt,
    };
    // The lists have equal layouts (storage_read.c asserts them).
    ret_record->fields.items = (struct sc_record_field *)r->fields.items;
    ret_record->fields.count = r->fields.count;
    ret_record->outputs.items = (struct sc_record_output *)r->outputs.items;
    ret_record->outputs.count = r->outputs.count;
    ret_record->values.items = (struct sc_record_value *)r->values.items;
    ret_record->values.count = r->values.count;
}

static void write_record(struct sc_loop *loop, const struct sc_effect *effect)
{
    struct sc_job *job = sc_job_new(SC_JOB_WRITE_RECORD);
    struct sc_record record;
    record_of(effect->u.write_record.record, &record);
    record.domain = sc_slice_str(loop->config.domain);
    record.assurance =
        (struct sc_record_assurance){effect->u.write_record.sandbox, effect->u.write_record.network};
    record.inputs_from.items = (struct sc_record_input *)effect->u.write_record.inputs_from.items;
    record.inputs_from.count = effect->u.write_record.inputs_from.count;
    sc_copy_struct(&sc_schema_record, &record, &job->arena, &job->u.write_record.record);
    job->u.write_record.key_encoding = sc_arena_copy(&job->arena, effect->u.write_record.key_encoding);
    if (record.fields.count == 0 && effect->u.write_record.key_encoding.len) {
        struct sc_key_fields fields = sc_key_fields_for_record(job->u.write_record.key_encoding, &job->arena);
        job->u.write_record.record.fields.items = (struct sc_record_field *)fields.items.items;
        job->u.write_record.record.fields.count = fields.items.count;
    }
    job->u.write_record.mode = effect->u.write_record.mode;
    job->u.write_record.wall_ms = loop->wall_ms;
    job->u.write_record.stored_at = effect->u.write_record.stored_at;
    job->u.write_record.command = effect->u.write_record.command;
    send_job(loop, SC_LANE_WRITES, effect, job);
}

static void write_void(struct sc_loop *loop, const struct sc_effect *effect)
{
    struct sc_job *job = sc_job_new(SC_JOB_WRITE_VOID);
    job->u.write_void.keys = SC_NEW(&job->arena, struct sc_digest);
    job->u.write_void.keys[0] = effect->u.write_void.key;
    job->u.write_void.key_count = 1;
    job->u.write_void.reason = sc_arena_copy(&job->arena, effect->u.write_void.reason);
    job->u.write_void.wall_ms = loop->wall_ms;
    send_job(loop, SC_LANE_WRITES, effect, job);
}

static void gather_event(void *context, const struct sc_event_body *event)
{
    struct sc_job *job = context;
    if (event->type == SC_EV_RUN_FINISHED) {
        sc_copy_struct(&sc_schema_event_body, event, &job->arena, &job->u.close_out.finished);
        return;
    }
    if (event->type == SC_EV_RUN_STARTED)
        job->u.close_out.row.steps = event->steps;
    sc_encode(&sc_schema_event_body, event, &job->u.close_out.events);
}

static void count_event(void *context, const struct sc_event_body *event)
{
    *(uint32_t *)context += event->type != SC_EV_RUN_FINISHED;
}

static void copy_close_out(const struct sc_close_out *from, struct sc_arena *arena, struct sc_close_out *to)
{
    *to = *from;
    to->run = sc_arena_copy(arena, from->run);
    to->namespace_ = sc_arena_copy(arena, from->namespace_);
    to->pipeline = sc_arena_copy(arena, from->pipeline);
    to->user = sc_arena_copy(arena, from->user);
    to->params.count = 0; // they stand in the plan
    to->keys.items = SC_NEW_ARRAY(arena, from->keys.count, struct sc_digest);
    if (from->keys.count)
        memcpy(to->keys.items, from->keys.items, from->keys.count * sizeof *from->keys.items);
    to->publish.items = SC_NEW_ARRAY(arena, from->publish.count, struct sc_publish_item);
    for (uint32_t i = 0; i < from->publish.count; i++) {
        const struct sc_publish_item *item = &from->publish.items[i];
        to->publish.items[i] = (struct sc_publish_item){.name = sc_arena_copy(arena, item->name),
                                                        .step = sc_arena_copy(arena, item->step),
                                                        .output = sc_arena_copy(arena, item->output)};
        sc_artifact_copy(arena, &item->artifact, &to->publish.items[i].artifact);
    }
}

static void close_out(struct sc_loop *loop, const struct sc_effect *effect)
{
    struct sc_job *job = sc_job_new(SC_JOB_CLOSE_OUT);
    struct sc_close_out *what = &job->u.close_out.what;
    copy_close_out(effect->u.close_out, &job->arena, what);
    job->u.close_out.finished = (struct sc_event_body){
        .type = SC_EV_RUN_FINISHED, .at = what->ended_at, .run = what->run, .state = what->state};
    // Counted first, so that the list, which is large, is built once and in place.
    uint32_t events = 0;
    (void)sc_core_visit_events(loop->core, what->run, count_event, &events);
    sc_mp_put_array(&job->u.close_out.events, events + 1);
    (void)sc_core_visit_events(loop->core, what->run, gather_event, job);
    const struct sc_event_body *finished = &job->u.close_out.finished;
    struct sc_job_run *row = &job->u.close_out.row;
    *row = (struct sc_job_run){
        .run = what->run,
        .namespace_ = what->namespace_,
        .pipeline = what->pipeline,
        .user = what->user,
        .state = what->state,
        .started_at = what->started_at,
        .ended_at = what->ended_at,
        .plan = what->plan,
        .hits = finished->hits,
        .misses = finished->misses,
        .joined = finished->joined,
        .failed = finished->failed,
        .skipped = finished->skipped,
        .ran_ms = finished->ran_ms,
        .saved_ms = finished->saved_ms,
        .steps = row->steps,
    };
    send_job(loop, SC_LANE_WRITES, effect, job);
}

static void send_agent(struct sc_loop *loop, const struct sc_effect *effect)
{
    if (clear(loop, SC_LANE_AGENTS, effect)) {
        sc_loop_send_agent(loop, effect->u.send_agent.agent, effect->u.send_agent.message);
        return;
    }
    struct sc_held *held =
        sc_lanes_hold(&loop->lanes, SC_LANE_AGENTS, SC_HELD_AGENT_MESSAGE, effect->after_seq);
    held->peer = effect->u.send_agent.agent;
    held->message = *effect->u.send_agent.message;
    sc_copy_struct(sc_message_schema(held->message.type), &held->message.body, &held->arena,
                   &held->message.body);
    sc_lanes_account(&loop->lanes, held);
}

static void reply_client(struct sc_loop *loop, const struct sc_effect *effect)
{
    const struct sc_message *answer = effect->u.reply.message;
    if (loop->watching && answer->type == SC_MESSAGE_ERROR &&
        answer->body.error.rc == (uint32_t)-SC_NOT_FOUND &&
        effect->u.reply.client == loop->watching->client &&
        effect->u.reply.client_req == loop->watching->client_req) {
        loop->watch_missed = true;
        return;
    }
    if (clear(loop, SC_LANE_CLIENTS, effect)) {
        reply(loop, effect->u.reply.client, effect->u.reply.message);
        return;
    }
    struct sc_held *held = sc_lanes_hold(&loop->lanes, SC_LANE_CLIENTS, SC_HELD_REPLY, effect->after_seq);
    held->peer = effect->u.reply.client;
    held->message = *effect->u.reply.message;
    sc_copy_struct(sc_message_schema(held->message.type), &held->message.body, &held->arena,
                   &held->message.body);
    sc_lanes_account(&loop->lanes, held);
}

static void notify_clients(struct sc_loop *loop, const struct sc_effect *effect)
{
    if (clear(loop, SC_LANE_CLIENTS, effect)) {
        notify(loop, effect->u.notify.to, effect->u.notify.to_count, effect->u.notify.event);
        return;
    }
    struct sc_held *held = sc_lanes_hold(&loop->lanes, SC_LANE_CLIENTS, SC_HELD_EVENT, effect->after_seq);
    sc_copy_struct(&sc_schema_event_body, effect->u.notify.event, &held->arena, &held->event);
    held->to_count = effect->u.notify.to_count;
    held->to = SC_NEW_ARRAY(&held->arena, held->to_count, struct sc_watching);
    memcpy(held->to, effect->u.notify.to, held->to_count * sizeof *held->to);
    sc_lanes_account(&loop->lanes, held);
}

// What lies in the store of an open run is to say that it is cancelled, or to go.
static void open_run(struct sc_loop *loop, const struct sc_effect *effect, struct sc_slice run,
                     bool cancelled)
{
    if (!loop->config.name)
        return;
    struct sc_job *job = sc_job_new(SC_JOB_OPEN_RUN);
    job->u.open_run.run = sc_arena_copy(&job->arena, run);
    job->u.open_run.cancelled = cancelled;
    send_job(loop, SC_LANE_WRITES, effect, job);
}

static void drop_agent(struct sc_loop *loop, const struct sc_effect *effect)
{
    struct sc_held *held = sc_lanes_hold(&loop->lanes, SC_LANE_AGENTS, SC_HELD_AGENT_DROP, effect->after_seq);
    held->peer = effect->u.drop_agent;
    sc_lanes_account(&loop->lanes, held);
}

static void carry_out(struct sc_loop *loop, const struct sc_effect *effect)
{
    switch (effect->kind) {
    case SC_EFFECT_JOURNAL:
        journal(loop, effect);
        return;
    case SC_EFFECT_LOAD_PLAN:
        load_plan(loop, effect);
        return;
    case SC_EFFECT_LOOK_UP:
        look_up(loop, effect);
        return;
    case SC_EFFECT_PRESENCE:
        presence(loop, effect);
        return;
    case SC_EFFECT_WRITE_RECORD:
        write_record(loop, effect);
        return;
    case SC_EFFECT_WRITE_VOID:
        write_void(loop, effect);
        return;
    case SC_EFFECT_CLOSE_OUT:
        close_out(loop, effect);
        return;
    case SC_EFFECT_SEND_AGENT:
        send_agent(loop, effect);
        return;
    case SC_EFFECT_DROP_AGENT:
        drop_agent(loop, effect);
        return;
    case SC_EFFECT_REPLY:
        reply_client(loop, effect);
        return;
    case SC_EFFECT_NOTIFY:
        notify_clients(loop, effect);
        return;
    case SC_EFFECT_RUN_CANCELLED:
        open_run(loop, effect, effect->u.run_cancelled, true);
        return;
    case SC_EFFECT_RUN_CLOSED:
        sc_journal_add_closed(loop->journal, effect->u.run_closed.run, effect->u.run_closed.keep_from);
        open_run(loop, effect, effect->u.run_closed.run, false);
        return;
    case SC_EFFECT_TRACE:
        sc_log(SC_LOG_DEBUG, "part=core " SC_SLICE_FMT, SC_SLICE_ARG(effect->u.trace));
        return;
    }
    SC_ASSERT(false);
}

void sc_loop_feed(struct sc_loop *loop, struct sc_event *event)
{
    struct sc_event go_on = {.kind = SC_EVENT_CONTINUE};
    bool more = true;
    loop->deadline_known = false;
    if (event->kind == SC_EVENT_SUBMIT) {
        loop->submitting = event;
        sc_arena_init(&loop->submit_arena);
    }
    while (more) {
        struct sc_effects *effects;
        event->mono_ms = loop->mono_ms;
        event->wall_ms = loop->wall_ms;
        more = sc_core_step(loop->core, event, &effects);
        for (uint32_t i = 0; i < sc_effects_count(effects); i++)
            carry_out(loop, sc_effects_at(effects, i));
        if (loop->submitting) {
            sc_arena_done(&loop->submit_arena);
            loop->submitting = NULL;
            loop->submitted = (struct sc_job_run){0};
            loop->submitted_open = (struct sc_open_run){0};
        }
        event = &go_on;
    }
}
