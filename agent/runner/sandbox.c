#include "agent/runner/sandbox.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIT(cap) (1ull << (cap))
// What Docker leaves a container's root, less MKNOD (a node of the disk reaches the cache) and NET_RAW (the network is
// the host's). Not in it, and why: SYS_ADMIN mounts and unmounts, DAC_READ_SEARCH opens files by handle past every
// mount, SYS_PTRACE enters other processes, SYS_MODULE, SYS_RAWIO and BPF reach the kernel's memory, SYS_RESOURCE lifts limits,
// LINUX_IMMUTABLE undoes chattr +i.
#define ROOT_CAPS                                                                                            \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_SETGID) |          \
     BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) |                     \
     BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE))

static enum sc_rc get_caps(uint64_t *ret_effective, struct sc_error *err)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data))
        return sc_error_errno(err, errno, "read the capabilities");
    *ret_effective = data[0].effective | (uint64_t)data[1].effective << 32;
    return SC_OK;
}

static bool drop_caps(uint64_t keep)
{
    uint64_t have = 0;
    if (get_caps(&have, NULL) != SC_OK)
        return false;
    keep &= have;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{(uint32_t)keep, (uint32_t)keep, 0},
                                             {(uint32_t)(keep >> 32), (uint32_t)(keep >> 32), 0}};
    return syscall(SYS_capset, &header, data) == 0; // clears the ambient set with the inheritable one
}

enum sc_rc sc_sandbox_bound(struct sc_error *err)
{
    uint64_t keep = geteuid() == 0 ? ROOT_CAPS : 0;
    for (unsigned cap = 0; cap < 64; cap++) {
        if (keep & BIT(cap))
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            break; // the kernel knows no more
        if (errno != EPERM || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) {
            if (geteuid() == 0)
                return sc_error_errno(err, errno, "drop capability %u", cap);
            break; // an ordinary user has none, and no_new_privs keeps it so
        }
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return sc_error_errno(err, errno, "set no_new_privs");
    return SC_OK;
}

static enum sc_rc write_proc(const char *path, const char *text, struct sc_error *err)
{
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return sc_error_errno(err, errno, "write %s", path);
    return SC_OK;
}

// user_namespaces(7): one identity maps without any right; its mount namespace makes the mounts ours to arrange.
static enum sc_rc enter_user_namespace(struct sc_error *err)
{
    char uid_map[64], gid_map[64];
    snprintf(uid_map, sizeof uid_map, "%u %u 1", geteuid(), geteuid());
    snprintf(gid_map, sizeof gid_map, "%u %u 1", getegid(), getegid());
    if (unshare(CLONE_NEWUSER))
        return sc_error_errno(err, errno, "make a user namespace");
    enum sc_rc rc = write_proc("/proc/self/setgroups", "deny", err);
    if (rc == SC_OK)
        rc = write_proc("/proc/self/uid_map", uid_map, err);
    if (rc == SC_OK)
        rc = write_proc("/proc/self/gid_map", gid_map, err);
    if (rc == SC_OK && unshare(CLONE_NEWNS))
        rc = sc_error_errno(err, errno, "make a mount namespace");
    return rc;
}

static bool is_first_user_namespace(void)
{
    char text[64] = "";
    SC_AUTO_CLOSE int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    unsigned inside = 1, outside = 1, count = 0;
    return fd >= 0 && read(fd, text, sizeof text - 1) > 0 &&
           sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 &&
           count == UINT32_MAX;
}

enum sc_rc sc_sandbox_open(const struct sc_runner_config *config, struct sc_sandbox *ret_sandbox,
                           struct sc_error *err)
{
    // Files that uid 0 may write without any capability, and by which the kernel runs programs outside of all
    // namespaces (sys/kernel/core_pattern, modprobe), or the machine is reset or programmed past it.
    static const char *const dangerous[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/bus", "/proc/irq",
                                            "/proc/fs",  "/proc/acpi",          "/proc/scsi"};
    _Static_assert(SC_COUNT(dangerous) < SC_SANDBOX_PROC_PATHS, "room for the last NULL");
    uint64_t caps = 0;
    enum sc_rc rc = get_caps(&caps, err);
    if (rc == SC_OK && !(caps & BIT(CAP_SYS_ADMIN)))
        rc = enter_user_namespace(err);
    if (rc != SC_OK)
        return rc;
    struct sc_sandbox sandbox = {.template = {.view_fd = -1}, .keeps_root_caps = geteuid() == 0};
    size_t count = 0;
    for (size_t i = 0; sandbox.keeps_root_caps && i < SC_COUNT(dangerous); i++)
        if (access(dangerous[i], F_OK) == 0)
            sandbox.proc_read_only[count++] = dangerous[i];
    rc = sc_template_build(config, !is_first_user_namespace(), &sandbox.template, err);
    if (rc == SC_OK)
        *ret_sandbox = sandbox;
    return rc;
}

// Takes what the step gets from the host's view, where the hidden folders are in sight.
static bool take_work(const struct sc_task *task, int *ret_work, int *ret_inputs, struct sc_failure *failure)
{
    // Private: a copy of a shared mount would pass the inputs' mounts on to the host.
    struct mount_attr own = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE};
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                                   .propagation = MS_PRIVATE};
    int work = open_tree(AT_FDCWD, task->work, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (work < 0 || mount_setattr(work, "", AT_EMPTY_PATH, &own, sizeof own))
        return sc_failure_set(failure, errno, "bind the work folder %s", task->work);
    *ret_work = work;
    if (task->input_count == 0)
        return true;
    if (mkdirat(work, "in", 0755) && errno != EEXIST)
        return sc_failure_set(failure, errno, "make the folder %s/in", task->work);
    SC_AUTO_CLOSE int in = openat(work, "in", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return sc_failure_set(failure, errno, "open the folder %s/in", task->work);
    for (uint32_t i = 0; i < task->input_count; i++) {
        const struct sc_task_input *input = &task->inputs[i];
        int tree =
            open_tree(AT_FDCWD, input->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
        struct stat st;
        if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &read_only, sizeof read_only) ||
            fstat(tree, &st))
            return sc_failure_set(failure, errno, "bind input %s: %s", input->name, input->source);
        ret_inputs[i] = tree;
        if (S_ISDIR(st.st_mode)) {
            if (mkdirat(in, input->name, 0755) && errno != EEXIST)
                return sc_failure_set(failure, errno, "bind input %s: make its folder", input->name);
            continue;
        }
        if (!S_ISREG(st.st_mode))
            return sc_failure_set(failure, 0, "bind input %s: %s is neither file nor folder", input->name,
                                  input->source);
        int fd = openat(in, input->name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0 && errno != EEXIST)
            return sc_failure_set(failure, errno, "bind input %s: make its file", input->name);
        if (fd >= 0)
            close(fd);
    }
    return true;
}

