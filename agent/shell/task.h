// An attempt as the agent's shell knows it, from its assignment to its release; the core decides where it goes. One
// thread has it at a time: the loop, or the worker whose job it is (a job hands it over and back whole).
#pragma once

#include "agent/runner/client.h"
#include "agent/shell/logs.h"
#include "proto/message.h"

#include <uthash.h>

// The memory of one received message, shared by what came in it and freed with the last of that. Loop thread only.
struct sc_agent_batch {
    struct sc_message message; // borrows from the arena
    struct sc_arena arena;
    uint32_t refs;
};
void sc_agent_batch_unref(struct sc_agent_batch *batch);

enum sc_job_kind { SC_JOB_PREPARE, SC_JOB_TAKE, SC_JOB_CLEAN, SC_JOB_UNPIN, SC_JOB_PROBE };

struct sc_agent_job { // first member of what is handed to a worker
    enum sc_job_kind kind;
    bool looked;        // what it must know of the machine is known
    int64_t asked_us;   // mono: when that was asked first
    int64_t looking_ms; // mono: since when lookers have it; under their lock
    struct sc_agent_job *next;
};

struct sc_jobs { // a queue
    struct sc_agent_job *first, *last;
    uint32_t count;
};
void sc_jobs_push(struct sc_jobs *jobs, struct sc_agent_job *job);
struct sc_agent_job *sc_jobs_pop(struct sc_jobs *jobs); // NULL: it is empty
bool sc_jobs_has(const struct sc_jobs *jobs, const struct sc_agent_job *job);
void sc_jobs_remove(struct sc_jobs *jobs, struct sc_agent_job *job); // which is in it

struct sc_pin {
    struct sc_artifact artifact; // kind, exec and digest
    struct sc_pin *next;
};
// What an attempt keeps in the cache of laid-out objects; given back, as a job, to the worker that has pinned it.
struct sc_pins {
    struct sc_agent_job job;
    uint32_t worker;
    struct sc_arena arena;
    struct sc_pin *first;
};
void sc_pins_free(struct sc_pins *pins);

struct sc_agent_task;
struct sc_log_source { // what a readable pipe belongs to
    struct sc_agent_task *task;
    enum sc_stream stream;
};

struct sc_agent_task {
    struct sc_agent_job job;
    uint64_t attempt;
    struct sc_agent_batch *batch;
    const struct sc_assignment *assignment;
    struct sc_arena arena; // of what is made for it: launch, pins, result
    // made by PREPARE
    struct sc_launch launch;
    struct sc_pins *pins; // or NULL
    bool has_inputs_folder, has_folder;
    uint64_t folder;                   // of the yard
    struct sc_digest environment_seen; // by the look before the start
    // of the run
    struct sc_attempt_logs logs;
    struct sc_log_source sources[2];
    struct sc_slice label; // of its spooled logs
    bool launched, finished;
    uint32_t exit_code, signal;
    uint64_t cpu_us, max_rss_bytes;
    int64_t started_ms, ended_ms; // wall
    int64_t ended_us;             // mono
    struct sc_slice sandbox;
    // TAKE: what happened in, what is reported out
    enum sc_outcome outcome;
    struct sc_slice failure;         // of PREPARE, of the start
    struct sc_result result;         // in the arena
    bool needs_sync;                 // what it put is durable only after a sync
    int64_t taken_ms, taken_wall_ms; // mono and wall: when the first was looked for in the store, or put
    bool say_reported;               // waits until a listener has all of the log
    struct sc_agent_task *next_dead; // freed at the end of the turn
    UT_hash_handle hh;
};

struct sc_agent_task *sc_agent_task_new(struct sc_agent_batch *batch, const struct sc_assignment *assignment);
void sc_agent_task_free(struct sc_agent_task *task);

// Ends a stage with this outcome and message; SC_AGENT's texts say what happened, to which step and file, what to do.
void sc_agent_task_fail(struct sc_agent_task *task, enum sc_outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The outcome of a failed call of the store or the file system.
enum sc_outcome sc_agent_outcome_of(enum sc_rc rc, enum sc_outcome otherwise);
