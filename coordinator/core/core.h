// The coordinator's core: events in, effects out. Pure: no sockets, files, clock, threads or environment; the only
// randomness is its own seeded generator. The same events give the same effects, bit for bit. One thread.
//
// Rules between core and shell (2-ARCHITECTURE, "The cores are pure"):
//   (i)   every effect with a `req` gets exactly one terminal event with that req: its answer, or one whose rc is not SC_OK;
//   (ii)  an effect is let out only when the journal is durable to its `after_seq` (0: at once);
//   (iii) the shell hands journal effects to the journal in their order, and says how far it is with SC_EVENT_JOURNALED;
//   (iv)  an event is borrowed for the call, the core copies what it keeps; effects live until the next call;
//   (v)   a journal failure is fatal to the program, before anything is said that rests on it.
#pragma once

#include "base/random.h"
#include "pipeline/key.h"
#include "proto/message.h"

// ---- what a record is to the core (the shell translates store/record.h, which the core does not know)

struct sc_core_record {
    struct sc_digest key;
    uint64_t generation;
    SC_LIST(struct sc_key_field, fields);       // as in the record: long values as digests
    SC_LIST(struct sc_named_artifact, outputs); // sorted by name
    SC_LIST(struct sc_named_text, values);
    struct sc_artifact stdout_, stderr_;
    int64_t ended_at;
    uint64_t wall_ms, cpu_ms, max_rss_bytes;
    struct sc_slice namespace_, pipeline, step, run, agent;
    uint64_t attempt;
};

// ---- events

enum sc_event_kind {
    SC_EVENT_SUBMIT,
    SC_EVENT_PLAN_LOADED,
    SC_EVENT_CANCEL,
    SC_EVENT_WATCH,
    SC_EVENT_UNWATCH,
    SC_EVENT_CLIENT_GONE,
    SC_EVENT_HELLO,
    SC_EVENT_RENEW,
    SC_EVENT_AGENT_GONE,
    SC_EVENT_ACCEPTED,
    SC_EVENT_REJECTED,
    SC_EVENT_PROGRESS,
    SC_EVENT_LOG,
    SC_EVENT_REPORTED,
    SC_EVENT_ENDED,
    SC_EVENT_PROBED,
    SC_EVENT_LOOKED_UP,
    SC_EVENT_PRESENCE,
    SC_EVENT_RECORDED,
    SC_EVENT_CLOSED_OUT,
    SC_EVENT_STORE_TROUBLE, // the store refuses for now (rc, message), or takes again (SC_OK)
    SC_EVENT_JOURNALED,
    SC_EVENT_DEADLINE,
    SC_EVENT_CONTINUE,
    SC_EVENT_RESTORE_ROW,
    SC_EVENT_RESTORE_END,
    SC_EVENT_KINDS
};

// A plan with its memory. Made by the shell (store thread); the core takes it over and frees it when no run or flight needs it.
struct sc_loaded_plan {
    struct sc_arena arena;
    struct sc_buf bytes; // what the plan borrows from
    struct sc_plan *plan;
    struct sc_digest digest, template_;
};
void sc_loaded_plan_free(struct sc_loaded_plan *plan);

enum sc_found {
    SC_FOUND,
    SC_FOUND_ABSENT,
    SC_FOUND_UNTRUSTED,
    SC_FOUND_CORRUPT,
    SC_FOUND_VOIDED,
    SC_FOUND_ERROR
};
struct sc_looked_up {
    enum sc_found found;
    bool objects_lost;                   // FOUND, but an object that it names is not in the store
    const struct sc_core_record *record; // FOUND
    // Not found: the newest earlier record of the same step of the same pipeline, else of the same command; or NULL.
    const struct sc_core_record *previous;
    struct sc_slice message; // CORRUPT, ERROR
    bool may_pass;           // ERROR: worth asking again
    bool withdrawn;          // ABSENT: it was there, and was removed by hand
};

