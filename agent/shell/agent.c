#include "agent/shell/agent.h"

#include "agent/shell/agent_state.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/os/child.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/log.h"
#include "proto/places.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

enum {
    WORKERS = 3, // one of them takes the probes, too
    EVENTS = 64,
    PUMP_BYTES = 256 << 10, // of one stream in one turn
    RENEW_MS = 3000,
    BACKLOG = 4096,
    PROBES_MOST = 1000,
    PROBE_TIMEOUT_MS = 60 * 1000,
    RUNNER_STARTS_MOST = 5, // within a minute: then something is wrong with the machine
    LOCK_POLL_MS = 10,
};

// Steps the core with the event, and with those that carrying out its effects brings up.
static void feed(struct sc_agent *agent, struct sc_agent_event event)
{
    for (uint32_t next = 0;; event = agent->pending[next++]) {
        event.mono_ms = sc_clock_mono_ms();
        const struct sc_agent_effects *effects = sc_agent_core_step(agent->core, &event);
        for (uint32_t i = 0; i < effects->count; i++)
            sc_agent_carry(agent, &effects->items[i]);
        if (next == agent->pending_count)
            break;
    }
    agent->pending_count = 0;
}

static void simple_event(struct sc_agent *agent, enum sc_agent_event_kind kind, uint64_t attempt)
{
    feed(agent, (struct sc_agent_event){.kind = kind, .attempt = attempt});
}

// ---- from the coordinator

static void on_assign(struct sc_agent *agent, struct sc_agent_batch *batch,
                      const struct sc_msg_assign *assign)
{
    for (uint32_t i = 0; i < assign->assignments.count; i++) {
        const struct sc_assignment *assignment = &assign->assignments.items[i];
        if (sc_agent_find(agent, assignment->attempt))
            continue;
        struct sc_agent_task *task = sc_agent_task_new(batch, assignment);
        task->logs.listened = assignment->listened;
        agent->listened += assignment->listened;
        HASH_ADD(hh, agent->tasks, attempt, sizeof task->attempt, task);
    }
    feed(agent, (struct sc_agent_event){.kind = SC_AGENT_ASSIGN, .u.assign = assign});
}

static void on_probe(struct sc_agent *agent, struct sc_agent_batch *batch, const struct sc_msg_probe *probe)
{
    if (agent->probes >= PROBES_MOST) {
        struct sc_msg_probed probed = {
            .probe = probe->probe,
            .kind = probe->kind,
            .failed = true,
            .message = sc_slice_str("the agent has too many probes to answer; try again")};
        sc_agent_say_probed(agent, &probed);
    } else {
        struct sc_probe_job *job = sc_calloc(1, sizeof *job);
        job->job.kind = SC_JOB_PROBE;
        job->batch = batch;
        batch->refs++;
        job->probe = probe;
        sc_arena_init(&job->arena);
        job->since_ms = sc_clock_mono_ms();
        DL_APPEND(agent->asked, job);
        agent->probes++;
        sc_workers_give_to(agent->workers, WORKERS - 1, &job->job);
    }
    simple_event(agent, SC_AGENT_HEARD, 0);
}

static void on_welcome(struct sc_agent *agent, const struct sc_msg_welcome *welcome)
{
    if (!sc_slice_eq(welcome->domain, agent->config->domain)) {
        enum sc_rc rc = sc_error_set(agent->err, SC_INVALID,
                                     "the coordinator's domain is " SC_SLICE_FMT
                                     ", this agent's is " SC_SLICE_FMT "; set `domain` in its configuration",
                                     SC_SLICE_ARG(welcome->domain), SC_SLICE_ARG(agent->config->domain));
        sc_agent_fatal(agent, rc);
        return;
    }
    feed(agent, (struct sc_agent_event){.kind = SC_AGENT_WELCOME, .u.welcome = welcome});
}

static void on_message(struct sc_agent *agent, struct sc_agent_batch *batch)
{
    const struct sc_message *message = &batch->message;
    switch ((int)message->type) { // other peers' messages are none of an agent's
    case SC_MESSAGE_WELCOME:
        on_welcome(agent, &message->body.welcome);
        return;
    case SC_MESSAGE_ASSIGN:
        on_assign(agent, batch, &message->body.assign);
        return;
    case SC_MESSAGE_PROBE:
        on_probe(agent, batch, &message->body.probe);
        return;
    case SC_MESSAGE_REVOKE:
        feed(agent, (struct sc_agent_event){.kind = SC_AGENT_REVOKE, .u.revoke = &message->body.revoke});
        return;
    case SC_MESSAGE_LISTEN:
        sc_agent_listen(agent, &message->body.listen);
        simple_event(agent, SC_AGENT_HEARD, 0);
        return;
    case SC_MESSAGE_DRAIN:
        feed(agent, (struct sc_agent_event){.kind = SC_AGENT_DRAIN, .u.drain = &message->body.drain});
        return;
    case SC_MESSAGE_ERROR:
        sc_log(SC_LOG_DEBUG, "the coordinator says: " SC_SLICE_FMT,
               SC_SLICE_ARG(message->body.error.message));
        simple_event(agent, SC_AGENT_STRANGER, 0);
        return;
    default:
        sc_log(SC_LOG_WARN, "ignoring a %s message: it is not for agents",
               sc_message_type_name(message->type));
    }
}

