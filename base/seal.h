// A seal: the SHA-256 of some bytes, bare, right behind them. It tells bytes that rotted or were cut from those that were written.
#pragma once

#include "base/buf.h"
#include "base/digest.h"

// Seals what was added to the buffer from `start` on; nothing when the buffer has overflowed.
void sc_seal(struct sc_buf *buf, size_t start);
// The bytes without their seal, or false when it is not theirs.
bool sc_unseal(struct sc_slice bytes, struct sc_slice *ret_body);
