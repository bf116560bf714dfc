#include "agent/shell/task.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

void sc_agent_batch_unref(struct sc_agent_batch *batch)
{
    if (!batch || --batch->refs > 0)
        return;
    sc_arena_done(&batch->arena);
    free(batch);
}

void sc_jobs_push(struct sc_jobs *jobs, struct sc_agent_job *job)
{
    job->next = NULL;
    if (jobs->last)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
    jobs->count++;
}

struct sc_agent_job *sc_jobs_pop(struct sc_jobs *jobs)
{
    struct sc_agent_job *job = jobs->first;
    if (job)
        sc_jobs_remove(jobs, job);
    return job;
}

bool sc_jobs_has(const struct sc_jobs *jobs, const struct sc_agent_job *job)
{
    const struct sc_agent_job *at = jobs->first;
    while (at && at != job)
        at = at->next;
    return at != NULL;
}

void sc_jobs_remove(struct sc_jobs *jobs, struct sc_agent_job *job)
{
    struct sc_agent_job **at = &jobs->first, *before = NULL;
    for (; *at != job; at = &before->next)
        before = *at;
    *at = job->next;
    if (jobs->last == job)
        jobs->last = before;
    job->next = NULL;
    jobs->count--;
}

struct sc_agent_task *sc_agent_task_new(struct sc_agent_batch *batch, const struct sc_assignment *assignment)
{
    struct sc_agent_task *task = sc_calloc(1, sizeof *task);
    task->attempt = assignment->attempt;
    task->batch = batch;
    batch->refs++;
    task->assignment = assignment;
    sc_arena_init(&task->arena);
    sc_attempt_logs_init(&task->logs, assignment->attempt);
    for (int i = 0; i < 2; i++)
        task->sources[i] = (struct sc_log_source){task, (enum sc_stream)i};
    return task;
}

void sc_pins_free(struct sc_pins *pins)
{
    if (!pins)
        return;
    sc_arena_done(&pins->arena);
    free(pins);
}

void sc_agent_task_free(struct sc_agent_task *task)
{
    if (!task)
        return;
    sc_pins_free(task->pins);
    sc_attempt_logs_done(&task->logs);
    sc_arena_done(&task->arena);
    sc_agent_batch_unref(task->batch);
    free(task);
}

void sc_agent_task_fail(struct sc_agent_task *task, enum sc_outcome outcome, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    SC_ASSERT(len >= 0);
    task->outcome = outcome;
    size_t used = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    task->failure = sc_arena_copy(&task->arena, sc_slice(text, used));
}

enum sc_outcome sc_agent_outcome_of(enum sc_rc rc, enum sc_outcome otherwise)
{
    if (rc == SC_FULL)
        return SC_OUTCOME_DISK_FULL;
    return rc == SC_CANCELLED ? SC_OUTCOME_CANCELLED : otherwise;
}
