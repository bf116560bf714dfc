// One step's way: its needs are done, its key is built, the key is looked up, the verdict falls.
#pragma once

#include "coordinator/core/state.h"

void step_release(struct sc_core *core, struct step *step);  // its needs are done
void step_evaluate(struct sc_core *core, struct step *step); // probing or looking
void step_wake(struct sc_core *core);                        // steps in PROBING look again, if there is news
void step_begin_again(struct sc_core *core, struct step *step); // what it waited or looked for does not serve
void step_miss(struct sc_core *core, struct step *step,
               enum sc_reason reason);                   // runs, unless the run forbids it
void step_wait(struct sc_core *core, struct step *step); // for the flight of its key, another's or its own
void step_follow_decisions(struct sc_core *core);        // does what flights decided for their steps
void step_unfinished(struct step *step);                 // healing: what was done is not any more
void step_done(struct sc_core *core, struct step *step, uint64_t after_seq);
void step_fail(struct sc_core *core, struct step *step, enum sc_outcome outcome, struct sc_slice message);
void step_end_quietly(struct sc_core *core, struct step *step, enum step_state to,
                      enum sc_outcome outcome); // skipped, cancelled
