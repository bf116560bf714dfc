#include "pipeline/names.h"

#include "base/memory.h"

static uint64_t hash_of(struct sc_slice name)
{
    const uint64_t multiplier = UINT64_C(0x9E3779B97F4A7C15); // 2^64 / the golden ratio
    uint64_t hash = name.len * multiplier, word;
    for (; name.len >= 8; name = sc_slice_from(name, 8)) {
        memcpy(&word, name.ptr, 8);
        hash = (hash ^ word) * multiplier;
        hash ^= hash >> 29;
    }
    word = 0;
    if (name.len > 0)
        memcpy(&word, name.ptr, name.len);
    hash = (hash ^ word) * multiplier;
    return hash ^ hash >> 32;
}

// The name's slot, or the free one where it belongs.
static struct sc_name_slot *slot_of(const struct sc_names *names, struct sc_slice name)
{
    for (uint64_t at = hash_of(name);; at++) {
        struct sc_name_slot *slot = &names->slots[at & names->mask];
        if (!slot->ptr || (slot->len == name.len && memcmp(slot->ptr, name.ptr, name.len) == 0))
            return slot;
    }
}

void sc_names_init(struct sc_names *names, uint32_t most)
{
    uint32_t slots = 8;
    SC_ASSERT(most < UINT32_MAX / 4);
    while (slots < 2 * most)
        slots *= 2;
    names->slots = sc_calloc(slots, sizeof *names->slots);
    names->mask = slots - 1;
}

void sc_names_done(struct sc_names *names)
{
    if (!names)
        return;
    free(names->slots);
    *names = (struct sc_names){0};
}

bool sc_names_add(struct sc_names *names, struct sc_slice name, uint32_t number, uint32_t *ret_number)
{
    static const uint8_t empty[1] = "";
    struct sc_name_slot *slot = slot_of(names, name);
    if (slot->ptr) {
        *ret_number = slot->number;
        return false;
    }
    // A slot without a pointer is free, so an empty name needs one.
    *slot = (struct sc_name_slot){name.ptr ? name.ptr : empty, (uint32_t)name.len, number};
    return true;
}

bool sc_names_find(const struct sc_names *names, struct sc_slice name, uint32_t *ret_number)
{
    const struct sc_name_slot *slot = names->slots ? slot_of(names, name) : NULL;
    if (!slot || !slot->ptr)
        return false;
    *ret_number = slot->number;
    return true;
}
