// The writing store thread's work: records in batches, voids, uploads, close-outs.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/log.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MOST_MS = 5000 };

static void answer(struct storage_writer *writer, struct sc_job *job)
{
    sc_mailbox_send(writer->storage->config.answers, job);
}

// ---- objects that a record names

static enum sc_rc put_inline(struct storage_writer *writer, const struct sc_artifact *artifact,
                             struct sc_error *err)
{
    if (artifact->kind != SC_ARTIFACT_FILE || !artifact->has_inline)
        return SC_OK;
    struct sc_digest digest;
    enum sc_rc rc = sc_objects_put_bytes(writer->objects, artifact->inline_bytes, false, &digest, err);
    if (rc == SC_OK && !sc_digest_eq(&digest, &artifact->digest))
        return sc_error_set(err, SC_CORRUPT, "an inline output's bytes are not what its digest says");
    return rc;
}

static enum sc_rc put_objects(struct storage_writer *writer, const struct sc_job *job, struct sc_error *err)
{
    const struct sc_record *record = &job->u.write_record.record;
    struct sc_digest key = sc_digest_of(job->u.write_record.key_encoding);
    if (!sc_digest_eq(&key, &record->key))
        return sc_error_set(err, SC_CORRUPT,
                            "the record of step " SC_SLICE_FMT
                            " is for another key than the one it was built of",
                            SC_SLICE_ARG(record->step));
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < record->outputs.count && rc == SC_OK; i++)
        rc = put_inline(writer, &record->outputs.items[i].artifact, err);
    struct sc_mp_reader reader = sc_key_fields_begin(job->u.write_record.key_encoding);
    struct sc_key_field field;
    while (rc == SC_OK && sc_key_fields_next(&reader, &field)) {
        struct sc_digest digest;
        if (field.value.len > SC_LIMIT_FIELD_INLINE_BYTES)
            rc = sc_objects_put_bytes(writer->objects, field.value, false, &digest, err);
    }
    return rc;
}

// Withdraws every record of a key that there has been, wherever it stands: in segments, in other coordinators' indexes.
// Told by generations, since clocks differ: a record has at most one more than its key's newest void. For voids that were
// not heard of yet the record that is there is looked at, too, and `seen`, the one that was looked up; where it cannot be
// read, another coordinator may have withdrawn more than we know, so the voids are listed anew, once a try. `generation`
// is 0 at the first try, and kept for the next.
static enum sc_rc withdraw(struct storage_writer *writer, const struct sc_digest *key, uint64_t seen,
                           int64_t wall_ms, struct sc_slice reason, uint64_t *generation,
                           struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_index *index = writer->storage->index;
    struct sc_slice domain = writer->storage->config.domain, bytes;
    struct sc_record old;
    enum sc_rc rc = sc_records_get(writer->store, domain, key, &arena, &bytes, &old, err);
    uint64_t there = rc == SC_OK ? old.generation : 0;
    if (rc != SC_OK && rc != SC_NOT_FOUND && !sc_records_is_unreadable(rc))
        return rc;
    if (rc != SC_OK && !writer->voids_heard) {
        rc = storage_hear_voids(writer->storage, writer->store, err);
        if (rc != SC_OK)
            return rc;
        writer->voids_heard = true;
    }
    uint64_t known = sc_index_voided(index, key);
    if (*generation == 0 || *generation < known)
        *generation = known + 1;
    if (*generation < seen)
        *generation = seen;
    if (*generation < there)
        *generation = there;
    if (*generation >= SC_LIMIT_GENERATION)
        return sc_error_set(err, SC_LIMIT, "a result was replaced more than %llu times",
                            (unsigned long long)SC_LIMIT_GENERATION);
    int64_t newest_ms = sc_index_newest_void_ms(index);
    struct sc_void voided = {*key, *generation, wall_ms > newest_ms ? wall_ms : newest_ms};
    rc = sc_records_void(writer->store, domain, &voided, reason, err);
    if (rc == SC_OK)
        sc_index_void(index, &voided); // not before: generations are counted on from what others can know
    return rc;
}

// What is there is withdrawn first: whoever stops between the two leaves a miss, not an old record that comes back.
static enum sc_rc replace_record(struct storage_writer *writer, struct sc_job *job,
                                 struct sc_slice *ret_bytes, struct sc_error *err)
{
    struct sc_record *record = &job->u.write_record.record;
    enum sc_rc rc = withdraw(writer, &record->key, record->generation - 1, job->u.write_record.wall_ms,
                             sc_slice_str("replaced"), &job->u.write_record.withdrawn, err);
    if (rc != SC_OK)
        return rc;
    record->supersedes = job->u.write_record.withdrawn;
    record->generation = record->supersedes + 1;
    return sc_records_replace(writer->store, record, &job->arena, ret_bytes, err);
}

