// No step alters a cached byte or sees a hidden folder, root or not. The program runs a copy of itself as the step,
// which tries every way that is known to it and names each that worked; the outer half then looks at what was to be
// kept. As root it does all twice, the second time as an ordinary user.
#include "tests/lib/runner_fixture.h"

#include "base/os/file.h"
#include "tests/lib/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#define ALIAS_ENV "RUNNER_WALLS_ALIAS" // a folder at which all of /tmp is mounted once more

// ---- The inner half: runs as the step, in /work. ----

static const char *base, *store, *alias;
static int worked;

static void tried(const char *what, bool success)
{
    if (!success)
        return;
    worked++;
    printf("WORKED: %s\n", what);
}

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void attack_input(const char *file, const char *folder, const char *leaf)
{
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    int flags = FS_APPEND_FL;
    tried("open to write", opens(file, O_WRONLY));
    tried("open to truncate", opens(file, O_RDWR | O_TRUNC));
    tried("open a leaf to write", opens(leaf, O_WRONLY));
    tried("truncate", truncate(file, 0) == 0);
    tried("chmod", chmod(file, 0666) == 0);
    tried("chmod of a leaf", chmod(leaf, 0666) == 0);
    tried("chown", chown(file, getuid(), getgid()) == 0);
    tried("utime", utimensat(AT_FDCWD, file, now, 0) == 0);
    tried("setxattr", setxattr(leaf, "user.x", "y", 1, 0) == 0);
    tried("rename the input", rename(file, "moved") == 0);
    tried("rename a leaf", rename(leaf, "moved") == 0);
    tried("unlink the input", unlink(file) == 0);
    tried("unlink a leaf", unlink(leaf) == 0);
    tried("link a leaf out", link(leaf, "linked") == 0);
    SC_AUTO_FREE char *more = sc_asprintf("%s/more", folder);
    tried("make a folder", mkdir(more, 0755) == 0);
    SC_AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        tried("reading is not possible, which is wrong", true);
        return;
    }
    SC_AUTO_FREE char *again = sc_asprintf("/proc/self/fd/%d", fd);
    tried("open again through /proc to write", opens(again, O_WRONLY));
    tried("fchmod", fchmod(fd, 0666) == 0);
    tried("set inode flags", ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
}

