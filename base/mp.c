#include "base/mp.h"

#include <limits.h>
#include <stdlib.h>
#include <msgpack/pack.h>

static int write_to_buf(void *data, const char *bytes, size_t len)
{
    sc_buf_add(data, bytes, len);
    return 0; // an overflow is remembered by the buffer itself
}

static msgpack_packer packer(struct sc_buf *out)
{
    return (msgpack_packer){.data = out, .callback = write_to_buf};
}

void sc_mp_put_nil(struct sc_buf *out)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_nil(&pk);
}

void sc_mp_put_bool(struct sc_buf *out, bool value)
{
    msgpack_packer pk = packer(out);
    if (value)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
}

void sc_mp_put_uint(struct sc_buf *out, uint64_t value)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_uint64(&pk, value);
}

void sc_mp_put_int(struct sc_buf *out, int64_t value)
{
    msgpack_packer pk = packer(out);
    if (value < 0)
        msgpack_pack_int64(&pk, value);
    else
        msgpack_pack_uint64(&pk, (uint64_t)value);
}

void sc_mp_put_str(struct sc_buf *out, struct sc_slice text)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_str(&pk, text.len);
    sc_buf_add_slice(out, text);
}

void sc_mp_put_cstr(struct sc_buf *out, const char *text)
{
    sc_mp_put_str(out, sc_slice_str(text));
}

void sc_mp_put_bin(struct sc_buf *out, struct sc_slice bytes)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_bin(&pk, bytes.len);
    sc_buf_add_slice(out, bytes);
}

void sc_mp_put_digest(struct sc_buf *out, const struct sc_digest *digest)
{
    sc_mp_put_bin(out, sc_slice(digest->bytes, SC_DIGEST_BYTES));
}

void sc_mp_put_array(struct sc_buf *out, uint32_t count)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_array(&pk, count);
}

void sc_mp_put_map(struct sc_buf *out, uint32_t count)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_map(&pk, count);
}

// The first bytes of the format (msgpack spec, "Formats").
enum {
    FIXMAP = 0x80,
    FIXARRAY = 0x90,
    FIXSTR = 0xa0,
    NIL = 0xc0,
    FALSE_ = 0xc2,
    TRUE_ = 0xc3,
    BIN8 = 0xc4,
    BIN16 = 0xc5,
    BIN32 = 0xc6,
    UINT8 = 0xcc,
    UINT64 = 0xcf,
    INT8 = 0xd0,
    INT64 = 0xd3,
    STR8 = 0xd9,
    STR16 = 0xda,
    STR32 = 0xdb,
    ARRAY16 = 0xdc,
    ARRAY32 = 0xdd,
    MAP16 = 0xde,
    MAP32 = 0xdf,
    NEGATIVE = 0xe0,
};

enum sc_mp_type sc_mp_peek(const struct sc_mp_reader *reader)
{
    if (reader->failed || reader->at == reader->end)
        return SC_MP_END;
    uint8_t b = *reader->at;
    if (b < FIXMAP || (b >= UINT8 && b <= UINT64))
        return SC_MP_UINT;
    if (b >= NEGATIVE || (b >= INT8 && b <= INT64))
        return SC_MP_INT;
    if (b < FIXARRAY || b == MAP16 || b == MAP32)
        return SC_MP_MAP;
    if (b < FIXSTR || b == ARRAY16 || b == ARRAY32)
        return SC_MP_ARRAY;
    if (b < NIL || (b >= STR8 && b <= STR32))
        return SC_MP_STR;
    if (b >= BIN8 && b <= BIN32)
        return SC_MP_BIN;
    if (b == FALSE_ || b == TRUE_)
        return SC_MP_BOOL;
    return b == NIL ? SC_MP_NIL : SC_MP_END;
}

static bool fail(struct sc_mp_reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
    return false;
}

