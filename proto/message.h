// The messages: one struct each, with its schema. A message on the wire is one frame of one MessagePack array
// [version, type, id, body]; the body is a map whose absent fields are zero. Unknown fields are passed over.
// `id` is the sender's number for a request; the answer carries it back; 0 for what asks no answer.
// Slices and lists of a decoded message borrow from its bytes and its arena. PROTOCOL.md draws the conversations.
#pragma once

#include "base/artifact.h"
#include "base/environment.h"

enum { SC_PROTO_VERSION = 1 };

// X(name on the wire, struct and enum suffix)
#define SC_MESSAGE_TABLE(X)                                                                                  \
    /* agent to coordinator */                                                                               \
    X(hello, HELLO)                                                                                          \
    X(renew, RENEW)                                                                                          \
    X(accepted, ACCEPTED)                                                                                    \
    X(rejected, REJECTED)                                                                                    \
    X(progress, PROGRESS)                                                                                    \
    X(log, LOG)                                                                                              \
    X(probed, PROBED)                                                                                        \
    X(reported, REPORTED)                                                                                    \
    X(ended, ENDED)                                                                                          \
    X(goodbye, GOODBYE)                                                                                      \
    /* coordinator to agent */                                                                               \
    X(welcome, WELCOME)                                                                                      \
    X(probe, PROBE)                                                                                          \
    X(assign, ASSIGN)                                                                                        \
    X(revoke, REVOKE)                                                                                        \
    X(listen, LISTEN)                                                                                        \
    X(drain, DRAIN)                                                                                          \
    /* client to coordinator */                                                                              \
    X(put, PUT)                                                                                              \
    X(submit, SUBMIT)                                                                                        \
    X(list, LIST)                                                                                            \
    X(show, SHOW)                                                                                            \
    X(watch, WATCH)                                                                                          \
    X(logs, LOGS)                                                                                            \
    X(cancel, CANCEL)                                                                                        \
    X(explain, EXPLAIN)                                                                                      \
    X(cache, CACHE)                                                                                          \
    /* coordinator to client */                                                                              \
    X(started, STARTED)                                                                                      \
    X(event, EVENT)                                                                                          \
    X(page, PAGE)                                                                                            \
    X(done, DONE)                                                                                            \
    X(error, ERROR)

enum sc_message_type {
#define X(name, NAME) SC_MESSAGE_##NAME,
    SC_MESSAGE_TABLE(X)
#undef X
        SC_MESSAGE_COUNT
};

// How an attempt ended. The names are what users, events and records see (agent/… and 2-ARCHITECTURE, Agent).
#define SC_OUTCOME_TABLE(X)                                                                                  \
    X(OK, "ok")                                                                                              \
    X(EXIT, "exit")     /* non-zero exit */                                                                  \
    X(SIGNAL, "signal") /* killed by a signal */                                                             \
    X(OUT_OF_MEMORY, "out-of-memory")                                                                        \
    X(TIMEOUT, "timeout")                                                                                    \
    X(OUTPUT_MISSING, "output-missing")                                                                      \
    X(OUTPUT_NOT_ALLOWED, "output-not-allowed") /* FIFO, device, leaving link */                             \
    X(DISK_FULL, "disk-full")                                                                                \
    X(INPUT_LOST, "input-lost")                                                                              \
    X(STORE, "store") /* the store refused or failed */                                                      \
    X(START, "start") /* the command could not be started */                                                 \
    X(VALUE, "value") /* a declared value is not there or no JSON */                                         \
    X(AGENT_LOST, "agent-lost")                                                                              \
    X(CANCELLED, "cancelled")                                                                                \
    X(NOT_CACHED, "not-cached") /* --cached-only */                                                          \
    X(UPSTREAM, "upstream-failed")                                                                           \
    X(PROBE, "probe") /* what the key needs could not be told */                                             \
    X(INTERNAL, "internal")                                                                                  \
    X(ENVIRONMENT, "environment-changed") /* the key was built with another than it ran in */

