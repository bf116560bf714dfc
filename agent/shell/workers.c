#include "agent/shell/workers.h"

#include "agent/shell/look.h"
#include "base/memory.h"
#include "base/os/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    THREADS_MOST = 8,
    BATCH_MOST = 64, // finished steps that one sync makes durable
    STACK_BYTES = 1 << 20,
};

struct thread {
    struct sc_workers *workers;
    struct sc_worker worker;
    pthread_t id;
    struct sc_jobs own; // under the lock: for this thread alone
    bool heavy;         // its own
};

struct sc_workers {
    uint32_t count;
    const struct sc_worker_config *config;
    struct sc_lookers *lookers;
    int done_fd;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct sc_jobs shared_jobs, shared_done; // under the lock
    bool shared_stop;
    uint32_t shared_idle;  // asleep
    uint32_t shared_heavy; // at a job that may take long
    struct thread threads[THREADS_MOST];
};

// ---- a thread

// Waking a thread costs more than a trivial step's job does. So one thread serves all light jobs, and another is woken
// only when every one that is awake is at a heavy job. Under the lock.
static void wake_one(struct sc_workers *workers)
{
    if (workers->shared_idle && workers->shared_jobs.count &&
        workers->count - workers->shared_idle == workers->shared_heavy)
        pthread_cond_signal(&workers->work);
}

static void mark_heavy(void *context)
{
    struct thread *thread = context;
    if (thread->heavy)
        return;
    thread->heavy = true;
    pthread_mutex_lock(&thread->workers->lock);
    thread->workers->shared_heavy++;
    wake_one(thread->workers);
    pthread_mutex_unlock(&thread->workers->lock);
}

static void post(struct sc_workers *workers, struct sc_agent_job *job)
{
    pthread_mutex_lock(&workers->lock);
    bool first = workers->shared_done.count == 0;
    sc_jobs_push(&workers->shared_done, job);
    pthread_mutex_unlock(&workers->lock);
    uint64_t one = 1;
    if (first && write(workers->done_fd, &one, sizeof one) < 0)
        SC_ASSERT(errno == EAGAIN); // it is readable anyway
}

// The next jobs of this thread: one, or the finished steps that wait together. Empty: stop.
static struct sc_jobs next_batch(struct thread *thread)
{
    struct sc_workers *workers = thread->workers;
    struct sc_jobs batch = {0};
    pthread_mutex_lock(&workers->lock);
    workers->shared_heavy -= thread->heavy;
    thread->heavy = false;
    while (!thread->own.count && !workers->shared_jobs.count && !workers->shared_stop) {
        workers->shared_idle++;
        pthread_cond_wait(&workers->work, &workers->lock);
        workers->shared_idle--;
    }
    struct sc_agent_job *job = sc_jobs_pop(&thread->own);
    if (job) {
        sc_jobs_push(&batch, job);
    } else if ((job = sc_jobs_pop(&workers->shared_jobs))) {
        sc_jobs_push(&batch, job);
        uint32_t share = workers->shared_jobs.count;
        while (job->kind == SC_JOB_TAKE && batch.count < BATCH_MOST && share-- > 0 &&
               workers->shared_jobs.first && workers->shared_jobs.first->kind == SC_JOB_TAKE)
            sc_jobs_push(&batch, sc_jobs_pop(&workers->shared_jobs));
    }
    pthread_mutex_unlock(&workers->lock);
    return batch;
}

// A looker's word: the job is answered, or goes on as any other.
static void looked(void *context, struct sc_agent_job *job)
{
    struct sc_workers *workers = context;
    job->looked = true;
    if (job->kind == SC_JOB_PROBE)
        post(workers, job);
    else
        sc_workers_give(workers, job);
}

static void work(struct thread *thread, struct sc_agent_job *job)
{
    struct sc_agent_task *task = (struct sc_agent_task *)job; // of the first three
    job->looked = false;
    switch (job->kind) {
    case SC_JOB_PREPARE:
        sc_worker_prepare(&thread->worker, task);
        return;
    case SC_JOB_TAKE:
        sc_worker_take(&thread->worker, task);
        return;
    case SC_JOB_CLEAN:
        sc_worker_clean(&thread->worker, task);
        return;
    case SC_JOB_UNPIN:
        sc_worker_unpin(&thread->worker, (struct sc_pins *)job);
        return;
    case SC_JOB_PROBE:
        if (((struct sc_probe_job *)job)->probe->kind != SC_PROBE_FILE)
            return; // the look has answered it
        sc_worker_heavy(&thread->worker);
        sc_worker_probe(&thread->worker, (struct sc_probe_job *)job);
        return;
    }
    SC_ASSERT(false);
}

static bool needs_sync(const struct sc_agent_job *job)
{
    return job->kind == SC_JOB_TAKE && ((const struct sc_agent_task *)job)->needs_sync;
}

