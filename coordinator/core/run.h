// Runs: from a plan's digest to the close.
#pragma once

#include "coordinator/core/state.h"

void run_submit(struct sc_core *core, const struct sc_event *event);
void run_plan_loaded(struct sc_core *core, struct run *run, struct sc_loaded_plan *plan, enum sc_rc rc,
                     struct sc_slice message);
struct run *run_restore(struct sc_core *core, const struct sc_fact *fact,
                        struct sc_loaded_plan *plan); // takes the plan; NULL when unusable
void run_begin(struct run *run);                      // releases what waits for nothing
void run_work(struct sc_core *core);                  // a bounded piece of what is to be done in every run
void run_cancel(struct sc_core *core, struct run *run, const char *why);
void run_closed_out(struct sc_core *core, struct run *run, const struct sc_event *event);
void run_free(struct sc_core *core, struct run *run);
