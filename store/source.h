// Data in a bucket of others, pinned, read where it is not known, and put among our objects. An object is looked at by one
// HEAD, a prefix by a LIST (by its versions ListObjectVersions, a request for each 1,000, where HEADs would cost one an
// object); what the table of pins knows is not read. What is read carries the pin's version and etag, so that
// it is what was pinned; what changed meanwhile is pinned anew, a few times. Blocking, for worker threads.
#pragma once

#include "store/object.h"
#include "store/pinned.h"

struct sc_source {
    struct sc_store *from; // sc_store_open_bucket; on it names are whole keys
    struct sc_slice bucket;
    struct sc_objects *objects;
    struct sc_pinned *pinned;
    const char *scratch; // a folder for this alone: made, and removed when it is done
    bool store;          // the bytes are wanted among the objects; else the digest alone
    bool force;          // also where they seem to be there
    // It is known by its versions (store/identity.h): bytes are read only where they are to be stored, and only if it is
    // still `identity`, where one was told before. SC_UNSUPPORTED where an object has no version id.
    bool by_version;
    struct sc_slice identity;
    // What has come of what is read, now and then, on the thread that reads; the total grows where something is read again.
    // NULL: nobody looks.
    void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
    void *context;
    // Servers besides AWS whose checksums are believed, as sc_store_server names them, with commas; or NULL.
    const char *believed;
};

// What a source is. To be done with after any rc.
struct sc_sourced {
    struct sc_artifact
        artifact; // zero digest: it was not read, being known by its versions; `ext` points into the key
    struct sc_buf identity; // encoded; of one by its versions
};
static inline void sc_sourced_done(struct sc_sourced *sourced)
{
    sc_buf_done(&sourced->identity);
}

// Errors name the address, what happened and what to do. version: empty for the newest, or that of `identity`.
SC_MUST_USE enum sc_rc sc_source_file(const struct sc_source *source, struct sc_slice key,
                                      struct sc_slice version, struct sc_sourced *ret_sourced,
                                      struct sc_error *err);
// Everything below the prefix (without its slash; empty: the whole bucket) as a folder. Keys that end in a slash and hold
// nothing are folders; names that no file can have are SC_UNSUPPORTED.
SC_MUST_USE enum sc_rc sc_source_dir(const struct sc_source *source, struct sc_slice prefix,
                                     struct sc_sourced *ret_sourced, struct sc_error *err);
