// Which record is the newest of a step of a pipeline, and of a command: for `changed` and --from. The journal's file holds it; what
// is not committed there yet is held here in memory. Written by the core thread, in the journal's order, read by others,
// each by a reader of its own.
#pragma once

#include "coordinator/shell/job.h"

struct sc_latest; // shared by threads
struct sc_latest *sc_latest_new(void);
void sc_latest_free(struct sc_latest *latest);
// Numbers the row, which then goes to the journal. The core thread.
void sc_latest_note(struct sc_latest *latest, struct sc_job_latest *row);
// Rows to here are in the file.
void sc_latest_committed(struct sc_latest *latest, uint64_t number);

struct sc_latest_reader; // one thread
SC_MUST_USE enum sc_rc sc_latest_reader_open(struct sc_latest *latest, const char *journal_path,
                                             struct sc_latest_reader **ret_reader, struct sc_error *err);
void sc_latest_reader_close(struct sc_latest_reader *reader);
bool sc_latest_of_step(struct sc_latest_reader *reader, struct sc_slice namespace_, struct sc_slice pipeline,
                       struct sc_slice step, struct sc_digest *ret_key);
bool sc_latest_of_command(struct sc_latest_reader *reader, const struct sc_digest *command,
                          struct sc_digest *ret_key);
// The plan of the run that began last; false when there was none.
bool sc_latest_plan(struct sc_latest_reader *reader, struct sc_digest *ret_plan);
