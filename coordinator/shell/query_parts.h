// What the files of the query thread share, from the ground up; queries.c, above them all, is the thread and chooses who answers.
// Private to coordinator/shell/quer*.c and explain.c.
#pragma once

#include "coordinator/shell/queries.h"
#include "store/object.h"

#include <jansson.h>
#include <pthread.h>
#include <sqlite3.h>

struct sc_queries {
    struct sc_storage_config config;
    struct sc_storage *storage;
    struct sc_queries *slow; // another one for what reads the whole store; made when it is first needed
    sqlite3 *db;
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_latest_reader *latest;
    struct sc_mailbox *box;
    pthread_t thread;
    bool started;
};

struct query_run { // a row of runs, resolved; in the job's arena
    struct sc_slice run, namespace_, state;
    struct sc_digest plan;
};

// ---- query_send.c

void query_send(struct sc_queries *queries, const struct sc_job *job, const struct sc_message *message);
// Rows in pages of bounded size; JSON objects. The list is the caller's.
void query_send_rows(struct sc_queries *queries, const struct sc_job *job, const json_t *rows);
void query_send_done(struct sc_queries *queries, const struct sc_job *job, const struct query_run *run);
enum { QUERY_ROWS_MOST = 10000, QUERY_VOIDS_MOST = 100000 }; // of one answer
json_t *query_text(struct sc_slice text);
json_t *query_hex(const struct sc_digest *digest);

// ---- query_names.c

// Calls visit for every object under a prefix, until it fails.
typedef enum sc_rc (*query_name_fn)(void *context, struct sc_slice name, struct sc_error *err);
enum sc_rc query_each_name(struct sc_queries *queries, struct sc_slice prefix, query_name_fn visit,
                           void *context, struct sc_error *err);
// The same by pages of at most 1000, with times and sizes; `now_ms` is the store's clock.
typedef enum sc_rc (*query_page_fn)(void *context, const struct sc_store_op *list, struct sc_error *err);
enum sc_rc query_each_page(struct sc_queries *queries, struct sc_slice prefix, query_page_fn visit,
                           void *context, struct sc_error *err);
// What an object or a record is named by; false for a name of another kind.
bool query_name_digest(struct sc_slice name, struct sc_digest *ret_digest);

// ---- query_fetch.c: many objects at once

struct query_fetched { // borrowed
    struct sc_slice name;
    int64_t mtime_ms; // and tag: the caller's
    const void *tag;
    enum sc_rc rc;
    const struct sc_error *story;
    struct sc_slice body;
};
typedef enum sc_rc (*query_fetched_fn)(void *context, const struct query_fetched *got, struct sc_error *err);
// The first six are set by the caller, the rest is zero. Ended also after an error.
struct query_fetches {
    struct sc_queries *queries;
    size_t max_bytes;
    query_fetched_fn visit; // in no order; its first error ends it
    void *context;
    enum sc_rc (*page)(void *context,
                       struct sc_error *err); // before each page of query_read_all; NULL: nothing
    void *page_context;
    uint32_t open;
    enum sc_rc rc;
    struct sc_error err;
};
enum sc_rc query_fetch(struct query_fetches *fetches, struct sc_slice name, int64_t mtime_ms,
                       const void *tag);
enum sc_rc query_fetch_end(struct query_fetches *fetches, struct sc_error *err);
// Every object under a prefix.
enum sc_rc query_read_all(struct query_fetches *fetches, struct sc_slice prefix, struct sc_error *err);
struct query_read_record { // borrowed, in the arena until visit returns
    struct sc_slice name, bytes;
    struct sc_digest key;
    enum sc_rc rc; // else `record` is nothing; SC_NOT_FOUND: it went meanwhile
    struct sc_error story;
    struct sc_record record;
    struct sc_arena *arena;
};
typedef enum sc_rc (*query_record_fn)(void *context, const struct query_read_record *read,
                                      struct sc_error *err);
// Every sample-th record, in no order; names that are none are passed over and counted.
struct query_records {
    struct sc_queries *queries;
    query_record_fn visit;
    void *context;
    uint64_t sample, seen, strange;
};
enum sc_rc query_each_record(struct query_records *records, struct sc_error *err);

// ---- query_run.c: naming runs, listing them, reading their events

enum sc_rc query_resolve(struct sc_queries *queries, struct sc_job *job, struct sc_slice wanted,
                         struct query_run *ret_run, struct sc_error *err);
enum sc_rc query_list(struct sc_queries *queries, struct sc_job *job, struct sc_error *err);
// The events of a run: what the core told, else the summary. A list of MessagePack, in `ret_bytes`.
enum sc_rc query_events(struct sc_queries *queries, const struct sc_job *job, const struct query_run *run,
                        struct sc_buf *ret_bytes, struct sc_error *err);
// Calls visit for each; the event is decoded into the arena, which is emptied between them.
typedef void (*query_event_fn)(void *context, const struct sc_event_body *event);
enum sc_rc query_each_event(struct sc_slice events, query_event_fn visit, void *context,
                            struct sc_error *err);
enum sc_rc query_show(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                      struct sc_error *err);
// What the events say of one step, in the job's arena. SC_NOT_FOUND with the nearest step's name.
struct query_step {
    bool has_verdict, finished;
    struct sc_event_body verdict, end;
    struct sc_slice name;
};
enum sc_rc query_step(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                      struct sc_slice step, struct query_step *ret_step, struct sc_error *err);
// The record of a key, from the index or the store; in the arena.
enum sc_rc query_record(struct sc_queries *queries, const struct sc_digest *key, struct sc_arena *arena,
                        struct sc_record *ret_record, struct sc_error *err);

// ---- query_logs.c

enum sc_rc query_logs(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                      struct sc_error *err);
// The last bytes of a stored stream, for explain; empty when there is none.
struct sc_slice query_log_tail(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                               const struct query_step *step, enum sc_stream stream);

// ---- explain.c

enum sc_rc query_explain(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                         struct sc_error *err);

// ---- query_verify.c

enum sc_rc query_verify(struct sc_queries *queries, struct sc_job *job, struct sc_error *err);

// ---- query_gc.c

enum sc_rc query_gc(struct sc_queries *queries, struct sc_job *job, struct sc_error *err);

// ---- query_stats.c

enum sc_rc query_stats(struct sc_queries *queries, struct sc_job *job, struct sc_error *err);

// ---- query_cache.c

enum sc_rc query_cache(struct sc_queries *queries, struct sc_job *job, struct sc_error *err);