// A record counts on objects that others may collect once they are as old as the horizon: see sc_object_keep.
static enum sc_rc in_time(struct storage_writer *writer, const struct sc_job *job, struct sc_error *err)
{
    int64_t late_ms = sc_clock_wall_ms() - job->u.write_record.stored_at;
    if (!job->u.write_record.stored_at || late_ms <= sc_store_horizon_ms(writer->store) / 4)
        return SC_OK;
    return sc_error_set(err, SC_NOT_FOUND,
                        "the outputs of step " SC_SLICE_FMT
                        " were stored %lld s ago, and may have been collected since; run it again",
                        SC_SLICE_ARG(job->u.write_record.record.step), (long long)(late_ms / 1000));
}

static enum sc_rc put_record(struct storage_writer *writer, struct sc_job *job, struct sc_error *err)
{
    struct sc_storage *storage = writer->storage;
    struct sc_record *record = &job->u.write_record.record;
    struct sc_slice there = {NULL, 0};
    enum sc_rc rc = in_time(writer, job, err);
    if (rc != SC_OK)
        return rc;
    rc = SC_EXISTS;
    job->u.write_record.put = SC_RECORD_WON;
    if (job->u.write_record.mode == SC_WRITE_IF_ABSENT) {
        uint64_t voided = sc_index_voided(storage->index, &record->key);
        record->generation = voided + 1;
        record->supersedes = voided;
        rc =
            sc_records_put(writer->store, record, voided, &job->arena, &job->u.write_record.put, &there, err);
    }
    if (rc == SC_EXISTS)
        rc = replace_record(writer, job, &there, err);
    if (rc != SC_OK)
        return rc;
    sc_index_put(storage->index, &record->key, there);
    job->u.write_record.latest = (struct sc_job_latest){.number = 1,
                                                        .namespace_ = record->namespace_,
                                                        .pipeline = record->pipeline,
                                                        .step = record->step,
                                                        .command = job->u.write_record.command,
                                                        .key = record->key};
    return SC_OK;
}

// ---- batches: every job's objects, one sync, then what makes them visible

static bool is_batched(const struct sc_job *job)
{
    return job->kind == SC_JOB_WRITE_RECORD || job->kind == SC_JOB_PUT;
}

struct batch {
    struct sc_job **jobs;
    bool *done;
    uint32_t count;
    struct sc_arena arena;
};

static void gather(struct batch *batch, struct sc_job **list)
{
    uint32_t count = 0;
    for (struct sc_job *job = *list; job && is_batched(job); job = job->next)
        count++;
    sc_arena_init(&batch->arena);
    batch->jobs = SC_NEW_ARRAY(&batch->arena, count, struct sc_job *);
    batch->done = SC_NEW_ARRAY(&batch->arena, count, bool);
    for (batch->count = 0; batch->count < count; *list = (*list)->next)
        batch->jobs[batch->count++] = *list;
}

static void finish(struct batch *batch, uint32_t i, enum sc_rc rc, const struct sc_error *err)
{
    batch->done[i] = true;
    batch->jobs[i]->rc = rc;
    if (rc != SC_OK)
        batch->jobs[i]->err = *err;
}

// One try at all that is not done. Returns the first rc that may pass, with its story, or SC_OK when nothing is left.
static enum sc_rc try_batch(struct storage_writer *writer, struct batch *batch, struct sc_error *err)
{
    enum sc_rc later = SC_OK;
    writer->voids_heard = false;
    storage_hear_losses(writer);
    bool *good = SC_NEW_ARRAY(&batch->arena, batch->count, bool);
    uint32_t good_count = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct sc_error own = SC_ERROR_INIT;
        struct sc_job *job = batch->jobs[i];
        bool stored = true;
        if (batch->done[i])
            continue;
        enum sc_rc rc = job->kind == SC_JOB_PUT ? storage_put(writer, job, &stored, &own)
                                                : put_objects(writer, job, &own);
        good[i] = rc == SC_OK && stored;
        good_count += good[i];
        if (rc == SC_OK && !stored) // a piece of an upload: nothing to make durable yet
            finish(batch, i, SC_OK, NULL);
        else if (rc != SC_OK && (job->kind == SC_JOB_PUT || !storage_may_pass(rc, own.sys_errno)))
            finish(batch, i, rc, &own);
        else if (rc != SC_OK && later == SC_OK) {
            later = rc;
            *err = own;
        }
    }
    enum sc_rc rc = good_count ? sc_objects_sync(writer->objects, err) : SC_OK;
    if (rc != SC_OK)
        return rc;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct sc_error own = SC_ERROR_INIT;
        if (!good[i] || batch->done[i])
            continue;
        struct sc_job *job = batch->jobs[i];
        rc = job->kind == SC_JOB_WRITE_RECORD ? put_record(writer, job, &own) : SC_OK;
        if (rc == SC_OK || !storage_may_pass(rc, own.sys_errno))
            finish(batch, i, rc, &own);
        else if (later == SC_OK) {
            later = rc;
            *err = own;
        }
    }
    return later;
}

