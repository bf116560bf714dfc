// What is reached: by every record, by open runs, by what this coordinator's history names.
#include "coordinator/shell/gc.h"

#include "base/limits.h"
#include "base/memory.h"
#include "coordinator/core/fact.h"
#include "coordinator/shell/open_run.h"
#include "pipeline/plan.h"
#include "store/names.h"
#include "store/pack.h"

#include <stdlib.h>

enum { OPEN_RUN_BYTES = 2 * SC_LIMIT_MESSAGE_USER_BYTES };

// ---- withdrawals

static int by_key(const void *a, const void *b)
{
    const struct gc_void *x = a, *y = b;
    int order = sc_digest_cmp(&x->key, &y->key);
    return order ? order : x->generation != y->generation ? (x->generation < y->generation ? 1 : -1) : 0;
}

static enum sc_rc add_voids(void *context, const struct sc_store_op *list, struct sc_error *err)
{
    struct gc *gc = context;
    for (uint32_t i = 0; i < list->entry_count; i++) {
        struct gc_void v = {.mtime_ms = list->entries[i].mtime_ms};
        struct sc_slice name = list->entries[i].name;
        if (!sc_name_void_parse(name, &v.wall_ms, &v.key, &v.generation))
            return sc_error_set(err, SC_MALFORMED,
                                SC_SLICE_FMT
                                ": not the name of a void, so what is withdrawn is not known; remove "
                                "it, unless a newer version of Stepcache wrote it",
                                SC_SLICE_ARG(name));
        if (gc->void_count == gc->void_room) {
            gc->void_room = gc->void_room ? gc->void_room * 2 : 256;
            gc->voids = sc_realloc(gc->voids, gc->void_room, sizeof *gc->voids);
        }
        gc->voids[gc->void_count++] = v;
    }
    return SC_OK;
}

