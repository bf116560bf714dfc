// Flights: one for a key, whoever wants it. Attempts belong to flights; joiners never inherit a failure.
// What a flight decides for its steps it puts down, and step.h follows: it stands above.
#pragma once

#include "coordinator/core/state.h"

void flight_join_or_start(struct sc_core *core, struct step *step);
// That the attempt is the flight's, and so its owner's; said again when another becomes the owner. Returns the fact's seq.
uint64_t flight_journal_grant(struct sc_core *core, const struct flight *flight, uint64_t attempt,
                              struct sc_slice agent, bool lazy);
void flight_detach(struct sc_core *core, struct step *step);
void flight_reported(struct sc_core *core, struct attempt *attempt, const struct sc_msg_reported *reported);
// What it names was stored so long ago that no record may count on it any more.
bool flight_is_too_late(const struct sc_core *core, const struct sc_result *result);
void flight_recorded(struct sc_core *core, struct flight *flight, struct request *request,
                     const struct sc_event *event); // flight may be NULL
void flight_write_record(struct sc_core *core, struct flight *flight, const struct step *step,
                         uint64_t after_seq);
// Whether its agent looks at the environment before the start and after the end; an architecture does not change, and a
// result that is not recorded serves nobody else.
bool flight_checks_environment(const struct flight *flight);
void flight_started(struct sc_core *core, struct flight *flight);
void flight_settle(struct sc_core *core, struct flight *flight, uint64_t after_seq);
