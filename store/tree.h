// A folder as a Merkle tree (3-FORMATS, Digests). A node is ["dir/1", [[name, kind, ref, bytes] …]], entries sorted by
// name bytes. The tree object holds the encodings of all nodes, parents before children, each once, compressed:
// zstd of ["stepcache.tree/1", [node bytes as bin …]]; every node is checked against the digest by which it is reached.
// Where small files lie together in packs (store/pack.h) it is ["stepcache.tree/2", [node …], [[pack's digest, bytes] …]]:
// the packs are in no digest, so equal folders may lie in different packs; the files are checked by their own.
#pragma once

#include "base/artifact.h"
#include "base/node.h" // struct sc_tree_entry, sc_tree_node_encode

struct sc_tree_node {
    struct sc_digest digest;
    struct sc_slice encoding;
    SC_LIST(struct sc_tree_entry, entries);
};

// Nodes, the root first. Lies in an arena.
struct sc_tree {
    SC_LIST(struct sc_tree_node, nodes);
    uint64_t files, bytes;              // of all files; a file that stands in two places counts twice
    SC_LIST(struct sc_pack_ref, packs); // none: every file is an object of its own
};

// Decodes and checks one node: names, order, kinds, links that stay inside are the caller's to judge (depth unknown here).
SC_MUST_USE enum sc_rc sc_tree_node_decode(struct sc_slice encoding, struct sc_arena *arena,
                                           struct sc_tree_node *ret_node, struct sc_error *err);
void sc_tree_encode(const struct sc_tree *tree, struct sc_buf *out);
// Checks all nodes from the root digest downwards, bounds depth, entries and links (a link must be relative and must not
// leave the tree). SC_CORRUPT when a node's digest is wrong or missing.
SC_MUST_USE enum sc_rc sc_tree_decode(struct sc_slice compressed, const struct sc_digest *root,
                                      struct sc_arena *arena, struct sc_tree *ret_tree, struct sc_error *err);
const struct sc_tree_node *sc_tree_find(const struct sc_tree *tree, const struct sc_digest *digest);
// True when a link's target, seen from a folder `depth` levels below the root, stays inside the tree whatever other links
// it passes: relative, and ".." only at its front, since after a name it could go up from where a link leads.
bool sc_tree_link_stays(struct sc_slice target, uint32_t depth);
// Calls `report` for every path that differs: '+' only in b, '-' only in a, '~' other content or kind.
typedef void (*sc_tree_diff_fn)(void *context, char change, struct sc_slice path);
void sc_tree_diff(const struct sc_tree *a, const struct sc_tree *b, sc_tree_diff_fn report, void *context);