struct gc_void *gc_find_void(const struct gc *gc, const struct sc_digest *key)
{
    size_t low = 0, high = gc->void_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sc_digest_cmp(&gc->voids[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < gc->void_count && sc_digest_eq(&gc->voids[low].key, key) ? &gc->voids[low] : NULL;
}

bool gc_is_over(const struct gc *gc, const struct gc_void *voided)
{
    int64_t at_ms = voided->mtime_ms + SC_STORE_GRAIN_MS;
    return at_ms < gc->cut_ms && at_ms < gc->open_ms;
}

// ---- what a record, a plan, a folder reach

static void add_tree(struct gc *gc, struct sc_marks *marks, const struct sc_digest *root)
{
    sc_marks_add(marks, root);
    if (marks == &gc->kept || !sc_digest_map_get(&gc->trees, root))
        sc_digest_map_put(&gc->trees, root, marks);
}

static void add_artifact(struct gc *gc, struct sc_marks *marks, const struct sc_artifact *artifact)
{
    if (sc_digest_is_zero(&artifact->digest))
        return;
    if (artifact->kind == SC_ARTIFACT_DIR)
        add_tree(gc, marks, &artifact->digest);
    else
        sc_marks_add(marks, &artifact->digest);
}

static void add_record(struct gc *gc, struct sc_marks *marks, const struct sc_record *record)
{
    for (uint32_t i = 0; i < record->outputs.count; i++)
        add_artifact(gc, marks, &record->outputs.items[i].artifact);
    add_artifact(gc, marks, &record->logs.stdout_);
    add_artifact(gc, marks, &record->logs.stderr_);
    for (uint32_t i = 0; i < record->fields.count; i++) { // long values are objects
        struct sc_mp_reader value = sc_mp_reader(record->fields.items[i].value);
        if (sc_mp_peek(&value) != SC_MP_BIN)
            continue;
        struct sc_digest digest = sc_mp_get_digest(&value);
        sc_marks_add(marks, &digest);
    }
}

static enum sc_rc visit_tree(void *context, const struct query_fetched *got, struct sc_error *err)
{
    struct gc *gc = context;
    struct sc_marks *marks = got->tag == &gc->kept ? &gc->kept : &gc->later;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    struct sc_digest root;
    struct sc_error own = SC_ERROR_INIT;
    sc_arena_init(&arena);
    if (got->rc == SC_NOT_FOUND)
        return SC_OK; // a result that lost it is a miss, and is made again
    if (got->rc != SC_OK && got->rc != SC_CORRUPT)
        return *err = *got->story, got->rc;
    SC_ASSERT(query_name_digest(got->name, &root));
    enum sc_rc rc = got->rc == SC_OK ? sc_tree_decode(got->body, &root, &arena, &tree, &own) : SC_CORRUPT;
    if (rc == SC_VERSION || rc == SC_UNSUPPORTED)
        return *err = own, sc_error_wrap(err, rc, SC_SLICE_FMT, SC_SLICE_ARG(got->name));
    if (rc != SC_OK) {
        gc->corrupt++;
        return SC_OK; // nobody can read it
    }
    for (uint32_t i = 0; i < tree.packs.count; i++)
        sc_marks_add(marks, &tree.packs.items[i].digest);
    for (uint32_t i = 0; i < tree.nodes.count; i++)
        for (uint32_t k = 0; k < tree.nodes.items[i].entries.count; k++) {
            const struct sc_tree_entry *e = &tree.nodes.items[i].entries.items[k];
            if (e->kind == SC_ENTRY_FILE || e->kind == SC_ENTRY_EXEC)
                sc_marks_add(marks, &e->digest);
        }
    return SC_OK;
}

static enum sc_rc mark_trees(struct gc *gc, struct sc_error *err)
{
    struct query_fetches fetches = {
        .queries = gc->queries, .max_bytes = SC_LIMIT_TREE_BYTES, .visit = visit_tree, .context = gc};
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    enum sc_rc rc = SC_OK;
    for (size_t i = 0; i < gc->trees.room && rc == SC_OK; i++) {
        if (!gc->trees.slots[i].value)
            continue;
        sc_buf_clear(&name);
        sc_name_tree(&name, gc->domain, &gc->trees.slots[i].key);
        rc = query_fetch(&fetches, sc_buf_slice(&name), 0, gc->trees.slots[i].value);
        if (rc == SC_OK)
            rc = gc_marker_renew(gc, err);
    }
    enum sc_rc ended = query_fetch_end(&fetches, fetches.rc != SC_OK || rc == SC_OK ? err : NULL);
    return rc == SC_OK ? ended : rc;
}

// ---- records

static enum sc_rc visit_record(void *context, const struct query_fetched *got, struct sc_error *err)
{
    struct gc *gc = context;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error own = SC_ERROR_INIT;
    struct sc_digest key;
    struct sc_record record;
    sc_arena_init(&arena);
    if (got->rc == SC_NOT_FOUND || !query_name_digest(got->name, &key))
        return SC_OK;
    if (got->rc != SC_OK && got->rc != SC_CORRUPT)
        return *err = *got->story, got->rc;
    struct gc_void *voided = gc_find_void(gc, &key);
    if (voided)
        voided->needed = true;
    gc->records++;
    enum sc_rc rc =
        got->rc == SC_OK ? sc_record_decode(got->body, gc->domain, &key, &arena, &record, &own) : SC_CORRUPT;
    if (rc == SC_VERSION)
        return *err = own,
               sc_error_wrap(err, rc, SC_SLICE_FMT ": what it needs is not known", SC_SLICE_ARG(got->name));
    if (rc != SC_OK) {
        gc->corrupt++; // a miss, and replaced when its step comes
        return SC_OK;
    }
    bool withdrawn = voided && record.generation <= voided->generation;
    if (withdrawn && gc_is_over(gc, voided) && got->mtime_ms + SC_STORE_GRAIN_MS < gc->cut_ms) {
        voided->needed = false;
        GC_APPEND(gc, gc->dead, key);
        return SC_OK;
    }
    bool dropped = !withdrawn && sc_marks_has(&gc->drops, &key);
    add_record(gc, dropped ? &gc->later : &gc->kept, &record);
    return SC_OK;
}

static enum sc_rc renew(void *context, struct sc_error *err)
{
    return gc_marker_renew(context, err);
}

// Reads every object below a name.
static enum sc_rc read_all(struct gc *gc, const char *below, size_t max_bytes, query_fetched_fn visit,
                           void *context, struct sc_error *err)
{
    struct query_fetches fetches = {.queries = gc->queries,
                                    .max_bytes = max_bytes,
                                    .visit = visit,
                                    .context = context,
                                    .page = renew,
                                    .page_context = gc};
    return query_read_all(&fetches, gc_name(gc, below), err);
}

// ---- what the policy drops

struct choosing {
    struct gc *gc;
    SC_LIST(struct sc_gc_record, records);
};

static struct sc_digest group_of(const struct sc_record *record)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    const struct sc_slice parts[] = {record->namespace_, record->pipeline, record->step};
    for (size_t i = 0; i < SC_COUNT(parts); i++) {
        sc_buf_add_slice(&text, parts[i]);
        sc_buf_add_byte(&text, 0);
    }
    return sc_digest_of(sc_buf_slice(&text));
}

static enum sc_rc visit_choice(void *context, const struct query_fetched *got, struct sc_error *err)
{
    struct choosing *choosing = context;
    struct gc *gc = choosing->gc;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_digest key;
    struct sc_record record;
    (void)err; // what cannot be read is told when what is reached is looked for
    sc_arena_init(&arena);
    if (got->rc != SC_OK || !query_name_digest(got->name, &key) ||
        sc_record_decode(got->body, gc->domain, &key, &arena, &record, NULL) != SC_OK)
        return SC_OK;
    const struct gc_void *voided = gc_find_void(gc, &key);
    if (voided && record.generation <= voided->generation)
        return SC_OK;
    struct sc_gc_record r = {.key = key,
                             .group = group_of(&record),
                             .ended_at = record.ended_at,
                             .wall_ms = record.wall_ms,
                             .pinned = sc_marks_has(&gc->pins, &key),
                             .in_namespace = !gc->policy.has_namespace ||
                                             sc_slice_eq(gc->policy.namespace_, record.namespace_)};
    for (uint32_t i = 0; i < record.outputs.count; i++)
        r.bytes += record.outputs.items[i].artifact.bytes;
    uint32_t at = 0;
    while (at < gc->namespaces.count && !sc_slice_eq(gc->namespaces.items[at].name, record.namespace_))
        at++;
    if (at == gc->namespaces.count) {
        struct gc_namespace n = {.name = sc_arena_copy(&gc->arena, record.namespace_)};
        GC_APPEND(gc, gc->namespaces, n);
    }
    r.namespace_ = at;
    GC_APPEND(gc, choosing->records, r);
    return SC_OK;
}

static enum sc_rc visit_pin(void *context, struct sc_slice name, struct sc_error *err)
{
    struct gc *gc = context;
    struct sc_digest key;
    (void)err;
    if (query_name_digest(name, &key))
        sc_marks_add(&gc->pins, &key);
    return SC_OK;
}

static enum sc_rc choose(struct gc *gc, struct sc_error *err)
{
    struct choosing choosing = {.gc = gc};
    enum sc_rc rc = query_each_name(gc->queries, gc_name(gc, "gc/pin/"), visit_pin, gc, err);
    if (rc == SC_OK)
        rc = read_all(gc, "key/", SC_LIMIT_RECORD_BYTES, visit_choice, &choosing, err);
    if (rc != SC_OK)
        return rc;
    sc_gc_policy_choose(&gc->policy, gc->t0_ms, choosing.records.items, choosing.records.count);
    for (uint32_t i = 0; i < choosing.records.count; i++) {
        const struct sc_gc_record *r = &choosing.records.items[i];
        if (!r->drop || gc->dropped.count == QUERY_VOIDS_MOST)
            continue;
        GC_APPEND(gc, gc->dropped, r->key);
        sc_marks_add(&gc->drops, &r->key);
        gc->namespaces.items[r->namespace_].records++;
        gc->namespaces.items[r->namespace_].bytes += r->bytes;
    }
    return SC_OK;
}

// ---- runs

// A plan that is gone, or cannot be read, is of a run that cannot go on; its code is looked for by nobody.
static enum sc_rc add_plan(struct gc *gc, const struct sc_digest *digest, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_plan *plan;
    sc_arena_init(&arena);
    sc_buf_init(&bytes, SC_LIMIT_PLAN_BYTES);
    sc_marks_add(&gc->kept, digest);
    enum sc_rc rc = sc_objects_get_bytes(gc->queries->objects, digest, SC_LIMIT_PLAN_BYTES, &bytes, err);
    if (rc == SC_NOT_FOUND || rc == SC_CORRUPT)
        return SC_OK;
    if (rc == SC_OK)
        rc = sc_plan_decode(sc_buf_slice(&bytes), &arena, &plan, err);
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "the plan of an open run");
    for (uint32_t i = 0; i < plan->sources.count; i++)
        add_artifact(gc, &gc->kept, &plan->sources.items[i].artifact);
    for (uint32_t i = 0; i < plan->steps.count; i++)
        if (!sc_digest_is_zero(&plan->steps.items[i].code))
            add_tree(gc, &gc->kept, &plan->steps.items[i].code);
    return SC_OK;
}

