#include "store/digestmap.h"

#include "base/memory.h"

static size_t hash(const struct sc_digest *key)
{
    size_t value;
    memcpy(&value, key->bytes, sizeof value);
    return value;
}

void sc_digest_map_done(struct sc_digest_map *map)
{
    free(map->slots);
    *map = (struct sc_digest_map){0};
}

// The key's slot, or the empty one where it belongs.
static struct sc_digest_slot *slot_of(const struct sc_digest_map *map, const struct sc_digest *key)
{
    size_t i = hash(key) & (map->room - 1);
    while (map->slots[i].value && !sc_digest_eq(&map->slots[i].key, key))
        i = (i + 1) & (map->room - 1);
    return &map->slots[i];
}

void *sc_digest_map_get(const struct sc_digest_map *map, const struct sc_digest *key)
{
    return map->room ? slot_of(map, key)->value : NULL;
}

void sc_digest_map_put(struct sc_digest_map *map, const struct sc_digest *key, void *value)
{
    SC_ASSERT(value != NULL);
    if (map->count * 4 >= map->room * 3) {
        struct sc_digest_map larger = {.room = map->room ? map->room * 2 : 64};
        larger.slots = sc_calloc(larger.room, sizeof *larger.slots);
        larger.count = map->count;
        for (size_t i = 0; i < map->room; i++)
            if (map->slots[i].value)
                *slot_of(&larger, &map->slots[i].key) = map->slots[i];
        free(map->slots);
        *map = larger;
    }
    struct sc_digest_slot *slot = slot_of(map, key);
    map->count += !slot->value;
    *slot = (struct sc_digest_slot){*key, value};
}

void *sc_digest_map_remove(struct sc_digest_map *map, const struct sc_digest *key)
{
    if (!map->room)
        return NULL;
    struct sc_digest_slot *slot = slot_of(map, key);
    void *value = slot->value;
    if (!value)
        return NULL;
    // What follows without a gap is put in again, so that no search stops at the hole.
    size_t mask = map->room - 1, i = (size_t)(slot - map->slots);
    *slot = (struct sc_digest_slot){{{0}}, NULL};
    map->count--;
    for (i = (i + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
        struct sc_digest_slot moved = map->slots[i];
        map->slots[i].value = NULL;
        *slot_of(map, &moved.key) = moved;
    }
    return value;
}