static size_t left(const struct sc_mp_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

// A big-endian number of `bytes` bytes after the lead byte.
static bool number(struct sc_mp_reader *reader, size_t bytes, uint64_t *ret_value)
{
    if (left(reader) < bytes + 1)
        return fail(reader);
    uint64_t value = 0;
    for (size_t i = 1; i <= bytes; i++)
        value = value << 8 | reader->at[i];
    reader->at += bytes + 1;
    *ret_value = value;
    return true;
}

static bool expect(struct sc_mp_reader *reader, enum sc_mp_type type)
{
    return sc_mp_peek(reader) == type || fail(reader);
}

void sc_mp_get_nil(struct sc_mp_reader *reader)
{
    if (expect(reader, SC_MP_NIL))
        reader->at++;
}

bool sc_mp_get_bool(struct sc_mp_reader *reader)
{
    return expect(reader, SC_MP_BOOL) && *reader->at++ == TRUE_;
}

uint64_t sc_mp_get_uint(struct sc_mp_reader *reader)
{
    if (!expect(reader, SC_MP_UINT))
        return 0;
    uint8_t b = *reader->at;
    if (b < FIXMAP) {
        reader->at++;
        return b;
    }
    static const uint64_t least[] = {0x80, 0x100, 0x10000,
                                     UINT64_C(0x100000000)}; // below it, a shorter form exists
    int form = b - UINT8;
    uint64_t value;
    if (!number(reader, (size_t)1 << form, &value))
        return 0;
    if (value < least[form]) {
        fail(reader);
        return 0;
    }
    return value;
}

int64_t sc_mp_get_int(struct sc_mp_reader *reader)
{
    if (sc_mp_peek(reader) == SC_MP_UINT) {
        uint64_t value = sc_mp_get_uint(reader);
        if (value > INT64_MAX) {
            fail(reader);
            return 0;
        }
        return (int64_t)value;
    }
    if (!expect(reader, SC_MP_INT))
        return 0;
    uint8_t b = *reader->at;
    if (b >= NEGATIVE) {
        reader->at++;
        return (int8_t)b;
    }
    static const int64_t most[] = {-33, INT8_MIN - 1, INT16_MIN - 1,
                                   (int64_t)INT32_MIN - 1}; // above it, a shorter form exists
    int form = b - INT8;
    uint64_t raw;
    if (!number(reader, (size_t)1 << form, &raw))
        return 0;
    int shift = 64 - (8 << form);
    int64_t value = (int64_t)(raw << shift) >> shift;
    if (value > most[form]) {
        fail(reader);
        return 0;
    }
    return value;
}

static struct sc_slice take(struct sc_mp_reader *reader, uint64_t len)
{
    if (len > left(reader)) {
        fail(reader);
        return sc_slice(NULL, 0);
    }
    struct sc_slice bytes = sc_slice(reader->at, (size_t)len);
    reader->at += len;
    return bytes;
}

struct sc_slice sc_mp_get_str(struct sc_mp_reader *reader)
{
    if (!expect(reader, SC_MP_STR))
        return sc_slice(NULL, 0);
    uint8_t b = *reader->at;
    uint64_t len;
    if (b < NIL) {
        reader->at++;
        len = b & 31;
    } else {
        static const uint64_t least[] = {32, 0x100, 0x10000};
        int form = b - STR8;
        if (!number(reader, (size_t)1 << form, &len) || (len < least[form] && !fail(reader)))
            return sc_slice(NULL, 0);
    }
    return take(reader, len);
}

struct sc_slice sc_mp_get_bin(struct sc_mp_reader *reader)
{
    if (!expect(reader, SC_MP_BIN))
        return sc_slice(NULL, 0);
    static const uint64_t least[] = {0, 0x100, 0x10000};
    int form = *reader->at - BIN8;
    uint64_t len;
    if (!number(reader, (size_t)1 << form, &len) || (len < least[form] && !fail(reader)))
        return sc_slice(NULL, 0);
    return take(reader, len);
}

struct sc_digest sc_mp_get_digest(struct sc_mp_reader *reader)
{
    struct sc_digest digest = {{0}};
    struct sc_slice bytes = sc_mp_get_bin(reader);
    if (!reader->failed && bytes.len != SC_DIGEST_BYTES)
        fail(reader);
    if (!reader->failed)
        memcpy(digest.bytes, bytes.ptr, SC_DIGEST_BYTES);
    return digest;
}

// The count of an array or map: fix form in the low 4 bits, else 16 or 32 bits; each element takes `least_bytes`.
static uint32_t count_of(struct sc_mp_reader *reader, uint8_t form16, size_t least_bytes)
{
    uint8_t b = *reader->at;
    uint64_t count;
    if (b < FIXSTR) {
        reader->at++;
        count = b & 15;
    } else {
        bool wide = b != form16;
        if (!number(reader, wide ? 4 : 2, &count))
            return 0;
        if (count < (wide ? 0x10000u : 16u)) {
            fail(reader);
            return 0;
        }
    }
    if (count > left(reader) / least_bytes) {
        fail(reader);
        return 0;
    }
    return (uint32_t)count;
}

uint32_t sc_mp_get_array(struct sc_mp_reader *reader)
{
    return expect(reader, SC_MP_ARRAY) ? count_of(reader, ARRAY16, 1) : 0;
}

uint32_t sc_mp_get_map(struct sc_mp_reader *reader)
{
    return expect(reader, SC_MP_MAP) ? count_of(reader, MAP16, 2) : 0;
}

static void skip_value(struct sc_mp_reader *reader, int depth)
{
    switch (sc_mp_peek(reader)) {
    case SC_MP_NIL:
    case SC_MP_BOOL:
        reader->at++;
        return;
    case SC_MP_UINT:
        sc_mp_get_uint(reader);
        return;
    case SC_MP_INT:
        sc_mp_get_int(reader);
        return;
    case SC_MP_STR:
        sc_mp_get_str(reader);
        return;
    case SC_MP_BIN:
        sc_mp_get_bin(reader);
        return;
    case SC_MP_ARRAY:
    case SC_MP_MAP: {
        bool map = sc_mp_peek(reader) == SC_MP_MAP;
        uint64_t count = map ? 2 * (uint64_t)sc_mp_get_map(reader) : sc_mp_get_array(reader);
        if (depth == 0)
            fail(reader);
        for (uint64_t i = 0; i < count && !reader->failed; i++)
            skip_value(reader, depth - 1);
        return;
    }
    case SC_MP_END:
        fail(reader);
        return;
    }
}

struct sc_slice sc_mp_skip(struct sc_mp_reader *reader, int depth)
{
    const uint8_t *start = reader->at;
    skip_value(reader, depth);
    return reader->failed ? sc_slice(NULL, 0) : sc_slice(start, (size_t)(reader->at - start));
}
