// What the files of the S3 back end share: an operation under way and its store. s3.c above begins operations and sees to their
// order; object.c, list.c and sweep.c are each for some kinds of them; job.c below them makes requests and ends. One thread.
#pragma once

#include "store/backend.h"
#include "store/s3/settings.h"
#include "store/s3/transfer.h"
#include "store/s3/xml.h"

struct sc_s3_job { // an operation under way
    struct sc_s3_store *s3;
    struct sc_store_op *op;
    struct sc_s3_job *previous, *following; // in the order of submission
    struct sc_buf key, from, after;         // whole keys
    struct sc_s3_call call;                 // HEAD, LIST, DELETE
    struct sc_s3_param params[8];
    struct sc_s3_transfer transfer; // GET, PUT, COPY
    struct sc_s3_list list;         // the answer to LIST
    struct sc_slice after_version;  // LIST of versions: where the page before ended within a key
    uint32_t room;                  // of the entries so far
    uint32_t at;                    // SWEEP: the next of the list
};

struct sc_s3_store {
    struct sc_store base;
    struct sc_arena arena;
    struct sc_s3_settings settings;
    struct sc_s3_provider *provider;
    struct sc_s3_client *client;
    struct sc_s3_mover *mover;
    char *server;
    struct sc_store_op *first_new, *last_new; // submitted since the last dispatch
    struct sc_s3_job *first, *last;
    uint32_t syncs, ended;
};

// ---- job.c

// The whole key of a name of the store's.
void sc_s3_add_key(const struct sc_s3_store *s3, struct sc_buf *key, struct sc_slice name);
// Frees the job, and tells its operation.
void sc_s3_job_end(struct sc_s3_job *job, enum sc_rc rc);
// What came of a call, whose story becomes the operation's.
enum sc_rc sc_s3_job_take_error(struct sc_s3_job *job, const struct sc_s3_call *call);
// The job's call anew, about its key; `context` is the job.
struct sc_s3_call *sc_s3_job_call(struct sc_s3_job *job, enum sc_s3_ask ask, sc_s3_call_fn done);
// A text of an answer, in the operation's arena.
struct sc_slice sc_s3_job_kept(struct sc_store_op *op, struct sc_slice text);
// The server's, which all that use the bucket have in common; ours where it tells none.
int64_t sc_s3_store_clock(const struct sc_s3_answer *answer);

// ---- each begins its kind of operation; job->key is set

// object.c
void sc_s3_start_head(struct sc_s3_job *job);
void sc_s3_start_remove(struct sc_s3_job *job);
void sc_s3_start_get(struct sc_s3_job *job);
void sc_s3_start_put(struct sc_s3_job *job);
void sc_s3_start_copy(struct sc_s3_job *job);
// list.c
void sc_s3_start_list(struct sc_s3_job *job);
// sweep.c
void sc_s3_start_sweep(struct sc_s3_job *job);
