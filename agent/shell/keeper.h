// Where the logs of an attempt go when it has ended: into the report, into the record's objects, or under run/….
#pragma once

#include "agent/shell/worker.h"

// Sets the result's stdout_ and stderr_. What is put is durable only after a sync; tells by task->needs_sync.
SC_MUST_USE enum sc_rc sc_keeper_keep(struct sc_worker *worker, struct sc_agent_task *task,
                                      struct sc_error *err);
// "namespace\nrun\nrest" of an attempt's logs, as it is written beside a spool; rest: "step/number".
struct sc_slice sc_keeper_label(const struct sc_assignment *assignment, struct sc_arena *arena);
// Puts a stream under run/…; from the file, which may be moved, or the bytes when the path is NULL.
SC_MUST_USE enum sc_rc sc_keeper_put(struct sc_store *store, struct sc_slice domain, struct sc_slice label,
                                     enum sc_stream stream, const char *path, struct sc_slice bytes,
                                     struct sc_error *err);