static void attack_mounts(const char *file, const char *folder)
{
    struct mount_attr writable = {.attr_clr = MOUNT_ATTR_RDONLY};
    tried("remount read-write", mount(NULL, file, NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
    tried("mount_setattr", mount_setattr(AT_FDCWD, folder, 0, &writable, sizeof writable) == 0);
    tried("unmount the input", umount2(file, MNT_DETACH) == 0);
    tried("unmount the hidden folder's cover", umount2(base, MNT_DETACH) == 0);
    SC_AUTO_FREE char *cover = sc_asprintf("%s/hidden", base);
    tried("unmount the cover", umount2(cover, MNT_DETACH) == 0);
    tried("remount the cover", mount(NULL, cover, NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
    mkdir("point", 0755);
    tried("move the cover", mount(cover, "point", NULL, MS_MOVE, NULL) == 0);
    tried("bind what is under the cover", mount("/tmp", "point", NULL, MS_BIND, NULL) == 0);
    // With what lies on it this is allowed in a namespace of one's own, and must change nothing.
    if (mount("/tmp", "point", NULL, MS_BIND | MS_REC, NULL) == 0) {
        SC_AUTO_FREE char *copied = sc_asprintf("point%s/hidden", base + strlen("/tmp"));
        SC_AUTO_FREE char *through = sc_asprintf("%s/store/data", copied);
        tried("unmount a copy of the cover", umount2(copied, MNT_DETACH) == 0);
        tried("see through a copied mount", access(through, F_OK) == 0);
        umount2("point", MNT_DETACH);
    }
    SC_AUTO_FREE char *options =
        sc_asprintf("lowerdir=%s,upperdir=/dev/shm/up,workdir=/dev/shm/wk,userxattr", base);
    mkdir("/dev/shm/up", 0755);
    mkdir("/dev/shm/wk", 0755);
    if (mount("overlay", "point", "overlay", 0, options) == 0) {
        tried("see through an overlay", access("point/hidden/store/data", F_OK) == 0);
        umount2("point", MNT_DETACH);
    }
    int tree = open_tree(AT_FDCWD, "/tmp", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    tried("clone /tmp without its mounts", tree >= 0);
    if (tree >= 0)
        close(tree);
}

static void attack_names(void)
{
    const char *const prefixes[] = {"",
                                    "/proc/self/root",
                                    "/proc/1/root",
                                    "/proc/1/cwd/..",
                                    "/proc/self/cwd/..",
                                    "/proc/thread-self/root"};
    for (size_t i = 0; i < SC_COUNT(prefixes); i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s%s/data", prefixes[i], store);
        tried(path, access(path, F_OK) == 0);
    }
    const char *const aliases[] = {"part/data", "whole/hidden/store/data"};
    for (size_t i = 0; i < SC_COUNT(aliases); i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s", base, aliases[i]);
        tried(path, access(path, F_OK) == 0);
    }
    if (alias) {
        SC_AUTO_FREE char *path = sc_asprintf("%s%s/hidden/store/data", alias, base + strlen("/tmp"));
        tried(path, access(path, F_OK) == 0);
    }
    SC_AUTO_FREE char *hidden = sc_asprintf("%s/hidden", base);
    SC_AUTO_FREE char *made = sc_asprintf("%s/made", hidden);
    tried("make a folder under the cover", mkdir(made, 0755) == 0);
    tried("rename the cover", rename(hidden, made) == 0);
}

static void attack_descriptors(void)
{
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            tried("a descriptor was inherited", true);
}

static void attack_devices(void)
{
    struct stat st;
    if (stat("/tmp", &st))
        return;
    tried("make a node of the disk", mknod("disk", S_IFBLK | 0600, st.st_dev) == 0);
    tried("make a node of the disk in /dev/shm", mknod("/dev/shm/disk", S_IFBLK | 0600, st.st_dev) == 0);
    SC_AUTO_FREE char *node = sc_asprintf("%s/node", base); // the outer half made it, when it may
    tried("open a node that lies about", opens(node, O_RDONLY));
    DIR *dir = opendir("/dev");
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (fstatat(dirfd(dir), d->d_name, &st, 0) == 0 && S_ISBLK(st.st_mode))
            tried("a block device in /dev", true);
    if (dir)
        closedir(dir);
    tried("/dev/null does not take, which is wrong", !opens("/dev/null", O_WRONLY));
    tried("no pseudo-terminal, which is wrong", !opens("/dev/ptmx", O_RDWR));
}

static void attack_handles(void)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } h = {0};
    int mount_id;
    h.handle.handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, "/tmp", &h.handle, &mount_id, 0))
        return; // a file system without handles
    SC_AUTO_CLOSE int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int opened = open_by_handle_at(fd, &h.handle, O_RDONLY);
    tried("open by handle", opened >= 0);
    if (opened >= 0)
        close(opened);
}

static void attack_kernel_files(void)
{
    // By each of these the kernel would run a program, or worse, for whoever may write it. Opening is enough.
    const char *const files[] = {"/proc/sys/kernel/core_pattern",
                                 "/proc/sys/kernel/modprobe",
                                 "/proc/sys/kernel/hotplug",
                                 "/proc/sysrq-trigger",
                                 "/sys/kernel/uevent_helper",
                                 "/sys/fs/cgroup/cgroup.procs",
                                 "/sys/fs/cgroup/memory/release_agent",
                                 "/sys/power/state",
                                 "/proc/1/mem",
                                 "/proc/kcore"};
    for (size_t i = 0; i < SC_COUNT(files); i++)
        tried(files[i], opens(files[i], O_WRONLY));
    // The host's own, mounted once more where somebody has a root folder for another system.
    const char *const again[] = {"proc/sys/kernel/core_pattern", "sys/kernel/uevent_helper",
                                 "sys/power/state"};
    for (size_t i = 0; i < SC_COUNT(again); i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s", base, again[i]);
        tried(path, opens(path, O_WRONLY));
    }
    SC_AUTO_FREE char *host = sc_asprintf("%s/proc/1", base);
    tried("see the host's processes", access(host, F_OK) == 0);
    struct mount_attr writable = {.attr_clr = MOUNT_ATTR_RDONLY};
    tried("make /proc/sys writable",
          mount_setattr(AT_FDCWD, "/proc/sys", 0, &writable, sizeof writable) == 0 &&
              opens("/proc/sys/kernel/core_pattern", O_WRONLY));
}

static void attack_processes(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&worked, 1};
    bool traced = ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0;
    tried("trace the init", traced);
    if (traced && waitpid(1, NULL, __WALL) == 1)
        ptrace(PTRACE_DETACH, 1, NULL, NULL);
    tried("read the init's memory", process_vm_readv(1, &here, 1, &there, 1, 0) == 1);
    SC_AUTO_CLOSE int ns = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
    tried("enter the init's mounts", ns >= 0 && setns(ns, CLONE_NEWNS) == 0);
    kill(1, SIGKILL);
    kill(1, SIGTERM);
    sigqueue(1, SIGRTMIN + 1, (union sigval){.sival_int = SIGKILL});
    size_t processes = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *d; dir && (d = readdir(dir));)
        processes += d->d_name[0] >= '1' && d->d_name[0] <= '9';
    if (dir)
        closedir(dir);
    tried("see processes of others", processes > 3); // the init, this, perhaps a child of it
}

