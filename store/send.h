// Objects on their way to a store that is not on this machine, several at once. What is there already is not sent: each is
// asked for first, but for a small pack. One thread; the first failure is kept, and what is put after it is passed over.
#pragma once

#include "store/object_impl.h"

struct sc_sends;

// `force`: sent without asking. Ends in sc_sends_finish.
struct sc_sends *sc_sends_new(struct sc_objects *objects, bool force) __attribute__((returns_nonnull));
// A file, by its absolute path; the back end checks what it sends against the digest (SC_BUSY when it is another).
void sc_sends_file(struct sc_sends *sends, const struct sc_digest *digest, const char *path);
// A pack; takes the buffer's bytes.
void sc_sends_pack(struct sc_sends *sends, const struct sc_digest *digest, struct sc_buf *bytes);
// Waits for all, and frees. The first failure, which names the object.
SC_MUST_USE enum sc_rc sc_sends_finish(struct sc_sends *sends, struct sc_error *err);
