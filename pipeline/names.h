// A set of names, each with a number: which step is called so, which key stood there before. Sized once. The names are
// borrowed. uthash costs a handle of 56 bytes and a bucket a name, which a document of 100,000 steps would notice.
#pragma once

#include "base/slice.h"

struct sc_name_slot {
    const uint8_t *ptr; // NULL: free
    uint32_t len, number;
};

struct sc_names {
    struct sc_name_slot *slots;
    uint32_t mask; // slots - 1
};

// Room for `most` names; adding more is a programmer's mistake.
void sc_names_init(struct sc_names *names, uint32_t most);
void sc_names_done(struct sc_names *names);
// False when the name is there already: its number is in ret_number.
bool sc_names_add(struct sc_names *names, struct sc_slice name, uint32_t number, uint32_t *ret_number);
bool sc_names_find(const struct sc_names *names, struct sc_slice name, uint32_t *ret_number);
