// One object going up, down or across. Small ones are one request; large ones go in parts, several at once, and memory
// does not grow with them: parts are read from the file and written to it where they belong, and bodies are hashed in
// order, a few MiB a turn. What is under way at once is shared out among the transfers of a handle. One thread.
#pragma once

#include "store/s3/client.h"
#include "store/s3/sizes.h"

// What a request is about. Empty version and etag: what is there.
struct sc_s3_place {
    struct sc_slice bucket, key, version, etag;
};

enum sc_s3_way { SC_S3_DOWN, SC_S3_UP, SC_S3_ACROSS };

struct sc_s3_transfer;
typedef void (*sc_s3_transfer_fn)(struct sc_s3_transfer *transfer);

// The caller fills it, owns it, and keeps all that it points at until `done`.
struct sc_s3_transfer {
    enum sc_s3_way way;
    struct sc_s3_place place; // down: what is read, at that etag and version; up, across: what is written
    // down: into `into`, at most max_bytes, or to_fd >= 0 from its start (read back for its digest)
    struct sc_buf *into;
    size_t max_bytes;
    int to_fd;
    // up: `body`, or the file at body_path
    struct sc_slice body;
    const char *body_path;
    bool settled; // up: nobody wrote to the file since sha256 was made of it
    // Of the whole; zero: not known. Down: SC_CORRUPT when it is another, read again; where it is not known, what was said
    // when the object was put holds. Up: SC_BUSY. Up and across: it is kept with the object, for those who read it.
    struct sc_digest sha256;
    // across
    struct sc_s3_place from;
    uint64_t from_bytes; // 0: not known
    bool if_absent;      // up, across
    sc_s3_transfer_fn done;
    sc_s3_transfer_fn progress; // or NULL; bytes moved
    void *context;
    // what came of it
    enum sc_rc rc;
    struct sc_error err;
    uint64_t bytes, moved_bytes;
    int64_t mtime_ms; // down
    bool archived;
    struct sc_arena arena; // of the texts
    struct sc_slice etag, version;
    // the mover's
    struct sc_s3_mover *mover;
    void *state;
    struct sc_s3_transfer *next;
};
void sc_s3_transfer_init(struct sc_s3_transfer *transfer, enum sc_s3_way way);
void sc_s3_transfer_done(struct sc_s3_transfer *transfer);

struct sc_s3_mover; // all transfers of a client
struct sc_s3_mover *sc_s3_mover_new(struct sc_s3_client *client, const struct sc_s3_sizes *sizes);
void sc_s3_mover_free(struct sc_s3_mover *mover); // nothing is under way
void sc_s3_mover_submit(struct sc_s3_mover *mover, struct sc_s3_transfer *transfer);
// Starts what may start and hashes for a while; `done` may be called. True: there is more to hash, do not wait.
bool sc_s3_mover_turn(struct sc_s3_mover *mover);

// Whether an object that is there cannot be read before it is restored.
bool sc_s3_is_archived(const struct sc_s3_answer *answer);
