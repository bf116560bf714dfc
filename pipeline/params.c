#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

static const char *const type_names[] = {"a string",      "an integer", "a number",
                                         "true or false", "a list",     "a mapping"};

static enum sc_param_type type_of(const struct sc_yaml_node *node)
{
    bool value;
    if (node->kind == SC_YAML_LIST)
        return SC_PARAM_LIST;
    if (node->kind == SC_YAML_MAP)
        return SC_PARAM_MAP;
    if (sc_yaml_bool(node, &value))
        return SC_PARAM_BOOLEAN;
    if (sc_yaml_is_integer(node))
        return SC_PARAM_INTEGER;
    return sc_yaml_is_number(node) ? SC_PARAM_NUMBER : SC_PARAM_STRING;
}

const struct sc_param *sc_param_find(const struct sc_compile *c, struct sc_slice name)
{
    struct sc_param *param;
    HASH_FIND(hh, c->params, name.ptr, name.len, param);
    return param;
}

// The text that stands for a value: a scalar as written, a list or a map as JSON.
static bool text_of(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_place place,
                    struct sc_slice *ret_text)
{
    if (node->kind == SC_YAML_SCALAR) {
        if (node->count > SC_LIMIT_VALUE_BYTES) {
            SC_REPORT(&c->report, place, SC_LIMIT, NULL, "a value of %u bytes is more than %u", node->count,
                      SC_LIMIT_VALUE_BYTES);
            return false;
        }
        *ret_text = sc_yaml_text(node);
        return true;
    }
    SC_AUTO_BUF struct sc_buf json;
    sc_buf_init(&json, SC_LIMIT_VALUE_BYTES);
    if (!sc_json_of(c, node, &json))
        return false;
    if (json.overflow) {
        SC_REPORT(&c->report, place, SC_LIMIT, NULL, "a value's JSON is more than %u bytes",
                  SC_LIMIT_VALUE_BYTES);
        return false;
    }
    *ret_text = sc_arena_copy(c->arena, sc_buf_slice(&json));
    return true;
}

static void add_param(struct sc_compile *c, const struct sc_yaml_node *key)
{
    const struct sc_yaml_node *value = key->next;
    if (!sc_want_name(c, key, "params"))
        return;
    struct sc_param *param = SC_NEW(&c->scratch, struct sc_param);
    param->name = sc_yaml_text(key);
    param->value = value;
    param->type = type_of(value);
    if (sc_yaml_is_null(value)) {
        SC_WRONG(c, key, "a default gives the parameter its type; write \"\" for an empty text",
                 "parameter " SC_SLICE_FMT " has no default", SC_SLICE_ARG(param->name));
        param->broken = true;
    } else {
        param->broken = !text_of(c, value, sc_yaml_place(value), &param->text);
    }
    HASH_ADD_KEYPTR(hh, c->params, param->name.ptr, param->name.len, param);
}

static void wrong_override(struct sc_compile *c, const struct sc_param *param, const char *why)
{
    SC_REPORT(&c->report, (struct sc_place){0}, SC_DOCUMENT, NULL,
              "-p " SC_SLICE_FMT ": %s: its default makes it %s", SC_SLICE_ARG(param->name), why,
              type_names[param->type]);
}

// A list or map is read as YAML flow, of which JSON is a part.
static void override_tree(struct sc_compile *c, struct sc_param *param, struct sc_slice text)
{
    struct sc_diagnostics ignored = {0};
    struct sc_report report = {&ignored, &c->scratch};
    struct sc_yaml_node *root = NULL;
    if (!sc_yaml_read(text, &c->scratch, c->arena, &report, &root) || type_of(root) != param->type) {
        wrong_override(c, param, "not of its type");
        return;
    }
    param->value = root;
    param->broken = !text_of(c, root, (struct sc_place){0}, &param->text);
}

static void override(struct sc_compile *c, struct sc_param *param, struct sc_slice text)
{
    struct sc_yaml_node plain = {
        .text = text.ptr, .count = (uint32_t)text.len, .kind = SC_YAML_SCALAR, .plain = true};
    bool value, good = true;
    if (text.len > SC_LIMIT_VALUE_BYTES || !sc_slice_is_utf8(text) ||
        (text.len && memchr(text.ptr, 0, text.len))) {
        wrong_override(c, param, "too long, not UTF-8, or NUL in it");
        return;
    }
    switch (param->type) {
    case SC_PARAM_STRING:
        break;
    case SC_PARAM_INTEGER:
        good = sc_yaml_is_integer(&plain);
        break;
    case SC_PARAM_NUMBER:
        good = sc_yaml_is_number(&plain);
        break;
    case SC_PARAM_BOOLEAN:
        good = sc_yaml_bool(&plain, &value);
        break;
    case SC_PARAM_LIST:
    case SC_PARAM_MAP:
        override_tree(c, param, text);
        return;
    }
    if (!good) {
        wrong_override(c, param, "not of its type");
        return;
    }
    param->text = sc_arena_copy(c->arena, text);
    param->value = NULL;
    param->broken = false;
}

