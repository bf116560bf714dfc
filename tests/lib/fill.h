// Fills a struct by its schema with a value in every field, the same each time: what golden encodings and fuzz corpora
// are made of, so that a field that is added is in them.
#pragma once

#include "base/codec.h"

// Into the zeroed struct at object; lists get two elements, texts their field's name and a number.
void sc_fill(const struct sc_schema *schema, struct sc_arena *arena, void *object);
// True when the schema's fields cover the struct but for padding: no member was forgotten. Names the first gap.
bool sc_fill_covers(const struct sc_schema *schema, struct sc_error *err);
