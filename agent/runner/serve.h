// The runner's loop: takes launches and signals, starts inits, reports what becomes of them. It never waits for a
// step: whatever can take long (paths on slow file systems, unmounting) happens in the step's init.
#pragma once

#include "agent/runner/cgroup.h"
#include "agent/runner/sandbox.h"

// Serves the socket until the agent is gone or SIGTERM comes; then kills every step and returns when none is left.
// sandbox NULL: without namespaces. SIGCHLD, SIGTERM and the init's carrier must be blocked. Returns why it ended when
// that is not the end of the socket.
SC_MUST_USE enum sc_rc sc_serve(int socket, const struct sc_runner_config *config,
                                const struct sc_sandbox *sandbox,
                                const struct sc_runner_capabilities *capabilities, struct sc_cgroups *cgroups,
                                struct sc_error *err);
