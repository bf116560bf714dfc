// The small files of one folder out of the packs that its tree object names. Packs are fetched in their order, which is
// that of the folder, some ahead; few are in memory at once. One thread.
#pragma once

#include "store/object.h"

struct sc_pack_reader;

// The packs outlive the reader. Nothing is fetched before it is asked for.
struct sc_pack_reader *sc_pack_reader_new(struct sc_objects *objects, const struct sc_pack_ref *packs,
                                          uint32_t count) __attribute__((returns_nonnull));
void sc_pack_reader_free(struct sc_pack_reader *reader);
// The file's bytes, checked, valid until the next call. SC_NOT_FOUND and SC_CORRUPT name the pack.
SC_MUST_USE enum sc_rc sc_pack_reader_get(struct sc_pack_reader *reader, const struct sc_digest *digest,
                                          struct sc_slice *ret_bytes, struct sc_error *err);
