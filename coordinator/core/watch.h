// What watchers are told: a snapshot of what stands, in pieces, then what comes.
#pragma once

#include "coordinator/core/state.h"

void watch_add(struct sc_core *core, struct run *run, uint64_t client, uint64_t client_req, bool logs,
               bool owner, bool caught_up);
void watch_go_on(struct sc_core *core, struct run *run);                    // the next piece of snapshots
bool watch_unwatch(struct sc_core *core, struct run *run, uint64_t client); // whether the run was its own
void watch_tell(struct sc_core *core, struct run *run, const struct step *step, struct sc_event_body *event,
                uint64_t after_seq);
void watch_tell_verdict(struct sc_core *core, struct step *step, uint64_t after_seq);
void watch_tell_started(struct sc_core *core, struct step *step);
void watch_tell_finished(struct sc_core *core, struct step *step, uint64_t after_seq);
void watch_tell_note(struct sc_core *core, struct run *run, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void watch_run_started(struct sc_core *core, struct run *run, struct sc_event_body *ret_event);
void watch_run_finished(struct sc_core *core, struct run *run, struct sc_event_body *ret_event);
enum sc_end_state run_end_state(const struct run *run);
bool watch_wants_log(const struct flight *flight);
// A step waits for the flight from now on: its watchers get the log of what runs already.
void watch_joined(struct sc_core *core, struct flight *flight, const struct step *step);
// What its agent says of an attempt's log: to each watcher what it was not told yet.
void watch_tell_log(struct sc_core *core, struct attempt *attempt, const struct sc_msg_log *log);