static int compare_labels(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct sc_plan_label *)a)->name, ((const struct sc_plan_label *)b)->name);
}

void sc_read_params(struct sc_compile *c, const struct sc_yaml_node *node,
                    const struct sc_param_override *overrides, uint32_t override_count)
{
    if (node && sc_want_map(c, node, "params")) {
        if (node->count > SC_PLAN_PARAMS_MOST) {
            SC_TOO_MUCH(c, node, "params: %u are more than %d", node->count, SC_PLAN_PARAMS_MOST);
            return;
        }
        for (const struct sc_yaml_node *key = node->first; key; key = key->next->next)
            add_param(c, key);
    }
    struct sc_param *param, *next;
    for (uint32_t i = 0; i < override_count; i++) {
        HASH_FIND(hh, c->params, overrides[i].name.ptr, overrides[i].name.len, param);
        if (param) {
            override(c, param, overrides[i].value);
            continue;
        }
        struct sc_suggest suggest;
        sc_suggest_begin(&suggest, overrides[i].name);
        HASH_ITER (hh, c->params, param, next)
            sc_suggest_try(&suggest, param->name);
        sc_report_add(&c->report, (struct sc_place){0}, SC_DOCUMENT, sc_hint(c, &suggest),
                      "-p " SC_SLICE_FMT ": the document has no such parameter",
                      SC_SLICE_ARG(overrides[i].name));
    }
    uint32_t count = HASH_COUNT(c->params), at = 0;
    c->plan->params.items = SC_NEW_ARRAY(c->arena, count, struct sc_plan_label);
    c->plan->params.count = count;
    HASH_ITER (hh, c->params, param, next)
        c->plan->params.items[at++] = (struct sc_plan_label){param->name, param->text};
    qsort(c->plan->params.items, count, sizeof(struct sc_plan_label), compare_labels);
}

static struct sc_slice part_of(struct sc_slice path)
{
    const uint8_t *dot = path.len ? memchr(path.ptr, '.', path.len) : NULL;
    return dot ? sc_slice(path.ptr, (size_t)(dot - path.ptr)) : path;
}

static const struct sc_yaml_node *child(const struct sc_yaml_node *map, struct sc_slice name,
                                        struct sc_suggest *suggest)
{
    if (map->kind != SC_YAML_MAP)
        return NULL;
    for (const struct sc_yaml_node *key = map->first; key; key = key->next->next) {
        if (sc_slice_eq(sc_yaml_text(key), name))
            return key->next;
        if (suggest)
            sc_suggest_try(suggest, sc_yaml_text(key));
    }
    return NULL;
}

static void report_unknown(struct sc_compile *c, struct sc_slice path, struct sc_place place)
{
    struct sc_suggest suggest;
    struct sc_param *param, *next;
    sc_suggest_begin(&suggest, part_of(path));
    if (sc_hints(c))
        HASH_ITER (hh, c->params, param, next)
            sc_suggest_try(&suggest, param->name);
    sc_report_add(&c->report, place, SC_DOCUMENT, sc_hint(c, &suggest),
                  "there is no parameter \"" SC_SLICE_FMT "\"", SC_SLICE_ARG(part_of(path)));
}

bool sc_param_text(struct sc_compile *c, struct sc_slice path, const struct sc_place *place,
                   struct sc_slice *ret_text)
{
    struct sc_slice rest = path, part = part_of(path);
    const struct sc_param *param = sc_param_find(c, part);
    if (!param) {
        if (place)
            report_unknown(c, path, *place);
        return false;
    }
    if (param->broken)
        return false;
    if (part.len == path.len) {
        *ret_text = param->text;
        return true;
    }
    const struct sc_yaml_node *node = param->value;
    struct sc_suggest suggest = {0};
    while (node && part.len < rest.len) {
        rest = sc_slice_from(rest, part.len + 1);
        part = part_of(rest);
        sc_suggest_begin(&suggest, part);
        node = child(node, part, place ? &suggest : NULL);
    }
    if (node && !sc_yaml_is_null(node))
        return text_of(c, node, sc_yaml_place(node), ret_text);
    if (place)
        sc_report_add(&c->report, *place, SC_DOCUMENT, node ? sc_slice(NULL, 0) : sc_hint(c, &suggest),
                      "parameter " SC_SLICE_FMT " has no \"" SC_SLICE_FMT "\"", SC_SLICE_ARG(param->name),
                      SC_SLICE_ARG(sc_slice_from(path, param->name.len + 1)));
    return false;
}
