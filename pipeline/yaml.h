// YAML 1.2 read into a small tree with places. One document; aliases share what their anchor holds, within a bound;
// tags, merge keys, directives, duplicate keys and keys that are not texts are refused. libfyaml's event mode does the
// scanning; its document mode takes time quadratic in the number of keys.
#pragma once

#include "pipeline/diagnostics.h"

enum sc_yaml_kind { SC_YAML_SCALAR, SC_YAML_LIST, SC_YAML_MAP };

// 32 bytes: a document of 100,000 steps has two million of them.
struct sc_yaml_node {
    union {
        const uint8_t
            *text; // of a scalar: in the document's text where it stands there as it is, else in `texts`
        struct sc_yaml_node *first; // of a list or map: the first item, or the first key
    };
    struct sc_yaml_node *next; // the next item; in a map: key, value, key, value, …
    uint32_t count;            // bytes, items or pairs
    uint32_t line, column;     // of its first character, from 1
    uint8_t kind;              // enum sc_yaml_kind
    bool plain;                // a scalar without quotes: it may be a number, a boolean or null
    bool alias;                // what it holds stands elsewhere
};

static inline struct sc_slice sc_yaml_text(const struct sc_yaml_node *node)
{
    return sc_slice(node->text, node->count);
}
static inline struct sc_place sc_yaml_place(const struct sc_yaml_node *node)
{
    return (struct sc_place){node->line, node->column};
}

// The types that the core schema gives to plain scalars (YAML 1.2.2, 10.3.2).
bool sc_yaml_is_null(const struct sc_yaml_node *node);
bool sc_yaml_bool(const struct sc_yaml_node *node, bool *ret_value); // false: not a boolean
bool sc_yaml_is_integer(const struct sc_yaml_node *node);            // decimal, with or without a sign
bool sc_yaml_is_number(const struct sc_yaml_node *node);             // integers too; not .inf and .nan

// Reads one document. Nodes lie in `nodes`, texts that had to be made in `texts`; the others borrow from `text`.
// False when something was reported; the tree is then incomplete or NULL.
bool sc_yaml_read(struct sc_slice text, struct sc_arena *nodes, struct sc_arena *texts,
                  struct sc_report *report, struct sc_yaml_node **ret_root);
