// A step: its keys, what `defaults` give it, what it runs.
#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

// A plan of SC_LIMIT_PLAN_BYTES in memory is not larger.
#define STEPS_BYTES_MOST (3 * SC_LIMIT_PLAN_BYTES)

enum step_key {
    STEP_RUN,
    STEP_COMMAND,
    STEP_CODE,
    STEP_INPUTS,
    STEP_OUTPUTS,
    STEP_ENV,
    STEP_KEY,
    STEP_MATRIX,
    STEP_VALUES,
    STEP_CACHE,
    STEP_RESOURCES,
    STEP_RETRY,
    STEP_TIMEOUT,
    STEP_AFTER,
    STEP_ENVIRONMENT,
    STEP_SANDBOX,
    STEP_NETWORK,
};

static const struct sc_rule step_rules[] = {
    [STEP_RUN] = {"run", NULL},
    [STEP_COMMAND] = {"command", NULL},
    [STEP_CODE] = {"code", NULL},
    [STEP_INPUTS] = {"inputs", NULL},
    [STEP_OUTPUTS] = {"outputs", NULL},
    [STEP_ENV] = {"env", NULL},
    [STEP_KEY] = {"key", NULL},
    [STEP_MATRIX] = {"matrix", NULL},
    [STEP_VALUES] = {"values", NULL},
    [STEP_CACHE] = {"cache", NULL},
    [STEP_RESOURCES] = {"resources", NULL},
    [STEP_RETRY] = {"retry", NULL},
    [STEP_TIMEOUT] = {"timeout", NULL},
    [STEP_AFTER] = {"after", NULL},
    [STEP_ENVIRONMENT] = {"environment", NULL},
    [STEP_SANDBOX] = {"sandbox", NULL},
    [STEP_NETWORK] = {"network", NULL},
    {"when", "leave the step out of the document, or let its command decide"},
    {"foreach", "use `matrix` when the list is known before the run"},
    {"parallel", "use `matrix`; agents bound how many run at once"},
    {"uses", "write the other pipeline's steps here"},
    {"with", "write the other pipeline's steps here"},
    {"secrets", "give the value to the agents' own environment for now"},
    {"priority", "remove it: ready steps start in the document's order"},
};

static void read_sandbox(struct sc_compile *c, const struct sc_yaml_node *node)
{
    static const char *const names[] = {"none", "strict"};
    uint32_t which;
    if (sc_want_choice(c, node, "sandbox", names, SC_COUNT(names), &which) && which == 1)
        SC_REFUSE(c, node, "remove it, or write none", "sandbox: strict is not supported yet");
}

static void read_network(struct sc_compile *c, const struct sc_yaml_node *node)
{
    static const char *const names[] = {"on", "none"};
    uint32_t which;
    if (sc_want_choice(c, node, "network", names, SC_COUNT(names), &which) && which == 1)
        SC_REFUSE(c, node, "remove it, or write on", "network: none is not supported yet");
}

static void read_timeout(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    if (sc_want_duration(c, node, "timeout", &step->timeout_ms) && step->timeout_ms == 0)
        SC_WRONG(c, node, "leave it out for no timeout", "timeout must be more than nothing");
}

static void read_step_key(struct sc_compile *c, struct sc_draft *draft, enum step_key which,
                          const struct sc_yaml_node *value)
{
    switch (which) {
    case STEP_RUN:
        draft->run = value;
        return;
    case STEP_COMMAND:
        draft->command = value;
        return;
    case STEP_CODE:
        draft->code = value;
        return;
    case STEP_INPUTS:
        draft->inputs.own = value;
        return;
    case STEP_OUTPUTS:
        draft->outputs.own = value;
        return;
    case STEP_ENV:
        draft->env.own = value;
        return;
    case STEP_KEY:
        sc_read_key(c, value, draft, draft == &c->base);
        return;
    case STEP_MATRIX:
        draft->matrix.own = value;
        return;
    case STEP_VALUES:
        draft->values.own = value;
        return;
    case STEP_CACHE:
        sc_read_cache(c, value, draft->step);
        return;
    case STEP_RESOURCES:
        sc_read_resources(c, value, draft->step);
        return;
    case STEP_RETRY:
        sc_read_retry(c, value, draft->step);
        draft->retry = true;
        return;
    case STEP_TIMEOUT:
        read_timeout(c, value, draft->step);
        return;
    case STEP_AFTER:
        draft->after = value;
        return;
    case STEP_ENVIRONMENT:
        sc_read_environment(c, value, draft->step);
        return;
    case STEP_SANDBOX:
        read_sandbox(c, value);
        return;
    case STEP_NETWORK:
        read_network(c, value);
        return;
    }
}

