// The core's tables: attempts by number, and in a list a stage, in the order in which they came. Private to agent/core.
#pragma once

#include "agent/core/core.h"

#include <uthash.h>
#include <utlist.h>

enum task_state {
    TASK_QUEUED,
    TASK_FETCHING,
    TASK_READY,
    TASK_WAITING, // launched, to start when another is over
    TASK_RUNNING, // launched
    TASK_ENDING,  // TERM was sent, or KILL
    TASK_TAKING,
    TASK_CLEANING,
    TASK_REPORTED,
    TASK_STATES
};

enum task_cause { // why it is ended before its time
    CAUSE_NONE,
    CAUSE_TIMEOUT,
    CAUSE_REVOKED, // answered by ended
    CAUSE_STOPPED, // the agent leaves: reported as lost, so that it may run elsewhere
    CAUSE_DROPPED, // not wanted, or nobody is there to want it: no answer
};

enum leaving {
    LEAVING_NOT,
    LEAVING_DRAINED,   // no new attempts; leave when all is reported
    LEAVING_FINISHING, // what waits is given back, what runs may finish
    LEAVING_STOPPED,   // what runs is told to end
    LEAVING_KILLED,
};

// Which list a state's tasks stand in.
enum task_list { LIST_QUEUE, LIST_AHEAD, LIST_WAITING, LIST_RUNNING, LIST_CLOSING, LIST_REPORTS, LIST_COUNT };

struct task {
    uint64_t attempt;
    enum task_state state;
    enum task_cause cause;
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes;
    int64_t timeout_ms;
    int64_t
        deadline_ms; // running: of the timeout; ending, and waiting when it is to end: of KILL; taking, fetching: of the
                     // word to the coordinator
    bool unwanted;   // fetching, taking: no process that it waits for is worth a wait
    bool looking;    // fetching: waits for a process that tells of the environment; does not count as ahead
    int64_t said_ms; // reported: when it was said last
    uint32_t overtaken; // how often a later one started before it
    uint32_t repeats;   // of its report
    uint64_t report_bytes;
    int64_t running_word_ms;   // running: when the coordinator is told so; INT64_MAX: it was, or need not be
    struct task *place, *heir; // waiting: whose place it takes; running: who takes its place
    struct task *prev, *next;
    UT_hash_handle hh;
};

struct sc_agent_core {
    struct sc_agent_core_config config;
    struct task *by_attempt;
    struct task *lists[LIST_COUNT];
    uint32_t counts[LIST_COUNT];
    uint32_t looking; // of those ahead
    uint32_t used_cpus_milli, used_gpus;
    uint64_t used_memory_bytes;
    uint64_t reports_bytes; // of the reports that are kept
    // The conversation with the coordinator.
    struct sc_buf coordinator;
    bool started, welcomed;
    bool hello_open; // said, and not yet answered
    bool gone;       // nobody is there to say anything to
    enum leaving leaving;
    bool left;
    const char *reason; // for leaving
    int64_t now_ms;
    int64_t heard_ms, hello_ms, renew_at_ms;
    int64_t renew_ms, hello_wait_ms;
    struct sc_agent_effects effects;
    uint32_t effects_room;
    struct sc_arena arena; // of the effects
};

enum { SC_TASK_RUNNING_WORD_MS = 20 }; // that it runs is told after so long: most short steps report sooner
enum { SC_TASK_WORD_MS = 500 }; // fetching and storing are told to the coordinator when they take so long
enum { SC_TASK_NEXT_WORD_MS = 5000 }; // and again
enum { SC_TASK_LOOKING_MOST = 256 };
enum { SC_TASK_PATIENCE_MS = 3000 }; // of an agent that leaves, with a process that tells of the environment

extern const bool sc_task_moves[TASK_STATES][TASK_STATES];
enum task_list sc_task_list(enum task_state state);
const char *sc_task_state_name(enum task_state state);

struct task *sc_task_find(const struct sc_agent_core *core, uint64_t attempt);
struct task *sc_task_add(struct sc_agent_core *core, const struct sc_assignment *assignment);
// Moves it to another state, and to that state's list; takes and frees its slot, which passes to its heir.
void sc_task_move(struct sc_agent_core *core, struct task *task, enum task_state state);
// From ready to waiting, for the other's place.
void sc_task_wait(struct sc_agent_core *core, struct task *task, struct task *place);
void sc_task_remove(struct sc_agent_core *core, struct task *task);
bool sc_task_fits(const struct sc_agent_core *core, const struct task *task);
bool sc_task_fits_place(const struct task *task, const struct task *place);

// ending.c
void sc_agent_hold(struct sc_agent_core *core, struct sc_agent_effect *effect, bool reports);
void sc_agent_say_hello(struct sc_agent_core *core);
void sc_agent_say_rejected(struct sc_agent_core *core, uint64_t attempt, const char *reason);
void sc_task_release(struct sc_agent_core *core, struct task *task);
void sc_task_answer(struct sc_agent_core *core, struct task *task);
void sc_task_signal(struct sc_agent_core *core, struct task *task, int signal, int64_t grace_ms);
void sc_task_give_up(struct sc_agent_core *core, const struct task *task, int64_t patience_ms);
void sc_task_clean(struct sc_agent_core *core, struct task *task);
void sc_task_take(struct sc_agent_core *core, struct task *task, enum sc_outcome outcome);
void sc_task_end(struct sc_agent_core *core, struct task *task, enum task_cause cause, int64_t grace_ms);
void sc_task_end_all(struct sc_agent_core *core, enum task_cause cause, int64_t grace_ms);
void sc_task_kill_all(struct sc_agent_core *core);

struct sc_agent_effect *sc_agent_effect(struct sc_agent_core *core, enum sc_agent_effect_kind kind,
                                        uint64_t attempt);
void sc_agent_trace(struct sc_agent_core *core, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
