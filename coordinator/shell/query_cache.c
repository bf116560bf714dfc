// cache ls | show | rm | pin | unpin | stats, for queries. What removes is done by the writing store thread, by way of the core thread.
#include "coordinator/shell/query_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "coordinator/shell/storage_parts.h"
#include "store/names.h"

#include <stdlib.h>

enum { PREFIX_LEAST = 6 };

// ---- which records are meant: a key or its beginning, a step, a pipeline, pipeline/step

static bool is_hex(struct sc_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!((text.ptr[i] >= '0' && text.ptr[i] <= '9') || (text.ptr[i] >= 'a' && text.ptr[i] <= 'f')))
            return false;
    return text.len >= PREFIX_LEAST && text.len <= 64;
}

static bool key_begins(const struct sc_digest *key, struct sc_slice prefix)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(key, hex);
    return prefix.len <= 64 && memcmp(hex, prefix.ptr, prefix.len) == 0;
}

// A step's name stands for all instances of its matrix too.
static bool step_is(struct sc_slice step, struct sc_slice wanted)
{
    if (step.len < wanted.len || memcmp(step.ptr, wanted.ptr, wanted.len) != 0)
        return false;
    return step.len == wanted.len || step.ptr[wanted.len] == '[';
}

static bool is_meant(const struct sc_record *record, const sc_text_list *wanted)
{
    for (uint32_t i = 0; i < wanted->count; i++) {
        struct sc_slice w = wanted->items[i];
        if (w.len == 0)
            continue;
        const uint8_t *slash = memchr(w.ptr, '/', w.len);
        size_t at = slash ? (size_t)(slash - w.ptr) : 0;
        if ((is_hex(w) && key_begins(&record->key, w)) || step_is(record->step, w) ||
            sc_slice_eq(record->pipeline, w) ||
            (slash && sc_slice_eq(record->pipeline, sc_slice(w.ptr, at)) &&
             step_is(record->step, sc_slice_from(w, at + 1))))
            return true;
    }
    return wanted->count == 0;
}

struct gathering {
    struct sc_queries *queries;
    struct sc_arena *arena;
    const sc_text_list *wanted;
    struct sc_record *records; // with what they borrow in the arena
    uint32_t count, room, most;
};

static enum sc_rc gather_record(void *context, const struct query_read_record *read, struct sc_error *err)
{
    struct gathering *g = context;
    if (read->rc != SC_OK || !is_meant(&read->record, g->wanted))
        return SC_OK;
    if (g->count == g->most)
        return sc_error_set(err, SC_LIMIT, "more than %u results are meant; name a pipeline, a step or a key",
                            g->most);
    if (g->count == g->room) {
        g->room = g->room ? g->room * 2 : 256;
        g->records = sc_realloc(g->records, g->room, sizeof *g->records);
    }
    struct sc_slice kept = sc_arena_copy(g->arena, read->bytes);
    SC_ASSERT(sc_record_decode(kept, g->queries->config.domain, &read->key, g->arena, &g->records[g->count++],
                               NULL) == SC_OK);
    return SC_OK;
}

// The one that a whole key names: no other needs to be read.
static enum sc_rc gather_one(struct gathering *g, const struct sc_digest *key, struct sc_error *err)
{
    struct query_read_record read = {.key = *key, .arena = g->arena};
    read.rc = sc_records_get(g->queries->store, g->queries->config.domain, key, g->arena, &read.bytes,
                             &read.record, &read.story);
    if (read.rc != SC_OK && read.rc != SC_NOT_FOUND && !sc_records_is_unreadable(read.rc))
        return *err = read.story, read.rc;
    return gather_record(g, &read, err);
}

static int newest_first(const void *a, const void *b)
{
    const struct sc_record *x = a, *y = b;
    return x->ended_at != y->ended_at ? (x->ended_at < y->ended_at ? 1 : -1)
                                      : sc_digest_cmp(&x->key, &y->key);
}

static enum sc_rc gather(struct sc_queries *queries, struct sc_arena *arena, const sc_text_list *wanted,
                         uint32_t most, struct gathering *ret_gathered, struct sc_error *err)
{
    struct gathering g = {.queries = queries, .arena = arena, .wanted = wanted, .most = most};
    struct query_records all = {.queries = queries, .visit = gather_record, .context = &g, .sample = 1};
    struct sc_digest key;
    bool one = wanted->count == 1 && wanted->items[0].len == 64 && sc_digest_parse(wanted->items[0], &key);
    enum sc_rc rc = one ? gather_one(&g, &key, err) : query_each_record(&all, err);
    if (rc != SC_OK) {
        free(g.records);
        return rc;
    }
    if (g.count)
        qsort(g.records, g.count, sizeof *g.records, newest_first);
    *ret_gathered = g;
    return SC_OK;
}

