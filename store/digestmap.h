// A map from digests to pointers. A digest's own bytes are its hash. One thread; owns nothing it points at.
#pragma once

#include "base/digest.h"

struct sc_digest_slot {
    struct sc_digest key;
    void *value; // NULL: empty
};
struct sc_digest_map {
    struct sc_digest_slot *slots;
    size_t room, count; // room is a power of two, or 0
};

void sc_digest_map_done(struct sc_digest_map *map);
void *sc_digest_map_get(const struct sc_digest_map *map, const struct sc_digest *key);
// Sets or replaces; the value is not NULL.
void sc_digest_map_put(struct sc_digest_map *map, const struct sc_digest *key, void *value);
// Takes the value out, NULL when there is none.
void *sc_digest_map_remove(struct sc_digest_map *map, const struct sc_digest *key);
