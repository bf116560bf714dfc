// Objects on their way to their published names in a store that is not on this machine, several at once. One thread: the store
// handle's. The first failure is kept, and what is added after it is passed over.
#pragma once

#include "coordinator/shell/storage_parts.h"

struct placing;

// Gives the bytes of what does not lie in the store as an object by itself (inline, in a pack); the slice holds until the next
// call. It may wait for the store.
typedef enum sc_rc (*placing_bytes_fn)(void *context, const struct sc_artifact *artifact,
                                       struct sc_slice *ret_bytes, struct sc_error *err);
struct placing *placing_new(struct sc_store *store, placing_bytes_fn bytes, void *context)
    __attribute__((returns_nonnull));
// `from`: the name of the object that it is a copy of; empty: the bytes are asked for. `ask`: it may be there, and is not written
// again when it has the right size.
void placing_add(struct placing *placing, struct sc_slice name, const struct sc_artifact *artifact,
                 struct sc_slice from, bool ask);
// Waits for all, and frees. How many were written.
SC_MUST_USE enum sc_rc placing_finish(struct placing *placing, uint64_t *ret_written, struct sc_error *err);
