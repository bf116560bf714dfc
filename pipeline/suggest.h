// The nearest known name to one that is not known, by edit distance, for hints.
#pragma once

#include "base/slice.h"

struct sc_suggest {
    struct sc_slice wanted, best;
    unsigned distance; // of the best
};

void sc_suggest_begin(struct sc_suggest *suggest, struct sc_slice wanted);
void sc_suggest_try(struct sc_suggest *suggest, struct sc_slice candidate);
// Whether the best one is near enough to be what was meant.
bool sc_suggest_found(const struct sc_suggest *suggest);
// Insertions, deletions, replacements and swaps of neighbours that turn one into the other (optimal string alignment).
// Names longer than 63 bytes are compared by their first 63.
unsigned sc_suggest_distance(struct sc_slice a, struct sc_slice b);
