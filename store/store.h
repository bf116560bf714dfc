// The store's one interface: named byte objects under a prefix, asynchronous, whatever is behind it. Back ends: dir
// (store/dir.c) and s3 (store/s3/s3.c). Objects, trees, records and segments are built above it and know nothing of what
// is behind.
//
// A handle belongs to one thread. Operations are submitted and complete later, in `dispatch`, never inside `submit`;
// the caller owns the operation and everything it points at until `done` was called. Many may be under way at once, in
// no order but that of SYNC. A program that wants several threads at the store opens a handle for each.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"

enum sc_store_kind {
    SC_STORE_GET, // the object's bytes into `data` (bounded by max_bytes) or, when to_fd >= 0, into that file
    SC_STORE_PUT, // from `body`, or, when body_path is set, from that file
    SC_STORE_COPY,   // of another object, without its bytes coming here where the back end can
    SC_STORE_HEAD,   // size, mtime and what else is known of an object
    SC_STORE_LIST,   // what starts with `name`, after `after`, at most max_entries, in byte order
    SC_STORE_REMOVE, // absent is good
    SC_STORE_SYNC, // done when every put and copy of this handle that was submitted before it is over, and those that
                   // succeeded are durable
    SC_STORE_SWEEP, // removes what writers that are gone left half-way
};

// One object of a list.
struct sc_store_entry {
    struct sc_slice name;
    uint64_t bytes;
    int64_t mtime_ms;
    struct sc_slice etag; // s3
    struct sc_slice
        version; // s3, of a list of versions; "null" where the bucket kept none when it was written
};

struct sc_store_op;
typedef void (*sc_store_done_fn)(struct sc_store_op *op);

struct sc_store_op {
    enum sc_store_kind kind;
    struct sc_slice name; // "v1/main/cas/ab/abcd…"
    // put
    struct sc_slice body;
    const char *body_path; // an absolute path; NULL: body
    bool
        move_body; // the back end may take the file itself (rename); the caller never uses it again, and nobody
                   // wrote to it since it was hashed
    bool
        if_absent; // put, copy: SC_EXISTS when the name is taken; exactly one of many racers gets SC_OK (but see
                   // sc_store_is_for_one_writer)
    bool exec;     // put, copy: dir back end: mode 0555 instead of 0444
    // put: of the body where it is known, so that it is not hashed twice; SC_BUSY where the back end notices that the
    // body is another. get: of the object; SC_CORRUPT when its bytes are others, read again. Zero: not known (S3 then
    // goes by what was kept with the object when it was put).
    struct sc_digest sha256;
    // get
    size_t max_bytes;
    int to_fd; // empty; written from its start
    // copy
    struct sc_slice from;        // a name in this store
    struct sc_slice from_bucket; // s3: then `from` is a whole key in that bucket; SC_UNSUPPORTED in a folder
    uint64_t from_bytes;         // its size where it is known, else 0
    // copy, get, head; s3: what is read must be of this version and this etag (SC_BUSY); empty: what is there
    struct sc_slice from_version, from_etag;
    bool ask_checksum; // head; s3
    // list
    struct sc_slice after;
    uint32_t max_entries;
    bool
        versions; // s3: their version ids, too, which cost a request for each 1,000 versions, old ones included
    bool every_name; // s3: also what is no name of ours, as other programs make them ("a//b", "folder/")
    // sweep: only what was begun before (wall). remove: only what was put, or touched, before, by the store's own clock;
    // else SC_BUSY, and it stays. A folder keeps to that whatever writers do meanwhile; a bucket has no such request, and
    // whoever removes there looks shortly before. 0: whatever is there
    int64_t before_ms;
    // called in dispatch when more of the body has moved (after a failure less than before); NULL: nobody looks. A back
    // end that is done at once never does.
    sc_store_done_fn progress;
    uint64_t moved_bytes, total_bytes; // total 0: not known yet
    // results
    enum sc_rc rc; // SC_NOT_FOUND for a name that is absent
    struct sc_error err;
    struct sc_buf data; // get; initialised by the caller's sc_store_op_init, freed by sc_store_op_done
    uint64_t bytes;     // get, put, head
    int64_t mtime_ms;   // head
    // head, where it was asked for: the SHA-256 of all its bytes, as the server says that it found it when the object was
    // put. Zero: it says none. Whether it is to be believed is for the caller to know.
    struct sc_digest checksum;
    int64_t now_ms; // head, list: what the store's own clock said, by which its times are to be judged
    bool archived;  // get, head: it is there, but cannot be read before it is restored; get says SC_NOT_FOUND
    struct sc_arena arena; // of the results
    struct sc_slice etag,
        version; // head; get and put where there is one: the back end's mark of this very content
    struct sc_store_entry *entries; // list
    uint32_t entry_count;
    // completion
    sc_store_done_fn done;
    void *context;
    struct sc_store_op *next; // the back end's
    bool ended;               // sc_store_wait's
};

