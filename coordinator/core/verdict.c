#include "coordinator/core/verdict.h"

#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/input.h"
#include "coordinator/core/need.h"
#include "coordinator/core/step.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

#include "base/limits.h"
#include "base/memory.h"

enum { CLOCK_SLACK_MS = 5 * 60 * 1000, FIELDS_MOST = 40, READ_AGAIN_MS = 2000 };

// What overrules a hit, whatever is in the cache.
static enum sc_reason overruled(const struct step *step)
{
    const struct group *group = step_group(step);
    if (step->lost)
        return SC_REASON_OBJECTS_LOST;
    if (group->forced)
        return SC_REASON_FORCED;
    return group->refreshed || step_plan(step)->refresh ? SC_REASON_REFRESH : SC_REASON_NONE;
}

// Whether the environment that was looked under is still in its place: agents may have gone, or told otherwise, while the
// look-up was under way.
static bool environment_stands(struct sc_core *core, struct step *step, struct eligible *ret_eligible)
{
    return need_ready(core, step, ret_eligible) && !ret_eligible->failed &&
           step->candidate < ret_eligible->count &&
           ret_eligible->environments[step->candidate] == step->environment;
}

static void fill_item(struct sc_core *core, struct step *step, struct sc_lookup_item *item)
{
    const struct run *run = step->run;
    *item = (struct sc_lookup_item){
        .key = step->key,
        .by_step = step_group(step)->mode == GROUP_FROM_RUN,
        .want_previous = true,
        .namespace_ = run->plan->plan->namespace_,
        .pipeline = run->plan->plan->name,
        .step = run_step_name(core, step, &core->effects.arena),
        .command = input_command_digest(step),
    };
}

// Look-ups of this turn leave in batches, a run's steps together, in the order in which they became ready.
void verdict_flush_look_ups(struct sc_core *core)
{
    for (uint32_t from = 0; from < core->look_count;) {
        struct run *run = core->look_queue[from]->run;
        uint32_t to = from;
        while (to < core->look_count && core->look_queue[to]->run == run && to - from < SC_LIMIT_BATCH_KEYS)
            to++;
        struct request *request;
        struct sc_effect *effect = core_request(core, SC_EFFECT_LOOK_UP, REQUEST_LOOK_UP, &request);
        struct sc_lookup_item *items = SC_NEW_ARRAY(&core->effects.arena, to - from, struct sc_lookup_item);
        effect->u.look_up.items = items;
        effect->u.look_up.count = to - from;
        request->run = run->number;
        request->steps = sc_calloc(to - from, sizeof *request->steps);
        request->step_count = to - from;
        for (uint32_t i = from; i < to; i++) {
            struct step *step = core->look_queue[i];
            request->steps[i - from] = (uint32_t)(step - run->steps);
            fill_item(core, step, &items[i - from]);
        }
        from = to;
    }
    core->look_count = 0;
}

static struct sc_slice keep(struct step *step, struct sc_slice s)
{
    return sc_arena_copy(&step->run->arena, s);
}

static void add_changed(struct step *step, struct sc_slice label, struct sc_slice old_value,
                        struct sc_slice new_value)
{
    struct step_info *info = step_info(step);
    if (info->fields.count >= FIELDS_MOST)
        return;
    if (!info->fields.items)
        info->fields.items = SC_NEW_ARRAY(&step->run->arena, FIELDS_MOST, struct sc_changed_field);
    SC_AUTO_BUF struct sc_buf old_text;
    SC_AUTO_BUF struct sc_buf new_text;
    sc_buf_init(&old_text, 0);
    sc_buf_init(&new_text, 0);
    sc_key_change_print(label, old_value, new_value, &old_text, &new_text);
    info->fields.items[info->fields.count++] =
        (struct sc_changed_field){.label = keep(step, label),
                                  .old_ = keep(step, sc_buf_slice(&old_text)),
                                  .new_ = keep(step, sc_buf_slice(&new_text))};
}

// A record keeps a long value as its digest; the shell puts the value itself in its place where it can be had.
static bool same_value(struct sc_slice old_value, struct sc_slice new_value)
{
    if (sc_slice_eq(old_value, new_value))
        return true;
    struct sc_mp_reader reader = sc_mp_reader(old_value);
    if (new_value.len <= SC_LIMIT_FIELD_INLINE_BYTES || sc_mp_peek(&reader) != SC_MP_BIN)
        return false;
    struct sc_digest old_digest = sc_mp_get_digest(&reader), digest = sc_digest_of(new_value);
    return sc_mp_finished(&reader) && sc_digest_eq(&old_digest, &digest);
}

