// A run's end in the store: its outputs published, its records' segment, its summary. One sync makes them durable.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/log.h"
#include "store/compress.h"
#include "store/names.h"

enum { SEGMENTS_KEPT = 3 };

static int by_digest(const void *a, const void *b)
{
    return sc_digest_cmp(a, b);
}

static uint32_t sort_unique(struct sc_digest *keys, uint32_t count)
{
    uint32_t kept = 0;
    if (count)
        qsort(keys, count, sizeof *keys, by_digest);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || !sc_digest_eq(&keys[kept - 1], &keys[i]))
            keys[kept++] = keys[i];
    return kept;
}

// The record's bytes, from the index or the store; empty when it cannot be had any more.
static struct sc_slice record_bytes(struct storage_writer *writer, const struct sc_digest *key,
                                    struct sc_arena *arena)
{
    struct sc_slice bytes;
    struct sc_record record;
    if (sc_index_get(writer->storage->index, key, arena, &bytes))
        return bytes;
    return sc_records_get(writer->store, writer->storage->config.domain, key, arena, &bytes, &record, NULL) ==
                   SC_OK
               ? bytes
               : sc_slice(NULL, 0);
}

// The newest segment of the template holds just these records: the usual end of a run in which nothing changed.
static bool segment_is_known(struct storage_writer *writer, const struct sc_close_out *what, uint32_t keys)
{
    uint32_t known_count;
    uint64_t marks = 0, mark, known_marks;
    if (!storage_knows_template(writer->storage, &what->template_, &known_count, &known_marks) ||
        known_count != keys)
        return false;
    for (uint32_t i = 0; i < keys; i++) {
        if (!sc_index_mark_of(writer->storage->index, &what->keys.items[i], &mark))
            return false;
        marks += mark;
    }
    return marks == known_marks;
}

static enum sc_rc put_segment(struct storage_writer *writer, struct sc_close_out *what, struct sc_error *err)
{
    struct sc_storage *storage = writer->storage;
    uint32_t keys = sort_unique(what->keys.items, what->keys.count), count = 0;
    if (segment_is_known(writer, what, keys))
        return SC_OK;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *records = SC_NEW_ARRAY(&arena, keys, struct sc_slice);
    uint64_t marks = 0;
    for (uint32_t i = 0; i < keys; i++) {
        struct sc_slice bytes = record_bytes(writer, &what->keys.items[i], &arena);
        if (bytes.len == 0)
            continue;
        records[count++] = bytes;
        marks += sc_index_mark(bytes);
    }
    if (count == 0)
        return SC_OK;
    enum sc_rc rc =
        sc_records_put_segment(writer->store, storage->config.domain, &what->template_, what->ended_at,
                               storage->config.coordinator, records, count, SEGMENTS_KEPT, err);
    if (rc == SC_OK)
        storage_remember_template(storage, &what->template_, count, marks);
    return rc;
}

static enum sc_rc put_summary(struct storage_writer *writer, struct sc_job *job, struct sc_error *err)
{
    const struct sc_close_out *what = &job->u.close_out.what;
    struct sc_buf *events = &job->u.close_out.events;
    SC_AUTO_BUF struct sc_buf compressed, name;
    sc_buf_init(&compressed, 0);
    sc_buf_init(&name, 0);
    struct sc_event_body finished = job->u.close_out.finished;
    size_t without = events->len; // it may have to be done again
    finished.outputs.items = job->u.close_out.outputs;
    finished.outputs.count = job->u.close_out.output_count;
    sc_encode(&sc_schema_event_body, &finished, events);
    sc_compress(sc_buf_slice(events), &compressed);
    bool overflow = events->overflow || compressed.overflow;
    events->len = without;
    if (overflow)
        return sc_error_set(err, SC_LIMIT, "the summary of run " SC_SLICE_FMT " is too large",
                            SC_SLICE_ARG(what->run));
    sc_name_run(&name, writer->storage->config.domain, what->namespace_, what->run, sc_slice_str("summary"));
    return storage_put_named(writer->store, sc_buf_slice(&name), sc_buf_slice(&compressed), err);
}

enum sc_rc storage_close_out(struct storage_writer *writer, struct sc_job *job, struct sc_error *err)
{
    struct sc_close_out *what = &job->u.close_out.what;
    struct sc_error ignored = SC_ERROR_INIT;
    enum sc_rc published = storage_publish(writer, job, err);
    if (storage_may_pass(published, err->sys_errno))
        return published;
    // What could not be published for good does not keep the run from being remembered.
    if (put_segment(writer, what, &ignored) != SC_OK) // it saves time only
        sc_log(SC_LOG_WARN, "part=store run=" SC_SLICE_FMT " ignoring that its segment was not written: %s",
               SC_SLICE_ARG(what->run), ignored.message);
    struct sc_error own = SC_ERROR_INIT;
    enum sc_rc rc = put_summary(writer, job, &own);
    if (rc == SC_OK)
        rc = sc_objects_sync(writer->objects, &own);
    if (rc != SC_OK && published == SC_OK && err)
        *err = own;
    return published != SC_OK ? published : rc;
}
