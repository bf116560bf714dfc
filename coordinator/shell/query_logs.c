// Stored logs of a step, for queries. They lie under run/… by step and attempt for what no record holds (failures, steps with
// the cache off), else in the record: a hit replays its maker's log.
#include "coordinator/shell/query_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 << 10, TAIL_BYTES = 2048, PACE_BYTES = 4 << 20, PACE_MS = 10 };

// A stored stream: bytes in memory, or an open file.
struct stored {
    bool there;
    int fd; // -1: bytes
    struct sc_slice bytes;
    uint64_t size;
};

static void close_stored(struct stored *stored)
{
    if (stored->fd >= 0)
        close(stored->fd);
    stored->fd = -1;
}

// An object of the run's own folder, into a nameless file where it is no file of this machine.
static bool open_run_object(struct sc_queries *queries, const struct query_run *run, struct sc_slice step,
                            uint64_t attempt, enum sc_stream stream, struct stored *ret_stored)
{
    SC_AUTO_BUF struct sc_buf rest, name, path;
    sc_buf_init(&rest, 0);
    sc_buf_init(&name, 0);
    sc_buf_init(&path, 0);
    sc_buf_printf(&rest, SC_SLICE_FMT "/%llu/%s", SC_SLICE_ARG(step), (unsigned long long)attempt,
                  stream == SC_STREAM_STDOUT ? "stdout" : "stderr");
    sc_name_run(&name, queries->config.domain, run->namespace_, run->run, sc_buf_slice(&rest));
    int fd = sc_store_local_path(queries->store, sc_buf_slice(&name), &path)
                 ? open(sc_buf_cstr(&path),
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) // whatever stands there
                 : -1;
    if (fd < 0 && !sc_store_local_root(queries->store)) {
        fd = open(queries->config.scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        struct sc_store_op op;
        sc_store_op_init(&op, SC_STORE_GET, sc_buf_slice(&name));
        op.to_fd = fd;
        if (fd >= 0 && sc_store_wait(queries->store, &op) != SC_OK) {
            close(fd);
            fd = -1;
        }
        sc_store_op_done(&op);
    }
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size < 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    *ret_stored = (struct stored){.there = true, .fd = fd, .size = (uint64_t)size};
    return true;
}

static enum sc_rc open_artifact(struct sc_queries *queries, const struct sc_artifact *artifact,
                                struct stored *ret_stored, struct sc_error *err)
{
    struct stored stored = {.fd = -1};
    if (artifact->has_inline) {
        stored.there = true;
        stored.bytes = artifact->inline_bytes;
        stored.size = artifact->inline_bytes.len;
    } else if (!sc_digest_is_zero(&artifact->digest)) {
        SC_AUTO_BUF struct sc_buf path;
        sc_buf_init(&path, 0);
        struct sc_digest lost;
        enum sc_rc rc = sc_objects_local(queries->objects, artifact, &path, &lost, err);
        if (rc != SC_OK)
            return sc_error_wrap(err, rc, "the stored log");
        stored.fd = open(sc_buf_cstr(&path), O_RDONLY | O_CLOEXEC);
        sc_objects_unpin(queries->objects, artifact);
        if (stored.fd < 0)
            return sc_error_errno(err, errno, "open the stored log");
        stored.there = true;
        stored.size = artifact->bytes;
    }
    *ret_stored = stored;
    return SC_OK;
}

// Which attempt is meant: the one asked for, else the step's last.
static uint64_t attempt_of(const struct query_step *step, uint32_t asked)
{
    return asked ? asked : step->end.attempt ? step->end.attempt : 1;
}

static enum sc_rc open_streams(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                               const struct query_step *step, uint32_t asked, struct stored ret_streams[2],
                               struct sc_error *err)
{
    bool hit = step->has_verdict && step->verdict.verdict == SC_VERDICT_HIT;
    ret_streams[0] = ret_streams[1] = (struct stored){.fd = -1};
    if (!hit || asked) {
        bool out = open_run_object(queries, run, step->name, attempt_of(step, asked), SC_STREAM_STDOUT,
                                   &ret_streams[0]);
        bool both = open_run_object(queries, run, step->name, attempt_of(step, asked), SC_STREAM_STDERR,
                                    &ret_streams[1]);
        if (out || both)
            return SC_OK;
    }
    if (asked && (hit || asked != step->end.attempt))
        return sc_error_set(err, SC_NOT_FOUND,
                            "step " SC_SLICE_FMT " of run " SC_SLICE_FMT " left no log of attempt %u",
                            SC_SLICE_ARG(step->name), SC_SLICE_ARG(run->run), asked);
    if (!step->has_verdict || sc_digest_is_zero(&step->verdict.key))
        return SC_OK; // it never began, or wrote nothing
    struct sc_record record;
    enum sc_rc rc = query_record(queries, &step->verdict.key, &job->arena, &record, err);
    if (rc == SC_NOT_FOUND)
        return SC_OK; // a failure that wrote nothing
    if (rc != SC_OK)
        return rc;
    rc = open_artifact(queries, &record.logs.stdout_, &ret_streams[0], err);
    return rc == SC_OK ? open_artifact(queries, &record.logs.stderr_, &ret_streams[1], err) : rc;
}

static size_t read_chunk(const struct stored *stored, uint64_t offset, uint8_t *chunk, size_t most)
{
    uint64_t left = stored->size > offset ? stored->size - offset : 0;
    size_t len = left < most ? (size_t)left : most;
    if (stored->fd < 0) {
        if (len)
            memcpy(chunk, stored->bytes.ptr + offset, len);
        return len;
    }
    ssize_t n = len ? pread(stored->fd, chunk, len, (off_t)offset) : 0;
    return n > 0 ? (size_t)n : 0;
}

static void send_stream(struct sc_queries *queries, const struct sc_job *job,
                        const struct sc_event_body *base, enum sc_stream stream, const struct stored *stored)
{
    SC_AUTO_FREE uint8_t *chunk = sc_calloc(1, CHUNK_BYTES);
    uint64_t offset = 0, paced = 0;
    size_t n;
    while ((n = read_chunk(stored, offset, chunk, CHUNK_BYTES)) > 0) {
        struct sc_event_body event = *base;
        event.stream = stream;
        event.text = sc_slice(chunk, n);
        struct sc_message message = {.type = SC_MESSAGE_EVENT};
        message.body.event.events.items = &event;
        message.body.event.events.count = 1;
        query_send(queries, job, &message);
        offset += n;
        // A peer's queue is bounded: a large log goes no faster than a client can be expected to read.
        if (offset - paced >= PACE_BYTES) {
            paced = offset;
            sc_mailbox_pause(queries->box, PACE_MS);
        }
    }
}

// An open run's step that has not ended: its log comes from its agent, by way of the core.
static bool is_live(const struct sc_job *job, const struct query_step *step)
{
    const struct sc_msg_logs *logs = &job->u.query.message.body.logs;
    return job->u.query.events.len && !step->finished && (logs->attempt == 0 || step->has_verdict) &&
           (logs->follow || step->has_verdict);
}

enum sc_rc query_logs(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                      struct sc_error *err)
{
    const struct sc_msg_logs *logs = &job->u.query.message.body.logs;
    struct query_step step;
    struct stored streams[2];
    enum sc_rc rc = query_step(queries, job, run, logs->step, &step, err);
    if (rc != SC_OK)
        return rc;
    if (is_live(job, &step)) {
        job->u.query.open = true;
        return SC_OK;
    }
    rc = open_streams(queries, job, run, &step, logs->attempt, streams, err);
    if (rc == SC_OK) {
        struct sc_event_body base = {.type = SC_EV_STEP_LOG,
                                     .at = step.end.at,
                                     .run = run->run,
                                     .step = step.name,
                                     .attempt = attempt_of(&step, logs->attempt)};
        for (int i = 0; i < 2; i++)
            if (streams[i].there)
                send_stream(queries, job, &base, (enum sc_stream)i, &streams[i]);
        query_send_done(queries, job, run);
    }
    for (int i = 0; i < 2; i++)
        close_stored(&streams[i]);
    return rc;
}

struct sc_slice query_log_tail(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                               const struct query_step *step, enum sc_stream stream)
{
    struct stored streams[2] = {{.fd = -1}, {.fd = -1}};
    struct sc_slice tail = {NULL, 0};
    if (open_streams(queries, job, run, step, 0, streams, NULL) == SC_OK && streams[stream].there) {
        const struct stored *s = &streams[stream];
        uint8_t *bytes = SC_NEW_ARRAY(&job->arena, TAIL_BYTES, uint8_t);
        uint64_t from = s->size > TAIL_BYTES ? s->size - TAIL_BYTES : 0;
        tail = sc_slice(bytes, read_chunk(s, from, bytes, TAIL_BYTES));
        const uint8_t *line =
            from && tail.len ? memchr(tail.ptr, '\n', tail.len) : NULL; // begin with a whole line
        if (line && line + 1 < tail.ptr + tail.len)
            tail = sc_slice_from(tail, (size_t)(line + 1 - tail.ptr));
    }
    for (int i = 0; i < 2; i++)
        close_stored(&streams[i]);
    return tail;
}
