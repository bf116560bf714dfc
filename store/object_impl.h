// What the files of sc_objects share: object.c (put, get, presence), layout.c (what steps are given), extract.c.
#pragma once

#include "store/digestmap.h"
#include "store/fileid.h"
#include "store/object.h"
#include "store/reader.h"

// An object whose content was checked in this life, and how its file was then. Any other identity is checked again.
struct sc_checked {
    struct sc_file_id id;
    int64_t seen_ms;  // mono; of a store elsewhere, where there is no id
    int64_t young_ms; // mono: until when a writer may count on it; elsewhere
};

enum sc_object_area { SC_AREA_CAS, SC_AREA_TREE, SC_AREA_PACK, SC_AREA_COUNT };

// Checked, but for the memo only once durable: a torn object after a crash must not be remembered as a good one.
struct sc_unsynced {
    struct stat st;
    struct sc_digest digest;
};

struct sc_layouts; // layout_cache.h

struct sc_objects {
    struct sc_store *store;
    struct sc_slice domain;
    char *domain_text;
    struct sc_memo *memo;
    struct sc_volume store_volume, layout_volume; // for the memo; both are kept open, so that they stay
    char *layout_folder;
    uint64_t layout_max_bytes;
    int64_t present_ms;
    struct sc_digest_map checked[SC_AREA_COUNT]; // -> struct sc_checked
    struct sc_unsynced *unsynced;
    size_t unsynced_count, unsynced_room;
    struct sc_reader reader;
    struct sc_buf name, path; // of the object that is looked at
    struct sc_layouts *layouts;
};

// The object's name into objects->name, as a slice.
struct sc_slice sc_object_name(struct sc_objects *objects, enum sc_object_area area,
                               const struct sc_digest *digest);
// Says that the object is there and whole. SC_OK: `*ret_path` (optional) is its own path on this machine, valid until
// the next call, or NULL where the store is not here. SC_NOT_FOUND, SC_CORRUPT (then it was set aside).
SC_MUST_USE enum sc_rc sc_object_check(struct sc_objects *objects, enum sc_object_area area,
                                       const struct sc_digest *digest, const char **ret_path,
                                       struct sc_error *err);
// For a writer, who sends what is not good. SC_OK: it is there, whole, and will not be collected before a record that is
// put within a quarter of the horizon names it. In a folder it may have been touched for that. SC_EXISTS: it is there and
// too old, to be sent over. SC_NOT_FOUND, or sc_object_check's reason.
SC_MUST_USE enum sc_rc sc_object_keep(struct sc_objects *objects, enum sc_object_area area,
                                      const struct sc_digest *digest);
// The same of a store elsewhere, as far as this handle saw it, or put it, before.
bool sc_object_is_kept(const struct sc_objects *objects, enum sc_object_area area,
                       const struct sc_digest *digest);
// It was put there now, or seen by this operation (its answer): then whether it is young.
void sc_object_set_put(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest);
bool sc_object_set_seen(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                        const struct sc_store_op *head);
// After the file was given one more hardlink: its ctime moved, its content did not.
void sc_object_linked(struct sc_objects *objects, const struct sc_digest *digest, const struct stat *st);
// All zero where it cannot be opened.
struct sc_volume sc_object_volume_at(const char *path);
// Whether the memo says that the file at path, which is st, is this digest's.
bool sc_object_is_known(const struct sc_objects *objects, const char *path, const struct stat *st,
                        const struct sc_digest *digest);
// For the memo, once durable: a local copy that was checked.
void sc_object_remember(struct sc_objects *objects, const struct sc_digest *digest, const struct stat *st);
// Puts: as sc_objects_put_file and put_tree do it for one object; path is absolute.
SC_MUST_USE enum sc_rc sc_object_put_path(struct sc_objects *objects, const struct sc_digest *digest,
                                          const char *path, bool move, bool force, struct sc_error *err);
