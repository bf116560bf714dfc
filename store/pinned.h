// What objects of others' buckets hold: pin -> digest, so that an object is not read again until it is another. A pin is all
// by which a server tells one content of a key from the next. Kept in one file, written whole and atomically; losing it costs
// reading. Any thread.
#pragma once

#include "base/digest.h"
#include "base/error.h"

struct sc_pinned;

struct sc_pin_of {
    const char *server; // sc_store_server
    struct sc_slice bucket, key;
    struct sc_slice version, etag; // version: empty where the bucket keeps none
    uint64_t bytes;
    int64_t mtime_s; // an etag may be an MD5, which others can forge
};
struct sc_digest sc_pin(const struct sc_pin_of *of);

// The file (absent or damaged: empty) is loaded when it is first asked for. Bounded: what was not asked for longest leaves.
struct sc_pinned *sc_pinned_open(const char *path, uint32_t max_entries);
void sc_pinned_close(struct sc_pinned *pinned);
bool sc_pinned_find(struct sc_pinned *pinned, const struct sc_digest *pin, struct sc_digest *ret_digest);
void sc_pinned_remember(struct sc_pinned *pinned, const struct sc_digest *pin,
                        const struct sc_digest *digest);
// Writes it when something changed, without sync.
SC_MUST_USE enum sc_rc sc_pinned_save(struct sc_pinned *pinned, struct sc_error *err);
