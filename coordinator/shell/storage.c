#include "coordinator/shell/storage.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "coordinator/shell/storage_parts.h"

#include <errno.h>
#include <unistd.h>

enum { WRITE_EVERY_MS = 100, WRITE_AT_ONCE = 256 };

static enum sc_rc open_handle(const struct sc_storage_config *config, struct sc_store **ret_store,
                              struct sc_objects **ret_objects, struct sc_error *err)
{
    enum sc_rc rc = sc_store_open_with(config->url, config->horizon_ms, ret_store, err);
    if (rc != SC_OK)
        return rc;
    struct sc_objects_config objects = {.store = *ret_store, .domain = config->domain};
    return sc_objects_new(&objects, ret_objects, err);
}

// A folder of another user, who lets us read: every run would wait for it to be mended. A read-only file system is told by
// the steps that need the store.
static enum sc_rc check_writable(const struct sc_store *store, struct sc_error *err)
{
    static const char *const folders[] = {"", "/tmp", "/v1"};
    const char *root = sc_store_local_root(store);
    for (size_t i = 0; root && i < SC_COUNT(folders); i++) {
        SC_AUTO_FREE char *folder = sc_asprintf("%s%s", root, folders[i]);
        if (access(folder, W_OK | X_OK) == 0 || errno != EACCES)
            continue;
        enum sc_rc rc = sc_error_errno(err, errno, "the store cannot be written to: %s", folder);
        sc_error_hint(err, "a store in a folder is one user's: take another folder, or share a bucket");
        return rc;
    }
    return SC_OK;
}

enum sc_rc sc_storage_open(const struct sc_storage_config *config, struct sc_storage **ret_storage,
                           struct sc_error *err)
{
    struct sc_storage *storage = sc_calloc(1, sizeof *storage);
    storage->config = *config;
    pthread_mutex_init(&storage->lock, NULL);
    storage->index = sc_index_new(config->index_bytes ? config->index_bytes : SC_INDEX_BYTES);
    storage->latest = sc_latest_new();
    storage->reader = (struct storage_reader){
        .storage = storage, .voids_listed_ms = -STORAGE_VOIDS_EVERY_MS, .box = sc_mailbox_new(false)};
    storage->writer = (struct storage_writer){.storage = storage, .box = sc_mailbox_new(false)};
    enum sc_rc rc = sc_dir_remove(config->scratch, err); // what a killed one left
    if (rc == SC_OK)
        rc = sc_dir_make(config->scratch, 0700, err);
    if (rc == SC_OK)
        rc = open_handle(config, &storage->reader.store, &storage->reader.objects, err);
    if (rc == SC_OK)
        rc = open_handle(config, &storage->writer.store, &storage->writer.objects, err);
    if (rc == SC_OK)
        rc = check_writable(storage->writer.store, err);
    if (rc == SC_OK)
        rc = sc_latest_reader_open(storage->latest, config->journal_path, &storage->reader.latest, err);
    if (rc != SC_OK) {
        sc_storage_close(storage);
        return rc;
    }
    *ret_storage = storage;
    return SC_OK;
}

static void *read_thread(void *context)
{
    struct storage_reader *reader = context;
    pthread_setname_np(pthread_self(), "sc-read");
    if (reader->storage->config.warm)
        storage_warm(reader);
    for (;;) {
        struct sc_job *jobs = sc_mailbox_take(reader->box, STORAGE_VOIDS_EVERY_MS);
        if (!jobs && sc_mailbox_closed(reader->box))
            return NULL;
        if (!jobs)
            storage_list_voids(reader);
        for (struct sc_job *job = jobs, *next; job; job = next) {
            next = job->next;
            storage_read_job(reader, job);
            sc_mailbox_send(reader->storage->config.answers, job);
        }
    }
}

static bool can_wait(const struct sc_job *jobs)
{
    uint32_t count = 0;
    for (const struct sc_job *job = jobs; job; job = job->next)
        if (job->kind != SC_JOB_WRITE_RECORD || ++count >= WRITE_AT_ONCE)
            return false;
    return true;
}

