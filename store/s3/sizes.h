// From what size on an object goes in parts, and how large they are. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Where parts begin, and how large they are. Copies have S3's own limits: CopyObject takes 5 GiB.
struct sc_s3_sizes {
    uint64_t single; // goes up in one request
    uint64_t part;   // of the others, at least; uploads have at most 10,000. 0: nothing goes in parts
    uint64_t copy_single, copy_part;
    bool md5; // bodies that go up have an MD5, too, for a server that is not told their SHA-256
};
extern const struct sc_s3_sizes sc_s3_usual_sizes;

uint64_t sc_s3_part_bytes(uint64_t size, uint64_t least); // so that there are at most 10,000 of them
