// What a key needs from agents: environments and the content of file:// sources. A run is served by answers to questions
// asked after its start, so that an upgrade between two runs is seen; with no agent alive, remembered answers serve.
#pragma once

#include "coordinator/core/state.h"

// The environment need of a step, made when new. NULL for none.
struct need *need_of(struct sc_core *core, const struct step *step);
// Environments that serve a run, in order of their first agent; asks agents for what is missing. Returns false while an answer
// is awaited; `*ret_failed` is set when no agent could answer, with the message.
bool need_ready(struct sc_core *core, struct need *need, struct run *run,
                struct environment **ret_environments, uint32_t *ret_count, bool *ret_failed,
                struct sc_slice *ret_message);
bool need_agent_has(const struct need *need, const struct agent *agent,
                    const struct environment *environment);
void need_probed(struct sc_core *core, struct request *request,
                 const struct sc_msg_probed *probed); // probed is NULL when the agent went
void need_agent_gone(struct sc_core *core, struct sc_slice agent);
struct sc_msg_probe need_question(const struct need *need);
bool need_anyone_has(const struct sc_core *core, const struct need *need,
                     const struct environment *environment);
// What this agent said does not hold any more: it is asked again before anything rests on it.
void need_forget(struct need *need, struct sc_slice agent);
void need_ask_newcomer(struct sc_core *core, struct need *need, struct agent *agent);
void need_hello(struct sc_core *core, struct agent *agent, const struct sc_msg_hello *hello);
void need_restore(struct sc_core *core, const struct sc_fact *fact);
bool pins_ready(struct sc_core *core, struct step *step, bool *ret_failed, struct sc_slice *ret_message);
