// The pool of workers, a thread each. Jobs are handed to them whole and come back whole, in one list, with a descriptor that
// is readable when there is something in it. What waits for processes that tell of the environment (look.h) keeps no worker.
// Finished steps are taken in batches, with one sync for all that a batch put.
#pragma once

#include "agent/shell/probe.h"
#include "agent/shell/worker.h"

struct sc_workers;
// The config must outlive the workers.
SC_MUST_USE enum sc_rc sc_workers_start(const struct sc_worker_config *config, struct sc_slice domain,
                                        struct sc_workers **ret_workers, struct sc_error *err);
// Ends looks that wait for a process, finishes what else is queued, saves memos, joins.
void sc_workers_stop(struct sc_workers *workers);
int sc_workers_fd(const struct sc_workers *workers);
void sc_workers_give(struct sc_workers *workers, struct sc_agent_job *job);
void sc_workers_give_to(struct sc_workers *workers, uint32_t index, struct sc_agent_job *job);
// Since when a process is waited for that tells of the environment which the job needs (mono ms); 0: it is not.
int64_t sc_workers_looking_since(struct sc_workers *workers, const struct sc_agent_job *job);
// It is not waited for any more when that took so long: the job goes on, and fails.
void sc_workers_give_up(struct sc_workers *workers, struct sc_agent_job *job, int64_t patience_ms);
// All jobs that are done, in order; clears the descriptor.
struct sc_agent_job *sc_workers_done(struct sc_workers *workers);