static enum sc_rc none_meant(const sc_text_list *wanted, struct sc_error *err)
{
    sc_error_set(err, SC_NOT_FOUND, "no result of the cache is meant by " SC_SLICE_FMT,
                 SC_SLICE_ARG(wanted->items[0]));
    sc_error_hint(err, "name a key (or its first 6 digits), a step, a pipeline, or pipeline/step; `stepctl "
                       "cache ls` lists them");
    return SC_NOT_FOUND;
}

// ---- ls, show

static json_t *summary_row(const struct sc_record *record)
{
    json_t *row = json_object();
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < record->outputs.count; i++)
        bytes += record->outputs.items[i].artifact.bytes;
    json_object_set_new(row, "key", query_hex(&record->key));
    json_object_set_new(row, "namespace", query_text(record->namespace_));
    json_object_set_new(row, "pipeline", query_text(record->pipeline));
    json_object_set_new(row, "step", query_text(record->step));
    json_object_set_new(row, "run", query_text(record->run));
    json_object_set_new(row, "agent", query_text(record->agent));
    json_object_set_new(row, "ended_at", json_integer(record->ended_at));
    json_object_set_new(row, "wall_ms", json_integer((json_int_t)record->wall_ms));
    json_object_set_new(row, "bytes", json_integer((json_int_t)bytes));
    json_object_set_new(row, "generation", json_integer((json_int_t)record->generation));
    return row;
}

static json_t *whole_row(const struct sc_record *record)
{
    json_t *row = summary_row(record), *outputs = json_object(), *values = json_object(),
           *fields = json_object();
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    json_object_set_new(row, "cpu_ms", json_integer((json_int_t)record->cpu_ms));
    json_object_set_new(row, "max_rss_bytes", json_integer((json_int_t)record->max_rss_bytes));
    for (uint32_t i = 0; i < record->outputs.count; i++) {
        const struct sc_record_output *output = &record->outputs.items[i];
        json_t *o = json_object();
        json_object_set_new(o, "kind",
                            json_string(output->artifact.kind == SC_ARTIFACT_DIR ? "dir" : "file"));
        json_object_set_new(o, "digest", query_hex(&output->artifact.digest));
        json_object_set_new(o, "bytes", json_integer((json_int_t)output->artifact.bytes));
        json_object_set_new(o, "files", json_integer((json_int_t)output->artifact.files));
        json_object_setn_new(outputs, (const char *)output->name.ptr, output->name.len, o);
    }
    for (uint32_t i = 0; i < record->values.count; i++)
        json_object_setn_new(values, (const char *)record->values.items[i].name.ptr,
                             record->values.items[i].name.len, query_text(record->values.items[i].json));
    for (uint32_t i = 0; i < record->fields.count; i++) {
        sc_buf_clear(&text);
        sc_key_value_print(record->fields.items[i].value, 4096, &text);
        json_object_setn_new(fields, (const char *)record->fields.items[i].label.ptr,
                             record->fields.items[i].label.len, query_text(sc_buf_slice(&text)));
    }
    json_object_set_new(row, "outputs", outputs);
    json_object_set_new(row, "values", values);
    json_object_set_new(row, "fields", fields);
    return row;
}

static enum sc_rc list_or_show(struct sc_queries *queries, struct sc_job *job, bool whole,
                               struct sc_error *err)
{
    const sc_text_list *wanted = &job->u.query.message.body.cache.args;
    struct gathering g;
    enum sc_rc rc = gather(queries, &job->arena, wanted, whole ? QUERY_ROWS_MOST : QUERY_VOIDS_MOST, &g, err);
    if (rc != SC_OK)
        return rc;
    if (whole && g.count == 0 && wanted->count) {
        free(g.records);
        return none_meant(wanted, err);
    }
    json_t *rows = json_array();
    for (uint32_t i = 0; i < g.count && i < QUERY_ROWS_MOST; i++)
        json_array_append_new(rows, whole ? whole_row(&g.records[i]) : summary_row(&g.records[i]));
    query_send_rows(queries, job, rows);
    json_decref(rows);
    free(g.records);
    return SC_OK;
}

