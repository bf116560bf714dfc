// The journal: the facts from which a restarted coordinator rebuilds every open run, the table of runs, and which record
// is the newest of a step. One SQLite file (WAL, synchronous=FULL); a batch is one transaction and one sync.
//
// The core thread adds to an open batch and hands it over; the journal thread commits all that was handed over in one
// transaction and tells up to which seq it is durable. A failure is fatal: nothing after it becomes durable, and
// sc_journal_failed tells why.
#pragma once

#include "coordinator/shell/job.h"

struct sc_journal;

enum { SC_JOURNAL_FORMAT = 1, SC_JOURNAL_ID_BYTES = 16 };

// Opens or makes the file; no thread yet. SC_VERSION for a newer format, which is left untouched; SC_CORRUPT for a damaged file,
// with what to do.
SC_MUST_USE enum sc_rc sc_journal_open(const char *path, struct sc_journal **ret_journal,
                                       struct sc_error *err);
// Commits what was added, ends the thread, frees. SC_OK, or the failure that it met.
enum sc_rc sc_journal_close(struct sc_journal *journal, struct sc_error *err);
// This coordinator's id: 16 hex digits, made once with the file.
struct sc_slice sc_journal_id(const struct sc_journal *journal);
// Calls visit for every fact in order of seq, before the thread is started. `*ret_last_seq` is the largest that was ever used.
SC_MUST_USE enum sc_rc sc_journal_restore(struct sc_journal *journal,
                                          void (*visit)(void *context, uint64_t seq, struct sc_slice fact),
                                          void *context, uint64_t *ret_last_seq, struct sc_error *err);
// Before the thread is started, of a journal that holds no fact yet: the first fact's seq is to be larger than this.
void sc_journal_begin_at(struct sc_journal *journal, uint64_t seq);
// Before the thread is started: what was added is durable when it returns.
SC_MUST_USE enum sc_rc sc_journal_commit_first(struct sc_journal *journal, struct sc_error *err);
// Before the thread is started: whether the run is known, and whether it is closed.
SC_MUST_USE enum sc_rc sc_journal_find_run(struct sc_journal *journal, struct sc_slice run, bool *ret_known,
                                           bool *ret_closed, struct sc_error *err);
// Starts the thread; wake_fd is an eventfd that is rung when more is durable or a failure was met.
void sc_journal_start(struct sc_journal *journal, int wake_fd);

// ---- the core thread's side: everything is copied

// `slot`: when not empty, the earlier fact of this slot is replaced. `lazy` facts do not ask for a commit by themselves.
void sc_journal_add_fact(struct sc_journal *journal, uint64_t seq, struct sc_slice slot, struct sc_slice fact,
                         bool lazy);
void sc_journal_add_run(struct sc_journal *journal, const struct sc_job_run *run);
// The run is final: its row, if still open, is closed; facts without a slot below keep_from go, some time.
void sc_journal_add_closed(struct sc_journal *journal, struct sc_slice run, uint64_t keep_from);
void sc_journal_add_latest(struct sc_journal *journal, const struct sc_job_latest *latest);

enum sc_journal_open_batch { SC_BATCH_EMPTY, SC_BATCH_LAZY, SC_BATCH_URGENT };
enum sc_journal_open_batch sc_journal_open_batch(const struct sc_journal *journal);
// When the first (urgent) thing was added to the open batch, in ns of the mono clock; 0 for none.
int64_t sc_journal_batch_since_ns(const struct sc_journal *journal, bool urgent);
void sc_journal_hand(struct sc_journal *journal);
uint64_t sc_journal_handed(const struct sc_journal *journal);  // the largest seq that was handed over
uint64_t sc_journal_durable(const struct sc_journal *journal); // the largest that is durable
uint64_t
sc_journal_latest(const struct sc_journal *journal); // the largest sc_job_latest.number that is durable
bool sc_journal_failed(struct sc_journal *journal, struct sc_error *err);
uint64_t sc_journal_commits(const struct sc_journal *journal);
