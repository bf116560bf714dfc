#include "store/hash_build.h"

#include "base/memory.h"
#include "store/digestmap.h"

struct sc_digest sc_hash_encode_folder(struct sc_hash_scratch *s, const struct sc_hash_folder *folder,
                                       bool keep_empty)
{
    s->count = 0;
    if (folder->count > s->room) {
        s->room = folder->count * 2;
        s->entries = sc_realloc(s->entries, s->room, sizeof *s->entries);
    }
    for (uint32_t i = 0; i < folder->count; i++) {
        const struct sc_hash_item *item = &folder->items[i];
        if (item->folder && !item->folder->wanted && !keep_empty)
            continue;
        s->entries[s->count++] = (struct sc_tree_entry){
            .name = item->name,
            .kind = item->kind,
            .digest = item->folder ? item->folder->node->digest : item->digest,
            .target = item->target,
            .bytes = item->bytes,
        };
    }
    sc_buf_clear(&s->encoding);
    return sc_tree_node_encode(s->entries, s->count, &s->encoding);
}

struct builder {
    struct sc_arena *arena;         // the caller's: what stays
    struct sc_digest_map by_digest; // -> struct sc_tree_node
    bool keep_empty;
    struct sc_hash_scratch *scratch;
    uint64_t files, bytes;
    // In their order.
    struct sc_digest_map placed;
    struct sc_tree_node *nodes;
    uint32_t count, room;
};

// Copies what was encoded from the threads' memory into the caller's.
static struct sc_tree_node *keep_node(struct builder *b, const struct sc_hash_folder *folder)
{
    struct sc_tree_node *node = SC_NEW(b->arena, struct sc_tree_node);
    node->digest = folder->digest;
    node->encoding = sc_arena_copy(b->arena, folder->encoding);
    node->entries.items = SC_NEW_ARRAY(b->arena, folder->count, struct sc_tree_entry);
    for (uint32_t i = 0; i < folder->count; i++) {
        const struct sc_hash_item *item = &folder->items[i];
        if (item->folder && !item->folder->wanted && !b->keep_empty)
            continue;
        struct sc_tree_entry *e = &node->entries.items[node->entries.count++];
        e->name = sc_arena_copy(b->arena, item->name);
        e->kind = item->kind;
        e->digest = item->folder ? item->folder->node->digest : item->digest;
        if (e->kind == SC_ENTRY_LINK)
            e->target = sc_arena_copy(b->arena, item->target);
        e->bytes = item->bytes;
    }
    sc_digest_map_put(&b->by_digest, &node->digest, node);
    return node;
}

// From the leaves up; counts files on the way.
static void encode(struct builder *b, struct sc_hash_folder *folder)
{
    bool any = false;
    for (uint32_t i = 0; i < folder->count; i++) {
        struct sc_hash_item *item = &folder->items[i];
        if (item->folder)
            encode(b, item->folder);
        any = any || !item->folder || item->folder->wanted;
        b->files += item->kind == SC_ENTRY_FILE || item->kind == SC_ENTRY_EXEC;
        b->bytes += item->bytes;
    }
    folder->wanted = any || b->keep_empty;
    if (!folder->whole) {
        folder->digest = sc_hash_encode_folder(b->scratch, folder, b->keep_empty);
        folder->encoding = sc_buf_slice(&b->scratch->encoding); // until the next one
    }
    folder->node = sc_digest_map_get(&b->by_digest, &folder->digest);
    if (!folder->node)
        folder->node = keep_node(b, folder);
}

// The nodes in the order of a first visit, depth first, each once (store/tree.c checks that order).
static void place(struct builder *b, const struct sc_tree_node *node)
{
    if (sc_digest_map_get(&b->placed, &node->digest))
        return;
    sc_digest_map_put(&b->placed, &node->digest, b);
    if (b->count == b->room) {
        b->room = b->room ? b->room * 2 : 64;
        b->nodes = sc_realloc(b->nodes, b->room, sizeof *b->nodes);
    }
    b->nodes[b->count++] = *node;
    for (uint32_t i = 0; i < node->entries.count; i++)
        if (node->entries.items[i].kind == SC_ENTRY_DIR)
            place(b, sc_digest_map_get(&b->by_digest, &node->entries.items[i].digest));
}

void sc_hash_build(struct sc_hash_folder *root, bool keep_empty, struct sc_hash_scratch *scratch,
                   struct sc_arena *arena, struct sc_tree *ret_tree)
{
    struct builder b = {.arena = arena, .keep_empty = keep_empty, .scratch = scratch};
    encode(&b, root);
    place(&b, root->node);
    struct sc_tree tree = {.files = b.files, .bytes = b.bytes};
    tree.nodes.items = SC_NEW_ARRAY(arena, b.count, struct sc_tree_node);
    tree.nodes.count = b.count;
    memcpy(tree.nodes.items, b.nodes, b.count * sizeof *b.nodes);
    free(b.nodes);
    sc_digest_map_done(&b.by_digest);
    sc_digest_map_done(&b.placed);
    *ret_tree = tree;
}
