#include "coordinator/core/need.h"

#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

enum {
    SLOW_MS = 5000,          // then who waits for an answer is told so
    SHOWN_BYTES = 200,       // of a command
    READING_TOLD_MOST = 100, // steps that wait for one source, and are told how far it is
};

static struct environment *intern(struct sc_core *core, const struct sc_environment *parts)
{
    struct sc_digest digest = sc_environment_digest(parts);
    struct environment *environment;
    HASH_FIND(hh, core->environments, &digest, sizeof digest, environment);
    if (environment)
        return environment;
    environment = sc_calloc(1, sizeof *environment);
    environment->digest = digest;
    sc_arena_init(&environment->arena);
    sc_environment_copy(&environment->arena, parts, &environment->parts);
    HASH_ADD(hh, core->environments, digest, sizeof environment->digest, environment);
    core->remembered++;
    return environment;
}

static struct need *intern_need(struct sc_core *core, const struct need *like)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_mp_put_array(&buf, 4 + like->commands.count);
    sc_mp_put_uint(&buf, like->kind);
    sc_mp_put_str(&buf, like->path);
    sc_mp_put_bool(&buf, like->gpu);
    sc_mp_put_bool(&buf, like->any);
    for (uint32_t i = 0; i < like->commands.count; i++)
        sc_mp_put_str(&buf, like->commands.items[i]);
    struct sc_digest id = sc_digest_of(sc_buf_slice(&buf));
    struct need *need;
    HASH_FIND(hh, core->needs, &id, sizeof id, need);
    core->need_uses++;
    if (need) {
        need->used = core->need_uses;
        return need;
    }
    need = sc_calloc(1, sizeof *need);
    *need = *like;
    need->id = id;
    need->used = core->need_uses;
    core->remembered++;
    sc_arena_init(&need->arena);
    need->path = sc_arena_copy(&need->arena, like->path);
    need->commands.items = SC_NEW_ARRAY(&need->arena, like->commands.count, struct sc_slice);
    for (uint32_t i = 0; i < like->commands.count; i++)
        need->commands.items[i] = sc_arena_copy(&need->arena, like->commands.items[i]);
    HASH_ADD(hh, core->needs, id, sizeof need->id, need);
    return need;
}

// The PATH that a step declares, or empty for the agent's own.
static struct sc_slice own_path(const struct step *step, struct sc_arena *arena)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    for (uint32_t i = 0; i < plan_step->env.count; i++) {
        if (!sc_slice_eq_str(plan_step->env.items[i].name, "PATH"))
            continue;
        SC_AUTO_BUF struct sc_buf text;
        sc_buf_init(&text, 0);
        const struct sc_word *word = &plan_step->env.items[i].value;
        for (uint32_t k = 0; k < word->segments.count; k++)
            sc_buf_add_slice(
                &text, word->segments.items[k].kind == SC_SEGMENT_MATRIX
                           ? sc_plan_matrix_value(plan_step, step->instance, word->segments.items[k].index)
                           : word->segments.items[k].text);
        return sc_arena_copy(arena, sc_buf_slice(&text));
    }
    return sc_slice(NULL, 0);
}

struct need *need_of(struct sc_core *core, const struct step *step)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    struct need like = {.kind = SC_PROBE_CLASS, .path = own_path(step, &core->effects.arena)};
    switch (plan_step->environment) {
    case SC_ENVIRONMENT_HOST:
        like.gpu = plan_step->gpus > 0;
        break;
    case SC_ENVIRONMENT_ANY:
        like.any = true;
        like.path = sc_slice(NULL, 0);
        break;
    case SC_ENVIRONMENT_PROBE:
        like.kind = SC_PROBE_COMMANDS;
        like.commands = plan_step->probes;
        break;
    }
    return intern_need(core, &like);
}

static struct answer *answer_of(const struct need *need, struct sc_slice agent)
{
    for (struct answer *a = need->answers; a; a = a->next)
        if (sc_slice_eq(a->agent, agent))
            return a;
    return NULL;
}

