// What nothing reaches and is older than the cut goes: withdrawn records first, then objects, shard by shard.
#include "coordinator/shell/gc.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/names.h"
#include "store/tree.h"

#include <stdlib.h>

static bool is_old(const struct gc *gc, int64_t mtime_ms)
{
    return mtime_ms + SC_STORE_GRAIN_MS < gc->cut_ms;
}

enum sc_rc gc_remove(struct gc *gc, struct sc_slice name, bool *ret_removed, struct sc_error *err)
{
    struct sc_store_op head, op;
    *ret_removed = false;
    sc_store_op_init(&head, SC_STORE_HEAD, name);
    sc_store_op_init(&op, SC_STORE_REMOVE, name);
    op.before_ms = gc->cut_ms;
    enum sc_rc rc = sc_store_wait(gc->queries->store, &head);
    bool old = rc == SC_OK && is_old(gc, head.mtime_ms);
    if (rc != SC_OK && rc != SC_NOT_FOUND && err)
        *err = head.err;
    if (old) {
        rc = sc_store_wait(gc->queries->store, &op);
        *ret_removed = rc == SC_OK;
        if (rc != SC_OK && rc != SC_BUSY && err)
            *err = op.err;
    }
    sc_store_op_done(&head);
    sc_store_op_done(&op);
    return rc == SC_NOT_FOUND || rc == SC_BUSY ? SC_OK : rc;
}

static enum sc_rc remove_dead(struct gc *gc, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    for (uint32_t i = 0; i < gc->dead.count; i++) {
        bool removed;
        sc_buf_clear(&name);
        sc_name_key(&name, gc->domain, &gc->dead.items[i]);
        enum sc_rc rc = gc_remove(gc, sc_buf_slice(&name), &removed, err);
        if (rc != SC_OK)
            return rc;
        gc->dead_removed += removed;
    }
    return SC_OK;
}

// ---- objects

struct sweeping {
    struct gc *gc;
    struct sc_slice prefix, after; // after: of the page that comes
    uint32_t removing;
    enum sc_rc rc;
    struct sc_error err;
};

struct removal {
    struct sc_store_op op;
    struct sweeping *sweeping;
    struct sc_digest digest;
    uint64_t bytes;
};

static void removed(struct sc_store_op *op)
{
    struct removal *removal = op->context;
    struct sweeping *s = removal->sweeping;
    if (op->rc == SC_OK) {
        s->gc->free_.objects++;
        s->gc->free_.bytes += removal->bytes;
        sc_marks_add(&s->gc->removed, &removal->digest);
    } else if (op->rc == SC_BUSY) {
        s->gc->young.objects++;
        s->gc->young.bytes += removal->bytes;
    } else if (s->rc == SC_OK) {
        s->rc = op->rc;
        s->err = op->err;
    }
    s->removing--;
    sc_store_op_done(op);
    free(removal);
}

static void submit(struct sweeping *s, const struct sc_store_entry *entry, const struct sc_digest *digest)
{
    enum { AT_ONCE = 32 };
    struct removal *removal = sc_calloc(1, sizeof *removal);
    removal->sweeping = s;
    removal->digest = *digest;
    removal->bytes = entry->bytes;
    sc_store_op_init(&removal->op, SC_STORE_REMOVE, entry->name);
    removal->op.before_ms = s->gc->cut_ms;
    removal->op.done = removed;
    removal->op.context = removal;
    s->removing++;
    sc_store_submit(s->gc->queries->store, &removal->op);
    while (s->removing >= AT_ONCE)
        sc_store_dispatch(s->gc->queries->store, -1);
}

static void count(struct gc_sum *sum, const struct sc_store_entry *entry)
{
    sum->objects++;
    sum->bytes += entry->bytes;
}

// Whether it goes; what stays is counted, when it is looked at first.
static bool goes(struct gc *gc, const struct sc_store_entry *entry, bool first, struct sc_digest *ret_digest)
{
    struct gc_sum none, *sum = &none;
    bool wanted = false;
    if (!query_name_digest(entry->name, ret_digest))
        sum = &gc->kept_sum; // none of ours
    else if (sc_marks_has(&gc->kept, ret_digest))
        sum = &gc->kept_sum;
    else if (sc_marks_has(&gc->later, ret_digest))
        sum = &gc->later_sum;
    else if (!is_old(gc, entry->mtime_ms))
        sum = &gc->young;
    else
        wanted = true;
    if (!wanted && first)
        count(sum, entry);
    return wanted;
}

// Once more, since the first look may have been a page of many reads ago: what was put again meanwhile stays.
static enum sc_rc remove_page(struct sweeping *s, const struct sc_store_op *page, struct sc_error *err)
{
    struct sc_store_op again;
    struct sc_digest digest;
    sc_store_op_init(&again, SC_STORE_LIST, s->prefix);
    again.after = s->after;
    again.max_entries = page->max_entries;
    enum sc_rc rc = sc_store_wait(s->gc->queries->store, &again);
    if (rc != SC_OK && err)
        *err = again.err;
    struct sc_slice last = page->entries[page->entry_count - 1].name;
    for (uint32_t i = 0; rc == SC_OK && i < again.entry_count && s->rc == SC_OK; i++)
        if (sc_slice_cmp(again.entries[i].name, last) <= 0 && goes(s->gc, &again.entries[i], false, &digest))
            submit(s, &again.entries[i], &digest);
    while (s->removing)
        sc_store_dispatch(s->gc->queries->store, -1);
    if (rc == SC_OK && s->rc != SC_OK) {
        rc = s->rc;
        *err = s->err;
    }
    sc_store_op_done(&again);
    return rc;
}

