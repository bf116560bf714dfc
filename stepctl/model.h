// What a client knows of a run: each step's state, as the events told it. Events in, state out; pure. Plain lines need
// only the failures, the live view and a client that was cut off need it all: after the connection came back the
// coordinator tells the whole run again, and `sc_model_apply` says which events are news.
//
// Owned by one thread. Texts are copied into the model's arena.
#pragma once

#include "proto/message.h"

enum sc_model_state {
    SC_MODEL_WAITING, // not heard of yet
    SC_MODEL_JOINED,  // an equal step is running for somebody else
    SC_MODEL_READY,   // a miss, not started yet
    SC_MODEL_RUNNING,
    SC_MODEL_BACKOFF, // between two attempts
    SC_MODEL_HIT,     // done, nothing ran
    SC_MODEL_DONE,
    SC_MODEL_FAILED,
    SC_MODEL_CANCELLED,
    SC_MODEL_SKIPPED,
    SC_MODEL_STATE_COUNT
};

struct sc_model_step {
    struct sc_slice name;
    uint32_t group;
    enum sc_model_state state;
    enum sc_verdict verdict;
    enum sc_reason reason;
    struct sc_slice detail; // the reason in a few words
    uint64_t attempt;
    enum sc_phase phase;
    uint64_t done_bytes, total_bytes;
    int64_t
        since_ms; // wall: when this attempt started, or when it was first heard how far the source below is
    // Before any attempt: a source that is read for it, as far as was told at told_ms (wall), from from_bytes at since_ms.
    struct sc_slice source;
    uint64_t from_bytes;
    int64_t told_ms;
    uint64_t wall_ms, saved_ms;
    enum sc_outcome outcome;
    uint32_t exit_code, signal;
    struct sc_slice message, log_tail; // of a failure
};

struct sc_model_group { // the steps whose names are equal up to the '['
    struct sc_slice name;
    uint32_t steps;
    uint32_t counts[SC_MODEL_STATE_COUNT];
};

struct sc_model {
    struct sc_arena arena;
    struct sc_slice run, pipeline;
    int64_t started_ms;
    uint64_t step_total;                  // as run.started says, or as many as were heard of
    SC_LIST(struct sc_model_step, steps); // in the plan's order where it is known, else as they came
    SC_LIST(struct sc_model_group, groups);
    uint32_t step_capacity, group_capacity;
    uint32_t *table, *group_table; // open addressing: index + 1
    uint32_t table_mask, group_table_mask;
    uint32_t counts[SC_MODEL_STATE_COUNT];
    uint64_t saved_ms, ran_ms; // so far
    bool finished;
    struct sc_event_body end; // run.finished, copied
    enum sc_rc error_rc;      // of the newest error event; SC_OK when there was none
    uint64_t revision;        // grows with every visible change
};

void sc_model_init(struct sc_model *model);
void sc_model_done(struct sc_model *model);
// Names a step before it is heard of, in the order in which it is to be shown.
void sc_model_expect(struct sc_model *model, struct sc_slice name);
// Takes an event in. False when it says only what is known already: a repetition after a reconnection.
bool sc_model_apply(struct sc_model *model, const struct sc_event_body *event);
// NULL when no such step was heard of.
const struct sc_model_step *sc_model_find(const struct sc_model *model, struct sc_slice name);
static inline bool sc_model_is_final(enum sc_model_state state)
{
    return state >= SC_MODEL_HIT;
}
// What the run ended with, as an exit code: 0, 1 a step failed, 3 the store could not be reached, 4 cancelled.
int sc_model_exit_code(const struct sc_model *model);
