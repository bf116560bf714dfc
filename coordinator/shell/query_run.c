// Runs, for queries: which one is meant, the list of them, and their events.
#include "coordinator/shell/query_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "coordinator/shell/copy.h"
#include "pipeline/suggest.h"
#include "store/compress.h"
#include "store/names.h"

enum { CANDIDATES = 10, EVENTS_MOST = 256, EVENTS_BYTES = 384 << 10, LIST_MOST = 10000, NEAREST_OF = 1000 };

static enum sc_rc sql_failed(const struct sc_queries *queries, struct sc_error *err)
{
    return sc_error_set(err, SC_IO, "read %s: %s", queries->config.journal_path, sqlite3_errmsg(queries->db));
}

static enum sc_rc prepare(struct sc_queries *queries, const char *sql, sqlite3_stmt **ret_s,
                          struct sc_error *err)
{
    return sqlite3_prepare_v2(queries->db, sql, -1, ret_s, NULL) == SQLITE_OK ? SC_OK
                                                                              : sql_failed(queries, err);
}

static struct sc_slice column(sqlite3_stmt *s, int at)
{
    const unsigned char *text = sqlite3_column_text(s, at);
    return sc_slice(text, text ? (size_t)sqlite3_column_bytes(s, at) : 0);
}

static void take_run(sqlite3_stmt *s, struct sc_arena *arena, struct query_run *ret_run)
{
    *ret_run = (struct query_run){.run = sc_arena_copy(arena, column(s, 0)),
                                  .namespace_ = sc_arena_copy(arena, column(s, 1)),
                                  .state = sc_arena_copy(arena, column(s, 2))};
    if (sqlite3_column_bytes(s, 3) == SC_DIGEST_BYTES)
        memcpy(ret_run->plan.bytes, sqlite3_column_blob(s, 3), SC_DIGEST_BYTES);
}

// ---- which run

static enum sc_rc no_such_run(struct sc_queries *queries, struct sc_slice wanted, struct sc_error *err)
{
    sqlite3_stmt *s;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, wanted);
    if (prepare(queries, "SELECT run FROM runs ORDER BY started_at DESC LIMIT ?", &s, NULL) == SC_OK) {
        sqlite3_bind_int(s, 1, NEAREST_OF);
        while (sqlite3_step(s) == SQLITE_ROW)
            sc_suggest_try(&suggest, sc_arena_copy(&arena, column(s, 0)));
        sqlite3_finalize(s);
    }
    sc_error_set(err, SC_NOT_FOUND, "there is no run " SC_SLICE_FMT, SC_SLICE_ARG(wanted));
    if (sc_suggest_found(&suggest))
        sc_error_hint(err, "did you mean " SC_SLICE_FMT "? `stepctl runs` lists them",
                      SC_SLICE_ARG(suggest.best));
    else
        sc_error_hint(err, "`stepctl runs` lists them");
    return SC_NOT_FOUND;
}

static enum sc_rc ambiguous(struct sc_slice wanted, const struct query_run *found, uint32_t count,
                            struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf list;
    sc_buf_init(&list, 0);
    for (uint32_t i = 0; i < count && i < CANDIDATES; i++)
        sc_buf_printf(&list, "%s" SC_SLICE_FMT, i ? ", " : "", SC_SLICE_ARG(found[i].run));
    return sc_error_set(err, SC_AMBIGUOUS, "several runs begin with " SC_SLICE_FMT ": %s%s",
                        SC_SLICE_ARG(wanted), sc_buf_cstr(&list), count > CANDIDATES ? ", and more" : "");
}

static enum sc_rc latest_run(struct sc_queries *queries, struct sc_job *job, struct query_run *ret_run,
                             struct sc_error *err)
{
    sqlite3_stmt *s;
    enum sc_rc rc = prepare(
        queries, "SELECT run, namespace, state, plan FROM runs ORDER BY started_at DESC, run DESC LIMIT 1",
        &s, err);
    if (rc != SC_OK)
        return rc;
    int step = sqlite3_step(s);
    if (step == SQLITE_ROW)
        take_run(s, &job->arena, ret_run);
    else if (step == SQLITE_DONE)
        rc = sc_error_set(err, SC_NOT_FOUND, "there are no runs yet");
    else
        rc = sql_failed(queries, err);
    sqlite3_finalize(s);
    return rc;
}