static void drain_bus(struct sc_agent *agent)
{
    for (bool first = true; !agent->leaving; first = false) {
        struct sc_agent_batch *batch = sc_calloc(1, sizeof *batch);
        batch->refs = 1;
        sc_arena_init(&batch->arena);
        struct sc_peer_id peer;
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc = sc_bus_receive(agent->bus, SC_LIMIT_MESSAGE_AGENT_BYTES, &batch->arena, &peer,
                                       &batch->message, &err);
        if (rc == SC_OK)
            on_message(agent, batch);
        else if (rc != SC_NOT_FOUND)
            sc_log(SC_LOG_WARN, "ignoring what came from the coordinator: %s", err.message);
        sc_agent_batch_unref(batch);
        if (rc == SC_NOT_FOUND && first) // it was readable since there is room again for what waits
            sc_bus_flush(agent->bus);
        if (rc != SC_OK)
            return;
    }
}

// ---- from the runner

static enum sc_rc start_workers(struct sc_agent *agent, const struct sc_runner_capabilities *capabilities)
{
    bool contains = capabilities->assurance == SC_RUNNER_ASSURANCE_NAMESPACES;
    struct sc_slice sandbox = sc_slice_str(contains ? "namespaces" : "none");
    if (capabilities->reason.len)
        sc_log(SC_LOG_WARN, "steps are contained less than they could be: " SC_SLICE_FMT,
               SC_SLICE_ARG(capabilities->reason));
    agent->worker_config.sandbox = sandbox;
    if (agent->workers)
        return SC_OK; // a second runner on the same machine
    agent->worker_config.binds_inputs = capabilities->binds_inputs;
    enum sc_rc rc =
        sc_workers_start(&agent->worker_config, agent->config->domain, &agent->workers, agent->err);
    if (rc != SC_OK)
        return rc;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &agent->workers};
    if (epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, sc_workers_fd(agent->workers), &event))
        return sc_error_errno(agent->err, errno, "watch the workers");
    simple_event(agent, SC_AGENT_START, 0);
    return SC_OK;
}

static void on_ended(struct sc_agent *agent, struct sc_agent_task *task, const struct sc_runner_event *ended)
{
    task->exit_code = ended->exit_code;
    task->signal = ended->signal;
    task->cpu_us = ended->cpu_us;
    task->max_rss_bytes = ended->max_rss_bytes;
    task->started_ms = ended->started_ms ? ended->started_ms : task->started_ms;
    task->ended_ms = ended->ended_ms ? ended->ended_ms : sc_clock_wall_ms();
    task->ended_us = sc_clock_mono_us();
    sc_agent_finish_logs(agent, task);
    feed(agent, (struct sc_agent_event){.kind = SC_AGENT_EXITED,
                                        .attempt = task->attempt,
                                        .u.exited = {ended->exit_code, ended->signal, ended->oom}});
}

static void on_runner_event(struct sc_agent *agent, const struct sc_runner_event *event)
{
    struct sc_agent_task *task = event->task ? sc_agent_find(agent, event->task) : NULL;
    switch (event->kind) {
    case SC_RUNNER_NOTHING:
        return;
    case SC_RUNNER_CAPABILITIES: {
        enum sc_rc rc = start_workers(agent, &event->capabilities);
        if (rc != SC_OK)
            sc_agent_fatal(agent, rc);
        return;
    }
    case SC_RUNNER_STARTED:
        if (!task)
            return;
        sc_agent_watch_pipes(agent, task);
        feed(agent, (struct sc_agent_event){.kind = SC_AGENT_STARTED,
                                            .attempt = task->attempt,
                                            .u.started_ms = event->started_mono_ms});
        return;
    case SC_RUNNER_ENDED:
        if (task)
            on_ended(agent, task, event);
        return;
    case SC_RUNNER_WITHDRAWN:
        if (task)
            simple_event(agent, SC_AGENT_WITHDRAWN, task->attempt);
        return;
    case SC_RUNNER_FAILED:
        if (!task)
            return;
        task->ended_ms = sc_clock_wall_ms();
        sc_agent_task_fail(
            task, SC_OUTCOME_START, "step " SC_SLICE_FMT " could not be started: " SC_SLICE_FMT "%s",
            SC_SLICE_ARG(task->assignment->step), SC_SLICE_ARG(event->text),
            event->sys_errno == ENOENT ? "; is it installed here, and on the step's PATH?" : "");
        simple_event(agent, SC_AGENT_NOT_STARTED, task->attempt);
        return;
    }
    SC_ASSERT(false);
}

