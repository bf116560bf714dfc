// Hashing what lies on disk: files, and folders with all below. Uses the memo; spreads large work over `threads`.
// Descriptors are opened O_NOFOLLOW below the given folder. A file that changes while it is read is an error
// (SC_BUSY, named). Not-allowed entries (FIFO, socket, device, absolute or leaving link) are SC_UNSUPPORTED, naming the path.
#pragma once

#include "store/memo.h"
#include "store/tree.h"

struct sc_hash_options {
    struct sc_memo *memo; // or NULL
    uint32_t threads;     // 0: as many as processors
    bool linked;          // a new hardlink is not a change: as sc_reader_digest takes it
    // Leaves out what this says false for (paths relative, folders with a trailing '/'), or NULL. For code patterns.
    // Called on the caller's thread alone; what lies in a folder that is not wanted is not looked at.
    bool (*wants)(void *context, struct sc_slice path, bool dir);
    void *context;
    uint64_t max_bytes, max_files; // of what is wanted; 0: the tree limits
    void (*progress)(void *context, uint64_t bytes_done,
                     uint64_t files_done); // on the caller's thread; or NULL
    // Or NULL: whether no file had a writer when it began to be read, so that what was hashed stays as it is but for who
    // opens it anew. The memo remembers no such thing: without one, please.
    bool *ret_settled;
    bool follow_root; // a root that is a link is followed (sources)
    bool
        keep_empty_dirs; // folders of which nothing was wanted stay out unless set; always set without `wants`
};

// A regular file: digest, exec bit (owner's x), bytes, ext by its path.
SC_MUST_USE enum sc_rc sc_hash_file(const char *path, const struct sc_hash_options *options,
                                    struct sc_artifact *ret_artifact, struct sc_error *err);
// A folder. The tree lies in the arena.
SC_MUST_USE enum sc_rc sc_hash_dir(const char *path, const struct sc_hash_options *options,
                                   struct sc_arena *arena, struct sc_tree *ret_tree, struct sc_error *err);
// The artifact reference of a hashed folder.
struct sc_artifact sc_hash_dir_artifact(const struct sc_tree *tree);
