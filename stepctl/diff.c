// stepctl diff: two runs side by side: parameters, verdicts, values. Only what differs is shown.
#include "base/memory.h"
#include "stepctl/command.h"
#include "stepctl/look.h"
#include "stepctl/model.h"
#include "stepctl/rows.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <unistd.h>

struct step { // of one run
    struct sc_slice name;
    enum sc_verdict verdict;
    enum sc_reason reason;
    struct sc_digest key;
    bool done;
};

struct side {
    struct sc_arena arena;
    struct sc_slice run;
    struct sc_model model; // finds steps by name: its indexes are those of `steps`
    struct step *steps;
    uint32_t capacity;
    struct sc_plan *plan; // NULL: not to be had
};

struct diff {
    struct side sides[2];
    struct sc_out out;
    struct sc_look look;
    bool looks; // the store can be read
    bool json;
    uint32_t differences;
};

static void take(void *context, const struct sc_event_body *event)
{
    struct side *side = context;
    sc_model_apply(&side->model, event);
    if (event->type == SC_EV_RUN_STARTED)
        side->run = sc_arena_copy(&side->arena, event->run);
    const struct sc_model_step *found = event->step.len ? sc_model_find(&side->model, event->step) : NULL;
    if (!found)
        return;
    if (side->model.steps.count > side->capacity) {
        uint32_t old = side->capacity;
        side->capacity = side->model.steps.count * 2;
        side->steps = sc_realloc(side->steps, side->capacity, sizeof *side->steps);
        memset(side->steps + old, 0, (side->capacity - old) * sizeof *side->steps);
    }
    struct step *step = &side->steps[found - side->model.steps.items];
    step->name = found->name;
    if (event->type == SC_EV_STEP_VERDICT) {
        step->verdict = event->verdict;
        step->reason = event->reason;
        step->key = event->key;
    }
    step->done = found->state == SC_MODEL_HIT || found->state == SC_MODEL_DONE;
}

static const struct step *step_of(const struct side *side, struct sc_slice name)
{
    const struct sc_model_step *found = sc_model_find(&side->model, name);
    return found ? &side->steps[found - side->model.steps.items] : NULL;
}

// ---- lines

static void row(struct diff *diff, const char *kind, struct sc_slice name, struct sc_slice a,
                struct sc_slice b)
{
    struct sc_buf *out = &diff->out.buf;
    diff->differences++;
    if (diff->json) {
        sc_buf_printf(out, "{\"%s\":", kind);
        sc_text_json(out, name);
        sc_buf_add_str(out, ",\"a\":");
        sc_text_json(out, a);
        sc_buf_add_str(out, ",\"b\":");
        sc_text_json(out, b);
        sc_buf_add_str(out, "}\n");
    } else {
        sc_buf_printf(out, "%-9s ", kind);
        uint32_t used = sc_text_fit(out, name, 40, false);
        sc_text_pad(out, used < 24 ? 24 - used : 1);
        used = sc_text_fit(out, a.len ? a : sc_slice_str("-"), 60, false);
        sc_text_pad(out, used < 24 ? 24 - used : 2);
        sc_text_fit(out, b.len ? b : sc_slice_str("-"), 60, false);
        sc_buf_add_byte(out, '\n');
    }
    sc_out_maybe_flush(&diff->out);
}

static void verdict_text(const struct step *step, struct sc_buf *out)
{
    if (!step)
        return;
    if (step->verdict == SC_VERDICT_NONE) {
        sc_buf_add_str(out, "no verdict");
        return;
    }
    sc_buf_add_str(out, step->verdict == SC_VERDICT_HIT    ? "hit"
                        : step->verdict == SC_VERDICT_JOIN ? "join"
                                                           : "miss");
    if (step->verdict == SC_VERDICT_MISS)
        sc_buf_printf(out, " %s", sc_reason_name(step->reason));
    if (!step->done)
        sc_buf_add_str(out, ", not done");
}

// ---- parameters

static struct sc_slice param_of(const struct sc_plan *plan, struct sc_slice name)
{
    for (uint32_t i = 0; plan && i < plan->params.count; i++)
        if (sc_slice_eq(plan->params.items[i].name, name))
            return plan->params.items[i].value;
    return (struct sc_slice){0};
}

static void diff_params(struct diff *diff)
{
    const struct sc_plan *a = diff->sides[0].plan, *b = diff->sides[1].plan;
    if (!a || !b)
        return;
    for (uint32_t i = 0; i < a->params.count; i++) {
        struct sc_slice other = param_of(b, a->params.items[i].name);
        if (!sc_slice_eq(a->params.items[i].value, other))
            row(diff, "param", a->params.items[i].name, a->params.items[i].value, other);
    }
    for (uint32_t i = 0; i < b->params.count; i++)
        if (!param_of(a, b->params.items[i].name).ptr)
            row(diff, "param", b->params.items[i].name, (struct sc_slice){0}, b->params.items[i].value);
}

// ---- steps

static struct sc_slice value_of(const struct sc_record *record, struct sc_slice name)
{
    for (uint32_t i = 0; i < record->values.count; i++)
        if (sc_slice_eq(record->values.items[i].name, name))
            return record->values.items[i].json;
    return (struct sc_slice){0};
}

