// The marker of a collection, v1/<domain>/gc/sweep: who collects, and how far it has come.
#include "coordinator/shell/gc.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "coordinator/shell/storage_parts.h"

#include <sys/random.h>

struct sc_slice gc_name(struct gc *gc, const char *below)
{
    return sc_arena_printf(&gc->arena, "v1/" SC_SLICE_FMT "/%s", SC_SLICE_ARG(gc->domain), below);
}

enum { DEAD_MS = 10 * 60 * 1000, RENEW_MS = 60 * 1000, MARKER_BYTES = 4096 };

static struct sc_slice owner_of(const struct gc *gc)
{
    const struct sc_storage_config *config = &gc->queries->config;
    return config->name.len ? config->name : config->coordinator;
}

static char *text_of(const struct gc *gc, uint32_t shard)
{
    json_t *json = json_pack("{s:s, s:i}", "v", "stepcache.gc/1", "shard", (int)shard);
    json_object_set_new(json, "owner", query_text(owner_of(gc)));
    json_object_set_new(json, "id", query_text(gc->mark_id));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static enum sc_rc put(struct gc *gc, uint32_t shard, bool if_absent, struct sc_error *err)
{
    char *text = text_of(gc, shard);
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, gc_name(gc, "gc/sweep"));
    op.body = sc_slice_str(text);
    op.if_absent = if_absent;
    enum sc_rc rc = sc_store_wait(gc->queries->store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    free(text);
    gc->marked_mono_ms = sc_clock_mono_ms();
    return rc;
}

struct marker { // of whoever it is
    struct sc_slice owner, id;
    uint32_t shard;
    int64_t mtime_ms, age_ms;
};

static enum sc_rc look(struct gc *gc, struct marker *ret_marker, struct sc_error *err)
{
    struct sc_store_op head;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, MARKER_BYTES);
    sc_store_op_init(&head, SC_STORE_HEAD, gc_name(gc, "gc/sweep"));
    enum sc_rc rc = sc_store_wait(gc->queries->store, &head);
    if (rc != SC_OK && err)
        *err = head.err;
    if (rc == SC_OK)
        rc = storage_get_named(gc->queries->store, head.name, MARKER_BYTES, &bytes, err);
    if (rc == SC_OK) {
        json_t *json = json_loadb((const char *)bytes.ptr, bytes.len, 0, NULL);
        const char *owner = json_string_value(json_object_get(json, "owner"));
        const char *id = json_string_value(json_object_get(json, "id"));
        json_int_t shard = json_integer_value(json_object_get(json, "shard"));
        *ret_marker = (struct marker){
            .owner = sc_arena_copy(&gc->arena, sc_slice_str(owner ? owner : "somebody")),
            .id = sc_arena_copy(&gc->arena, sc_slice_str(id ? id : "")),
            .shard = shard > 0 && shard < GC_SHARDS ? (uint32_t)shard : 0,
            .mtime_ms = head.mtime_ms,
            .age_ms = head.now_ms - head.mtime_ms,
        };
        json_decref(json);
    }
    sc_store_op_done(&head);
    return rc;
}

static enum sc_rc busy(const struct marker *marker, struct sc_error *err)
{
    sc_error_set(err, SC_BUSY, "coordinator " SC_SLICE_FMT " collects this store, and was at it %lld s ago",
                 SC_SLICE_ARG(marker->owner), (long long)(marker->age_ms / 1000));
    sc_error_hint(err, "wait for it; one that says nothing for ten minutes counts as dead");
    return SC_BUSY;
}

enum sc_rc gc_marker_take(struct gc *gc, struct sc_error *err)
{
    uint64_t id;
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return sc_error_set(err, SC_IO, "no random bytes");
    gc->mark_id = sc_arena_printf(&gc->arena, "%016llx", (unsigned long long)id);
    enum sc_rc rc = put(gc, 0, true, err);
    struct marker marker;
    enum sc_rc seen = rc == SC_EXISTS ? look(gc, &marker, err) : SC_OK;
    if (seen == SC_NOT_FOUND)
        return sc_error_set(err, SC_BUSY, "another collection of this store ends just now; try again");
    if (seen != SC_OK)
        return seen;
    if (rc == SC_EXISTS && !sc_slice_eq(marker.owner, owner_of(gc)) && marker.age_ms < DEAD_MS)
        return busy(&marker, err);
    if (rc == SC_EXISTS) {
        gc->first_shard = gc->shard = marker.shard;
        struct sc_store_op op;
        sc_store_op_init(&op, SC_STORE_REMOVE, gc_name(gc, "gc/sweep"));
        op.before_ms = marker.mtime_ms + 1; // not another's that was quicker
        rc = sc_store_wait(gc->queries->store, &op);
        if (rc != SC_OK && err)
            *err = op.err;
        sc_store_op_done(&op);
        if (rc == SC_OK)
            rc = put(gc, gc->first_shard, true, err);
        if (rc == SC_EXISTS || rc == SC_BUSY)
            return busy(&marker, err);
    }
    gc->marked = rc == SC_OK;
    // No room for the marker: room is what a collection makes, and two at once are only twice the work.
    return rc == SC_FULL ? SC_OK : rc;
}

enum sc_rc gc_marker_move(struct gc *gc, uint32_t shard, struct sc_error *err)
{
    struct marker marker;
    gc->shard = shard;
    if (!gc->marked)
        return SC_OK;
    enum sc_rc rc = look(gc, &marker, err);
    if (rc == SC_OK && !sc_slice_eq(marker.id, gc->mark_id)) {
        gc->marked = false; // it is not ours to drop
        return busy(&marker, err);
    }
    if (rc == SC_OK || rc == SC_NOT_FOUND)
        rc = put(gc, shard, false, err);
    return rc == SC_FULL ? SC_OK : rc;
}

enum sc_rc gc_marker_renew(struct gc *gc, struct sc_error *err)
{
    if (sc_mailbox_closed(gc->queries->box))
        return sc_error_set(err, SC_CANCELLED, "the coordinator stops");
    return gc->marked && sc_clock_mono_ms() - gc->marked_mono_ms > RENEW_MS
               ? gc_marker_move(gc, gc->shard, err)
               : SC_OK;
}

void gc_marker_drop(struct gc *gc)
{
    if (gc->marked)
        (void)storage_remove_named(gc->queries->store, gc_name(gc, "gc/sweep"), NULL);
    gc->marked = false;
}
