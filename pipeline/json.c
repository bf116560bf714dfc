// A YAML value as JSON (RFC 8259), compact, keys sorted by bytes: one value, one text.
#include "pipeline/compile.h"

#include "base/memory.h"

static void put_string(struct sc_slice text, struct sc_buf *out)
{
    sc_buf_add_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '"' || c == '\\') {
            sc_buf_add_byte(out, '\\');
            sc_buf_add_byte(out, c);
        } else if (c == '\n') {
            sc_buf_add_str(out, "\\n");
        } else if (c == '\t') {
            sc_buf_add_str(out, "\\t");
        } else if (c == '\r') {
            sc_buf_add_str(out, "\\r");
        } else if (c < 0x20) {
            sc_buf_printf(out, "\\u%04x", c);
        } else {
            sc_buf_add_byte(out, c);
        }
    }
    sc_buf_add_byte(out, '"');
}

// YAML allows +1, 01, .5 and 1. where JSON does not.
static void put_number(struct sc_slice text, struct sc_buf *out)
{
    size_t at = 0;
    if (text.ptr[0] == '-')
        sc_buf_add_byte(out, '-');
    if (text.ptr[0] == '-' || text.ptr[0] == '+')
        at++;
    while (at + 1 < text.len && text.ptr[at] == '0' && text.ptr[at + 1] >= '0' && text.ptr[at + 1] <= '9')
        at++;
    if (text.ptr[at] == '.')
        sc_buf_add_byte(out, '0');
    for (; at < text.len; at++) {
        sc_buf_add_byte(out, text.ptr[at]);
        if (text.ptr[at] == '.' && (at + 1 == text.len || text.ptr[at + 1] < '0' || text.ptr[at + 1] > '9'))
            sc_buf_add_byte(out, '0');
    }
}

// Numbers of YAML's core schema (10.3.2) that JSON cannot write.
static bool has_no_json(const struct sc_yaml_node *node)
{
    static const char *const texts[] = {".inf",  "-.inf", "+.inf", ".nan",  ".Inf",  "-.Inf",
                                        "+.Inf", ".NaN",  ".INF",  "-.INF", "+.INF", ".NAN"};
    struct sc_slice text = sc_yaml_text(node);
    if (!node->plain)
        return false;
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        if (sc_slice_eq_str(text, texts[i]))
            return true;
    return sc_slice_starts(text, "0x") || sc_slice_starts(text, "0o");
}

static bool put_scalar(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_buf *out)
{
    bool value;
    if (sc_yaml_is_null(node)) {
        sc_buf_add_str(out, "null");
    } else if (sc_yaml_bool(node, &value)) {
        sc_buf_add_str(out, value ? "true" : "false");
    } else if (sc_yaml_is_number(node)) {
        put_number(sc_yaml_text(node), out);
    } else if (has_no_json(node)) {
        SC_WRONG(c, node, "write a decimal number, or quote it",
                 "\"" SC_SLICE_FMT "\" cannot be written as JSON", SC_SLICE_ARG(sc_yaml_text(node)));
        return false;
    } else {
        put_string(sc_yaml_text(node), out);
    }
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    return sc_slice_cmp(sc_yaml_text(*(const struct sc_yaml_node *const *)a),
                        sc_yaml_text(*(const struct sc_yaml_node *const *)b));
}

static bool put_map(struct sc_compile *c, const struct sc_yaml_node *map, struct sc_buf *out)
{
    SC_AUTO_FREE const struct sc_yaml_node **keys = sc_calloc(map->count, sizeof(struct sc_yaml_node *));
    uint32_t n = 0;
    for (const struct sc_yaml_node *key = map->first; key; key = key->next->next)
        keys[n++] = key;
    qsort(keys, n, sizeof(struct sc_yaml_node *), compare_keys);
    sc_buf_add_byte(out, '{');
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            sc_buf_add_byte(out, ',');
        put_string(sc_yaml_text(keys[i]), out);
        sc_buf_add_byte(out, ':');
        if (!sc_json_of(c, keys[i]->next, out))
            return false;
    }
    sc_buf_add_byte(out, '}');
    return true;
}

bool sc_json_of(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_buf *out)
{
    if (out->overflow)
        return true; // the caller says so
    switch ((enum sc_yaml_kind)node->kind) {
    case SC_YAML_SCALAR:
        return put_scalar(c, node, out);
    case SC_YAML_MAP:
        return put_map(c, node, out);
    case SC_YAML_LIST:
        break;
    }
    sc_buf_add_byte(out, '[');
    for (const struct sc_yaml_node *item = node->first; item; item = item->next) {
        if (item != node->first)
            sc_buf_add_byte(out, ',');
        if (!sc_json_of(c, item, out))
            return false;
    }
    sc_buf_add_byte(out, ']');
    return true;
}