enum sc_rc query_resolve(struct sc_queries *queries, struct sc_job *job, struct sc_slice wanted,
                         struct query_run *ret_run, struct sc_error *err)
{
    if (wanted.len == 0 || sc_slice_eq_str(wanted, "latest"))
        return latest_run(queries, job, ret_run, err);
    sqlite3_stmt *s;
    enum sc_rc rc = prepare(queries,
                            "SELECT run, namespace, state, plan FROM runs WHERE run >= ?1 AND run < ?1 || "
                            "char(1114111) ORDER BY run LIMIT ?2",
                            &s, err);
    if (rc != SC_OK)
        return rc;
    struct query_run found[CANDIDATES + 1];
    uint32_t count = 0;
    int step;
    sqlite3_bind_text(s, 1, (const char *)wanted.ptr, (int)wanted.len, SQLITE_STATIC);
    sqlite3_bind_int(s, 2, CANDIDATES + 1);
    while ((step = sqlite3_step(s)) == SQLITE_ROW)
        take_run(s, &job->arena, &found[count++]);
    sqlite3_finalize(s);
    if (step != SQLITE_DONE)
        return sql_failed(queries, err);
    if (count == 0)
        return no_such_run(queries, wanted, err);
    if (count > 1 &&
        !sc_slice_eq(found[0].run, wanted)) // the whole id comes first of those that begin with it
        return ambiguous(wanted, found, count, err);
    *ret_run = found[0];
    return SC_OK;
}

// ---- the list

static json_t *run_row(sqlite3_stmt *s)
{
    static const char *const numbers[] = {"started_at", "ended_at", "steps",   "hits",   "misses",
                                          "joined",     "failed",   "skipped", "ran_ms", "saved_ms"};
    static const char *const texts[] = {"run", "namespace", "pipeline", "user", "state"};
    json_t *row = json_object();
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        json_object_set_new(row, texts[i], query_text(column(s, (int)i)));
    for (size_t i = 0; i < SC_COUNT(numbers); i++)
        json_object_set_new(row, numbers[i],
                            json_integer(sqlite3_column_int64(s, (int)(SC_COUNT(texts) + i))));
    json_object_set_new(row, "plan", query_text(column(s, SC_COUNT(texts) + SC_COUNT(numbers))));
    int64_t started = sqlite3_column_int64(s, SC_COUNT(texts)),
            ended = sqlite3_column_int64(s, SC_COUNT(texts) + 1);
    if (ended)
        json_object_set_new(row, "wall_ms", json_integer(ended - started));
    else
        json_object_del(row, "ended_at");
    return row;
}

// Where results are kept, for those who read them by themselves.
static void send_store(struct sc_queries *queries, struct sc_job *job)
{
    json_t *rows = json_array(), *row = json_object();
    json_object_set_new(row, "store", json_string(sc_store_url(queries->store)));
    json_object_set_new(row, "domain", query_text(queries->config.domain));
    json_array_append_new(rows, row);
    query_send_rows(queries, job, rows);
    json_decref(rows);
}

