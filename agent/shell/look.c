#include "agent/shell/look.h"

#include "base/memory.h"
#include "base/os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

enum {
    LOOKERS_MOST = 64, // questions that are asked at once; more wait for one of them
    STACK_BYTES = 1 << 20,
    AGE_US = 1000000, // of a look that serves before a start, since it is looked at again after the end
};

// ---- a look

static bool is_task(const struct sc_agent_job *job)
{
    return job->kind == SC_JOB_PREPARE || job->kind == SC_JOB_TAKE;
}

static bool needs_look(const struct sc_agent_job *job)
{
    if (job->kind == SC_JOB_PROBE)
        return ((const struct sc_probe_job *)job)->probe->kind != SC_PROBE_FILE;
    if (!is_task(job))
        return false;
    const struct sc_agent_task *task = (const struct sc_agent_task *)job;
    const struct sc_assignment *a = task->assignment;
    return !sc_digest_is_zero(&a->environment) && a->probe.kind != SC_PROBE_FILE &&
           (job->kind == SC_JOB_PREPARE || task->outcome == SC_OUTCOME_OK);
}

static const struct sc_msg_probe *probe_of(const struct sc_agent_job *job)
{
    return job->kind == SC_JOB_PROBE ? ((const struct sc_probe_job *)job)->probe
                                     : &((const struct sc_agent_task *)job)->assignment->probe;
}

static struct sc_slice path_of(const struct sc_agent_job *job, struct sc_slice default_path)
{
    const struct sc_msg_probe *probe = probe_of(job);
    return probe->path.len ? probe->path : default_path;
}

// The environment of this machine could not be told, or is another.
static void fail_task(struct sc_agent_task *task, enum sc_rc rc, const struct sc_error *err)
{
    const char *why = err->message, *hint = err->hint;
    if (rc == SC_INTERRUPTED)
        sc_agent_task_fail(
            task, SC_OUTCOME_AGENT_LOST,
            "step " SC_SLICE_FMT
            ": the agent left while it looked whether the environment of this machine is still the same",
            SC_SLICE_ARG(task->assignment->step));
    else
        sc_agent_task_fail(
            task, SC_OUTCOME_ENVIRONMENT,
            "step " SC_SLICE_FMT
            ": the environment of this machine is not the one that its key was built with%s%s%s%s",
            SC_SLICE_ARG(task->assignment->step), why[0] ? ": " : "", why, hint[0] ? "; " : "", hint);
}

static void fail_job(struct sc_agent_job *job, enum sc_rc rc, const struct sc_error *err)
{
    if (is_task(job))
        fail_task((struct sc_agent_task *)job, rc, err);
    else
        sc_probe_job_fail((struct sc_probe_job *)job, err);
}

static enum sc_rc look_for_task(struct sc_prober *prober, struct sc_slice path, struct sc_agent_task *task,
                                int stop_fd, struct sc_error *err)
{
    const struct sc_assignment *a = task->assignment;
    struct sc_held held = {
        .probe = &a->probe,
        .path = path,
        .environment = &a->environment,
        .seen = &task->environment_seen,
        .since_us = task->job.kind == SC_JOB_TAKE ? task->ended_us : task->job.asked_us - AGE_US,
        .asked_us = task->job.asked_us,
    };
    bool holds = false;
    SC_AUTO_FREE char *changed = NULL;
    held.changed = &changed;
    enum sc_rc rc = sc_prober_holds(prober, &held, stop_fd, &holds, err);
    if (rc == SC_OK && !holds) {
        struct sc_error why = SC_ERROR_INIT;
        if (changed)
            snprintf(why.message, sizeof why.message, "%s changed", changed);
        fail_task(task, rc, &why);
    }
    return rc;
}

static enum sc_rc answer(struct sc_prober *prober, struct sc_slice path, struct sc_probe_job *job,
                         int stop_fd, struct sc_error *err)
{
    const struct sc_msg_probe *probe = job->probe;
    job->probed.probe = probe->probe;
    job->probed.kind = probe->kind;
    if (probe->kind == SC_PROBE_COMMANDS)
        return sc_prober_commands(prober, path, &probe->commands, stop_fd, &job->arena, &job->probed.commands,
                                  err);
    job->probed.class_.path = path;
    job->probed.class_.gpu = probe->gpu;
    return sc_prober_class(prober, path, probe->gpu, stop_fd, &job->arena, &job->probed.class_, err);
}

