#include "tests/lib/world.h"

#include "base/memory.h"
#include "pipeline/document.h"

#include <stdio.h>
#include <string.h>

#define PUSH(arena, list, value)                                                                             \
    do {                                                                                                     \
        __typeof__((list).items) grown = sc_arena_array((arena), (list).count + 1u, sizeof *(list).items);   \
        if ((list).count)                                                                                    \
            memcpy(grown, (list).items, (list).count * sizeof *grown);                                       \
        grown[(list).count] = (value);                                                                       \
        (list).items = grown;                                                                                \
        (list).count++;                                                                                      \
    } while (0)

static void feed(struct world *world, struct sc_event *event);

static void say(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *world, const char *format, ...)
{
    if (world->quiet)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sc_buf_printf(&world->transcript, "%s\n", line);
}

void world_init(struct world *world)
{
    *world = (struct world){.mono_ms = 1000, .wall_ms = 1700000000000};
    sc_arena_init(&world->arena);
    sc_buf_init(&world->transcript, 0);
    world->packages = "numpy==1.24.2";
    world->source = "data";
    world->version = "v1";
    world->gone_rc = SC_NOT_FOUND;
    world->config = (struct sc_core_config){
        .seed = 7,
        .coordinator = sc_slice_str("c1"),
        .domain = sc_slice_str("main"),
        .lease_ms = 15000,
        .renew_ms = 3000,
        .agent_wait_ms = 10000,
        .grace_ms = 5000,
        .store_patience_ms = 300000,
    };
    world->core = sc_core_new(&world->config);
}

void world_done(struct world *world)
{
    sc_core_free(world->core);
    sc_buf_done(&world->transcript);
    sc_arena_done(&world->arena);
}

// ---- the store

static const struct sc_core_record *copy_record(struct world *world, const struct sc_core_record *from)
{
    struct sc_arena *arena = &world->arena;
    struct sc_core_record *to = SC_NEW(arena, struct sc_core_record);
    *to = *from;
    to->fields.items = SC_NEW_ARRAY(arena, from->fields.count, struct sc_key_field);
    for (uint32_t i = 0; i < from->fields.count; i++)
        to->fields.items[i] = (struct sc_key_field){sc_arena_copy(arena, from->fields.items[i].label),
                                                    sc_arena_copy(arena, from->fields.items[i].value)};
    to->outputs.items = SC_NEW_ARRAY(arena, from->outputs.count, struct sc_named_artifact);
    for (uint32_t i = 0; i < from->outputs.count; i++) {
        to->outputs.items[i].name = sc_arena_copy(arena, from->outputs.items[i].name);
        sc_artifact_copy(arena, &from->outputs.items[i].artifact, &to->outputs.items[i].artifact);
    }
    to->values.items = SC_NEW_ARRAY(arena, from->values.count, struct sc_named_text);
    for (uint32_t i = 0; i < from->values.count; i++)
        to->values.items[i] = (struct sc_named_text){sc_arena_copy(arena, from->values.items[i].name),
                                                     sc_arena_copy(arena, from->values.items[i].text)};
    to->pipeline = sc_arena_copy(arena, from->pipeline);
    to->namespace_ = sc_arena_copy(arena, from->namespace_);
    to->step = sc_arena_copy(arena, from->step);
    to->run = sc_arena_copy(arena, from->run);
    to->agent = sc_arena_copy(arena, from->agent);
    return to;
}

static struct world_record *find_record(struct world *world, const struct sc_digest *key)
{
    for (uint32_t i = 0; i < world->records.count; i++)
        if (sc_digest_eq(&world->records.items[i].key, key))
            return &world->records.items[i];
    return NULL;
}

