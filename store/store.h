// The store's one interface: named byte objects under a prefix, asynchronous, whatever is behind it. Back ends: dir
// (store/dir.c); s3 and libs3 come later and implement the same table. Objects, trees, records and segments are built
// above it and know nothing of what is behind.
//
// A handle belongs to one thread. Operations are submitted and complete later, in `dispatch`, never inside `submit`;
// the caller owns the operation and everything it points at until `done` was called. A program that wants several
// threads at the store opens a handle for each.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum sc_store_kind {
    SC_STORE_GET, // the object's bytes into `data` (bounded by max_bytes) or, when to_fd >= 0, into that file
    SC_STORE_PUT, // from `body`, or, when body_path is set, from that file
    SC_STORE_HEAD,   // size and mtime
    SC_STORE_LIST,   // names that start with `name`, after `after`, at most max_names, in byte order
    SC_STORE_REMOVE, // absent is good
    SC_STORE_SYNC,   // done when every put of this handle that completed before it is durable
};

struct sc_store_op;
typedef void (*sc_store_done_fn)(struct sc_store_op *op);

struct sc_store_op {
    enum sc_store_kind kind;
    struct sc_slice name; // "v1/main/cas/ab/abcd…"
    // put
    struct sc_slice body;
    const char *body_path; // an absolute path; NULL: body
    bool move_body;        // the back end may take the file itself (rename); the caller never uses it again
    bool if_absent;        // SC_EXISTS when the name is taken; exactly one of many racers gets SC_OK
    bool exec;             // dir back end: mode 0555 instead of 0444
    // get
    size_t max_bytes;
    int to_fd;
    // list
    struct sc_slice after;
    uint32_t max_names;
    // results
    enum sc_rc rc; // SC_NOT_FOUND for a name that is absent
    struct sc_error err;
    struct sc_buf data; // get; initialised by the caller's sc_store_op_init, freed by sc_store_op_done
    uint64_t bytes;     // get, head
    int64_t mtime_ms;   // head, list's caller asks with head
    struct sc_arena names_arena;
    struct sc_slice *names; // list: in names_arena
    uint32_t name_count;
    // completion
    sc_store_done_fn done;
    void *context;
    struct sc_store_op *next; // the back end's
};

struct sc_store;

// Opens the store at a URL: "dir:/absolute/path" or an absolute path; makes the folder and stepcache.json when new.
// SC_UNSUPPORTED for s3:// (named), network file systems and unknown formats (a newer stepcache.json).
SC_MUST_USE enum sc_rc sc_store_open(const char *url, struct sc_store **ret_store, struct sc_error *err);
void sc_store_close(struct sc_store *store);
void sc_store_op_init(struct sc_store_op *op, enum sc_store_kind kind, struct sc_slice name);
void sc_store_op_done(struct sc_store_op *op);
void sc_store_submit(struct sc_store *store, struct sc_store_op *op);
// Calls `done` of what is complete; returns how many. wait_ms: 0 looks only, -1 waits for one.
uint32_t sc_store_dispatch(struct sc_store *store, int wait_ms);
// Submits and dispatches until this one is done. Other operations may complete meanwhile.
enum sc_rc sc_store_wait(struct sc_store *store, struct sc_store_op *op);
// The object's own path where the back end is a folder on this machine (read-only use, checked by the caller), else false.
bool sc_store_local_path(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path);
// The store's folder where it is one on this machine, else NULL: what must be hidden from steps.
const char *sc_store_local_root(const struct sc_store *store);
const char *sc_store_url(const struct sc_store *store);

// What a handle did, for reports and benches.
struct sc_store_counts {
    uint64_t gets, puts, heads, lists, removes, syncs, bytes_in, bytes_out;
};
struct sc_store_counts sc_store_counts(const struct sc_store *store);
