// Sizes and fractions as people write them in resources.
#pragma once

#include "base/slice.h"

// Bytes: "1073741824", "512MiB", "1.5GiB", "10GB"; units B, KB (kB), MB, GB, TB, PB (powers of 1000) and KiB, MiB, GiB,
// TiB, PiB (powers of 1024). False when it is none, not a whole number of bytes, or does not fit 63 bits.
bool sc_size_parse(struct sc_slice text, uint64_t *ret_bytes);
// A decimal with at most three places, in thousandths: "0.5" is 500.
bool sc_milli_parse(struct sc_slice text, uint32_t *ret_milli);