static void look_up(struct world *world, const struct sc_effect *effect)
{
    struct sc_looked_up *found = SC_NEW_ARRAY(&world->arena, effect->u.look_up.count, struct sc_looked_up);
    for (uint32_t i = 0; i < effect->u.look_up.count; i++) {
        const struct sc_lookup_item *item = &effect->u.look_up.items[i];
        struct world_record *record = item->by_step ? NULL : find_record(world, &item->key);
        const struct sc_core_record *newest = NULL;
        for (uint32_t k = 0; k < world->records.count; k++)
            if (sc_slice_eq(world->records.items[k].record.step, item->step) &&
                sc_slice_eq(world->records.items[k].record.pipeline, item->pipeline))
                newest = &world->records.items[k].record;
        if (item->by_step && newest)
            record = find_record(world, &newest->key);
        found[i].found = record ? SC_FOUND : SC_FOUND_ABSENT;
        found[i].record = record ? &record->record : NULL;
        found[i].objects_lost = record && record->objects_lost;
        found[i].previous = record ? NULL : newest;
        if (world->look_ups_fail)
            found[i] = (struct sc_looked_up){.found = SC_FOUND_ERROR,
                                             .message = SC_SLICE_LIT("read the record: Input/output error"),
                                             .may_pass = !world->store_is_gone};
    }
    struct sc_event event = {.kind = SC_EVENT_LOOKED_UP, .req = effect->req};
    event.u.looked_up.items = found;
    event.u.looked_up.count = effect->u.look_up.count;
    if (world->hold_look_ups)
        world->held[world->held_count++] = event;
    else
        feed(world, &event);
}

static void write_record(struct world *world, const struct sc_effect *effect)
{
    const struct sc_core_record *record = effect->u.write_record.record;
    bool replace = effect->u.write_record.mode == SC_WRITE_REPLACE;
    say(world, "record " SC_SLICE_FMT " generation %llu %s", SC_SLICE_ARG(record->step),
        (unsigned long long)record->generation, replace ? "replaces" : "if absent");
    struct world_record *old = find_record(world, &record->key);
    struct world_record fresh = {.key = record->key, .record = *copy_record(world, record)};
    struct sc_event event = {.kind = SC_EVENT_RECORDED, .req = effect->req};
    event.u.recorded.put = SC_RECORDED_WON;
    if (old && !replace)
        event.u.recorded.put = SC_RECORDED_SAME;
    else if (old)
        *old = fresh;
    else
        PUSH(&world->arena, world->records, fresh);
    if (world->hold_records)
        world->held[world->held_count++] = event;
    else
        feed(world, &event);
}

static void presence(struct world *world, const struct sc_effect *effect)
{
    enum sc_rc *rets = SC_NEW_ARRAY(&world->arena, effect->u.presence.count, enum sc_rc);
    for (uint32_t i = 0; i < effect->u.presence.count; i++)
        for (uint32_t k = 0; k < world->gone.count; k++)
            if (sc_digest_eq(&world->gone.items[k], &effect->u.presence.items[i].digest))
                rets[i] = world->gone_rc;
    say(world, "look for %u objects", effect->u.presence.count);
    struct sc_event event = {.kind = SC_EVENT_PRESENCE, .req = effect->req};
    event.u.presence.rets = rets;
    event.u.presence.count = effect->u.presence.count;
    feed(world, &event);
}

static void write_void(struct world *world, const struct sc_effect *effect)
{
    struct world_record *record = find_record(world, &effect->u.write_void.key);
    say(world, "void " SC_SLICE_FMT, SC_SLICE_ARG(effect->u.write_void.reason));
    if (record)
        *record = world->records.items[--world->records.count];
}

static struct sc_loaded_plan *load(struct world *world, const struct sc_digest *digest)
{
    for (uint32_t i = 0; i < world->plan_count; i++) {
        if (!sc_digest_eq(&world->plans[i].digest, digest))
            continue;
        struct sc_loaded_plan *plan = sc_calloc(1, sizeof *plan);
        sc_arena_init(&plan->arena);
        sc_buf_init(&plan->bytes, 0);
        sc_buf_add_slice(&plan->bytes, world->plans[i].bytes);
        plan->digest = *digest;
        struct sc_error err = SC_ERROR_INIT;
        if (sc_plan_decode(sc_buf_slice(&plan->bytes), &plan->arena, &plan->plan, &err) != SC_OK) {
            fprintf(stderr, "plan: %s\n", err.message);
            abort();
        }
        plan->template_ = sc_plan_template(plan->plan);
        return plan;
    }
    return NULL;
}

