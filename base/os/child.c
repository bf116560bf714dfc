#include "base/os/child.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READ_BYTES = 16 << 10,
    SIGNALS = 64,
    LOOK_MS = 10, // between two looks at a process whose end nobody tells
};

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool sc_child_end_is_told(void)
{
    SC_AUTO_CLOSE int fd = open_pidfd(getpid());
    return fd >= 0;
}

// It stays a zombie, so that its number is nobody else's until it is reaped.
static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

// Between fork and exec: async-signal-safe calls only. The errno of what failed goes through the report pipe.
static _Noreturn void become(const struct sc_child *child, int out, int err, int report, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(127);
    setpgid(0, 0);
    for (int s = 1; s <= SIGNALS; s++)
        signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool good = in >= 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
                dup2(err, STDERR_FILENO) >= 0 && chdir(child->folder ? child->folder : "/") == 0;
    if (good)
        execve(child->argv[0], (char *const *)(uintptr_t)child->argv, (char *const *)(uintptr_t)child->env);
    int failed = errno;
    if (write(report, &failed, sizeof failed) < 0)
        _exit(126);
    _exit(127);
}

static _Noreturn void become_swept(const struct sc_child *child, int out, int err, int report, int ended,
                                   pid_t parent)
{
    sc_sweep_begin();
    if (getppid() != parent)
        _exit(127);
    pid_t self = getpid(), pid = sc_sweep_fork();
    if (pid == 0)
        become(child, out, err, report, self);
    int failed = errno;
    if (pid < 0 && write(report, &failed, sizeof failed) < 0)
        _exit(126);
    if (pid < 0)
        _exit(127);
    sc_sweep_end(pid, ended);
}

// False at the end of the stream.
static bool pull(int fd, size_t max_bytes, struct sc_buf *buf, bool *ret_large)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        *ret_large = *ret_large || buf->len + (size_t)n > max_bytes;
        if (!*ret_large)
            sc_buf_add(buf, bytes, (size_t)n);
    }
    int failed = errno;
    explicit_bzero(bytes, sizeof bytes); // it may have been a secret
    return n < 0 && (failed == EAGAIN || failed == EINTR);
}

// Until it ends; what holds its pipes open after that is not waited for.
static enum sc_rc attend(const struct sc_child *child, pid_t pid, const int fds[2], struct sc_buf *bufs[2],
                         struct sc_error *err)
{
    SC_AUTO_CLOSE int pidfd =
        open_pidfd(pid); // -1: the kernel or a filter has none, and we look now and then
    int64_t most = pidfd < 0 ? LOOK_MS : INT32_MAX;
    int64_t until = sc_clock_mono_ms() + child->timeout_ms;
    bool open[2] = {true, true}, large = false;
    for (;;) {
        struct pollfd polls[4] = {{pidfd, POLLIN, 0},
                                  {open[0] ? fds[0] : -1, POLLIN, 0},
                                  {open[1] ? fds[1] : -1, POLLIN, 0},
                                  {child->stop_fd ? child->stop_fd : -1, POLLIN, 0}};
        int64_t left = until - sc_clock_mono_ms();
        if (left <= 0)
            return sc_error_set(err, SC_TIMEOUT, "it did not end within %g s",
                                (double)child->timeout_ms / 1000);
        if (poll(polls, SC_COUNT(polls), (int)(left < most ? left : most)) < 0 && errno != EINTR)
            return sc_error_errno(err, errno, "poll");
        if (polls[3].revents)
            return sc_error_set(err, SC_INTERRUPTED, "it was ended before its time");
        for (int i = 0; i < 2; i++)
            if (open[i] && polls[i + 1].revents)
                open[i] = pull(fds[i], child->max_bytes, bufs[i], &large);
        if (large)
            return sc_error_set(err, SC_LIMIT, "it printed more than %zu bytes", child->max_bytes);
        if (!has_ended(pid))
            continue;
        for (int i = 0; i < 2; i++)
            if (open[i])
                pull(fds[i], child->max_bytes, bufs[i], &large);
        return large ? sc_error_set(err, SC_LIMIT, "it printed more than %zu bytes", child->max_bytes)
                     : SC_OK;
    }
}

// ended: where its sweeper tells how it ended; -1: it has none.
static enum sc_rc start(const struct sc_child *child, int out, int err_fd, int ended, pid_t *ret_pid,
                        struct sc_error *err)
{
    int report[2], failed = 0;
    if (pipe2(report, O_CLOEXEC))
        return sc_error_errno(err, errno, "make a pipe");
    pid_t parent = getpid(), pid = fork();
    if (pid == 0 && ended >= 0)
        become_swept(child, out, err_fd, report[1], ended, parent);
    if (pid == 0)
        become(child, out, err_fd, report[1], parent);
    int saved = errno;
    close(report[1]);
    ssize_t n = pid > 0 ? read(report[0], &failed, sizeof failed) : 0;
    close(report[0]);
    if (pid < 0)
        return sc_error_errno(err, saved, "fork");
    if (n == sizeof failed) {
        waitpid(pid, NULL, 0);
        return sc_error_errno(err, failed, "start %s", child->argv[0]);
    }
    *ret_pid = pid;
    return SC_OK;
}

static void close_end(int *end)
{
    sc_close_fd(end);
    *end = -1;
}

static void close_pipe(int ends[2])
{
    close_end(&ends[0]);
    close_end(&ends[1]);
}

static enum sc_rc make_pipes(const struct sc_child *child, int out[2], int errs[2], int ended[2],
                             struct sc_error *err)
{
    if (pipe2(out, O_CLOEXEC) == 0 && pipe2(errs, O_CLOEXEC) == 0 &&
        (!child->sweeps || pipe2(ended, O_CLOEXEC) == 0))
        return SC_OK;
    return sc_error_errno(err, errno, "make a pipe");
}

// Ends it, with what it left behind.
static int finish(const struct sc_child *child, pid_t pid, int ended)
{
    int status = -1, told;
    kill(child->sweeps ? pid : -pid, child->sweeps ? SIGTERM : SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return child->sweeps && read(ended, &told, sizeof told) == sizeof told ? told : status;
}

enum sc_rc sc_child_run(const struct sc_child *child, struct sc_buf *ret_out, struct sc_buf *ret_err,
                        int *ret_status, struct sc_error *err)
{
    int out[2] = {-1, -1}, errs[2] = {-1, -1}, ended[2] = {-1, -1};
    pid_t pid = -1;
    enum sc_rc rc = make_pipes(child, out, errs, ended, err);
    if (rc == SC_OK)
        rc = start(child, out[1], errs[1], ended[1], &pid, err);
    close_end(&out[1]);
    close_end(&errs[1]);
    close_end(&ended[1]);
    if (rc == SC_OK) {
        int fds[2] = {out[0], errs[0]};
        struct sc_buf *bufs[2] = {ret_out, ret_err};
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        fcntl(fds[1], F_SETFL, O_NONBLOCK);
        rc = attend(child, pid, fds, bufs, err);
        *ret_status = finish(child, pid, ended[0]);
    }
    close_pipe(out);
    close_pipe(errs);
    close_pipe(ended);
    return rc;
}

char *sc_child_find(const char *name, const char *path)
{
    if (strchr(name, '/'))
        return sc_strdup(name);
    for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        SC_AUTO_FREE char *candidate = sc_asprintf("%.*s/%s", (int)len, at, name);
        struct stat st;
        if (len && stat(candidate, &st) == 0 && S_ISREG(st.st_mode) && access(candidate, X_OK) == 0)
            return SC_STEAL(candidate);
        at += len + (at[len] == ':');
    }
    return NULL;
}