enum sc_rc query_list(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    const struct sc_msg_list *list = &job->u.query.message.body.list;
    if (sc_slice_eq_str(list->what, "store")) {
        send_store(queries, job);
        return SC_OK;
    }
    if (!sc_slice_eq_str(list->what, "runs"))
        return sc_error_set(err, SC_INVALID, "list: there are runs, agents and store, not '" SC_SLICE_FMT "'",
                            SC_SLICE_ARG(list->what));
    sqlite3_stmt *s;
    enum sc_rc rc =
        prepare(queries,
                "SELECT run, namespace, pipeline, user, state, started_at, ended_at, steps, hits, misses, "
                "joined, failed, skipped, ran_ms, saved_ms, lower(hex(plan)) "
                "FROM runs WHERE ?1 = '' OR pipeline = ?1 ORDER BY started_at DESC, run DESC LIMIT ?2",
                &s, err);
    if (rc != SC_OK)
        return rc;
    sqlite3_bind_text(s, 1, list->pipeline.len ? (const char *)list->pipeline.ptr : "",
                      (int)list->pipeline.len, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, list->limit && list->limit < LIST_MOST ? list->limit : LIST_MOST);
    json_t *rows = json_array();
    int step;
    while ((step = sqlite3_step(s)) == SQLITE_ROW)
        json_array_append_new(rows, run_row(s));
    sqlite3_finalize(s);
    if (step == SQLITE_DONE)
        query_send_rows(queries, job, rows);
    else
        rc = sql_failed(queries, err);
    json_decref(rows);
    return rc;
}

// ---- events

enum sc_rc query_events(struct sc_queries *queries, const struct sc_job *job, const struct query_run *run,
                        struct sc_buf *ret_bytes, struct sc_error *err)
{
    if (job->u.query.events.len) {
        sc_buf_add_slice(ret_bytes, job->u.query.events);
        return SC_OK;
    }
    SC_AUTO_BUF struct sc_buf name, compressed;
    sc_buf_init(&name, 0);
    sc_buf_init(&compressed, 0);
    sc_name_run(&name, queries->config.domain, run->namespace_, run->run, sc_slice_str("summary"));
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, sc_buf_slice(&name));
    op.max_bytes = SC_LIMIT_BUF_BYTES;
    enum sc_rc rc = sc_store_wait(queries->store, &op);
    if (rc == SC_NOT_FOUND)
        sc_error_set(err, rc,
                     "run " SC_SLICE_FMT " left no summary: it did not begin, or its events were removed",
                     SC_SLICE_ARG(run->run));
    else if (rc != SC_OK && err)
        *err = op.err;
    if (rc == SC_OK)
        rc = sc_decompress(sc_buf_slice(&op.data), SC_LIMIT_BUF_BYTES, ret_bytes, err);
    sc_store_op_done(&op);
    return rc;
}

enum sc_rc query_each_event(struct sc_slice events, query_event_fn visit, void *context, struct sc_error *err)
{
    struct sc_mp_reader reader = sc_mp_reader(events);
    uint32_t count = sc_mp_get_array(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct sc_event_body event = {0};
        enum sc_rc rc =
            sc_decode_next(&sc_schema_event_body, &reader, SC_DECODE_LENIENT, &arena, &event, err);
        if (rc != SC_OK)
            return rc;
        visit(context, &event);
    }
    return reader.failed ? sc_error_set(err, SC_CORRUPT, "a run's summary is damaged") : SC_OK;
}

struct sending {
    struct sc_queries *queries;
    struct sc_job *job;
    struct sc_arena arena;
    struct sc_event_body *events;
    uint32_t count;
};

static void send_events(struct sending *s)
{
    struct sc_message message = {.type = SC_MESSAGE_EVENT};
    message.body.event.events.items = s->events;
    message.body.event.events.count = s->count;
    if (s->count)
        query_send(s->queries, s->job, &message);
    s->count = 0;
    sc_arena_done(&s->arena);
}

static void send_event(void *context, const struct sc_event_body *event)
{
    struct sending *s = context;
    sc_copy_struct(&sc_schema_event_body, event, &s->arena, &s->events[s->count++]);
    if (s->count == EVENTS_MOST || s->arena.total_bytes > EVENTS_BYTES)
        send_events(s);
}

enum sc_rc query_show(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                      struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf events;
    sc_buf_init(&events, 0);
    enum sc_rc rc = query_events(queries, job, run, &events, err);
    if (rc != SC_OK)
        return rc;
    struct sending sending = {
        .queries = queries, .job = job, .events = sc_calloc(EVENTS_MOST, sizeof *sending.events)};
    sc_arena_init(&sending.arena);
    rc = query_each_event(sc_buf_slice(&events), send_event, &sending, err);
    send_events(&sending);
    free(sending.events);
    if (rc == SC_OK)
        query_send_done(queries, job, run);
    return rc;
}

