// A job: one request from the core thread to a worker thread, and its answer, in one object with one arena. It is handed
// whole to the worker's mailbox and handed back whole to the core thread's; whoever holds it owns it.
#pragma once

#include "coordinator/core/core.h"
#include "coordinator/shell/open_run.h"
#include "store/records.h"

enum sc_job_kind {
    // the reading store thread
    SC_JOB_LOAD_PLAN,
    SC_JOB_LOOK_UP,
    SC_JOB_PRESENCE,
    // the writing store thread
    SC_JOB_WRITE_RECORD,
    SC_JOB_WRITE_VOID,
    SC_JOB_CLOSE_OUT,
    SC_JOB_OPEN_RUN, // what the store says of an open run: that it is cancelled, or nothing any more
    SC_JOB_PUT,
    SC_JOB_PUT_DROP, // the uploads of a client that is gone
    SC_JOB_HURRY,    // what waits for company is to be written at once
    // the query thread
    SC_JOB_QUERY,
    // a worker's answer to a client, on its way to the bus
    SC_JOB_ANSWER,
    // the store refuses for now (err); or it takes again (rc is SC_OK). Nobody asked
    SC_JOB_TROUBLE,
};

struct sc_job_run { // a row of the runs table
    struct sc_slice run, namespace_, pipeline, user;
    enum sc_end_state state; // NONE: open
    int64_t started_at, ended_at;
    struct sc_digest plan;
    uint64_t hits, misses, joined, failed, skipped, ran_ms, saved_ms, steps;
};

// Completes the row of a run that began with what its plan tells; it borrows from the plan.
void sc_job_run_name(struct sc_job_run *row, const struct sc_plan *plan);

struct sc_job_latest { // of which step a record is the newest
    uint64_t number;   // 0: nothing to remember
    struct sc_slice namespace_, pipeline, step;
    struct sc_digest command, key;
};

struct sc_job_query { // a client's request that the query thread answers
    struct sc_message message;
    bool resolve;        // only tell the whole id of the run that the message names: the core goes on with it
    struct sc_slice run; // out: the whole id
    bool open;           // out: the run is not closed
    // what the core told of an open run, for explain and logs of it; encoded event bodies
    bool have_events;
    struct sc_slice events; // MessagePack list
    // cache rm, gc: what the core thread is to void, and the rows that tell of it
    struct sc_digest *voids;
    struct sc_slice *rows, void_reason;
    uint32_t void_count, row_count;
    bool void_keeps; // the records stay, for those who hit them
};

struct sc_job {
    struct sc_job *next;
    enum sc_job_kind kind;
    uint64_t req;       // of the core's effect
    uint64_t after_seq; // the journal must be durable to here first
    uint64_t client;    // whom the answer is for, or who went
    uint64_t client_req;
    struct sc_arena arena;
    enum sc_rc rc;
    struct sc_error err;
    union {
        struct {
            struct sc_digest digest;
            struct sc_loaded_plan *plan; // out
            bool has_row; // of a run that was just accepted: to be completed with the plan's names
            struct sc_job_run row;
            struct sc_open_run
                *open; // of a run that was just accepted: lies in the store before the answer; or NULL
        } load_plan;
        struct {
            struct sc_lookup_item *items;
            uint32_t count;
            struct sc_looked_up *found;   // out
            struct sc_job_latest *latest; // out: hits that were made under other names, to be remembered
            uint32_t latest_count;
        } look_up;
        struct {
            struct sc_artifact *items;
            uint32_t count;
            enum sc_rc *rets; // out
        } presence;
        struct {
            enum sc_write_mode mode;
            struct sc_record record;
            struct sc_slice key_encoding;
            struct sc_digest command;
            int64_t wall_ms;             // the coordinator's clock
            int64_t stored_at;           // wall ms: when the first of what it names was stored; 0: not told
            uint64_t withdrawn;          // the generation that was voided for it, at an earlier try
            enum sc_record_put put;      // out
            struct sc_job_latest latest; // out
        } write_record;
        struct {
            struct sc_digest *keys;
            uint32_t key_count, done; // done: at an earlier try
            uint64_t withdrawn;       // as in write_record, of the key at hand
            struct sc_slice reason;
            int64_t wall_ms;
            bool keep;             // the records, withdrawn as they are, stay where they are
            struct sc_slice *rows; // for the client that asked
            uint32_t row_count;
        } write_void;
        struct {
            struct sc_close_out what;
            struct sc_buf events; // MessagePack list of event bodies that lacks its last, run.finished
            struct sc_event_body finished;
            struct sc_job_run row;
            struct sc_published *outputs; // out
            uint32_t output_count;
        } close_out;
        struct {
            struct sc_slice run;
            bool cancelled; // else closed
        } open_run;
        struct sc_msg_put put;
        struct sc_job_query query;
        struct {
            struct sc_message message;
        } answer;
    } u;
};

struct sc_job *sc_job_new(enum sc_job_kind kind);
void sc_job_free(struct sc_job *job);

// A mailbox between threads: first in, first out. One or many senders, one taker, who waits either on the mailbox or, when
// it has a descriptor, in poll.
struct sc_mailbox;
struct sc_mailbox *sc_mailbox_new(bool with_fd);
void sc_mailbox_free(struct sc_mailbox *box); // frees the jobs that are left
int sc_mailbox_fd(const struct sc_mailbox *box);
void sc_mailbox_send(struct sc_mailbox *box, struct sc_job *job);
// All that is there, as a list in order; NULL when nothing is. Waits up to wait_ms (-1: until something comes or the box closes).
struct sc_job *sc_mailbox_take(struct sc_mailbox *box, int wait_ms);
// No more waiting: takers get what is left, then NULL at once.
void sc_mailbox_close(struct sc_mailbox *box);
bool sc_mailbox_closed(struct sc_mailbox *box);
// Sleeps, or until the box closes; for a worker that tries again later.
void sc_mailbox_pause(struct sc_mailbox *box, int64_t ms);
