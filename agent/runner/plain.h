// The way without namespaces: leftovers are found by their ancestry, hidden folders kept from writes by Landlock.
// What it cannot do: hide anything, bind inputs, stop chmod and utime, hold a step that kills its own init as the same
// user (the runner, which is everybody's subreaper, then ends what is left).
#pragma once

#include "agent/runner/task.h"

#include "base/error.h"

// The kernel's Landlock version, 0 for none (landlock(7)).
uint32_t sc_plain_landlock_abi(void);
// Whether writes below the hidden folders can be denied; else why not. A rule gives rights to all below a folder, so a
// hidden folder under /tmp cannot be kept from writes without taking /tmp from steps.
bool sc_plain_protects(const struct sc_runner_config *config, const char **ret_reason);
// In the init: makes it the subreaper of its step, goes to the work folder, restricts itself.
bool sc_plain_enter(const struct sc_runner_config *config, const struct sc_task *task,
                    struct sc_failure *failure);
// Sends a signal to every process below this one.
void sc_plain_signal(int sig);
// Kills every process below this one, a subreaper, and reaps until none is left.
void sc_plain_sweep(void);
