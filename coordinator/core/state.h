// The core's tables: runs, steps, flights, attempts, agents, and what keys need from agents. Private to coordinator/core.
//
//   run --*-- group (a plan's step) --*-- step (an instance)      step --0..1-- flight --0..1-- attempt --1-- agent
//
// A flight belongs to a key, not to a step: steps wait for it. Lists are kept in the order of creation, so that iteration
// is by id, never by address.
//
// The files are layers; a header names what those above may call, and a file includes only headers of layers below
// (scripts/check-includes). What a lower one has to say to an upper one it leaves in a list or a mark of struct sc_core, which
// the turn works off (core.c):
//
//   restore  agent  heal  run  expand  verdict  step  flight  retry  forget  need  input  watch  attempt  tables  effects
#pragma once

#include "coordinator/core/core.h"
#include "coordinator/core/fact.h"

#include <uthash.h>
#include <utlist.h>

// ---- states and the moves that are allowed (2-ARCHITECTURE)

enum step_state {
    STEP_BLOCKED,
    STEP_PROBING,
    STEP_LOOKING,
    STEP_WAITING,
    STEP_DONE,
    STEP_HEALING,
    STEP_FAILED,
    STEP_CANCELLED,
    STEP_SKIPPED,
    STEP_STATES
};
enum flight_state {
    FLIGHT_QUEUED,
    FLIGHT_ASSIGNED,
    FLIGHT_RUNNING,
    FLIGHT_CHECKING,
    FLIGHT_BACKOFF,
    FLIGHT_SETTLED,
    FLIGHT_DEAD,
    FLIGHT_ABORTED,
    FLIGHT_STATES
};
enum attempt_state {
    ATTEMPT_OFFERED,
    ATTEMPT_LIVE,
    ATTEMPT_REVOKING,
    ATTEMPT_REPORTED,
    ATTEMPT_REJECTED,
    ATTEMPT_LOST,
    ATTEMPT_ENDED,
    ATTEMPT_STATES
};
enum run_state { RUN_LOADING, RUN_OPEN, RUN_CLOSING, RUN_FINAL, RUN_STATES };

enum { QUEUE_SCAN_MOST = 256 };  // queued flights that fit nowhere, of one turn
enum { ENVIRONMENTS_MOST = 16 }; // distinct environments of one need; a fleet with more shares less

// ---- results and details

struct step_result { // lies in the run's arena
    uint32_t output_count, value_count;
    struct sc_artifact *outputs; // in the order of the step's outputs (by name)
    struct sc_slice *values;     // JSON text, in the order of the step's values
};

struct step_info { // what explain and events tell; in the run's arena; only where there is something to tell
    struct sc_slice detail;
    SC_LIST(struct sc_changed_field, fields);
    struct sc_slice made_by_run, made_by_pipeline, made_by_step, made_by_agent;
    int64_t ended_at;
    uint64_t saved_ms;
    struct sc_slice message, log_tail; // of a failure
    int64_t unread_since_ms;           // mono, from 1: since when the store cannot be read for it; 0: it can
    uint32_t exit_code, signal;
    uint64_t wall_ms, cpu_ms, max_rss_bytes;
    struct sc_slice agent;
};

struct flight;
struct step {
    uint8_t state, verdict, reason, outcome;
    bool cached : 1;   // done by a hit
    bool own_work : 1; // its own flight made the result (not joined)
    bool lost : 1;     // its objects are gone: run again with force_upload
    bool started : 1;
    bool again : 1;   // waits for a flight begun before its refresh: looks again when that is over
    bool chosen : 1;  // `candidate` is where it will run: no other environment is looked up any more
    bool reads : 1;   // it missed: the bytes of its sources are wanted, too
    bool confirm : 1; // is to be served by what was made before: see group.asked_after
    uint8_t heals;
    uint8_t candidate; // which environment of the need is being looked up
    uint8_t unread;    // index + 1 of one whose record could not be read; 0: none
    uint8_t moves;     // how often the environment changed under it
    uint16_t attempts; // that failed under this step's limits
    uint32_t group, instance;
    uint32_t number;     // of the newest attempt, from 1
    uint64_t generation; // of the record that a write would replace; 0: put if absent
    struct sc_digest key;
    struct environment *environment; // that the key was built with
    struct step_result *result;
    struct step_info *info;
    struct flight *flight;
    struct run *run;
    struct step *wait_prev, *wait_next; // in the flight's list
};

