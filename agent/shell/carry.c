#include "agent/shell/agent_state.h"

#include "agent/shell/keeper.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

static void close_both(int fds[2])
{
    sc_fd_close(fds[0]);
    sc_fd_close(fds[1]);
}

// The one place where a step leaves the agent's hands; the events EXITED, NOT_STARTED and WITHDRAWN bring it back.
static void launch(struct sc_agent *agent, struct sc_agent_task *task, uint64_t after)
{
    struct sc_error err = SC_ERROR_INIT;
    int fds[2];
    task->label = sc_keeper_label(task->assignment, &task->arena);
    task->started_ms = task->ended_ms = sc_clock_wall_ms();
    task->launch.after = after;
    enum sc_rc rc = sc_attempt_logs_open(&task->logs, fds, &err);
    if (rc == SC_OK) {
        rc = sc_runner_launch(agent->runner, &task->launch, fds[0], fds[1], &err);
        close_both(fds);
    }
    task->launched = rc == SC_OK;
    if (rc == SC_OK || rc == SC_CLOSED) // closed: the loop sees that the runner is gone
        return;
    sc_agent_task_fail(task, SC_OUTCOME_START, "step " SC_SLICE_FMT " could not be started: %s",
                       SC_SLICE_ARG(task->assignment->step), err.message);
    sc_agent_later(agent, SC_AGENT_NOT_STARTED, task->attempt);
}

// Most steps are short, and print little: what is in the pipe at their end is all. Watching costs two calls and two
// wakeups a step, so it begins when the runner says that the step stays; until then a pipe holds what it holds.
void sc_agent_watch_pipes(struct sc_agent *agent, struct sc_agent_task *task)
{
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &task->sources[i]};
        if (epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, task->logs.streams[i].pipe_fd, &event))
            sc_log(SC_LOG_WARN, "attempt=%llu ignoring that its output is read only at its end: %s",
                   (unsigned long long)task->attempt, strerror(errno));
    }
}

void sc_agent_finish_logs(struct sc_agent *agent, struct sc_agent_task *task)
{
    if (task->finished)
        return;
    task->finished = true;
    sc_attempt_logs_finish(&task->logs, agent->place.logs, task->label);
}

static void take(struct sc_agent *agent, struct sc_agent_task *task, enum sc_outcome outcome)
{
    if (task->failure.len && outcome != task->outcome)
        task->failure = sc_slice(NULL, 0); // something else came first
    task->outcome = outcome;
    sc_agent_finish_logs(agent, task);
    if (task->started_ms == 0)
        task->started_ms = task->ended_ms = sc_clock_wall_ms();
    task->sandbox = agent->worker_config.sandbox;
    task->job.kind = SC_JOB_TAKE;
    sc_workers_give(agent->workers, &task->job);
}

static void release(struct sc_agent *agent, struct sc_agent_task *task)
{
    sc_agent_forget_listener(agent, task);
    HASH_DELETE(hh, agent->tasks, task);
    task->next_dead = agent->dead;
    agent->dead = task;
}

void sc_agent_bury(struct sc_agent *agent)
{
    while (agent->dead) {
        struct sc_agent_task *task = agent->dead;
        agent->dead = task->next_dead;
        sc_agent_task_free(task);
    }
}

void sc_agent_carry(struct sc_agent *agent, const struct sc_agent_effect *effect)
{
    struct sc_agent_task *task = effect->attempt ? sc_agent_find(agent, effect->attempt) : NULL;
    switch (effect->kind) {
    case SC_AGENT_SAY_HELLO:
    case SC_AGENT_SAY_RENEW:
    case SC_AGENT_SAY_ACCEPTED:
    case SC_AGENT_SAY_REJECTED:
    case SC_AGENT_SAY_PROGRESS:
    case SC_AGENT_SAY_REPORTED:
    case SC_AGENT_SAY_ENDED:
        sc_agent_speak(agent, effect);
        return;
    case SC_AGENT_PREPARE:
    case SC_AGENT_CLEAN:
        task->job.kind = effect->kind == SC_AGENT_PREPARE ? SC_JOB_PREPARE : SC_JOB_CLEAN;
        sc_workers_give(agent->workers, &task->job);
        return;
    case SC_AGENT_GIVE_UP:
        sc_workers_give_up(agent->workers, &task->job, effect->patience_ms);
        return;
    case SC_AGENT_LAUNCH:
        launch(agent, task, effect->after);
        return;
    case SC_AGENT_GO:
        if (sc_runner_go(agent->runner, task->attempt, NULL) != SC_OK)
            sc_log(SC_LOG_WARN, "attempt=%llu ignoring that its start was not sent: the runner is gone",
                   (unsigned long long)task->attempt);
        return;
    case SC_AGENT_SIGNAL:
        if (task->launched && sc_runner_signal(agent->runner, task->attempt, effect->signal, NULL) != SC_OK)
            sc_log(SC_LOG_WARN, "attempt=%llu ignoring that signal %d was not sent: the runner is gone",
                   (unsigned long long)task->attempt, effect->signal);
        return;
    case SC_AGENT_TAKE:
        take(agent, task, effect->outcome);
        return;
    case SC_AGENT_RELEASE:
        if (task)
            release(agent, task);
        return;
    case SC_AGENT_LEAVE:
        sc_log(SC_LOG_INFO, "leaving: " SC_SLICE_FMT, SC_SLICE_ARG(effect->text));
        sc_agent_speak(agent, effect);
        agent->leaving = true;
        return;
    case SC_AGENT_TRACE:
        sc_log(SC_LOG_DEBUG, "core: " SC_SLICE_FMT, SC_SLICE_ARG(effect->text));
        return;
    }
    SC_ASSERT(false);
}
