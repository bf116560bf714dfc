// What steps say of each other: inputs' references, `after`, the pipeline's outputs.
#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

static const struct sc_rule reference_rules[] = {
    {"from", NULL},
    {"optional", "leave it out: every input must be there"},
};

// The text of a reference: "step.output", or {from: step.output}.
static bool reference_text(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice *ret_text)
{
    const struct sc_yaml_node *from = NULL;
    bool good = true;
    if (node->kind != SC_YAML_MAP)
        return sc_want_text(c, node, "an input", ret_text);
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, reference_rules, SC_COUNT(reference_rules), "an input");
        good = good && rule >= 0;
        if (rule == 0)
            from = key->next;
    }
    if (!from) {
        SC_WRONG(c, node, "write {from: step.output}", "an input needs `from`");
        return false;
    }
    return sc_want_text(c, from, "an input", ret_text) && good;
}

static void unknown_step(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice name)
{
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, name);
    if (sc_hints(c))
        for (uint32_t i = 0; i < c->plan->steps.count; i++)
            sc_suggest_try(&suggest, c->plan->steps.items[i].name);
    sc_report_add(&c->report, sc_yaml_place(node), SC_DOCUMENT, sc_hint(c, &suggest),
                  "there is no step \"" SC_SLICE_FMT "\"", SC_SLICE_ARG(name));
}

static bool find_step(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice name,
                      uint32_t *ret_index)
{
    if (sc_names_find(&c->steps, name, ret_index))
        return true;
    unknown_step(c, node, name);
    return false;
}

static void wire_source(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice name,
                        struct sc_plan_input *input)
{
    input->from = SC_FROM_SOURCE;
    if (sc_names_find(&c->sources, name, &input->node))
        return;
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, name);
    if (sc_hints(c))
        for (uint32_t i = 0; i < c->plan->sources.count; i++)
            sc_suggest_try(&suggest, c->plan->sources.items[i].name);
    sc_report_add(&c->report, sc_yaml_place(node), SC_DOCUMENT, sc_hint(c, &suggest),
                  "there is no source \"" SC_SLICE_FMT "\"", SC_SLICE_ARG(name));
}

// Finds a step's output or value by name.
static bool find_port(struct sc_compile *c, const struct sc_yaml_node *node, uint32_t index,
                      struct sc_slice name, enum sc_input_from *ret_from, uint32_t *ret_port)
{
    const struct sc_plan_step *step = &c->plan->steps.items[index];
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, name);
    *ret_from = SC_FROM_OUTPUT;
    *ret_port = sc_plan_search(step->outputs.items, step->outputs.count, sizeof(struct sc_plan_output), name);
    if (*ret_port < step->outputs.count)
        return true;
    *ret_from = SC_FROM_VALUE;
    *ret_port = sc_plan_search(step->values.items, step->values.count, sizeof(struct sc_plan_value), name);
    if (*ret_port < step->values.count)
        return true;
    if (sc_hints(c)) {
        for (uint32_t i = 0; i < step->outputs.count; i++)
            sc_suggest_try(&suggest, step->outputs.items[i].name);
        for (uint32_t i = 0; i < step->values.count; i++)
            sc_suggest_try(&suggest, step->values.items[i].name);
    }
    sc_report_add(&c->report, sc_yaml_place(node), SC_DOCUMENT, sc_hint(c, &suggest),
                  "step " SC_SLICE_FMT " has no output or value \"" SC_SLICE_FMT "\"",
                  SC_SLICE_ARG(step->name), SC_SLICE_ARG(name));
    return false;
}

// "step.name" in two; false after a report.
static bool split_reference(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice text,
                            struct sc_slice *ret_step, struct sc_slice *ret_port)
{
    const uint8_t *dot = text.len ? memchr(text.ptr, '.', text.len) : NULL;
    if (text.len > 0 && memmem(text.ptr, text.len, "${", 2)) {
        SC_WRONG(c, node, "write step.output or sources.name", "a reference can not hold placeholders");
        return false;
    }
    if (!dot) {
        SC_WRONG(c, node, "write step.output or sources.name", "\"" SC_SLICE_FMT "\" names no output",
                 SC_SLICE_ARG(text));
        return false;
    }
    *ret_step = sc_slice(text.ptr, (size_t)(dot - text.ptr));
    *ret_port = sc_slice_from(text, ret_step->len + 1);
    return true;
}

static void wire_input(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_input *input)
{
    struct sc_slice text, step, port;
    if (!reference_text(c, node, &text) || !split_reference(c, node, text, &step, &port))
        return;
    if (sc_slice_eq_str(step, "sources")) {
        wire_source(c, node, port, input);
        return;
    }
    uint32_t index, at;
    enum sc_input_from from;
    if (!find_step(c, node, step, &index) || !find_port(c, node, index, port, &from, &at))
        return;
    input->from = from;
    input->node = index;
    input->port = at;
}

static int compare_indexes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void wire_after(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    const struct sc_yaml_node *item;
    if (!node)
        return;
    if (node->kind == SC_YAML_MAP) {
        SC_REFUSE(c, node, "write after: [step]", "`after` as a mapping is not supported yet");
        return;
    }
    if (!sc_want_list(c, node, "after", SC_LIMIT_STEP_INSTANCES) || node->count == 0)
        return;
    uint32_t *items = SC_NEW_ARRAY(c->arena, node->count, uint32_t), n = 0, kept = 0;
    for (item = node->first; item; item = item->next) {
        struct sc_slice name;
        n += sc_want_text(c, item, "after", &name) && find_step(c, item, name, &items[n]);
    }
    qsort(items, n, sizeof *items, compare_indexes);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || items[kept - 1] != items[i])
            items[kept++] = items[i];
    step->after.items = items;
    step->after.count = kept;
}

void sc_wire_steps(struct sc_compile *c)
{
    for (uint32_t i = 0; i < c->plan->steps.count; i++) {
        struct sc_plan_step *step = &c->plan->steps.items[i];
        for (uint32_t k = 0; k < step->inputs.count; k++)
            wire_input(c, c->wirings[i].references[k], &step->inputs.items[k]);
        wire_after(c, c->wirings[i].after, step);
    }
}

void sc_wire_outputs(struct sc_compile *c, const struct sc_yaml_node *node)
{
    const struct sc_entry *entries;
    if (!node)
        return;
    uint32_t count =
                 sc_entries(c, (struct sc_maps){node, NULL}, "outputs", SC_LIMIT_STEP_INSTANCES, &entries),
             n = 0;
    struct sc_plan_publish *items = SC_NEW_ARRAY(c->arena, count, struct sc_plan_publish);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_yaml_node *value = entries[i].value;
        struct sc_slice text, step, port;
        enum sc_input_from from;
        struct sc_plan_publish *publish = &items[n];
        if (!sc_want_name(c, entries[i].key, "outputs") || !sc_want_text(c, value, "an output", &text) ||
            !split_reference(c, value, text, &step, &port))
            continue;
        if (!find_step(c, value, step, &publish->step) ||
            !find_port(c, value, publish->step, port, &from, &publish->output))
            continue;
        if (from == SC_FROM_VALUE) {
            SC_WRONG(c, value, "publish the output that holds it",
                     "\"" SC_SLICE_FMT "\" is a value: outputs are files and folders", SC_SLICE_ARG(text));
            continue;
        }
        publish->name = sc_yaml_text(entries[i].key);
        n++;
    }
    c->plan->outputs.items = items;
    c->plan->outputs.count = n;
}
