// Healing: an agent could not have an input that the store was believed to hold. The coordinator confirms the loss itself,
// withdraws the records that name what is gone, and lets their producers run again, as far up as needed.
#pragma once

#include "coordinator/core/state.h"

void heal_presence(struct sc_core *core, struct flight *flight, const struct request *request,
                   const struct sc_event *event);