static enum sc_rc start_runner(struct sc_agent *agent)
{
    int64_t now = sc_clock_mono_ms();
    if (now - agent->runner_start_ms > 60 * 1000)
        agent->runner_starts = 0;
    agent->runner_start_ms = now;
    if (agent->runner_starts++ >= RUNNER_STARTS_MOST)
        return sc_error_set(agent->err, SC_IO, "%s ended %d times within a minute; see what it says above",
                            agent->config->runner, RUNNER_STARTS_MOST);
    struct sc_slice hidden[SC_COUNT(agent->config->hidden) + 2];
    uint32_t count = 0;
    hidden[count++] = sc_slice_str(agent->place.root);
    if (agent->store_folder)
        hidden[count++] = sc_slice_str(agent->store_folder);
    for (size_t i = 0; i < SC_COUNT(agent->config->hidden) && agent->config->hidden[i]; i++) {
        struct stat st;
        if (stat(agent->config->hidden[i], &st) == 0 && S_ISDIR(st.st_mode))
            hidden[count++] = sc_slice_str(agent->config->hidden[i]);
    }
    struct sc_runner_config config = {.hidden = {hidden, count}};
    enum sc_rc rc = sc_runner_start(agent->config->runner, &config, &agent->runner, agent->err);
    if (rc != SC_OK)
        return rc;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &agent->runner};
    if (epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, sc_runner_fd(agent->runner), &event))
        return sc_error_errno(agent->err, errno, "watch the runner");
    return SC_OK;
}

static void lose_runner(struct sc_agent *agent, const struct sc_error *why)
{
    sc_log(SC_LOG_ERROR, "the runner is gone, and every step with it: %s", why->message);
    sc_runner_free(agent->runner);
    agent->runner = NULL;
    enum sc_rc rc = start_runner(agent);
    if (rc != SC_OK) {
        sc_agent_fatal(agent, rc);
        return;
    }
    simple_event(agent, SC_AGENT_RUNNER_LOST, 0);
}

static void drain_runner(struct sc_agent *agent)
{
    while (!agent->leaving) {
        struct sc_runner_event event;
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc = sc_runner_next(agent->runner, &event, &err);
        if (rc != SC_OK) {
            lose_runner(agent, &err);
            return;
        }
        if (event.kind == SC_RUNNER_NOTHING)
            return;
        on_runner_event(agent, &event);
    }
}

// ---- from workers and pipes

static void give_back_pins(struct sc_agent *agent, struct sc_agent_task *task)
{
    struct sc_pins *pins = SC_STEAL(task->pins);
    if (pins)
        sc_workers_give_to(agent->workers, pins->worker, &pins->job);
}

static void on_job(struct sc_agent *agent, struct sc_agent_job *job)
{
    struct sc_agent_task *task = (struct sc_agent_task *)job; // of the first three
    struct sc_probe_job *probe = (struct sc_probe_job *)job;
    switch (job->kind) {
    case SC_JOB_PREPARE:
        feed(agent, (struct sc_agent_event){
                        .kind = SC_AGENT_PREPARED, .attempt = task->attempt, .u.prepared = task->outcome});
        return;
    case SC_JOB_TAKE:
        give_back_pins(agent, task);
        feed(agent, (struct sc_agent_event){.kind = SC_AGENT_TAKEN,
                                            .attempt = task->attempt,
                                            .u.taken_bytes = sizeof *task + task->arena.total_bytes +
                                                             sc_attempt_logs_memory(&task->logs)});
        return;
    case SC_JOB_CLEAN:
        give_back_pins(agent, task);
        simple_event(agent, SC_AGENT_CLEANED, task->attempt);
        return;
    case SC_JOB_UNPIN:
        sc_pins_free((struct sc_pins *)job);
        return;
    case SC_JOB_PROBE:
        sc_agent_say_probed(agent, &probe->probed);
        DL_DELETE(agent->asked, probe);
        agent->probes--;
        sc_arena_done(&probe->arena);
        sc_agent_batch_unref(probe->batch);
        free(probe);
        return;
    }
    SC_ASSERT(false);
}

