#include "base/random.h"

#include "base/memory.h"

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

void sc_random_init(struct sc_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9E3779B97F4A7C15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
        random->state[i] = z ^ z >> 31;
    }
}

uint64_t sc_random_next(struct sc_random *random)
{
    uint64_t *s = random->state, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t sc_random_below(struct sc_random *random, uint64_t bound)
{
    SC_ASSERT(bound != 0);
    uint64_t skip = -bound % bound; // the first values that would favour small results
    for (;;) {
        uint64_t value = sc_random_next(random);
        if (value >= skip)
            return value % bound;
    }
}
