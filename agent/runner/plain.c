#include "agent/runner/plain.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Newer than some headers: linux/landlock.h of 6.2.
#define ACCESS_TRUNCATE (1ull << 14)
#define ACCESS_FILE     (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define ACCESS_FOLDER                                                                                        \
    (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |         \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |              \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |            \
     LANDLOCK_ACCESS_FS_REFER)
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, PROCESSES = 65536 };

uint32_t sc_plain_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (uint32_t)abi : 0;
}

static bool is_below(const char *folder, const char *path)
{
    size_t n = strlen(folder);
    return strncmp(folder, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

bool sc_plain_protects(const struct sc_runner_config *config, const char **ret_reason)
{
    // Before version 2 (Linux 5.19) every rename between folders fails under Landlock.
    uint32_t abi = sc_plain_landlock_abi();
    if (abi < ABI_REFER) {
        *ret_reason = "the kernel has no Landlock that serves: nothing keeps steps from the cache";
        return false;
    }
    for (uint32_t i = 0; i < config->hidden.count; i++) {
        SC_AUTO_FREE char *path = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(config->hidden.items[i]));
        SC_AUTO_FREE char *real = realpath(path, NULL);
        if (!real || is_below("/tmp", real) || is_below("/var/tmp", real) || is_below("/dev/shm", real)) {
            *ret_reason =
                "a folder to hide lies below /tmp, which steps write: nothing keeps steps from the cache";
            return false;
        }
    }
    *ret_reason =
        abi < ABI_TRUNCATE
            ? "Landlock keeps steps from writing below the hidden folders, not (before Linux 6.2) from "
              "truncating files there, nor from changing modes and times"
            : "Landlock keeps steps from writing below the hidden folders, not from changing modes and times";
    return true;
}

struct locker {
    int ruleset;
    uint64_t handled;
    char **hidden;
    uint32_t hidden_count;
};

static void allow(const struct locker *l, int parent, const char *name)
{
    SC_AUTO_CLOSE int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || S_ISLNK(st.st_mode))
        return;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = l->handled & (S_ISDIR(st.st_mode) ? ~0ull : ACCESS_FILE), .parent_fd = fd};
    // What cannot be allowed stays denied: the safe side.
    (void)syscall(SYS_landlock_add_rule, l->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

// Allows all that is beside the ways to the hidden folders. depth is bounded by their paths' own.
static void allow_beside(const struct locker *l, const char *folder)
{
    SC_AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(dup(fd)) : NULL;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, d->d_name);
        bool leads = false, is_hidden = false;
        for (uint32_t i = 0; i < l->hidden_count; i++) {
            is_hidden = is_hidden || is_below(l->hidden[i], path);
            leads = leads || is_below(path, l->hidden[i]);
        }
        if (is_hidden)
            continue;
        if (leads)
            allow_beside(l, path);
        else
            allow(l, fd, d->d_name);
    }
    if (dir)
        closedir(dir);
}

static bool restrict_writes(const struct sc_runner_config *config, const struct sc_task *task,
                            struct sc_failure *failure)
{
    struct locker l = {.handled = LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FOLDER};
    if (sc_plain_landlock_abi() >= ABI_TRUNCATE)
        l.handled |= ACCESS_TRUNCATE;
    struct landlock_ruleset_attr attr = {.handled_access_fs = l.handled};
    l.ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (l.ruleset < 0)
        return sc_failure_set(failure, errno, "make a Landlock ruleset");
    char *hidden[SC_RUNNER_HIDDEN];
    l.hidden = hidden;
    for (uint32_t i = 0; i < config->hidden.count; i++) {
        SC_AUTO_FREE char *path = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(config->hidden.items[i]));
        char *real = realpath(path, NULL);
        if (!real)
            return sc_failure_set(failure, errno, "hidden folder %s", path);
        hidden[l.hidden_count++] = real;
    }
    allow_beside(&l, "/");
    allow(&l, AT_FDCWD, task->work);
    bool good = syscall(SYS_landlock_restrict_self, l.ruleset, 0) == 0;
    if (!good)
        sc_failure_set(failure, errno, "restrict by Landlock");
    close(l.ruleset);
    for (uint32_t i = 0; i < l.hidden_count; i++)
        free(hidden[i]);
    return good;
}

bool sc_plain_enter(const struct sc_runner_config *config, const struct sc_task *task,
                    struct sc_failure *failure)
{
    const char *reason;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        return sc_failure_set(failure, errno, "become a subreaper");
    if (chdir(task->work))
        return sc_failure_set(failure, errno, "enter the work folder %s", task->work);
    if (config->hidden.count && sc_plain_protects(config, &reason))
        return restrict_writes(config, task, failure);
    return true;
}

struct process {
    pid_t pid, parent;
    bool ours;
};

// "pid (comm) state ppid ...", and comm holds whatever its process likes (proc(5)).
static pid_t parent_of(pid_t pid)
{
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *end = strrchr(text, ')');
    int parent = 0;
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static size_t list_processes(struct process *all)
{
    size_t count = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *d; dir && count < PROCESSES && (d = readdir(dir));) {
        if (!isdigit((unsigned char)d->d_name[0]))
            continue;
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        all[count++] = (struct process){pid, parent_of(pid), false};
    }
    if (dir)
        closedir(dir);
    return count;
}

void sc_plain_signal(int sig)
{
    SC_AUTO_FREE struct process *all = sc_calloc(PROCESSES, sizeof *all);
    size_t count = list_processes(all);
    pid_t self = getpid();
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            bool ours = all[i].parent == self;
            for (size_t k = 0; !all[i].ours && !ours && k < count; k++)
                ours = all[k].ours && all[k].pid == all[i].parent;
            if (!ours || all[i].ours)
                continue;
            all[i].ours = more = true;
            kill(all[i].pid, sig);
        }
    }
}

void sc_plain_sweep(void)
{
    // Each turn kills all that is there, waits for one of them, and takes what it leaves: its children are then ours.
    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
            return;
        sc_plain_signal(SIGKILL);
        while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
            ;
    }
}
