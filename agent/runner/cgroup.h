// Control groups behind one small face with three answers: v2, v1 (each of memory, pids and cpu its own hierarchy), or
// none, where a step's memory is limited by RLIMIT_DATA and measured by ru_maxrss. A group is made only for a step that
// asks for a limit, since making one costs it 0.1 to 0.2 ms (v2 to v1).
#pragma once

#include "agent/runner/runner.h"

#include "base/os/claim.h"

enum { SC_CGROUP_HIERARCHIES = 3 };

struct sc_cgroups {
    enum sc_runner_cgroup version;
    struct sc_claim own[SC_CGROUP_HIERARCHIES]; // this runner's groups; in v2 one
    const char *memory, *processes, *cpu;       // the one of them that limits it; NULL where there is none
};

struct sc_cgroup {
    char *folders[SC_CGROUP_HIERARCHIES];
    int procs_fds[SC_CGROUP_HIERARCHIES]; // the init writes itself into these; -1
    int folder_fd;                        // v2: the init is cloned into it; or -1
    char *memory;                         // the folder that accounts memory, or NULL
};

// Finds what this process may use, makes the runner's own groups and removes those that dead runners left, with whatever
// still runs in them. Always succeeds: none is an answer.
void sc_cgroups_open(struct sc_cgroups *ret_cgroups);
void sc_cgroups_close(struct sc_cgroups *cgroups);
// A group for one task, with those limits that are not 0 and that can be kept. processes does not count the init.
SC_MUST_USE enum sc_rc sc_cgroup_make(const struct sc_cgroups *cgroups, uint64_t task,
                                      const struct sc_runner_limits *limits, struct sc_cgroup *ret_cgroup,
                                      struct sc_error *err);
// Called by the init, where it was not cloned into the group. System calls only. False and errno.
bool sc_cgroup_join(const struct sc_cgroup *cgroup);
// When the init is gone: kills what may be left, reads whether the kernel killed for want of memory, and the most that
// was used (0 when it is not known), and removes the group.
void sc_cgroup_end(const struct sc_cgroups *cgroups, struct sc_cgroup *cgroup, bool *ret_oom,
                   uint64_t *ret_peak_bytes);
