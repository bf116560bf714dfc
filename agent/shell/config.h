// The agent's configuration: a file of `key: value` lines (docs: step-agent(1)), or the private agent's places.
#pragma once

#include "agent/shell/agent.h"

// Fills what the text says; `shown` is the file's name for errors, which carry its line. Values lie in the arena.
SC_MUST_USE enum sc_rc sc_agent_config_parse(struct sc_slice text, const char *shown, struct sc_arena *arena,
                                             struct sc_agent_config *config, struct sc_error *err);
SC_MUST_USE enum sc_rc sc_agent_config_private(struct sc_arena *arena, struct sc_agent_config *config,
                                               struct sc_error *err);
// What was left out: the machine's name, processors and memory, the default PATH, the runner beside this program. Names
// what must be there and is not.
SC_MUST_USE enum sc_rc sc_agent_config_complete(struct sc_arena *arena, const char *shown,
                                                struct sc_agent_config *config, struct sc_error *err);