// ---- one step

struct finding {
    struct sc_arena *arena;
    struct sc_slice wanted;
    struct query_step *step;
    bool seen;
};

static void find_event(void *context, const struct sc_event_body *event)
{
    struct finding *f = context;
    if (event->step.len == 0 || !sc_slice_eq(event->step, f->wanted))
        return;
    f->seen = true;
    struct sc_event_body *to = event->type == SC_EV_STEP_VERDICT    ? &f->step->verdict
                               : event->type == SC_EV_STEP_FINISHED ? &f->step->end
                                                                    : NULL;
    if (!to)
        return;
    sc_copy_struct(&sc_schema_event_body, event, f->arena, to);
    f->step->has_verdict |= event->type == SC_EV_STEP_VERDICT;
    f->step->finished |= event->type == SC_EV_STEP_FINISHED;
}

static enum sc_rc name_an_instance(const struct sc_plan_step *step, struct sc_slice name,
                                   struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf first;
    sc_buf_init(&first, 0);
    sc_plan_instance_name(step, 0, &first);
    sc_error_set(err, SC_AMBIGUOUS, "step " SC_SLICE_FMT " has %u instances; name one", SC_SLICE_ARG(name),
                 sc_plan_instances(step));
    sc_error_hint(err, "like '%s'", sc_buf_cstr(&first));
    return SC_AMBIGUOUS;
}

// A step without events: the plan tells whether there is one of that name that has not begun.
static enum sc_rc check_name(struct sc_queries *queries, const struct query_run *run, struct sc_slice name,
                             struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_arena_init(&arena);
    sc_buf_init(&bytes, 0);
    struct sc_plan *plan;
    uint32_t step, instance;
    bool all;
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, name);
    bool have =
        sc_objects_get_bytes(queries->objects, &run->plan, SC_LIMIT_PLAN_BYTES, &bytes, NULL) == SC_OK &&
        sc_plan_decode(sc_buf_slice(&bytes), &arena, &plan, NULL) == SC_OK;
    if (have && sc_plan_find(plan, name, &step, &instance, &all))
        return all ? name_an_instance(&plan->steps.items[step], name, err) : SC_OK;
    for (uint32_t i = 0; have && i < plan->steps.count; i++)
        sc_suggest_try(&suggest, plan->steps.items[i].name);
    sc_error_set(err, SC_NOT_FOUND, "run " SC_SLICE_FMT " has no step " SC_SLICE_FMT, SC_SLICE_ARG(run->run),
                 SC_SLICE_ARG(name));
    if (sc_suggest_found(&suggest))
        sc_error_hint(err, "did you mean " SC_SLICE_FMT "?", SC_SLICE_ARG(suggest.best));
    else
        sc_error_hint(err, "`stepctl status " SC_SLICE_FMT "` lists them", SC_SLICE_ARG(run->run));
    return SC_NOT_FOUND;
}

enum sc_rc query_step(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                      struct sc_slice step, struct query_step *ret_step, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf events;
    sc_buf_init(&events, 0);
    struct query_step found = {.name = step};
    struct finding finding = {.arena = &job->arena, .wanted = step, .step = &found};
    enum sc_rc rc = query_events(queries, job, run, &events, err);
    if (rc == SC_OK)
        rc = query_each_event(sc_buf_slice(&events), find_event, &finding, err);
    if (rc == SC_OK && !finding.seen)
        rc = check_name(queries, run, step, err);
    if (rc == SC_OK)
        *ret_step = found;
    return rc;
}

enum sc_rc query_record(struct sc_queries *queries, const struct sc_digest *key, struct sc_arena *arena,
                        struct sc_record *ret_record, struct sc_error *err)
{
    struct sc_slice bytes;
    if (sc_index_get(sc_storage_index(queries->storage), key, arena, &bytes) &&
        sc_record_decode(bytes, queries->config.domain, key, arena, ret_record, NULL) == SC_OK)
        return SC_OK;
    return sc_records_get(queries->store, queries->config.domain, key, arena, &bytes, ret_record, err);
}
