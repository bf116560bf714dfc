#include "agent/runner/init.h"

#include "agent/runner/plain.h"

#include "base/memory.h"
#include "base/os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(struct sc_report) <= PIPE_BUF, "a report is written whole");
enum { REPORT_FD = 3, EXIT_LOST = 70 };

static void report(const struct sc_report *r)
{
    // When the runner is gone, so is whoever wants to know.
    (void)!write(REPORT_FD, r, sizeof *r);
}

static _Noreturn void give_up(const struct sc_task *task, const struct sc_failure *why)
{
    struct sc_report r = {.task = task->id, .kind = SC_REPORT_FAILED, .failure = *why};
    report(&r);
    _exit(EXIT_LOST);
}

static bool runner_is_gone(const struct sc_init *init)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(init->life_fd, F_GETLK, &lock) || lock.l_type == F_UNLCK;
}

static void limit(const struct sc_init *init, const struct sc_task *task)
{
    struct rlimit files = init->open_files;
    if (task->limits.open_files) {
        files.rlim_cur = task->limits.open_files < files.rlim_max ? task->limits.open_files : files.rlim_max;
        files.rlim_max = files.rlim_cur;
    }
    setrlimit(RLIMIT_NOFILE, &files);
    if (task->limits.memory_bytes && !(task->has_cgroup && task->cgroup.memory)) {
        // DATA, not AS: programs reserve far more addresses than they use.
        struct rlimit data = {task->limits.memory_bytes, task->limits.memory_bytes};
        setrlimit(RLIMIT_DATA, &data);
    }
}

// execvp(3) with the step's own PATH, and without its fallback to sh: a script without #! is an error by name.
static int exec_by_path(const struct sc_task *task)
{
    const char *name = task->argv[0];
    if (strchr(name, '/')) {
        execve(name, task->argv, task->env);
        return errno;
    }
    int error = ENOENT;
    char file[PATH_MAX];
    for (const char *at = task->path, *end; at; at = *end ? end + 1 : NULL) {
        end = strchrnul(at, ':');
        int n = snprintf(file, sizeof file, "%.*s%s%s", (int)(end - at), at, end > at ? "/" : "", name);
        if (n < 0 || (size_t)n >= sizeof file)
            continue;
        execve(file, task->argv, task->env);
        if (errno == EACCES)
            error = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return errno;
    }
    return error;
}

// In the step's process, on its parent's memory until exec (vfork(2)): system calls only. errno_fd closes with exec.
static _Noreturn void step_main(const struct sc_init *init, const struct sc_task *task, int errno_fd)
{
    sigset_t none;
    sigemptyset(&none);
    setsid();
    if (!init->sandbox)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    limit(init, task);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int error = exec_by_path(task);
    (void)!write(errno_fd, &error, sizeof error);
    _exit(EXIT_LOST);
}

// vfork copies no memory; where it does (sanitizers make it a fork), the pipe still tells. ret_errno: of exec, or 0.
static pid_t start_step(const struct sc_init *init, const struct sc_task *task, int *ret_errno)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    pid_t pid = vfork();
    if (pid == 0)
        step_main(init, task, ends[1]);
    int saved = errno;
    close(ends[1]);
    int error = 0;
    if (pid > 0 && read(ends[0], &error, sizeof error) == sizeof error)
        *ret_errno = error;
    close(ends[0]);
    errno = saved;
    return pid;
}

static uint64_t cpu_us(const struct rusage *usage)
{
    return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

// Reaps all that has ended; true when the step is among it.
static bool reap(pid_t step, int *ret_status)
{
    int status;
    bool ended = false;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == step) {
            *ret_status = status;
            ended = true;
        }
    return ended;
}

static int wait_for_step(const struct sc_init *init, pid_t step)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SC_INIT_CARRIER);
    if (!init->sandbox)
        sigaddset(&wanted, SIGTERM); // the runner died, or wants all gone
    int status = 0;
    while (!reap(step, &status)) {
        siginfo_t info = {0};
        if (sigwaitinfo(&wanted, &info) < 0)
            continue;
        if (info.si_signo == SIGTERM) {
            sc_plain_sweep();
            _exit(EXIT_LOST);
        }
        // A sender outside of the pid namespace has no number in it; the step's own processes are not heard.
        if (info.si_signo != SC_INIT_CARRIER || info.si_code != SI_QUEUE ||
            info.si_pid != (init->sandbox ? 0 : getppid()))
            continue;
        if (init->sandbox)
            kill(-1, info.si_value.sival_int); // all but this process: kill(2)
        else
            sc_plain_signal(info.si_value.sival_int);
    }
    return status;
}

static void enter(const struct sc_init *init, const struct sc_task *task)
{
    struct sc_failure failure = {0};
    // So that its runner's end, by whatever signal, is its own. Without namespaces that must not kill at once, for it
    // has to take the step along.
    prctl(PR_SET_PDEATHSIG, init->sandbox ? SIGKILL : SIGTERM, 0, 0, 0);
    if (runner_is_gone(init))
        _exit(EXIT_LOST);
    prctl(PR_SET_NAME, "stepcache-init", 0, 0, 0);
    // 3 was the runner's socket, 0 to 2 are its own: nothing of the runner is left open in the end.
    if (dup2(init->null_fd, STDIN_FILENO) < 0 || dup2(task->out, STDOUT_FILENO) < 0 ||
        dup2(task->err, STDERR_FILENO) < 0 || dup3(init->report_fd, REPORT_FD, O_CLOEXEC) < 0)
        _exit(EXIT_LOST);
    if (task->has_cgroup && !init->joined_cgroup && !sc_cgroup_join(&task->cgroup)) {
        sc_failure_set(&failure, errno, "join the control group");
        give_up(task, &failure);
    }
    bool good = init->sandbox ? sc_sandbox_enter(init->sandbox, task, &failure)
                              : sc_plain_enter(init->config, task, &failure);
    if (!good)
        give_up(task, &failure);
    close_range(REPORT_FD + 1, ~0u, 0);
    // Nor can the step read, write or trace this process (ptrace(2), access mode checking).
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

_Noreturn void sc_init_run(const struct sc_init *init, const struct sc_task *task)
{
    enter(init, task);
    int exec_errno = 0;
    pid_t step = start_step(init, task, &exec_errno);
    struct sc_failure failure = {0};
    if (step < 0) {
        sc_failure_set(&failure, errno, "start a process");
        give_up(task, &failure);
    }
    if (exec_errno) {
        sc_failure_set(&failure, exec_errno, "exec %.256s", task->argv[0]);
        give_up(task, &failure);
    }
    struct sc_report ended = {.task = task->id, .kind = SC_REPORT_ENDED, .started_ms = sc_clock_wall_ms()};
    close(STDOUT_FILENO); // the readers see the end when the step's processes are done with it
    close(STDERR_FILENO);

    ended.status = wait_for_step(init, step);
    ended.ended_ms = sc_clock_wall_ms();
    struct rusage usage;
    if (getrusage(RUSAGE_CHILDREN, &usage) == 0)
        ended.max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ended.init_cpu_us = cpu_us(&usage);
    report(&ended);
    if (!init->sandbox)
        sc_plain_sweep();
    _exit(0);
}
