#include "coordinator/shell/storage_parts.h"

#include "base/memory.h"
#include "base/os/clock.h"

#include <errno.h>

bool storage_may_pass(enum sc_rc rc, int sys_errno)
{
    if (sys_errno == EROFS)
        return false;
    return rc == SC_FULL || rc == SC_IO || rc == SC_UNREACHABLE || rc == SC_TIMEOUT || rc == SC_BUSY ||
           rc == SC_DENIED;
}

void storage_remember_template(struct sc_storage *storage, const struct sc_digest *template_, uint32_t count,
                               uint64_t marks)
{
    pthread_mutex_lock(&storage->lock);
    struct storage_template *place = &storage->shared_templates[0];
    for (size_t i = 0; i < STORAGE_TEMPLATES; i++) {
        struct storage_template *t = &storage->shared_templates[i];
        if (sc_digest_eq(&t->template_, template_)) {
            place = t;
            break;
        }
        if (t->used < place->used)
            place = t;
    }
    *place = (struct storage_template){*template_, count, marks, ++storage->shared_uses};
    pthread_mutex_unlock(&storage->lock);
}

bool storage_knows_template(struct sc_storage *storage, const struct sc_digest *template_,
                            uint32_t *ret_count, uint64_t *ret_marks)
{
    bool found = false;
    pthread_mutex_lock(&storage->lock);
    for (size_t i = 0; i < STORAGE_TEMPLATES && !found; i++) {
        struct storage_template *t = &storage->shared_templates[i];
        found = t->used && sc_digest_eq(&t->template_, template_);
        if (!found)
            continue;
        t->used = ++storage->shared_uses;
        *ret_count = t->count;
        *ret_marks = t->marks;
    }
    pthread_mutex_unlock(&storage->lock);
    return found;
}

// Voids stand newest first by the clocks of those who wrote them. A listing begins OVERLAP_MS before the newest that the
// last one saw or, when that lies ahead, before the time of that listing by our own clock: so none is missed as long as
// the clocks of two coordinators, and the writing of a void, are not days apart.
enum sc_rc storage_hear_voids(struct sc_storage *storage, struct sc_store *store, struct sc_error *err)
{
    enum { OVERLAP_MS = 2 * 24 * 60 * 60 * 1000 };
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_void *voids;
    uint32_t count;
    int64_t to_ms = sc_clock_wall_ms(), now_ms = to_ms;
    pthread_mutex_lock(&storage->lock);
    int64_t from_ms = storage->shared_voids_from_ms, heard_ms = storage->shared_voids_heard_ms;
    pthread_mutex_unlock(&storage->lock);
    enum sc_rc rc = sc_records_voids(store, storage->config.domain, from_ms, &arena, &voids, &count, err);
    if (rc != SC_OK)
        return rc;
    // A void is removed when it is older than the horizon: who has not listed for so long may have missed one.
    if (heard_ms && now_ms - heard_ms > sc_store_horizon_ms(store) / 2)
        sc_index_forget(storage->index);
    for (uint32_t i = 0; i < count; i++)
        sc_index_void(storage->index, &voids[i]);
    if (count && voids[0].wall_ms < to_ms)
        to_ms = voids[0].wall_ms;
    pthread_mutex_lock(&storage->lock);
    storage->shared_voids_heard_ms = now_ms;
    if (count && to_ms - OVERLAP_MS > storage->shared_voids_from_ms)
        storage->shared_voids_from_ms = to_ms - OVERLAP_MS;
    pthread_mutex_unlock(&storage->lock);
    return SC_OK;
}

void storage_tell_loss(struct sc_storage *storage)
{
    pthread_mutex_lock(&storage->lock);
    storage->shared_losses++;
    pthread_mutex_unlock(&storage->lock);
}

void storage_hear_losses(struct storage_writer *writer)
{
    pthread_mutex_lock(&writer->storage->lock);
    uint64_t losses = writer->storage->shared_losses;
    pthread_mutex_unlock(&writer->storage->lock);
    if (losses != writer->losses)
        sc_objects_distrust(writer->objects);
    writer->losses = losses;
}

const char *storage_scratch(struct storage_writer *writer, struct sc_arena *arena)
{
    return (const char *)sc_arena_printf(arena, "%s/%llu", writer->storage->config.scratch,
                                         (unsigned long long)writer->next_scratch++)
        .ptr;
}

static enum sc_rc run_op(struct sc_store *store, struct sc_store_op *op, struct sc_error *err)
{
    enum sc_rc rc = sc_store_wait(store, op);
    if (rc != SC_OK && err)
        *err = op->err;
    return rc;
}

enum sc_rc storage_remove_named(struct sc_store *store, struct sc_slice name, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_REMOVE, name);
    enum sc_rc rc = run_op(store, &op, err);
    sc_store_op_done(&op);
    return rc == SC_NOT_FOUND ? SC_OK : rc;
}

bool storage_has_named(struct sc_store *store, struct sc_slice name, uint64_t *ret_bytes)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_HEAD, name);
    bool there = sc_store_wait(store, &op) == SC_OK;
    *ret_bytes = op.bytes;
    sc_store_op_done(&op);
    return there;
}

enum sc_rc storage_put_named(struct sc_store *store, struct sc_slice name, struct sc_slice bytes,
                             struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, name);
    op.body = bytes;
    enum sc_rc rc = run_op(store, &op, err);
    sc_store_op_done(&op);
    return rc;
}

enum sc_rc storage_get_named(struct sc_store *store, struct sc_slice name, size_t max_bytes,
                             struct sc_buf *ret_bytes, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, name);
    op.max_bytes = max_bytes;
    enum sc_rc rc = run_op(store, &op, err);
    if (rc == SC_OK)
        sc_buf_add_slice(ret_bytes, sc_buf_slice(&op.data));
    sc_store_op_done(&op);
    return rc == SC_OK && ret_bytes->overflow
               ? sc_error_set(err, SC_LIMIT, "an object is larger than can be read")
               : rc;
}