// chroot(2) says how to leave one.
static void attack_root(void)
{
    mkdir("root", 0755);
    if (chroot("root") == 0) {
        for (int i = 0; i < 64; i++)
            if (chdir(".."))
                break;
        SC_AUTO_FREE char *path = sc_asprintf("%s/data", store + 1);
        tried("leave the root", access(path, F_OK) == 0);
        if (chroot("."))
            return;
    }
    tried("change the root by pivot_root", syscall(SYS_pivot_root, "/", "/work") == 0);
}

static void attack_all(void)
{
    if (chdir("/work"))
        return;
    attack_names();
    attack_input("in/data", "in/tree", "in/tree/leaf");
    attack_mounts("in/data", "in/tree");
    attack_handles();
    attack_kernel_files();
    attack_devices();
}

static void write_text(const char *path, const char *text)
{
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, text, strlen(text));
}

// The same with all capabilities, in user and mount namespaces of its own.
static int nested(void)
{
    char uid[64], gid[64];
    snprintf(uid, sizeof uid, "0 %u 1", getuid());
    snprintf(gid, sizeof gid, "0 %u 1", getgid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) {
        printf("no nested namespaces\n");
        return 0;
    }
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", uid);
    write_text("/proc/self/gid_map", gid);
    attack_all();
    tried("mount another /proc", mount("proc", "/work/root", "proc", 0, NULL) == 0 &&
                                     opens("/work/root/sys/kernel/core_pattern", O_WRONLY));
    attack_root();
    return worked;
}

static int attack(char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    base = argv[2];
    store = argv[3];
    alias = argv[4];
    attack_descriptors();
    attack_all();
    attack_processes();
    tried("make a mount namespace", unshare(CLONE_NEWNS) == 0);
    tried("open a file system", fsopen("tmpfs", 0) >= 0);
    pid_t child = fork();
    if (child == 0)
        exit(nested() ? 1 : 0);
    int status = 1;
    waitpid(child, &status, 0);
    tried("something in nested namespaces", status != 0);
    attack_root();
    printf("done\n");
    return worked ? 1 : 0;
}

