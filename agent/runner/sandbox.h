// What a step may see and do: the namespaces, mounts and capabilities. The runner opens one sandbox; every init enters
// it for its step. The order in which `enter` does things is the sandbox; nothing of a step runs before it is done.
#pragma once

#include "agent/runner/task.h"
#include "agent/runner/template.h"

#include "base/error.h"

enum { SC_SANDBOX_PROC_PATHS = 8 };

struct sc_sandbox {
    struct sc_template template;
    bool keeps_root_caps;
    const char *proc_read_only[SC_SANDBOX_PROC_PATHS]; // NULL-terminated
};

// Says whether the kernel lets this process do it all, by doing it in a child: SC_UNSUPPORTED and why.
SC_MUST_USE enum sc_rc sc_sandbox_probe(const struct sc_runner_config *config, struct sc_error *err);
// Enters a user namespace when the process has no CAP_SYS_ADMIN, and builds the template. Once a process.
SC_MUST_USE enum sc_rc sc_sandbox_open(const struct sc_runner_config *config, struct sc_sandbox *ret_sandbox,
                                       struct sc_error *err);
// Takes from this process, and from all it will start, the capabilities that steps must never get; what the runner
// itself needs stays until exec.
SC_MUST_USE enum sc_rc sc_sandbox_bound(struct sc_error *err);
// In an init that was cloned with SC_SANDBOX_CLONE_FLAGS: brings it, and its current folder, into the step's view, and
// drops its capabilities. task NULL: everything but the work folder, for the probe.
bool sc_sandbox_enter(const struct sc_sandbox *sandbox, const struct sc_task *task,
                      struct sc_failure *failure);
// clone(2) as fork(2) does it. flags also take CLONE_NEW*; cgroup_fd -1, or the v2 group it begins in. -1 and errno.
pid_t sc_sandbox_clone(uint64_t flags, int cgroup_fd);

#define SC_SANDBOX_CLONE_FLAGS (CLONE_NEWPID | CLONE_NEWIPC)