// ---- rm: the core thread voids the keys, then says that it is done

static enum sc_rc remove_records(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    const sc_text_list *wanted = &job->u.query.message.body.cache.args;
    if (wanted->count == 0)
        return sc_error_set(err, SC_INVALID, "cache rm: name a key, a step, a pipeline, or pipeline/step");
    struct gathering g;
    enum sc_rc rc = gather(queries, &job->arena, wanted, QUERY_VOIDS_MOST, &g, err);
    if (rc != SC_OK)
        return rc;
    if (g.count == 0) {
        free(g.records);
        return none_meant(wanted, err);
    }
    job->u.query.voids = SC_NEW_ARRAY(&job->arena, g.count, struct sc_digest);
    job->u.query.rows = SC_NEW_ARRAY(&job->arena, g.count, struct sc_slice);
    for (uint32_t i = 0; i < g.count; i++) {
        json_t *row = summary_row(&g.records[i]);
        char *text = json_dumps(row, JSON_COMPACT);
        job->u.query.voids[i] = g.records[i].key;
        job->u.query.rows[i] = sc_arena_copy(&job->arena, sc_slice_str(text));
        free(text);
        json_decref(row);
    }
    job->u.query.void_count = job->u.query.row_count = g.count;
    job->u.query.void_reason = sc_slice_str("removed by hand");
    free(g.records);
    return SC_OK;
}

// ---- pin, unpin: gc/pin/<key> keeps a result from the policies of cache gc

static enum sc_rc set_pin(struct sc_queries *queries, const struct sc_record *record, bool pinned,
                          struct sc_error *err)
{
    char hex[SC_DIGEST_HEX_BYTES];
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_digest_hex(&record->key, hex);
    sc_buf_printf(&name, "v1/" SC_SLICE_FMT "/gc/pin/%s", SC_SLICE_ARG(queries->config.domain), hex);
    return pinned ? storage_put_named(queries->store, sc_buf_slice(&name), sc_slice(NULL, 0), err)
                  : storage_remove_named(queries->store, sc_buf_slice(&name), err);
}

static enum sc_rc pin_records(struct sc_queries *queries, struct sc_job *job, bool pinned,
                              struct sc_error *err)
{
    const sc_text_list *wanted = &job->u.query.message.body.cache.args;
    if (wanted->count == 0)
        return sc_error_set(err, SC_INVALID, "cache %s: name a key, a step, a pipeline, or pipeline/step",
                            pinned ? "pin" : "unpin");
    struct gathering g;
    enum sc_rc rc = gather(queries, &job->arena, wanted, QUERY_ROWS_MOST, &g, err);
    if (rc == SC_OK && g.count == 0)
        rc = none_meant(wanted, err);
    else if (rc != SC_OK)
        return rc;
    json_t *rows = json_array();
    for (uint32_t i = 0; i < g.count && rc == SC_OK; i++) {
        rc = set_pin(queries, &g.records[i], pinned, err);
        json_array_append_new(rows, summary_row(&g.records[i]));
    }
    if (rc == SC_OK)
        query_send_rows(queries, job, rows);
    json_decref(rows);
    free(g.records);
    return rc;
}

enum sc_rc query_cache(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    struct sc_slice op = job->u.query.message.body.cache.op;
    if (sc_slice_eq_str(op, "ls"))
        return list_or_show(queries, job, false, err);
    if (sc_slice_eq_str(op, "show"))
        return list_or_show(queries, job, true, err);
    if (sc_slice_eq_str(op, "rm"))
        return remove_records(queries, job, err);
    if (sc_slice_eq_str(op, "verify"))
        return query_verify(queries, job, err);
    if (sc_slice_eq_str(op, "stats"))
        return query_stats(queries, job, err);
    if (sc_slice_eq_str(op, "gc"))
        return query_gc(queries, job, err);
    if (sc_slice_eq_str(op, "pin") || sc_slice_eq_str(op, "unpin"))
        return pin_records(queries, job, sc_slice_eq_str(op, "pin"), err);
    return sc_error_set(err, SC_UNSUPPORTED,
                        "cache: there is no operation " SC_SLICE_FMT
                        ": ls, show, rm, pin, unpin, gc, verify, stats",
                        SC_SLICE_ARG(op));
}