// ---- The outer half. ----

static int setup(void **state)
{
    struct runner_fixture *f = sc_calloc(1, sizeof *f);
    fixture_make(f);
    const char *const folders[] = {"part", "whole", "proc", "sys"};
    for (size_t i = 0; i < SC_COUNT(folders); i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s", f->base, folders[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    if (geteuid() == 0) {
        // The hidden folder in sight elsewhere: a part of it, and all that it lies in.
        SC_AUTO_FREE char *part = sc_asprintf("%s/part", f->base);
        SC_AUTO_FREE char *whole = sc_asprintf("%s/whole", f->base);
        SC_AUTO_FREE char *node = sc_asprintf("%s/node", f->base);
        // EPERM: root of a container, who may not.
        assert_true(mount(f->store, part, NULL, MS_BIND, NULL) == 0 || errno == EPERM);
        assert_true(mount(f->base, whole, NULL, MS_BIND, NULL) == 0 || errno == EPERM);
        SC_AUTO_FREE char *proc = sc_asprintf("%s/proc", f->base);
        SC_AUTO_FREE char *sys = sc_asprintf("%s/sys", f->base);
        assert_true(mount("proc", proc, "proc", 0, NULL) == 0 || errno == EPERM);
        assert_true(mount("/sys", sys, NULL, MS_BIND, NULL) == 0 || errno == EPERM);
        (void)mknod(node, S_IFCHR | 0666,
                    makedev(1, 3)); // null: any device will do, and this one does no harm
    }
    fixture_start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct runner_fixture *f = *state;
    const char *const mounts[] = {"part", "whole", "proc", "sys"};
    for (size_t i = 0; i < SC_COUNT(mounts); i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s", f->base, mounts[i]);
        umount2(path, MNT_DETACH);
    }
    fixture_done(f);
    free(f);
    return 0;
}

static void need_namespaces(const struct runner_fixture *f)
{
    if (f->capabilities.assurance == SC_RUNNER_ASSURANCE_NAMESPACES)
        return;
    print_message("skipped: %s\n", f->reason);
    skip();
}

// The step's program must be where a step sees it.
static char *copy_self(const struct runner_fixture *f)
{
    char *path = sc_asprintf("%s/attack", f->base);
    SC_AUTO_BUF struct sc_buf bytes = {0};
    assert_int_equal(sc_file_read("/proc/self/exe", 1u << 30, &bytes, NULL), SC_OK);
    sc_scratch_write(path, sc_buf_slice(&bytes), 0755);
    return path;
}

static struct stat stat_of(const char *folder, const char *name)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/%s", folder, name);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st;
}

static void assert_unchanged(const char *folder, const char *name, const struct stat *before)
{
    struct stat now = stat_of(folder, name);
    assert_int_equal(now.st_ino, before->st_ino);
    assert_int_equal(now.st_mode, before->st_mode);
    assert_int_equal(now.st_uid, before->st_uid);
    assert_int_equal(now.st_size, before->st_size);
    assert_int_equal(now.st_nlink, before->st_nlink);
    assert_memory_equal(&now.st_mtim, &before->st_mtim, sizeof now.st_mtim);
    assert_memory_equal(&now.st_ctim, &before->st_ctim, sizeof now.st_ctim);
}

