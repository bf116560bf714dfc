// From a plan to a run's groups and steps, and what the run's options make of them.
#pragma once

#include "coordinator/core/state.h"

// Makes the run's groups and steps; the plan is the run's from here on. False when the steps are too many.
bool run_expand(struct run *run, struct sc_loaded_plan *plan);
// Whether an option names a step that the plan does not have, and which.
bool run_bad_option(struct run *run, struct sc_slice *ret_bad);
