// Data in a bucket of others, pinned, read where it is not known, and put among our objects. An object is looked at by one
// HEAD, a prefix by a LIST; what the table of pins knows is not read. What is read carries the pin's version and etag, so that
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
};

// Errors name the address, what happened and what to do. version: empty for the newest.
SC_MUST_USE enum sc_rc sc_source_file(const struct sc_source *source, struct sc_slice key,
                                      struct sc_slice version, struct sc_artifact *ret_artifact,
                                      struct sc_error *err);
// Everything below the prefix (without its slash; empty: the whole bucket) as a folder. Keys that end in a slash and hold
// nothing are folders; names that no file can have are SC_UNSUPPORTED.
SC_MUST_USE enum sc_rc sc_source_dir(const struct sc_source *source, struct sc_slice prefix,
                                     struct sc_artifact *ret_artifact, struct sc_error *err);