void sc_read_defaults(struct sc_compile *c, const struct sc_yaml_node *environment,
                      const struct sc_yaml_node *defaults)
{
    c->base_step = (struct sc_plan_step){.cpus_milli = 1000,
                                         .retry_on = SC_RETRY_AGENT_LOST | SC_RETRY_OUT_OF_MEMORY,
                                         .retry_backoff_ms = 2000};
    c->base.step = &c->base_step;
    if (environment)
        sc_read_environment(c, environment, &c->base_step);
    if (!defaults || !sc_want_map(c, defaults, "defaults"))
        return;
    for (const struct sc_yaml_node *key = defaults->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, step_rules, SC_COUNT(step_rules), "defaults");
        if (rule < 0)
            continue;
        if (rule == STEP_RUN || rule == STEP_COMMAND || rule == STEP_AFTER)
            SC_WRONG(c, key, NULL, "`%s` is a step's own: it can not be a default", step_rules[rule].name);
        else
            read_step_key(c, &c->base, (enum step_key)rule, key->next);
    }
    // From here on these are what a step's own are merged over.
    struct sc_maps *maps[] = {&c->base.inputs, &c->base.outputs, &c->base.values, &c->base.env,
                              &c->base.matrix};
    for (size_t i = 0; i < SC_COUNT(maps); i++)
        *maps[i] = (struct sc_maps){NULL, maps[i]->own};
}

// ---- what it runs

static void read_script(struct sc_compile *c, struct sc_draft *draft)
{
    struct sc_plan_step *step = draft->step;
    step->script = true;
    step->command.items = SC_NEW(c->arena, struct sc_word);
    step->command.count = 1;
    if (!sc_read_word(c, step, SC_WORD_SCRIPT, draft->run, "run", &step->command.items[0]))
        return;
    if (step->command.items[0].segments.count == 0)
        SC_WRONG(c, draft->run, NULL, "run is empty");
}

static void read_arguments(struct sc_compile *c, struct sc_draft *draft)
{
    struct sc_plan_step *step = draft->step;
    const struct sc_yaml_node *node = draft->command;
    if (node->kind == SC_YAML_SCALAR) {
        SC_WRONG(c, node, "write a script as `run: …`, arguments as `command: [program, argument]`",
                 "command must be a list of arguments");
        return;
    }
    if (!sc_want_list(c, node, "command", SC_PLAN_ARGUMENTS_MOST))
        return;
    if (node->count == 0) {
        SC_WRONG(c, node, NULL, "command is empty");
        return;
    }
    step->command.items = SC_NEW_ARRAY(c->arena, node->count, struct sc_word);
    for (const struct sc_yaml_node *item = node->first; item; item = item->next)
        sc_read_word(c, step, SC_WORD_ARGUMENT, item, "command", &step->command.items[step->command.count++]);
    if (node->first->kind == SC_YAML_SCALAR && node->first->count == 0)
        SC_WRONG(c, node->first, NULL, "command: the program's name is empty");
}

static void read_env(struct sc_compile *c, struct sc_draft *draft)
{
    const struct sc_entry *entries;
    uint32_t count = sc_entries(c, draft->env, "env", SC_PLAN_LIST_MOST, &entries), n = 0;
    if (count == 0)
        return;
    struct sc_plan_env *env = SC_NEW_ARRAY(c->arena, count, struct sc_plan_env);
    for (uint32_t i = 0; i < count; i++) {
        env[n].name = sc_yaml_text(entries[i].key);
        if (!sc_plan_is_env_name(env[n].name)) {
            SC_WRONG(c, entries[i].key, "letters, digits and _, not beginning with a digit",
                     "env: \"" SC_SLICE_FMT "\" is not a variable's name", SC_SLICE_ARG(env[n].name));
            continue;
        }
        sc_read_word(c, draft->step, SC_WORD_ENV, entries[i].value, "env", &env[n].value);
        n++;
    }
    draft->step->env.items = env;
    draft->step->env.count = n;
}

void sc_read_command(struct sc_compile *c, struct sc_draft *draft)
{
    read_env(c, draft);
    if (draft->run && draft->command)
        SC_WRONG(c, draft->command, NULL, "a step has `run` or `command`, not both");
    else if (draft->run)
        read_script(c, draft);
    else if (draft->command)
        read_arguments(c, draft);
    else
        SC_REPORT(&c->report, draft->place, SC_DOCUMENT,
                  "write `run: script` or `command: [program, argument]`",
                  "step " SC_SLICE_FMT " has neither `run` nor `command`", SC_SLICE_ARG(draft->step->name));
}