enum group_mode { GROUP_NORMAL, GROUP_CACHED_ONLY, GROUP_FROM_RUN, GROUP_LEFT_OUT };
// Why a group's steps can not run.
enum group_fate { FATE_NONE, FATE_UPSTREAM_FAILED, FATE_CANCELLED, FATE_WOULD_RUN, FATE_LEFT_OUT };
struct group {                                 // one step of the plan, in a run
    uint32_t first, count;                     // its instances in run->steps
    uint32_t unfinished;                       // instances not done
    uint32_t needs;                            // distinct groups it needs that are unfinished
    uint32_t dependent_first, dependent_count; // in run->dependents
    uint8_t mode;
    uint8_t fate;      // of enum group_fate
    bool visiting : 1; // in the run's list of groups to visit
    bool broken : 1;   // an instance failed, was cancelled or skipped
    bool forced : 1, refreshed : 1;
    bool told_slow : 1;      // that an agent takes long to answer its need, once
    uint32_t fate_by;        // the group that sealed it
    uint32_t visit_next;     // index + 1
    uint32_t nobody_since_s; // mono, rounded up: since when no agent could run it; 0: some can
    struct need *need;       // the environment, once known what it is
    // In sc_core.epoch. What ran may have changed a machine: below it, what was made before serves only under answers to
    // questions asked after it ended.
    uint64_t ran;         // when the last of its steps that ran had ended; 0: none ran
    uint64_t asked_after; // when the last above it that ran had ended
};

struct watcher {
    uint64_t client, client_req;
    bool logs;
    bool owner;      // the run is cancelled when this client goes
    uint32_t cursor; // the steps below it were told; later ones come with the snapshot
    bool caught_up;
    struct watcher *prev, *next;
};

struct source_pin {
    bool known; // what it is, for keys
    bool
        read; // its bytes are in the store, and what they are is known: always with known, but for a source by version
    bool asked, failed;
    uint8_t heals; // how often its bytes were found gone: asked again then, and must be the same
    struct sc_artifact artifact;
    struct sc_slice identity; // by version, once known; encoded, as it stands in the key
    struct sc_slice message;
};

struct run {
    struct sc_slice id;    // in the arena, as all texts of a run
    uint64_t number;       // order of creation
    uint64_t first_flight; // flights from this number on were begun after the run
    enum run_state state;
    struct sc_arena arena;
    struct sc_loaded_plan *plan;
    struct sc_digest plan_digest;
    struct sc_run_options options;
    struct sc_slice user;
    struct group *groups;
    struct step *steps;
    uint32_t step_count;
    uint32_t *dependents;             // group indexes, by group
    uint32_t visit_first, visit_last; // groups to visit, in order: index + 1
    uint32_t visit_at;                // instance of the first of them
    uint32_t cancel_at;               // while cancelling: steps below it have been ended
    struct source_pin *pins;          // of the plan's sources
    struct watcher *watchers;
    uint64_t first_seq;
    int64_t started_at; // wall ms
    int64_t started_mono_ms;
    uint64_t epoch;        // of its start
    int64_t look_again_ms; // mono: its steps in PROBING look again then; 0: no need to
    uint32_t unfinished;   // steps in no final state
    uint32_t unrecorded;   // records on their way
    uint32_t hits, misses, joined, failed, skipped, cancelled;
    uint64_t ran_ms, saved_ms, bytes_up, bytes_down;
    uint32_t ending; // attempts that were revoked for it and have not ended
    bool cancelling, failing, restored, waited_for_agent;
    bool killing;               // what is revoked for it gets no grace
    bool told_environment;      // that it changed, once
    bool told_unread;           // that the store could not be read, once
    int64_t orphan_deadline_ms; // an attached run without its client is cancelled then; 0: none
    enum sc_rc store_rc;        // what the store refused first: the run ends with exit code 3
    struct sc_slice store_message;
    SC_LIST(struct sc_published, published);
    uint64_t load_req, close_req;
    UT_hash_handle by_id;
    struct run *prev, *next;
};

// ---- what a key needs from agents

struct environment { // interned
    struct sc_digest digest;
    struct sc_environment parts;
    struct sc_arena arena;
    uint64_t queued_milli; // cpus that queued flights ask for under it
    bool held;             // while it is told what may be forgotten
    UT_hash_handle hh;
};

struct agent;
struct answer {            // what one agent said to a need
    struct sc_slice agent; // its name, on the heap
    uint64_t
        asked; // sc_core.epoch of the question: a run is served by answers to questions asked after its start
    uint64_t forgotten; // answers to questions of before this epoch do not count any more
    bool failed, pending;
    int64_t asked_ms; // mono; of the question that is pending
    struct environment *environment;
    struct sc_buf message; // failed
    struct answer *next;
};
struct need { // one question: the class for a PATH, or the output of probe commands
    struct sc_digest id;
    enum sc_probe_kind kind;
    struct sc_slice path; // empty: the agent's own
    bool gpu, any;        // any: only the arch part counts
    sc_text_list commands;
    bool moved;             // an answer is another than before: what waits under the old one may wait in vain
    struct answer *answers; // by agent name, in order of first answer
    struct sc_arena arena;
    uint64_t used; // sc_core.need_uses when it was asked for last
    bool held;     // while it is told what may be forgotten
    UT_hash_handle hh;
};

// ---- flights, attempts, agents

struct log_told { // to one watcher of one step that waits for the attempt
    struct log_told *next;
    uint64_t run; // number
    uint32_t step;
    uint64_t client, client_req;
    uint64_t bytes[2]; // by enum sc_stream
};

