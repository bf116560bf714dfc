// What a job has to know of this machine before a worker does it, and the lookers: threads that wait for the processes that
// tell. A question (sc_prober_question) has a looker while somebody asks it, so that one whose command hangs keeps nobody
// waiting but those who asked the same. Jobs are handed over whole and come back whole.
#pragma once

#include "agent/shell/probe.h"
#include "agent/shell/worker.h"

// Looks for what the job must know: its task has failed when the environment is another, a probe job is answered. False:
// a process would have to be waited for (QUICK), and nothing was done. SC_JOB_PREPARE, TAKE and PROBE; of others, and of
// those that need no look, it is true at once. Any thread.
bool sc_look(struct sc_prober *prober, struct sc_slice default_path, struct sc_agent_job *job, int stop_fd);

struct sc_lookers;
// `back` is called by a looker's thread with each job that was looked for, or given up. The prober must outlive them.
struct sc_lookers *sc_lookers_new(struct sc_prober *prober, struct sc_slice default_path,
                                  void (*back)(void *context, struct sc_agent_job *job), void *context);
// Any thread.
void sc_lookers_give(struct sc_lookers *lookers, struct sc_agent_job *job);
// Since when the job is with them (mono ms); 0: it is not. Any thread.
int64_t sc_lookers_since(struct sc_lookers *lookers, const struct sc_agent_job *job);
// Its look is not waited for any more when it has taken so long: the job comes back failed. Any thread.
void sc_lookers_give_up(struct sc_lookers *lookers, struct sc_agent_job *job, int64_t patience_ms);
// Ends the processes and the threads: nothing comes back any more, and what is given is kept.
void sc_lookers_stop(struct sc_lookers *lookers);
struct sc_jobs
sc_lookers_free(struct sc_lookers *lookers); // stopped; what was not looked for is the caller's