enum sc_outcome {
#define X(NAME, text) SC_OUTCOME_##NAME,
    SC_OUTCOME_TABLE(X)
#undef X
        SC_OUTCOME_COUNT
};
const char *sc_outcome_name(enum sc_outcome outcome);

struct sc_named_artifact {
    struct sc_slice name;
    struct sc_artifact artifact;
};
struct sc_named_text {
    struct sc_slice name, text;
};

// ---- agent to coordinator

struct sc_class { // the environment that steps with this PATH meet on this agent
    struct sc_slice path;
    bool gpu; // asked with the GPU parts
    struct sc_environment environment;
};

struct sc_msg_hello {
    struct sc_slice agent;       // its name: unique in the fleet, the same after a restart
    uint64_t incarnation;        // random, new with each process
    struct sc_slice coordinator; // id of the coordinator whose attempts it holds; empty at first
    SC_LIST(uint64_t, held);     // attempts that it has, in whatever state
    SC_LIST(struct sc_class, classes);
    struct sc_slice path; // its default PATH
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes, disk_bytes;
    SC_LIST(struct sc_named_text, labels);
    struct sc_slice assurance; // "namespaces" or "none"
    struct sc_slice software;  // version
    uint64_t pid;
};
// That were sent to the store since the agent said hello, by the classes of S3's price list (store/store.h).
struct sc_requests {
    uint64_t put, get, delete_;
};
struct sc_msg_renew {
    SC_LIST(uint64_t, held);
    struct sc_requests requests;
};
struct sc_msg_accepted {
    SC_LIST(uint64_t, attempts);
};
struct sc_msg_rejected {
    uint64_t attempt;
    struct sc_slice reason;
};
enum sc_phase {
    SC_PHASE_QUEUED,
    SC_PHASE_FETCHING,
    SC_PHASE_RUNNING,
    SC_PHASE_STORING,
    SC_PHASE_CHECKING, // before the start or after the end: waits for a process that tells of the environment
};
struct sc_msg_progress {
    uint64_t attempt;
    uint64_t probe;      // attempt 0: how far a source is that is read for this one
    enum sc_phase phase; // sent when it changes, and now and then while fetching, storing and checking last
    uint64_t done_bytes, total_bytes;
};
enum sc_stream { SC_STREAM_STDOUT, SC_STREAM_STDERR };
struct sc_msg_log { // only while somebody listens
    uint64_t attempt;
    enum sc_stream stream;
    uint64_t offset;
    bool begins;          // what comes before was left out: who was told less goes on from here
    struct sc_slice text; // bytes as they came
};

enum sc_probe_kind { SC_PROBE_CLASS, SC_PROBE_COMMANDS, SC_PROBE_FILE };
struct sc_msg_probed {
    uint64_t probe;
    enum sc_probe_kind kind;
    bool failed;
    struct sc_slice message;        // of a failure: what and what to do
    struct sc_class class_;         // CLASS
    struct sc_environment commands; // COMMANDS: probe.0 …
    struct sc_artifact artifact;    // FILE; zero digest: by version, and its bytes were not asked for
    struct sc_slice identity;       // FILE by version: what stands in the key (pipeline/key.h), encoded
};

struct sc_result {
    enum sc_outcome outcome;
    uint32_t exit_code, signal;
    struct sc_slice message; // of a failure, for people: what happened, to which file, what to do
    SC_LIST(struct sc_named_artifact, outputs); // sorted by name
    SC_LIST(struct sc_named_text, values);      // JSON text, compact
    struct sc_artifact stdout_, stderr_;        // zero digest and no inline: nothing was written
    struct sc_slice log_tail;                   // of a failure: the last lines of both streams
    int64_t started_at, ended_at;               // wall ms
    uint64_t wall_ms, cpu_ms, max_rss_bytes;    // of the step alone
    struct sc_slice sandbox, network;           // assurance: "namespaces" | "none"; "on"
    struct sc_digest lost;                      // INPUT_LOST: which of the inputs' artifacts
    uint64_t bytes_up, bytes_down;              // moved to and from the store
    int64_t
        stored_at; // wall ms, by the coordinator's clock, which sets it: a record counts on what was stored then
};
struct sc_msg_reported { // outputs that are not inline are durable in the store
    uint64_t attempt;
    struct sc_requests requests;
    uint64_t stored_ms; // how long ago the first of them was looked for, or put, there
    struct sc_result result;
};
struct sc_msg_ended { // after a revoke: nothing of it runs any more
    uint64_t attempt;
};
struct sc_msg_goodbye {
    struct sc_slice reason;
    struct sc_requests requests;
};

