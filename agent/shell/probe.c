// PROBE: what a coordinator asks of this machine, answered by a worker.
#include "agent/shell/probe.h"

#include "agent/shell/worker.h"
#include "base/memory.h"
#include "base/os/log.h"

#include <stdio.h>

static void fail(struct sc_probe_job *job, const struct sc_error *err)
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

bool sc_worker_environment_holds(struct sc_worker *worker, struct sc_agent_task *task, int64_t since_us)
{
    const struct sc_assignment *a = task->assignment;
    struct sc_prober *prober = worker->config->prober;
    if (sc_digest_is_zero(&a->environment) || a->probe.kind == SC_PROBE_FILE)
        return true;
    struct sc_slice path = a->probe.path.len ? a->probe.path : worker->config->path;
    struct sc_error err = SC_ERROR_INIT;
    bool holds = false;
    enum sc_rc rc = sc_prober_holds(prober, &a->probe, path, &a->environment, &task->environment_seen,
                                    since_us, true, &holds, &err);
    if (rc == SC_BUSY) {
        sc_worker_heavy(worker);
        rc = sc_prober_holds(prober, &a->probe, path, &a->environment, &task->environment_seen, since_us,
                             false, &holds, &err);
    }
    if (rc == SC_OK && holds)
        return true;
    sc_agent_task_fail(task, SC_OUTCOME_ENVIRONMENT,
                       "step " SC_SLICE_FMT
                       ": the environment of this machine is not the one that its key was built with%s%s",
                       SC_SLICE_ARG(a->step), rc == SC_OK ? "" : ": ", rc == SC_OK ? "" : err.message);
    return false;
}

void sc_worker_probe(struct sc_worker *worker, struct sc_probe_job *job)
{
    const struct sc_msg_probe *probe = job->probe;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice path = probe->path.len ? probe->path : job->default_path;
    enum sc_rc rc = SC_OK;
    job->probed.probe = probe->probe;
    job->probed.kind = probe->kind;
    switch (probe->kind) {
    case SC_PROBE_CLASS:
        job->probed.class_.path = path;
        job->probed.class_.gpu = probe->gpu;
        rc =
            sc_prober_class(worker->config->prober, path, probe->gpu, &job->arena, &job->probed.class_, &err);
        break;
    case SC_PROBE_COMMANDS:
        rc = sc_prober_commands(worker->config->prober, path, &probe->commands, &job->arena,
                                &job->probed.commands, &err);
        break;
    case SC_PROBE_FILE:
        rc = probe_path(worker, job, &err);
        break;
    }
    if (rc != SC_OK)
        fail(job, &err);
}
