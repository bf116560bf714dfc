#include "agent/runner/template.h"

#include "agent/runner/mounts.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { TOP_ENTRIES = 512 };

// The new root is put together over a folder of the old one; what it covers was taken by descriptor before.
static const char *const stages[] = {"/tmp", "/mnt", "/run", "/var"};

// One entry of the host's root folder.
struct entry {
    char name[NAME_MAX + 1];
    char link[PATH_MAX]; // a symbolic link's target
    int tree;            // a detached copy of what is mounted from there on; -1 for links
    bool is_folder;
};

struct builder {
    int proc_fd, old_ns, old_root;
    const char *stage;
    struct entry *entries;
    size_t entry_count;
    struct sc_arena arena;
    struct sc_places *hidden;
    struct stat root; // of the view
};

static enum sc_rc set_attr(const char *path, unsigned flags, uint64_t set, struct sc_error *err)
{
    struct mount_attr attr = {.attr_set = set};
    if (mount_setattr(AT_FDCWD, path, flags, &attr, sizeof attr))
        return sc_error_errno(err, errno, "set the flags of %s", path);
    return SC_OK;
}

// Nothing that is mounted on the host later may show up in a step, for it could show a hidden folder; what autofs
// mounts on demand has to, or its folders would fail for steps.
static enum sc_rc detach_from_host(struct builder *b, struct sc_error *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
        return sc_error_errno(err, errno, "make the mounts slaves");
    struct sc_mounts mounts;
    enum sc_rc rc = sc_mounts_read(b->proc_fd, &b->arena, &mounts, err);
    if (rc != SC_OK)
        return rc;
    bool has_autofs = false;
    for (size_t i = 0; i < mounts.count; i++)
        has_autofs = has_autofs || strcmp(mounts.items[i].type, "autofs") == 0;
    if (!has_autofs && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return sc_error_errno(err, errno, "make the mounts private");
    for (size_t i = 0; has_autofs && i < mounts.count; i++)
        if (strcmp(mounts.items[i].type, "autofs") != 0 &&
            mount(NULL, mounts.items[i].point, NULL, MS_PRIVATE, NULL) && errno != EINVAL &&
            errno != ENOENT && errno != EACCES)
            return sc_error_errno(err, errno, "make %s private", mounts.items[i].point);
    return SC_OK;
}

static enum sc_rc take_entry(struct builder *b, const char *name, struct sc_error *err)
{
    struct stat st;
    if (fstatat(b->old_root, name, &st, AT_SYMLINK_NOFOLLOW))
        return SC_OK; // gone
    struct entry entry = {.tree = -1, .is_folder = S_ISDIR(st.st_mode)};
    snprintf(entry.name, sizeof entry.name, "%s", name);
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(b->old_root, name, entry.link, sizeof entry.link - 1);
        if (n <= 0)
            return SC_OK;
    } else {
        char path[NAME_MAX + 2];
        snprintf(path, sizeof path, "/%s", name);
        entry.tree = open_tree(AT_FDCWD, path,
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
        if (entry.tree < 0 && errno == EINVAL)
            return SC_OK; // unbindable on purpose, so that copies do not show it
        if (entry.tree < 0)
            return sc_error_errno(err, errno, "copy the mounts of %s", path);
    }
    if (b->entry_count == TOP_ENTRIES)
        return sc_error_set(err, SC_LIMIT, "more than %d entries in /", TOP_ENTRIES);
    b->entries[b->entry_count++] = entry;
    return SC_OK;
}

static enum sc_rc take_entries(struct builder *b, bool keep_proc, struct sc_error *err)
{
    DIR *dir = opendir("/");
    if (!dir)
        return sc_error_errno(err, errno, "open /");
    static const char *const own[] = {".", "..", "dev", "work"};
    enum sc_rc rc = SC_OK;
    for (struct dirent *d; rc == SC_OK && (d = readdir(dir));) {
        bool skip = strcmp(d->d_name, "proc") == 0 && !keep_proc;
        for (size_t i = 0; i < SC_COUNT(own); i++)
            skip = skip || strcmp(d->d_name, own[i]) == 0;
        if (!skip)
            rc = take_entry(b, d->d_name, err);
    }
    closedir(dir);
    return rc;
}

static const char *staged(struct builder *b, const char *path)
{
    return (const char *)sc_arena_printf(&b->arena, "%s%s%c", b->stage, path, 0).ptr;
}

static enum sc_rc put_point(const char *path, bool is_folder, struct sc_error *err)
{
    if (is_folder) {
        if (mkdir(path, 0755) && errno != EEXIST)
            return sc_error_errno(err, errno, "make %s", path);
        return SC_OK;
    }
    SC_AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    return fd >= 0 ? SC_OK : sc_error_errno(err, errno, "make %s", path);
}

static enum sc_rc put_entries(struct builder *b, struct sc_error *err)
{
    for (size_t i = 0; i < SC_COUNT(stages) && !b->stage; i++) {
        struct stat st;
        if (lstat(stages[i], &st) == 0 && S_ISDIR(st.st_mode))
            b->stage = stages[i];
    }
    if (!b->stage)
        return sc_error_set(err, SC_UNSUPPORTED, "no folder to build the view on");
    if (mount("tmpfs", b->stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m"))
        return sc_error_errno(err, errno, "mount a tmpfs on %s", b->stage);
    enum sc_rc rc = SC_OK;
    for (size_t i = 0; rc == SC_OK && i < b->entry_count; i++) {
        struct entry *entry = &b->entries[i];
        const char *path = staged(b, (const char *)sc_arena_printf(&b->arena, "/%s%c", entry->name, 0).ptr);
        if (entry->tree < 0) {
            if (symlink(entry->link, path))
                rc = sc_error_errno(err, errno, "link %s", path);
            continue;
        }
        rc = put_point(path, entry->is_folder, err);
        if (rc == SC_OK && move_mount(entry->tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH))
            rc = sc_error_errno(err, errno, "bind /%s", entry->name);
    }
    // Device nodes that lie about in the host's files (old roots, images) lead to disks and so to cached bytes.
    if (rc == SC_OK)
        rc = set_attr(b->stage, AT_RECURSIVE, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, err);
    // Of a root step: uevent_helper, cgroups' release_agent and limits, debugfs, power.
    if (rc == SC_OK && access(staged(b, "/sys"), F_OK) == 0)
        rc = set_attr(staged(b, "/sys"), AT_RECURSIVE, MOUNT_ATTR_RDONLY, err);
    return rc;
}

static enum sc_rc bind_device(struct builder *b, const char *path, struct sc_error *err)
{
    struct stat st;
    if (stat(path, &st))
        return SC_OK; // not every host has it
    const char *to = staged(b, path);
    enum sc_rc rc = put_point(to, S_ISDIR(st.st_mode), err);
    if (rc == SC_OK && mount(path, to, NULL, MS_BIND | MS_REC, NULL))
        rc = sc_error_errno(err, errno, "bind %s", path);
    return rc;
}

// A node of our own costs steps no mount; where the kernel refuses it (user namespaces), the host's is bound.
static enum sc_rc put_device(struct builder *b, const char *path, unsigned minor_of_mem, struct sc_error *err)
{
    bool is_tty = strcmp(path, "/dev/tty") == 0;
    const char *to = staged(b, path);
    if (mknod(to, S_IFCHR | 0666, is_tty ? makedev(5, 0) : makedev(1, minor_of_mem)) == 0) {
        if (chmod(to, 0666) == 0) // despite the umask
            return SC_OK;
        unlink(to);
    }
    return bind_device(b, path, err);
}

static enum sc_rc put_gpus(struct builder *b, struct sc_error *err)
{
    DIR *dir = opendir("/dev");
    if (!dir)
        return SC_OK;
    enum sc_rc rc = SC_OK;
    for (struct dirent *d; rc == SC_OK && (d = readdir(dir));)
        if (strncmp(d->d_name, "nvidia", 6) == 0 || strcmp(d->d_name, "dri") == 0 ||
            strcmp(d->d_name, "kfd") == 0)
            rc = bind_device(b, (const char *)sc_arena_printf(&b->arena, "/dev/%s%c", d->d_name, 0).ptr, err);
    closedir(dir);
    return rc;
}

static enum sc_rc put_dev(struct builder *b, struct sc_error *err)
{
    static const struct {
        const char *path;
        unsigned minor; // devices.txt of the kernel, major 1
    } nodes[] = {{"/dev/null", 3},   {"/dev/zero", 5},    {"/dev/full", 7},
                 {"/dev/random", 8}, {"/dev/urandom", 9}, {"/dev/tty", 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};
    const char *dev = staged(b, "/dev");
    enum sc_rc rc = put_point(dev, true, err);
    if (rc == SC_OK && mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=256k"))
        rc = sc_error_errno(err, errno, "mount /dev");
    for (size_t i = 0; rc == SC_OK && i < SC_COUNT(nodes); i++)
        rc = put_device(b, nodes[i].path, nodes[i].minor, err);
    for (size_t i = 0; rc == SC_OK && i < SC_COUNT(links); i++)
        if (symlink(links[i][0], staged(b, links[i][1])))
            rc = sc_error_errno(err, errno, "link %s", links[i][1]);
    if (rc == SC_OK)
        rc = put_gpus(b, err);
    if (rc == SC_OK)
        rc = put_point(staged(b, "/dev/shm"), true, err);
    if (rc == SC_OK)
        rc = put_point(staged(b, "/dev/pts"), true, err);
    if (rc != SC_OK)
        return rc;
    // Some containers refuse it; steps then have no pseudo-terminals, which few want.
    (void)mount("devpts", staged(b, "/dev/pts"), "devpts", MS_NOSUID | MS_NOEXEC,
                "newinstance,ptmxmode=0666,mode=0620");
    return set_attr(dev, 0, MOUNT_ATTR_RDONLY, err);
}

static enum sc_rc enter_root(struct builder *b, struct sc_error *err)
{
    if (chdir(b->stage) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/") ||
        stat("/", &b->root))
        return sc_error_errno(err, errno, "change the root");
    return SC_OK;
}

// Every mount costs each step about a microsecond, and those of a container engine are nobody's business.
static void drop_engine_mounts(const struct sc_mounts *mounts)
{
    static const char *const engines[] = {"/var/lib/docker/",  "/var/lib/containers/", "/var/lib/containerd/",
                                          "/var/lib/kubelet/", "/run/containerd/",     "/run/docker/"};
    for (size_t i = mounts->count; i-- > 0;)
        for (size_t k = 0; k < SC_COUNT(engines); k++)
            if (strncmp(mounts->items[i].point, engines[k], strlen(engines[k])) == 0)
                (void)umount2(mounts->items[i].point, MNT_DETACH); // not ours to drop in a user namespace
}

static bool is_below(const char *folder, const char *path)
{
    size_t n = strlen(folder);
    return strncmp(folder, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static bool put_cover(const char *path)
{
    return mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 "mode=755,size=4k,nr_inodes=2") == 0;
}

// The kernel's own files are safe at /proc and /sys, but they are mounted elsewhere too, in root folders of other systems
// (chroots, debootstrap). There /proc is the host's, with all its processes: covered; the rest is made read-only as /sys is.
static enum sc_rc cover_kernel_files(const struct sc_mounts *mounts, struct sc_error *err)
{
    static const char *const types[] = {"sysfs",   "cgroup",     "cgroup2",    "debugfs",
                                        "tracefs", "securityfs", "configfs",   "efivarfs",
                                        "pstore",  "bpf",        "binfmt_misc"};
    for (size_t i = 0; i < mounts->count; i++) {
        const struct sc_mount *m = &mounts->items[i];
        struct stat st;
        if (is_below("/proc", m->point) || is_below("/sys", m->point) || lstat(m->point, &st))
            continue;
        bool is_proc = strcmp(m->type, "proc") == 0, is_other = false;
        for (size_t k = 0; k < SC_COUNT(types); k++)
            is_other = is_other || strcmp(m->type, types[k]) == 0;
        if (is_proc && S_ISDIR(st.st_mode)) {
            if (!put_cover(m->point))
                return sc_error_errno(err, errno, "hide %s", m->point);
        } else if (is_proc || is_other) {
            enum sc_rc rc = set_attr(m->point, 0, MOUNT_ATTR_RDONLY, err);
            if (rc != SC_OK)
                return rc;
        }
    }
    return SC_OK;
}

static enum sc_rc cover(struct builder *b, struct sc_error *err)
{
    struct sc_mounts mounts;
    enum sc_rc rc = sc_mounts_read(b->proc_fd, &b->arena, &mounts, err);
    if (rc != SC_OK)
        return rc;
    drop_engine_mounts(&mounts);
    rc = sc_mounts_read(b->proc_fd, &b->arena, &mounts, err); // what is left
    if (rc == SC_OK)
        rc = cover_kernel_files(&mounts, err);
    if (rc != SC_OK)
        return rc;
    for (size_t i = 0; i < mounts.count; i++)
        for (size_t k = 0; k < b->hidden->count; k++) {
            const char *path = sc_mounts_shows(b->proc_fd, &mounts.items[i], &b->hidden->items[k], &b->arena);
            if (path && !put_cover(path))
                return sc_error_errno(err, errno, "hide %s", path);
        }
    for (size_t i = 0; i < mounts.count; i++)
        for (size_t k = 0; k < b->hidden->count; k++) {
            const char *path = sc_mounts_shows(b->proc_fd, &mounts.items[i], &b->hidden->items[k], &b->arena);
            if (path)
                return sc_error_set(err, SC_IO, "hide %s: is still in sight", path);
        }
    return SC_OK;
}

static enum sc_rc build(struct builder *b, bool keep_proc, struct sc_error *err)
{
    enum sc_rc rc = detach_from_host(b, err);
    if (rc == SC_OK)
        rc = take_entries(b, keep_proc, err);
    if (rc == SC_OK)
        rc = put_entries(b, err);
    if (rc == SC_OK)
        rc = put_dev(b, err);
    if (rc == SC_OK)
        rc = put_point(staged(b, "/proc"), true, err);
    if (rc == SC_OK)
        rc = put_point(staged(b, SC_RUNNER_WORK_PATH), true, err);
    if (rc == SC_OK)
        rc = enter_root(b, err);
    if (rc == SC_OK)
        rc = cover(b, err);
    if (rc == SC_OK)
        rc = set_attr("/", 0, MOUNT_ATTR_RDONLY, err);
    return rc;
}

static enum sc_rc find_hidden(struct builder *b, const struct sc_runner_config *config, struct sc_error *err)
{
    struct sc_mounts mounts;
    enum sc_rc rc = sc_mounts_read(b->proc_fd, &b->arena, &mounts, err);
    for (uint32_t i = 0; rc == SC_OK && i < config->hidden.count; i++)
        rc = sc_mounts_place(b->proc_fd, &mounts, sc_arena_cstr(&b->arena, config->hidden.items[i]),
                             &b->arena, b->hidden, err);
    return rc;
}

static enum sc_rc build_and_return(struct builder *b, const struct sc_runner_config *config, bool keep_proc,
                                   struct sc_template *ret_template, struct sc_error *err)
{
    enum sc_rc rc = find_hidden(b, config, err);
    if (rc != SC_OK)
        return rc;
    if (unshare(CLONE_NEWNS))
        return sc_error_errno(err, errno, "make a mount namespace");
    rc = build(b, keep_proc, err);
    SC_AUTO_CLOSE int view_fd = openat(b->proc_fd, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (rc == SC_OK && view_fd < 0)
        rc = sc_error_errno(err, errno, "open the view's namespace");
    // setns also sets root and current folder to the namespace's root: put a chroot's back.
    if (setns(b->old_ns, CLONE_NEWNS) || fchdir(b->old_root) || chroot("."))
        return sc_error_errno(err, errno, "return to the host's mounts");
    if (rc != SC_OK)
        return rc;
    *ret_template = (struct sc_template){view_fd, b->root.st_dev, b->root.st_ino};
    view_fd = -1;
    return SC_OK;
}

enum sc_rc sc_template_build(const struct sc_runner_config *config, bool keep_proc,
                             struct sc_template *ret_template, struct sc_error *err)
{
    struct builder b = {.entries = sc_calloc(TOP_ENTRIES, sizeof(struct entry)),
                        .hidden = sc_calloc(1, sizeof(struct sc_places))};
    sc_arena_init(&b.arena);
    b.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    b.old_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    b.old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum sc_rc rc = b.proc_fd < 0 || b.old_ns < 0 || b.old_root < 0
                        ? sc_error_errno(err, errno, "open /proc and /")
                        : build_and_return(&b, config, keep_proc, ret_template, err);
    for (size_t i = 0; i < b.entry_count; i++)
        if (b.entries[i].tree >= 0)
            sc_fd_close(b.entries[i].tree);
    int fds[] = {b.proc_fd, b.old_ns, b.old_root};
    for (size_t i = 0; i < SC_COUNT(fds); i++)
        if (fds[i] >= 0)
            sc_fd_close(fds[i]);
    sc_arena_done(&b.arena);
    free(b.entries);
    free(b.hidden);
    return rc;
}