bool sc_look(struct sc_prober *prober, struct sc_slice default_path, struct sc_agent_job *job, int stop_fd)
{
    if (job->kind == SC_JOB_PREPARE)
        ((struct sc_agent_task *)job)->outcome = SC_OUTCOME_OK;
    if (!needs_look(job))
        return true;
    if (stop_fd == SC_PROBER_QUICK)
        job->asked_us = sc_clock_mono_us();
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice path = path_of(job, default_path);
    enum sc_rc rc = is_task(job) ? look_for_task(prober, path, (struct sc_agent_task *)job, stop_fd, &err)
                                 : answer(prober, path, (struct sc_probe_job *)job, stop_fd, &err);
    if (rc == SC_BUSY)
        return false;
    if (rc != SC_OK)
        fail_job(job, rc, &err);
    return true;
}

// ---- lookers

struct looker { // a question, and the thread that asks it; in the list while that runs
    struct sc_lookers *lookers;
    struct sc_digest question;
    struct sc_jobs jobs;
    const struct sc_agent_job *current;
    int stop_fd;
    struct looker *prev, *next;
};

struct sc_lookers {
    struct sc_prober *prober;
    struct sc_slice default_path;
    void (*back)(void *context, struct sc_agent_job *job);
    void *context;
    pthread_mutex_t lock; // of all below and of what it holds
    pthread_cond_t ended;
    struct looker *list;
    uint32_t count;
    struct sc_jobs waiting; // for a looker
    bool stopped;
};

static void end_current(const struct looker *looker)
{
    uint64_t one = 1;
    if (write(looker->stop_fd, &one, sizeof one) < 0)
        SC_ASSERT(errno == EAGAIN); // it is readable anyway
}

static struct sc_digest question_of(const struct sc_lookers *lookers, const struct sc_agent_job *job)
{
    return sc_prober_question(probe_of(job), path_of(job, lookers->default_path));
}

// Under the lock. Those that ask the same stay together: a question has one looker.
static void adopt_waiting(struct looker *looker)
{
    struct sc_lookers *lookers = looker->lookers;
    struct sc_jobs rest = {0};
    if (!lookers->waiting.count)
        return;
    looker->question = question_of(lookers, lookers->waiting.first);
    for (struct sc_agent_job *job; (job = sc_jobs_pop(&lookers->waiting));) {
        struct sc_digest question = question_of(lookers, job);
        sc_jobs_push(sc_digest_eq(&question, &looker->question) ? &looker->jobs : &rest, job);
    }
    lookers->waiting = rest;
}

// The next job; NULL: there is none, and the looker is no more.
static struct sc_agent_job *next_job(struct looker *looker)
{
    struct sc_lookers *lookers = looker->lookers;
    struct sc_agent_job *job = NULL;
    uint64_t count;
    pthread_mutex_lock(&lookers->lock);
    looker->current = NULL;
    if (!lookers->stopped) {
        if (read(looker->stop_fd, &count, sizeof count) < 0) // it was of the one before
            SC_ASSERT(errno == EAGAIN);
        if (!looker->jobs.count)
            adopt_waiting(looker);
        looker->current = job = sc_jobs_pop(&looker->jobs);
    }
    if (!job) {
        while (looker->jobs.count)
            sc_jobs_push(&lookers->waiting, sc_jobs_pop(&looker->jobs));
        DL_DELETE(lookers->list, looker);
        close(looker->stop_fd);
        free(looker);
        if (--lookers->count == 0)
            pthread_cond_signal(&lookers->ended);
    }
    pthread_mutex_unlock(&lookers->lock);
    return job;
}

static void *run(void *context)
{
    struct looker *looker = context;
    struct sc_lookers *lookers = looker->lookers;
    pthread_setname_np(pthread_self(), "looker");
    for (struct sc_agent_job *job; (job = next_job(looker));) {
        SC_ASSERT(sc_look(lookers->prober, lookers->default_path, job, looker->stop_fd));
        lookers->back(lookers->context, job);
    }
    return NULL;
}

static enum sc_rc start_thread(struct looker *looker, struct sc_error *err)
{
    pthread_t id;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&id, &attr, run, looker);
    pthread_attr_destroy(&attr);
    return failed ? sc_error_errno(err, failed, "start a thread that looks at the environment") : SC_OK;
}

