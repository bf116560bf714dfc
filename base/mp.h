// Canonical MessagePack (3-FORMATS): shortest integers, no floats, no extension types, map keys strings in byte order.
// Writing goes through msgpack-c's packer into a buffer. Reading is a cursor over bytes that allocates nothing, checks
// every count against the bytes that are left, and refuses what is not in its shortest form, so that one value has one
// encoding and a digest of it means something. The first failure sticks: later reads give zeros, `failed` stays set.
#pragma once

#include "base/buf.h"
#include "base/digest.h"

enum sc_mp_type {
    SC_MP_NIL,
    SC_MP_BOOL,
    SC_MP_UINT,
    SC_MP_INT,
    SC_MP_STR,
    SC_MP_BIN,
    SC_MP_ARRAY,
    SC_MP_MAP,
    SC_MP_END
};

void sc_mp_put_nil(struct sc_buf *out);
void sc_mp_put_bool(struct sc_buf *out, bool value);
void sc_mp_put_uint(struct sc_buf *out, uint64_t value);
void sc_mp_put_int(struct sc_buf *out, int64_t value);
void sc_mp_put_str(struct sc_buf *out, struct sc_slice text);
void sc_mp_put_cstr(struct sc_buf *out, const char *text);
void sc_mp_put_bin(struct sc_buf *out, struct sc_slice bytes);
void sc_mp_put_digest(struct sc_buf *out, const struct sc_digest *digest);
void sc_mp_put_array(struct sc_buf *out, uint32_t count);
void sc_mp_put_map(struct sc_buf *out, uint32_t count);

struct sc_mp_reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct sc_mp_reader sc_mp_reader(struct sc_slice bytes)
{
    return (struct sc_mp_reader){bytes.ptr, bytes.ptr + bytes.len, false};
}
// The type of the next value; SC_MP_END at the end and after a failure. Non-negative integers are SC_MP_UINT.
enum sc_mp_type sc_mp_peek(const struct sc_mp_reader *reader);
bool sc_mp_get_bool(struct sc_mp_reader *reader);
uint64_t sc_mp_get_uint(struct sc_mp_reader *reader);
int64_t sc_mp_get_int(struct sc_mp_reader *reader);
// Borrowed from the bytes that are read.
struct sc_slice sc_mp_get_str(struct sc_mp_reader *reader);
struct sc_slice sc_mp_get_bin(struct sc_mp_reader *reader);
struct sc_digest sc_mp_get_digest(struct sc_mp_reader *reader); // 32 bytes of bin
void sc_mp_get_nil(struct sc_mp_reader *reader);
// The count is at most the bytes left (half of them for a map), so it is safe to allocate by.
uint32_t sc_mp_get_array(struct sc_mp_reader *reader);
uint32_t sc_mp_get_map(struct sc_mp_reader *reader);
// Steps over one value, whatever it holds, to depth levels of nesting; returns its bytes.
struct sc_slice sc_mp_skip(struct sc_mp_reader *reader, int depth);
// True when all was read, and read well.
static inline bool sc_mp_finished(const struct sc_mp_reader *reader)
{
    return !reader->failed && reader->at == reader->end;
}