// As sc_objects_put_bytes; the digest is that of the bytes.
SC_MUST_USE enum sc_rc sc_object_put_bytes(struct sc_objects *objects, const struct sc_digest *digest,
                                           struct sc_slice bytes, bool force, struct sc_error *err);
// Of something that was just made, and so most likely is not there: whether it goes to the store unasked. Where the store
// is elsewhere, a small put costs about what asking for it costs; it is right whatever is there, and makes its age new.
bool sc_object_goes_unasked(const struct sc_objects *objects, uint64_t bytes);
// The caller saw that it is not there, or sends it over.
SC_MUST_USE enum sc_rc sc_object_put_tree_bytes(struct sc_objects *objects, const struct sc_digest *root,
                                                struct sc_slice bytes, bool force, struct sc_error *err);
// The caller frees.
SC_MUST_USE enum sc_rc sc_object_absolute(const char *path, char **ret_path, struct sc_error *err);
// The object's bytes, checked where its digest is theirs.
SC_MUST_USE enum sc_rc sc_object_get(struct sc_objects *objects, enum sc_object_area area,
                                     const struct sc_digest *digest, size_t max_bytes,
                                     struct sc_buf *ret_bytes, struct sc_error *err);
// Fills the empty file with the object, checked.
SC_MUST_USE enum sc_rc sc_object_fetch(struct sc_objects *objects, const struct sc_digest *digest, int to_fd,
                                       struct sc_error *err);
// What came of such a get, for who submits it by himself; ends the operation.
SC_MUST_USE enum sc_rc sc_object_fetched(struct sc_objects *objects, const struct sc_digest *digest,
                                         struct sc_store_op *op, struct sc_error *err);
// Hashes an open file; `shown` for errors. SC_CORRUPT when it is not that digest.
SC_MUST_USE enum sc_rc sc_object_verify_fd(struct sc_objects *objects, int fd, const char *shown,
                                           const struct sc_digest *digest, struct stat *ret_st,
                                           struct sc_error *err);
// A digest's story: "object <hex>: …".
enum sc_rc sc_object_wrong(struct sc_error *err, enum sc_rc rc, const struct sc_digest *digest,
                           const char *what);

// Lays a tree out below an open, empty folder: folders and files first, then links, then modes. Large files come several
// at once: sc_lay_file begins one, sc_lay_wait ends all.
struct sc_lay;
struct sc_lay_file {
    struct sc_digest digest;
    bool exec;
    int fd;    // empty, to be filled; -1: it is in its place already
    void *own; // between begin and end
};
struct sc_lay {
    struct sc_objects *objects;
    // Makes the file that is to be filled, or puts one there that is had.
    enum sc_rc (*begin)(struct sc_lay *lay, int dirfd, const char *name, struct sc_lay_file *file,
                        struct sc_error *err);
    // It is filled, or (rc) not: puts it in its place, or removes it. The folder may be closed by now. Returns rc, or its own.
    enum sc_rc (*end)(struct sc_lay *lay, struct sc_lay_file *file, enum sc_rc rc, struct sc_error *err);
    mode_t
        file_mode; // of small files, which come from packs where the tree names any; those that run get an x for each r
    mode_t dir_mode;              // of the folders, set at the end so that a read-only one can be filled
    struct sc_digest lost;        // the object that could not be had, or zero
    struct sc_pack_reader *packs; // sc_lay_tree's
    // lay.c's: those that are under way, and what befell the first that failed
    struct sc_lay_fetch *fetches;
    uint32_t fetch_count;
    enum sc_rc rc;
    struct sc_error err;
};
SC_MUST_USE enum sc_rc sc_lay_file(struct sc_lay *lay, int dirfd, const char *name,
                                   const struct sc_digest *digest, bool exec, struct sc_error *err);
// Ends all that were begun, also after a failure. The first of theirs that failed.
SC_MUST_USE enum sc_rc sc_lay_wait(struct sc_lay *lay, struct sc_error *err);
SC_MUST_USE enum sc_rc sc_lay_tree(struct sc_lay *lay, const struct sc_tree *tree, int dirfd,
                                   struct sc_error *err);
