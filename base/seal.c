#include "base/seal.h"

void sc_seal(struct sc_buf *buf, size_t start)
{
    if (buf->overflow)
        return;
    struct sc_digest sum = sc_digest_of(sc_slice(buf->ptr + start, buf->len - start));
    sc_buf_add(buf, sum.bytes, sizeof sum.bytes);
}

bool sc_unseal(struct sc_slice bytes, struct sc_slice *ret_body)
{
    if (bytes.len < SC_DIGEST_BYTES)
        return false;
    struct sc_slice body = sc_slice(bytes.ptr, bytes.len - SC_DIGEST_BYTES);
    struct sc_digest sum = sc_digest_of(body);
    *ret_body = body;
    return memcmp(sum.bytes, body.ptr + body.len, SC_DIGEST_BYTES) == 0;
}