// On the heap.
static struct sc_slice own_text(struct sc_slice text)
{
    uint8_t *copy = sc_calloc(text.len + 1, 1);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    return sc_slice(copy, text.len);
}

static struct answer *answer_for(struct sc_core *core, struct need *need, struct sc_slice agent)
{
    struct answer *a = answer_of(need, agent);
    if (a)
        return a;
    a = sc_calloc(1, sizeof *a);
    a->agent = own_text(agent);
    core->remembered++;
    LL_APPEND(need->answers, a);
    return a;
}

struct sc_msg_probe need_question(const struct need *need)
{
    return (struct sc_msg_probe){
        .kind = need->kind, .path = need->path, .gpu = need->gpu, .commands = need->commands};
}

static void ask(struct sc_core *core, struct need *need, struct agent *agent, struct answer *answer)
{
    struct request *request;
    struct sc_effect *effect = core_request(core, SC_EFFECT_SEND_AGENT, REQUEST_PROBE, &request);
    struct sc_message *message = core_message(core, SC_MESSAGE_PROBE);
    message->body.probe = need_question(need);
    message->body.probe.probe = request->req;
    effect->u.send_agent.agent = agent->number;
    effect->u.send_agent.message = message;
    request->need = need;
    request->agent = own_text(answer->agent);
    request->asked = core->epoch;
    answer->pending = true;
    answer->asked_ms = core->mono_ms;
}

static void add_environment(struct eligible *eligible, struct environment *environment)
{
    for (uint32_t i = 0; i < eligible->count; i++)
        if (eligible->environments[i] == environment)
            return;
    if (environment && eligible->count < ENVIRONMENTS_MOST)
        eligible->environments[eligible->count++] = environment;
}

// Whether the step may be looked up under its environment. `large`: some agent could run it.
static bool is_eligible(const struct agent *agent, const struct sc_plan_step *plan_step, bool large)
{
    return large ? agent_suits(agent, plan_step) : agent->number && agent_has_labels(agent, plan_step);
}

// The epoch that a question must not be older than, for its answer to serve the step.
static uint64_t asked_from(const struct step *step)
{
    const struct group *group = step_group(step);
    bool below = step->confirm && !group->need->any; // an architecture does not change
    return below && group->asked_after > step->run->epoch ? group->asked_after : step->run->epoch;
}

// With no agent that may run it, what agents said once serves when the run has waited for long enough; below a step that ran,
// what they said since.
static bool remembered_ready(struct sc_core *core, const struct step *step, struct eligible *ret)
{
    int64_t patience = step->run->started_mono_ms + core->config.agent_wait_ms;
    if (core->mono_ms < patience) {
        run_look_again_at(step->run, patience);
        return false;
    }
    uint64_t from = asked_from(step);
    bool any_age = from == step->run->epoch;
    for (struct answer *a = step_group(step)->need->answers; a; a = a->next) {
        const struct agent *agent = agent_by_name(core, a->agent);
        if (!a->failed && (any_age || a->asked >= from) &&
            (!agent || agent_has_labels(agent, step_plan(step))))
            add_environment(ret, a->environment);
    }
    return ret->count > 0;
}

static bool nobody_ready(struct sc_core *core, const struct step *step, struct eligible *ret)
{
    struct group *group = step_group(step);
    if (remembered_ready(core, step, ret))
        return true;
    if (!agent_any_alive(core))
        return false;
    if (!group->nobody_since_s)
        group->nobody_since_s = (uint32_t)(core->mono_ms / 1000 + 1);
    int64_t patience = group->nobody_since_s * INT64_C(1000) + core->config.agent_wait_ms;
    if (core->mono_ms < patience) {
        run_look_again_at(step->run, patience);
        return false;
    }
    ret->failed = true;
    ret->outcome = SC_OUTCOME_START;
    ret->message = agent_none_suits(core, step_plan(step));
    return true;
}