static int compare_labels(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct sc_plan_label *)a)->name, ((const struct sc_plan_label *)b)->name);
}

// The uses of the step that was read, each once.
static void take_uses(struct sc_compile *c, struct sc_plan_step *step)
{
    uint32_t kept = 0;
    if (c->use_count == 0)
        return;
    qsort(c->uses, c->use_count, sizeof *c->uses, compare_labels);
    for (uint32_t i = 0; i < c->use_count; i++)
        if (kept == 0 || !sc_slice_eq(c->uses[kept - 1].name, c->uses[i].name))
            c->uses[kept++] = c->uses[i];
    if (kept > SC_PLAN_PARAMS_MOST)
        kept = SC_PLAN_PARAMS_MOST; // shown only
    step->uses.items = SC_NEW_ARRAY(c->arena, kept, struct sc_plan_label);
    memcpy(step->uses.items, c->uses, kept * sizeof *c->uses);
    step->uses.count = kept;
    c->use_count = 0;
}

// ---- all steps

static void begin_draft(struct sc_compile *c, struct sc_draft *draft, const struct sc_yaml_node *key,
                        uint32_t index)
{
    struct sc_plan_step *step = &c->plan->steps.items[index];
    uint32_t other;
    *step = c->base_step;
    *draft = c->base;
    draft->step = step;
    draft->place = sc_yaml_place(key);
    step->name = sc_yaml_text(key);
    step->line = key->line;
    sc_names_add(&c->steps, step->name, index, &other); // keys of a mapping: each once
}

static void read_step(struct sc_compile *c, struct sc_draft *draft, const struct sc_yaml_node *body)
{
    if (!sc_want_map(c, body, "a step"))
        return;
    for (const struct sc_yaml_node *key = body->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, step_rules, SC_COUNT(step_rules), "a step");
        if (rule >= 0)
            read_step_key(c, draft, (enum step_key)rule, key->next);
    }
    if (!draft->retry) // what is no fault of the step's is tried again unasked
        draft->step->retry_on = SC_RETRY_AGENT_LOST | SC_RETRY_STORE;
    if (draft->step->retry_attempts == 0)
        draft->step->retry_attempts = 3;
    c->use_count = 0;
    sc_read_matrix(c, draft);
    sc_read_ports(c, draft);
    sc_read_code(c, draft);
    sc_read_command(c, draft);
    sc_read_ignored(c, draft);
    take_uses(c, draft->step);
}

void sc_read_steps(struct sc_compile *c, const struct sc_yaml_node *node)
{
    if (!sc_want_map(c, node, "steps"))
        return;
    if (node->count == 0) {
        SC_WRONG(c, node, NULL, "there are no steps");
        return;
    }
    if (node->count > SC_LIMIT_STEP_INSTANCES) {
        SC_TOO_MUCH(c, node, "%u steps are more than %d", node->count, SC_LIMIT_STEP_INSTANCES);
        return;
    }
    size_t before = c->arena->total_bytes;
    c->plan->steps.items = SC_NEW_ARRAY(c->arena, node->count, struct sc_plan_step);
    c->wirings = SC_NEW_ARRAY(&c->scratch, node->count, struct sc_wiring);
    sc_names_init(&c->steps, node->count);
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
        struct sc_slice name = sc_yaml_text(key);
        if (!sc_want_name(c, key, "steps"))
            continue;
        if (sc_slice_eq_str(name, "sources")) {
            SC_WRONG(c, key, "give the step another name",
                     "\"sources\" can not be a step's name: inputs name sources by it");
            continue;
        }
        uint32_t index = c->plan->steps.count++;
        struct sc_draft draft;
        begin_draft(c, &draft, key, index);
        read_step(c, &draft, key->next);
        c->wirings[index] = (struct sc_wiring){draft.references, draft.after};
        if (c->arena->total_bytes - before > STEPS_BYTES_MOST) {
            SC_TOO_MUCH(c, key,
                        "the steps take more than %u MiB of memory: defaults and aliases stand for too much",
                        STEPS_BYTES_MOST >> 20);
            return;
        }
    }
    uint64_t instances = 0;
    for (uint32_t i = 0; i < c->plan->steps.count; i++)
        instances += sc_plan_combinations(&c->plan->steps.items[i]);
    if (instances > SC_LIMIT_STEP_INSTANCES)
        SC_TOO_MUCH(c, node, "%ju step instances are more than %d", (uintmax_t)instances,
                    SC_LIMIT_STEP_INSTANCES);
}
