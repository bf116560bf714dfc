// SHA-256 and its texts. OpenSSL's fetched method, one context a hasher (notes: a fresh context costs 0.8 us).
// All zero means "no digest": no input is known that hashes to it.
#pragma once

#include "base/slice.h"

enum { SC_DIGEST_BYTES = 32, SC_DIGEST_HEX_BYTES = 65 };

struct sc_digest {
    uint8_t bytes[SC_DIGEST_BYTES];
};

struct sc_hasher; // one thread at a time

struct sc_hasher *sc_hasher_new(void);
void sc_hasher_free(struct sc_hasher *hasher);
void sc_hasher_begin(struct sc_hasher *hasher);
void sc_hasher_add(struct sc_hasher *hasher, const void *bytes, size_t len);
struct sc_digest sc_hasher_end(struct sc_hasher *hasher);

// Of bytes in memory, by a hasher kept a thread.
struct sc_digest sc_digest_of(struct sc_slice bytes);

static inline bool sc_digest_eq(const struct sc_digest *a, const struct sc_digest *b)
{
    return memcmp(a->bytes, b->bytes, SC_DIGEST_BYTES) == 0;
}
static inline int sc_digest_cmp(const struct sc_digest *a, const struct sc_digest *b)
{
    return memcmp(a->bytes, b->bytes, SC_DIGEST_BYTES);
}
// Here, so that programs that never hash (the runner) do not load OpenSSL for it.
static inline bool sc_digest_is_zero(const struct sc_digest *digest)
{
    static const struct sc_digest zero;
    return sc_digest_eq(digest, &zero);
}
// Lower-case hex, NUL-terminated.
void sc_digest_hex(const struct sc_digest *digest, char ret_hex[SC_DIGEST_HEX_BYTES]);
// 64 lower-case hex digits, or false.
bool sc_digest_parse(struct sc_slice hex, struct sc_digest *ret_digest);