static void drain_workers(struct sc_agent *agent)
{
    struct sc_agent_job *next;
    for (struct sc_agent_job *job = sc_workers_done(agent->workers); job; job = next) {
        next = job->next;
        job->next = NULL;
        on_job(agent, job);
    }
}

static void on_pipe(struct sc_agent *agent, struct sc_log_source *source)
{
    struct sc_agent_task *task = source->task;
    if (!task->finished)
        sc_attempt_logs_pump(&task->logs, source->stream, agent->place.logs, task->label, PUMP_BYTES);
}

static void on_signal(struct sc_agent *agent)
{
    struct signalfd_siginfo info;
    while (read(agent->signal_fd, &info, sizeof info) == sizeof info) {
        sc_log(SC_LOG_INFO, "signal %u: leaving", info.ssi_signo);
        if (!agent->workers) // it has not even said hello
            agent->leaving = true;
        else
            simple_event(agent, SC_AGENT_STOP, 0);
    }
}

// ---- the loop

// The least wait that reaches the next deadline; epoll counts whole milliseconds.
static int wait_ms(struct sc_agent *agent)
{
    int soon = sc_agent_tell_listeners(agent), reading = sc_agent_tell_reading(agent);
    if (reading >= 0 && (soon < 0 || reading < soon))
        soon = reading;
    int64_t next = sc_agent_core_next_deadline(agent->core), look = sc_presence_next(&agent->presence);
    if (look < next)
        next = look;
    if (next == INT64_MAX)
        return soon;
    int64_t left = next - sc_clock_mono_ms();
    if (left < 0)
        left = 0;
    if (soon >= 0 && soon < left)
        return soon;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

// Renewals and leases are judged by the clock after what came is handled; pipes come before what may end their tasks.
static void turn(struct sc_agent *agent)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(agent->epoll_fd, events, EVENTS, wait_ms(agent));
    bool bus = false, runner = false, workers = false;
    for (int i = 0; i < count; i++) {
        void *what = events[i].data.ptr;
        if (what == &agent->bus)
            bus = true;
        else if (what == &agent->runner)
            runner = true;
        else if (what == &agent->workers)
            workers = true;
        else if (what == &agent->signal_fd)
            on_signal(agent);
        else
            on_pipe(agent, what);
    }
    if (runner)
        drain_runner(agent);
    if (workers)
        drain_workers(agent);
    if (bus)
        drain_bus(agent);
    bool welcomed = sc_agent_core_coordinator(agent->core).len > 0;
    if (sc_presence_is_gone(&agent->presence, sc_clock_mono_ms(), welcomed)) {
        agent->presence.lock = NULL; // once
        if (!agent->workers)         // it has not even said hello
            agent->leaving = true;
        else
            simple_event(agent, SC_AGENT_DESERTED, 0);
    }
    if (sc_agent_core_next_deadline(agent->core) <= sc_clock_mono_ms()) {
        simple_event(agent, SC_AGENT_DEADLINE, 0);
        sc_bus_flush(agent->bus);
    }
    sc_agent_bury(agent);
}

// ---- life

// For stepctl of another session, which finds the work folder locked. A link is made whole.
static void tell_endpoint(const struct sc_agent *agent)
{
    SC_AUTO_FREE char *link = sc_asprintf("%s/" SC_AGENT_ENDPOINT_LINK, agent->place.root);
    SC_AUTO_FREE char *temporary = sc_asprintf("%s.new", link);
    unlink(temporary);
    if (symlink(agent->config->endpoint, temporary) || rename(temporary, link))
        sc_log(SC_LOG_WARN, "ignoring that %s was not made: %s", link, strerror(errno));
}

