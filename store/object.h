// Objects by digest: files in cas/, folders in tree/ + cas/. Blocking, batch-wise, for worker threads; works on any back
// end. Every read is checked: a mismatch is read once more, then SC_CORRUPT. A put of what is there already and was
// checked (by the memo, or by reading it) is not sent again.
#pragma once

#include "store/hash.h"
#include "store/store.h"

struct sc_objects; // one thread; holds a store handle, a memo of checked objects, a known-present set

struct sc_objects_config {
    struct sc_store *store;
    struct sc_slice domain;
    struct sc_memo *memo; // of checked local objects; may be NULL
    const char *
        layout_folder; // local folder for laid-out trees and exec copies ("…/layout"), or NULL when never needed
    uint32_t present_ms; // how long what was seen in a store elsewhere is taken to be there; 0: 10 minutes
    uint64_t layout_max_bytes; // least recently used layouts leave beyond it; 0: no bound
};
SC_MUST_USE enum sc_rc sc_objects_new(const struct sc_objects_config *config, struct sc_objects **ret_objects,
                                      struct sc_error *err);
void sc_objects_free(struct sc_objects *objects);

// Puts. Durable only after sc_objects_sync. `force`: write even when it seems to be there (healing).
SC_MUST_USE enum sc_rc sc_objects_put_bytes(struct sc_objects *objects, struct sc_slice bytes, bool force,
                                            struct sc_digest *ret_digest, struct sc_error *err);
// `move`: the file may be taken (its inode becomes the object when the store is on the same file system and nobody else
// links it), and the caller knows that nobody wrote to it since it was hashed. Without it the copy is read again, unless
// the memo says that the file is as it was: SC_BUSY, naming it, when it is not.
SC_MUST_USE enum sc_rc sc_objects_put_file(struct sc_objects *objects, const char *path,
                                           const struct sc_artifact *artifact, bool move, bool force,
                                           struct sc_error *err);
// As sc_objects_put_file, of a file that was just made: a small one is sent to a store elsewhere without asking first.
SC_MUST_USE enum sc_rc sc_objects_put_new_file(struct sc_objects *objects, const char *path,
                                               const struct sc_artifact *artifact, bool move, bool force,
                                               struct sc_error *err);
// As sc_objects_put_bytes, of many that were just made: in a store elsewhere small ones go without asking first, several at
// once, and equal ones once. Each tells what came of it.
struct sc_new_bytes {
    struct sc_slice bytes;
    struct sc_digest digest; // that of the bytes
    uint32_t owner;          // the caller's own
    enum sc_rc rc;           // out
    struct sc_error err;     // out
};
void sc_objects_put_new_bytes(struct sc_objects *objects, struct sc_new_bytes *items, uint32_t count);
// All files of a hashed folder that are missing, then the tree object. `root` is the folder that was hashed.
SC_MUST_USE enum sc_rc sc_objects_put_tree(struct sc_objects *objects, const char *root,
                                           const struct sc_tree *tree, bool move, bool force,
                                           struct sc_error *err);
// Something that was put is gone: what this handle saw in a store elsewhere counts no more, so that a put looks again.
void sc_objects_distrust(struct sc_objects *objects);
SC_MUST_USE enum sc_rc sc_objects_sync(struct sc_objects *objects, struct sc_error *err);

// Gets, checked. SC_NOT_FOUND and SC_CORRUPT name the digest; `*ret_lost` (optional) is the digest that could not be had.
SC_MUST_USE enum sc_rc sc_objects_get_bytes(struct sc_objects *objects, const struct sc_digest *digest,
                                            size_t max_bytes, struct sc_buf *ret_bytes, struct sc_error *err);
SC_MUST_USE enum sc_rc sc_objects_get_tree(struct sc_objects *objects, const struct sc_digest *root,
                                           struct sc_arena *arena, struct sc_tree *ret_tree,
                                           struct sc_error *err);
// Writes an artifact to dest (a new file, or a new folder), for `stepctl get` and code files: own bytes, never a hardlink; modes 0644, 0755.
SC_MUST_USE enum sc_rc sc_objects_extract(struct sc_objects *objects, const struct sc_artifact *artifact,
                                          const char *dest, struct sc_error *err);
// A path at which the checked artifact lies read-only on this machine, to be bound into steps: the store's own object where
// that is a local file without the x bit, else a copy or laid-out folder under layout_folder (hardlinks to objects on the same
// file system). The path stays valid while it is pinned; unpin lets it leave the cache.
SC_MUST_USE enum sc_rc sc_objects_local(struct sc_objects *objects, const struct sc_artifact *artifact,
                                        struct sc_buf *ret_path, struct sc_digest *ret_lost,
                                        struct sc_error *err);
void sc_objects_unpin(struct sc_objects *objects, const struct sc_artifact *artifact);
// A fan-in folder: entries by name, sorted; the digest is that of the folder node they make. Laid out and pinned as above.
// `*ret_lost` is an entry's artifact.
struct sc_fan_in_entry {
    struct sc_slice name;
    struct sc_artifact artifact;
};
struct sc_artifact sc_fan_in_artifact(const struct sc_fan_in_entry *entries,
                                      uint32_t count); // pure: kind dir, root digest, sums
SC_MUST_USE enum sc_rc sc_objects_local_fan_in(struct sc_objects *objects,
                                               const struct sc_fan_in_entry *entries, uint32_t count,
                                               struct sc_buf *ret_path, struct sc_digest *ret_lost,
                                               struct sc_error *err);

// Presence of what artifacts name: the tree object and its files for a folder, the object for a file. `deep`: files of folders too.
// rets[i]: SC_OK, SC_NOT_FOUND (also for a file of another size, or a damaged tree), or another rc when it could not be
// told. Bytes of files are not read.
void sc_objects_presence(struct sc_objects *objects, const struct sc_artifact *const *artifacts,
                         uint32_t count, bool deep, enum sc_rc *rets);
