// One who does what blocks (fetching, hashing, storing, probing), with a store handle of its own, and the jobs that it does.
#pragma once

#include "agent/shell/task.h"
#include "agent/shell/workplace.h"
#include "agent/shell/yard.h"
#include "store/pinned.h"

struct sc_prober;

struct sc_worker_config {
    const struct sc_workplace *place;
    struct sc_yard *yard;
    const char *store_url;
    const char *checksums;   // servers whose checksums are believed, or NULL
    struct sc_slice path;    // default PATH
    struct sc_slice sandbox; // "namespaces" or "none": set before the first job
    bool binds_inputs;       // else inputs are copied into the work folder
    uint32_t threads;
    uint64_t layout_max_bytes;
    struct sc_prober *prober; // shared; has its own lock
    struct sc_pinned *pinned; // the same
};

// What one thread works with. Tests make one of their own.
struct sc_worker {
    const struct sc_worker_config *config;
    struct sc_slice domain;
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_memo *memo;
    char *memo_path;
    struct sc_store *bucket; // that a source was read from last, or NULL
    uint32_t index;
    void (*heavy)(void *context); // of the pool, or NULL: this job may take long
    void *heavy_context;
};
SC_MUST_USE enum sc_rc sc_worker_open(const struct sc_worker_config *config, struct sc_slice domain,
                                      uint32_t index, struct sc_worker *ret_worker, struct sc_error *err);
void sc_worker_close(struct sc_worker *worker);

// Says that this job may take long: so that others are not kept waiting behind it.
void sc_worker_heavy(struct sc_worker *worker);

// The jobs, in the calling thread.
void sc_worker_prepare(struct sc_worker *worker,
                       struct sc_agent_task *task); // looked for; sets outcome, failure, launch, pins
void sc_worker_take(struct sc_worker *worker,
                    struct sc_agent_task *task); // looked for; sets result; needs_sync
void sc_worker_synced(struct sc_agent_task *task, enum sc_rc rc, const struct sc_error *err);
void sc_worker_clean(struct sc_worker *worker, struct sc_agent_task *task);
void sc_worker_unpin(struct sc_worker *worker, struct sc_pins *pins);
