// zstd of whole buffers, bounded both ways. A frame tells its size, stands alone, and nothing follows it.
#pragma once

#include "base/buf.h"
#include "base/error.h"

// Appends the compressed bytes.
void sc_compress(struct sc_slice bytes, struct sc_buf *out);
// SC_CORRUPT when it is no whole single frame, holds nothing, tells no size, or would be larger than max_bytes.
SC_MUST_USE enum sc_rc sc_decompress(struct sc_slice compressed, size_t max_bytes, struct sc_buf *ret_bytes,
                                     struct sc_error *err);
