#include "base/os/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 10 }; // between two looks at what does not die at once

void sc_sweep_begin(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL); // an ignored one leaves nothing to wait for
    prctl(PR_SET_NAME, "sc-sweep", 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    setpgid(0, 0);
}

// The bare call: handlers of fork(3) belong to the process that was forked.
pid_t sc_sweep_fork(void)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0ul, 0ul, 0ul, 0ul);
}

// The caller's locks and sockets must not live on here.
static void close_all_but(int fd)
{
    if (fd != STDIN_FILENO)
        dup2(fd, STDIN_FILENO);
    if (syscall(SYS_close_range, 1u, ~0u, 0u) == 0)
        return;
    struct rlimit limit; // an old kernel, or a container's filter
    int most =
        getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20 ? (int)limit.rlim_cur : 1 << 20;
    for (int i = 1; i < most; i++)
        close(i);
}

// False when there is none that may be killed, or none is told of (/proc/…/children needs CONFIG_PROC_CHILDREN). What it
// misses, since it lists a moving thing, is there the next time.
static bool kill_children(void)
{
    char text[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    bool any = false;
    pid_t pid = 0;
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            pid = pid * 10 + (text[i] - '0');
            continue;
        }
        if (pid > 0 && kill(pid, SIGKILL) == 0) // each number is followed by a space: one that was cut waits
            any = true;
        pid = 0;
    }
    return any;
}

static void sweep(void)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        pid_t pid;
        bool any = kill_children();
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 || !any)
            return;
        sigtimedwait(&child, NULL, &look);
    }
}

_Noreturn void sc_sweep_end(pid_t child, int ended)
{
    int status = -1;
    sigset_t awaited;
    close_all_but(ended);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGTERM);
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (sigwaitinfo(&awaited, NULL) != SIGTERM)
            continue;
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        break;
    }
    sweep();
    _exit(write(STDIN_FILENO, &status, sizeof status) == sizeof status ? 0 : 1);
}
