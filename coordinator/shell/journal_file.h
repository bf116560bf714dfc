// The journal's SQLite file: its tables, one transaction a commit. One thread at a time; private to the journal and its tests.
#pragma once

#include "coordinator/shell/job.h"

enum sc_journal_row_kind { SC_ROW_FACT, SC_ROW_RUN, SC_ROW_CLOSED, SC_ROW_LATEST };
struct sc_journal_row {
    struct sc_journal_row *next;
    enum sc_journal_row_kind kind;
    uint64_t seq;         // FACT; CLOSED: keep_from
    struct sc_slice slot; // FACT; CLOSED: the run
    struct sc_slice fact;
    struct sc_job_run *run;
    struct sc_job_latest *latest;
};

struct sc_journal_batch {
    struct sc_journal_batch *next;
    struct sc_arena arena;
    struct sc_journal_row *first, **last;
    uint64_t last_seq, last_latest; // 0: none in it
    int64_t since_ns, urgent_since_ns;
};
struct sc_journal_batch *sc_journal_batch_new(void);
void sc_journal_batch_free(struct sc_journal_batch *batch);
// urgent_ns: now, or 0 for what is lazy.
struct sc_journal_row *sc_journal_batch_add(struct sc_journal_batch *batch, enum sc_journal_row_kind kind,
                                            int64_t urgent_ns);

struct sc_journal_file;
struct sc_journal_commit {
    uint64_t last_seq, last_latest;
};
SC_MUST_USE enum sc_rc sc_journal_file_open(const char *path, struct sc_journal_file **ret_file,
                                            char ret_id[17], struct sc_error *err);
void sc_journal_file_close(struct sc_journal_file *file);
SC_MUST_USE enum sc_rc sc_journal_file_facts(struct sc_journal_file *file,
                                             void (*visit)(void *context, uint64_t seq, struct sc_slice fact),
                                             void *context, uint64_t *ret_last_seq, struct sc_error *err);
SC_MUST_USE enum sc_rc sc_journal_file_find_run(struct sc_journal_file *file, struct sc_slice run,
                                                bool *ret_known, bool *ret_closed, struct sc_error *err);
// All batches of the list in one transaction: all or none.
SC_MUST_USE enum sc_rc sc_journal_file_commit(struct sc_journal_file *file,
                                              const struct sc_journal_batch *batches,
                                              struct sc_journal_commit *ret_done, struct sc_error *err);
// Facts of closed runs that are still there; tidy takes them out.
bool sc_journal_file_untidy(const struct sc_journal_file *file);
SC_MUST_USE enum sc_rc sc_journal_file_tidy(struct sc_journal_file *file);
