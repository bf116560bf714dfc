// The writing store thread's work: records in batches, voids, uploads, close-outs.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/log.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MOST_MS = 5000 };

bool storage_may_pass(enum sc_rc rc)
{
    return rc == SC_FULL || rc == SC_IO || rc == SC_UNREACHABLE || rc == SC_TIMEOUT || rc == SC_BUSY ||
           rc == SC_DENIED;
}

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
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < record->outputs.count && rc == SC_OK; i++)
        rc = put_inline(writer, &record->outputs.items[i].artifact, err);
    struct sc_mp_reader reader = sc_key_fields_begin(job->u.write_record.key_encoding);
    struct sc_key_field field;
    while (rc == SC_OK && job->u.write_record.key_encoding.len && sc_key_fields_next(&reader, &field)) {
        struct sc_digest digest;
        if (field.value.len > SC_LIMIT_FIELD_INLINE_BYTES)
            rc = sc_objects_put_bytes(writer->objects, field.value, false, &digest, err);
    }
    return rc;
}

// The old record may stand in segments and in other coordinators' indexes: it is withdrawn as of just before the new one.
static enum sc_rc replace_record(struct storage_writer *writer, const struct sc_record *record,
                                 struct sc_error *err)
{
    int64_t wall_ms = record->ended_at - 1;
    enum sc_rc rc = sc_records_replace(writer->store, record, err);
    if (rc != SC_OK)
        return rc;
    sc_index_void(writer->storage->index, &record->key, wall_ms);
    return sc_records_void(writer->store, writer->storage->config.domain, &record->key, wall_ms,
                           sc_slice_str("replaced"), err);
}

static enum sc_rc put_record(struct storage_writer *writer, struct sc_job *job, struct sc_error *err)
{
    struct sc_storage *storage = writer->storage;
    const struct sc_record *record = &job->u.write_record.record;
    struct sc_slice other = {NULL, 0};
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, SC_LIMIT_RECORD_BYTES);
    sc_record_encode(record, &bytes);
    if (bytes.overflow)
        return sc_error_set(err, SC_LIMIT, "the record of step " SC_SLICE_FMT " is larger than %u bytes",
                            SC_SLICE_ARG(record->step), SC_LIMIT_RECORD_BYTES);
    enum sc_rc rc;
    if (job->u.write_record.mode == SC_WRITE_REPLACE) {
        job->u.write_record.put = SC_RECORD_WON;
        rc = replace_record(writer, record, err);
    } else {
        rc = sc_records_put(writer->store, record, &job->arena, &job->u.write_record.put, &other, err);
    }
    if (rc != SC_OK)
        return rc;
    sc_index_put(storage->index, &record->key, other.len ? other : sc_buf_slice(&bytes));
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
        else if (rc != SC_OK && (job->kind == SC_JOB_PUT || !storage_may_pass(rc)))
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
        if (rc == SC_OK || !storage_may_pass(rc))
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

static enum sc_rc write_void(struct storage_writer *writer, const struct sc_job *job, struct sc_error *err)
{
    struct sc_storage *storage = writer->storage;
    const struct sc_digest *key = &job->u.write_void.key;
    sc_index_void(storage->index, key, job->u.write_void.wall_ms);
    sc_index_remove(storage->index, key);
    enum sc_rc rc = sc_records_void(writer->store, storage->config.domain, key, job->u.write_void.wall_ms,
                                    job->u.write_void.reason, err);
    return rc == SC_OK ? sc_records_remove(writer->store, storage->config.domain, key, err) : rc;
}

static enum sc_rc try_single(struct storage_writer *writer, struct sc_job *job)
{
    job->err = (struct sc_error)SC_ERROR_INIT;
    if (job->kind == SC_JOB_WRITE_VOID)
        return write_void(writer, job, &job->err);
    if (job->kind == SC_JOB_CLOSE_OUT)
        return storage_close_out(writer, job, &job->err);
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
    while ((job->rc = try_single(writer, job)) != SC_OK && storage_may_pass(job->rc) &&
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
