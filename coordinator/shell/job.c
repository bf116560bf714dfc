#include "coordinator/shell/job.h"

#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct sc_job *sc_job_new(enum sc_job_kind kind)
{
    struct sc_job *job = sc_calloc(1, sizeof *job);
    job->kind = kind;
    sc_arena_init(&job->arena);
    if (kind == SC_JOB_CLOSE_OUT)
        sc_buf_init(&job->u.close_out.events, 0);
    return job;
}

void sc_job_free(struct sc_job *job)
{
    if (!job)
        return;
    if (job->kind == SC_JOB_CLOSE_OUT)
        sc_buf_done(&job->u.close_out.events);
    if (job->kind == SC_JOB_LOAD_PLAN && job->u.load_plan.plan)
        sc_loaded_plan_free(job->u.load_plan.plan);
    sc_arena_done(&job->arena);
    free(job);
}

void sc_job_run_name(struct sc_job_run *row, const struct sc_plan *plan)
{
    row->namespace_ = plan->namespace_;
    row->pipeline = plan->name;
    row->steps = 0;
    for (uint32_t i = 0; i < plan->steps.count; i++)
        row->steps += sc_plan_instances(&plan->steps.items[i]);
}

struct sc_mailbox {
    int fd; // -1: none
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct sc_job *shared_head, **shared_tail;
    bool shared_closed;
};

struct sc_mailbox *sc_mailbox_new(bool with_fd)
{
    struct sc_mailbox *box = sc_calloc(1, sizeof *box);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&box->lock, NULL);
    pthread_cond_init(&box->filled, &attr);
    pthread_condattr_destroy(&attr);
    box->fd = with_fd ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    SC_ASSERT(!with_fd || box->fd >= 0);
    box->shared_tail = &box->shared_head;
    return box;
}

void sc_mailbox_free(struct sc_mailbox *box)
{
    if (!box)
        return;
    for (struct sc_job *job = box->shared_head, *next; job; job = next) {
        next = job->next;
        sc_job_free(job);
    }
    if (box->fd >= 0)
        close(box->fd);
    pthread_cond_destroy(&box->filled);
    pthread_mutex_destroy(&box->lock);
    free(box);
}

int sc_mailbox_fd(const struct sc_mailbox *box)
{
    return box->fd;
}

static void ring(const struct sc_mailbox *box)
{
    uint64_t one = 1;
    if (box->fd >= 0 && write(box->fd, &one, sizeof one) < 0)
        return; // the counter is full: it rings already
}

void sc_mailbox_send(struct sc_mailbox *box, struct sc_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&box->lock);
    bool first = box->shared_head == NULL;
    *box->shared_tail = job;
    box->shared_tail = &job->next;
    pthread_mutex_unlock(&box->lock);
    if (!first)
        return;
    if (box->fd >= 0)
        ring(box);
    else
        pthread_cond_signal(&box->filled);
}

static struct timespec after_ms(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

struct sc_job *sc_mailbox_take(struct sc_mailbox *box, int wait_ms)
{
    struct timespec until = wait_ms > 0 ? after_ms(wait_ms) : (struct timespec){0, 0};
    uint64_t rung;
    if (box->fd >= 0 && wait_ms == 0 && read(box->fd, &rung, sizeof rung) < 0 && errno != EAGAIN)
        SC_ASSERT(false);
    pthread_mutex_lock(&box->lock);
    while (!box->shared_head && !box->shared_closed && wait_ms != 0) {
        if (wait_ms < 0)
            pthread_cond_wait(&box->filled, &box->lock);
        else if (pthread_cond_timedwait(&box->filled, &box->lock, &until) == ETIMEDOUT)
            break;
    }
    struct sc_job *head = box->shared_head;
    box->shared_head = NULL;
    box->shared_tail = &box->shared_head;
    pthread_mutex_unlock(&box->lock);
    return head;
}

void sc_mailbox_close(struct sc_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->shared_closed = true;
    pthread_mutex_unlock(&box->lock);
    pthread_cond_broadcast(&box->filled);
    ring(box);
}

bool sc_mailbox_closed(struct sc_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    bool closed = box->shared_closed;
    pthread_mutex_unlock(&box->lock);
    return closed;
}

void sc_mailbox_pause(struct sc_mailbox *box, int64_t ms)
{
    struct timespec until = after_ms(ms);
    pthread_mutex_lock(&box->lock);
    while (!box->shared_closed && pthread_cond_timedwait(&box->filled, &box->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&box->lock);
}