static void *run(void *context)
{
    struct thread *thread = context;
    pthread_setname_np(pthread_self(), "worker");
    for (;;) {
        struct sc_jobs batch = next_batch(thread), waiting = {0};
        if (!batch.count)
            return NULL;
        for (struct sc_agent_job *job; (job = sc_jobs_pop(&batch));) {
            const struct sc_worker_config *config = thread->workers->config;
            if (!job->looked && !sc_look(config->prober, config->path, job, SC_PROBER_QUICK)) {
                sc_lookers_give(thread->workers->lookers, job);
                continue;
            }
            work(thread, job);
            if (needs_sync(job))
                sc_jobs_push(&waiting, job);
            else
                post(thread->workers, job);
        }
        if (!waiting.count)
            continue;
        sc_worker_heavy(&thread->worker);
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc = sc_objects_sync(thread->worker.objects, &err);
        for (struct sc_agent_job *job; (job = sc_jobs_pop(&waiting));) {
            sc_worker_synced((struct sc_agent_task *)job, rc, &err);
            post(thread->workers, job);
        }
    }
}

// ---- the pool

static enum sc_rc start_thread(struct sc_workers *workers, const struct sc_worker_config *config,
                               struct sc_slice domain, struct sc_error *err)
{
    struct thread *thread = &workers->threads[workers->count];
    thread->workers = workers;
    enum sc_rc rc = sc_worker_open(config, domain, workers->count, &thread->worker, err);
    if (rc != SC_OK)
        return rc;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    thread->worker.heavy = mark_heavy;
    thread->worker.heavy_context = thread;
    int failed = pthread_create(&thread->id, &attr, run, thread);
    pthread_attr_destroy(&attr);
    if (failed) {
        sc_worker_close(&thread->worker);
        return sc_error_errno(err, failed, "start a worker thread");
    }
    workers->count++;
    return SC_OK;
}

enum sc_rc sc_workers_start(const struct sc_worker_config *config, struct sc_slice domain,
                            struct sc_workers **ret_workers, struct sc_error *err)
{
    SC_ASSERT(config->threads > 0 && config->threads <= THREADS_MOST);
    struct sc_workers *workers = sc_calloc(1, sizeof *workers);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    workers->config = config;
    workers->lookers = sc_lookers_new(config->prober, config->path, looked, workers);
    workers->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum sc_rc rc = workers->done_fd < 0 ? sc_error_errno(err, errno, "make an event descriptor") : SC_OK;
    for (uint32_t i = 0; rc == SC_OK && i < config->threads; i++)
        rc = start_thread(workers, config, domain, err);
    if (rc != SC_OK) {
        sc_workers_stop(workers);
        return rc;
    }
    *ret_workers = workers;
    return SC_OK;
}

// What nobody will come for. Tasks belong to the agent, which frees them itself.
static void drop_jobs(struct sc_jobs *queue)
{
    for (struct sc_agent_job *job; (job = sc_jobs_pop(queue));) {
        if (job->kind == SC_JOB_UNPIN) {
            sc_pins_free((struct sc_pins *)job);
        } else if (job->kind == SC_JOB_PROBE) {
            struct sc_probe_job *probe = (struct sc_probe_job *)job;
            sc_arena_done(&probe->arena);
            sc_agent_batch_unref(probe->batch);
            free(probe);
        }
    }
}

void sc_workers_stop(struct sc_workers *workers)
{
    if (!workers)
        return;
    sc_lookers_stop(workers->lookers);
    pthread_mutex_lock(&workers->lock);
    workers->shared_stop = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    for (uint32_t i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i].id, NULL);
    for (uint32_t i = 0; i < workers->count; i++) {
        drop_jobs(&workers->threads[i].own);
        sc_worker_close(&workers->threads[i].worker);
    }
    struct sc_jobs unlooked = sc_lookers_free(workers->lookers);
    drop_jobs(&unlooked);
    drop_jobs(&workers->shared_jobs);
    drop_jobs(&workers->shared_done);
    if (workers->done_fd >= 0)
        close(workers->done_fd);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

int sc_workers_fd(const struct sc_workers *workers)
{
    return workers->done_fd;
}

void sc_workers_give(struct sc_workers *workers, struct sc_agent_job *job)
{
    pthread_mutex_lock(&workers->lock);
    sc_jobs_push(&workers->shared_jobs, job);
    wake_one(workers);
    pthread_mutex_unlock(&workers->lock);
}

void sc_workers_give_to(struct sc_workers *workers, uint32_t index, struct sc_agent_job *job)
{
    SC_ASSERT(index < workers->count);
    pthread_mutex_lock(&workers->lock);
    sc_jobs_push(&workers->threads[index].own, job);
    pthread_cond_broadcast(&workers->work); // it must be that one
    pthread_mutex_unlock(&workers->lock);
}

int64_t sc_workers_looking_since(struct sc_workers *workers, const struct sc_agent_job *job)
{
    return sc_lookers_since(workers->lookers, job);
}

void sc_workers_give_up(struct sc_workers *workers, struct sc_agent_job *job, int64_t patience_ms)
{
    sc_lookers_give_up(workers->lookers, job, patience_ms);
}

struct sc_agent_job *sc_workers_done(struct sc_workers *workers)
{
    uint64_t count;
    if (read(workers->done_fd, &count, sizeof count) < 0)
        SC_ASSERT(errno == EAGAIN);
    pthread_mutex_lock(&workers->lock);
    struct sc_agent_job *first = workers->shared_done.first;
    workers->shared_done = (struct sc_jobs){0};
    pthread_mutex_unlock(&workers->lock);
    return first;
}