// ---- what agents and clients hear

static void environment(struct sc_arena *arena, const char *packages, struct sc_environment *ret_environment)
{
    struct sc_environment_part *parts = SC_NEW_ARRAY(arena, 2, struct sc_environment_part);
    struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_mp_put_array(&buf, 1);
    sc_mp_put_cstr(&buf, packages);
    parts[0] = (struct sc_environment_part){sc_slice_str("arch"), sc_slice_str("\xa6x86_64")};
    parts[1] =
        (struct sc_environment_part){sc_slice_str("packages"), sc_arena_copy(arena, sc_buf_slice(&buf))};
    sc_buf_done(&buf);
    ret_environment->parts.items = parts;
    ret_environment->parts.count = 2;
}

static struct sc_slice identity(struct sc_arena *arena, const char *version)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_mp_put_array(&buf, 4);
    for (int i = 0; i < 3; i++)
        sc_mp_put_cstr(&buf, ((const char *const[]){"version", "bucket", "key"})[i]);
    sc_mp_put_cstr(&buf, version);
    return sc_arena_copy(arena, sc_buf_slice(&buf));
}

static void tell_file(struct world *world, const char *agent, const struct sc_msg_probe *probe,
                      struct sc_msg_probed *probed)
{
    say(world, "ask %s for " SC_SLICE_FMT "%s%s", agent, SC_SLICE_ARG(probe->path),
        probe->by_version && !probe->store ? " by version" : "", probe->force ? " with force" : "");
    if (probe->by_version && world->version)
        probed->identity = identity(&world->arena, world->version);
    if (!probe->by_version || (probe->store && !world->never_reads))
        probed->artifact = (struct sc_artifact){
            .digest = sc_digest_of(sc_slice_str(world->source)), .bytes = strlen(world->source), .files = 1};
}

static void send_agent(struct world *world, const struct sc_effect *effect)
{
    const struct sc_message *message = effect->u.send_agent.message;
    const char *agent = world->agents[effect->u.send_agent.agent - 1];
    if (message->type == SC_MESSAGE_ASSIGN) {
        for (uint32_t i = 0; i < message->body.assign.assignments.count; i++) {
            const struct sc_assignment *a = &message->body.assign.assignments.items[i];
            struct world_attempt attempt = {.id = a->attempt,
                                            .step = sc_arena_copy(&world->arena, a->step),
                                            .run = sc_arena_copy(&world->arena, a->run),
                                            .open = true,
                                            .force_upload = a->force_upload,
                                            .checks_environment = !sc_digest_is_zero(&a->environment)};
            snprintf(attempt.agent, sizeof attempt.agent, "%s", agent);
            PUSH(&world->arena, world->attempts, attempt);
            say(world, "assign " SC_SLICE_FMT " #%u to %s%s", SC_SLICE_ARG(a->step), a->number, agent,
                a->force_upload ? " with force" : "");
        }
    } else if (message->type == SC_MESSAGE_PROBE) {
        struct sc_arena *arena = &world->arena;
        struct sc_msg_probed *probed = SC_NEW(arena, struct sc_msg_probed);
        const char *told = world->told[effect->u.send_agent.agent - 1];
        world->probes++;
        if (world->deaf)
            return;
        *probed =
            (struct sc_msg_probed){.probe = message->body.probe.probe, .kind = message->body.probe.kind};
        if (probed->kind == SC_PROBE_FILE) {
            tell_file(world, agent, &message->body.probe, probed);
        } else if (!world->empty_answers && probed->kind == SC_PROBE_COMMANDS)
            environment(arena, sc_arena_cstr(arena, message->body.probe.commands.items[0]),
                        &probed->commands);
        else if (!world->empty_answers)
            environment(arena, told ? told : world->packages, &probed->class_.environment);
        struct sc_event event = {.kind = SC_EVENT_PROBED, .agent = effect->u.send_agent.agent};
        event.u.probed = probed;
        if (world->hold_probes)
            world->held[world->held_count++] = event;
        else
            feed(world, &event);
    } else if (message->type == SC_MESSAGE_WELCOME) {
        say(world, "welcome %s: keep %u, drop %u", agent, message->body.welcome.keep.count,
            message->body.welcome.drop.count);
    } else if (message->type == SC_MESSAGE_REVOKE) {
        bool grace = message->body.revoke.grace_ms >= (uint64_t)world->config.grace_ms;
        say(world, "revoke %s%s", agent, grace ? "" : " without grace");
    } else {
        say(world, "%s %s", sc_message_type_name(message->type), agent);
    }
}

