#include "store/compress.h"

#include "base/memory.h"

#include <zstd.h>

// Level 1: records and trees are mostly digests, which no level makes smaller.
enum { LEVEL = 1 };

void sc_compress(struct sc_slice bytes, struct sc_buf *out)
{
    size_t room = ZSTD_compressBound(bytes.len);
    uint8_t *at = sc_buf_reserve(out, room);
    if (!at)
        return;
    size_t len = ZSTD_compress(at, room, bytes.ptr, bytes.len, LEVEL);
    SC_ASSERT(!ZSTD_isError(len));
    out->len += len;
}

enum sc_rc sc_decompress(struct sc_slice compressed, size_t max_bytes, struct sc_buf *ret_bytes,
                         struct sc_error *err)
{
    size_t frame = ZSTD_findFrameCompressedSize(compressed.ptr, compressed.len);
    unsigned long long size = ZSTD_getFrameContentSize(compressed.ptr, compressed.len);
    if (ZSTD_isError(frame) || frame != compressed.len || size == ZSTD_CONTENTSIZE_ERROR ||
        size == ZSTD_CONTENTSIZE_UNKNOWN || size == 0)
        return sc_error_set(err, SC_CORRUPT,
                            "not one whole zstd frame that holds something and tells its size");
    if (size > max_bytes)
        return sc_error_set(err, SC_CORRUPT, "it claims %llu bytes uncompressed; at most %zu may be", size,
                            max_bytes);
    uint8_t *at = sc_buf_reserve(ret_bytes, (size_t)size);
    if (!at)
        return sc_error_set(err, SC_LIMIT, "%llu bytes uncompressed are too many", size);
    size_t len = ZSTD_decompress(at, (size_t)size, compressed.ptr, compressed.len);
    if (ZSTD_isError(len) || len != size)
        return sc_error_set(err, SC_CORRUPT, "zstd: %s",
                            ZSTD_isError(len) ? ZSTD_getErrorName(len) : "short frame");
    ret_bytes->len += len;
    return SC_OK;
}
