// The agent's end of the runner: starts the program, sends it launches and signals, takes its events. One thread owns
// a client, the one that started it: the kernel tells the runner of that thread's death as of the agent's
// (PR_SET_PDEATHSIG, prctl(2)). Nothing here waits for a step.
#pragma once

#include "agent/runner/runner.h"

struct sc_runner;

// Starts the program at the path. Its first event is `capabilities`; launches may be sent before that.
SC_MUST_USE enum sc_rc sc_runner_start(const char *program, const struct sc_runner_config *config,
                                       struct sc_runner **ret_runner, struct sc_error *err);
// To poll for reading; sc_runner_next is worth a call when it is readable or hung up. The client's own.
int sc_runner_fd(const struct sc_runner *runner);
// The runner's process, for logs and tests.
int sc_runner_pid(const struct sc_runner *runner);
// Sends one launch. The descriptors become the step's standard output and error; they stay the caller's, who closes
// them now so that the readers see the end when the step and the runner are done with them. SC_OK means sent: what
// becomes of it comes as events. SC_CLOSED when the runner is gone, SC_LIMIT when argv and env are too large.
SC_MUST_USE enum sc_rc sc_runner_launch(struct sc_runner *runner, const struct sc_launch *launch,
                                        int stdout_fd, int stderr_fd, struct sc_error *err);
// Starts a launch that waits for another task; passed over when it has started.
SC_MUST_USE enum sc_rc sc_runner_go(struct sc_runner *runner, uint64_t task, struct sc_error *err);
// Sends a signal to every process of a task; SIGKILL ends it with all that it started, any withdraws a launch that
// waits. A task that is not there, or no more, is passed over by the runner.
SC_MUST_USE enum sc_rc sc_runner_signal(struct sc_runner *runner, uint64_t task, int sig,
                                        struct sc_error *err);
// The next event, without waiting: kind SC_RUNNER_NOTHING when there is none. Texts in it live until the next call.
// SC_CLOSED when the runner is gone and all its events were given: then every step of it is dead or dying, the client
// is only to be freed, and another can be started.
SC_MUST_USE enum sc_rc sc_runner_next(struct sc_runner *runner, struct sc_runner_event *ret_event,
                                      struct sc_error *err);
// Closes the conversation, and waits until the runner has killed every step and left.
void sc_runner_free(struct sc_runner *runner);
