// What the files of the store threads share. Private to coordinator/shell/storage*.c and publish.c.
#pragma once

#include "coordinator/shell/storage.h"
#include "store/object.h"

#include <pthread.h>

struct
    storage_template { // what the newest segment of a template holds, so that an equal one is not written again
    struct sc_digest template_;
    uint32_t count;
    uint64_t marks; // the sum of its records' marks
    uint64_t used;
};

enum { STORAGE_TEMPLATES = 64, STORAGE_VOIDS_EVERY_MS = 60000 };

struct storage_reader {
    struct sc_storage *storage;
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_latest_reader *latest;
    int64_t voids_listed_ms;     // mono: when the last one was tried
    struct sc_loaded_plan *warm; // of the last run, loaded before anybody asked
    struct sc_mailbox *box;
    pthread_t thread;
};

struct storage_upload;
struct storage_writer {
    struct sc_storage *storage;
    struct sc_store *store;
    struct sc_objects *objects;
    struct storage_upload *uploads;
    uint32_t upload_count;
    uint64_t next_scratch;
    int64_t batch_ms; // when the last batch began
    bool trouble;     // the store refuses, and that was told
    bool voids_heard; // in this try: see withdraw
    uint64_t losses;  // of storage->shared_losses that are known
    struct sc_mailbox *box;
    pthread_t thread;
};

struct sc_storage {
    struct sc_storage_config config;
    struct sc_index *index;
    struct sc_latest *latest;
    bool started;
    struct storage_reader reader;
    struct storage_writer writer;
    pthread_mutex_t lock;
    struct storage_template shared_templates[STORAGE_TEMPLATES];
    uint64_t shared_uses;
    uint64_t shared_losses;        // how often something was found gone
    int64_t shared_voids_from_ms;  // where the next listing of the voids begins
    int64_t shared_voids_heard_ms; // wall: when the last listing that succeeded began; 0: none
};

// storage_read.c
void storage_warm(struct storage_reader *reader);
enum sc_rc storage_load_plan(struct storage_reader *reader, const struct sc_digest *digest,
                             struct sc_loaded_plan **ret_plan, struct sc_error *err);
void storage_list_voids(struct storage_reader *reader);
void storage_read_job(struct storage_reader *reader, struct sc_job *job);

// storage_write.c
void storage_write_jobs(struct storage_writer *writer, struct sc_job *jobs); // answers each
void storage_writer_done(struct storage_writer *writer);

// open_objects.c
// Durable when it returns.
enum sc_rc storage_put_open_run(struct storage_reader *reader, const struct sc_open_run *open,
                                struct sc_error *err);
enum sc_rc storage_end_open_run(struct storage_writer *writer, const struct sc_job *job,
                                struct sc_error *err);
// Its texts are in the arena. SC_NOT_FOUND when absent; else as sc_open_run_decode.
enum sc_rc storage_get_open_run(struct sc_store *store, struct sc_slice name, struct sc_arena *arena,
                                struct sc_open_run *ret_open, struct sc_error *err);
struct storage_names {
    struct sc_slice *items; // the caller frees it, when the listing failed, too
    uint32_t count, room;
};
// The names of this coordinator's, in order, behind what `names` has already; the texts are in the arena.
enum sc_rc storage_list_open_runs(struct sc_storage *storage, struct sc_arena *arena,
                                  struct storage_names *names, struct sc_error *err);

// upload.c
enum sc_rc storage_put(struct storage_writer *writer, struct sc_job *job, bool *ret_stored,
                       struct sc_error *err);
void storage_drop_uploads(struct storage_writer *writer, uint64_t client);

// close_out.c
enum sc_rc storage_close_out(struct storage_writer *writer, struct sc_job *job, struct sc_error *err);

// publish.c: fills the job's outputs
enum sc_rc storage_publish(struct storage_writer *writer, struct sc_job *job, struct sc_error *err);

// storage_parts.c, below them all
// True when the store refused in a way that may pass: full, not reachable, an i/o error. sys_errno: of the story, or 0.
bool storage_may_pass(enum sc_rc rc, int sys_errno);
// Puts bytes under a name, whatever is there.
enum sc_rc storage_put_named(struct sc_store *store, struct sc_slice name, struct sc_slice bytes,
                             struct sc_error *err);
// SC_NOT_FOUND when absent.
enum sc_rc storage_get_named(struct sc_store *store, struct sc_slice name, size_t max_bytes,
                             struct sc_buf *ret_bytes, struct sc_error *err);

enum sc_rc storage_remove_named(struct sc_store *store, struct sc_slice name, struct sc_error *err);
bool storage_has_named(struct sc_store *store, struct sc_slice name, uint64_t *ret_bytes);

void storage_remember_template(struct sc_storage *storage, const struct sc_digest *template_, uint32_t count,
                               uint64_t marks);
bool storage_knows_template(struct sc_storage *storage, const struct sc_digest *template_,
                            uint32_t *ret_count, uint64_t *ret_marks);
// Lists the voids that are new since the last listing, of whichever thread, into the index.
enum sc_rc storage_hear_voids(struct sc_storage *storage, struct sc_store *store, struct sc_error *err);
// The reader found something gone; the writer, before it puts, believes nothing that it saw before that.
void storage_tell_loss(struct sc_storage *storage);
void storage_hear_losses(struct storage_writer *writer);
// A path in the scratch folder that is free; in the arena.
const char *storage_scratch(struct storage_writer *writer, struct sc_arena *arena);
