// Look-ups and what they tell of a step: hit, miss and why.
#pragma once

#include "coordinator/core/state.h"

void verdict_looked_up(struct sc_core *core, struct step *step, const struct sc_looked_up *found);
// Look-ups of this turn leave in batches.
void verdict_flush_look_ups(struct sc_core *core);