static struct sc_job **tail_of(struct sc_job **list)
{
    while (*list)
        list = &(*list)->next;
    return list;
}

// Records of short steps come one by one; each batch costs a sync. So a batch that holds only records begins at least
// WRITE_EVERY_MS after the one before, and takes what came meanwhile.
static void *write_thread(void *context)
{
    struct storage_writer *writer = context;
    pthread_setname_np(pthread_self(), "sc-write");
    for (;;) {
        struct sc_job *jobs = sc_mailbox_take(writer->box, -1);
        if (!jobs)
            return NULL; // closed
        int64_t wait_ms = writer->batch_ms + WRITE_EVERY_MS - sc_clock_mono_ms();
        if (wait_ms > 0 && wait_ms <= WRITE_EVERY_MS && can_wait(jobs)) {
            struct sc_job *more;
            while (wait_ms > 0 && can_wait(jobs) && (more = sc_mailbox_take(writer->box, (int)wait_ms))) {
                *tail_of(&jobs) = more;
                wait_ms = writer->batch_ms + WRITE_EVERY_MS - sc_clock_mono_ms();
            }
        }
        writer->batch_ms = sc_clock_mono_ms();
        storage_write_jobs(writer, jobs);
    }
}

void sc_storage_start(struct sc_storage *storage)
{
    SC_ASSERT(!storage->started);
    SC_ASSERT(pthread_create(&storage->reader.thread, NULL, read_thread, &storage->reader) == 0);
    SC_ASSERT(pthread_create(&storage->writer.thread, NULL, write_thread, &storage->writer) == 0);
    storage->started = true;
}

void sc_storage_close(struct sc_storage *storage)
{
    if (!storage)
        return;
    sc_mailbox_close(storage->reader.box);
    sc_mailbox_close(storage->writer.box);
    if (storage->started) {
        pthread_join(storage->reader.thread, NULL);
        pthread_join(storage->writer.thread, NULL);
    }
    storage_writer_done(&storage->writer);
    sc_mailbox_free(storage->reader.box);
    sc_mailbox_free(storage->writer.box);
    sc_latest_reader_close(storage->reader.latest);
    sc_loaded_plan_free(storage->reader.warm);
    sc_objects_free(storage->reader.objects);
    sc_objects_free(storage->writer.objects);
    sc_store_close(storage->reader.store);
    sc_store_close(storage->writer.store);
    sc_index_free(storage->index);
    sc_latest_free(storage->latest);
    pthread_mutex_destroy(&storage->lock);
    free(storage);
}

void sc_storage_post(struct sc_storage *storage, struct sc_job *job)
{
    switch (job->kind) {
    case SC_JOB_LOAD_PLAN:
    case SC_JOB_LOOK_UP:
    case SC_JOB_PRESENCE:
        sc_mailbox_send(storage->reader.box, job);
        return;
    case SC_JOB_WRITE_RECORD:
    case SC_JOB_WRITE_VOID:
    case SC_JOB_CLOSE_OUT:
    case SC_JOB_OPEN_RUN:
    case SC_JOB_PUT:
    case SC_JOB_PUT_DROP:
    case SC_JOB_HURRY:
        sc_mailbox_send(storage->writer.box, job);
        return;
    case SC_JOB_QUERY:
    case SC_JOB_ANSWER:
    case SC_JOB_TROUBLE:
        break;
    }
    SC_ASSERT(false);
}

enum sc_rc sc_storage_load_plan(struct sc_storage *storage, const struct sc_digest *digest,
                                struct sc_loaded_plan **ret_plan, struct sc_error *err)
{
    SC_ASSERT(!storage->started);
    return storage_load_plan(&storage->reader, digest, ret_plan, err);
}

int64_t sc_storage_horizon_ms(const struct sc_storage *storage)
{
    return sc_store_horizon_ms(storage->reader.store);
}

struct sc_index *sc_storage_index(struct sc_storage *storage)
{
    return storage->index;
}

struct sc_latest *sc_storage_latest(struct sc_storage *storage)
{
    return storage->latest;
}
