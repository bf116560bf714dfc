// Bytes as a folder's node, as the payload of a tree object, and as a compressed tree object: reading them never breaks,
// and what is taken for good is written again as the very same bytes.
#include "store/compress.h"
#include "store/tree.h"

#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_node(struct sc_slice bytes)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    SC_AUTO_BUF struct sc_buf again = {0};
    struct sc_tree_node node;
    if (sc_tree_node_decode(bytes, &arena, &node, NULL) != SC_OK)
        return;
    struct sc_digest digest = sc_tree_node_encode(node.entries.items, node.entries.count, &again);
    SC_ASSERT(sc_slice_eq(sc_buf_slice(&again), bytes));
    SC_ASSERT(sc_digest_eq(&digest, &node.digest));
}

// Every link that a good tree keeps stays inside, by the rule that the hasher goes by.
static void check_links(const struct sc_tree *tree, const struct sc_tree_node *node, uint32_t depth,
                        uint32_t *budget)
{
    for (uint32_t i = 0; i<node->entries.count && * budget> 0; i++) {
        const struct sc_tree_entry *e = &node->entries.items[i];
        --*budget;
        if (e->kind == SC_ENTRY_LINK)
            SC_ASSERT(sc_tree_link_stays(e->target, depth));
        if (e->kind == SC_ENTRY_DIR) {
            const struct sc_tree_node *below = sc_tree_find(tree, &e->digest);
            SC_ASSERT(below != NULL);
            check_links(tree, below, depth + 1, budget);
        }
    }
}

// The root's digest is that of the first node: else no input would come past it.
static struct sc_digest root_of(struct sc_slice payload)
{
    struct sc_mp_reader reader = sc_mp_reader(payload);
    sc_mp_get_array(&reader);
    sc_mp_get_str(&reader);
    sc_mp_get_array(&reader);
    return sc_digest_of(sc_mp_get_bin(&reader));
}

static void check_packed(struct sc_slice packed, struct sc_slice payload)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    SC_AUTO_BUF struct sc_buf again = {0}, plain = {0};
    struct sc_digest root = root_of(payload);
    struct sc_tree tree;
    if (sc_tree_decode(packed, &root, &arena, &tree, NULL) != SC_OK)
        return;
    sc_tree_encode(&tree, &again);
    SC_ASSERT(sc_decompress(sc_buf_slice(&again), payload.len, &plain, NULL) == SC_OK);
    SC_ASSERT(sc_slice_eq(sc_buf_slice(&plain), payload));
    for (uint32_t i = 0; i < tree.nodes.count; i++)
        check_node(tree.nodes.items[i].encoding);
    uint32_t budget = 10000;
    check_links(&tree, &tree.nodes.items[0], 0, &budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SC_AUTO_BUF struct sc_buf packed = {0}, plain = {0};
    struct sc_slice bytes = sc_slice(data, size);
    check_node(bytes);
    sc_compress(bytes, &packed);
    check_packed(sc_buf_slice(&packed), bytes);
    if (sc_decompress(bytes, 1 << 20, &plain, NULL) == SC_OK)
        check_packed(bytes, sc_buf_slice(&plain));
    return 0;
}
