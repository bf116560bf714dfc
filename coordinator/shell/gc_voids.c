// Withdrawals outlive what they withdraw, since copies of it lie in segments and in the memory of coordinators. Those in
// memory are told within a minute, or forgotten (storage_hear_voids); segments are read here.
#include "coordinator/shell/gc.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/names.h"

#include <stdlib.h>

static bool any_is_over(const struct gc *gc)
{
    for (size_t i = 0; i < gc->void_count; i++)
        if (!gc->voids[i].needed && gc_is_over(gc, &gc->voids[i]))
            return true;
    return false;
}

// What one record of a segment says of the withdrawals of its key: it is one that was withdrawn; or the key is in use.
static bool judge(struct gc *gc, struct sc_slice bytes, bool keep)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_digest key;
    struct sc_record record;
    sc_arena_init(&arena);
    struct gc_void *v = sc_index_record_key(bytes, &key) ? gc_find_void(gc, &key) : NULL;
    if (v && keep)
        v->needed = true;
    return v && sc_record_decode(bytes, gc->domain, &key, &arena, &record, NULL) == SC_OK &&
           record.generation <= v->generation;
}

// A segment that is old and holds something withdrawn goes: it only saves reading single records, and the next run of its
// kind writes another. One that stays keeps the voids of all its keys.
static enum sc_rc look_at(struct gc *gc, const struct sc_store_entry *entry, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_store_op op;
    struct sc_segment_part part = {0};
    bool goes = false;
    sc_arena_init(&arena);
    sc_store_op_init(&op, SC_STORE_GET, entry->name);
    op.max_bytes = SC_LIMIT_SEGMENT_BYTES;
    enum sc_rc rc = sc_store_wait(gc->queries->store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    if (rc != SC_OK || sc_segment_decode(sc_buf_slice(&op.data), gc->domain, &arena, &part, NULL) != SC_OK)
        part.records.count = 0; // read by nobody
    if (entry->mtime_ms + SC_STORE_GRAIN_MS < gc->cut_ms)
        for (uint32_t i = 0; i < part.records.count && !goes; i++)
            goes = judge(gc, part.records.items[i], false);
    if (rc == SC_OK && goes && gc->policy.apply)
        rc = gc_remove(gc, entry->name, &goes, err);
    gc->segments_removed += goes;
    for (uint32_t i = 0; i < part.records.count && !goes; i++)
        (void)judge(gc, part.records.items[i], true);
    sc_store_op_done(&op);
    return rc == SC_NOT_FOUND || rc == SC_CORRUPT ? SC_OK : rc;
}

static enum sc_rc look_at_page(void *context, const struct sc_store_op *page, struct sc_error *err)
{
    struct gc *gc = context;
    enum sc_rc rc = gc_marker_renew(gc, err);
    for (uint32_t i = 0; i < page->entry_count && rc == SC_OK; i++)
        rc = look_at(gc, &page->entries[i], err);
    return rc;
}

static enum sc_rc remove_void(struct gc *gc, const struct gc_void *v, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf name;
    bool removed = true;
    sc_buf_init(&name, 0);
    sc_name_void(&name, gc->domain, v->wall_ms, &v->key, v->generation);
    enum sc_rc rc = gc->policy.apply ? gc_remove(gc, sc_buf_slice(&name), &removed, err) : SC_OK;
    gc->voids_removed += rc == SC_OK && removed;
    return rc;
}

enum sc_rc gc_clear_voids(struct gc *gc, struct sc_error *err)
{
    if (!any_is_over(gc))
        return SC_OK;
    enum sc_rc rc = query_each_page(gc->queries, gc_name(gc, "seg/"), look_at_page, gc, err);
    const struct gc_void *newest = NULL; // of the key
    for (size_t i = 0; i < gc->void_count && rc == SC_OK; i++) {
        const struct gc_void *v = &gc->voids[i];
        if (!newest || !sc_digest_eq(&newest->key, &v->key))
            newest = v;
        // All of a key go together: where a record is, its generation is told by the newest.
        if (!newest->needed && gc_is_over(gc, newest) && gc_is_over(gc, v))
            rc = remove_void(gc, v, err);
    }
    return rc;
}