static void test_no_way_to_a_cached_byte_is_open(void **state)
{
    struct runner_fixture *f = *state;
    need_namespaces(f);
    SC_AUTO_FREE char *program = copy_self(f);
    struct stat data = stat_of(f->store, "data"), tree = stat_of(f->store, "tree"),
                leaf = stat_of(f->store, "tree/leaf");
    struct sc_launch launch = fixture_launch(f, "");
    const char *shadow = getenv(ALIAS_ENV);
    struct sc_slice argv[] = {sc_slice_str(program), SC_SLICE_LIT("attack"), sc_slice_str(f->base),
                              sc_slice_str(f->store), sc_slice_str(shadow)};
    launch.argv.items = argv;
    launch.argv.count = shadow ? 5 : 4;
    struct sc_slice env[] = {SC_SLICE_LIT("ASAN_OPTIONS=detect_leaks=0")};
    launch.env.items = env;
    struct outcome o;
    fixture_run(f, &launch, &o);
    if (o.event.kind != SC_RUNNER_ENDED || o.event.exit_code || o.event.signal)
        print_message("%s%s%s\n", o.out, o.err, o.text);
    assert_int_equal(o.event.kind, SC_RUNNER_ENDED);
    assert_int_equal(o.event.signal, 0);
    assert_int_equal(o.event.exit_code, 0);
    assert_non_null(strstr(o.out, "done\n"));
    assert_null(strstr(o.out, "WORKED"));
    assert_unchanged(f->store, "data", &data);
    assert_unchanged(f->store, "tree", &tree);
    assert_unchanged(f->store, "tree/leaf", &leaf);
}

static void test_the_host_is_visible_as_it_is(void **state)
{
    struct runner_fixture *f = *state;
    need_namespaces(f);
    struct outcome o;
    SC_AUTO_FREE char *script =
        sc_asprintf("ls -A %s; ls -A %s/hidden; test -e /etc/passwd && id -u; echo x > %s/new", f->base,
                    f->base, f->base);
    fixture_sh(f, script, &o);
    assert_null(strstr(o.out, "store"));
    assert_non_null(strstr(o.out, "hidden\n"));
    SC_AUTO_FREE char *uid = sc_asprintf("\n%u\n", geteuid());
    assert_non_null(strstr(o.out, uid));
    assert_int_equal(o.event.exit_code, 0);
    assert_int_equal(stat_of(f->base, "new").st_size, 2);
}

static void test_steps_do_not_share_memory_or_see_one_another(void **state)
{
    struct runner_fixture *f = *state;
    need_namespaces(f);
    struct outcome o;
    fixture_sh(f, "echo x > /dev/shm/left; ls /dev/shm", &o);
    assert_string_equal(o.out, "left\n");
    fixture_sh(f, "ls /dev/shm; echo $$", &o);
    assert_string_equal(o.out, "2\n"); // process 1 is the init
}

// Mounts of a step must not spread to the host, where the mounts are shared as systemd makes them.
static void test_the_host_sees_no_mount_of_a_step(void **state)
{
    struct runner_fixture *f = *state;
    need_namespaces(f);
    struct sc_launch launch = fixture_launch(f, "cat in/data; exec tail -f /dev/null");
    int out = fixture_begin(f, &launch);
    char line[64];
    fixture_line(out, line, sizeof line);
    assert_string_equal(line, "cached");
    SC_AUTO_BUF struct sc_buf table = {0};
    assert_int_equal(sc_file_read("/proc/self/mountinfo", 1u << 24, &table, NULL), SC_OK);
    assert_null(strstr(sc_buf_cstr(&table), f->work));
    close(out);
}

// In a chroot setns leads to the root outside of it: there the runner must not take that for its view.
static void test_in_a_chroot_no_view_is_claimed(void **state)
{
    struct runner_fixture *f = *state;
    // Beside the fixture's folder, which is removed with all below it, and private before anything is bound to it.
    static char root[64]; // static: skip leaves without cleanup
    snprintf(root, sizeof root, "/tmp/runner-root-XXXXXX");
    assert_non_null(mkdtemp(root));
    const char *program = fixture_program();
    pid_t child = fork();
    if (child == 0) { // no assertions in here: they would go on with the tests
        struct sc_slice hidden = sc_slice_str(f->hidden);
        struct sc_runner_config config = {.hidden = {&hidden, 1}};
        struct sc_runner *runner;
        struct sc_runner_event event = {.kind = SC_RUNNER_NOTHING};
        if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
            mount("/", root, NULL, MS_BIND | MS_REC, NULL) || chroot(root) || chdir("/"))
            _exit(2);
        if (sc_runner_start(program, &config, &runner, NULL) != SC_OK)
            _exit(1);
        while (event.kind == SC_RUNNER_NOTHING)
            if (sc_runner_next(runner, &event, NULL) != SC_OK)
                _exit(1);
        _exit(event.capabilities.assurance == SC_RUNNER_ASSURANCE_NONE ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    rmdir(root);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        print_message("skipped: this user may not change the root\n");
        skip();
    }
    assert_int_equal(status, 0);
}

