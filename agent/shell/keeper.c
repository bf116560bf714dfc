#include "agent/shell/keeper.h"

#include "base/memory.h"

#include <stdio.h>
#include <unistd.h>

struct sc_slice sc_keeper_label(const struct sc_assignment *a, struct sc_arena *arena)
{
    return sc_arena_printf(arena, SC_SLICE_FMT "\n" SC_SLICE_FMT "\n" SC_SLICE_FMT "/%u",
                           SC_SLICE_ARG(a->namespace_), SC_SLICE_ARG(a->run), SC_SLICE_ARG(a->step),
                           a->number);
}

static struct sc_slice next_line(struct sc_slice *rest)
{
    const uint8_t *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    struct sc_slice line = sc_slice(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
    *rest = sc_slice_from(*rest, line.len + (end ? 1 : 0));
    return line;
}

enum sc_rc sc_keeper_put(struct sc_store *store, struct sc_slice domain, struct sc_slice label,
                         enum sc_stream stream, const char *path, struct sc_slice bytes, struct sc_error *err)
{
    struct sc_slice namespace_ = next_line(&label), run = next_line(&label);
    if (namespace_.len == 0 || run.len == 0 || label.len == 0)
        return sc_error_set(err, SC_MALFORMED, "the label of a log names no run");
    SC_AUTO_BUF struct sc_buf rest, name;
    sc_buf_init(&rest, SC_LIMIT_PATH_BYTES);
    sc_buf_init(&name, 2 * SC_LIMIT_PATH_BYTES);
    sc_buf_add_slice(&rest, label);
    sc_buf_add_str(&rest, stream == SC_STREAM_STDOUT ? "/stdout" : "/stderr");
    sc_name_run(&name, domain, namespace_, run, sc_buf_slice(&rest));
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_buf_slice(&name));
    op.body = bytes;
    op.body_path = path;
    op.move_body = path != NULL;
    enum sc_rc rc = sc_store_wait(store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

// A large log of a result that a record will hold: an object.
static enum sc_rc put_object(struct sc_worker *worker, struct sc_log_stream *s,
                             struct sc_artifact *ret_artifact, struct sc_error *err)
{
    struct sc_artifact artifact;
    struct sc_hash_options options = {.threads = 1};
    enum sc_rc rc = sc_hash_file(s->spool_path, &options, &artifact, err);
    if (rc != SC_OK)
        return rc;
    artifact.ext = sc_slice(NULL, 0);
    artifact.exec = false;
    rc = sc_objects_put_new_file(worker->objects, s->spool_path, &artifact, true, false, err);
    if (rc == SC_OK)
        *ret_artifact = artifact;
    return rc;
}

static enum sc_rc keep_stream(struct sc_worker *worker, struct sc_agent_task *task, enum sc_stream stream,
                              struct sc_artifact *ret_artifact, struct sc_error *err)
{
    struct sc_log_stream *s = &task->logs.streams[stream];
    bool recorded = task->result.outcome == SC_OUTCOME_OK && !task->assignment->unrecorded;
    enum sc_rc rc = SC_OK;
    if (s->bytes == 0)
        return SC_OK;
    struct sc_artifact artifact = {.bytes = s->bytes, .files = 1};
    if (s->spool_fd < 0) {
        artifact.has_inline = true;
        artifact.inline_bytes = sc_buf_slice(&s->head);
        artifact.digest = sc_digest_of(artifact.inline_bytes);
    } else if (recorded) {
        rc = put_object(worker, s, &artifact, err);
        task->needs_sync = true;
    }
    if (rc == SC_OK && !recorded) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        rc = sc_keeper_put(worker->store, worker->domain, sc_keeper_label(task->assignment, &arena), stream,
                           s->spool_path, artifact.inline_bytes, err);
        task->needs_sync = true;
    }
    if (rc != SC_OK)
        return rc;
    if (s->spool_path) { // it was taken, or copied
        unlink(s->spool_path);
        free(s->spool_path);
        s->spool_path = NULL;
    }
    *ret_artifact = artifact;
    return SC_OK;
}

enum sc_rc sc_keeper_keep(struct sc_worker *worker, struct sc_agent_task *task, struct sc_error *err)
{
    bool spooled = task->logs.streams[0].spool_path || task->logs.streams[1].spool_path;
    enum sc_rc rc = keep_stream(worker, task, SC_STREAM_STDOUT, &task->result.stdout_, err);
    if (rc == SC_OK)
        rc = keep_stream(worker, task, SC_STREAM_STDERR, &task->result.stderr_, err);
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "its log could not be stored");
    if (spooled) {
        SC_AUTO_FREE char *label =
            sc_asprintf("%s/%llu.label", worker->config->place->logs, (unsigned long long)task->attempt);
        unlink(label);
    }
    return SC_OK;
}
