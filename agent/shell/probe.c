// PROBE: what a coordinator asks of this machine. Of files a worker tells; look.h tells the rest.
#include "agent/shell/probe.h"

#include "agent/shell/worker.h"
#include "base/memory.h"
#include "base/os/log.h"

#include <stdio.h>

void sc_probe_job_fail(struct sc_probe_job *job, const struct sc_error *err)
{
    job->probed.failed = true;
    job->probed.message =
        sc_arena_printf(&job->arena, "%s%s%s", err->message, err->hint[0] ? "; " : "", err->hint);
}

static enum sc_rc probe_dir(struct sc_worker *worker, struct sc_probe_job *job, const char *path,
                            struct sc_error *err)
{
    struct sc_hash_options options = {.memo = worker->memo, .follow_root = true};
    struct sc_tree tree;
    enum sc_rc rc = sc_hash_dir(path, &options, &job->arena, &tree, err);
    if (rc == SC_OK && job->probe->store)
        rc = sc_objects_put_tree(worker->objects, path, &tree, false, false, err);
    if (rc == SC_OK)
        job->probed.artifact = sc_hash_dir_artifact(&tree);
    return rc;
}

static enum sc_rc probe_file(struct sc_worker *worker, struct sc_probe_job *job, const char *path,
                             struct sc_error *err)
{
    struct sc_hash_options options = {.memo = worker->memo, .follow_root = true};
    enum sc_rc rc = sc_hash_file(path, &options, &job->probed.artifact, err);
    if (rc == SC_OK && job->probe->store)
        rc = sc_objects_put_file(worker->objects, path, &job->probed.artifact, false, false, err);
    return rc;
}

static enum sc_rc probe_path(struct sc_worker *worker, struct sc_probe_job *job, struct sc_error *err)
{
    const char *path = sc_arena_cstr(&job->arena, job->probe->path);
    if (path[0] != '/' || strlen(path) != job->probe->path.len)
        return sc_error_set(err, SC_INVALID, "source %s: not an absolute path", path);
    enum sc_rc rc = job->probe->dir ? probe_dir(worker, job, path, err) : probe_file(worker, job, path, err);
    if (rc == SC_OK && job->probe->store)
        rc = sc_objects_sync(worker->objects, err);
    if (rc == SC_OK) {
        struct sc_error ignored = SC_ERROR_INIT;
        if (sc_memo_save(worker->memo, &ignored) != SC_OK)
            sc_log(SC_LOG_WARN, "ignoring that the memo was not saved: %s", ignored.message);
        return SC_OK;
    }
    if (rc == SC_NOT_FOUND)
        sc_error_hint(err, "it must be there on every agent; correct `sources`");
    return sc_error_wrap(err, rc, "source %s", path);
}

void sc_worker_probe(struct sc_worker *worker, struct sc_probe_job *job)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_ASSERT(job->probe->kind == SC_PROBE_FILE);
    job->probed.probe = job->probe->probe;
    job->probed.kind = SC_PROBE_FILE;
    if (probe_path(worker, job, &err) != SC_OK)
        sc_probe_job_fail(job, &err);
}
