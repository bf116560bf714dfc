// The writing store thread's work: records in batches, voids, uploads, close-outs.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/log.h"
#include "store/digestmap.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MOST_MS = 5000 };

static void answer(struct storage_writer *writer, struct sc_job *job)
{
    sc_mailbox_send(writer->storage->config.answers, job);
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
    // of one try
    bool *stored;     // its objects lie in the store
    enum sc_rc later; // the first rc that may pass, with its story
    struct sc_error err;
    struct sc_digest_map
        held; // keys of records that are left for the next try: what comes after them waits, too
};

static void gather(struct batch *batch, struct sc_job **list)
{
    uint32_t count = 0;
    for (struct sc_job *job = *list; job && is_batched(job); job = job->next)
        count++;
    sc_arena_init(&batch->arena);
    batch->jobs = SC_NEW_ARRAY(&batch->arena, count, struct sc_job *);
    batch->done = SC_NEW_ARRAY(&batch->arena, count, bool);
    batch->stored = SC_NEW_ARRAY(&batch->arena, count, bool);
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

static void hold(struct batch *batch, uint32_t i)
{
    sc_digest_map_put(&batch->held, &batch->jobs[i]->u.write_record.record.key, batch->jobs[i]);
}

// What came of a job in this try: finished, or left for the next.
static void settle(struct batch *batch, uint32_t i, enum sc_rc rc, const struct sc_error *err)
{
    if (rc == SC_OK || batch->jobs[i]->kind == SC_JOB_PUT || !storage_may_pass(rc, err->sys_errno)) {
        finish(batch, i, rc, err);
        return;
    }
    hold(batch, i);
    if (batch->later == SC_OK) {
        batch->later = rc;
        batch->err = *err;
    }
}

static void give_up(struct batch *batch, enum sc_rc rc, const struct sc_error *err)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (!batch->done[i])
            finish(batch, i, rc, err);
}

// ---- objects that records name

struct pieces {
    struct sc_new_bytes *items;
    uint32_t count, room;
};

static void add_piece(struct pieces *pieces, uint32_t job, struct sc_slice bytes,
                      const struct sc_digest *digest)
{
    if (pieces->count == pieces->room) {
        pieces->room = pieces->room ? pieces->room * 2 : 64;
        pieces->items = sc_realloc(pieces->items, pieces->room, sizeof *pieces->items);
    }
    pieces->items[pieces->count++] = (struct sc_new_bytes){.bytes = bytes, .digest = *digest, .owner = job};
}

static enum sc_rc add_pieces(struct pieces *pieces, uint32_t i, const struct sc_job *job,
                             struct sc_error *err)
{
    const struct sc_record *record = &job->u.write_record.record;
    struct sc_digest digest = sc_digest_of(job->u.write_record.key_encoding);
    if (!sc_digest_eq(&digest, &record->key))
        return sc_error_set(err, SC_CORRUPT,
                            "the record of step " SC_SLICE_FMT
                            " is for another key than the one it was built of",
                            SC_SLICE_ARG(record->step));
    for (uint32_t k = 0; k < record->outputs.count; k++) {
        const struct sc_artifact *artifact = &record->outputs.items[k].artifact;
        if (artifact->kind != SC_ARTIFACT_FILE || !artifact->has_inline)
            continue;
        digest = sc_digest_of(artifact->inline_bytes);
        if (!sc_digest_eq(&digest, &artifact->digest))
            return sc_error_set(err, SC_CORRUPT, "an inline output's bytes are not what its digest says");
        add_piece(pieces, i, artifact->inline_bytes, &digest);
    }
    struct sc_mp_reader reader = sc_key_fields_begin(job->u.write_record.key_encoding);
    struct sc_key_field field;
    while (sc_key_fields_next(&reader, &field)) {
        if (field.value.len <= SC_LIMIT_FIELD_INLINE_BYTES)
            continue;
        digest = sc_digest_of(field.value);
        add_piece(pieces, i, field.value, &digest);
    }
    return SC_OK;
}

// The objects of all jobs that are not done. False: there is nothing to make durable.
static bool put_objects(struct storage_writer *writer, struct batch *batch)
{
    struct pieces pieces = {0};
    for (uint32_t i = 0; i < batch->count; i++) {
        struct sc_error err = SC_ERROR_INIT;
        struct sc_job *job = batch->jobs[i];
        bool stored = true;
        batch->stored[i] = false;
        if (batch->done[i])
            continue;
        enum sc_rc rc = job->kind == SC_JOB_PUT ? storage_put(writer, job, &stored, &err)
                                                : add_pieces(&pieces, i, job, &err);
        batch->stored[i] = rc == SC_OK && stored;
        if (!batch->stored[i]) // refused, or a piece of an upload: nothing to make durable yet
            settle(batch, i, rc, &err);
    }
    sc_objects_put_new_bytes(writer->objects, pieces.items, pieces.count);
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct sc_new_bytes *piece = &pieces.items[i];
        if (piece->rc == SC_OK || !batch->stored[piece->owner])
            continue;
        batch->stored[piece->owner] = false;
        settle(batch, piece->owner, piece->rc, &piece->err);
    }
    free(pieces.items);
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->stored[i])
            return true;
    return false;
}

