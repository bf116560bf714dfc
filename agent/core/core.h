// The agent's core: events in, effects out. Pure: no sockets, files, clock, threads or environment. It decides which
// attempt is prepared, started, ended and reported, when to say hello and renew, and when to leave. What an attempt's
// command, inputs and results are it does not know: the shell keeps them by the attempt's number until RELEASE.
//
//     queued -> fetching -> ready ------------> running -> taking -> reported        ending: TERM was sent, KILL follows
//                             `-> waiting -'     `-> ending -'                       cleaning: never ran, nothing to report
//
// Slots are taken from LAUNCH to the runner's `ended`; fetching before it and taking after it overlap with the steps of
// others. One more step for each that runs, which needs no more than that one, waits in the runner to take its place:
// so a slot is filled without a question. It takes no slot while it waits. One thread. An event is borrowed for the call;
// effects live until the next call.
#pragma once

#include "proto/message.h"

struct sc_agent_core_config {
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes;  // 0: not counted
    uint32_t backlog;       // attempts held beyond which assignments are rejected
    uint32_t prepare_ahead; // attempts that are fetching or ready at once
    int64_t grace_ms;       // between TERM and KILL
    int64_t renew_ms;       // until a welcome says otherwise
    bool trace;             // one English line a decision, as effects
};

enum sc_agent_event_kind {
    SC_AGENT_START,   // the runner is ready: say hello
    SC_AGENT_WELCOME, // from the coordinator, as the next three
    SC_AGENT_ASSIGN,
    SC_AGENT_REVOKE,
    SC_AGENT_DRAIN,
    SC_AGENT_STRANGER,    // the coordinator answered with an error: it does not know this agent (any more)
    SC_AGENT_HEARD,       // any other message of the coordinator
    SC_AGENT_LOOKING,     // PREPARE takes long, since a process tells of the environment: others go before
    SC_AGENT_PREPARED,    // answer to PREPARE: `outcome` OK, or why it cannot run
    SC_AGENT_STARTED,     // it stays for a while; short steps go from LAUNCH to EXITED
    SC_AGENT_NOT_STARTED, // answer to LAUNCH: the command could not be started
    SC_AGENT_WITHDRAWN,   // answer to SIGNAL: it waited in the runner, and never starts
    SC_AGENT_EXITED,      // nothing of it runs any more
    SC_AGENT_RUNNER_LOST, // the runner died, and every step with it
    SC_AGENT_TAKEN,       // answer to TAKE: the result is whole, and durable
    SC_AGENT_CLEANED,     // answer to CLEAN
    SC_AGENT_STOP,        // a signal asks the agent to leave
    SC_AGENT_DESERTED,    // the coordinator is gone for good: end all, leave
    SC_AGENT_DEADLINE,
};

struct sc_agent_event {
    enum sc_agent_event_kind kind;
    int64_t mono_ms;
    uint64_t attempt; // LOOKING to CLEANED
    union {
        const struct sc_msg_welcome *welcome;
        const struct sc_msg_assign *assign;
        const struct sc_msg_revoke *revoke;
        const struct sc_msg_drain *drain;
        enum sc_outcome prepared;
        int64_t started_ms;   // when its process was, on the mono clock
        uint64_t taken_bytes; // what the result takes in memory
        struct {
            uint32_t exit_code, signal;
            bool oom;
        } exited;
    } u;
};

enum sc_agent_effect_kind {
    SC_AGENT_SAY_HELLO,    // held
    SC_AGENT_SAY_RENEW,    // held
    SC_AGENT_SAY_ACCEPTED, // held: the accepted attempts
    SC_AGENT_SAY_REJECTED, // text
    SC_AGENT_SAY_PROGRESS, // phase
    SC_AGENT_SAY_REPORTED, // the result that TAKE made
    SC_AGENT_SAY_ENDED,
    SC_AGENT_PREPARE, // fetch its inputs, make its work folder
    SC_AGENT_LAUNCH,  // after
    SC_AGENT_GO,      // the launch that waits does so no longer
    SC_AGENT_SIGNAL,  // signal
    SC_AGENT_TAKE,    // outcome: OK takes outputs; all take logs, make a result, remove the work folder
    SC_AGENT_CLEAN,   // remove what PREPARE made
    SC_AGENT_GIVE_UP, // patience_ms: a process that PREPARE or TAKE has waited for so long is not waited for any more
    SC_AGENT_RELEASE, // forget it
    SC_AGENT_LEAVE,   // say goodbye (text) and exit
    SC_AGENT_TRACE,   // text
};

struct sc_agent_effect {
    enum sc_agent_effect_kind kind;
    uint64_t attempt;
    uint64_t after; // the attempt whose end it waits for, 0: none
    enum sc_outcome outcome;
    enum sc_phase phase;
    int64_t patience_ms;
    int signal;
    SC_LIST(uint64_t, held);
    struct sc_slice text;
};

struct sc_agent_effects {
    struct sc_agent_effect *items;
    uint32_t count;
};

struct sc_agent_core;
struct sc_agent_core *sc_agent_core_new(const struct sc_agent_core_config *config);
void sc_agent_core_free(struct sc_agent_core *core);
// One event; the effects are the core's, until the next call.
const struct sc_agent_effects *sc_agent_core_step(struct sc_agent_core *core,
                                                  const struct sc_agent_event *event);
// When to send DEADLINE at the latest, on the mono clock; INT64_MAX for never.
int64_t sc_agent_core_next_deadline(const struct sc_agent_core *core);
// The coordinator whose attempts are held; empty before the first welcome. Borrowed.
struct sc_slice sc_agent_core_coordinator(const struct sc_agent_core *core);
// Attempts that are not reported yet.
uint32_t sc_agent_core_busy(const struct sc_agent_core *core);
// Asserts the invariants: lists and states agree, slots are within capacity. Tests call it after every event.
void sc_agent_core_check(const struct sc_agent_core *core);
