// One step on its way through the runner: what the launch said, made ready for system calls, and what is known of it.
// The serving loop owns it; its init works on a copy of the process's memory.
#pragma once

#include "agent/runner/cgroup.h"
#include "agent/runner/runner.h"

#include "base/error.h"

#include <sys/types.h>

// What went wrong with a launch, in words of one line.
struct sc_failure {
    int sys_errno;
    char text[SC_RUNNER_TEXT_BYTES];
};
// Sets the words, with strerror of sys_errno when it is not 0; returns false, so that a failure is one line.
bool sc_failure_set(struct sc_failure *failure, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct sc_task_input {
    char *name, *source;
};

struct sc_task {
    struct sc_arena arena; // texts of the task
    uint64_t id, after;
    char **argv, **env;
    char *work;
    const char *path; // where argv[0] is looked up
    struct sc_task_input *inputs;
    uint32_t input_count;
    struct sc_runner_limits limits;
    int out, err; // -1 once the init has them
    bool has_cgroup;
    struct sc_cgroup cgroup;

    pid_t init; // 0 until it was started
    bool told;  // that it started
    bool reported_end, reported_failure;
    int64_t started_ms, ended_ms; // wall clock
    int64_t started_mono_ms;
    uint64_t max_rss_bytes, init_cpu_us;
    int status; // of wait(2)
    struct sc_failure failure;
    struct sc_task *prev, *next;
};

// Copies a launch into a new task, with HOME (when the launch has none) as told. The packet's two descriptors become
// the task's. NULL, with the failure and the id set, when the launch is not valid.
struct sc_task *sc_task_new(struct sc_runner_packet *packet, const char *home, bool binds_inputs,
                            uint64_t *ret_id, struct sc_failure *failure);
void sc_task_free(struct sc_task *task);
