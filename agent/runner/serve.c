#include "agent/runner/serve.h"

#include "agent/runner/init.h"
#include "agent/runner/plain.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

enum { REPORTS_A_READ = 16, SIGNALS_A_READ = 16, PACKETS_A_TURN = 64 };

// An event that waits for room in the socket.
struct queued {
    struct queued *next;
    struct sc_runner_event event;
    char text[SC_RUNNER_TEXT_BYTES];
};

struct server {
    int socket, report_read, report_write, null_fd, signal_fd, life_fd;
    const struct sc_runner_config *config;
    const struct sc_sandbox *sandbox;
    struct sc_cgroups *cgroups;
    struct rlimit open_files;
    struct sc_task *tasks;   // that have a process, oldest first
    struct sc_task *waiting; // each for another to be over
    uint32_t task_count;     // of both
    struct queued *first, **last;
    struct sc_buf packet;
    bool stop;
    enum sc_rc rc; // why, when it is not the end of the socket
    struct sc_error *error;
};

static void enqueue(struct server *s, const struct sc_runner_event *event)
{
    struct queued *q = sc_calloc(1, sizeof *q);
    q->event = *event;
    if (event->text.len > sizeof q->text)
        q->event.text.len = sizeof q->text;
    if (event->text.len)
        memcpy(q->text, event->text.ptr, q->event.text.len);
    q->event.text.ptr = (const uint8_t *)q->text;
    *s->last = q;
    s->last = &q->next;
}

static void stop(struct server *s, enum sc_rc rc)
{
    s->stop = true;
    if (rc != SC_CLOSED)
        s->rc = rc;
}

static enum sc_rc send_event(struct server *s, const struct sc_runner_event *event)
{
    return sc_runner_send(s->socket, SC_RUNNER_EVENT, &sc_schema_runner_event, event, NULL, 0, s->error);
}

static void emit(struct server *s, const struct sc_runner_event *event)
{
    if (s->stop)
        return;
    enum sc_rc rc = s->first ? SC_BUSY : send_event(s, event);
    if (rc == SC_BUSY)
        enqueue(s, event);
    else if (rc != SC_OK)
        stop(s, rc);
}

static void flush(struct server *s)
{
    while (s->first && !s->stop) {
        enum sc_rc rc = send_event(s, &s->first->event);
        if (rc == SC_BUSY)
            return;
        if (rc != SC_OK)
            stop(s, rc);
        struct queued *sent = s->first;
        s->first = sent->next;
        if (!s->first)
            s->last = &s->first;
        free(sent);
    }
}

static struct sc_task *find(struct sc_task *list, uint64_t id)
{
    struct sc_task *task;
    DL_SEARCH_SCALAR(list, task, id, id);
    return task;
}

// Starts the task's init; else its failure is set.
static bool start(struct server *s, struct sc_task *task)
{
    struct sc_failure *failure = &task->failure;
    if (task->limits.memory_bytes || task->limits.processes || task->limits.cpus_milli) {
        struct sc_error err = SC_ERROR_INIT;
        if (sc_cgroup_make(s->cgroups, &task->limits, &task->cgroup, &err) != SC_OK) {
            sc_failure_set(failure, 0, "%s", err.message);
            failure->sys_errno = err.sys_errno;
            return false;
        }
        task->has_cgroup = true;
    }
    struct sc_init init = {.sandbox = s->sandbox,
                           .config = s->config,
                           .report_fd = s->report_write,
                           .null_fd = s->null_fd,
                           .life_fd = s->life_fd,
                           .open_files = s->open_files};
    uint64_t flags = s->sandbox ? SC_SANDBOX_CLONE_FLAGS : 0;
    pid_t pid = -1;
    if (task->has_cgroup && task->cgroup.folder_fd >= 0) {
        init.joined_cgroup = true;
        pid = sc_sandbox_clone(flags, task->cgroup.folder_fd);
    }
    if (pid < 0) { // no cgroup, v1, or a kernel or seccomp filter without clone3
        init.joined_cgroup = false;
        pid = sc_sandbox_clone(flags, -1);
    }
    if (pid == 0)
        sc_init_run(&init, task);
    if (pid < 0)
        return sc_failure_set(failure, errno, "start a process");
    task->init = pid;
    task->started_ms = sc_clock_wall_ms();
    task->started_mono_ms = sc_clock_mono_ms();
    sc_fd_close(task->out);
    sc_fd_close(task->err);
    task->out = task->err = -1;
    DL_APPEND(s->tasks, task);
    return true;
}

static void give_up(struct server *s, struct sc_task *task);