// The first command of a probe tells which it is.
void need_tell_slow(struct sc_core *core, const struct step *step, struct sc_slice agent)
{
    struct run *run = step->run;
    const struct need *need = step_group(step)->need;
    if (!need || step_group(step)->told_slow)
        return;
    for (uint32_t i = 0; i < run->plan->plan->steps.count; i++)
        run->groups[i].told_slow |= run->groups[i].need == need;
    struct sc_slice name = run_step_name(core, step, &core->effects.arena);
    if (need->kind == SC_PROBE_CLASS) {
        watch_tell_note(core, run,
                        "step " SC_SLICE_FMT
                        " waits for the python3 on its PATH to tell its packages on agent " SC_SLICE_FMT,
                        SC_SLICE_ARG(name), SC_SLICE_ARG(agent));
        return;
    }
    struct sc_slice command = need->commands.items[0];
    watch_tell_note(core, run, "step " SC_SLICE_FMT " waits for the probe `%.*s`%s on agent " SC_SLICE_FMT,
                    SC_SLICE_ARG(name), (int)(command.len < SHOWN_BYTES ? command.len : SHOWN_BYTES),
                    (const char *)command.ptr, need->commands.count > 1 ? " and those after it" : "",
                    SC_SLICE_ARG(agent));
}

static void tell_when_slow(struct sc_core *core, const struct step *step, const struct answer *answer)
{
    int64_t slow_ms = answer->asked_ms + SLOW_MS;
    if (step_group(step)->told_slow)
        return;
    if (core->mono_ms < slow_ms)
        run_look_again_at(step->run, slow_ms);
    else
        need_tell_slow(core, step, answer->agent);
}

bool need_ready(struct sc_core *core, const struct step *step, struct eligible *ret)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    struct group *group = step_group(step);
    uint64_t from = asked_from(step);
    bool large = agent_any_suits(core, plan_step), found = false, waiting = false;
    const struct answer *failed = NULL;
    *ret = (struct eligible){.outcome = SC_OUTCOME_PROBE};
    struct agent *agent;
    DL_FOREACH (core->agents, agent) {
        if (!is_eligible(agent, plan_step, large))
            continue;
        found = true;
        struct answer *answer = answer_for(core, group->need, agent->name);
        if (answer->asked < from || (!answer->environment && !answer->failed)) {
            if (!answer->pending)
                ask(core, group->need, agent, answer);
            tell_when_slow(core, step, answer);
            waiting = true;
        } else if (answer->failed) {
            failed = answer;
        } else {
            add_environment(ret, answer->environment);
        }
    }
    if (!found)
        return nobody_ready(core, step, ret);
    group->nobody_since_s = 0;
    if (waiting)
        return false;
    if (ret->count == 0 && failed) {
        ret->failed = true;
        ret->message = sc_buf_slice(&failed->message);
    }
    return true;
}

// An agent that came after the question was answered by others is asked when there is work for it.
void need_ask_newcomer(struct sc_core *core, struct need *need, struct agent *agent)
{
    struct answer *answer = answer_for(core, need, agent->name);
    if (agent->number && !answer->pending && !answer->environment && !answer->failed)
        ask(core, need, agent, answer);
}

bool need_agent_has(const struct need *need, const struct agent *agent, const struct environment *environment)
{
    const struct answer *answer = answer_of(need, agent->name);
    return answer && !answer->failed && answer->environment == environment;
}

bool need_anyone_has(const struct sc_core *core, const struct need *need,
                     const struct environment *environment, const struct sc_plan_step *plan_step)
{
    bool large = agent_any_suits(core, plan_step);
    const struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (is_eligible(agent, plan_step, large) && need_agent_has(need, agent, environment))
            return true;
    return false;
}

void need_forget(struct sc_core *core, struct need *need, struct sc_slice agent)
{
    struct answer *answer = answer_of(need, agent);
    if (!answer)
        return;
    answer->asked = 0;
    answer->forgotten = ++core->epoch;
}

void need_held(struct sc_core *core, struct need *need, struct sc_slice agent,
               const struct environment *environment)
{
    struct answer *answer = answer_of(need, agent);
    if (!answer || answer->failed || answer->environment != environment)
        return;
    answer->asked = core->epoch;
    core->woken |= answer->pending; // who waits for the answer needs it no more
}