static void notify(struct world *world, const struct sc_effect *effect)
{
    const struct sc_event_body *e = effect->u.notify.event;
    uint32_t run = 0;
    while (run < world->run_count && !sc_slice_eq(world->runs[run], e->run))
        run++;
    switch (e->type) {
    case SC_EV_STEP_VERDICT: {
        static const char *const verdicts[] = {"none", "hit", "join", "miss"};
        SC_AUTO_BUF struct sc_buf fields;
        sc_buf_init(&fields, 0);
        for (uint32_t i = 0; i < e->fields.count; i++)
            sc_buf_printf(&fields, " " SC_SLICE_FMT, SC_SLICE_ARG(e->fields.items[i].label));
        say(world, "%u: " SC_SLICE_FMT " %s %s%s", run, SC_SLICE_ARG(e->step), verdicts[e->verdict],
            sc_reason_name(e->reason), sc_buf_cstr(&fields));
        return;
    }
    case SC_EV_STEP_FINISHED:
        say(world, "%u: " SC_SLICE_FMT " %s%s%s", run, SC_SLICE_ARG(e->step), sc_end_state_name(e->state),
            e->outcome != SC_OUTCOME_OK ? " " : "",
            e->outcome != SC_OUTCOME_OK ? sc_outcome_name(e->outcome) : "");
        return;
    case SC_EV_STEP_RETRY:
        say(world, "%u: " SC_SLICE_FMT " retry after %s", run, SC_SLICE_ARG(e->step),
            sc_outcome_name(e->outcome));
        return;
    case SC_EV_RUN_FINISHED:
        world->last_state = e->state;
        say(world, "%u: run %s: %llu hits, %llu misses, %llu joined, %llu failed, %llu skipped", run,
            sc_end_state_name(e->state), (unsigned long long)e->hits, (unsigned long long)e->misses,
            (unsigned long long)e->joined, (unsigned long long)e->failed, (unsigned long long)e->skipped);
        return;
    case SC_EV_NOTE:
        say(world, "%u: note " SC_SLICE_FMT, run, SC_SLICE_ARG(e->text));
        return;
    case SC_EV_RUN_STARTED:
    case SC_EV_STEP_STARTED:
    case SC_EV_STEP_PROGRESS:
    case SC_EV_STEP_LOG:
    case SC_EV_ERROR:
    case SC_EV_COUNT:
        return;
    }
}

static void obey(struct world *world, const struct sc_effect *effect)
{
    struct sc_event event = {.req = effect->req};
    switch (effect->kind) {
    case SC_EFFECT_JOURNAL:
        PUSH(&world->arena, world->facts, sc_arena_copy(&world->arena, effect->u.journal.fact));
        event.kind = SC_EVENT_JOURNALED;
        event.u.journaled_seq = effect->u.journal.seq;
        feed(world, &event);
        return;
    case SC_EFFECT_LOAD_PLAN:
        event.kind = SC_EVENT_PLAN_LOADED;
        event.u.plan_loaded = load(world, &effect->u.load_plan);
        feed(world, &event);
        return;
    case SC_EFFECT_LOOK_UP:
        look_up(world, effect);
        return;
    case SC_EFFECT_PRESENCE:
        presence(world, effect);
        return;
    case SC_EFFECT_WRITE_RECORD:
        write_record(world, effect);
        return;
    case SC_EFFECT_WRITE_VOID:
        write_void(world, effect);
        return;
    case SC_EFFECT_CLOSE_OUT:
        if (effect->u.close_out->publish.count)
            say(world, "publish %u", effect->u.close_out->publish.count);
        event.kind = SC_EVENT_CLOSED_OUT;
        feed(world, &event);
        return;
    case SC_EFFECT_SEND_AGENT:
        send_agent(world, effect);
        return;
    case SC_EFFECT_NOTIFY:
        notify(world, effect);
        return;
    case SC_EFFECT_REPLY:
        if (effect->u.reply.message->type == SC_MESSAGE_STARTED)
            world->runs[world->run_count++] =
                sc_arena_copy(&world->arena, effect->u.reply.message->body.started.run);
        if (effect->u.reply.message->type == SC_MESSAGE_ERROR)
            say(world, "error " SC_SLICE_FMT, SC_SLICE_ARG(effect->u.reply.message->body.error.message));
        return;
    case SC_EFFECT_RUN_CANCELLED:
        world->cancelled_told++;
        return;
    case SC_EFFECT_RUN_CLOSED:
        world->closed_told++;
        return;
    case SC_EFFECT_DROP_AGENT:
    case SC_EFFECT_TRACE:
        return;
    }
}

