// A segment: the records of every key hit or made by one run, sorted by key, compressed, in parts of at most
// SC_LIMIT_SEGMENT_BYTES. An unchanged run reads its records from here. Encoding before zstd: canonical
// ["stepcache.segment/1", domain, part, parts, [record bytes as bin …]].
#pragma once

#include "store/record.h"

// Records must be sorted by key without duplicates. Calls `emit` once a part, in order, with compressed bytes.
typedef enum sc_rc (*sc_segment_part_fn)(void *context, uint32_t part, struct sc_slice compressed,
                                         struct sc_error *err);
SC_MUST_USE enum sc_rc sc_segment_encode(struct sc_slice domain, const struct sc_slice *records,
                                         uint32_t count, sc_segment_part_fn emit, void *context,
                                         struct sc_error *err);
// The records' encoded bytes of one part, in the arena. Nothing in them is checked beyond the container: decode each with
// sc_record_decode when it is used. Bounded expansion: SC_CORRUPT past 16 times the limit.
struct sc_segment_part {
    uint32_t part, parts;
    SC_LIST(struct sc_slice, records);
};
SC_MUST_USE enum sc_rc sc_segment_decode(struct sc_slice compressed, struct sc_slice domain,
                                         struct sc_arena *arena, struct sc_segment_part *ret_segment,
                                         struct sc_error *err);
