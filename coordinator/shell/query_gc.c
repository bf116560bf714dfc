// cache gc, for queries: looks what is reached, removes what is not, and tells of it.
#include "coordinator/shell/gc.h"

#include "base/memory.h"

#include <stdlib.h>

static enum sc_rc begin(struct gc *gc, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_HEAD, sc_slice_str("stepcache.json"));
    enum sc_rc rc = sc_store_wait(gc->queries->store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    gc->t0_ms = op.now_ms;
    gc->cut_ms = op.now_ms - sc_store_horizon_ms(gc->queries->store);
    gc->open_ms = INT64_MAX;
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc collect(struct gc *gc, struct sc_error *err)
{
    // The marker is there before the collection begins, so that its time is not after what it keeps others from.
    enum sc_rc rc = gc->policy.apply ? gc_marker_take(gc, err) : SC_OK;
    if (rc == SC_OK)
        rc = begin(gc, err);
    if (rc == SC_OK)
        rc = gc_mark(gc, err);
    if (rc == SC_OK)
        rc = gc_sweep(gc, err);
    if (rc == SC_OK)
        rc = gc_clear_voids(gc, err);
    gc_marker_drop(gc);
    return rc;
}

// ---- what it says

static void set(json_t *row, const char *name, uint64_t value)
{
    json_object_set_new(row, name, json_integer((json_int_t)value));
}

static json_t *whole_row(const struct gc *gc)
{
    json_t *row = json_object();
    const struct {
        const char *objects, *bytes;
        const struct gc_sum *sum;
    } sums[] = {{"objects", "bytes", &gc->free_},
                {"later_objects", "later_bytes", &gc->later_sum},
                {"young_objects", "young_bytes", &gc->young},
                {"kept_objects", "kept_bytes", &gc->kept_sum}};
    json_object_set_new(row, "row", json_string("gc"));
    json_object_set_new(row, "deleted", json_boolean(gc->policy.apply));
    for (size_t i = 0; i < SC_COUNT(sums); i++) {
        set(row, sums[i].objects, sums[i].sum->objects);
        set(row, sums[i].bytes, sums[i].sum->bytes);
    }
    set(row, "dropped", gc->dropped.count);
    set(row, "lost", gc->lost.count);
    set(row, "records", gc->policy.apply ? gc->dead_removed : gc->dead.count);
    set(row, "voids", gc->voids_removed);
    set(row, "segments", gc->segments_removed);
    set(row, "corrupt", gc->corrupt);
    set(row, "open_runs", gc->open_runs);
    set(row, "began_at", (uint64_t)gc->t0_ms);
    if (gc->open_runs)
        set(row, "open_since_at", (uint64_t)gc->open_ms);
    set(row, "horizon_ms", (uint64_t)sc_store_horizon_ms(gc->queries->store));
    return row;
}

static json_t *all_rows(const struct gc *gc)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < gc->namespaces.count; i++) {
        const struct gc_namespace *n = &gc->namespaces.items[i];
        if (!n->records)
            continue;
        json_t *row = json_object();
        json_object_set_new(row, "row", json_string("namespace"));
        json_object_set_new(row, "namespace", query_text(n->name));
        set(row, "dropped", n->records);
        set(row, "bytes", n->bytes);
        json_array_append_new(rows, row);
    }
    json_array_append_new(rows, whole_row(gc));
    return rows;
}

// The core thread withdraws, then says what was done.
static void hand_over(struct gc *gc, struct sc_job *job, const json_t *rows)
{
    struct sc_job_query *query = &job->u.query;
    uint32_t count = gc->dropped.count + gc->lost.count;
    query->voids = SC_NEW_ARRAY(&job->arena, count, struct sc_digest);
    if (gc->dropped.count)
        memcpy(query->voids, gc->dropped.items, gc->dropped.count * sizeof *query->voids);
    if (gc->lost.count)
        memcpy(query->voids + gc->dropped.count, gc->lost.items, gc->lost.count * sizeof *query->voids);
    query->void_count = count;
    query->void_reason = sc_slice_str("dropped by cache gc");
    query->void_keeps =
        true; // the record: what it names is needed by runs that have hit it, until the void is old
    query->row_count = (uint32_t)json_array_size(rows);
    query->rows = SC_NEW_ARRAY(&job->arena, query->row_count, struct sc_slice);
    for (uint32_t i = 0; i < query->row_count; i++) {
        char *text = json_dumps(json_array_get(rows, i), JSON_COMPACT);
        query->rows[i] = sc_arena_copy(&job->arena, sc_slice_str(text));
        free(text);
    }
}

enum sc_rc query_gc(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    struct gc gc = {.queries = queries, .domain = queries->config.domain};
    sc_arena_init(&gc.arena);
    enum sc_rc rc = sc_gc_policy_parse(&job->u.query.message.body.cache.args, &gc.policy, err);
    if (rc == SC_OK)
        rc = collect(&gc, err);
    json_t *rows = rc == SC_OK ? all_rows(&gc) : NULL;
    if (rows && gc.policy.apply && gc.dropped.count + gc.lost.count)
        hand_over(&gc, job, rows);
    else if (rows)
        query_send_rows(queries, job, rows);
    json_decref(rows);
    free(gc.voids);
    sc_digest_map_done(&gc.trees);
    struct sc_marks *marks[] = {&gc.pins, &gc.drops, &gc.kept, &gc.later, &gc.removed};
    for (size_t i = 0; i < SC_COUNT(marks); i++)
        sc_marks_done(marks[i]);
    sc_arena_done(&gc.arena);
    return rc;
}