// ---- coordinator to agent

struct sc_msg_welcome {
    struct sc_slice coordinator; // its id; attempts of another coordinator are dropped
    struct sc_slice domain;
    uint64_t lease_ms, renew_ms;
    SC_LIST(uint64_t, drop); // held attempts that are not wanted any more: end them
    SC_LIST(uint64_t, keep); // adopted
};
struct sc_msg_probe {
    uint64_t probe;
    enum sc_probe_kind kind;
    // PATH for CLASS and COMMANDS; empty: the agent's own. FILE: the file's, absolute, or s3://bucket/key
    struct sc_slice path;
    struct sc_slice version; // FILE in S3: the version id, or empty
    bool gpu;
    // FILE in S3: its versions are asked for; the bytes too where they are to be stored, and then those of this identity,
    // if it was told before.
    bool by_version;
    struct sc_slice identity;
    bool dir;   // FILE: a folder is wanted
    bool store; // FILE: put it into the store too, so that steps can have it by digest
    bool force; // FILE: what seems to be in the store is put again, since it was found gone
    sc_text_list commands;
    sc_text_list ignored; // in an assignment: parts that are not in the key, which may change
};

enum sc_piece_kind { SC_PIECE_TEXT, SC_PIECE_IN, SC_PIECE_OUT, SC_PIECE_VALUE };
struct
    sc_piece { // of a command: a text, an input's or output's path by name, or (script) a shell variable's value
    enum sc_piece_kind kind;
    struct sc_slice text;
};
struct sc_pieces {
    SC_LIST(struct sc_piece, items);
};
enum sc_input_kind { SC_INPUT_ARTIFACT, SC_INPUT_FAN_IN, SC_INPUT_VALUE };
struct sc_assigned_input {
    struct sc_slice name;
    enum sc_input_kind kind;
    struct sc_artifact artifact;                // ARTIFACT: lies at in/<name><ext>
    SC_LIST(struct sc_named_artifact, entries); // FAN_IN: lies at in/<name>, sorted by name
    struct sc_slice text;                       // VALUE: what ${inputs.name} is
};
struct sc_assigned_output {
    struct sc_slice name, path; // below out/
    bool dir;
};
struct sc_assigned_value {
    struct sc_slice name, pointer;
    uint32_t output; // index in outputs
};
struct sc_assigned_env {
    struct sc_slice name;
    struct sc_pieces value;
};
struct sc_assignment {
    uint64_t attempt;
    uint32_t number;                                 // of this flight: 1 for the first
    struct sc_slice namespace_, pipeline, run, step; // step with its instance: names for logs and log objects
    bool script;
    SC_LIST(struct sc_pieces, command);
    struct sc_artifact code; // zero digest: none
    SC_LIST(struct sc_assigned_input, inputs);
    SC_LIST(struct sc_assigned_output, outputs);
    SC_LIST(struct sc_assigned_value, values);
    SC_LIST(struct sc_assigned_env, env);
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes, disk_bytes; // 0: no limit
    uint64_t timeout_ms;               // 0: none
    bool force_upload;                 // what seems to be in the store is written anyway (healing)
    bool listened;                     // somebody watches its log
    bool unrecorded;           // the cache is off: logs go under run/… since no record will hold them
    struct sc_msg_probe probe; // what the environment in the key was asked by; its number is 0
    // The answer, without the ignored parts: only where it still holds when the step has ended, the result counts. Zero: nothing to compare.
    struct sc_digest environment;
};
struct sc_msg_assign {
    SC_LIST(struct sc_assignment, assignments);
};
struct sc_msg_revoke { // TERM, the grace, KILL; answered by reported (it was done already) or ended
    SC_LIST(uint64_t, attempts);
    uint64_t grace_ms;
};
struct
    sc_msg_listen { // tell the log of this attempt from its beginning, or as much of its end as is told again; or stop
    uint64_t attempt;
    bool stop;
};
struct sc_msg_drain {
    bool now; // end what runs too
};