static enum sc_rc open_workplace(struct sc_agent *agent)
{
    int64_t until = sc_clock_mono_ms() + agent->config->lock_wait_ms;
    enum sc_rc rc;
    for (;;) {
        rc = sc_workplace_open(agent->config->work, &agent->place, agent->err);
        if (rc != SC_BUSY || sc_clock_mono_ms() >= until)
            break;
        struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    if (rc != SC_OK)
        return rc;
    tell_endpoint(agent);
    rc = sc_file_refuse_network(agent->place.root, agent->err);
    struct sc_store *store = NULL;
    uint32_t found = 0;
    if (rc == SC_OK)
        rc = sc_store_open(agent->config->store, &store, agent->err);
    if (rc == SC_OK)
        rc = sc_workplace_clear(&agent->place, store, agent->config->domain, &found, agent->err);
    if (rc == SC_OK && sc_store_local_root(store))
        agent->store_folder = sc_strdup(sc_store_local_root(store));
    if (found)
        sc_log(SC_LOG_INFO, "cleared %u work folders of an earlier life", found);
    sc_store_close(store);
    return rc;
}

static enum sc_rc watch(struct sc_agent *agent, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return sc_error_errno(agent->err, errno, "watch a descriptor");
    return SC_OK;
}

static enum sc_rc dial(struct sc_agent *agent)
{
    if (getrandom(&agent->incarnation, sizeof agent->incarnation, 0) != sizeof agent->incarnation)
        return sc_error_errno(agent->err, errno, "get random bytes");
    char identity[32]; // of this life: a router may still know the last one's
    int len = snprintf(identity, sizeof identity, "agent-%016" PRIx64, agent->incarnation);
    enum sc_rc rc =
        sc_bus_dial(agent->config->endpoint, sc_slice(identity, (size_t)len), &agent->bus, agent->err);
    return rc == SC_OK ? watch(agent, sc_bus_fd(agent->bus), &agent->bus) : rc;
}

static enum sc_rc open_agent(struct sc_agent *agent)
{
    const struct sc_agent_config *c = agent->config;
    enum sc_rc rc = open_workplace(agent);
    if (rc != SC_OK)
        return rc;
    if (!sc_child_end_is_told())
        sc_log(SC_LOG_WARN, "pidfd_open is refused (%s): the end of a probe is noticed up to 10 ms late",
               strerror(errno));
    agent->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (agent->epoll_fd < 0)
        return sc_error_errno(agent->err, errno, "make an epoll descriptor");
    struct sc_prober_config prober = {
        .classes_path = agent->place.classes, .folder = agent->place.probe, .timeout_ms = PROBE_TIMEOUT_MS};
    agent->prober = sc_prober_new(&prober);
    agent->pinned = sc_pinned_open(agent->place.pinned, SC_LIMIT_PINNED_OBJECTS);
    agent->yard = sc_yard_new(agent->place.steps);
    agent->worker_config = (struct sc_worker_config){.place = &agent->place,
                                                     .yard = agent->yard,
                                                     .store_url = c->store,
                                                     .checksums = c->checksums,
                                                     .path = c->path,
                                                     .threads = WORKERS,
                                                     .layout_max_bytes = c->layout_max_bytes,
                                                     .prober = agent->prober,
                                                     .pinned = agent->pinned};
    struct sc_agent_core_config core = {.cpus_milli = c->cpus_milli,
                                        .gpus = c->gpus,
                                        .memory_bytes = c->memory_bytes,
                                        .backlog = BACKLOG,
                                        .prepare_ahead = 4 + c->cpus_milli / 500,
                                        .grace_ms = SC_LIMIT_GRACE_MS,
                                        .renew_ms = RENEW_MS,
                                        .trace = c->trace};
    agent->core = sc_agent_core_new(&core);
    rc = watch(agent, agent->signal_fd, &agent->signal_fd);
    if (rc == SC_OK)
        rc = dial(agent);
    return rc == SC_OK ? start_runner(agent) : rc;
}

// The runner first: then no step runs. What workers still do is finished, and its results dropped.
static void close_agent(struct sc_agent *agent)
{
    sc_runner_free(agent->runner);
    sc_workers_stop(agent->workers);
    struct sc_agent_task *task, *next;
    HASH_ITER (hh, agent->tasks, task, next) {
        HASH_DELETE(hh, agent->tasks, task);
        sc_agent_task_free(task);
    }
    sc_agent_bury(agent);
    sc_bus_close(agent->bus);
    sc_agent_core_free(agent->core);
    sc_prober_free(agent->prober);
    sc_pinned_close(agent->pinned);
    sc_yard_free(agent->yard);
    if (agent->place.root)
        sc_workplace_close(&agent->place);
    if (agent->epoll_fd >= 0)
        close(agent->epoll_fd);
    free(agent->store_folder);
    free(agent->pending);
}

enum sc_rc sc_agent_run(const struct sc_agent_config *config, int signal_fd, struct sc_error *err)
{
    struct sc_agent agent = {.config = config,
                             .signal_fd = signal_fd,
                             .epoll_fd = -1,
                             .err = err,
                             .presence = {.lock = config->coordinator_lock}};
    agent.place.lock_fd = -1;
    enum sc_rc rc = open_agent(&agent);
    if (rc == SC_OK) {
        while (!agent.leaving)
            turn(&agent);
        rc = agent.rc;
    }
    close_agent(&agent);
    return rc;
}
