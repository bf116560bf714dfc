// What a key needs from agents: environments and the content of file:// sources. A run is served by answers to questions
// asked after its start, so that an upgrade between two runs is seen; with no agent alive, remembered answers serve.
#pragma once

#include "coordinator/core/state.h"

// The environment need of a step, made when new. NULL for none.
struct need *need_of(struct sc_core *core, const struct step *step);
// The environments that a step may be looked up and run under: of agents that could run it, in their order. Where those that
// are there are all too small, of those that have its labels: a result takes no room.
struct eligible {
    struct environment *environments[ENVIRONMENTS_MOST];
    uint32_t count;
    bool failed; // no agent could answer, or none came that may run it
    enum sc_outcome outcome;
    struct sc_slice message;
};
// Asks agents for what is missing. Returns false while an answer, or an agent, is awaited. The step's group has its need.
bool need_ready(struct sc_core *core, const struct step *step, struct eligible *ret);
bool need_agent_has(const struct need *need, const struct agent *agent,
                    const struct environment *environment);
void need_probed(struct sc_core *core, struct request *request,
                 const struct sc_msg_probed *probed); // probed is NULL when the agent went
// How far an agent is with reading a source: to those who watch steps that wait for it.
void need_reading(struct sc_core *core, const struct request *request,
                  const struct sc_msg_progress *progress);
void need_agent_gone(struct sc_core *core, struct sc_slice agent);
struct sc_msg_probe need_question(const struct need *need);
// Of those that the step may be looked up under.
bool need_anyone_has(const struct sc_core *core, const struct need *need,
                     const struct environment *environment, const struct sc_plan_step *plan_step);
// What this agent said does not hold any more: it is asked again before anything rests on it.
void need_forget(struct sc_core *core, struct need *need, struct sc_slice agent);
// It has just been looked at there, and was still this one: as good as an answer to a question asked now.
void need_held(struct sc_core *core, struct need *need, struct sc_slice agent,
               const struct environment *environment);
// That the agent takes long to answer the need of the step's group: to its run's watchers, once for all groups of the need.
void need_tell_slow(struct sc_core *core, const struct step *step, struct sc_slice agent);
void need_ask_newcomer(struct sc_core *core, struct need *need, struct agent *agent);
void need_hello(struct sc_core *core, struct agent *agent, const struct sc_msg_hello *hello);
void need_restore(struct sc_core *core, const struct sc_fact *fact);
// The source's bytes are gone from the store: an agent puts them there again before a step goes on that needs them.
void pin_again(struct source_pin *pin);
void need_restore_pin(struct run *run, const struct sc_fact *fact);
// Whether the bytes of all that the step takes from sources are in the store.
bool pins_read(const struct step *step);
bool pins_ready(struct sc_core *core, struct step *step, bool *ret_failed, struct sc_slice *ret_message);