static void give_up(struct batch *batch, enum sc_rc rc, const struct sc_error *err)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (!batch->done[i])
            finish(batch, i, rc, err);
}

// The users of open runs are told once when the store begins to refuse, and the loop when it takes again.
static void tell_trouble(struct storage_writer *writer, enum sc_rc rc, const struct sc_error *err)
{
    if (writer->trouble == (rc != SC_OK))
        return;
    writer->trouble = rc != SC_OK;
    struct sc_job *job = sc_job_new(SC_JOB_TROUBLE);
    job->rc = rc;
    if (rc != SC_OK) {
        job->err = *err;
        sc_error_wrap(&job->err, rc, "the store refuses, trying again for %lld s",
                      (long long)(writer->storage->config.patience_ms / 1000));
        sc_log(SC_LOG_WARN, "part=store %s", job->err.message);
    }
    answer(writer, job);
}

static void write_batch(struct storage_writer *writer, struct sc_job **list)
{
    struct batch batch = {0};
    gather(&batch, list);
    int64_t until_ms = sc_clock_mono_ms() + writer->storage->config.patience_ms,
            backoff_ms = BACKOFF_FIRST_MS;
    for (;;) {
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc = try_batch(writer, &batch, &err);
        tell_trouble(writer, rc, &err);
        if (rc == SC_OK)
            break;
        if (sc_clock_mono_ms() + backoff_ms >= until_ms || sc_mailbox_closed(writer->box)) {
            give_up(&batch, rc, &err);
            break;
        }
        sc_mailbox_pause(writer->box, backoff_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MOST_MS ? backoff_ms * 2 : BACKOFF_MOST_MS;
    }
    for (uint32_t i = 0; i < batch.count; i++)
        answer(writer, batch.jobs[i]);
    sc_arena_done(&batch.arena);
}

// ---- single jobs

static enum sc_rc write_void(struct storage_writer *writer, struct sc_job *job, struct sc_error *err)
{
    struct sc_storage *storage = writer->storage;
    for (; job->u.write_void.done < job->u.write_void.key_count; job->u.write_void.done++) {
        const struct sc_digest *key = &job->u.write_void.keys[job->u.write_void.done];
        enum sc_rc rc = withdraw(writer, key, 0, job->u.write_void.wall_ms, job->u.write_void.reason,
                                 &job->u.write_void.withdrawn, err);
        sc_index_remove(storage->index, key);
        if (rc == SC_OK && !job->u.write_void.keep)
            rc = sc_records_remove(writer->store, storage->config.domain, key, err);
        if (rc != SC_OK)
            return sc_error_wrap(err, rc, "%u of %u results were removed", job->u.write_void.done,
                                 job->u.write_void.key_count);
        job->u.write_void.withdrawn = 0;
    }
    return SC_OK;
}

static enum sc_rc try_single(struct storage_writer *writer, struct sc_job *job)
{
    job->err = (struct sc_error)SC_ERROR_INIT;
    writer->voids_heard = false;
    if (job->kind == SC_JOB_WRITE_VOID)
        return write_void(writer, job, &job->err);
    if (job->kind == SC_JOB_CLOSE_OUT)
        return storage_close_out(writer, job, &job->err);
    if (job->kind == SC_JOB_OPEN_RUN)
        return storage_end_open_run(writer, job, &job->err);
    if (job->kind == SC_JOB_HURRY)
        return SC_OK; // that it came was all
    SC_ASSERT(job->kind == SC_JOB_PUT_DROP);
    storage_drop_uploads(writer, job->client);
    return SC_OK;
}

static void write_single(struct storage_writer *writer, struct sc_job *job)
{
    int64_t until_ms = sc_clock_mono_ms() + writer->storage->config.patience_ms,
            backoff_ms = BACKOFF_FIRST_MS;
    while ((job->rc = try_single(writer, job)) != SC_OK && storage_may_pass(job->rc, job->err.sys_errno) &&
           sc_clock_mono_ms() + backoff_ms < until_ms && !sc_mailbox_closed(writer->box)) {
        tell_trouble(writer, job->rc, &job->err);
        sc_mailbox_pause(writer->box, backoff_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MOST_MS ? backoff_ms * 2 : BACKOFF_MOST_MS;
    }
    if (job->rc == SC_OK)
        tell_trouble(writer, SC_OK, NULL);
    if (job->rc != SC_OK && job->kind != SC_JOB_CLOSE_OUT)
        sc_log(SC_LOG_WARN, "part=store ignoring: %s", job->err.message);
    answer(writer, job);
}

void storage_write_jobs(struct storage_writer *writer, struct sc_job *jobs)
{
    while (jobs) {
        if (is_batched(jobs)) {
            write_batch(writer, &jobs);
            continue;
        }
        struct sc_job *job = jobs;
        jobs = job->next;
        write_single(writer, job);
    }
}

void storage_writer_done(struct storage_writer *writer)
{
    storage_drop_uploads(writer, 0);
}