// ---- client to coordinator

struct sc_msg_put { // an object in chunks, in order; the last one checks the digest. Answered by done
    struct sc_digest digest;
    bool tree; // a tree object; else a file's bytes
    uint64_t offset, total_bytes;
    struct sc_slice bytes;
};

struct sc_run_options {
    bool no_cache;
    bool refresh_all;
    sc_text_list refresh; // step names: run again, replace
    sc_text_list force;   // step names: they and all below
    bool cached_only;
    sc_text_list only;
    struct sc_slice from; // a step; what is above is taken from the newest run
    bool fail_fast;
    bool dry;      // `plan`: verdicts, nothing runs, nothing is kept
    bool attached; // the run is cancelled when its client is gone (`stepctl run`)
};
struct sc_msg_submit {     // answered by started, then event … and, when the run ends, done
    struct sc_digest plan; // of the plan's encoding, an object in cas/
    struct sc_run_options options;
    struct sc_slice user;
    bool watch; // send events
    bool logs;  // and log lines
};
struct sc_msg_list {      // runs, newest first; agents; where results are kept
    struct sc_slice what; // "runs" | "agents" | "store"
    uint32_t limit;
    struct sc_slice pipeline; // only of this one; may be empty
};
struct sc_msg_show {     // a run's state: its events as they stand, in event messages, then done
    struct sc_slice run; // a run id, a unique prefix, or "latest"
};
struct sc_msg_watch { // show, and what comes until the run ends, then done
    struct sc_slice run;
    bool logs;
    bool own; // of an attached run: this client owns it now (it came back after the coordinator's restart)
};
struct sc_msg_logs { // one step's log, in event messages of kind step.log, then done
    struct sc_slice run, step;
    uint32_t attempt; // 0: the newest
    bool follow;
};
struct sc_msg_cancel {
    struct sc_slice run;
    bool now; // its steps get KILL, also those that have their grace
};
struct sc_msg_explain { // answered by a page of JSON rows
    struct sc_slice run, step;
};
struct sc_msg_cache {   // answered by pages, then done
    struct sc_slice op; // "ls" | "show" | "rm" | "verify" | "stats"
    sc_text_list args;
};

// ---- coordinator to client

struct sc_msg_started {
    struct sc_slice run;
    uint64_t steps;
};

enum sc_event_type {
    SC_EV_RUN_STARTED,
    SC_EV_STEP_VERDICT,
    SC_EV_STEP_STARTED,
    SC_EV_STEP_PROGRESS,
    SC_EV_STEP_LOG,
    SC_EV_STEP_RETRY,
    SC_EV_STEP_FINISHED,
    SC_EV_RUN_FINISHED,
    SC_EV_ERROR,
    SC_EV_NOTE,
    SC_EV_COUNT
};
// "run.started" …, as 3-FORMATS prints them.
const char *sc_event_type_name(enum sc_event_type type);
enum sc_verdict { SC_VERDICT_NONE, SC_VERDICT_HIT, SC_VERDICT_JOIN, SC_VERDICT_MISS };
#define SC_REASON_TABLE(X)                                                                                   \
    X(NONE, "")                                                                                              \
    X(CACHED, "cached")       /* of a hit */                                                                 \
    X(FROM_RUN, "from-run")   /* --from: taken from the newest run, whatever its key */                      \
    X(IN_FLIGHT, "in-flight") /* of a join */                                                                \
    X(NEVER_SEEN, "never-seen")                                                                              \
    X(CHANGED, "changed")                                                                                    \
    X(EXPIRED, "expired")                                                                                    \
    X(REFRESH, "refresh")                                                                                    \
    X(FORCED, "forced")                                                                                      \
    X(DISABLED, "disabled")                                                                                  \
    X(OBJECTS_LOST, "objects-lost")                                                                          \
    X(UNTRUSTED, "untrusted")                                                                                \
    X(RECORD_CORRUPT, "record-corrupt")                                                                      \
    X(VOIDED, "voided")                                                                                      \
    X(UPSTREAM, "upstream") /* plan: what it needs would run first */