// `any` keys the architecture alone.
static struct environment *environment_of(struct sc_core *core, const struct need *need,
                                          const struct sc_environment *told)
{
    if (!need->any)
        return intern(core, told);
    struct sc_environment_part arch = {0};
    for (uint32_t i = 0; i < told->parts.count; i++)
        if (sc_slice_eq_str(told->parts.items[i].name, "arch"))
            arch = told->parts.items[i];
    struct sc_environment only = {.parts = {&arch, arch.name.len ? 1 : 0}};
    return intern(core, &only);
}

// A key is built of it: it has parts, sorted by name, each of one value.
static bool is_sound(const struct sc_environment *environment)
{
    for (uint32_t i = 0; i < environment->parts.count; i++) {
        const struct sc_environment_part *part = &environment->parts.items[i];
        struct sc_mp_reader reader = sc_mp_reader(part->value);
        enum sc_mp_type type = sc_mp_peek(&reader);
        if (type != SC_MP_STR && type != SC_MP_ARRAY)
            return false;
        sc_mp_skip(&reader, 1);
        if (!sc_mp_finished(&reader) || part->name.len == 0 ||
            (i > 0 && sc_slice_cmp(environment->parts.items[i - 1].name, part->name) >= 0))
            return false;
    }
    return environment->parts.count > 0;
}

static void remember(struct sc_core *core, struct need *need, struct answer *answer,
                     const struct sc_environment *told)
{
    struct environment *environment = environment_of(core, need, told);
    bool news = answer->environment != environment;
    answer->environment = environment;
    answer->failed = false;
    if (!news || core->restoring)
        return;
    struct sc_fact fact = {
        .kind = SC_FACT_CLASS,
        .agent = answer->agent,
        .need = need->id,
        .index = need->kind | (need->any ? 0x100u : 0),
        .class_ = {.path = need->path, .gpu = need->gpu, .environment = environment->parts},
    };
    if (need->kind == SC_PROBE_CLASS) // what commands print may change from run to run: asked anew each time
        core_journal(core, &fact, true);
    need->moved = core->need_moved = true;
}

void need_restore(struct sc_core *core, const struct sc_fact *fact)
{
    struct need like = {.kind = (enum sc_probe_kind)(fact->index & 0xFF),
                        .path = fact->class_.path,
                        .gpu = fact->class_.gpu,
                        .any = fact->index & 0x100};
    struct need *need = intern_need(core, &like);
    if (is_sound(&fact->class_.environment))
        remember(core, need, answer_for(core, need, fact->agent), &fact->class_.environment);
}

static struct sc_slice pin_message(struct run *run, uint32_t source, struct sc_slice what)
{
    const struct sc_plan_source *plan_source = &run->plan->plan->sources.items[source];
    return sc_arena_printf(&run->arena, "source " SC_SLICE_FMT " (line %u): " SC_SLICE_FMT,
                           SC_SLICE_ARG(plan_source->name), plan_source->line, SC_SLICE_ARG(what));
}

void pin_again(struct source_pin *pin)
{
    if (!pin->read) // another reader noticed first
        return;
    pin->read = false;
    pin->known = pin->identity.len > 0;
    pin->heals++;
}

void need_restore_pin(struct run *run, const struct sc_fact *fact)
{
    struct source_pin *pin = &run->pins[fact->index];
    pin->known = true;
    pin->read = !sc_digest_is_zero(&fact->artifact.digest);
    pin->identity = sc_arena_copy(&run->arena, fact->identity);
    sc_artifact_copy(&run->arena, &fact->artifact, &pin->artifact);
}

static bool is_by_version(const struct run *run, uint32_t source)
{
    return run->plan->plan->sources.items[source].by_version;
}

