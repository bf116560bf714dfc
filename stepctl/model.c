#include "stepctl/model.h"

#include "base/memory.h"
#include "stepctl/render.h"

void sc_model_init(struct sc_model *model)
{
    *model = (struct sc_model){0};
    sc_arena_init(&model->arena);
}

void sc_model_done(struct sc_model *model)
{
    free(model->steps.items);
    free(model->groups.items);
    free(model->table);
    free(model->group_table);
    sc_arena_done(&model->arena);
    *model = (struct sc_model){0};
}

static uint32_t hash_of(struct sc_slice name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ name.ptr[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

static struct sc_slice group_name(struct sc_slice step)
{
    const uint8_t *bracket = step.len ? memchr(step.ptr, '[', step.len) : NULL;
    return bracket ? sc_slice(step.ptr, (size_t)(bracket - step.ptr)) : step;
}

// Doubles a table that is half full; names are looked up again through `name_at`.
static void table_grow(uint32_t **table, uint32_t *mask, uint32_t count,
                       struct sc_slice (*name_at)(const struct sc_model *, uint32_t),
                       const struct sc_model *model)
{
    if (*table && (count + 1) * 2 <= *mask)
        return;
    uint32_t size = *table ? (*mask + 1) * 2 : 64;
    free(*table);
    *table = sc_calloc(size, sizeof **table);
    *mask = size - 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = hash_of(name_at(model, i)) & *mask;
        while ((*table)[at])
            at = (at + 1) & *mask;
        (*table)[at] = i + 1;
    }
}

static struct sc_slice step_name_at(const struct sc_model *model, uint32_t index)
{
    return model->steps.items[index].name;
}

static struct sc_slice group_name_at(const struct sc_model *model, uint32_t index)
{
    return model->groups.items[index].name;
}

static uint32_t group_find(struct sc_model *model, struct sc_slice name)
{
    table_grow(&model->group_table, &model->group_table_mask, model->groups.count, group_name_at, model);
    uint32_t at = hash_of(name) & model->group_table_mask;
    for (; model->group_table[at]; at = (at + 1) & model->group_table_mask)
        if (sc_slice_eq(model->groups.items[model->group_table[at] - 1].name, name))
            return model->group_table[at] - 1;
    if (model->groups.count == model->group_capacity) {
        model->group_capacity = model->group_capacity ? model->group_capacity * 2 : 16;
        model->groups.items =
            sc_realloc(model->groups.items, model->group_capacity, sizeof *model->groups.items);
    }
    model->groups.items[model->groups.count] = (struct sc_model_group){.name = name};
    model->group_table[at] = ++model->groups.count;
    return model->groups.count - 1;
}

static uint32_t *slot_of(const struct sc_model *model, struct sc_slice name)
{
    uint32_t at = hash_of(name) & model->table_mask;
    while (model->table[at] && !sc_slice_eq(model->steps.items[model->table[at] - 1].name, name))
        at = (at + 1) & model->table_mask;
    return &model->table[at];
}

static struct sc_model_step *step_of(struct sc_model *model, struct sc_slice name)
{
    table_grow(&model->table, &model->table_mask, model->steps.count, step_name_at, model);
    uint32_t *slot = slot_of(model, name);
    if (*slot)
        return &model->steps.items[*slot - 1];
    if (model->steps.count == model->step_capacity) {
        model->step_capacity = model->step_capacity ? model->step_capacity * 2 : 64;
        model->steps.items = sc_realloc(model->steps.items, model->step_capacity, sizeof *model->steps.items);
    }
    struct sc_model_step *step = &model->steps.items[model->steps.count++];
    *slot = model->steps.count;
    *step = (struct sc_model_step){.name = sc_arena_copy(&model->arena, name)};
    step->group = group_find(model, group_name(step->name));
    model->groups.items[step->group].steps++;
    model->groups.items[step->group].counts[SC_MODEL_WAITING]++;
    model->counts[SC_MODEL_WAITING]++;
    if (model->step_total < model->steps.count)
        model->step_total = model->steps.count;
    return step;
}

void sc_model_expect(struct sc_model *model, struct sc_slice name)
{
    step_of(model, name);
}

const struct sc_model_step *sc_model_find(const struct sc_model *model, struct sc_slice name)
{
    if (!model->table)
        return NULL;
    uint32_t index = *slot_of(model, name);
    return index ? &model->steps.items[index - 1] : NULL;
}

static void move(struct sc_model *model, struct sc_model_step *step, enum sc_model_state to)
{
    struct sc_model_group *group = &model->groups.items[step->group];
    group->counts[step->state]--;
    model->counts[step->state]--;
    step->state = to;
    group->counts[to]++;
    model->counts[to]++;
    model->revision++;
}

// A reason in a few words: of a change, the fields that differ.
static struct sc_slice detail_of(struct sc_model *model, const struct sc_event_body *e)
{
    if (e->detail.len)
        return sc_arena_copy(&model->arena, e->detail);
    if (e->reason != SC_REASON_CHANGED || e->fields.count == 0)
        return (struct sc_slice){0};
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_render_changed(&text, e);
    return sc_arena_copy(&model->arena, sc_buf_slice(&text));
}

static bool apply_verdict(struct sc_model *model, struct sc_model_step *step, const struct sc_event_body *e)
{
    if (step->verdict == e->verdict && step->reason == e->reason && step->state != SC_MODEL_WAITING)
        return false;
    // A coordinator that was restarted finds by look-up what this very run has made.
    if (step->state == SC_MODEL_DONE && e->verdict == SC_VERDICT_HIT &&
        sc_slice_eq(e->made_by_run, model->run))
        return false;
    step->verdict = e->verdict;
    step->reason = e->reason;
    step->saved_ms = e->saved_ms;
    step->detail = e->verdict == SC_VERDICT_HIT ? (struct sc_slice){0} : detail_of(model, e);
    if (sc_model_is_final(step->state) && step->state != SC_MODEL_HIT && e->verdict == SC_VERDICT_HIT)
        return true;
    move(model, step,
         e->verdict == SC_VERDICT_HIT    ? SC_MODEL_HIT
         : e->verdict == SC_VERDICT_JOIN ? SC_MODEL_JOINED
                                         : SC_MODEL_READY);
    if (e->verdict == SC_VERDICT_HIT)
        model->saved_ms += e->saved_ms;
    return true;
}

static bool apply_started(struct sc_model *model, struct sc_model_step *step, const struct sc_event_body *e)
{
    bool known = step->attempt >= e->attempt && e->attempt && step->state != SC_MODEL_READY &&
                 step->state != SC_MODEL_JOINED;
    if (known)
        return false;
    step->attempt = e->attempt;
    step->since_ms = e->at;
    step->phase = SC_PHASE_QUEUED;
    step->done_bytes = step->total_bytes = 0;
    move(model, step, SC_MODEL_RUNNING);
    return true;
}

// It has no attempt yet, and waits.
static bool apply_reading(struct sc_model *model, struct sc_model_step *step, const struct sc_event_body *e)
{
    if (step->state != SC_MODEL_WAITING || step->told_ms >= e->at)
        return false;
    if (!sc_slice_eq(step->source, e->text) || e->done_bytes < step->done_bytes) {
        step->source = sc_arena_copy(&model->arena, e->text);
        step->since_ms = e->at;
        step->from_bytes = e->done_bytes;
    }
    step->told_ms = e->at;
    step->done_bytes = e->done_bytes;
    step->total_bytes = e->total_bytes;
    model->revision++;
    return true;
}

static bool apply_progress(struct sc_model *model, struct sc_model_step *step, const struct sc_event_body *e)
{
    if (e->text.len)
        return apply_reading(model, step, e);
    if (step->state != SC_MODEL_RUNNING || (step->phase == e->phase && step->done_bytes == e->done_bytes))
        return false;
    step->phase = e->phase;
    step->done_bytes = e->done_bytes;
    step->total_bytes = e->total_bytes;
    model->revision++;
    return true;
}

static bool apply_retry(struct sc_model *model, struct sc_model_step *step, const struct sc_event_body *e)
{
    if (sc_model_is_final(step->state) || (step->state == SC_MODEL_BACKOFF && step->attempt >= e->attempt))
        return false;
    step->attempt = e->attempt;
    step->outcome = e->outcome;
    move(model, step, SC_MODEL_BACKOFF);
    return true;
}

static enum sc_model_state final_state(const struct sc_event_body *e)
{
    switch (e->state) {
    case SC_END_NONE:
    case SC_END_DONE:
        return e->cached ? SC_MODEL_HIT : SC_MODEL_DONE;
    case SC_END_FAILED:
        return SC_MODEL_FAILED;
    case SC_END_CANCELLED:
        return SC_MODEL_CANCELLED;
    case SC_END_SKIPPED:
        return SC_MODEL_SKIPPED;
    }
    return SC_MODEL_DONE;
}

static bool apply_finished(struct sc_model *model, struct sc_model_step *step, const struct sc_event_body *e)
{
    enum sc_model_state to = final_state(e);
    // A hit is final with its verdict; its step.finished is news of its own all the same, once.
    if (step->state == to &&
        (to != SC_MODEL_HIT || step->outcome != SC_OUTCOME_OK || step->phase == SC_PHASE_STORING))
        return false;
    if (to == SC_MODEL_HIT && step->state == SC_MODEL_DONE)
        return false;
    if (to == SC_MODEL_HIT)
        step->phase = SC_PHASE_STORING;
    step->outcome = e->outcome;
    step->exit_code = e->exit_code;
    step->signal = e->signal;
    step->wall_ms = e->wall_ms;
    if (to == SC_MODEL_DONE)
        model->ran_ms += e->wall_ms;
    if (to == SC_MODEL_FAILED) {
        step->message = sc_arena_copy(&model->arena, e->text);
        step->log_tail = sc_arena_copy(&model->arena, e->log_tail);
    }
    move(model, step, to);
    return true;
}

static bool apply_run_finished(struct sc_model *model, const struct sc_event_body *e)
{
    if (model->finished)
        return false;
    model->finished = true;
    model->end = *e;
    model->end.text = sc_arena_copy(&model->arena, e->text);
    model->end.code = sc_arena_copy(&model->arena, e->code);
    model->end.hint = sc_arena_copy(&model->arena, e->hint);
    model->end.outputs.items = SC_NEW_ARRAY(&model->arena, e->outputs.count, struct sc_published);
    for (uint32_t i = 0; i < e->outputs.count; i++) {
        struct sc_published *to = &model->end.outputs.items[i];
        *to = e->outputs.items[i];
        to->name = sc_arena_copy(&model->arena, to->name);
        to->uri = sc_arena_copy(&model->arena, to->uri);
    }
    model->revision++;
    return true;
}

static bool apply_run_started(struct sc_model *model, const struct sc_event_body *e)
{
    if (model->started_ms)
        return false;
    model->started_ms = e->at ? e->at : 1;
    model->run = sc_arena_copy(&model->arena, e->run);
    model->pipeline = sc_arena_copy(&model->arena, e->pipeline);
    if (model->step_total < e->steps)
        model->step_total = e->steps;
    model->revision++;
    return true;
}

static enum sc_rc rc_named(struct sc_slice name)
{
#define X(ident, value, exit_code, text)                                                                     \
    if (sc_slice_eq_str(name, sc_rc_name(SC_##ident)))                                                       \
        return SC_##ident;
    SC_RC_TABLE(X)
#undef X
    return SC_IO;
}

bool sc_model_apply(struct sc_model *model, const struct sc_event_body *e)
{
    switch (e->type) {
    case SC_EV_RUN_STARTED:
        return apply_run_started(model, e);
    case SC_EV_STEP_VERDICT:
        return apply_verdict(model, step_of(model, e->step), e);
    case SC_EV_STEP_STARTED:
        return apply_started(model, step_of(model, e->step), e);
    case SC_EV_STEP_PROGRESS:
        return apply_progress(model, step_of(model, e->step), e);
    case SC_EV_STEP_RETRY:
        return apply_retry(model, step_of(model, e->step), e);
    case SC_EV_STEP_FINISHED:
        return apply_finished(model, step_of(model, e->step), e);
    case SC_EV_RUN_FINISHED:
        return apply_run_finished(model, e);
    case SC_EV_ERROR:
        model->error_rc = rc_named(e->code);
        return true;
    case SC_EV_STEP_LOG:
    case SC_EV_NOTE:
    case SC_EV_COUNT:
        return true;
    }
    return true;
}

// Steps that failed because of the store alone leave nothing for their author to mend.
static bool only_the_store_failed(const struct sc_model *model)
{
    bool any = false;
    for (uint32_t i = 0; i < model->steps.count; i++) {
        if (model->steps.items[i].state != SC_MODEL_FAILED)
            continue;
        if (model->steps.items[i].outcome != SC_OUTCOME_STORE)
            return false;
        any = true;
    }
    return any;
}

int sc_model_exit_code(const struct sc_model *model)
{
    switch (model->end.state) {
    case SC_END_NONE:
    case SC_END_DONE:
    case SC_END_SKIPPED:
        return 0;
    case SC_END_CANCELLED:
        return sc_rc_exit_code(SC_CANCELLED);
    case SC_END_FAILED:
        break;
    }
    if (model->end.code.len)
        return sc_rc_exit_code(rc_named(model->end.code));
    if (only_the_store_failed(model))
        return sc_rc_exit_code(SC_UNREACHABLE);
    if (model->counts[SC_MODEL_FAILED] == 0 && model->error_rc != SC_OK)
        return sc_rc_exit_code(model->error_rc);
    return sc_rc_exit_code(SC_STEP_FAILED);
}
