// The core's tables: runs, steps, flights, attempts, agents, and what keys need from agents. Private to coordinator/core.
//
//   run --*-- group (a plan's step) --*-- step (an instance)      step --0..1-- flight --0..1-- attempt --1-- agent
//
// A flight belongs to a key, not to a step: steps wait for it. Lists are kept in the order of creation, so that iteration
// is by id, never by address.
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
    bool again : 1; // waits for a flight begun before its refresh: looks again when that is over
    uint8_t heals;
    uint8_t candidate; // which environment of the need is being looked up
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
    uint8_t fate;  // of enum group_fate
    bool visiting; // in the run's list of groups to visit
    bool broken;   // an instance failed, was cancelled or skipped
    bool forced, refreshed;
    uint32_t fate_by;    // the group that sealed it
    uint32_t visit_next; // index + 1
    struct need *need;   // the environment, once known what it is
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
    bool known, asked, failed;
    struct sc_artifact artifact;
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
    uint32_t unfinished; // steps in no final state
    uint32_t unrecorded; // records on their way
    uint32_t hits, misses, joined, failed, skipped, cancelled;
    uint64_t ran_ms, saved_ms, bytes_up, bytes_down;
    bool cancelling, failing, restored, waited_for_agent;
    bool told_environment;      // that it changed, once
    int64_t orphan_deadline_ms; // an attached run without its client is cancelled then; 0: none
    uint64_t store_error;       // a record could not be written: the run ends with exit code 3
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
    UT_hash_handle hh;
};

struct agent;
struct answer {            // what one agent said to a need
    struct sc_slice agent; // its name, in the core's arena
    uint64_t generation;   // of the question: a run is served by answers to questions asked after its start
    bool failed, pending;
    struct environment *environment;
    struct sc_slice message;
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
    UT_hash_handle hh;
};

// ---- flights, attempts, agents

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
    uint64_t log_sent;
    bool listening;
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
    struct sc_slice agent;
    uint64_t generation;
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
    struct sc_arena arena; // texts that live as long as the core: agent names, needs
    struct sc_effects effects;
    int64_t mono_ms, wall_ms; // of the event at hand
    uint64_t next_req, last_seq, durable_seq, next_run, next_flight;
    struct run *runs_by_id, *runs; // runs: in order
    struct run *ended;             // freed when the next call begins: effects may borrow their texts
    struct flight *flights_by_key, *flights, *queue;
    uint32_t backoff_count;
    struct attempt *attempts;
    struct agent *agents;
    struct environment *environments;
    struct need *needs;
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

// ---- effects.c

struct sc_effect *core_effect(struct sc_core *core, enum sc_effect_kind kind);
struct sc_effect *core_request(struct sc_core *core, enum sc_effect_kind kind, enum request_kind request,
                               struct request **ret_request);
struct request *core_find_request(struct sc_core *core, uint64_t req);
void core_free_request(struct request *request);
// Appends a fact; returns its seq.
uint64_t core_journal(struct sc_core *core, const struct sc_fact *fact, bool lazy);
void core_trace(struct sc_core *core, const char *format, ...) __attribute__((format(printf, 2, 3)));
void core_reply_error(struct sc_core *core, const struct sc_event *event, enum sc_rc rc, const char *format,
                      ...) __attribute__((format(printf, 4, 5)));
void core_reply(struct sc_core *core, uint64_t client, uint64_t client_req, enum sc_message_type type,
                uint64_t after_seq, const void *body, size_t size);
struct sc_message *core_message(struct sc_core *core, enum sc_message_type type);
void core_send_agent(struct sc_core *core, const struct agent *agent, struct sc_message *message,
                     uint64_t after_seq);

// ---- tables.c: finds, moves and names rows