static enum sc_rc sweep_page(void *context, const struct sc_store_op *page, struct sc_error *err)
{
    struct sweeping *s = context;
    struct gc *gc = s->gc;
    struct sc_digest digest;
    bool any = false;
    enum sc_rc rc = gc_marker_renew(gc, err);
    for (uint32_t i = 0; i < page->entry_count && rc == SC_OK; i++) {
        if (!goes(gc, &page->entries[i], true, &digest))
            continue;
        any = true;
        if (!gc->policy.apply)
            count(&gc->free_, &page->entries[i]);
    }
    if (rc == SC_OK && any && gc->policy.apply)
        rc = remove_page(s, page, err);
    s->after = sc_arena_copy(&gc->arena, page->entries[page->entry_count - 1].name);
    return rc;
}

// Folders' trees before what lies in them, so that one that stays is whole.
static enum sc_rc sweep_shard(struct gc *gc, uint32_t shard, struct sc_error *err)
{
    static const char *const areas[] = {"tree", "pack", "cas"};
    enum sc_rc rc = SC_OK;
    for (size_t i = 0; i < SC_COUNT(areas) && rc == SC_OK; i++) {
        char below[32];
        snprintf(below, sizeof below, "%s/%x", areas[i], shard);
        struct sweeping s = {.gc = gc, .prefix = gc_name(gc, below)};
        rc = query_each_page(gc->queries, s.prefix, sweep_page, &s, err);
    }
    return rc;
}

// ---- records that came meanwhile

static bool reaches_removed(struct gc *gc, const struct sc_artifact *artifact, struct sc_arena *arena)
{
    struct sc_tree tree;
    if (sc_marks_has(&gc->removed, &artifact->digest))
        return true;
    if (artifact->kind != SC_ARTIFACT_DIR ||
        sc_objects_get_tree(gc->queries->objects, &artifact->digest, arena, &tree, NULL) != SC_OK)
        return false;
    for (uint32_t i = 0; i < tree.packs.count; i++)
        if (sc_marks_has(&gc->removed, &tree.packs.items[i].digest))
            return true;
    for (uint32_t i = 0; i < tree.nodes.count; i++)
        for (uint32_t k = 0; k < tree.nodes.items[i].entries.count; k++) {
            const struct sc_tree_entry *e = &tree.nodes.items[i].entries.items[k];
            bool file = e->kind == SC_ENTRY_FILE || e->kind == SC_ENTRY_EXEC;
            if (file && sc_marks_has(&gc->removed, &e->digest))
                return true;
        }
    return false;
}

static bool is_there(struct gc *gc, const struct sc_artifact *artifact)
{
    enum sc_rc ret;
    sc_objects_presence(gc->queries->objects, &artifact, 1, true, &ret);
    return ret != SC_NOT_FOUND;
}

static enum sc_rc look_after(void *context, const struct sc_store_op *page, struct sc_error *err)
{
    struct gc *gc = context;
    (void)err;
    for (uint32_t i = 0; i < page->entry_count; i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_digest key;
        struct sc_slice bytes;
        struct sc_record record;
        sc_arena_init(&arena);
        if (page->entries[i].mtime_ms + SC_STORE_GRAIN_MS < gc->t0_ms ||
            !query_name_digest(page->entries[i].name, &key) ||
            sc_records_get(gc->queries->store, gc->domain, &key, &arena, &bytes, &record, NULL) != SC_OK)
            continue;
        for (uint32_t k = 0; k < record.outputs.count; k++) {
            const struct sc_artifact *artifact = &record.outputs.items[k].artifact;
            if (!artifact->has_inline && reaches_removed(gc, artifact, &arena) && !is_there(gc, artifact)) {
                GC_APPEND(gc, gc->lost, key);
                break;
            }
        }
    }
    return SC_OK;
}

enum sc_rc gc_sweep(struct gc *gc, struct sc_error *err)
{
    enum sc_rc rc = gc->policy.apply ? remove_dead(gc, err) : SC_OK;
    for (uint32_t i = 0; i < GC_SHARDS && rc == SC_OK; i++) {
        uint32_t shard = (gc->first_shard + i) % GC_SHARDS;
        rc = gc_marker_move(gc, shard, err);
        if (rc == SC_OK)
            rc = sweep_shard(gc, shard, err);
    }
    // In a bucket an object may be put again between the last look and its removal. Whoever did that puts a record.
    if (rc == SC_OK && gc->removed.count && !sc_store_local_root(gc->queries->store))
        rc = query_each_page(gc->queries, gc_name(gc, "key/"), look_after, gc, err);
    return rc;
}
