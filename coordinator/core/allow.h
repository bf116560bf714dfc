// Which data of others a namespace may name: the coordinator's allow-list, held against a plan when its run is accepted.
#pragma once

#include "coordinator/core/core.h"

// The first source that the plan's namespace may not name: true, and why, in the arena.
bool allow_refuses(const struct sc_core_config *config, const struct sc_plan *plan, struct sc_arena *arena,
                   struct sc_slice *ret_why);