// Effects are obeyed one after another, each answer being an event of its own: copied first, since they live until the next call.
static void feed(struct world *world, struct sc_event *event)
{
    event->mono_ms = world->mono_ms;
    event->wall_ms = world->wall_ms;
    static _Thread_local int depth;
    static _Thread_local struct {
        struct sc_event event;
    } queue[4096];
    static _Thread_local unsigned head, tail;
    SC_ASSERT(tail - head < SC_COUNT(queue));
    queue[tail++ % SC_COUNT(queue)].event = *event;
    if (depth)
        return;
    depth = 1;
    while (head != tail) {
        struct sc_event next = queue[head++ % SC_COUNT(queue)].event;
        bool more;
        do {
            struct sc_effects *effects;
            more = sc_core_step(world->core, &next, &effects);
            sc_core_check(world->core);
            for (uint32_t i = 0; i < sc_effects_count(effects); i++)
                obey(world, sc_effects_at(effects, i));
            next = (struct sc_event){
                .kind = SC_EVENT_CONTINUE, .mono_ms = world->mono_ms, .wall_ms = world->wall_ms};
        } while (more);
    }
    depth = 0;
}

// ---- what the test does

void world_submit(struct world *world, const char *document, const struct sc_run_options *options)
{
    struct sc_plan *plan;
    struct sc_diagnostics diagnostics = {0};
    if (sc_document_compile(sc_slice_str(document), NULL, 0, &world->arena, &plan, &diagnostics) != SC_OK) {
        fprintf(stderr, "document: line %u: " SC_SLICE_FMT "\n", diagnostics.items[0].line,
                SC_SLICE_ARG(diagnostics.items[0].message));
        abort();
    }
    struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    sc_plan_encode(plan, &bytes);
    struct sc_slice kept = sc_arena_copy(&world->arena, sc_buf_slice(&bytes));
    sc_buf_done(&bytes);
    world->plans[world->plan_count].bytes = kept;
    world->plans[world->plan_count].digest = sc_digest_of(kept);
    struct sc_msg_submit submit = {.plan = world->plans[world->plan_count++].digest, .watch = true};
    if (options)
        submit.options = *options;
    struct sc_event event = {.kind = SC_EVENT_SUBMIT, .client = world->run_count + 1, .client_req = 1};
    event.u.submit = &submit;
    feed(world, &event);
}

void world_agent_holding(struct world *world, const char *name, uint32_t cpus, const uint64_t *held,
                         uint32_t held_count)
{
    SC_ASSERT(world->agent_count < SC_COUNT(world->agents));
    world->told[world->agent_count] = world->agent_packages;
    snprintf(world->agents[world->agent_count++], sizeof world->agents[0], "%s", name);
    struct sc_msg_hello hello = {.agent = sc_slice_str(name),
                                 .incarnation = world->agent_count,
                                 .cpus_milli = cpus * 1000,
                                 .gpus = world->gpus,
                                 .memory_bytes = UINT64_C(8) << 30};
    hello.path = sc_slice_str("/usr/bin:/bin");
    struct sc_class class_ = {.path = hello.path};
    if (world->hello_class) {
        environment(&world->arena, world->hello_class, &class_.environment);
        hello.classes.items = &class_;
        hello.classes.count = 1;
    }
    struct sc_named_text zone = {sc_slice_str("zone"), sc_slice_str(world->zone ? world->zone : "")};
    hello.labels.items = &zone;
    hello.labels.count = world->zone ? 1 : 0;
    hello.held.items = (uint64_t *)held;
    hello.held.count = held_count;
    struct sc_event event = {.kind = SC_EVENT_HELLO, .agent = world->agent_count};
    event.u.hello = &hello;
    feed(world, &event);
}