// ---- records

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

// The record lies in the store, and may be seen.
static void tell_record(struct storage_writer *writer, struct sc_job *job, struct sc_slice there)
{
    const struct sc_record *record = &job->u.write_record.record;
    sc_index_put(writer->storage->index, &record->key, there);
    job->u.write_record.latest = (struct sc_job_latest){.number = 1,
                                                        .namespace_ = record->namespace_,
                                                        .pipeline = record->pipeline,
                                                        .step = record->step,
                                                        .command = job->u.write_record.command,
                                                        .key = record->key};
}

// Records of different keys on their way together: what comes of them is told in their order.
struct wave {
    struct sc_record_write *writes;
    uint32_t *jobs; // of each, its place in the batch
    uint32_t count;
    struct sc_digest_map keys;
};

static void put_wave(struct storage_writer *writer, struct batch *batch, struct wave *wave)
{
    sc_records_put(writer->store, wave->writes, wave->count);
    for (uint32_t i = 0; i < wave->count; i++) {
        struct sc_record_write *w = &wave->writes[i];
        struct sc_job *job = batch->jobs[wave->jobs[i]];
        job->u.write_record.put = SC_RECORD_WON;
        if (w->rc == SC_EXISTS)
            w->rc = replace_record(writer, job, &w->bytes, &w->err);
        else if (w->rc == SC_OK)
            job->u.write_record.put = w->put;
        if (w->rc == SC_OK)
            tell_record(writer, job, w->bytes);
        settle(batch, wave->jobs[i], w->rc, &w->err);
    }
    wave->count = 0;
    sc_digest_map_done(&wave->keys);
}

static void add_to_wave(struct storage_writer *writer, struct wave *wave, uint32_t i, struct sc_job *job)
{
    struct sc_record *record = &job->u.write_record.record;
    uint64_t voided = sc_index_voided(writer->storage->index, &record->key);
    record->generation = voided + 1;
    record->supersedes = voided;
    sc_digest_map_put(&wave->keys, &record->key, job);
    wave->jobs[wave->count] = i;
    wave->writes[wave->count++] =
        (struct sc_record_write){.record = record, .voided = voided, .arena = &job->arena};
}

// What is written whatever is there goes alone, as does the second record of a key: after all that came before it.
static void put_records(struct storage_writer *writer, struct batch *batch)
{
    struct wave wave = {.writes = SC_NEW_ARRAY(&batch->arena, batch->count, struct sc_record_write),
                        .jobs = SC_NEW_ARRAY(&batch->arena, batch->count, uint32_t)};
    sc_digest_map_done(&batch->held); // none is in front of the first
    for (uint32_t i = 0; i < batch->count; i++) {
        struct sc_error err = SC_ERROR_INIT;
        struct sc_job *job = batch->jobs[i];
        if (!batch->stored[i] && !batch->done[i])
            hold(batch, i);
        if (!batch->stored[i])
            continue;
        if (job->kind != SC_JOB_WRITE_RECORD) {
            settle(batch, i, SC_OK, NULL);
            continue;
        }
        enum sc_rc rc = in_time(writer, job, &err);
        if (rc != SC_OK) {
            settle(batch, i, rc, &err);
            continue;
        }
        bool absent = job->u.write_record.mode == SC_WRITE_IF_ABSENT;
        if (!absent || sc_digest_map_get(&wave.keys, &job->u.write_record.record.key))
            put_wave(writer, batch, &wave);
        if (sc_digest_map_get(&batch->held, &job->u.write_record.record.key))
            continue;
        if (absent) {
            add_to_wave(writer, &wave, i, job);
            continue;
        }
        struct sc_slice there;
        job->u.write_record.put = SC_RECORD_WON;
        rc = replace_record(writer, job, &there, &err);
        if (rc == SC_OK)
            tell_record(writer, job, there);
        settle(batch, i, rc, &err);
    }
    put_wave(writer, batch, &wave);
}

// One try at all that is not done. Returns the first rc that may pass, with its story, or SC_OK when nothing is left.
static enum sc_rc try_batch(struct storage_writer *writer, struct batch *batch, struct sc_error *err)
{
    writer->voids_heard = false;
    batch->later = SC_OK;
    storage_hear_losses(writer);
    if (put_objects(writer, batch)) {
        enum sc_rc rc = sc_objects_sync(writer->objects, err);
        if (rc != SC_OK)
            return rc;
        put_records(writer, batch);
    }
    *err = batch->err;
    return batch->later;
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
    sc_digest_map_done(&batch.held);
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
