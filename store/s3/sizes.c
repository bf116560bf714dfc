#include "store/s3/sizes.h"

#include "base/limits.h"

const struct sc_s3_sizes sc_s3_usual_sizes = {
    .single = (uint64_t)64 << 20,
    .part = (uint64_t)16 << 20,
    .copy_single = (uint64_t)5 << 30,
    .copy_part = (uint64_t)512 << 20,
};

uint64_t sc_s3_part_bytes(uint64_t size, uint64_t least)
{
    const uint64_t mib = 1 << 20;
    uint64_t part = (size + SC_LIMIT_S3_PARTS - 1) / SC_LIMIT_S3_PARTS;
    part = (part + mib - 1) / mib * mib;
    return part < least || size <= least * SC_LIMIT_S3_PARTS ? least : part;
}