void world_agent(struct world *world, const char *name, uint32_t cpus)
{
    world_agent_holding(world, name, cpus, NULL, 0);
}

static uint64_t connection(struct world *world, const char *name)
{
    for (uint32_t i = world->agent_count; i-- > 0;)
        if (strcmp(world->agents[i], name) == 0)
            return i + 1;
    return 0;
}

void world_agent_gone(struct world *world, const char *name)
{
    struct sc_event event = {.kind = SC_EVENT_AGENT_GONE, .agent = connection(world, name)};
    feed(world, &event);
}

static struct world_attempt *newest(struct world *world, const char *step)
{
    for (uint32_t i = world->attempts.count; i-- > 0;)
        if (world->attempts.items[i].open && sc_slice_eq_str(world->attempts.items[i].step, step))
            return &world->attempts.items[i];
    fprintf(stderr, "no open attempt of %s\n", step);
    abort();
}

const struct world_attempt *world_attempt(struct world *world, const char *step)
{
    return newest(world, step);
}

uint32_t world_open_attempts(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->attempts.count; i++)
        count += world->attempts.items[i].open;
    return count;
}

static const struct sc_plan_step *plan_step(struct world *world, struct sc_arena *arena, struct sc_slice name)
{
    for (uint32_t i = world->plan_count; i-- > 0;) {
        struct sc_plan *plan;
        uint32_t step, instance;
        bool all;
        if (sc_plan_decode(world->plans[i].bytes, arena, &plan, NULL) == SC_OK &&
            sc_plan_find(plan, name, &step, &instance, &all))
            return &plan->steps.items[step];
    }
    abort();
}

static void report(struct world *world, const char *step, enum sc_outcome outcome, const char *text)
{
    struct world_attempt *attempt = newest(world, step);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    const struct sc_plan_step *plan = plan_step(world, &arena, attempt->step);
    struct sc_msg_reported reported = {.attempt = attempt->id, .stored_ms = world->stored_ms};
    struct sc_result *r = &reported.result;
    *r = (struct sc_result){.outcome = outcome,
                            .started_at = world->wall_ms + world->agents_ahead_ms,
                            .ended_at = world->wall_ms + world->agents_ahead_ms,
                            .stdout_ = world->log,
                            .wall_ms = 100,
                            .exit_code = outcome == SC_OUTCOME_EXIT};
    if (outcome == SC_OUTCOME_INPUT_LOST)
        r->lost = world->unreadable;
    if (outcome == SC_OUTCOME_OK) {
        r->outputs.items = SC_NEW_ARRAY(&arena, plan->outputs.count, struct sc_named_artifact);
        r->outputs.count = plan->outputs.count;
        for (uint32_t i = 0; i < plan->outputs.count; i++) {
            r->outputs.items[i].name = plan->outputs.items[i].name;
            r->outputs.items[i].artifact = (struct sc_artifact){
                .digest = sc_digest_of(sc_slice_str(text)),
                .ext = world->ext ? sc_slice_str(world->ext) : sc_artifact_ext(plan->outputs.items[i].path),
                .bytes = strlen(text),
                .files = 1};
        }
        r->values.items = SC_NEW_ARRAY(&arena, plan->values.count, struct sc_named_text);
        r->values.count = plan->values.count;
        for (uint32_t i = 0; i < plan->values.count; i++)
            r->values.items[i] = (struct sc_named_text){plan->values.items[i].name, sc_slice_str("1.5")};
    }
    attempt->open = false;
    struct sc_event event = {.kind = SC_EVENT_REPORTED, .agent = connection(world, attempt->agent)};
    event.u.reported = &reported;
    feed(world, &event);
}

