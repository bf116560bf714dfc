// The store threads: one looks up and loads, one writes and publishes; each has a store handle of its own. They share the
// index and the newest-record table. Jobs are posted by the core thread and come back, done, in its mailbox.
//
//   read thread:  LOAD_PLAN (of a run that is new: with what it needs to be taken up), LOOK_UP, PRESENCE; lists the voids at a plan's load and once a minute
//   write thread: PUT, WRITE_RECORD (in batches: objects, one sync, records, many at once), WRITE_VOID, CLOSE_OUT, OPEN_RUN
#pragma once

#include "coordinator/shell/spending.h"
#include "coordinator/shell/index.h"
#include "coordinator/shell/job.h"
#include "coordinator/shell/latest.h"

struct sc_storage_config {
    const char *url;
    struct sc_slice domain, coordinator; // must outlive the storage
    struct sc_slice name;     // who the coordinator is in the store; empty: its open runs do not lie there
    const char *journal_path; // for the newest-record table
    const char *scratch;      // folder for uploads and what is published; emptied at the start
    int64_t patience_ms;      // how long a write is tried again
    int64_t horizon_ms;       // what the store's is to be; 0: whatever it is
    size_t index_bytes;       // 0: SC_INDEX_BYTES
    struct sc_spending *spending;
    struct sc_tariff tariff;
    bool warm; // load the last run's plan and records at the start
    struct sc_mailbox *answers;
};

struct sc_storage;
SC_MUST_USE enum sc_rc sc_storage_open(const struct sc_storage_config *config,
                                       struct sc_storage **ret_storage, struct sc_error *err);
void sc_storage_start(struct sc_storage *storage);
// What was posted is finished, as far as the store allows at once; answers stay in the mailbox.
void sc_storage_close(struct sc_storage *storage);
void sc_storage_post(struct sc_storage *storage, struct sc_job *job);
// Before the threads start: the restored runs' plans.
SC_MUST_USE enum sc_rc sc_storage_load_plan(struct sc_storage *storage, const struct sc_digest *digest,
                                            struct sc_loaded_plan **ret_plan, struct sc_error *err);
// Before the threads start: the open runs that lie in the store under this coordinator's name, in order. One that cannot be read
// or whose plan is gone is left alone and logged; one that closed is removed. `known`: asked first, for those of the journal;
// `take` takes the plan over. SC_DENIED when they may not be listed.
enum sc_open_known { SC_OPEN_UNKNOWN, SC_OPEN_OWN, SC_OPEN_CLOSED };
struct sc_open_visitor {
    enum sc_rc (*known)(void *context, struct sc_slice run, enum sc_open_known *ret_known,
                        struct sc_error *err);
    void (*take)(void *context, const struct sc_open_run *open, struct sc_loaded_plan *plan);
    void *context;
};
SC_MUST_USE enum sc_rc sc_storage_open_runs(struct sc_storage *storage, const struct sc_open_visitor *visitor,
                                            struct sc_error *err);
int64_t sc_storage_horizon_ms(const struct sc_storage *storage);
struct sc_index *sc_storage_index(struct sc_storage *storage);
struct sc_latest *sc_storage_latest(struct sc_storage *storage);