enum sc_reason {
#define X(NAME, text) SC_REASON_##NAME,
    SC_REASON_TABLE(X)
#undef X
        SC_REASON_COUNT
};
const char *sc_reason_name(enum sc_reason reason);
enum sc_end_state { SC_END_NONE, SC_END_DONE, SC_END_FAILED, SC_END_CANCELLED, SC_END_SKIPPED };
const char *sc_end_state_name(enum sc_end_state state);

struct sc_changed_field {
    struct sc_slice label, old_, new_; // printed values; digests in hex
};
struct sc_published {
    struct sc_slice name;
    struct sc_digest digest;
    uint64_t bytes;
    struct sc_slice uri;
};
// One event for all kinds; a kind uses the fields that 3-FORMATS lists for it.
struct sc_event_body {
    enum sc_event_type type;
    int64_t at; // wall ms
    struct sc_slice run, pipeline, namespace_, step, agent;
    uint64_t steps;
    enum sc_verdict verdict;
    enum sc_reason reason;
    struct sc_slice detail; // the reason in a few words: "2 days old", "train runs first"
    struct sc_digest key;
    SC_LIST(struct sc_changed_field, fields);
    struct sc_slice made_by_run, made_by_pipeline, made_by_step, made_by_agent;
    int64_t ended_at;
    uint64_t saved_ms;
    uint64_t attempt; // number of the attempt of its flight, from 1
    enum sc_phase phase;
    uint64_t done_bytes, total_bytes;
    enum sc_stream stream;
    struct sc_slice text; // log bytes, a note's or an error's message
    enum sc_outcome outcome;
    uint64_t next_in_ms;
    enum sc_end_state state;
    bool cached;
    uint32_t exit_code, signal;
    uint64_t wall_ms, cpu_ms, max_rss_bytes;
    struct sc_slice log_tail;
    uint64_t hits, misses, joined, failed, skipped, ran_ms, bytes_up, bytes_down;
    SC_LIST(struct sc_published, outputs);
    struct sc_slice code, hint; // of an error
};
struct sc_msg_event {
    SC_LIST(struct sc_event_body, events);
};
struct sc_msg_page { // rows are JSON objects, as text
    sc_text_list rows;
    bool last;
};
struct sc_msg_done {
    enum sc_end_state state; // of a run; NONE for other requests
    struct sc_slice run;
};
struct sc_msg_error {
    struct sc_slice code, message, hint; // code: sc_rc_name
    uint32_t rc;                         // -enum sc_rc
};

// Any message.
struct sc_message {
    enum sc_message_type type;
    uint64_t id;
    union {
#define X(name, NAME) struct sc_msg_##name name;
        SC_MESSAGE_TABLE(X)
#undef X
    } body;
};

extern const struct sc_schema sc_schema_assignment, sc_schema_result, sc_schema_event_body, sc_schema_class,
    sc_schema_run_options;
const char *sc_message_type_name(enum sc_message_type type);
const struct sc_schema *sc_message_schema(enum sc_message_type type);
void sc_message_encode(const struct sc_message *message, struct sc_buf *out);
// Bounded by max_bytes (SC_LIMIT_MESSAGE_…). SC_MALFORMED, SC_VERSION (an unknown version or type, named), SC_LIMIT.
SC_MUST_USE enum sc_rc sc_message_decode(struct sc_slice frame, size_t max_bytes, struct sc_arena *arena,
                                         struct sc_message *ret_message, struct sc_error *err);
// The id of a frame that could not be decoded, for the error that answers it; 0 when there is none to be read.
uint64_t sc_message_peek_id(struct sc_slice frame);