void world_report(struct world *world, const char *step, const char *text)
{
    report(world, step, SC_OUTCOME_OK, text);
}

void world_fail(struct world *world, const char *step, enum sc_outcome outcome)
{
    report(world, step, outcome, "");
}

void world_progress(struct world *world, const char *step, enum sc_phase phase)
{
    struct world_attempt *attempt = newest(world, step);
    struct sc_msg_progress progress = {.attempt = attempt->id, .phase = phase};
    struct sc_event event = {.kind = SC_EVENT_PROGRESS, .agent = connection(world, attempt->agent)};
    event.u.progress = &progress;
    feed(world, &event);
}

void world_ended(struct world *world, const char *step)
{
    struct world_attempt *attempt = newest(world, step);
    struct sc_msg_ended ended = {.attempt = attempt->id};
    attempt->open = false;
    struct sc_event event = {.kind = SC_EVENT_ENDED, .agent = connection(world, attempt->agent)};
    event.u.ended = &ended;
    feed(world, &event);
}

static void cancel(struct world *world, uint32_t run, bool now)
{
    struct sc_event event = {.kind = SC_EVENT_CANCEL, .client = 99, .client_req = 1};
    event.u.cancel.run = world->runs[run];
    event.u.cancel.now = now;
    feed(world, &event);
}

void world_cancel(struct world *world, uint32_t run)
{
    cancel(world, run, false);
}

void world_cancel_now(struct world *world, uint32_t run)
{
    cancel(world, run, true);
}

void world_client_gone(struct world *world, uint64_t client)
{
    struct sc_event event = {.kind = SC_EVENT_CLIENT_GONE, .client = client};
    feed(world, &event);
}

void world_pass(struct world *world, int64_t ms)
{
    world->mono_ms += ms;
    world->wall_ms += ms;
    struct sc_event event = {.kind = SC_EVENT_DEADLINE};
    feed(world, &event);
}

void world_store_refuses(struct world *world, const char *why)
{
    struct sc_event event = {.kind = SC_EVENT_STORE_TROUBLE, .rc = SC_FULL, .message = sc_slice_str(why)};
    feed(world, &event);
}

void world_lose(struct world *world, const char *text)
{
    PUSH(&world->arena, world->gone, sc_digest_of(sc_slice_str(text)));
}

void world_record_answers(struct world *world)
{
    world->hold_records = world->hold_look_ups = world->hold_probes = false;
    for (uint32_t i = 0; i < world->held_count; i++)
        feed(world, &world->held[i]);
    world->held_count = 0;
}

void world_restart(struct world *world)
{
    sc_core_free(world->core);
    world->core = sc_core_new(&world->config);
    world->agent_count = 0;
    uint32_t count = world->facts.count; // new facts follow
    struct sc_event event = {.kind = SC_EVENT_RESTORE_ROW};
    for (uint32_t i = 0; i < count; i++) {
        struct sc_digest plan;
        event.u.restore.seq = i + 1;
        event.u.restore.fact = world->facts.items[i];
        event.u.restore.plan = sc_core_fact_plan(world->facts.items[i], &plan) ? load(world, &plan) : NULL;
        feed(world, &event);
    }
    event = (struct sc_event){.kind = SC_EVENT_RESTORE_END};
    event.u.restore.seq = count;
    feed(world, &event);
    for (uint32_t i = 0; i < world->run_count; i++) {
        struct sc_msg_watch watch = {.run = world->runs[i], .own = true};
        struct sc_event again = {.kind = SC_EVENT_WATCH, .client = i + 1, .client_req = 1};
        again.u.watch = &watch;
        feed(world, &again);
    }
}

const char *world_said(struct world *world)
{
    const char *text = (const char *)sc_arena_copy(&world->arena, sc_buf_slice(&world->transcript)).ptr;
    sc_buf_clear(&world->transcript);
    return text;
}

bool world_says(struct world *world, const char *line)
{
    SC_AUTO_FREE char *whole = sc_asprintf("%s\n", line);
    return strstr(sc_buf_cstr(&world->transcript), whole) != NULL;
}
