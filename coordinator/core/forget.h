// Forgetting what agents told of themselves. A coordinator lives for months, and each run may ask what was never asked
// before: needs, answers and environments that nothing open uses are remembered for a fleet that is away, the most
// recently used of them only.
#pragma once

#include "coordinator/core/state.h"

// Looks when there is much more than was left the last time. Called between events, when nothing is pointed at but from
// the tables; by order of use alone, so that equal events forget the same.
void forget_old(struct sc_core *core);
