// Flights that end without a result: retries and backoff, and what those who waited do then.
#pragma once

#include "coordinator/core/state.h"

// Nothing of it runs: its waiters look again under the environments that there are now.
void flight_begin_again(struct sc_core *core, struct flight *flight);
// Those that wait for an agent whose answer is another now.
void flight_environments_gone(struct sc_core *core);
void flight_attempt_lost(struct sc_core *core, struct attempt *attempt, const char *why);
void flight_fail_attempt(struct sc_core *core, struct flight *flight, struct attempt *attempt,
                         const struct sc_result *result, uint64_t after_seq);
void flight_fail(struct sc_core *core, struct flight *flight, const struct sc_result *result,
                 uint64_t after_seq);
// The result is nobody's: its key names an environment that it did not, or not all the time, run in.
void flight_environment_changed(struct sc_core *core, struct flight *flight, struct attempt *attempt,
                                const struct sc_result *result);
// Frees a flight that is over. Who waits still begins anew.
void flight_finish(struct sc_core *core, struct flight *flight);
// What explain and events tell of an attempt, kept in the step's run.
void flight_remember_work(struct step *step, const struct flight *flight, const struct sc_result *result);
void flight_deadlines(struct sc_core *core);
int64_t flight_next_deadline(const struct sc_core *core);
