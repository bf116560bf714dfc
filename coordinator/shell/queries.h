// The query thread: answers what only reads, from a journal connection and a store handle of its own: lists, closed runs' events
// and logs, explain, and the cache operations. Its answers go to clients by way of the core thread's mailbox.
#pragma once

#include "coordinator/shell/storage.h"

struct sc_queries;
// The storage must outlive it.
SC_MUST_USE enum sc_rc sc_queries_open(const struct sc_storage_config *config, struct sc_storage *storage,
                                       struct sc_queries **ret_queries, struct sc_error *err);
void sc_queries_start(struct sc_queries *queries);
void sc_queries_close(struct sc_queries *queries);
void sc_queries_post(struct sc_queries *queries, struct sc_job *job);