// Tells what became of a task, which is over. What waited for it starts first, so that its place is empty for as short
// as can be, and is told of after.
static void conclude(struct server *s, const struct sc_runner_event *event)
{
    struct sc_task *task, *next, *unstarted = NULL;
    DL_FOREACH_SAFE (s->waiting, task, next) {
        if (task->after != event->task || s->stop)
            continue;
        DL_DELETE(s->waiting, task);
        if (!start(s, task))
            DL_APPEND(unstarted, task);
    }
    emit(s, event);
    DL_FOREACH_SAFE (unstarted, task, next)
        give_up(s, task);
}

static void forget(struct server *s, struct sc_task *task)
{
    s->task_count--;
    sc_task_free(task);
}

static void conclude_failed(struct server *s, uint64_t id, const struct sc_failure *failure)
{
    struct sc_runner_event event = {.kind = SC_RUNNER_FAILED,
                                    .task = id,
                                    .sys_errno = (uint32_t)failure->sys_errno,
                                    .text = sc_slice_str(failure->text)};
    conclude(s, &event);
}

// Of a task that is in neither list and has no process.
static void give_up(struct server *s, struct sc_task *task)
{
    bool oom;
    uint64_t peak;
    if (task->has_cgroup)
        sc_cgroup_end(s->cgroups, &task->cgroup, true, &oom, &peak);
    conclude_failed(s, task->id, &task->failure);
    forget(s, task);
}

static void launch(struct server *s, struct sc_runner_packet *packet)
{
    struct sc_failure failure = {0};
    uint64_t id = 0;
    struct sc_task *task =
        sc_task_new(packet, s->sandbox ? SC_RUNNER_WORK_PATH : NULL, s->sandbox != NULL, &id, &failure);
    if (!task) {
        conclude_failed(s, id, &failure);
        return;
    }
    bool is_there = find(s->tasks, id) || find(s->waiting, id);
    s->task_count++;
    if (is_there)
        sc_failure_set(&task->failure, 0, "launch: task %llu is there already", (unsigned long long)id);
    else if (s->task_count > SC_RUNNER_TASKS)
        sc_failure_set(&task->failure, 0, "launch: more than %u tasks", SC_RUNNER_TASKS);
    else if (task->after && (find(s->tasks, task->after) || find(s->waiting, task->after))) {
        DL_APPEND(s->waiting, task);
        return;
    } else if (start(s, task))
        return;
    give_up(s, task);
}

static void go(struct server *s, uint64_t id)
{
    struct sc_task *task = find(s->waiting, id);
    if (!task)
        return;
    DL_DELETE(s->waiting, task);
    if (!start(s, task))
        give_up(s, task);
}

static void pass_signal(struct server *s, uint64_t id, int sig)
{
    struct sc_task *task = find(s->tasks, id), *waits = find(s->waiting, id);
    if (task && s->sandbox && sig == SIGKILL)
        kill(task->init, SIGKILL); // and the kernel kills its namespace
    else if (task)
        sigqueue(task->init, SC_INIT_CARRIER, (union sigval){.sival_int = sig});
    if (!waits)
        return;
    DL_DELETE(s->waiting, waits);
    struct sc_runner_event event = {.kind = SC_RUNNER_WITHDRAWN, .task = id};
    conclude(s, &event);
    forget(s, waits);
}

// Decodes a packet's body, which holds no lists; a body that cannot be decoded stops the server.
static bool decode(struct server *s, const struct sc_runner_packet *packet, const struct sc_schema *schema,
                   void *ret_object)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    enum sc_rc rc = sc_decode(schema, packet->body, SC_DECODE_LENIENT, &arena, ret_object, s->error);
    if (rc != SC_OK)
        stop(s, rc);
    return rc == SC_OK;
}

static void take_packet(struct server *s, struct sc_runner_packet *packet)
{
    struct sc_runner_go go_message = {0};
    struct sc_runner_signal signal = {0};
    switch (packet->kind) {
    case SC_RUNNER_LAUNCH:
        launch(s, packet);
        return;
    case SC_RUNNER_GO:
        if (decode(s, packet, &sc_schema_runner_go, &go_message))
            go(s, go_message.task);
        return;
    case SC_RUNNER_SIGNAL:
        if (decode(s, packet, &sc_schema_runner_signal, &signal) && signal.signal)
            pass_signal(s, signal.task, (int)signal.signal);
        return;
    case SC_RUNNER_CONFIG:
    case SC_RUNNER_EVENT:
        stop(s, sc_error_set(s->error, SC_MALFORMED, "the agent sent what is none of an agent's messages"));
        return;
    }
}

static void take_packets(struct server *s)
{
    for (int i = 0; i < PACKETS_A_TURN && !s->stop; i++) {
        struct sc_runner_packet packet;
        enum sc_rc rc = sc_runner_receive(s->socket, 0, &s->packet, &packet, s->error);
        if (rc == SC_BUSY)
            return;
        if (rc != SC_OK) {
            stop(s, rc);
            return;
        }
        take_packet(s, &packet);
        sc_runner_packet_done(&packet);
    }
}

