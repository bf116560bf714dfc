// The artifact reference (3-FORMATS, Digests): what an output, a source or an input is, by content. It names bytes; it
// does not hold them, except when they are few (`inline_bytes`). `packs` and `inline` say where bytes lie and are in no
// digest. Slices are borrowed; whoever keeps a reference copies it with sc_artifact_copy.
#pragma once

#include "base/codec.h"

enum sc_artifact_kind {
    SC_ARTIFACT_FILE,
    SC_ARTIFACT_DIR,
    SC_ARTIFACT_LIST
}; // list: reserved for the front doors

struct sc_pack_ref {
    struct sc_digest digest;
    uint64_t bytes;
};

struct sc_artifact {
    enum sc_artifact_kind kind;
    bool exec;               // a file with the owner's x bit
    bool has_inline;         // tells an empty file that is inline from one that is not
    struct sc_digest digest; // a file's SHA-256, a folder's root digest
    struct sc_slice ext;     // ".csv", or empty: the last extension of the path it was made under
    uint64_t bytes;          // of all files together
    uint64_t files;          // 1 for a file
    struct sc_slice metadata;
    SC_LIST(struct sc_pack_ref, packs);
    struct sc_slice
        inline_bytes; // the bytes of a file of at most SC_LIMIT_INLINE_BYTES, of a log of SC_LIMIT_LOG_INLINE_BYTES
};

extern const struct sc_schema sc_schema_artifact;

void sc_artifact_copy(struct sc_arena *arena, const struct sc_artifact *from, struct sc_artifact *ret_to);
// Same content: kind, exec (of a file) and digest.
bool sc_artifact_same(const struct sc_artifact *a, const struct sc_artifact *b);
// The extension of a path as an input's name gets it: from the last dot of the last part, when that dot is not its
// first byte and what follows is 1 to 16 of [A-Za-z0-9_-]. ".tar.gz" and its kin (.tar.bz2, .tar.xz, .tar.zst) stay whole.
struct sc_slice sc_artifact_ext(struct sc_slice path);