// NULL: the answer is of the source as this run has pinned it, or pins it now.
static const char *why_no_pin(const struct run *run, const struct request *request,
                              const struct sc_msg_probed *probed)
{
    uint32_t source = request->source;
    const struct source_pin *pin = &run->pins[source];
    bool unread = sc_digest_is_zero(&probed->artifact.digest), by_version = is_by_version(run, source);
    if (by_version ? !sc_key_identity_is_sound(probed->identity) : unread)
        return "the agent's answer tells no content or version; update it to this coordinator's version";
    if (by_version && pin->known && !sc_slice_eq(pin->identity, probed->identity))
        return "its versions are others than when the run began; start the run again";
    if (unread && request->reads) // it would be asked for ever
        return "the agent's answer tells no content; update it to this coordinator's version";
    if (pin->heals && !unread && !sc_artifact_same(&pin->artifact, &probed->artifact))
        return "it is another than when the run began, and what it was is gone from the store; start the run "
               "again";
    return NULL;
}

static void fail_pin(struct run *run, uint32_t source, struct sc_slice message)
{
    run->pins[source].failed = true;
    run->pins[source].message = pin_message(run, source, message);
}

static void pin_probed(struct sc_core *core, struct request *request, const struct sc_msg_probed *probed)
{
    struct run *run = run_by_number(core, request->run);
    if (!run || run->state != RUN_OPEN)
        return;
    struct source_pin *pin = &run->pins[request->source];
    pin->asked = false;
    if (!probed)
        return; // the agent went: another is asked
    if (probed->failed) {
        fail_pin(run, request->source, probed->message);
        return;
    }
    const char *why = why_no_pin(run, request, probed);
    if (why) {
        fail_pin(run, request->source, sc_slice_str(why));
        return;
    }
    pin->known = true;
    pin->read = !sc_digest_is_zero(&probed->artifact.digest);
    if (is_by_version(run, request->source) && !pin->identity.len)
        pin->identity = sc_arena_copy(&run->arena, probed->identity);
    if (pin->read || !pin->heals) // what it was is compared with, when it is healed
        sc_artifact_copy(&run->arena, &probed->artifact, &pin->artifact);
    if (run->options.dry)
        return;
    struct sc_fact fact = {.kind = SC_FACT_PIN,
                           .run = run->id,
                           .index = request->source,
                           .artifact = pin->artifact,
                           .identity = pin->identity};
    core_journal(core, &fact, false);
}

static bool takes_source(const struct step *step, uint32_t source)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    for (uint32_t i = 0; i < plan_step->inputs.count; i++)
        if (plan_step->inputs.items[i].from == SC_FROM_SOURCE && plan_step->inputs.items[i].node == source)
            return true;
    return false;
}

void need_reading(struct sc_core *core, const struct request *request, const struct sc_msg_progress *progress)
{
    struct run *run = run_by_number(core, request->run);
    if (!run || run->state != RUN_OPEN || !run->watchers)
        return;
    uint32_t told = 0;
    for (uint32_t i = 0; i < run->step_count && told < READING_TOLD_MOST; i++) {
        struct step *step = &run->steps[i];
        if (step->state != STEP_PROBING || !takes_source(step, request->source))
            continue;
        struct sc_event_body body = {
            .type = SC_EV_STEP_PROGRESS,
            .at = core->wall_ms,
            .run = run->id,
            .step = run_step_name(core, step, &core->effects.arena),
            .phase = SC_PHASE_FETCHING,
            .done_bytes = progress->done_bytes,
            .total_bytes = progress->total_bytes,
            .text = run->plan->plan->sources.items[request->source].path,
        };
        watch_tell(core, run, step, &body, 0);
        told++;
    }
}

void need_probed(struct sc_core *core, struct request *request, const struct sc_msg_probed *probed)
{
    if (!request->need) {
        pin_probed(core, request, probed);
        core->woken = true;
        return;
    }
    struct answer *answer = answer_for(core, request->need, request->agent);
    answer->pending = false;
    core->woken = true;
    if (!probed || request->asked < answer->forgotten)
        return; // asked anew
    const struct environment *before = answer->environment;
    uint64_t asked = answer->asked; // or looked at since the question, and it was the same
    const struct sc_environment *told =
        probed->kind == SC_PROBE_CLASS ? &probed->class_.environment : &probed->commands;
    if (probed->failed || !is_sound(told)) {
        static const struct sc_slice unsound =
            SC_SLICE_LIT("the agent's answer is not an environment; update it to this coordinator's version");
        answer->failed = true;
        answer->environment = NULL;
        sc_buf_clear(&answer->message);
        sc_buf_add_slice(&answer->message, probed->failed ? probed->message : unsound);
    } else {
        remember(core, request->need, answer, told);
    }
    answer->asked = answer->environment == before && asked > request->asked ? asked : request->asked;
}