static void take_report(struct server *s, const struct sc_report *r)
{
    struct sc_task *task = find(s->tasks, r->task);
    if (!task)
        return;
    switch (r->kind) {
    case SC_REPORT_ENDED:
        task->reported_end = true;
        task->started_ms = r->started_ms;
        task->ended_ms = r->ended_ms;
        task->status = r->status;
        task->max_rss_bytes = r->max_rss_bytes;
        task->init_cpu_us = r->init_cpu_us;
        return;
    case SC_REPORT_FAILED:
        task->reported_failure = true;
        task->failure = r->failure;
        return;
    }
}

static void take_reports(struct server *s)
{
    struct sc_report reports[REPORTS_A_READ];
    for (;;) {
        ssize_t n = read(s->report_read, reports, sizeof reports);
        if (n < 0 && errno == EINTR)
            continue;
        for (ssize_t i = 0; i < n / (ssize_t)sizeof *reports; i++)
            take_report(s, &reports[i]);
        if (n < (ssize_t)sizeof reports)
            return;
    }
}

// Of a task whose init is gone, and all that was below it.
static void end_task(struct server *s, struct sc_task *task, int init_status, const struct rusage *usage)
{
    bool oom = false;
    uint64_t peak_bytes = 0;
    if (task->has_cgroup)
        sc_cgroup_end(s->cgroups, &task->cgroup, s->sandbox != NULL, &oom, &peak_bytes);
    // An init that was killed says nothing; its step died with it.
    if (!task->reported_end && !task->reported_failure && WIFEXITED(init_status)) {
        task->reported_failure = true;
        sc_failure_set(&task->failure, 0, "the step's init left without a word");
    }
    if (task->reported_failure) {
        conclude_failed(s, task->id, &task->failure);
        return;
    }
    int status = task->reported_end ? task->status : init_status;
    uint64_t cpu_us = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
                      (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
    uint64_t rss_bytes = task->reported_end ? task->max_rss_bytes : (uint64_t)usage->ru_maxrss * 1024;
    struct sc_runner_event event = {
        .kind = SC_RUNNER_ENDED,
        .task = task->id,
        .exit_code = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0,
        .signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0,
        .oom = oom,
        .cpu_us = cpu_us > task->init_cpu_us ? cpu_us - task->init_cpu_us : 0,
        .max_rss_bytes = peak_bytes ? peak_bytes : rss_bytes,
        .started_ms = task->started_ms,
        .ended_ms = task->reported_end ? task->ended_ms : sc_clock_wall_ms(),
    };
    conclude(s, &event);
}

// First who is dead, then what they said before, then the conclusions: a report is written before its writer ends, and
// nobody needs it earlier.
static void reap(struct server *s)
{
    struct dead {
        pid_t pid;
        int status;
        struct rusage usage;
    } dead[32];
    size_t count;
    do {
        count = 0;
        while (count < SC_COUNT(dead)) {
            struct dead *d = &dead[count];
            d->pid = wait4(-1, &d->status, WNOHANG, &d->usage);
            if (d->pid <= 0)
                break;
            count++;
        }
        if (count)
            take_reports(s);
        for (size_t i = 0; i < count; i++) {
            struct sc_task *task;
            DL_SEARCH_SCALAR(s->tasks, task, init, dead[i].pid);
            if (!task)
                continue;
            DL_DELETE(s->tasks, task);
            end_task(s, task, dead[i].status, &dead[i].usage);
            forget(s, task);
        }
    } while (count == SC_COUNT(dead));
}

// Without namespaces: children that are no init come from an init that its step killed.
static void kill_strangers(struct server *s)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    int pid, used;
    for (const char *at = text; sscanf(at, "%d%n", &pid, &used) == 1; at += used) {
        struct sc_task *known;
        DL_SEARCH_SCALAR(s->tasks, known, init, pid);
        if (!known)
            kill(pid, SIGKILL);
    }
}

static void take_signals(struct server *s)
{
    struct signalfd_siginfo infos[SIGNALS_A_READ];
    ssize_t n = read(s->signal_fd, infos, sizeof infos);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof *infos; i++)
        if (infos[i].ssi_signo == SIGTERM)
            stop(s, SC_CLOSED);
    reap(s);
    if (!s->sandbox)
        kill_strangers(s);
}

