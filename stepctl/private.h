// The user's own coordinator and agent: found, started, waited for. Both are started detached (a session of their own,
// folder /, standard input empty, output to log files in the state folder) and leave by themselves when the last client
// has left; starting one that runs already is harmless, since its lock makes the second leave quietly.
#pragma once

#include "proto/places.h"
#include "proto/tether.h"

#include <sys/types.h>

struct sc_private {
    const struct sc_places *places; // borrowed
    bool wants_agent;
    pid_t coordinator, agent;           // children of ours that were not seen to end; 0 for none
    int64_t coordinator_log, agent_log; // how long the log files were before we started anything
    int64_t agent_checked_ms, started_ms;
    bool told_stranger;
    uint32_t starts; // of coordinators
};

void sc_private_init(struct sc_private *private, const struct sc_places *places, bool wants_agent);
// Connects the tether when a coordinator listens; else starts one, and an agent where one is wanted, without waiting:
// *ret_tether is -1 then.
SC_MUST_USE enum sc_rc sc_private_begin(struct sc_private *private, const struct sc_peer_id *self,
                                        int *ret_tether, struct sc_error *err);
// Waits for the coordinator, at most patience_ms, and connects the tether. SC_UNREACHABLE with the last line of its log.
SC_MUST_USE enum sc_rc sc_private_await(struct sc_private *private, const struct sc_peer_id *self,
                                        int patience_ms, int *ret_tether, struct sc_error *err);
// Starts the agent again when it is gone; cheap, called now and then while a run is open. Gives what the user should know,
// once: that another session's agent holds the work folder, so that ours waits for it; the caller frees. NULL: nothing.
char *sc_private_tick(struct sc_private *private, int64_t mono_ms);
// Whether no coordinator and no agent is there any more; cheap.
bool sc_private_is_gone(struct sc_private *private);
// Asks an agent that we started for nothing to leave (TERM drains it). One that had work of another client by now is started
// again by that one.
void sc_private_dismiss_agent(struct sc_private *private);
// Path of a program of ours: beside this one, in the build tree, or on PATH. The caller frees; NULL when there is none.
char *sc_private_program(const char *name, const char *build_folder);
