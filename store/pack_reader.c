#include "store/pack_reader.h"

#include "store/object_impl.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/pack.h"

enum {
    AHEAD = 4, // packs that are fetched or in memory at once
};

struct held {
    struct sc_store_op op;
    struct sc_pack_reader *reader;
    struct sc_buf name;
    bool asked, answered;       // answered: op holds the pack, or why not
    struct sc_pack_index index; // once read; it stays when the pack's bytes go
};

struct sc_pack_reader {
    struct sc_objects *objects;
    const struct sc_pack_ref *packs;
    struct held *held; // one a pack
    uint32_t count;
    uint32_t next; // the first that no index was read of
    uint32_t in_memory;
    struct sc_digest_map files; // -> struct sc_pack_entry
    struct sc_arena arena;      // of the indexes
    struct sc_buf plain;        // of the frame that was read last
    uint32_t plain_pack, plain_frame;
    bool has_plain;
};

struct sc_pack_reader *sc_pack_reader_new(struct sc_objects *objects, const struct sc_pack_ref *packs,
                                          uint32_t count)
{
    struct sc_pack_reader *reader = sc_calloc(1, sizeof *reader);
    reader->objects = objects;
    reader->packs = packs;
    reader->count = count;
    reader->held = sc_calloc(count, sizeof *reader->held);
    sc_arena_init(&reader->arena);
    sc_buf_init(&reader->plain, SC_PACK_FRAME_BYTES);
    return reader;
}

// The pack's bytes go; its index stays.
static void let_go(struct sc_pack_reader *reader, struct held *h)
{
    while (h->asked && !h->answered)
        sc_store_dispatch(reader->objects->store, -1);
    if (!h->asked)
        return;
    sc_store_op_done(&h->op);
    sc_buf_done(&h->name);
    h->asked = h->answered = false;
    reader->in_memory--;
}

void sc_pack_reader_free(struct sc_pack_reader *reader)
{
    if (!reader)
        return;
    for (uint32_t i = 0; i < reader->count; i++)
        let_go(reader, &reader->held[i]);
    sc_digest_map_done(&reader->files);
    sc_arena_done(&reader->arena);
    sc_buf_done(&reader->plain);
    free(reader->held);
    free(reader);
}

static void answered(struct sc_store_op *op)
{
    struct held *h = op->context;
    h->answered = true;
}

static void ask(struct sc_pack_reader *reader, uint32_t pack)
{
    struct held *h = &reader->held[pack];
    if (h->asked)
        return;
    sc_buf_init(&h->name, SC_LIMIT_PATH_BYTES);
    sc_buf_add_slice(&h->name, sc_object_name(reader->objects, SC_AREA_PACK, &reader->packs[pack].digest));
    sc_store_op_init(&h->op, SC_STORE_GET, sc_buf_slice(&h->name));
    h->op.max_bytes = SC_PACK_BYTES;
    h->op.sha256 = reader->packs[pack].digest;
    h->op.done = answered;
    h->op.context = h;
    h->asked = true;
    reader->in_memory++;
    sc_store_submit(reader->objects->store, &h->op);
}

// Brings the pack's bytes into memory. Of those that are there, the farthest behind goes.
static enum sc_rc hold(struct sc_pack_reader *reader, uint32_t pack, struct sc_error *err)
{
    struct held *h = &reader->held[pack];
    for (uint32_t i = 0; !h->asked && reader->in_memory >= AHEAD && i < reader->count; i++)
        if (i != pack)
            let_go(reader, &reader->held[i]);
    ask(reader, pack);
    while (!h->answered)
        sc_store_dispatch(reader->objects->store, -1);
    if (h->op.rc == SC_OK)
        return SC_OK;
    enum sc_rc rc = h->op.rc;
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&reader->packs[pack].digest, hex);
    if (err)
        *err = h->op.err;
    let_go(reader, h);
    return sc_error_wrap(err, rc, "pack %s", hex);
}

static enum sc_rc read_index(struct sc_pack_reader *reader, uint32_t pack, struct sc_error *err)
{
    struct held *h = &reader->held[pack];
    enum sc_rc rc = hold(reader, pack, err);
    if (rc != SC_OK)
        return rc;
    for (uint32_t i = pack + 1; i < reader->count && reader->in_memory < AHEAD; i++)
        ask(reader, i);
    rc = sc_pack_read_index(sc_buf_slice(&h->op.data), &reader->arena, &h->index, err);
    if (rc != SC_OK)
        return rc;
    for (uint32_t i = 0; i < h->index.entries.count; i++) {
        struct sc_pack_entry *e = &h->index.entries.items[i];
        e->pack = pack;
        sc_digest_map_put(&reader->files, &e->digest, e);
    }
    return SC_OK;
}

enum sc_rc sc_pack_reader_get(struct sc_pack_reader *reader, const struct sc_digest *digest,
                              struct sc_slice *ret_bytes, struct sc_error *err)
{
    const struct sc_pack_entry *e;
    enum sc_rc rc = SC_OK;
    while (!(e = sc_digest_map_get(&reader->files, digest))) {
        if (reader->next == reader->count)
            return sc_object_wrong(err, SC_CORRUPT, digest,
                                   "lies in none of the packs that its folder names");
        rc = read_index(reader, reader->next, err);
        if (rc != SC_OK)
            return rc;
        reader->next++;
    }
    if (!reader->has_plain || reader->plain_pack != e->pack || reader->plain_frame != e->frame) {
        reader->has_plain = false;
        rc = hold(reader, e->pack, err);
        if (rc == SC_OK)
            rc = sc_pack_read_frame(sc_buf_slice(&reader->held[e->pack].op.data),
                                    &reader->held[e->pack].index.frames.items[e->frame], &reader->plain, err);
        if (rc != SC_OK)
            return rc;
        reader->has_plain = true;
        reader->plain_pack = e->pack;
        reader->plain_frame = e->frame;
    }
    *ret_bytes = sc_slice(reader->plain.ptr + e->offset, e->bytes);
    struct sc_digest found = sc_digest_of(*ret_bytes);
    return sc_digest_eq(&found, digest)
               ? SC_OK
               : sc_object_wrong(err, SC_CORRUPT, digest,
                                 "is damaged: a pack holds other bytes under its digest");
}
