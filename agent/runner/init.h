// The process above a step: process 1 of its pid namespace, or without namespaces its subreaper. It goes into the
// sandbox, starts the step, passes signals on, reaps, reports once, and leaves when the step's own process has ended; then
// the kernel (or a sweep) kills all that the step left. Process 1 must not be the step: it would ignore every signal
// that it has no handler for (pid_namespaces(7)), abort() included.
#pragma once

#include "agent/runner/sandbox.h"

#include <signal.h>
#include <sys/resource.h>

// The runner passes signals on as the value of this one.
#define SC_INIT_CARRIER (SIGRTMIN + 1)

// What an init needs of its runner, beside the task.
struct sc_init {
    const struct sc_sandbox *sandbox; // NULL: without namespaces
    const struct sc_runner_config *config;
    int report_fd; // a pipe that all inits share; a report is less than PIPE_BUF, so it stays whole
    int null_fd;
    int life_fd;              // a file that the runner holds locked while it lives
    struct rlimit open_files; // the agent's own, before the runner raised it
    bool joined_cgroup;       // cloned into it
};

enum sc_report_kind { SC_REPORT_ENDED, SC_REPORT_FAILED };

struct sc_report {
    uint64_t task;
    enum sc_report_kind kind;
    int status; // ended: of wait(2)
    int64_t started_ms, ended_ms;
    uint64_t max_rss_bytes, init_cpu_us;
    struct sc_failure failure;
};

_Noreturn void sc_init_run(const struct sc_init *init, const struct sc_task *task);
