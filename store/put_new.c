// Putting what was just made, so that it most likely is not in the store.
#include "store/object_impl.h"

#include "base/limits.h"
#include "base/memory.h"

enum {
    UNASKED_BYTES = 64 << 10, // an S3 server takes about as long for a put of this size as for an empty one
    AT_ONCE = 16,
};

bool sc_object_goes_unasked(const struct sc_objects *objects, uint64_t bytes)
{
    return bytes <= UNASKED_BYTES && !sc_store_local_root(objects->store);
}

enum sc_rc sc_objects_put_new_file(struct sc_objects *objects, const char *path,
                                   const struct sc_artifact *artifact, bool move, bool force,
                                   struct sc_error *err)
{
    bool unasked = sc_object_goes_unasked(objects, artifact->bytes) &&
                   !sc_object_is_kept(objects, SC_AREA_CAS, &artifact->digest);
    return sc_objects_put_file(objects, path, artifact, move, force || unasked, err);
}

static void begin(struct sc_objects *objects, const struct sc_new_bytes *item, struct sc_arena *names,
                  struct sc_store_op *op)
{
    sc_store_op_init(op, SC_STORE_PUT,
                     sc_arena_copy(names, sc_object_name(objects, SC_AREA_CAS, &item->digest)));
    op->body = item->bytes;
    op->sha256 = item->digest;
}

static void end(struct sc_objects *objects, struct sc_new_bytes *item, struct sc_store_op *op)
{
    item->rc = op->rc;
    if (op->rc == SC_OK) {
        sc_object_set_put(objects, SC_AREA_CAS, &item->digest);
    } else {
        char hex[SC_DIGEST_HEX_BYTES];
        sc_digest_hex(&item->digest, hex);
        item->err = op->err;
        sc_error_wrap(&item->err, op->rc, "object %s", hex);
    }
    sc_store_op_done(op);
}

void sc_objects_put_new_bytes(struct sc_objects *objects, struct sc_new_bytes *items, uint32_t count)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_digest_map firsts = {0}; // of those that are sent: the item that is
    struct sc_new_bytes **sent = SC_NEW_ARRAY(&arena, count, struct sc_new_bytes *);
    struct sc_store_op *ops = SC_NEW_ARRAY(&arena, count, struct sc_store_op);
    uint32_t sent_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_new_bytes *item = &items[i];
        item->rc = SC_OK;
        item->err = (struct sc_error)SC_ERROR_INIT;
        if (!sc_object_goes_unasked(objects, item->bytes.len)) {
            item->rc = sc_object_put_bytes(objects, &item->digest, item->bytes, false, &item->err);
        } else if (!sc_object_is_kept(objects, SC_AREA_CAS, &item->digest) &&
                   !sc_digest_map_get(&firsts, &item->digest)) {
            sc_digest_map_put(&firsts, &item->digest, item);
            begin(objects, item, &arena, &ops[sent_count]);
            sent[sent_count++] = item;
        }
    }
    sc_store_wait_all(objects->store, ops, sent_count, AT_ONCE);
    for (uint32_t i = 0; i < sent_count; i++)
        end(objects, sent[i], &ops[i]);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_new_bytes *first = sc_digest_map_get(&firsts, &items[i].digest);
        if (first && first->rc != SC_OK && first != &items[i]) {
            items[i].rc = first->rc;
            items[i].err = first->err;
        }
    }
    sc_digest_map_done(&firsts);
}