// A class that comes with the hello is as old as the agent's start: it serves when no agent is alive, never a run that can ask.
void need_hello(struct sc_core *core, struct agent *agent, const struct sc_msg_hello *hello)
{
    for (uint32_t i = 0; i < hello->classes.count; i++) {
        const struct sc_class *class_ = &hello->classes.items[i];
        bool own = sc_slice_eq(class_->path, hello->path);
        for (int any = 0; any < 2; any++) {
            struct need like = {.kind = SC_PROBE_CLASS,
                                .path = own ? sc_slice(NULL, 0) : class_->path,
                                .gpu = class_->gpu,
                                .any = any};
            if (any && (!own || class_->gpu))
                continue;
            struct need *need = intern_need(core, &like);
            if (is_sound(&class_->environment))
                remember(core, need, answer_for(core, need, agent->name), &class_->environment);
        }
    }
    core->woken = true;
}

static struct agent *any_agent(struct sc_core *core)
{
    struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (agent->number)
            return agent;
    return NULL;
}

static void ask_pin(struct sc_core *core, struct run *run, uint32_t source, bool reads, struct agent *agent)
{
    struct request *request;
    struct sc_effect *effect = core_request(core, SC_EFFECT_SEND_AGENT, REQUEST_PROBE, &request);
    struct sc_message *message = core_message(core, SC_MESSAGE_PROBE);
    const struct sc_plan_source *plan_source = &run->plan->plan->sources.items[source];
    message->body.probe =
        (struct sc_msg_probe){.probe = request->req,
                              .kind = SC_PROBE_FILE,
                              .path = plan_source->path,
                              .version = plan_source->version,
                              .by_version = plan_source->by_version,
                              .identity = run->pins[source].identity,
                              .dir = plan_source->dir,
                              .store = !run->options.dry && (reads || !plan_source->by_version),
                              .force = run->pins[source].heals > 0};
    effect->u.send_agent.agent = agent->number;
    effect->u.send_agent.message = message;
    request->run = run->number;
    request->source = source;
    request->reads = message->body.probe.store;
    request->agent = own_text(agent->name);
    run->pins[source].asked = true;
}

bool pins_read(const struct step *step)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    for (uint32_t i = 0; i < plan_step->inputs.count; i++)
        if (plan_step->inputs.items[i].from == SC_FROM_SOURCE &&
            !step->run->pins[plan_step->inputs.items[i].node].read)
            return false;
    return true;
}

bool pins_ready(struct sc_core *core, struct step *step, bool *ret_failed, struct sc_slice *ret_message)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    struct run *run = step->run;
    bool ready = true;
    for (uint32_t i = 0; i < plan_step->inputs.count; i++) {
        if (plan_step->inputs.items[i].from != SC_FROM_SOURCE)
            continue;
        struct source_pin *pin = &run->pins[plan_step->inputs.items[i].node];
        if (pin->known && (pin->read || !step->reads))
            continue;
        if (pin->failed) {
            *ret_failed = true;
            *ret_message = pin->message;
            continue;
        }
        struct agent *agent = any_agent(core);
        if (!pin->asked && agent)
            ask_pin(core, run, plan_step->inputs.items[i].node, step->reads, agent);
        ready = false;
    }
    return ready || *ret_failed;
}

// Questions to an agent that went get no answer from it.
void need_agent_gone(struct sc_core *core, struct sc_slice agent)
{
    struct request *request, *next;
    HASH_ITER (hh, core->requests, request, next) {
        if (request->kind != REQUEST_PROBE || !sc_slice_eq(request->agent, agent))
            continue;
        HASH_DEL(core->requests, request);
        need_probed(core, request, NULL);
        core_free_request(request);
    }
}