struct run *run_find(struct sc_core *core, struct sc_slice id);
struct run *run_by_number(struct sc_core *core, uint64_t number);
bool run_is_stopping(const struct run *run); // cancelled, or about to be: nothing of it begins
// The group's blocked steps are released, or end by its fate.
void run_visit_later(struct run *run, struct group *group);
struct sc_slice run_step_name(struct sc_core *core, const struct step *step, struct sc_arena *arena);
void step_move(struct sc_core *core, struct step *step, enum step_state to);
const struct sc_plan_step *step_plan(const struct step *step);
struct group *step_group(const struct step *step);
struct step_info *step_info(struct step *step); // made when there is none
// Outputs and values by the names of the plan; false when the record lacks one.
bool step_take_record(struct step *step, const struct sc_core_record *record);
void step_take_result(struct step *step, const struct sc_result *result);
struct decision *decision_add(struct sc_core *core, struct step *step, enum decision_kind kind);
struct flight *flight_find(struct sc_core *core, const struct sc_digest *key);
struct flight *flight_new(struct sc_core *core, const struct sc_digest *key);
void flight_free(struct sc_core *core, struct flight *flight); // nobody waits for it, nothing of it runs
void flight_move(struct sc_core *core, struct flight *flight, enum flight_state to);
void flight_queue(struct sc_core *core, struct flight *flight);
void flight_unqueue(struct sc_core *core, struct flight *flight);
void flight_add_waiter(struct flight *flight, struct step *step);
void flight_remove_waiter(struct flight *flight, struct step *step);
struct agent *agent_by_number(struct sc_core *core, uint64_t number);
struct agent *agent_by_name(struct sc_core *core, struct sc_slice name);
bool agent_any_alive(const struct sc_core *core);

// ---- attempt.c: what an attempt takes of its agent, and what the agent is told of it

struct attempt *attempt_find(struct sc_core *core, uint64_t id);
// Will take of an agent what the step asks for.
struct attempt *attempt_new(struct sc_core *core, uint64_t id, struct sc_slice agent_name,
                            const struct sc_plan_step *plan_step);
void attempt_charge(struct agent *agent, struct attempt *attempt); // takes it
void attempt_move(struct sc_core *core, struct attempt *attempt, enum attempt_state to);
// Its slot is free; the attempt is forgotten.
void attempt_release(struct sc_core *core, struct attempt *attempt);
void attempt_revoke(struct sc_core *core, struct attempt *attempt);
void attempt_listen(struct sc_core *core, struct attempt *attempt, bool on);
bool agent_is_saturated(const struct agent *agent);

// ---- run.c

void run_submit(struct sc_core *core, const struct sc_event *event);
void run_plan_loaded(struct sc_core *core, struct run *run, struct sc_loaded_plan *plan, enum sc_rc rc,
                     struct sc_slice message);
bool run_expand(struct sc_core *core, struct run *run, struct sc_loaded_plan *plan); // groups and steps
struct run *run_restore(struct sc_core *core, const struct sc_fact *fact,
                        struct sc_loaded_plan *plan); // takes the plan; NULL when unusable
void run_begin(struct run *run);                      // releases what waits for nothing
void run_work(struct sc_core *core);                  // a bounded piece of what is to be done in every run
void run_cancel(struct sc_core *core, struct run *run, const char *why);
void run_closed_out(struct sc_core *core, struct run *run, const struct sc_event *event);
void run_free(struct sc_core *core, struct run *run);

// ---- watch.c

void watch_add(struct sc_core *core, struct run *run, uint64_t client, uint64_t client_req, bool logs,
               bool owner, bool caught_up);
void watch_go_on(struct sc_core *core, struct run *run); // the next piece of snapshots
bool watch_unwatch(struct run *run, uint64_t client);    // whether the run was its own
void watch_tell(struct sc_core *core, struct run *run, const struct step *step, struct sc_event_body *event,
                uint64_t after_seq);