struct open_plans { // read one by one after the pages, since each needs the store itself
    struct gc *gc;
    SC_LIST(struct sc_digest, plans);
    bool own; // some are of this coordinator
};

static void note_open(struct open_plans *open, const struct sc_digest *plan, int64_t since_ms)
{
    GC_APPEND(open->gc, open->plans, *plan);
    open->gc->open_runs++;
    if (since_ms < open->gc->open_ms)
        open->gc->open_ms = since_ms;
}

static enum sc_rc visit_open(void *context, const struct query_fetched *got, struct sc_error *err)
{
    struct open_plans *open = context;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_open_run run;
    struct sc_error own = SC_ERROR_INIT;
    sc_arena_init(&arena);
    if (got->rc == SC_NOT_FOUND)
        return SC_OK;
    if (got->rc != SC_OK && got->rc != SC_CORRUPT)
        return *err = *got->story, got->rc;
    enum sc_rc rc =
        got->rc == SC_OK ? sc_open_run_decode(got->body, got->name, &arena, &run, &own) : SC_CORRUPT;
    if (rc == SC_VERSION)
        return *err = own,
               sc_error_wrap(err, rc, SC_SLICE_FMT ": what it needs is not known", SC_SLICE_ARG(got->name));
    if (rc == SC_OK)
        note_open(open, &run.plan, got->mtime_ms);
    else
        open->gc->corrupt++; // nobody can take it up
    return SC_OK;
}

