// What waits for the journal. An effect is let out when the journal is durable to its after_seq; within its lane nothing
// overtakes: what clients, agents and the store's writer see comes in the core's order. Look-ups wait alone.
#pragma once

#include "coordinator/shell/job.h"

enum sc_lane { SC_LANE_CLIENTS, SC_LANE_AGENTS, SC_LANE_WRITES, SC_LANE_READS, SC_LANES };
enum sc_held_kind { SC_HELD_JOB, SC_HELD_EVENT, SC_HELD_REPLY, SC_HELD_AGENT_MESSAGE, SC_HELD_AGENT_DROP };

struct sc_held {
    struct sc_held *next;
    enum sc_held_kind kind;
    uint64_t after_seq;
    struct sc_arena arena;
    struct sc_job *job; // JOB: owned
    uint64_t peer;      // REPLY: the client; AGENT_…: the agent
    struct sc_message message;
    struct sc_event_body event; // EVENT
    struct sc_watching *to;
    uint32_t to_count;
};

struct sc_lanes {
    struct sc_held *head[SC_LANES], **tail[SC_LANES];
    uint32_t count;
    size_t bytes; // of the arenas
};

void sc_lanes_init(struct sc_lanes *lanes);
void sc_lanes_done(struct sc_lanes *lanes);
// Whether something may go out at once.
bool sc_lanes_clear(const struct sc_lanes *lanes, enum sc_lane lane, uint64_t after_seq,
                    uint64_t durable_seq);
// A new one at the lane's end; the caller fills it, copying into its arena, and then calls sc_lanes_account.
struct sc_held *sc_lanes_hold(struct sc_lanes *lanes, enum sc_lane lane, enum sc_held_kind kind,
                              uint64_t after_seq);
void sc_lanes_account(struct sc_lanes *lanes, const struct sc_held *held);
// The first of a lane that may go now, taken out; free it with sc_held_free. NULL when none may.
struct sc_held *sc_lanes_take(struct sc_lanes *lanes, enum sc_lane lane, uint64_t durable_seq);
void sc_held_free(struct sc_held *held); // its job too, unless it was stolen
// The largest after_seq that something at a lane's head waits for; 0: nothing waits.
uint64_t sc_lanes_wanted(const struct sc_lanes *lanes);
