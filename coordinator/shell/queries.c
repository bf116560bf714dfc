#include "coordinator/shell/queries.h"

#include "base/limits.h"
#include "base/memory.h"
#include "coordinator/shell/copy.h"
#include "coordinator/shell/query_parts.h"

enum { PAGE_ROWS = 1000, PAGE_BYTES = 384 << 10 };

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

// ---- answers

void query_send(struct sc_queries *queries, const struct sc_job *job, const struct sc_message *message)
{
    struct sc_job *answer = sc_job_new(SC_JOB_ANSWER);
    answer->client = job->client;
    answer->u.answer.message = *message;
    answer->u.answer.message.id = job->client_req;
    sc_copy_struct(sc_message_schema(message->type), &message->body, &answer->arena,
                   &answer->u.answer.message.body);
    sc_mailbox_send(queries->config.answers, answer);
}

static void send_page(struct sc_queries *queries, const struct sc_job *job, struct sc_slice *rows,
                      uint32_t count, bool last)
{
    struct sc_message message = {.type = SC_MESSAGE_PAGE};
    message.body.page.rows = (sc_text_list){rows, count};
    message.body.page.last = last;
    query_send(queries, job, &message);
}

void query_send_rows(struct sc_queries *queries, const struct sc_job *job, const json_t *rows)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *page = SC_NEW_ARRAY(&arena, PAGE_ROWS, struct sc_slice);
    uint32_t count = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char *text = json_dumps(json_array_get(rows, i), JSON_COMPACT);
        if (!text)
            continue;
        page[count] = sc_arena_copy(&arena, sc_slice_str(text));
        free(text);
        bytes += page[count++].len + 8;
        if (count == PAGE_ROWS || bytes > PAGE_BYTES) {
            send_page(queries, job, page, count, false);
            count = 0;
            bytes = 0;
        }
    }
    send_page(queries, job, page, count, true);
}

static enum sc_end_state state_of(struct sc_slice name)
{
    for (enum sc_end_state state = SC_END_DONE; state <= SC_END_SKIPPED; state++)
        if (sc_slice_eq_str(name, sc_end_state_name(state)))
            return state;
    return SC_END_NONE;
}

void query_send_done(struct sc_queries *queries, const struct sc_job *job, const struct query_run *run)
{
    struct sc_message message = {.type = SC_MESSAGE_DONE};
    if (run)
        message.body.done = (struct sc_msg_done){.state = state_of(run->state), .run = run->run};
    query_send(queries, job, &message);
}

json_t *query_text(struct sc_slice text)
{
    json_t *json = json_stringn(text.len ? (const char *)text.ptr : "", text.len);
    if (json)
        return json;
    SC_AUTO_BUF struct sc_buf plain; // not UTF-8
    sc_buf_init(&plain, 0);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f)
            sc_buf_add_byte(&plain, text.ptr[i]);
        else
            sc_buf_printf(&plain, "\\x%02x", text.ptr[i]);
    return json_stringn((const char *)plain.ptr, plain.len);
}

json_t *query_hex(const struct sc_digest *digest)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    return json_string(hex);
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
