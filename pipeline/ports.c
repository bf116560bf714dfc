// What a step takes and makes: matrix, inputs' names, outputs, values, code.
#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

// ---- matrix

// A list, or a parameter that is one.
static const struct sc_yaml_node *axis_list(struct sc_compile *c, const struct sc_yaml_node *node)
{
    struct sc_slice text = sc_yaml_text(node), name;
    if (node->kind != SC_YAML_SCALAR || !sc_slice_starts(text, "${params.") || text.ptr[text.len - 1] != '}')
        return node;
    name = sc_slice(text.ptr + strlen("${params."), text.len - strlen("${params.") - 1);
    const struct sc_param *param = sc_param_find(c, name);
    return param && param->type == SC_PARAM_LIST && param->value ? param->value : node;
}

static int compare_texts(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

static void refuse_same_values(struct sc_compile *c, const struct sc_yaml_node *node,
                               const struct sc_plan_axis *axis)
{
    struct sc_slice *sorted = sc_calloc(axis->values.count, sizeof *sorted);
    memcpy(sorted, axis->values.items, axis->values.count * sizeof *sorted);
    qsort(sorted, axis->values.count, sizeof *sorted, compare_texts);
    for (uint32_t i = 1; i < axis->values.count; i++)
        if (sc_slice_eq(sorted[i - 1], sorted[i])) {
            SC_WRONG(c, node, NULL,
                     "matrix." SC_SLICE_FMT ": the value \"" SC_SLICE_FMT "\" stands there twice",
                     SC_SLICE_ARG(axis->name), SC_SLICE_ARG(sorted[i]));
            break;
        }
    free(sorted);
}

// False when the key is no name. One that is wrong otherwise is still there for those who name it.
static bool read_axis(struct sc_compile *c, const struct sc_entry *entry, struct sc_plan_axis *axis)
{
    const struct sc_yaml_node *list = axis_list(c, entry->value);
    if (!sc_want_name(c, entry->key, "matrix"))
        return false;
    *axis = (struct sc_plan_axis){.name = sc_yaml_text(entry->key)};
    axis->values.items = SC_NEW(c->arena, struct sc_slice);
    axis->values.count = 1;
    if (!sc_want_list(c, list, "a matrix key", SC_LIMIT_MATRIX_INSTANCES))
        return true;
    if (list->count == 0) {
        SC_WRONG(c, entry->value, NULL, "matrix." SC_SLICE_FMT " has no values", SC_SLICE_ARG(axis->name));
        return true;
    }
    struct sc_slice *items = SC_NEW_ARRAY(c->arena, list->count, struct sc_slice);
    uint32_t n = 0;
    for (const struct sc_yaml_node *item = list->first; item; item = item->next)
        if (!sc_read_filled(c, item, "a matrix value", &items[n++]))
            return true;
    axis->values.items = items;
    axis->values.count = n;
    refuse_same_values(c, entry->value, axis);
    return true;
}

void sc_read_matrix(struct sc_compile *c, struct sc_draft *draft)
{
    struct sc_plan_step *step = draft->step;
    const struct sc_yaml_node *node = draft->matrix.own ? draft->matrix.own : draft->matrix.base;
    const struct sc_entry *entries;
    if (!node)
        return;
    uint32_t count = sc_entries(c, draft->matrix, "matrix", SC_PLAN_LIST_MOST, &entries);
    struct sc_plan_axis *axes = SC_NEW_ARRAY(c->arena, count, struct sc_plan_axis);
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        n += read_axis(c, &entries[i], &axes[n]);
    step->matrix.items = axes;
    step->matrix.count = n;
    uint64_t instances = sc_plan_combinations(step);
    if (instances > SC_LIMIT_MATRIX_INSTANCES) {
        SC_TOO_MUCH(c, node, "matrix: more than %d instances", SC_LIMIT_MATRIX_INSTANCES);
        step->matrix.count = 0;
    } else if (sc_plan_label_bytes(step) > SC_LIMIT_FILENAME_BYTES) {
        SC_TOO_MUCH(c, node,
                    "matrix: the label of an instance is a file's name, and would be longer than %d bytes",
                    SC_LIMIT_FILENAME_BYTES);
    }
}

// ---- inputs: their names; what they are is known when all steps are

static void read_inputs(struct sc_compile *c, struct sc_draft *draft)
{
    const struct sc_entry *entries;
    uint32_t count = sc_entries(c, draft->inputs, "inputs", SC_LIMIT_INPUTS, &entries), n = 0;
    if (count == 0)
        return;
    struct sc_plan_input *inputs = SC_NEW_ARRAY(c->arena, count, struct sc_plan_input);
    draft->references = SC_NEW_ARRAY(&c->scratch, count, const struct sc_yaml_node *);
    for (uint32_t i = 0; i < count; i++) {
        if (!sc_want_name(c, entries[i].key, "inputs"))
            continue;
        inputs[n].name = sc_yaml_text(entries[i].key);
        draft->references[n++] = entries[i].value;
    }
    draft->step->inputs.items = inputs;
    draft->step->inputs.count = n;
}

// ---- outputs

static void read_output(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_output *output)
{
    struct sc_slice path;
    output->path = output->name; // one that is wrong is still there for those who name it
    if (node->kind == SC_YAML_MAP) {
        SC_REFUSE(c, node, "write a path: model.bin, or report/ for a folder",
                  "an output as a mapping is not supported");
        return;
    }
    if (!sc_want_text(c, node, "an output", &path))
        return;
    if (path.len > 1 && memmem(path.ptr, path.len, "${", 2)) {
        SC_WRONG(c, node, "outputs of different instances lie apart already",
                 "an output's path can not hold placeholders");
        return;
    }
    while (sc_slice_starts(path, "./"))
        path = sc_slice_from(path, 2);
    bool dir = path.len > 1 && path.ptr[path.len - 1] == '/';
    path.len -= dir;
    if (!sc_plan_is_path(path)) {
        SC_WRONG(c, node, "write a path relative to out/, without \"..\": model.bin, or report/ for a folder",
                 "\"" SC_SLICE_FMT "\" is not an output's path", SC_SLICE_ARG(sc_yaml_text(node)));
        return;
    }
    output->path = path;
    output->dir = dir;
}

static void read_outputs(struct sc_compile *c, struct sc_draft *draft)
{
    const struct sc_entry *entries;
    struct sc_plan_step *step = draft->step;
    uint32_t count = sc_entries(c, draft->outputs, "outputs", SC_LIMIT_OUTPUTS, &entries), n = 0, first,
             second;
    if (count == 0)
        return;
    struct sc_plan_output *outputs = SC_NEW_ARRAY(c->arena, count, struct sc_plan_output);
    for (uint32_t i = 0; i < count; i++) {
        if (!sc_want_name(c, entries[i].key, "outputs"))
            continue;
        outputs[n].name = sc_yaml_text(entries[i].key);
        read_output(c, entries[i].value, &outputs[n++]);
    }
    step->outputs.items = outputs;
    step->outputs.count = n;
    if (!sc_plan_outputs_clash(outputs, n, &first, &second))
        return;
    const struct sc_yaml_node *at = draft->outputs.own ? draft->outputs.own : draft->outputs.base;
    for (uint32_t i = 0; i < count; i++)
        if (sc_slice_eq(sc_yaml_text(entries[i].key), outputs[second].name))
            at = entries[i].value;
    SC_WRONG(c, at, NULL, "output " SC_SLICE_FMT " is output " SC_SLICE_FMT ", or lies in it",
             SC_SLICE_ARG(outputs[second].name), SC_SLICE_ARG(outputs[first].name));
}

// ---- values: file#pointer

static bool find_file(const struct sc_plan_step *step, struct sc_slice path, uint32_t *ret_output)
{
    for (uint32_t i = 0; i < step->outputs.count; i++)
        if (!step->outputs.items[i].dir && sc_slice_eq(step->outputs.items[i].path, path)) {
            *ret_output = i;
            return true;
        }
    return false;
}

static void report_no_file(struct sc_compile *c, const struct sc_yaml_node *node,
                           const struct sc_plan_step *step, struct sc_slice path)
{
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, path);
    if (sc_hints(c))
        for (uint32_t i = 0; i < step->outputs.count; i++)
            if (!step->outputs.items[i].dir)
                sc_suggest_try(&suggest, step->outputs.items[i].path);
    sc_report_add(
        &c->report, sc_yaml_place(node), SC_DOCUMENT,
        sc_suggest_found(&suggest) ? sc_hint(c, &suggest) : sc_slice_str("declare the file in `outputs`"),
        "\"" SC_SLICE_FMT "\" is not the path of a file among the step's outputs", SC_SLICE_ARG(path));
}