struct sc_event {
    enum sc_event_kind kind;
    int64_t mono_ms, wall_ms;
    uint64_t req;            // of an answer to an effect
    enum sc_rc rc;           // of an answer; SC_OK
    struct sc_slice message; // of a failed answer
    uint64_t client;         // the shell's number for a client: SUBMIT, CANCEL, WATCH, UNWATCH, CLIENT_GONE
    uint64_t client_req;     // the client's message id
    uint64_t agent;          // the shell's number for an agent's connection: HELLO … PROBED
    union {
        const struct sc_msg_submit *submit;
        struct sc_loaded_plan *plan_loaded; // NULL when rc is not SC_OK
        struct sc_slice run;                // UNWATCH: the run's id, whole, as in CANCEL
        struct {
            struct sc_slice run;
            bool now; // no grace
        } cancel;
        const struct sc_msg_watch *watch;
        const struct sc_msg_hello *hello;
        const struct sc_msg_renew *renew;
        const struct sc_msg_accepted *accepted;
        const struct sc_msg_rejected *rejected;
        const struct sc_msg_progress *progress;
        const struct sc_msg_log *log;
        const struct sc_msg_reported *reported;
        const struct sc_msg_ended *ended;
        const struct sc_msg_probed *probed;
        struct {
            const struct sc_looked_up *items; // in the order of the effect's
            uint32_t count;
        } looked_up;
        struct {
            const enum sc_rc *rets; // SC_OK, SC_NOT_FOUND
            uint32_t count;
        } presence;
        struct {
            enum { SC_RECORDED_WON, SC_RECORDED_SAME, SC_RECORDED_LOST } put;
        } recorded;
        struct { // CLOSED_OUT: published, segment and summary written
            const struct sc_published *outputs;
            uint32_t count;
        } closed_out;
        uint64_t journaled_seq; // JOURNALED: durable to here
        struct {                // RESTORE_ROW, in order of seq
            uint64_t seq;       // RESTORE_END: the largest seq that was ever used
            struct sc_slice fact;
            struct sc_loaded_plan
                *plan; // with a fact of kind RUN: its plan (taken over), NULL when it could not be loaded
        } restore;
    } u;
};

// ---- effects

enum sc_effect_kind {
    SC_EFFECT_JOURNAL,   // append a fact
    SC_EFFECT_LOAD_PLAN, // -> PLAN_LOADED
    SC_EFFECT_LOOK_UP,   // -> LOOKED_UP
    SC_EFFECT_PRESENCE,  // -> PRESENCE: really look, believe nothing remembered
    SC_EFFECT_WRITE_RECORD, // -> RECORDED. Inline outputs are put as objects first; all that it names is durable before it is visible
    SC_EFFECT_WRITE_VOID,    // drop the record of a key from store and index; no answer
    SC_EFFECT_CLOSE_OUT,     // -> CLOSED_OUT: publish outputs, write the segment and the summary of a run
    SC_EFFECT_SEND_AGENT,    // a message to an agent's connection
    SC_EFFECT_DROP_AGENT,    // forget the connection (a second hello under its name came by another)
    SC_EFFECT_REPLY,         // a message to a client
    SC_EFFECT_NOTIFY,        // an event for the run's watchers
    SC_EFFECT_RUN_CANCELLED, // the run is to end, whoever goes on with it
    SC_EFFECT_RUN_CLOSED,    // the run is final; facts may be compacted once durable to after_seq
    SC_EFFECT_TRACE,         // one English line of a decision, for the log and the tests
};

struct sc_record_from { // where an input came from
    struct sc_slice name;
    struct sc_digest key;
};

struct sc_watching { // a client and the request that it watches by: the id of the event and done messages
    uint64_t client, client_req;
};

enum sc_write_mode { SC_WRITE_IF_ABSENT, SC_WRITE_REPLACE };
struct sc_lookup_item {
    struct sc_digest key; // zero with by_step
    bool by_step;         // --from: the newest record of this step of this pipeline, whatever its key
    bool want_previous;   // for `changed`, when absent
    struct sc_slice namespace_, pipeline, step;
    struct sc_digest command; // digest of the command field's encoding: "the same command"
};
struct sc_effect {
    enum sc_effect_kind kind;
    uint64_t req;
    uint64_t after_seq;
    union {
        struct {
            uint64_t seq;
            struct sc_slice fact; // encoded struct sc_fact
            struct sc_slice slot; // not empty: replaces the earlier fact of this slot, and is never compacted
            bool lazy;            // need not wake the journal: goes with the next one
        } journal;
        struct sc_digest load_plan;
        struct {
            const struct sc_lookup_item *items;
            uint32_t count; // at most SC_LIMIT_BATCH_KEYS
        } look_up;
        struct {
            const struct sc_artifact *items;
            uint32_t count;
        } presence;
        struct {
            enum sc_write_mode mode;
            const struct sc_core_record *record;
            struct sc_slice key_encoding; // the whole key: long fields are stored as objects for explain
            struct sc_slice sandbox, network;
            int64_t stored_at; // wall ms: when the first of what it names was stored
            SC_LIST(struct sc_record_from, inputs_from);
            struct sc_digest command; // as in look-ups: the shell's index remembers it
        } write_record;
        struct {
            struct sc_digest key;
            struct sc_slice reason;
        } write_void;
        struct sc_close_out *close_out;
        struct {
            uint64_t agent;
            const struct sc_message *message;
        } send_agent;
        uint64_t drop_agent;
        struct {
            uint64_t client, client_req;
            const struct sc_message *message;
        } reply;
        struct {
            const struct sc_watching *to;
            uint32_t to_count;
            const struct sc_event_body *event;
        } notify;
        struct sc_slice run_cancelled;
        struct {
            struct sc_slice run;
            uint64_t keep_from; // facts without a slot below this seq are not needed any more
        } run_closed;
        struct sc_slice trace;
    } u;
};

