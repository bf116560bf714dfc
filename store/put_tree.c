// Putting a hashed folder: its files, then the tree object, which is there only when all that it names is. In a store
// elsewhere small files go into packs, larger ones several at once.
#include "store/object_impl.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/pack.h"
#include "store/send.h"

#include <fcntl.h>
#include <unistd.h>

struct putting {
    struct sc_objects *objects;
    struct sc_digest_map nodes, sent; // sent: files of this tree that were put; each goes once
    struct sc_buf path;
    bool move, force;
    bool over; // the tree object is there, and too old
    // elsewhere
    struct sc_sends *sends; // NULL: the store is a folder here
    struct sc_pack_writer pack;
    struct sc_buf bytes; // of a file, then of a pack
    struct sc_pack_ref *packs;
    uint32_t pack_count, pack_room;
};

static void close_pack(struct putting *p)
{
    sc_buf_clear(&p->bytes);
    sc_pack_close(&p->pack, &p->bytes);
    struct sc_digest digest = sc_digest_of(sc_buf_slice(&p->bytes));
    if (p->pack_count == p->pack_room) {
        p->pack_room = p->pack_room ? p->pack_room * 2 : 16;
        p->packs = sc_realloc(p->packs, p->pack_room, sizeof *p->packs);
    }
    p->packs[p->pack_count++] = (struct sc_pack_ref){digest, p->bytes.len};
    sc_sends_pack(p->sends, &digest, &p->bytes);
}

static enum sc_rc pack_file(struct putting *p, const struct sc_tree_entry *e, const char *path,
                            struct sc_error *err)
{
    sc_buf_clear(&p->bytes);
    enum sc_rc rc = sc_file_read(path, SC_PACK_FILE_BYTES, &p->bytes, err);
    if (rc != SC_OK && rc != SC_LIMIT)
        return rc;
    struct sc_digest digest = sc_digest_of(sc_buf_slice(&p->bytes));
    if (rc == SC_LIMIT || !sc_digest_eq(&digest, &e->digest))
        return sc_error_set(err, SC_BUSY, "%s changed between hashing and storing", path);
    if (sc_pack_add(&p->pack, &digest, sc_buf_slice(&p->bytes)))
        close_pack(p);
    return SC_OK;
}

static enum sc_rc put_one(struct putting *p, const struct sc_tree_entry *e, struct sc_error *err)
{
    if (sc_digest_map_get(&p->sent, &e->digest))
        return SC_OK;
    sc_digest_map_put(&p->sent, &e->digest, p);
    const char *path = sc_buf_cstr(&p->path);
    if (!p->sends)
        return sc_object_put_path(p->objects, &e->digest, path, p->move, p->force, err);
    if (e->bytes <= SC_PACK_FILE_BYTES)
        return pack_file(p, e, path, err);
    sc_sends_file(p->sends, &e->digest, path);
    return SC_OK;
}

static enum sc_rc put_folder(struct putting *p, const struct sc_digest *digest, struct sc_error *err)
{
    const struct sc_tree_node *node = sc_digest_map_get(&p->nodes, digest);
    SC_ASSERT(node != NULL);
    size_t len = p->path.len;
    for (uint32_t i = 0; i < node->entries.count; i++) {
        const struct sc_tree_entry *e = &node->entries.items[i];
        if (e->kind == SC_ENTRY_LINK)
            continue;
        p->path.len = len;
        sc_buf_add_byte(&p->path, '/');
        sc_buf_add_slice(&p->path, e->name);
        enum sc_rc rc = e->kind == SC_ENTRY_DIR ? put_folder(p, &e->digest, err) : put_one(p, e, err);
        if (rc != SC_OK)
            return rc;
    }
    p->path.len = len;
    return SC_OK;
}

static enum sc_rc put_files(struct putting *p, const struct sc_digest *root, struct sc_error *err)
{
    if (sc_store_local_root(p->objects->store))
        return put_folder(p, root, err);
    p->sends = sc_sends_new(p->objects, p->force);
    sc_pack_writer_init(&p->pack);
    sc_buf_init(&p->bytes, 0);
    enum sc_rc rc = put_folder(p, root, err);
    if (rc == SC_OK && !sc_pack_is_empty(&p->pack))
        close_pack(p);
    enum sc_rc sent = sc_sends_finish(p->sends, rc == SC_OK ? err : NULL);
    sc_pack_writer_done(&p->pack);
    sc_buf_done(&p->bytes);
    return rc == SC_OK ? sent : rc;
}

static enum sc_rc put_tree_object(struct putting *p, const struct sc_tree *tree, const char *shown,
                                  struct sc_error *err)
{
    struct sc_tree placed = *tree;
    placed.packs.items = p->packs;
    placed.packs.count = p->pack_count;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, SC_LIMIT_TREE_BYTES);
    sc_tree_encode(&placed, &bytes);
    if (bytes.overflow)
        return sc_error_set(err, SC_LIMIT, "%s: the folder's tree is too large", shown);
    return sc_object_put_tree_bytes(p->objects, &tree->nodes.items[0].digest, sc_buf_slice(&bytes), p->over,
                                    err);
}

enum sc_rc sc_objects_put_tree(struct sc_objects *objects, const char *root, const struct sc_tree *tree,
                               bool move, bool force, struct sc_error *err)
{
    SC_ASSERT(tree->nodes.count > 0);
    const struct sc_digest *digest = &tree->nodes.items[0].digest;
    enum sc_rc kept = force ? SC_NOT_FOUND : sc_object_keep(objects, SC_AREA_TREE, digest);
    bool there = kept == SC_OK;
    // A tree object elsewhere says that its files are there: it was put after them. What is lost since is noticed by who
    // reads it, and put again by force. In a folder here, each file is looked at.
    if (there && !sc_store_local_root(objects->store))
        return SC_OK;
    SC_AUTO_FREE char *full = NULL;
    enum sc_rc rc = sc_object_absolute(root, &full, err);
    if (rc != SC_OK)
        return rc;
    struct putting p = {.objects = objects, .move = move, .force = force, .over = force || kept == SC_EXISTS};
    sc_buf_init(&p.path, 1 << 20);
    sc_buf_add_str(&p.path, full);
    for (uint32_t i = 0; i < tree->nodes.count; i++)
        sc_digest_map_put(&p.nodes, &tree->nodes.items[i].digest, &tree->nodes.items[i]);
    rc = put_files(&p, digest, err);
    sc_buf_done(&p.path);
    sc_digest_map_done(&p.nodes);
    sc_digest_map_done(&p.sent);
    if (rc == SC_OK && !there)
        rc = put_tree_object(&p, tree, root, err);
    free(p.packs);
    return rc;
}