// Without namespaces Landlock is what there is; not under /tmp, which steps may write.
static void test_plain_steps_do_not_write_below_hidden_folders(void **state)
{
    (void)state;
    fixture_program();                                // skips when there is no build to be in
    static char hidden[4096], made[4200], kept[4200]; // static: skip leaves without cleanup
    snprintf(hidden, sizeof hidden, "%s/runner-walls-XXXXXX", getenv("STEPCACHE_BUILD"));
    if (!mkdtemp(hidden)) {
        print_message("skipped: %s cannot be made by this user\n", hidden);
        skip();
    }
    snprintf(made, sizeof made, "%s/made", hidden);
    snprintf(kept, sizeof kept, "%s/kept", hidden);
    sc_scratch_write(kept, sc_slice_str("kept"), 0644);
    struct runner_fixture f;
    fixture_make(&f);
    free(f.hidden);
    f.hidden = sc_strdup(hidden);
    setenv(SC_RUNNER_FORCE_ENV, "plain", 1);
    fixture_start(&f);
    unsetenv(SC_RUNNER_FORCE_ENV);
    bool locked = strstr(f.reason, "Landlock keeps") != NULL, locks_size = !strstr(f.reason, "truncating");
    struct outcome o;
    char *script =
        sc_asprintf("echo x > %s; python3 -c 'import os; os.truncate(\"%s\", 0)'; "
                    "echo y > made && mkdir d && mv made d/ && echo z > /tmp/$$ && rm /tmp/$$ && echo good",
                    made, kept);
    fixture_sh(&f, script, &o);
    free(script);
    bool wrote = access(made, F_OK) == 0, cut = stat_of(hidden, "kept").st_size != 4;
    assert_string_equal(o.out, "good\n");
    fixture_done(&f);
    assert_int_equal(sc_dir_remove(hidden, NULL), SC_OK);
    if (!locked) {
        print_message("skipped: no Landlock for %s\n", hidden);
        skip();
    }
    assert_false(wrote);
    assert_int_equal(cut, !locks_size);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int run_group(const char *who)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_way_to_a_cached_byte_is_open),
        TEST(test_the_host_is_visible_as_it_is),
        TEST(test_steps_do_not_share_memory_or_see_one_another),
        TEST(test_the_host_sees_no_mount_of_a_step),
        TEST(test_in_a_chroot_no_view_is_claimed),
        cmocka_unit_test(test_plain_steps_do_not_write_below_hidden_folders),
    };
    return cmocka_run_group_tests_name(who, tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "attack") == 0)
        return attack(argv);
    if (argc > 1 || geteuid() != 0)
        return run_group("walls, as an ordinary user");
    // Mounts of our own, which nobody else sees, but shared among those that are started here.
    char shadow[] = "/tmp/runner-alias-XXXXXX";
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0 && mkdtemp(shadow) &&
        mount("/tmp", shadow, NULL, MS_BIND, NULL) == 0)
        setenv(ALIAS_ENV, shadow, 1);
    int failed = run_group("walls, as root") + fixture_as_ordinary_user(argv[0]);
    umount2(shadow, MNT_DETACH);
    rmdir(shadow);
    return failed;
}
