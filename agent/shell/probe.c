// PROBE: what a coordinator asks of this machine. Of files a worker tells; look.h tells the rest.
#include "agent/shell/probe.h"

#include "agent/shell/worker.h"
#include "base/memory.h"
#include "base/os/log.h"
#include "store/source.h"

#include <stdatomic.h>
#include <stdio.h>

void sc_probe_job_fail(struct sc_probe_job *job, const struct sc_error *err)
{
    job->probed.failed = true;
    job->probed.message =
        sc_arena_printf(&job->arena, "%s%s%s", err->message, err->hint[0] ? "; " : "", err->hint);
}

// What is not remembered is read again.
static void save(enum sc_rc rc, const struct sc_error *err)
{
    if (rc != SC_OK)
        sc_log(SC_LOG_WARN, "ignoring that digests were not saved: %s", err->message);
}

static enum sc_rc probe_dir(struct sc_worker *worker, struct sc_probe_job *job, const char *path,
                            struct sc_error *err)
{
    struct sc_hash_options options = {.memo = worker->memo, .follow_root = true};
    struct sc_tree tree;
    enum sc_rc rc = sc_hash_dir(path, &options, &job->arena, &tree, err);
    if (rc == SC_OK && job->probe->store)
        rc = sc_objects_put_tree(worker->objects, path, &tree, false, job->probe->force, err);
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
        rc = sc_objects_put_file(worker->objects, path, &job->probed.artifact, false, job->probe->force, err);
    return rc;
}

static enum sc_rc probe_path(struct sc_worker *worker, struct sc_probe_job *job, struct sc_error *err)
{
    const char *path = sc_arena_cstr(&job->arena, job->probe->path);
    if (path[0] != '/' || strlen(path) != job->probe->path.len)
        return sc_error_set(err, SC_INVALID, "%s: neither an absolute path nor s3://bucket/key", path);
    struct sc_error ignored = SC_ERROR_INIT;
    enum sc_rc rc = job->probe->dir ? probe_dir(worker, job, path, err) : probe_file(worker, job, path, err);
    if (rc == SC_OK && job->probe->store)
        rc = sc_objects_sync(worker->objects, err);
    if (rc == SC_OK) {
        save(sc_memo_save(worker->memo, &ignored), &ignored);
        return SC_OK;
    }
    if (rc == SC_NOT_FOUND)
        sc_error_hint(err, "it must be there on every agent; correct `sources`");
    return sc_error_wrap(err, rc, "%s", path);
}

// ---- in S3

static enum sc_rc open_bucket(struct sc_worker *worker, struct sc_slice bucket, struct sc_error *err)
{
    SC_AUTO_FREE char *url = sc_asprintf("s3://" SC_SLICE_FMT, SC_SLICE_ARG(bucket));
    if (worker->bucket && strcmp(sc_store_url(worker->bucket), url) == 0)
        return SC_OK;
    sc_store_close(worker->bucket);
    worker->bucket = NULL;
    return sc_store_open_bucket(url, &worker->bucket, err);
}

// On the worker's thread; the loop looks from time to time.
static void source_moved(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct sc_probe_job *job = context;
    atomic_store(&job->shared_done_bytes, done_bytes);
    atomic_store(&job->shared_total_bytes, total_bytes);
}

static enum sc_rc probe_bucket(struct sc_worker *worker, struct sc_probe_job *job, struct sc_error *err)
{
    struct sc_slice key = sc_slice_from(job->probe->path, strlen("s3://"));
    const uint8_t *slash = key.len ? memchr(key.ptr, '/', key.len) : NULL;
    struct sc_slice bucket = sc_slice(key.ptr, slash ? (size_t)(slash - key.ptr) : key.len);
    key = slash ? sc_slice_from(key, bucket.len + 1) : sc_slice(NULL, 0);
    enum sc_rc rc = open_bucket(worker, bucket, err);
    if (rc != SC_OK)
        return rc;
    SC_AUTO_FREE char *scratch = sc_asprintf("%s/%u", worker->config->place->sources, worker->index);
    const struct sc_source source = {.from = worker->bucket,
                                     .bucket = bucket,
                                     .objects = worker->objects,
                                     .pinned = worker->config->pinned,
                                     .scratch = scratch,
                                     .store = job->probe->store,
                                     .by_version = job->probe->by_version,
                                     .identity = job->probe->identity,
                                     .progress = source_moved,
                                     .context = job,
                                     .believed = worker->config->checksums,
                                     .force = job->probe->force};
    struct sc_sourced sourced;
    rc = job->probe->dir ? sc_source_dir(&source, key, &sourced, err)
                         : sc_source_file(&source, key, job->probe->version, &sourced, err);
    job->probed.artifact = sourced.artifact;
    job->probed.identity = sc_arena_copy(&job->arena, sc_buf_slice(&sourced.identity));
    sc_sourced_done(&sourced);
    if (rc == SC_UNREACHABLE || rc == SC_INVALID)
        sc_error_hint(
            err, "check the bucket's name, and AWS_ENDPOINT_URL and AWS_REGION in the agent's environment");
    if (rc == SC_OK && job->probe->store)
        rc = sc_objects_sync(worker->objects, err);
    struct sc_error ignored = SC_ERROR_INIT;
    save(sc_pinned_save(worker->config->pinned, &ignored), &ignored); // what was read before a failure, too
    return rc;
}

void sc_worker_probe(struct sc_worker *worker, struct sc_probe_job *job)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_ASSERT(job->probe->kind == SC_PROBE_FILE);
    job->probed.probe = job->probe->probe;
    job->probed.kind = SC_PROBE_FILE;
    bool in_s3 = sc_slice_starts(job->probe->path, "s3://");
    if ((in_s3 ? probe_bucket(worker, job, &err) : probe_path(worker, job, &err)) != SC_OK)
        sc_probe_job_fail(job, &err);
}
