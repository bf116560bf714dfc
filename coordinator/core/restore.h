// A restarted core: facts in, state out. Runs are rebuilt and begin anew; what was reported is taken from the facts, what is
// still running is adopted when its agent says hello, hits are looked up again.
#pragma once

#include "coordinator/core/state.h"

void restore_row(struct sc_core *core, const struct sc_event *event);
void restore_end(struct sc_core *core, const struct sc_event *event);
