// Which store the user's own coordinator keeps results in: --store and --endpoint-url, STEPCACHE_STORE.
#pragma once

#include "stepctl/options.h"

// Completes options->store, and sets STEPCACHE_STORE for sc_places_find here and in the programs that are started. SC_INVALID
// when the options do not go together. Texts lie in the arena.
SC_MUST_USE enum sc_rc sc_own_store_choose(struct sc_options *options, struct sc_arena *arena,
                                           struct sc_error *err);