static bool read_value(struct sc_compile *c, const struct sc_yaml_node *node, const struct sc_plan_step *step,
                       struct sc_plan_value *value)
{
    struct sc_slice text;
    if (node->kind == SC_YAML_MAP) {
        SC_REFUSE(c, node, "write metrics.json#/rmse", "a value as a mapping is not supported");
        return false;
    }
    if (!sc_want_text(c, node, "a value", &text))
        return false;
    const uint8_t *hash = text.len ? memchr(text.ptr, '#', text.len) : NULL;
    if (!hash) {
        SC_WRONG(c, node, "write metrics.json#/rmse, or metrics.json# for all of it",
                 "\"" SC_SLICE_FMT "\" is not file#pointer", SC_SLICE_ARG(text));
        return false;
    }
    struct sc_slice path = sc_slice(text.ptr, (size_t)(hash - text.ptr));
    value->pointer = sc_slice_from(text, path.len + 1);
    while (sc_slice_starts(path, "./"))
        path = sc_slice_from(path, 2);
    if (!find_file(step, path, &value->output)) {
        report_no_file(c, node, step, path);
        return false;
    }
    if (!sc_plan_is_pointer(value->pointer) || value->pointer.len > SC_LIMIT_PATH_BYTES) {
        SC_WRONG(c, node, "write #/a/b (RFC 6901); ~0 is ~, ~1 is /",
                 "\"" SC_SLICE_FMT "\" is not a JSON pointer", SC_SLICE_ARG(value->pointer));
        return false;
    }
    return true;
}

