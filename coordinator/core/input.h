// A step's inputs, seen by the key and by the agent.
#pragma once

#include "coordinator/core/state.h"

void input_key_inputs(struct sc_core *core, const struct step *step, struct sc_arena *arena,
                      struct sc_key_input *ret_inputs);
void input_assign(struct sc_core *core, const struct step *step, struct sc_arena *arena,
                  struct sc_assignment *ret_assignment);
void input_records_from(const struct step *step, struct sc_arena *arena, struct sc_record_from **ret_from,
                        uint32_t *ret_count);
struct input_artifact {
    const struct sc_artifact *artifact;
    struct step *maker; // NULL: a source, or the code
    bool code;
    uint32_t source; // which, in the plan
};
// The step's code, where it has any, and the artifacts of all inputs, one by one, those of a fan-in by instance. The array
// lies in the arena.
uint32_t input_artifacts(const struct step *step, struct sc_arena *arena, struct input_artifact **ret_items);
struct sc_digest input_command_digest(const struct step *step);
// Builds the key of a step for an environment into core->key.
void input_build_key(struct sc_core *core, const struct step *step, const struct environment *environment);
