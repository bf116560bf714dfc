#include "pipeline/document.h"

#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

enum { HINTS_MOST = 200 };

enum document_key {
    DOCUMENT_STEPCACHE,
    DOCUMENT_NAME,
    DOCUMENT_NAMESPACE,
    DOCUMENT_PARAMS,
    DOCUMENT_ENVIRONMENT,
    DOCUMENT_DEFAULTS,
    DOCUMENT_SOURCES,
    DOCUMENT_STEPS,
    DOCUMENT_OUTPUTS,
    DOCUMENT_KEYS,
};

static const struct sc_rule document_rules[] = {
    [DOCUMENT_STEPCACHE] = {"stepcache", NULL},
    [DOCUMENT_NAME] = {"name", NULL},
    [DOCUMENT_NAMESPACE] = {"namespace", NULL},
    [DOCUMENT_PARAMS] = {"params", NULL},
    [DOCUMENT_ENVIRONMENT] = {"environment", NULL},
    [DOCUMENT_DEFAULTS] = {"defaults", NULL},
    [DOCUMENT_SOURCES] = {"sources", NULL},
    [DOCUMENT_STEPS] = {"steps", NULL},
    [DOCUMENT_OUTPUTS] = {"outputs", NULL},
    {"secrets", "give the values to the agents' own environment for now"},
    {"on_exit", "make it a step with `after`, which runs when those have succeeded"},
    {"priority", "remove it: runs share the agents evenly"},
};

static void read_version(struct sc_compile *c, const struct sc_yaml_node *root,
                         const struct sc_yaml_node *node)
{
    if (!node) {
        SC_WRONG(c, root, "begin with `stepcache: 1`", "the version of the language is missing");
        return;
    }
    if (node->kind == SC_YAML_SCALAR && sc_slice_eq_str(sc_yaml_text(node), "1"))
        return;
    if (sc_yaml_is_integer(node))
        SC_REFUSE(c, node, "this stepctl reads `stepcache: 1`",
                  "version " SC_SLICE_FMT " of the language is not supported",
                  SC_SLICE_ARG(sc_yaml_text(node)));
    else
        SC_WRONG(c, node, "write `stepcache: 1`", "stepcache must be the version of the language");
}

static void read_pipeline_name(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                               struct sc_slice *ret_name)
{
    struct sc_slice name;
    if (!sc_want_text(c, node, what, &name))
        return;
    if (!sc_plan_is_pipeline_name(name))
        SC_WRONG(c, node, "lower-case letters, digits and -, at most 63, not beginning with -",
                 "%s: \"" SC_SLICE_FMT "\" is not allowed", what, SC_SLICE_ARG(name));
    *ret_name = name;
}

static void read_root(struct sc_compile *c, const struct sc_yaml_node *root,
                      const struct sc_yaml_node **ret_nodes)
{
    if (!sc_want_map(c, root, "the document"))
        return;
    for (const struct sc_yaml_node *key = root->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, document_rules, SC_COUNT(document_rules), "the document");
        if (rule >= 0)
            ret_nodes[rule] = key->next;
    }
    read_version(c, root, ret_nodes[DOCUMENT_STEPCACHE]);
    c->plan->namespace_ = sc_slice_str("default");
    if (ret_nodes[DOCUMENT_NAME])
        read_pipeline_name(c, ret_nodes[DOCUMENT_NAME], "name", &c->plan->name);
    else
        SC_WRONG(c, root, "write `name: my-pipeline`", "the pipeline's name is missing");
    if (ret_nodes[DOCUMENT_NAMESPACE])
        read_pipeline_name(c, ret_nodes[DOCUMENT_NAMESPACE], "namespace", &c->plan->namespace_);
    if (!ret_nodes[DOCUMENT_STEPS])
        SC_WRONG(c, root, "write `steps:` and below it a step by its name", "there are no steps");
}

static uint64_t word_bytes(const struct sc_word *word)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < word->segments.count; i++)
        bytes += word->segments.items[i].text.len + 16;
    return bytes;
}

