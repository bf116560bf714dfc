// Control groups behind one small face with three answers: v2, v1 (each of memory, pids and cpu its own hierarchy), or
// none, where a step's memory is limited by RLIMIT_DATA and measured by ru_maxrss. A group is made only for a step that
// asks for a limit, and kept for the next one with the same limits, since making and removing one costs 0.1 to 0.2 ms
// of CPU (v2 to v1). One that counts memory is not kept: its peak, its kills and its pages are the step's own.
#pragma once

#include "agent/runner/runner.h"

#include "base/os/claim.h"

enum { SC_CGROUP_HIERARCHIES = 3, SC_CGROUP_IDLE_MOST = 64 };

struct sc_cgroup {
    uint64_t cpus_milli, processes; // its limits, beside memory
    char *folders[SC_CGROUP_HIERARCHIES];
    int procs_fds[SC_CGROUP_HIERARCHIES]; // the init writes itself into these; -1
    int folder_fd;                        // v2: the init is cloned into it; or -1
    char *memory;                         // the folder that accounts memory, or NULL
};

struct sc_cgroups {
    enum sc_runner_cgroup version;
    struct sc_claim own[SC_CGROUP_HIERARCHIES]; // this runner's groups; in v2 one
    const char *memory, *processes, *cpu;       // the one of them that limits it; NULL where there is none
    uint64_t made;
    struct sc_cgroup idle[SC_CGROUP_IDLE_MOST]; // empty groups, to be used again
    uint32_t idle_count;
};

// Finds what this process may use, makes the runner's own groups and removes those that dead runners left, with whatever
// still runs in them. Always succeeds: none is an answer.
void sc_cgroups_open(struct sc_cgroups *ret_cgroups);
void sc_cgroups_close(struct sc_cgroups *cgroups);
// A group for one task, with those limits that are not 0 and that can be kept. processes does not count the init.
SC_MUST_USE enum sc_rc sc_cgroup_make(struct sc_cgroups *cgroups, const struct sc_runner_limits *limits,
                                      struct sc_cgroup *ret_cgroup, struct sc_error *err);
// Called by the init, where it was not cloned into the group. System calls only. False and errno.
bool sc_cgroup_join(const struct sc_cgroup *cgroup);
// When the init is gone: reads whether the kernel killed for want of memory, and the most that was used (0 when it is
// not known). `is_empty`: no process of it can be left, so that the group may serve again; else what is left is killed,
// and the group removed.
void sc_cgroup_end(struct sc_cgroups *cgroups, struct sc_cgroup *cgroup, bool is_empty, bool *ret_oom,
                   uint64_t *ret_peak_bytes);
