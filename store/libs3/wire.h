// libs3 as what carries requests (store/s3/wire.h), for endpoints that know signatures of version 2 alone: all of a store in
// S3 but the signing and sending is store/s3's. libs3 has no conditional writes, no versions, and in 2.0 no uploads in
// parts; what it cannot do is refused by name or done without (docs/S3.md).
#pragma once

#include "store/s3/wire.h"

extern const struct sc_s3_wire_kind sc_libs3_wire;
