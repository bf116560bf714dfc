// The tables: what only finds, moves and names rows, and adds to the lists that a turn works off. Nothing here decides, asks
// or tells.
#pragma once

#include "coordinator/core/state.h"

struct run *run_find(struct sc_core *core, struct sc_slice id);
struct run *run_by_number(struct sc_core *core, uint64_t number);
// Nothing points at them any more.
void answer_free(struct sc_core *core, struct need *need, struct answer *answer);
void need_free(struct sc_core *core, struct need *need); // with its answers
void environment_free(struct sc_core *core, struct environment *environment);
// Its steps in PROBING look again then (mono), at the latest.
void run_look_again_at(struct run *run, int64_t at_ms);
// The store refused what belongs to the run. The first story is the one that is told at its end.
void run_store_failed(struct run *run, enum sc_rc rc, struct sc_slice message);
bool run_is_stopping(const struct run *run); // cancelled, or about to be: nothing of it begins
// The group's blocked steps are released, or end by its fate.
void run_visit_later(struct run *run, struct group *group);
struct sc_slice run_step_name(struct sc_core *core, const struct step *step, struct sc_arena *arena);
void step_move(struct sc_core *core, struct step *step, enum step_state to);
const struct sc_plan_step *step_plan(const struct step *step);
struct group *step_group(const struct step *step);
struct step_info *step_info(struct step *step); // made when there is none
// Outputs and values by the names of the plan; false when the record lacks one.
bool step_take_record(struct step *step, const struct sc_core_record *record);
void step_take_result(struct step *step, const struct sc_result *result);
struct decision *decision_add(struct sc_core *core, struct step *step, enum decision_kind kind);
struct flight *flight_find(struct sc_core *core, const struct sc_digest *key);
struct flight *flight_new(struct sc_core *core, const struct sc_digest *key);
void flight_free(struct sc_core *core, struct flight *flight); // nobody waits for it, nothing of it runs
void flight_move(struct sc_core *core, struct flight *flight, enum flight_state to);
void flight_queue(struct sc_core *core, struct flight *flight);
void flight_unqueue(struct sc_core *core, struct flight *flight);
void flight_add_waiter(struct flight *flight, struct step *step);
void flight_remove_waiter(struct flight *flight, struct step *step);
struct agent *agent_by_number(struct sc_core *core, uint64_t number);
struct agent *agent_by_name(struct sc_core *core, struct sc_slice name);
bool agent_any_alive(const struct sc_core *core);
