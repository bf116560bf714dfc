// The objects of a source, read and hashed: many at once from the server, up to four large ones at a time by the processor, in
// bounded memory, since bytes go to files. Where the server's word is good and it tells what an object's bytes are, they are
// not read. Private to store/source.c.
#pragma once

#include "store/hash_build.h"
#include "store/source.h"

struct sc_source_object {
    struct sc_pin_of of;
    struct sc_digest pin, digest;
    bool known;                // the digest
    bool here;                 // its bytes lie at path
    bool archived;             // cannot be read
    const char *path;          // where they are to lie; NULL: a folder, which has none
    struct sc_hash_item *item; // of a folder
};

static inline bool sc_source_is_folder(const struct sc_source_object *object)
{
    return object->path == NULL;
}

typedef bool (*sc_source_wanted_fn)(const struct sc_source *source, const struct sc_source_object *object);

// Reads those that are wanted and not here; when it is the digest alone that is wanted, those of which the server tells it are
// known and not here. SC_BUSY: one is another than what was pinned.
SC_MUST_USE enum sc_rc sc_source_read(const struct sc_source *source, struct sc_source_object *objects,
                                      uint32_t count, sc_source_wanted_fn wanted, bool digest_alone,
                                      struct sc_error *err);
// Whether what the server tells of its objects' checksums is so: AWS checks them when an object is put, and others do where the
// agent's operator says that they do.
bool sc_source_believes(const struct sc_source *source);
// What a HEAD told of it, if that is to be believed.
void sc_source_take_checksum(const struct sc_source *source, struct sc_source_object *object,
                             const struct sc_digest *checksum);
// Sets an error of that address.
enum sc_rc sc_source_wrong(const struct sc_source *source, struct sc_slice key, enum sc_rc rc,
                           const char *what, struct sc_error *err);
