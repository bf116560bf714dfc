// Deep copies of structs that a schema describes (messages, events, records): what an effect borrows from the core is
// copied before it crosses to another thread or waits for the journal. Pure.
#pragma once

#include "base/codec.h"

// Copies the struct at `from` with every text, list and nested struct that the schema names into the arena.
// `from` and `ret_to` may be the same place: it then stops borrowing.
void sc_copy_struct(const struct sc_schema *schema, const void *from, struct sc_arena *arena, void *ret_to);