// Of this coordinator: the open ones of a private one lie in no store, and a closed run is told of by its plan.
static enum sc_rc add_own_runs(struct open_plans *open, struct sc_error *err)
{
    struct gc *gc = open->gc;
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(gc->queries->db, "SELECT plan, state = 'open', started_at FROM runs", -1, &s,
                           NULL) != SQLITE_OK)
        return sc_error_set(err, SC_IO, "read the journal's runs: %s", sqlite3_errmsg(gc->queries->db));
    int got;
    while ((got = sqlite3_step(s)) == SQLITE_ROW) {
        struct sc_digest plan;
        if (sqlite3_column_bytes(s, 0) != SC_DIGEST_BYTES)
            continue;
        memcpy(plan.bytes, sqlite3_column_blob(s, 0), SC_DIGEST_BYTES);
        open->own |= sqlite3_column_int(s, 1);
        if (sqlite3_column_int(s, 1) && gc->queries->config.name.len == 0)
            note_open(open, &plan, sqlite3_column_int64(s, 2));
        else
            sc_marks_add(&gc->kept, &plan);
    }
    sqlite3_finalize(s);
    return got == SQLITE_DONE
               ? SC_OK
               : sc_error_set(err, SC_IO, "read the journal's runs: %s", sqlite3_errmsg(gc->queries->db));
}

static void add_fact(struct gc *gc, struct sc_slice bytes)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_fact fact = {0};
    sc_arena_init(&arena);
    if (sc_decode(&sc_schema_fact, bytes, SC_DECODE_LENIENT, &arena, &fact, NULL) != SC_OK)
        return;
    if (fact.kind == SC_FACT_PIN)
        add_artifact(gc, &gc->kept, &fact.artifact);
    if (fact.kind != SC_FACT_REPORT)
        return;
    for (uint32_t i = 0; i < fact.result.outputs.count; i++)
        add_artifact(gc, &gc->kept, &fact.result.outputs.items[i].artifact);
    add_artifact(gc, &gc->kept, &fact.result.stdout_);
    add_artifact(gc, &gc->kept, &fact.result.stderr_);
}

// What the journal alone tells of: results of steps that are not cached, or whose record is another's or was replaced
// since, and what agents found in sources. It holds what was told since the oldest run began that is open, and more.
static enum sc_rc add_facts(struct gc *gc, struct sc_error *err)
{
    sqlite3_stmt *s;
    int got = sqlite3_prepare_v2(gc->queries->db, "SELECT fact FROM facts", -1, &s, NULL);
    if (got == SQLITE_OK)
        while ((got = sqlite3_step(s)) == SQLITE_ROW)
            add_fact(gc, sc_slice(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0)));
    sqlite3_finalize(s);
    return got == SQLITE_DONE
               ? SC_OK
               : sc_error_set(err, SC_IO, "read the journal's facts: %s", sqlite3_errmsg(gc->queries->db));
}

static enum sc_rc add_runs(struct gc *gc, struct sc_error *err)
{
    struct open_plans open = {.gc = gc};
    enum sc_rc rc = read_all(gc, "open/", OPEN_RUN_BYTES, visit_open, &open, err);
    if (rc == SC_OK)
        rc = add_own_runs(&open, err);
    if (rc == SC_OK && open.own)
        rc = add_facts(gc, err);
    for (uint32_t i = 0; i < open.plans.count && rc == SC_OK; i++)
        rc = add_plan(gc, &open.plans.items[i], err);
    return rc;
}

// Open runs first: what one needs is named by its plan until it closes, and by records from then on.
enum sc_rc gc_mark(struct gc *gc, struct sc_error *err)
{
    enum sc_rc rc = query_each_page(gc->queries, gc_name(gc, "void/"), add_voids, gc, err);
    if (rc == SC_OK && gc->void_count)
        qsort(gc->voids, gc->void_count, sizeof *gc->voids, by_key);
    if (rc == SC_OK)
        rc = add_runs(gc, err);
    if (rc == SC_OK && sc_gc_policy_drops(&gc->policy))
        rc = choose(gc, err);
    if (rc == SC_OK)
        rc = read_all(gc, "key/", SC_LIMIT_RECORD_BYTES, visit_record, gc, err);
    if (rc == SC_OK)
        rc = mark_trees(gc, err);
    if (rc == SC_OK && (gc->kept.full || gc->later.full))
        rc = sc_error_set(err, SC_LIMIT, "more objects are reached than a collection can hold in memory");
    return rc;
}