static bool put_work(const struct sc_task *task, int work, const int *inputs, struct sc_failure *failure)
{
    if (move_mount(work, "", AT_FDCWD, SC_RUNNER_WORK_PATH, MOVE_MOUNT_F_EMPTY_PATH))
        return sc_failure_set(failure, errno, "mount the work folder");
    if (task->input_count == 0)
        return true;
    SC_AUTO_CLOSE int in = openat(work, "in", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (uint32_t i = 0; i < task->input_count; i++)
        if (move_mount(inputs[i], "", in, task->inputs[i].name, MOVE_MOUNT_F_EMPTY_PATH))
            return sc_failure_set(failure, errno, "bind input %s", task->inputs[i].name);
    return true;
}

static bool put_proc(const struct sc_sandbox *sandbox, struct sc_failure *failure)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return sc_failure_set(failure, errno, "mount /proc");
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    for (size_t i = 0; sandbox->proc_read_only[i]; i++) {
        const char *path = sandbox->proc_read_only[i];
        SC_AUTO_CLOSE int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &read_only, sizeof read_only) ||
            move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH))
            return sc_failure_set(failure, errno, "make %s read-only", path);
    }
    return true;
}

bool sc_sandbox_enter(const struct sc_sandbox *sandbox, const struct sc_task *task,
                      struct sc_failure *failure)
{
    int work = -1, inputs[SC_RUNNER_INPUTS];
    if (task && !take_work(task, &work, inputs, failure))
        return false;
    if (setns(sandbox->template.view_fd, CLONE_NEWNS) || unshare(CLONE_NEWNS))
        return sc_failure_set(failure, errno, "enter the step's mount namespace");
    struct stat root;
    if (stat("/", &root) || root.st_dev != sandbox->template.root_dev ||
        root.st_ino != sandbox->template.root_ino)
        return sc_failure_set(failure, 0, "the runner is in a chroot, which a mount namespace leads out of");
    if (task && !put_work(task, work, inputs, failure))
        return false;
    if (!put_proc(sandbox, failure))
        return false;
    if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"))
        return sc_failure_set(failure, errno, "mount /dev/shm");
    if (chdir(SC_RUNNER_WORK_PATH))
        return sc_failure_set(failure, errno, "enter the work folder");
    if (!drop_caps(sandbox->keeps_root_caps ? ROOT_CAPS : 0))
        return sc_failure_set(failure, errno, "drop capabilities");
    return true;
}

pid_t sc_sandbox_clone(uint64_t flags, int cgroup_fd)
{
    if (cgroup_fd >= 0) {
        struct clone_args args = {
            .flags = flags | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup_fd};
        return (pid_t)syscall(SYS_clone3, &args, sizeof args);
    }
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

static _Noreturn void probe_child(const struct sc_runner_config *config, int report)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_failure failure = {0};
    struct sc_sandbox sandbox;
    if (sc_sandbox_open(config, &sandbox, &err) != SC_OK) {
        dprintf(report, "%s", err.message);
        _exit(1);
    }
    pid_t init = sc_sandbox_clone(SC_SANDBOX_CLONE_FLAGS, -1);
    if (init == 0) {
        if (!sc_sandbox_enter(&sandbox, NULL, &failure))
            dprintf(report, "%s", failure.text);
        _exit(0);
    }
    if (init < 0)
        dprintf(report, "make a pid namespace: %s", strerror(errno));
    while (waitpid(init, NULL, 0) < 0 && errno == EINTR)
        ;
    _exit(0);
}

enum sc_rc sc_sandbox_probe(const struct sc_runner_config *config, struct sc_error *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC))
        return sc_error_errno(err, errno, "make a pipe");
    pid_t child = sc_sandbox_clone(0, -1);
    if (child == 0)
        probe_child(config, report[1]);
    close(report[1]);
    char text[SC_RUNNER_TEXT_BYTES] = "";
    ssize_t n = child > 0 ? read(report[0], text, sizeof text - 1) : 0;
    close(report[0]);
    if (child < 0)
        return sc_error_errno(err, errno, "start the probe");
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (n > 0)
        return sc_error_set(err, SC_UNSUPPORTED, "%s", text);
    if (status != 0)
        return sc_error_set(err, SC_UNSUPPORTED, "the probe of namespaces died");
    return SC_OK;
}
