#include "pipeline/compile.h"

#include "pipeline/duration.h"

#include "base/limits.h"
#include "base/memory.h"

static const char *kind_name(const struct sc_yaml_node *node)
{
    switch ((enum sc_yaml_kind)node->kind) {
    case SC_YAML_SCALAR:
        return sc_yaml_is_null(node) ? "nothing" : "a single value";
    case SC_YAML_LIST:
        return "a list";
    case SC_YAML_MAP:
        return "a mapping";
    }
    return "";
}

bool sc_want_map(struct sc_compile *c, const struct sc_yaml_node *node, const char *what)
{
    if (node->kind == SC_YAML_MAP)
        return true;
    SC_WRONG(c, node, NULL, "%s must be a mapping, not %s", what, kind_name(node));
    return false;
}

bool sc_want_list(struct sc_compile *c, const struct sc_yaml_node *node, const char *what, uint32_t most)
{
    if (node->kind != SC_YAML_LIST) {
        SC_WRONG(c, node, "write [ … ]", "%s must be a list, not %s", what, kind_name(node));
        return false;
    }
    if (node->count > most) {
        SC_TOO_MUCH(c, node, "%s: %u entries are more than %u", what, node->count, most);
        return false;
    }
    return true;
}

bool sc_want_text(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                  struct sc_slice *ret_text)
{
    if (node->kind != SC_YAML_SCALAR || sc_yaml_is_null(node)) {
        SC_WRONG(c, node, sc_yaml_is_null(node) ? "quote it if the text is meant" : NULL,
                 "%s must be a text, not %s", what, kind_name(node));
        return false;
    }
    if (node->count > SC_LIMIT_VALUE_BYTES) {
        SC_TOO_MUCH(c, node, "%s: a text of %u bytes is more than %u", what, node->count,
                    SC_LIMIT_VALUE_BYTES);
        return false;
    }
    *ret_text = sc_yaml_text(node);
    return true;
}

// What stands there, for a message that says what should.
static struct sc_slice shown(const struct sc_yaml_node *node)
{
    return node->kind == SC_YAML_SCALAR && !sc_yaml_is_null(node) ? sc_yaml_text(node)
                                                                  : sc_slice_str(kind_name(node));
}

bool sc_want_bool(struct sc_compile *c, const struct sc_yaml_node *node, const char *what, bool *ret_value)
{
    if (sc_yaml_bool(node, ret_value))
        return true;
    SC_WRONG(c, node, "write true or false, without quotes", "%s must be true or false, not " SC_SLICE_FMT,
             what, SC_SLICE_ARG(shown(node)));
    return false;
}

bool sc_want_uint(struct sc_compile *c, const struct sc_yaml_node *node, const char *what, uint32_t least,
                  uint32_t most, uint32_t *ret_value)
{
    struct sc_slice text = shown(node);
    uint64_t value = 0;
    bool whole = sc_yaml_is_integer(node) && text.ptr[0] != '-' && text.ptr[0] != '+';
    for (size_t i = 0; whole && i < text.len && value <= most; i++)
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    if (!whole || value < least || value > most) {
        SC_REPORT(&c->report, sc_yaml_place(node), whole && value > most ? SC_LIMIT : SC_DOCUMENT, NULL,
                  "%s must be a whole number from %u to %u, not " SC_SLICE_FMT, what, least, most,
                  SC_SLICE_ARG(text));
        return false;
    }
    *ret_value = (uint32_t)value;
    return true;
}

bool sc_want_duration(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                      int64_t *ret_ms)
{
    struct sc_slice text;
    if (!sc_want_text(c, node, what, &text))
        return false;
    switch (sc_duration_parse(text, ret_ms)) {
    case SC_DURATION_OK:
        return true;
    case SC_DURATION_MALFORMED:
        SC_WRONG(c, node, "write PT30S, PT10M, PT2H, P30D or P1W (ISO 8601)",
                 "%s: \"" SC_SLICE_FMT "\" is not a duration", what, SC_SLICE_ARG(text));
        return false;
    case SC_DURATION_CALENDAR:
        SC_WRONG(c, node, "write days or weeks: P30D, P52W",
                 "%s: \"" SC_SLICE_FMT "\": months and years have no fixed length", what, SC_SLICE_ARG(text));
        return false;
    case SC_DURATION_TOO_LONG:
        SC_TOO_MUCH(c, node, "%s: \"" SC_SLICE_FMT "\" is more than a hundred years", what,
                    SC_SLICE_ARG(text));
        return false;
    }
    return false;
}