struct attempt {
    uint64_t id; // seq of its grant
    enum attempt_state state;
    struct flight *flight; // NULL once the flight let go of it
    struct agent *agent;   // NULL after a restart until the agent says hello, and after the agent is gone
    struct sc_slice agent_name;
    int64_t deadline_ms; // mono: lost then
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes;
    uint32_t number;
    struct sc_slice run, step; // for the log
    uint64_t ending_for;       // number of the run that it is revoked for; 0: none waits for its end
    bool listening;
    struct log_told *logs_told; // to whom, while the agent is listened to
    struct sc_arena arena;
    UT_hash_handle hh;
    struct attempt *prev, *next; // in the agent's list
};

struct flight {
    struct sc_digest key;
    enum flight_state state;
    uint64_t number;
    struct sc_arena arena;
    struct step *waiters; // the first is the owner, whose plan tells the command
    struct attempt *attempt;
    uint32_t failures; // attempts that failed, for restored flights
    uint32_t tries;    // attempts in all
    struct environment *environment;
    struct need *need;
    struct sc_slice key_encoding; // in the arena
    struct sc_digest command;
    uint64_t generation; // 0: put if absent; else the generation to write, by replacement
    bool force_upload, unrecorded;
    bool refresh;       // begun by a refresh or force: others join it
    int64_t backoff_ms; // mono: queued again then
    int64_t unplaceable_since_ms;
    const struct sc_result *result; // in the arena, when settled
    struct sc_slice made_by_run, made_by_step;
    uint64_t record_run; // number of the run that waits for the record; 0: none
    bool restored, recorded;
    UT_hash_handle hh;
    struct flight *prev, *next;   // all flights, in order
    struct flight *qprev, *qnext; // the queue of those that want an agent
    bool queued;
    uint32_t queued_milli; // what it adds to its environment's
};

struct agent {
    uint64_t number; // the shell's, of its connection; 0 when it has none
    struct sc_slice name, assurance, software, path;
    uint64_t incarnation;
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes, disk_bytes;
    SC_LIST(struct sc_named_text, labels);
    uint32_t used_cpus_milli, used_gpus, attempt_count;
    uint64_t used_memory_bytes;
    uint64_t mean_wall_ms; // of its recent attempts
    uint32_t mean_count;
    int64_t heard_ms;
    struct attempt *attempts;
    struct sc_arena arena;
    SC_LIST(struct sc_assignment, outbox); // assignments of this turn, in the effects' arena
    uint64_t outbox_seq;
    struct agent *prev, *next;
};

// What a flight decides for a step that waited for it; it stands above, and follows before the turn ends. Until then it is
// WAITING without a flight.
enum decision_kind { DECISION_DONE, DECISION_FAILED, DECISION_AGAIN };
struct decision {
    struct step *step;
    enum decision_kind kind;
    enum sc_outcome outcome; // FAILED
    uint64_t after_seq;      // DONE
    struct sc_slice message; // FAILED; in the effects' arena
};

// ---- requests under way

enum request_kind {
    REQUEST_PLAN,
    REQUEST_LOOK_UP,
    REQUEST_PRESENCE,
    REQUEST_RECORD,
    REQUEST_CLOSE,
    REQUEST_PROBE
};
struct request {
    uint64_t req;
    enum request_kind kind;
    uint64_t run; // number; the run may be gone when the answer comes
    struct sc_digest flight;
    uint32_t *steps; // LOOK_UP: indexes in the run
    uint32_t step_count;
    struct sc_digest *objects; // PRESENCE: what is looked for
    uint32_t object_count;
    struct need *need;
    uint32_t source;
    bool reads;            // its bytes were asked for
    struct sc_slice agent; // on the heap
    uint64_t asked;        // sc_core.epoch
    UT_hash_handle hh;
};

struct sc_effects {
    struct sc_arena arena;
    struct sc_effect *items;
    uint32_t count, room;
};

struct sc_core {
    struct sc_core_config config;
    struct sc_random random;
    struct sc_arena arena; // what lives as long as the core
    struct sc_effects effects;
    int64_t mono_ms, wall_ms; // of the event at hand
    uint64_t next_req, last_seq, durable_seq, next_run, next_flight;
    uint64_t
        epoch; // grows where a question is to be asked anew: with runs that begin, steps that ended, answers forgotten
    struct run *runs_by_id, *runs; // runs: in order
    struct run *ended;             // freed when the next call begins: effects may borrow their texts
    struct flight *flights_by_key, *flights, *queue;
    uint32_t backoff_count;
    struct attempt *attempts;
    struct agent *agents;
    struct environment *environments;
    struct need *needs;
    uint64_t need_uses;
    uint32_t remembered;        // needs, answers, environments
    uint32_t remembered_before; // when it was last looked for what may be forgotten: what was left then
    struct request *requests;
    struct sc_key key;
    struct step **look_queue; // steps that look up in this turn, in order
    uint32_t look_count, look_room;
    bool restoring;
    bool store_trouble; // the store refuses for now
    // What a turn works off before it ends.
    struct decision *decisions;
    uint32_t decision_count, decision_room;
    bool following;  // decisions are being followed
    bool woken;      // agents came, went or answered: steps in PROBING look again
    bool need_moved; // some need's `moved` is set
    bool more;       // the rest of what is to be done is for the next turn
};