// Under the lock.
static enum sc_rc start_looker(struct sc_lookers *lookers, const struct sc_digest *question,
                               struct sc_agent_job *job, struct sc_error *err)
{
    int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0)
        return sc_error_errno(err, errno, "make an event descriptor");
    struct looker *looker = sc_calloc(1, sizeof *looker);
    *looker = (struct looker){.lookers = lookers, .question = *question, .stop_fd = stop_fd};
    enum sc_rc rc = start_thread(looker, err); // it waits for the lock
    if (rc != SC_OK) {
        close(stop_fd);
        free(looker);
        return rc;
    }
    sc_jobs_push(&looker->jobs, job);
    DL_APPEND(lookers->list, looker);
    lookers->count++;
    return SC_OK;
}

void sc_lookers_give(struct sc_lookers *lookers, struct sc_agent_job *job)
{
    struct sc_digest question = question_of(lookers, job);
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = SC_OK;
    struct looker *looker;
    job->looking_ms = sc_clock_mono_ms();
    pthread_mutex_lock(&lookers->lock);
    DL_FOREACH (lookers->list, looker)
        if (sc_digest_eq(&looker->question, &question))
            break;
    if (looker)
        sc_jobs_push(&looker->jobs, job);
    else if (lookers->stopped || lookers->count == LOOKERS_MOST)
        sc_jobs_push(&lookers->waiting, job);
    else
        rc = start_looker(lookers, &question, job, &err);
    pthread_mutex_unlock(&lookers->lock);
    if (rc == SC_OK)
        return;
    fail_job(job, rc, &err);
    lookers->back(lookers->context, job);
}

// Under the lock. The looker that has the job under way, and the queue that it waits in: one of them, or none.
static struct looker *find(struct sc_lookers *lookers, const struct sc_agent_job *job,
                           struct sc_jobs **ret_jobs)
{
    struct looker *looker;
    *ret_jobs = sc_jobs_has(&lookers->waiting, job) ? &lookers->waiting : NULL;
    DL_FOREACH (lookers->list, looker) {
        if (looker->current == job)
            return looker;
        if (sc_jobs_has(&looker->jobs, job))
            *ret_jobs = &looker->jobs;
    }
    return NULL;
}

int64_t sc_lookers_since(struct sc_lookers *lookers, const struct sc_agent_job *job)
{
    struct sc_jobs *jobs;
    pthread_mutex_lock(&lookers->lock);
    bool has = find(lookers, job, &jobs) || jobs;
    int64_t since = has ? job->looking_ms : 0;
    pthread_mutex_unlock(&lookers->lock);
    return since;
}

void sc_lookers_give_up(struct sc_lookers *lookers, struct sc_agent_job *job, int64_t patience_ms)
{
    struct sc_jobs *jobs = NULL;
    pthread_mutex_lock(&lookers->lock);
    struct looker *looker = find(lookers, job, &jobs);
    if ((looker || jobs) && sc_clock_mono_ms() - job->looking_ms < patience_ms)
        looker = NULL, jobs = NULL;
    if (looker)
        end_current(looker);
    if (jobs)
        sc_jobs_remove(jobs, job);
    pthread_mutex_unlock(&lookers->lock);
    if (!jobs)
        return;
    struct sc_error err = SC_ERROR_INIT;
    fail_job(job, sc_error_set(&err, SC_INTERRUPTED, "it was not waited for any more"), &err);
    lookers->back(lookers->context, job);
}

// ---- life

struct sc_lookers *sc_lookers_new(struct sc_prober *prober, struct sc_slice default_path,
                                  void (*back)(void *context, struct sc_agent_job *job), void *context)
{
    struct sc_lookers *lookers = sc_calloc(1, sizeof *lookers);
    *lookers =
        (struct sc_lookers){.prober = prober, .default_path = default_path, .back = back, .context = context};
    pthread_mutex_init(&lookers->lock, NULL);
    pthread_cond_init(&lookers->ended, NULL);
    return lookers;
}

void sc_lookers_stop(struct sc_lookers *lookers)
{
    struct looker *looker;
    pthread_mutex_lock(&lookers->lock);
    lookers->stopped = true;
    DL_FOREACH (lookers->list, looker)
        end_current(looker);
    while (lookers->count)
        pthread_cond_wait(&lookers->ended, &lookers->lock);
    pthread_mutex_unlock(&lookers->lock);
}

struct sc_jobs sc_lookers_free(struct sc_lookers *lookers)
{
    struct sc_jobs left = lookers->waiting;
    pthread_cond_destroy(&lookers->ended);
    pthread_mutex_destroy(&lookers->lock);
    free(lookers);
    return left;
}
