// What the files of the document's compiler share. One compile is one struct sc_compile on the stack of
// sc_document_compile; nothing else sees it.
#pragma once

#include "pipeline/names.h"
#include "pipeline/plan_check.h"
#include "pipeline/suggest.h"
#include "pipeline/yaml.h"

#include <uthash.h>

// A key of the language: where `refused` is set, it is in the language and not built yet, and the text says what to do.
struct sc_rule {
    const char *name;
    const char *refused;
};

enum sc_param_type {
    SC_PARAM_STRING,
    SC_PARAM_INTEGER,
    SC_PARAM_NUMBER,
    SC_PARAM_BOOLEAN,
    SC_PARAM_LIST,
    SC_PARAM_MAP,
};

struct sc_param {
    struct sc_slice name;
    enum sc_param_type type;
    struct sc_slice text;             // what ${params.<name>} becomes; JSON for lists and maps
    const struct sc_yaml_node *value; // NULL: overridden by a scalar
    bool broken;                      // reported already
    UT_hash_handle hh;
};

// A mapping of a step: its own and the one from `defaults`, either may be NULL.
struct sc_maps {
    const struct sc_yaml_node *own, *base;
};

struct sc_entry {
    const struct sc_yaml_node *key, *value;
    bool base; // from `defaults`
};

// What a step is while it is read: the plan's step, and what can only be understood when all steps are known.
struct sc_draft {
    struct sc_plan_step *step;
    struct sc_place place;
    struct sc_maps inputs, outputs, values, env, matrix;
    const struct sc_yaml_node *run, *command, *code, *after, *ignore;
    bool ignore_base;
    bool retry;                             // a retry mapping was given
    const struct sc_yaml_node **references; // of step->inputs, in their order
};

// What is left of a draft until all steps are known.
struct sc_wiring {
    const struct sc_yaml_node **references;
    const struct sc_yaml_node *after;
};

struct sc_compile {
    struct sc_slice text;
    struct sc_arena *arena;  // the plan's
    struct sc_arena scratch; // gone with the compile
    struct sc_report report;
    struct sc_plan *plan;
    struct sc_param *params;
    struct sc_names steps, sources; // their indexes
    struct sc_wiring *wirings;      // of plan->steps, in the document's order
    struct sc_draft base;           // what `environment` and `defaults` say
    struct sc_plan_step base_step;
    struct sc_entry *entries; // one list of entries at a time
    uint32_t entry_capacity;
    struct sc_segment *segments; // of the word that is read
    uint32_t segment_count, segment_capacity;
    struct sc_plan_label *uses; // of the step that is read
    uint32_t use_count, use_capacity;
    uint64_t made_bytes; // texts that filling in has made
    int hints_left;      // looking for near names among 100,000 is for the first mistakes only
};

#define SC_WRONG(c, node, hint, ...)                                                                         \
    SC_REPORT(&(c)->report, sc_yaml_place(node), SC_DOCUMENT, hint, __VA_ARGS__)
#define SC_TOO_MUCH(c, node, ...) SC_REPORT(&(c)->report, sc_yaml_place(node), SC_LIMIT, NULL, __VA_ARGS__)
#define SC_REFUSE(c, node, hint, ...)                                                                        \
    SC_REPORT(&(c)->report, sc_yaml_place(node), SC_UNSUPPORTED, hint, __VA_ARGS__)

// reading.c: nodes as what they must be. `what` names the thing in messages: "cache.enabled". False: it was reported.
bool sc_want_map(struct sc_compile *c, const struct sc_yaml_node *node, const char *what);
bool sc_want_list(struct sc_compile *c, const struct sc_yaml_node *node, const char *what, uint32_t most);
bool sc_want_text(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                  struct sc_slice *ret_text);
bool sc_want_bool(struct sc_compile *c, const struct sc_yaml_node *node, const char *what, bool *ret_value);
bool sc_want_uint(struct sc_compile *c, const struct sc_yaml_node *node, const char *what, uint32_t least,
                  uint32_t most, uint32_t *ret_value);
bool sc_want_duration(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                      int64_t *ret_ms);
// One of the names; the index of it.
bool sc_want_choice(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                    const char *const *names, uint32_t count, uint32_t *ret_index);
bool sc_want_name(struct sc_compile *c, const struct sc_yaml_node *node, const char *what);
// The index of a mapping's key in the rules, or -1 after a report.
int sc_want_key(struct sc_compile *c, const struct sc_yaml_node *key, const struct sc_rule *rules,
                uint32_t count, const char *where);
// The entries of both mappings, sorted by name, a step's own before a default's; until the next call. Fewer than there
// are when it was reported.
uint32_t sc_entries(struct sc_compile *c, struct sc_maps maps, const char *what, uint32_t most,
                    const struct sc_entry **ret_entries);
// "did you mean `x`?", or nothing.
struct sc_slice sc_hint(struct sc_compile *c, const struct sc_suggest *suggest);
// Whether a hint is still to be looked for.
bool sc_hints(struct sc_compile *c);

// params.c
void sc_read_params(struct sc_compile *c, const struct sc_yaml_node *node,
                    const struct sc_param_override *overrides, uint32_t override_count);
// The text of `params.<path>`, path without the prefix. False when there is none, which is reported where a place is given.
bool sc_param_text(struct sc_compile *c, struct sc_slice path, const struct sc_place *place,
                   struct sc_slice *ret_text);
const struct sc_param *sc_param_find(const struct sc_compile *c, struct sc_slice name);

// json.c: YAML as compact JSON, keys sorted by bytes. False after a report.
bool sc_json_of(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_buf *out);

// placeholder.c
enum sc_word_kind {
    SC_WORD_SCRIPT,   // `run`
    SC_WORD_ARGUMENT, // of `command`
    SC_WORD_ENV,
    SC_WORD_PLAIN, // parameters only: sources, matrix values
};
// Reads a text with placeholders; false after a report.
bool sc_read_word(struct sc_compile *c, const struct sc_plan_step *step, enum sc_word_kind kind,
                  const struct sc_yaml_node *node, const char *what, struct sc_word *ret_word);
// A text in which only parameters may stand, filled in.
bool sc_read_filled(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                    struct sc_slice *ret_text);

// sources.c
void sc_read_sources(struct sc_compile *c, const struct sc_yaml_node *node);

// step.c, settings.c, command.c, ports.c: a step's keys; its settings; what it runs; what it takes and makes
void sc_read_defaults(struct sc_compile *c, const struct sc_yaml_node *environment,
                      const struct sc_yaml_node *defaults);
void sc_read_steps(struct sc_compile *c, const struct sc_yaml_node *node);
void sc_read_environment(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step);
void sc_read_cache(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step);
void sc_read_resources(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step);
void sc_read_retry(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step);
void sc_read_key(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_draft *draft, bool base);
void sc_read_ignored(struct sc_compile *c, struct sc_draft *draft);
void sc_read_matrix(struct sc_compile *c, struct sc_draft *draft);
void sc_read_ports(struct sc_compile *c, struct sc_draft *draft); // inputs' names, outputs, values
void sc_read_code(struct sc_compile *c, struct sc_draft *draft);
void sc_read_command(struct sc_compile *c, struct sc_draft *draft); // and env

// wire.c: what steps say of each other
void sc_wire_steps(struct sc_compile *c);
void sc_wire_outputs(struct sc_compile *c, const struct sc_yaml_node *node);

// order.c: steps into topological order, the document's where it is one; a circle is reported
void sc_order_steps(struct sc_compile *c);