static void diff_values(struct diff *diff, const struct step *a, const struct step *b)
{
    struct sc_record records[2] = {{.v = {NULL, 0}}, {.v = {NULL, 0}}};
    const struct step *steps[2] = {a, b};
    struct sc_error ignored = SC_ERROR_INIT;
    for (int i = 0; i < 2; i++)
        if (steps[i] && steps[i]->done && !sc_digest_is_zero(&steps[i]->key) &&
            sc_look_record(&diff->look, &steps[i]->key, &records[i], &ignored) != SC_OK)
            records[i] = (struct sc_record){.v = {NULL, 0}};
    for (int i = 0; i < 2; i++)
        for (uint32_t j = 0; j < records[i].values.count; j++) {
            struct sc_slice name = records[i].values.items[j].name, mine = records[i].values.items[j].json;
            struct sc_slice other = value_of(&records[1 - i], name);
            if ((i == 1 && other.ptr) || sc_slice_eq(mine, other))
                continue; // told from the other side, or equal
            struct sc_slice step = a ? a->name : b->name;
            struct sc_slice whole = sc_arena_printf(&diff->look.arena, SC_SLICE_FMT "." SC_SLICE_FMT,
                                                    SC_SLICE_ARG(step), SC_SLICE_ARG(name));
            row(diff, "value", whole, i == 0 ? mine : other, i == 0 ? other : mine);
        }
}

static void diff_step(struct diff *diff, struct sc_slice name)
{
    const struct step *a = step_of(&diff->sides[0], name), *b = step_of(&diff->sides[1], name);
    bool same_key = a && b && sc_digest_eq(&a->key, &b->key);
    SC_AUTO_BUF struct sc_buf old;
    SC_AUTO_BUF struct sc_buf new;
    sc_buf_init(&old, 0);
    sc_buf_init(&new, 0);
    verdict_text(a, &old);
    verdict_text(b, &new);
    if (!same_key || !sc_slice_eq(sc_buf_slice(&old), sc_buf_slice(&new)))
        row(diff, same_key ? "verdict" : "key", name, sc_buf_slice(&old), sc_buf_slice(&new));
    if (diff->looks && !same_key)
        diff_values(diff, a, b);
}

// ---- both runs

static enum sc_rc load_events(struct sc_client *client, const char *run, struct side *side,
                              struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_SHOW, .body.show.run = sc_slice_str(run)};
    const struct sc_answer answer = {.event = take, .context = side};
    return sc_client_ask(client, &message, &answer, err);
}

// The runs' rows name their plans, and the plans hold the parameters.
static enum sc_rc load_plans(struct sc_client *client, struct diff *diff, struct sc_error *err)
{
    struct sc_rows rows = {0};
    struct sc_message message = {.type = SC_MESSAGE_LIST,
                                 .body.list = {.what = SC_SLICE_LIT("runs"), .limit = 10000}};
    enum sc_rc rc = sc_rows_ask(client, &message, NULL, &rows, err);
    for (size_t i = 0; rc == SC_OK && i < json_array_size(rows.items); i++) {
        const json_t *item = json_array_get(rows.items, i);
        struct sc_digest digest;
        struct sc_error ignored = SC_ERROR_INIT;
        for (int j = 0; j < 2; j++)
            if (sc_slice_eq_str(diff->sides[j].run, sc_row_text(item, "run")) &&
                sc_digest_parse(sc_slice_str(sc_row_text(item, "plan")), &digest) &&
                sc_look_plan(&diff->look, &digest, &diff->sides[j].plan, &ignored) != SC_OK)
                diff->sides[j].plan = NULL;
    }
    sc_rows_done(&rows);
    return rc;
}

static void print(struct diff *diff)
{
    struct side *a = &diff->sides[0], *b = &diff->sides[1];
    if (!diff->json) {
        sc_text_pad(&diff->out.buf, 34);
        sc_text_escape(&diff->out.buf, a->run);
        sc_text_pad(&diff->out.buf, a->run.len < 24 ? 24 - (uint32_t)a->run.len : 2);
        sc_text_escape(&diff->out.buf, b->run);
        sc_buf_add_byte(&diff->out.buf, '\n');
    }
    diff_params(diff);
    for (uint32_t i = 0; i < a->model.steps.count; i++)
        diff_step(diff, a->model.steps.items[i].name);
    for (uint32_t i = 0; i < b->model.steps.count; i++)
        if (!sc_model_find(&a->model, b->model.steps.items[i].name))
            diff_step(diff, b->model.steps.items[i].name);
    if (!diff->json && diff->differences == 0)
        sc_buf_add_str(&diff->out.buf, "no difference\n");
}

int sc_command_diff(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT, ignored = SC_ERROR_INIT;
    struct sc_client client;
    struct diff diff = {.json = options->json};
    sc_out_init(&diff.out, STDOUT_FILENO);
    for (int i = 0; i < 2; i++) {
        sc_arena_init(&diff.sides[i].arena);
        sc_model_init(&diff.sides[i].model);
    }
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    for (int i = 0; i < 2 && rc == SC_OK; i++)
        rc = load_events(&client, options->args[i], &diff.sides[i], &err);
    if (rc == SC_OK) {
        diff.looks = sc_look_open(&diff.look, &client, options, &ignored) == SC_OK;
        if (diff.looks)
            rc = load_plans(&client, &diff, &err);
        if (rc == SC_OK)
            print(&diff);
        sc_look_done(&diff.look);
    }
    sc_client_done(&client);
    sc_out_done(&diff.out);
    for (int i = 0; i < 2; i++) {
        free(diff.sides[i].steps);
        sc_model_done(&diff.sides[i].model);
        sc_arena_done(&diff.sides[i].arena);
    }
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
