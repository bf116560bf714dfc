// A seeded generator (xoshiro256**, seeded by splitmix64): the only randomness of the pure cores, so that the same
// seed gives the same story. Not for secrets.
#pragma once

#include <stdint.h>

struct sc_random {
    uint64_t state[4];
};

void sc_random_init(struct sc_random *random, uint64_t seed);
uint64_t sc_random_next(struct sc_random *random);
// Evenly in [0, bound); bound is not 0.
uint64_t sc_random_below(struct sc_random *random, uint64_t bound);