// The fields that differ between the newest earlier record and this key; both lists are sorted by label.
static void compare_fields(struct sc_core *core, struct step *step, const struct sc_core_record *previous)
{
    step_info(step)->fields.count = 0; // it may have been compared before, under another environment
    struct sc_mp_reader reader = sc_key_fields_begin(sc_buf_slice(&core->key.encoding));
    struct sc_key_field new;
    bool more = sc_key_fields_next(&reader, &new);
    for (uint32_t i = 0; i < previous->fields.count || more;) {
        const struct sc_key_field *old = i < previous->fields.count ? &previous->fields.items[i] : NULL;
        int order = !old ? 1 : !more ? -1 : sc_slice_cmp(old->label, new.label);
        struct sc_slice none = {NULL, 0};
        if (order < 0)
            add_changed(step, old->label, old->value, none);
        else if (order > 0)
            add_changed(step, new.label, none, new.value);
        else if (!same_value(old->value, new.value))
            add_changed(step, old->label, old->value, new.value);
        i += order <= 0;
        if (order >= 0)
            more = sc_key_fields_next(&reader, &new);
    }
}

static struct sc_slice age(struct sc_arena *arena, int64_t ms)
{
    int64_t s = ms / 1000;
    if (s < 120)
        return sc_arena_printf(arena, "%lld s", (long long)s);
    if (s < 7200)
        return sc_arena_printf(arena, "%lld min", (long long)(s / 60));
    return s < 172800 ? sc_arena_printf(arena, "%lld h", (long long)(s / 3600))
                      : sc_arena_printf(arena, "%lld days", (long long)(s / 86400));
}

static bool is_expired(struct sc_core *core, struct step *step, const struct sc_core_record *record)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    int64_t made_ms_ago = core->wall_ms - record->ended_at;
    if (!plan_step->expires)
        return false;
    if (plan_step->expire_after_ms != 0 && made_ms_ago >= -CLOCK_SLACK_MS &&
        made_ms_ago <= plan_step->expire_after_ms)
        return false;
    struct sc_slice old = age(&core->effects.arena, made_ms_ago < 0 ? 0 : made_ms_ago);
    step_info(step)->detail =
        made_ms_ago < -CLOCK_SLACK_MS
            ? keep(step, sc_slice_str("made in the future, by the clocks"))
            : sc_arena_printf(&step->run->arena, "made " SC_SLICE_FMT " ago", SC_SLICE_ARG(old));
    return true;
}

static void remember_maker(struct step *step, const struct sc_core_record *record)
{
    struct step_info *info = step_info(step);
    info->made_by_run = keep(step, record->run);
    info->made_by_pipeline = keep(step, record->pipeline);
    info->made_by_step = keep(step, record->step);
    info->made_by_agent = keep(step, record->agent);
    info->ended_at = record->ended_at;
    info->saved_ms = record->wall_ms;
}

static void hit(struct sc_core *core, struct step *step, const struct sc_core_record *record,
                enum sc_reason reason)
{
    step->verdict = SC_VERDICT_HIT;
    step->reason = (uint8_t)reason;
    step->cached = true;
    if (step_group(step)->mode == GROUP_FROM_RUN)
        step->key = record->key;
    remember_maker(step, record);
    watch_tell_verdict(core, step, 0);
    step_done(core, step, 0);
}

// What is found, judged: the reason of a miss, or SC_REASON_CACHED.
static enum sc_reason judge(struct sc_core *core, struct step *step, const struct sc_looked_up *found)
{
    switch (found->found) {
    case SC_FOUND_ABSENT:
        return found->withdrawn  ? SC_REASON_VOIDED
               : found->previous ? SC_REASON_CHANGED
                                 : SC_REASON_NEVER_SEEN;
    case SC_FOUND_UNTRUSTED:
        return SC_REASON_UNTRUSTED;
    case SC_FOUND_CORRUPT:
        step_info(step)->detail = keep(step, found->message);
        return SC_REASON_RECORD_CORRUPT;
    case SC_FOUND_VOIDED:
        return SC_REASON_VOIDED;
    case SC_FOUND:
    case SC_FOUND_ERROR: // told before
        break;
    }
    enum sc_reason over = overruled(step);
    if (over != SC_REASON_NONE)
        return over;
    if (found->objects_lost)
        return SC_REASON_OBJECTS_LOST;
    if (is_expired(core, step, found->record))
        return SC_REASON_EXPIRED;
    return step_take_record(step, found->record) ? SC_REASON_CACHED : SC_REASON_RECORD_CORRUPT;
}

static void from_run(struct sc_core *core, struct step *step, const struct sc_looked_up *found)
{
    if (found->found == SC_FOUND && !found->objects_lost && step_take_record(step, found->record)) {
        hit(core, step, found->record, SC_REASON_FROM_RUN);
        return;
    }
    step_fail(
        core, step, SC_OUTCOME_NOT_CACHED,
        sc_slice_str(
            step_plan(step)->cache_disabled
                ? "its cache is off, so no earlier run has kept a result of this step; run it without --from"
                : "no earlier run has a result of this step to start from; run it without --from first"));
}

// What is there is to be replaced though it is not known.
static bool replaces_unread(const struct sc_looked_up *found)
{
    return found->found == SC_FOUND_CORRUPT || found->found == SC_FOUND_VOIDED;
}

