#include "agent/shell/agent_state.h"

#include "base/memory.h"

struct sc_agent_task *sc_agent_find(const struct sc_agent *agent, uint64_t attempt)
{
    struct sc_agent_task *task;
    HASH_FIND(hh, agent->tasks, &attempt, sizeof attempt, task);
    return task;
}

void sc_agent_fatal(struct sc_agent *agent, enum sc_rc rc)
{
    agent->leaving = true;
    agent->rc = agent->rc == SC_OK ? rc : agent->rc;
}

void sc_agent_later(struct sc_agent *agent, enum sc_agent_event_kind kind, uint64_t attempt)
{
    if (agent->pending_count == agent->pending_room) {
        agent->pending_room = agent->pending_room ? agent->pending_room * 2 : 16;
        agent->pending = sc_realloc(agent->pending, agent->pending_room, sizeof *agent->pending);
    }
    agent->pending[agent->pending_count++] = (struct sc_agent_event){.kind = kind, .attempt = attempt};
}