void watch_tell_verdict(struct sc_core *core, struct step *step, uint64_t after_seq);
void watch_tell_started(struct sc_core *core, struct step *step);
void watch_tell_finished(struct sc_core *core, struct step *step, uint64_t after_seq);
void watch_tell_note(struct sc_core *core, struct run *run, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void watch_run_started(struct sc_core *core, struct run *run, struct sc_event_body *ret_event);
void watch_run_finished(struct sc_core *core, struct run *run, struct sc_event_body *ret_event);
enum sc_end_state run_end_state(const struct run *run);
bool watch_wants_log(const struct flight *flight);

// ---- step.c: one step's way through verdict and flight

void step_release(struct sc_core *core, struct step *step);  // its needs are done
void step_evaluate(struct sc_core *core, struct step *step); // probing or looking
void step_wake(struct sc_core *core);                        // steps in PROBING look again, if there is news
void step_begin_again(struct sc_core *core, struct step *step); // what it waited or looked for does not serve
void step_looked_up(struct sc_core *core, struct step *step, const struct sc_looked_up *found);
void step_wait(struct sc_core *core, struct step *step); // for the flight of its key, another's or its own
void step_follow_decisions(struct sc_core *core);        // does what flights decided for their steps
void step_unfinished(struct step *step);                 // healing: what was done is not any more
void step_done(struct sc_core *core, struct step *step, uint64_t after_seq);
void step_fail(struct sc_core *core, struct step *step, enum sc_outcome outcome, struct sc_slice message);
void step_end_quietly(struct sc_core *core, struct step *step, enum step_state to,
                      enum sc_outcome outcome); // skipped, cancelled
void core_flush_look_ups(struct sc_core *core);

// ---- input.c: what a step's inputs are

void input_key_inputs(struct sc_core *core, const struct step *step, struct sc_arena *arena,
                      struct sc_key_input *ret_inputs);
void input_assign(struct sc_core *core, const struct step *step, struct sc_arena *arena,
                  struct sc_assignment *ret_assignment);
void input_records_from(const struct step *step, struct sc_arena *arena, struct sc_record_from **ret_from,
                        uint32_t *ret_count);
struct input_artifact {
    const struct sc_artifact *artifact;
    struct step *maker; // NULL: a source
    uint32_t source;    // which, in the plan
};
// The artifacts of all inputs, one by one, those of a fan-in by instance. The array lies in the arena.
uint32_t input_artifacts(const struct step *step, struct sc_arena *arena, struct input_artifact **ret_items);
struct sc_digest input_command_digest(const struct step *step);
// Builds the key of a step for an environment into core->key.
void input_build_key(struct sc_core *core, const struct step *step, const struct environment *environment);

// ---- need.c: environments and pins

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

// ---- flight.c

void flight_join_or_start(struct sc_core *core, struct step *step);
// Nothing of it runs: its waiters look again under the environments that there are now.
void flight_begin_again(struct sc_core *core, struct flight *flight);
// Those that wait for an agent whose answer is another now.
void flight_environments_gone(struct sc_core *core);
void flight_detach(struct sc_core *core, struct step *step);
void flight_reported(struct sc_core *core, struct attempt *attempt, const struct sc_result *result);
void flight_attempt_lost(struct sc_core *core, struct attempt *attempt, const char *why);
void flight_recorded(struct sc_core *core, struct flight *flight, struct request *request,
                     const struct sc_event *event); // flight may be NULL
void flight_deadlines(struct sc_core *core);
int64_t flight_next_deadline(const struct sc_core *core);
void flight_write_record(struct sc_core *core, struct flight *flight, const struct step *step,
                         uint64_t after_seq);
void flight_started(struct sc_core *core, struct flight *flight);
void flight_fail_attempt(struct sc_core *core, struct flight *flight, struct attempt *attempt,
                         const struct sc_result *result, uint64_t after_seq);
void flight_settle(struct sc_core *core, struct flight *flight, uint64_t after_seq);
void flight_fail(struct sc_core *core, struct flight *flight, const struct sc_result *result,
                 uint64_t after_seq);

// ---- heal.c

void heal_presence(struct sc_core *core, struct flight *flight, const struct request *request,
                   const struct sc_event *event);

// ---- agent.c: agents and placement

void agent_hello(struct sc_core *core, const struct sc_event *event);
void agent_renew(struct sc_core *core, const struct sc_event *event);
void agent_gone(struct sc_core *core, const struct sc_event *event);
// The agent does not hold it any more, and has reported nothing: its slot is free.
void agent_attempt_over(struct sc_core *core, struct attempt *attempt, const char *why);
void agent_measure(struct agent *agent, uint64_t wall_ms);
void agent_place(struct sc_core *core); // gives queued flights to agents
void agent_flush(struct sc_core *core); // sends this turn's assignments
void agent_deadlines(struct sc_core *core);

// ---- restore.c

void restore_row(struct sc_core *core, const struct sc_event *event);
void restore_end(struct sc_core *core, const struct sc_event *event);