// What could not be read may be an honest record: it is no miss, and nothing is to take its place. The step looks again as
// long as the store has patience with it.
static void store_unread(struct sc_core *core, struct step *step, const struct sc_looked_up *found)
{
    struct run *run = step->run;
    struct step_info *info = step_info(step);
    int64_t patience_ms = core->config.store_patience_ms;
    if (!info->unread_since_ms)
        info->unread_since_ms = core->mono_ms + 1;
    if (run->options.dry || !found->may_pass || core->mono_ms + 1 - info->unread_since_ms >= patience_ms) {
        struct sc_slice message = sc_arena_printf(
            &core->effects.arena,
            "whether there is a result already could not be read from the store: " SC_SLICE_FMT
            "; see to the store, then start the run again",
            SC_SLICE_ARG(found->message));
        step_fail(core, step, SC_OUTCOME_STORE, message);
        return;
    }
    if (!run->told_unread)
        watch_tell_note(core, run, "the store cannot be read, trying again for %lld s: " SC_SLICE_FMT,
                        (long long)(patience_ms / 1000), SC_SLICE_ARG(found->message));
    run->told_unread = true;
    step_move(core, step, STEP_BLOCKED);
    step_move(core, step, STEP_PROBING);
    run_look_again_at(run, core->mono_ms + READ_AGAIN_MS);
}

// Used and wanted, of what the agents of this environment that could run the step have.
static void add_load(struct sc_core *core, const struct step *step, const struct environment *environment,
                     uint64_t *ret_used, uint64_t *ret_all)
{
    const struct agent *agent;
    *ret_used = environment->queued_milli;
    *ret_all = 0;
    DL_FOREACH (core->agents, agent) {
        if (!agent_suits(agent, step_plan(step)) ||
            !need_agent_has(step_group(step)->need, agent, environment))
            continue;
        *ret_used += agent->used_cpus_milli;
        *ret_all += agent->cpus_milli;
    }
}

// Where to run what is known under none of them: where somebody makes it already, else where agents have least to do.
static uint8_t choose_environment(struct sc_core *core, const struct step *step,
                                  const struct eligible *eligible)
{
    uint8_t best = 0;
    uint64_t best_used = 0, best_all = 0;
    for (uint8_t i = 0; i < eligible->count; i++) {
        uint64_t used, all;
        input_build_key(core, step, eligible->environments[i]);
        if (flight_find(core, &core->key.digest))
            return i;
        add_load(core, step, eligible->environments[i], &used, &all);
        if (all && (!best_all || used * best_all < best_used * all)) {
            best = i;
            best_used = used;
            best_all = all;
        }
    }
    return best;
}

// Another class of machine may know it. When none does, the step takes the one to run under; what could not be read there
// is replaced, so it is looked up once more. False when there is nothing more to look up.
static bool looks_further(struct sc_core *core, struct step *step, const struct eligible *eligible,
                          bool unread)
{
    if (step->chosen || eligible->count < 2)
        return false;
    if (unread)
        step->unread = (uint8_t)(step->candidate + 1u);
    if (step->candidate + 1u < eligible->count) {
        step->candidate++;
        return true;
    }
    uint32_t last = step->candidate;
    step->chosen = true;
    step->candidate = step->unread ? (uint8_t)(step->unread - 1u) : choose_environment(core, step, eligible);
    step->environment = eligible->environments[step->candidate];
    return step->unread && step->candidate != last;
}

void verdict_looked_up(struct sc_core *core, struct step *step, const struct sc_looked_up *found)
{
    if (step->state != STEP_LOOKING)
        return; // cancelled meanwhile
    if (run_is_stopping(step->run)) {
        step_end_quietly(core, step, STEP_CANCELLED, SC_OUTCOME_CANCELLED);
        return;
    }
    if (found->found == SC_FOUND_ERROR) {
        store_unread(core, step, found);
        return;
    }
    if (step->info)
        step->info->unread_since_ms = 0;
    if (step_group(step)->mode == GROUP_FROM_RUN) {
        from_run(core, step, found);
        return;
    }
    step->confirm |= found->found == SC_FOUND && overruled(step) == SC_REASON_NONE;
    struct eligible eligible;
    if (!environment_stands(core, step, &eligible)) {
        step_begin_again(core, step);
        return;
    }
    enum sc_reason reason = judge(core, step, found);
    if (reason == SC_REASON_CACHED) {
        hit(core, step, found->record, SC_REASON_CACHED);
        return;
    }
    bool replaces = found->found == SC_FOUND;
    if (!replaces && looks_further(core, step, &eligible, replaces_unread(found))) {
        step_evaluate(core, step);
        return;
    }
    input_build_key(core, step, step->environment); // for the comparison and the flight
    step->key = core->key.digest;
    if (flight_find(core, &step->key) && !step->confirm) {
        step->confirm = true;
        if (!environment_stands(core, step, &eligible)) {
            step_begin_again(core, step);
            return;
        }
    }
    step->generation = replaces ? found->record->generation + 1 : replaces_unread(found) ? 1 : 0;
    if (reason == SC_REASON_OBJECTS_LOST)
        step->lost = true;
    enum sc_reason over = overruled(step);
    if (!replaces && over != SC_REASON_NONE)
        reason = over; // a forced step says so, known or not
    if (reason == SC_REASON_CHANGED)
        compare_fields(core, step, found->previous);
    step_miss(core, step, reason);
}
