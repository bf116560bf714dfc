// A folder that was walked and read, made into a tree: its nodes encoded from the leaves up, each once, in their order. Pure.
#pragma once

#include "base/buf.h"
#include "store/tree.h"
#include "store/volume.h"

struct sc_hash_folder;
struct sc_hash_item {
    struct sc_slice name; // NUL-terminated
    enum sc_entry_kind kind;
    struct sc_hash_folder *parent, *folder; // folder: of a `d`
    struct sc_digest digest;
    struct sc_slice target;
    uint64_t bytes;
};

struct sc_hash_folder {
    struct sc_hash_folder *next; // in the list of those to be read
    const char *path;            // relative to the root; "" for the root
    uint32_t depth;
    const struct sc_volume *volume; // of its files; the parent's till one of them lies elsewhere
    bool own_volume;                // asked for; it is this folder's
    struct sc_hash_item *items;
    uint32_t count;
    bool wanted; // something in it, or below it, is
    bool whole;  // without folders, and nothing of it is to be read: encoded where it was walked
    struct sc_digest digest;
    struct sc_slice encoding;
    struct sc_tree_node *node;
};

struct sc_hash_scratch { // where one folder is encoded
    struct sc_buf encoding;
    struct sc_tree_entry *entries;
    uint32_t count, room;
};

// Encodes a folder whose entries' digests are known into the scratch; what a filter left nothing of stays out unless keep_empty.
struct sc_digest sc_hash_encode_folder(struct sc_hash_scratch *scratch, const struct sc_hash_folder *folder,
                                       bool keep_empty);
// The whole tree, in the arena.
void sc_hash_build(struct sc_hash_folder *root, bool keep_empty, struct sc_hash_scratch *scratch,
                   struct sc_arena *arena, struct sc_tree *ret_tree);
