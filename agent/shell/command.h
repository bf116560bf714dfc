// What a step's process sees: its argv and its environment, from an assignment. Pure.
//
// A script runs as `/bin/sh -eu -c SCRIPT`; a placeholder in it is the shell variable ${SC_n}, numbered in order of first
// use, so that its value is never parsed by a shell. In an argv and in env a placeholder is filled in as text.
// The environment is PATH, HOME, LANG=C.UTF-8, TZ=UTC, the declared variables (which win), and SC_n.
#pragma once

#include "agent/runner/runner.h"
#include "base/error.h"
#include "proto/message.h"

struct sc_command_view {
    struct sc_slice work; // the work folder as the step sees it: "/work", or its own path without namespaces
    struct sc_slice path; // PATH where the step declares none
};

// Sets argv and env of the launch; all lies in the arena or the assignment. SC_INVALID names what is not there, SC_LIMIT
// what is too long for the kernel.
SC_MUST_USE enum sc_rc sc_command_build(const struct sc_assignment *assignment,
                                        const struct sc_command_view *view, struct sc_arena *arena,
                                        struct sc_launch *launch, struct sc_error *err);
// The name at which an input lies below in/.
struct sc_slice sc_command_input_name(const struct sc_assigned_input *input, struct sc_arena *arena);
