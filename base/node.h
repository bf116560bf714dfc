// A node of a folder's Merkle tree (3-FORMATS, Digests): ["dir/1", [[name, kind, ref, bytes] …]], entries sorted by name
// bytes; its digest is the SHA-256 of that encoding. Here because a fan-in's digest is made without a store.
#pragma once

#include "base/buf.h"
#include "base/digest.h"

enum sc_entry_kind { SC_ENTRY_FILE = 'f', SC_ENTRY_EXEC = 'x', SC_ENTRY_DIR = 'd', SC_ENTRY_LINK = 'l' };

struct sc_tree_entry {
    struct sc_slice name;
    enum sc_entry_kind kind;
    struct sc_digest digest; // of a file or folder
    struct sc_slice target;  // of a link
    uint64_t bytes;          // 0 for folders and links
};

// Encodes sorted entries and tells their digest; the encoding is appended to out.
struct sc_digest sc_tree_node_encode(const struct sc_tree_entry *entries, uint32_t count, struct sc_buf *out);
