// A buffer for secrets: as large as it will ever be from the start, since one that grows leaves copies behind, and cleansed
// when it is done with.
#pragma once

#include "base/buf.h"

#include <openssl/crypto.h>

static inline void sc_s3_secret_init(struct sc_buf *buf, size_t max_bytes)
{
    sc_buf_init(buf, max_bytes);
    sc_buf_reserve(buf, max_bytes);
}
// Empty again.
static inline void sc_s3_secret_clear(struct sc_buf *buf)
{
    if (buf->ptr)
        OPENSSL_cleanse(buf->ptr, buf->len);
    sc_buf_clear(buf);
}
static inline void sc_s3_secret_done(struct sc_buf *buf)
{
    sc_s3_secret_clear(buf);
    sc_buf_done(buf);
}
#define SC_AUTO_S3_SECRET __attribute__((cleanup(sc_s3_secret_done)))