struct sc_store;

// Opens the store at a URL: "dir:/absolute/path", an absolute path, or "s3://bucket/prefix?…" (store/s3/url.h); makes the
// folder and stepcache.json when new. SC_UNSUPPORTED for network file systems and unknown formats (a newer stepcache.json).
SC_MUST_USE enum sc_rc sc_store_open(const char *url, struct sc_store **ret_store, struct sc_error *err);
// The collection horizon of a store is fixed when it is made, for all who use it: an object that nothing reaches may be
// removed when it is older. A new store is made with this one; SC_INVALID, naming both, when it has another. 0: whatever
// it has, or, when new, the default.
enum { SC_STORE_HORIZON_LEAST_MS = 1000, SC_STORE_HORIZON_MS = 7 * 24 * 60 * 60 * 1000 };
#define SC_STORE_HORIZON_MOST_MS (INT64_C(3653) * 86400 * 1000) // ten years
SC_MUST_USE enum sc_rc sc_store_open_with(const char *url, int64_t horizon_ms, struct sc_store **ret_store,
                                          struct sc_error *err);
int64_t sc_store_horizon_ms(const struct sc_store *store);
// Times of a bucket are told in whole seconds: an age may be that much off.
enum { SC_STORE_GRAIN_MS = 1000 };
// A bucket of others, "s3://bucket", to be read: nothing is looked for in it, and nothing made.
SC_MUST_USE enum sc_rc sc_store_open_bucket(const char *url, struct sc_store **ret_store,
                                            struct sc_error *err);
void sc_store_close(struct sc_store *store);
void sc_store_op_init(struct sc_store_op *op, enum sc_store_kind kind, struct sc_slice name);
void sc_store_op_done(struct sc_store_op *op);
void sc_store_submit(struct sc_store *store, struct sc_store_op *op);
// Calls `done` of what is complete; returns how many. wait_ms: 0 looks only, -1 waits for one. 0 at once when nothing is
// under way.
uint32_t sc_store_dispatch(struct sc_store *store, int wait_ms);
// Submits and dispatches until this one is done. Other operations may complete meanwhile.
enum sc_rc sc_store_wait(struct sc_store *store, struct sc_store_op *op);
// The same for many, at most `at_once` of them under way at a time; each tells its own rc. Takes their `done` and `context`.
// No two may be of one name: they come in no order.
void sc_store_wait_all(struct sc_store *store, struct sc_store_op *ops, uint32_t count, uint32_t at_once);
// The object's own path where the back end is a folder on this machine (read-only use, checked by the caller), else false.
bool sc_store_local_path(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path);
// The store's folder where it is one on this machine, else NULL: what must be hidden from steps.
const char *sc_store_local_root(const struct sc_store *store);
const char *sc_store_url(const struct sc_store *store);
// Whether if_absent holds only while nobody else writes the same name at the same moment: several of many racers may get
// SC_OK then. So with client=libs3.
bool sc_store_is_for_one_writer(const struct sc_store *store);
// The server that it is on, as text to compare: what is on the same one is copied there. "aws", "aws-cn", "aws-us-gov": AWS
// itself, by TLS, one of the partitions in each of which names of buckets are unique; else "https://host" or "http://host".
// NULL: a folder.
const char *sc_store_server(const struct sc_store *store);

// What a handle did, for reports and benches.
struct sc_store_counts {
    uint64_t gets, puts, copies, heads, lists, removes, syncs, bytes_in, bytes_out;
    // Requests that were sent, by the classes of S3's price list, repetitions included. A folder has none.
    uint64_t requests_put;    // PUT, COPY, POST, LIST
    uint64_t requests_get;    // GET, HEAD
    uint64_t requests_delete; // DELETE
    uint64_t retries;         // how many of all were repetitions
};
struct sc_store_counts sc_store_counts(const struct sc_store *store);
// Those requests of all handles that this process has, or had. Any thread.
struct sc_store_requests {
    uint64_t put, get, delete_;
};
struct sc_store_requests sc_store_requests(void);
