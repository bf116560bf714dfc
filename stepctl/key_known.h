// What is known of a document's keys after a run of verdicts (`plan`): each step's key where it was told, and, by the
// results that are cached, what inputs are. From that a key is built as the coordinator builds it.
#pragma once

#include "stepctl/look.h"
#include "stepctl/model.h"

struct sc_known {
    struct sc_look *look;
    const struct sc_plan *plan;
    struct sc_model model; // finds steps by name; `keys` has the same indexes
    struct sc_digest *keys;
    uint32_t key_capacity;
    struct sc_digest earlier; // key of an earlier result of the step: shows the environment; zero for none
    struct sc_arena arena;
};

void sc_known_init(struct sc_known *known, struct sc_look *look, const struct sc_plan *plan);
void sc_known_done(struct sc_known *known);
void sc_known_take(void *known, const struct sc_event_body *event); // of a dry run
// The record of a step that would hit.
bool sc_known_record(struct sc_known *known, struct sc_slice step, struct sc_record *ret_record);

struct sc_known_missing {
    struct sc_slice inputs; // "input.a, input.b": not known before their producers have run
    bool environment;       // no earlier result shows what the agent would tell
};
// Builds the key's encoding, with what is missing left empty; the key is whole when nothing is missing. When the
// coordinator told the key, it is proven to be that one.
struct sc_known_missing sc_known_build(struct sc_known *known, uint32_t step, uint32_t instance,
                                       struct sc_key *key);
bool sc_known_is_missing(const struct sc_known_missing *missing, struct sc_slice label);
