// Agents and their leases, and which flight goes to which agent.
#pragma once

#include "coordinator/core/state.h"

void agent_hello(struct sc_core *core, const struct sc_event *event);
void agent_renew(struct sc_core *core, const struct sc_event *event);
void agent_gone(struct sc_core *core, const struct sc_event *event);
// The agent does not hold it any more, and has reported nothing: its slot is free.
void agent_attempt_over(struct sc_core *core, struct attempt *attempt, const char *why);
void agent_measure(struct agent *agent, uint64_t wall_ms);
void agent_place(struct sc_core *core); // gives queued flights to agents
void agent_flush(struct sc_core *core); // sends this turn's assignments
void agent_deadlines(struct sc_core *core);
