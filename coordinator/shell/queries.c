#include "coordinator/shell/queries.h"

#include "base/memory.h"
#include "coordinator/shell/query_parts.h"

enum sc_rc sc_queries_open(const struct sc_storage_config *config, struct sc_storage *storage,
                           struct sc_queries **ret_queries, struct sc_error *err)
{
    struct sc_queries *queries = sc_calloc(1, sizeof *queries);
    queries->config = *config;
    queries->storage = storage;
    queries->box = sc_mailbox_new(false);
    enum sc_rc rc = SC_OK;
    if (sqlite3_open_v2(config->journal_path, &queries->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        rc = sc_error_set(err, SC_IO, "read %s: %s", config->journal_path, sqlite3_errmsg(queries->db));
    if (rc == SC_OK)
        rc = sc_store_open(config->url, &queries->store, err);
    if (rc == SC_OK)
        rc = sc_objects_new(&(struct sc_objects_config){.store = queries->store, .domain = config->domain},
                            &queries->objects, err);
    if (rc == SC_OK)
        rc = sc_latest_reader_open(sc_storage_latest(storage), config->journal_path, &queries->latest, err);
    if (rc != SC_OK) {
        sc_queries_close(queries);
        return rc;
    }
    sqlite3_busy_timeout(queries->db, 5000);
    *ret_queries = queries;
    return SC_OK;
}

// ---- the thread

static struct sc_slice wanted_run(const struct sc_message *message)
{
    const struct sc_slice none = {NULL, 0};
    switch ((int)message->type) {
    case SC_MESSAGE_SHOW:
        return message->body.show.run;
    case SC_MESSAGE_WATCH:
        return message->body.watch.run;
    case SC_MESSAGE_LOGS:
        return message->body.logs.run;
    case SC_MESSAGE_CANCEL:
        return message->body.cancel.run;
    case SC_MESSAGE_EXPLAIN:
        return message->body.explain.run;
    default:
        return none;
    }
}

static enum sc_rc answer_run(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                             struct sc_error *err)
{
    enum sc_message_type type = job->u.query.message.type;
    if (type == SC_MESSAGE_SHOW || type == SC_MESSAGE_WATCH)
        return query_show(queries, job, run, err);
    if (type == SC_MESSAGE_LOGS)
        return query_logs(queries, job, run, err);
    if (type == SC_MESSAGE_EXPLAIN)
        return query_explain(queries, job, run, err);
    query_send_done(queries, job, run); // cancel: it ended already
    return SC_OK;
}

static enum sc_rc answer(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    enum sc_message_type type = job->u.query.message.type;
    if (type == SC_MESSAGE_LIST)
        return query_list(queries, job, err);
    if (type == SC_MESSAGE_CACHE)
        return query_cache(queries, job, err);
    struct query_run run;
    struct sc_slice wanted = job->u.query.run.len ? job->u.query.run : wanted_run(&job->u.query.message);
    enum sc_rc rc = query_resolve(queries, job, wanted, &run, err);
    if (rc != SC_OK)
        return rc;
    job->u.query.run = run.run;
    if (job->u.query.resolve && sc_slice_eq_str(run.state, "open")) {
        job->u.query.open = true; // the core knows it
        return SC_OK;
    }
    return answer_run(queries, job, &run, err);
}

static void *query_thread(void *context)
{
    struct sc_queries *queries = context;
    pthread_setname_np(pthread_self(), "sc-query");
    for (;;) {
        struct sc_job *jobs = sc_mailbox_take(queries->box, -1);
        if (!jobs)
            return NULL; // closed
        for (struct sc_job *job = jobs, *next; job; job = next) {
            next = job->next;
            job->rc = answer(queries, job, &job->err);
            sc_mailbox_send(queries->config.answers, job);
        }
    }
}

void sc_queries_start(struct sc_queries *queries)
{
    SC_ASSERT(pthread_create(&queries->thread, NULL, query_thread, queries) == 0);
    queries->started = true;
}

void sc_queries_close(struct sc_queries *queries)
{
    if (!queries)
        return;
    sc_queries_close(queries->slow);
    sc_mailbox_close(queries->box);
    if (queries->started)
        pthread_join(queries->thread, NULL);
    sc_mailbox_free(queries->box);
    sc_latest_reader_close(queries->latest);
    sc_objects_free(queries->objects);
    sc_store_close(queries->store);
    sqlite3_close(queries->db);
    free(queries);
}

// Cache operations read the whole store: others do not wait for them.
static struct sc_queries *slow_one(struct sc_queries *queries)
{
    struct sc_error err = SC_ERROR_INIT;
    if (!queries->slow && sc_queries_open(&queries->config, queries->storage, &queries->slow, &err) == SC_OK)
        sc_queries_start(queries->slow);
    return queries->slow ? queries->slow : queries;
}

void sc_queries_post(struct sc_queries *queries, struct sc_job *job)
{
    if (job->u.query.message.type == SC_MESSAGE_CACHE)
        queries = slow_one(queries);
    sc_mailbox_send(queries->box, job);
}