struct sc_publish_item {
    struct sc_slice name, step, output; // of the pipeline's outputs; step with its instance
    struct sc_artifact artifact;        // of one instance; a fan-in is published entry by entry
};
struct sc_close_out {
    struct sc_slice run, namespace_, pipeline, user;
    struct sc_digest plan, template_;
    int64_t started_at, ended_at;
    enum sc_end_state state;
    SC_LIST(struct sc_digest, keys); // every key hit or made: for the segment
    SC_LIST(struct sc_publish_item, publish);
    // The summary is what sc_core_visit_events tells of the run while this effect is handled; its last event, run.finished,
    // gets the published outputs from the shell.
    SC_LIST(struct sc_plan_label, params);
};

struct sc_effects; // the shell reads it by index after each step
uint32_t sc_effects_count(const struct sc_effects *effects);
const struct sc_effect *sc_effects_at(const struct sc_effects *effects, uint32_t index);

// ---- the core

// What a namespace may name as sources: "s3://bucket", "s3://bucket/prefix", "/folder", and what lies below them.
struct sc_allow {
    struct sc_slice namespace_; // "*": every one without a line of its own
    SC_LIST(struct sc_slice, roots);
};
typedef SC_LIST(struct sc_allow, sc_allow_list);

struct sc_core_config {
    uint64_t seed;               // of the generator: random in the programs, fixed in tests
    struct sc_slice coordinator; // this coordinator's id: random, kept in its state
    struct sc_slice domain;
    int64_t lease_ms;          // an agent that was not heard of for so long is lost (15000)
    int64_t renew_ms;          // how often agents say renew (3000)
    int64_t agent_wait_ms;     // with no agent alive, remembered classes serve after so long (10000)
    int64_t grace_ms;          // between TERM and KILL (5000)
    int64_t store_patience_ms; // a store that cannot be read for so long fails the step (300000)
    int64_t
        record_within_ms; // a quarter of the store's horizon: what was stored before may be collected by now; 0: never
    sc_allow_list allow; // its texts outlive the core; of a namespace that it does not name, everything
};

struct sc_core;
struct sc_core *sc_core_new(const struct sc_core_config *config);
void sc_core_free(struct sc_core *core);
// One event. Returns true when there is more to do at once: call again with SC_EVENT_CONTINUE after letting out the effects.
bool sc_core_step(struct sc_core *core, const struct sc_event *event, struct sc_effects **ret_effects);
// When to send SC_EVENT_DEADLINE at the latest, on the mono clock; INT64_MAX for never.
int64_t sc_core_next_deadline(const struct sc_core *core);
// The digest of the plan that a RUN fact names, so that the shell loads it before the RESTORE_ROW; false for other facts.
bool sc_core_fact_plan(struct sc_slice fact, struct sc_digest *ret_plan);
// Runs that are open: a private coordinator leaves when there is none and no client.
uint32_t sc_core_open_runs(const struct sc_core *core);
// What agents told of themselves, and what was asked: in entries. Bounded, but for what open runs use.
uint32_t sc_core_remembered(const struct sc_core *core);
// Attempts whose agents still hold them.
uint32_t sc_core_live_attempts(const struct sc_core *core);
// Asserts every invariant that is cheap enough; tests call it after every event.
void sc_core_check(const struct sc_core *core);
// What a watcher of the whole run would have seen so far, in order (progress and log lines apart): run.started, then each
// step's verdict and end; and run.finished when it is closing. False when no such run is open. The event is borrowed for the
// call. For summaries, explain and show; a watcher itself is served by SC_EVENT_WATCH, in bounded pieces.
bool sc_core_visit_events(const struct sc_core *core, struct sc_slice run,
                          void (*visit)(void *context, const struct sc_event_body *event), void *context);
// Agents alive, for `list agents`: calls visit for each.
struct sc_core_agent_view {
    struct sc_slice name, assurance, software;
    uint32_t cpus_milli, used_cpus_milli, attempts, gpus;
    uint64_t memory_bytes;
    int64_t heard_ms; // ago
};
void sc_core_agents(const struct sc_core *core,
                    void (*visit)(void *context, const struct sc_core_agent_view *agent), void *context);
