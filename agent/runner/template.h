// The view that every step starts from: a mount namespace of its own, built once. Each step takes a copy (sandbox.h)
// and adds its work folder, its inputs, /proc and /dev/shm.
#pragma once

#include "agent/runner/runner.h"

#include "base/error.h"

#include <sys/types.h>

struct sc_template {
    int view_fd; // of its namespace, for setns(2)
    // Its root folder. In a chroot the kernel changes another root than that which setns leads to, the host's: whoever
    // enters has to look where he is.
    dev_t root_dev;
    ino_t root_ino;
};

// Leaves this process in the mount namespace it came from, where the hidden folders are in sight, and gives the view's.
// Needs CAP_SYS_ADMIN over its mount namespace. keep_proc: leave the host's /proc in it, to be
// covered by each step's own: the kernel lets a user namespace mount a fresh one only where one is in sight.
SC_MUST_USE enum sc_rc sc_template_build(const struct sc_runner_config *config, bool keep_proc,
                                         struct sc_template *ret_template, struct sc_error *err);