static void read_values(struct sc_compile *c, struct sc_draft *draft)
{
    const struct sc_entry *entries;
    struct sc_plan_step *step = draft->step;
    uint32_t count = sc_entries(c, draft->values, "values", SC_LIMIT_OUTPUTS, &entries), n = 0;
    if (count == 0)
        return;
    struct sc_plan_value *values = SC_NEW_ARRAY(c->arena, count, struct sc_plan_value);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_yaml_node *key = entries[i].key;
        if (!sc_want_name(c, key, "values"))
            continue;
        values[n].name = sc_yaml_text(key);
        uint32_t outputs = step->outputs.count;
        if (sc_plan_search(step->outputs.items, outputs, sizeof(struct sc_plan_output), values[n].name) <
            outputs)
            SC_WRONG(c, key, "inputs name either by step.name: give them different names",
                     "value " SC_SLICE_FMT " has the name of an output", SC_SLICE_ARG(values[n].name));
        read_value(c, entries[i].value, step, &values[n]);
        n++; // one that is wrong is still there for those who name it
    }
    step->values.items = values;
    step->values.count = n;
}

void sc_read_ports(struct sc_compile *c, struct sc_draft *draft)
{
    read_inputs(c, draft);
    read_outputs(c, draft);
    read_values(c, draft);
}

// ---- code

static bool is_pattern(struct sc_slice s)
{
    if (s.len > 0 && s.ptr[0] == '!')
        s = sc_slice_from(s, 1);
    while (sc_slice_starts(s, "./"))
        s = sc_slice_from(s, 2);
    if (s.len > 0 && s.ptr[s.len - 1] == '/')
        s.len--;
    return s.len == 0 || sc_slice_eq_str(s, ".") || sc_plan_is_path(s);
}

void sc_read_code(struct sc_compile *c, struct sc_draft *draft)
{
    const struct sc_yaml_node *node = draft->code;
    if (!node || !sc_want_list(c, node, "code", SC_PLAN_LIST_MOST))
        return;
    struct sc_slice *items = SC_NEW_ARRAY(c->arena, node->count, struct sc_slice);
    uint32_t n = 0;
    for (const struct sc_yaml_node *item = node->first; item; item = item->next) {
        struct sc_slice text;
        if (!sc_want_text(c, item, "code", &text))
            continue;
        uint32_t parts = 1;
        for (size_t i = 0; i < text.len; i++)
            parts += text.ptr[i] == '/';
        if (text.len == 0 || sc_slice_eq_str(text, "!") || !is_pattern(text))
            SC_WRONG(c, item, "name files, folders/ and globs beside the document, without \"..\"",
                     "code: \"" SC_SLICE_FMT "\" is not a relative path or pattern", SC_SLICE_ARG(text));
        else if (parts > SC_PLAN_PATTERN_PARTS_MOST)
            SC_TOO_MUCH(c, item, "code: a pattern of %u parts is more than %d", parts,
                        SC_PLAN_PATTERN_PARTS_MOST);
        else
            items[n++] = text;
    }
    if (n > 0 && items[0].ptr[0] == '!')
        SC_WRONG(c, node->first, "name first what is code",
                 "code: there is nothing yet that \"!\" could leave out");
    if (n == 0)
        return;
    sc_text_list *patterns = SC_NEW(c->arena, sc_text_list);
    patterns->items = items;
    patterns->count = n;
    draft->step->code_patterns = patterns;
}
