// What is laid out below the layout folder (layout.c tells what lies there): the entries, who has pinned them, and which leave when
// there are more bytes than may be. Knows nothing of objects. One thread; other handles and processes may share the folder.
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "store/digestmap.h"
#include "store/fileid.h"
#include "store/scratch.h"

enum sc_layout_kind { SC_LAYOUT_TREE, SC_LAYOUT_FILE, SC_LAYOUT_EXEC, SC_LAYOUT_COUNT };

struct sc_layout {
    struct sc_digest digest;
    enum sc_layout_kind kind;
    uint32_t pins;
    bool checked; // in this life, when it was `id`
    struct sc_file_id id;
    uint64_t used; // by the handle's own count
};

struct sc_layouts {
    char *root, *trees, *files;
    struct sc_scratch scratch;
    int pins_fd;
    struct sc_digest_map entries[SC_LAYOUT_COUNT]; // -> struct sc_layout
    uint64_t uses, max_bytes;
    // Of all that lies there when it was last counted, and what this handle added since.
    uint64_t counted_bytes, added_bytes;
    bool counted;
};

// Makes the folder when it is not there. max_bytes: 0 for no bound.
SC_MUST_USE enum sc_rc sc_layouts_open(const char *folder, uint64_t max_bytes,
                                       struct sc_layouts **ret_layouts, struct sc_error *err);
void sc_layouts_free(struct sc_layouts *layouts);
// Finds or makes; it stays while it is pinned.
struct sc_layout *sc_layout_entry(struct sc_layouts *layouts, enum sc_layout_kind kind,
                                  const struct sc_digest *digest);
// Where it lies, or is to lie.
void sc_layout_path(const struct sc_layouts *layouts, enum sc_layout_kind kind,
                    const struct sc_digest *digest, struct sc_buf *ret_path);
// Pins the entry, for other processes too, and takes note of its use.
SC_MUST_USE enum sc_rc sc_layout_pin(struct sc_layouts *layouts, struct sc_layout *entry,
                                     struct sc_error *err);
void sc_layout_unpin(struct sc_layouts *layouts, struct sc_layout *entry);
// While an entry is judged, which is pinned: no other handle judges it. One at a time.
SC_MUST_USE enum sc_rc sc_layout_judge(struct sc_layouts *layouts, const struct sc_layout *entry,
                                       struct sc_error *err);
void sc_layout_judged(struct sc_layouts *layouts, const struct sc_layout *entry);
// Moves it out of its place, whoever uses it: a mount keeps what it was made of. False, with errno, when it cannot.
bool sc_layout_discard(struct sc_layouts *layouts, enum sc_layout_kind kind, const struct sc_digest *digest);
// Takes note that so much was added. The least recently used go until the bound holds; never one that this or another
// handle has pinned.
void sc_layouts_evict(struct sc_layouts *layouts, uint64_t added_bytes);