// Tells of the steps that stay; returns in how many ms to look again, -1 for not at all.
static int tell_started(struct server *s)
{
    int64_t now_ms = sc_clock_mono_ms();
    struct sc_task *task;
    DL_FOREACH (s->tasks, task) {
        if (task->told)
            continue;
        if (now_ms - task->started_mono_ms < SC_RUNNER_STAYS_MS)
            return (int)(task->started_mono_ms + SC_RUNNER_STAYS_MS - now_ms); // and those behind it later
        task->told = true;
        struct sc_runner_event event = {.kind = SC_RUNNER_STARTED,
                                        .task = task->id,
                                        .pid = (uint32_t)task->init,
                                        .started_ms = task->started_ms,
                                        .started_mono_ms = task->started_mono_ms};
        emit(s, &event);
    }
    return -1;
}

static void loop(struct server *s)
{
    while (!s->stop) {
        struct pollfd fds[] = {
            {.fd = s->socket, .events = (short)(POLLIN | (s->first ? POLLOUT : 0))},
            {.fd = s->signal_fd, .events = POLLIN},
        };
        if (poll(fds, SC_COUNT(fds), tell_started(s)) < 0)
            continue;
        if (fds[0].revents & POLLOUT)
            flush(s);
        if (fds[0].revents & ~POLLOUT)
            take_packets(s); // first: nothing starts that was withdrawn, or when the agent is gone
        if (fds[1].revents)
            take_signals(s);
    }
}

// Ends every step. Nobody listens any more, so it may wait.
static void end_all(struct server *s)
{
    struct sc_task *task, *next;
    DL_FOREACH_SAFE (s->waiting, task, next)
        sc_task_free(task);
    s->waiting = NULL;
    DL_FOREACH (s->tasks, task)
        kill(task->init, s->sandbox ? SIGKILL : SIGTERM);
    while (s->tasks) {
        siginfo_t info;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) < 0 && errno == ECHILD)
            break;
        reap(s);
        if (!s->sandbox)
            kill_strangers(s);
    }
    if (!s->sandbox)
        sc_plain_sweep();
    DL_FOREACH_SAFE (s->tasks, task, next)
        sc_task_free(task);
    while (s->first) {
        struct queued *q = s->first;
        s->first = q->next;
        free(q);
    }
}

// A descriptor an input, while a step is put together.
static void raise_open_files(struct server *s)
{
    getrlimit(RLIMIT_NOFILE, &s->open_files);
    struct rlimit most = {s->open_files.rlim_max, s->open_files.rlim_max};
    setrlimit(RLIMIT_NOFILE, &most);
}

// A lock of our own process, which no child inherits (fcntl(2), F_SETLK), and which falls when it exits, before its children
// are told (in the kernel's do_exit, exit_files before exit_notify). -1 with errno.
static int open_life(void)
{
    int fd = memfd_create("stepcache-runner", MFD_CLOEXEC);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd >= 0 && fcntl(fd, F_SETLK, &whole)) {
        close(fd);
        return -1;
    }
    return fd;
}

static enum sc_rc open_all(struct server *s, struct sc_error *err)
{
    sigset_t heard;
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGTERM);
    int report[2];
    if (pipe2(report, O_CLOEXEC))
        return sc_error_errno(err, errno, "make a pipe");
    s->report_read = report[0];
    s->report_write = report[1];
    s->signal_fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    s->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->life_fd = open_life();
    if (s->signal_fd < 0 || s->null_fd < 0 || s->life_fd < 0 || fcntl(s->report_read, F_SETFL, O_NONBLOCK) ||
        fcntl(s->socket, F_SETFL, O_NONBLOCK))
        return sc_error_errno(err, errno, "open what the runner works with");
    return SC_OK;
}

enum sc_rc sc_serve(int socket, const struct sc_runner_config *config, const struct sc_sandbox *sandbox,
                    const struct sc_runner_capabilities *capabilities, struct sc_cgroups *cgroups,
                    struct sc_error *err)
{
    struct server s = {.socket = socket,
                       .report_read = -1,
                       .report_write = -1,
                       .null_fd = -1,
                       .signal_fd = -1,
                       .life_fd = -1,
                       .config = config,
                       .sandbox = sandbox,
                       .cgroups = cgroups,
                       .error = err};
    s.last = &s.first;
    sc_buf_init(&s.packet, SC_RUNNER_BODY_BYTES + SC_RUNNER_PACKET_BYTES);
    raise_open_files(&s);
    enum sc_rc rc = open_all(&s, err);
    if (rc == SC_OK) {
        struct sc_runner_event event = {.kind = SC_RUNNER_CAPABILITIES, .capabilities = *capabilities};
        emit(&s, &event);
        loop(&s);
        end_all(&s);
        rc = s.rc;
    }
    int fds[] = {s.report_read, s.report_write, s.null_fd, s.signal_fd, s.life_fd};
    for (size_t i = 0; i < SC_COUNT(fds); i++)
        if (fds[i] >= 0)
            sc_fd_close(fds[i]);
    sc_buf_done(&s.packet);
    return rc;
}
