// What the files of the loop share: agent.c (life, events in), above carry.c (effects out), above speak.c (messages out).
#pragma once

#include "agent/core/core.h"
#include "agent/shell/agent.h"
#include "agent/shell/presence.h"
#include "agent/shell/workers.h"
#include "proto/bus.h"

enum { SC_AGENT_PENDING_MOST = 8192 };

struct sc_agent {
    const struct sc_agent_config *config;
    struct sc_arena arena;
    struct sc_agent_core *core;
    struct sc_workplace place;
    char *store_folder; // hidden from steps; NULL: the store is none on this machine
    struct sc_prober *prober;
    struct sc_pinned *pinned;
    struct sc_yard *yard;
    struct sc_worker_config worker_config;
    struct sc_workers *workers;
    struct sc_runner *runner;
    struct sc_bus *bus;
    struct sc_store_requests requests_from,
        requests_told; // what it had sent when it last said hello, and told last
    struct sc_presence presence;
    uint64_t incarnation;
    int epoll_fd, signal_fd;
    struct sc_agent_task *tasks; // by attempt
    struct sc_agent_task *dead;  // freed at the end of the turn
    // Events that came up while effects were carried out.
    struct sc_agent_event *pending;
    uint32_t pending_count, pending_room;
    uint32_t probes;            // that workers have
    struct sc_probe_job *asked; // these
    int64_t tell_reading_ms;    // mono: no sooner is it told how far they are
    // Listeners' bytes, let out at a bounded rate.
    uint32_t listened;
    int64_t tokens, tokens_ms;
    uint32_t runner_starts;
    int64_t runner_start_ms;
    bool leaving;
    enum sc_rc rc; // of leaving
    struct sc_error *err;
};

struct sc_agent_task *sc_agent_find(const struct sc_agent *agent, uint64_t attempt);
// To be stepped after the effects that are being carried out.
void sc_agent_later(struct sc_agent *agent, enum sc_agent_event_kind kind, uint64_t attempt);
void sc_agent_fatal(struct sc_agent *agent, enum sc_rc rc);

// carry.c
void sc_agent_carry(struct sc_agent *agent, const struct sc_agent_effect *effect);
// Reads what the step prints as it comes, and not only at its end.
void sc_agent_watch_pipes(struct sc_agent *agent, struct sc_agent_task *task);
// Reads the rest of what the step printed, once; closes the pipes.
void sc_agent_finish_logs(struct sc_agent *agent, struct sc_agent_task *task);
void sc_agent_bury(struct sc_agent *agent);

// speak.c
void sc_agent_speak(struct sc_agent *agent, const struct sc_agent_effect *effect);
void sc_agent_say_probed(struct sc_agent *agent, const struct sc_msg_probed *probed);
// How far sources are that are read for long already; tells in how many ms to call it again, -1 for not at all.
int sc_agent_tell_reading(struct sc_agent *agent);
void sc_agent_listen(struct sc_agent *agent, const struct sc_msg_listen *listen);
void sc_agent_forget_listener(struct sc_agent *agent, struct sc_agent_task *task);
// Lets out what listeners wait for; tells in how many ms to call it again, -1 for not at all.
int sc_agent_tell_listeners(struct sc_agent *agent);
