// Attempts: what of an agent they take, and what their agent is told of them.
#pragma once

#include "coordinator/core/state.h"

struct attempt *attempt_find(struct sc_core *core, uint64_t id);
// Will take of an agent what the step asks for.
struct attempt *attempt_new(struct sc_core *core, uint64_t id, struct sc_slice agent_name,
                            const struct sc_plan_step *plan_step);
void attempt_charge(struct agent *agent, struct attempt *attempt); // takes it
void attempt_move(struct sc_core *core, struct attempt *attempt, enum attempt_state to);
// Its slot is free; the attempt is forgotten.
void attempt_release(struct sc_core *core, struct attempt *attempt);
// Its agent ends it, TERM, the grace, KILL; the run does not close before that.
void attempt_revoke(struct sc_core *core, struct attempt *attempt, struct run *run);
void attempt_kill_for(struct sc_core *core,
                      struct run *run); // what is, or will be, revoked for the run gets no grace
void attempt_listen(struct sc_core *core, struct attempt *attempt, bool on);
// What was told to the client as a watcher of the run (by number; 0: to all) is forgotten.
void attempt_forget_logs(struct attempt *attempt, uint64_t run, uint64_t client);
bool agent_is_saturated(const struct agent *agent);
bool agent_has_labels(const struct agent *agent, const struct sc_plan_step *step);
// Whether it is alive and could run the step when it is empty, whatever its environment.
bool agent_suits(const struct agent *agent, const struct sc_plan_step *step);
bool agent_any_suits(const struct sc_core *core, const struct sc_plan_step *step);
// That none suits; in the effects' arena.
struct sc_slice agent_none_suits(struct sc_core *core, const struct sc_plan_step *step);