bool sc_want_choice(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                    const char *const *names, uint32_t count, uint32_t *ret_index)
{
    struct sc_slice text;
    struct sc_suggest suggest;
    if (!sc_want_text(c, node, what, &text))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (sc_slice_eq_str(text, names[i])) {
            *ret_index = i;
            return true;
        }
    sc_suggest_begin(&suggest, text);
    for (uint32_t i = 0, wanted = sc_hints(c) ? count : 0; i < wanted; i++)
        sc_suggest_try(&suggest, sc_slice_str(names[i]));
    SC_AUTO_BUF struct sc_buf all = {0};
    for (uint32_t i = 0; i < count; i++)
        sc_buf_printf(&all, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", names[i]);
    sc_report_add(&c->report, sc_yaml_place(node), SC_DOCUMENT, sc_hint(c, &suggest),
                  "%s must be %s, not \"" SC_SLICE_FMT "\"", what, sc_buf_cstr(&all), SC_SLICE_ARG(text));
    return false;
}

bool sc_want_name(struct sc_compile *c, const struct sc_yaml_node *node, const char *what)
{
    struct sc_slice name = sc_yaml_text(node);
    if (sc_plan_is_name(name))
        return true;
    if (name.len > SC_LIMIT_NAME_BYTES)
        SC_TOO_MUCH(c, node, "%s: a name of %zu bytes is more than %d", what, name.len, SC_LIMIT_NAME_BYTES);
    else
        SC_WRONG(c, node, "letters, digits, _ and -, not beginning with -",
                 "%s: \"" SC_SLICE_FMT "\" is not a name", what, SC_SLICE_ARG(name));
    return false;
}

struct sc_slice sc_hint(struct sc_compile *c, const struct sc_suggest *suggest)
{
    if (!sc_suggest_found(suggest))
        return sc_slice(NULL, 0);
    return sc_arena_printf(&c->scratch, "did you mean `" SC_SLICE_FMT "`?", SC_SLICE_ARG(suggest->best));
}

bool sc_hints(struct sc_compile *c)
{
    return c->hints_left-- > 0;
}

int sc_want_key(struct sc_compile *c, const struct sc_yaml_node *key, const struct sc_rule *rules,
                uint32_t count, const char *where)
{
    struct sc_slice name = sc_yaml_text(key);
    struct sc_suggest suggest;
    for (uint32_t i = 0; i < count; i++) {
        if (!sc_slice_eq_str(name, rules[i].name))
            continue;
        if (!rules[i].refused)
            return (int)i;
        SC_REFUSE(c, key, rules[i].refused, "`%s` is not supported yet", rules[i].name);
        return -1;
    }
    sc_suggest_begin(&suggest, name);
    for (uint32_t i = 0, wanted = sc_hints(c) ? count : 0; i < wanted; i++)
        sc_suggest_try(&suggest, sc_slice_str(rules[i].name));
    sc_report_add(&c->report, sc_yaml_place(key), SC_DOCUMENT, sc_hint(c, &suggest),
                  "unknown key \"" SC_SLICE_FMT "\" in %s", SC_SLICE_ARG(name), where);
    return -1;
}

static void add_entry(struct sc_compile *c, uint32_t *count, struct sc_entry entry)
{
    if (*count == c->entry_capacity) {
        c->entry_capacity = c->entry_capacity ? c->entry_capacity * 2 : 64;
        c->entries = sc_realloc(c->entries, c->entry_capacity, sizeof *c->entries);
    }
    c->entries[(*count)++] = entry;
}

static int compare_entries(const void *left, const void *right)
{
    const struct sc_entry *a = left, *b = right;
    int order = sc_slice_cmp(sc_yaml_text(a->key), sc_yaml_text(b->key));
    return order ? order : (int)a->base - (int)b->base;
}

uint32_t sc_entries(struct sc_compile *c, struct sc_maps maps, const char *what, uint32_t most,
                    const struct sc_entry **ret_entries)
{
    const struct sc_yaml_node *both[2] = {maps.own, maps.base};
    uint32_t count = 0;
    bool sorted = true;
    for (int k = 0; k < 2; k++) {
        if (!both[k] || !sc_want_map(c, both[k], what))
            continue;
        for (const struct sc_yaml_node *key = both[k]->first; key; key = key->next->next) {
            add_entry(c, &count, (struct sc_entry){key, key->next, k == 1});
            sorted =
                sorted && (count == 1 || compare_entries(&c->entries[count - 2], &c->entries[count - 1]) < 0);
        }
    }
    *ret_entries = c->entries;
    if (!sorted)
        qsort(c->entries, count, sizeof *c->entries, compare_entries);
    if (both[0] && both[1]) { // the step wins
        uint32_t kept = 0;
        for (uint32_t i = 0; i < count; i++)
            if (kept == 0 ||
                !sc_slice_eq(sc_yaml_text(c->entries[kept - 1].key), sc_yaml_text(c->entries[i].key)))
                c->entries[kept++] = c->entries[i];
        count = kept;
    }
    if (count > most) {
        SC_TOO_MUCH(c, maps.own ? maps.own : maps.base, "%s: %u are more than %u", what, count, most);
        return 0;
    }
    return count;
}