// The texts of a plan, about: parameters and aliases let a short document stand for much.
static uint64_t plan_bytes(const struct sc_plan *plan)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < plan->steps.count; i++) {
        const struct sc_plan_step *step = &plan->steps.items[i];
        bytes += 256 + step->salt.len;
        for (uint32_t k = 0; k < step->command.count; k++)
            bytes += word_bytes(&step->command.items[k]);
        for (uint32_t k = 0; k < step->env.count; k++)
            bytes += step->env.items[k].name.len + word_bytes(&step->env.items[k].value);
        for (uint32_t k = 0; k < step->matrix.count; k++)
            for (uint32_t v = 0; v < step->matrix.items[k].values.count; v++)
                bytes += step->matrix.items[k].values.items[v].len + 8;
        for (uint32_t k = 0; k < step->outputs.count; k++)
            bytes += step->outputs.items[k].path.len + 80;
        for (uint32_t k = 0; k < step->values.count; k++)
            bytes += step->values.items[k].pointer.len + 80;
        for (uint32_t k = 0; k < step->labels.count; k++)
            bytes += step->labels.items[k].name.len + step->labels.items[k].value.len + 16;
        for (uint32_t k = 0; k < step->uses.count; k++)
            bytes += step->uses.items[k].name.len + step->uses.items[k].value.len + 16;
        for (uint32_t k = 0; k < step->probes.count; k++)
            bytes += step->probes.items[k].len + 8;
        for (uint32_t k = 0; k < step->ignored.count; k++)
            bytes += step->ignored.items[k].len + 8;
        bytes += (uint64_t)step->inputs.count * 80 + (uint64_t)step->after.count * 5;
    }
    return bytes;
}

// The last look. The check finds nothing that was not reported; if it ever did, the plan must not go out.
static void check_whole(struct sc_compile *c)
{
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_plan_check(c->plan, &err);
    if (rc != SC_OK)
        SC_REPORT(&c->report, (struct sc_place){0}, rc == SC_LIMIT ? SC_LIMIT : SC_DOCUMENT, NULL, "%s",
                  err.message);
    else if (plan_bytes(c->plan) > SC_LIMIT_PLAN_BYTES / 4 * 3)
        SC_REPORT(&c->report, (struct sc_place){0}, SC_LIMIT, "say less by parameters, aliases and defaults",
                  "the plan is more than %u bytes", SC_LIMIT_PLAN_BYTES / 4 * 3);
}

static void compile(struct sc_compile *c, const struct sc_param_override *params, uint32_t param_count)
{
    struct sc_yaml_node *root = NULL;
    const struct sc_yaml_node *nodes[DOCUMENT_KEYS] = {0};
    if (!sc_yaml_read(c->text, &c->scratch, c->arena, &c->report, &root))
        return;
    read_root(c, root, nodes);
    sc_read_params(c, nodes[DOCUMENT_PARAMS], params, param_count);
    sc_read_sources(c, nodes[DOCUMENT_SOURCES]);
    sc_read_defaults(c, nodes[DOCUMENT_ENVIRONMENT], nodes[DOCUMENT_DEFAULTS]);
    if (nodes[DOCUMENT_STEPS])
        sc_read_steps(c, nodes[DOCUMENT_STEPS]);
    sc_wire_steps(c);
    sc_wire_outputs(c, nodes[DOCUMENT_OUTPUTS]);
    sc_order_steps(c);
    if (c->report.list->count == 0)
        check_whole(c);
}

enum sc_rc sc_document_compile(struct sc_slice text, const struct sc_param_override *params,
                               uint32_t param_count, struct sc_arena *arena, struct sc_plan **ret_plan,
                               struct sc_diagnostics *ret_diagnostics)
{
    *ret_diagnostics = (struct sc_diagnostics){0};
    struct sc_compile c = {
        .text = text, .arena = arena, .report = {ret_diagnostics, arena}, .hints_left = HINTS_MOST};
    sc_arena_init(&c.scratch);
    c.plan = SC_NEW(arena, struct sc_plan);
    c.plan->version = 1;
    compile(&c, params, param_count);
    HASH_CLEAR(hh, c.params);
    sc_names_done(&c.steps);
    sc_names_done(&c.sources);
    free(c.entries);
    free(c.segments);
    free(c.uses);
    sc_arena_done(&c.scratch);
    if (ret_diagnostics->count > 0)
        return ret_diagnostics->items[0].rc;
    *ret_plan = c.plan;
    return SC_OK;
}
