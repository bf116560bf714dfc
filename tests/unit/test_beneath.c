// Every test holds with openat2 and, in a process of its own that is refused it, without.
#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/beneath.h"

static int setup(void **state)
{
    int rc = sc_scratch_setup(state);
    SC_AUTO_FREE char *folder = sc_scratch_path(*state, "a"), *inner = sc_scratch_path(*state, "a/b"),
                      *file = sc_scratch_path(*state, "a/b/f"), *link = sc_scratch_path(*state, "link"),
                      *file_link = sc_scratch_path(*state, "a/file-link");
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(symlink("a", link), 0);
    assert_int_equal(symlink("b/f", file_link), 0);
    return rc;
}

static int open_in(const char *folder, const char *path, int flags)
{
    int dirfd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(dirfd >= 0);
    int fd = sc_open_beneath(dirfd, path, flags, 0600), saved = errno;
    close(dirfd);
    errno = saved;
    return fd;
}

static void assert_refused(const char *folder, const char *path, int flags, int want)
{
    int fd = open_in(folder, path, flags);
    if (fd >= 0)
        fail_msg("%s was opened", path);
    if (errno != want)
        fail_msg("%s: %s, not %s", path, strerrorname_np(errno), strerrorname_np(want));
}

static void test_beneath_opens_what_is_there_and_makes_what_is_not(void **state)
{
    static const char *const paths[] = {"a/b/f", "a//b/f", "a/./b/f"};
    for (size_t i = 0; i < SC_COUNT(paths); i++) {
        int fd = open_in(*state, paths[i], O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        close(fd);
    }
    int fd = open_in(*state, "a/new", O_WRONLY | O_CREAT | O_EXCL);
    assert_true(fd >= 0);
    close(fd);
    fd = open_in(*state, ".", O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    close(fd);
    assert_refused(*state, "a/none", O_RDONLY, ENOENT);
    assert_refused(*state, "none/f", O_RDONLY, ENOENT);
    assert_refused(*state, "a/b/f/x", O_RDONLY, ENOTDIR);
}

static void test_beneath_follows_no_link(void **state)
{
    assert_refused(*state, "link/b/f", O_RDONLY, ELOOP);
    assert_refused(*state, "a/file-link", O_RDONLY, ELOOP);
    int fd = open_in(*state, "a/file-link", O_PATH); // the link itself
    struct stat st;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    close(fd);
}

static void test_beneath_never_leaves_the_folder(void **state)
{
    SC_AUTO_FREE char *inner = sc_scratch_path(*state, "a/b");
    assert_refused(inner, "..", O_PATH, EXDEV);
    assert_refused(inner, "../b/f", O_RDONLY, EXDEV);
    assert_refused(inner, "../../link", O_PATH, EXDEV);
}

static int run(const char *name)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_beneath_opens_what_is_there_and_makes_what_is_not),
        TEST(test_beneath_follows_no_link),
        TEST(test_beneath_never_leaves_the_folder),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

// As a container's filter does that knows no openat2: seccomp(2). The number is the same on every architecture.
static bool refuse_openat2(int with)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)with),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {SC_COUNT(code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return false;
    struct open_how how = {.flags = O_PATH};
    return syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how) < 0 && errno == with;
}

static int run_refused(const char *name, int with)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (!refuse_openat2(with)) {
            print_message("skipped: no seccomp filter is to be had\n");
            _exit(0);
        }
        int failed = run(name);
        fflush(NULL);
        _exit(failed);
    }
    int status = 1;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

int main(void)
{
    return run("beneath") + run_refused("beneath, where openat2 is unknown", ENOSYS) +
           run_refused("beneath, where openat2 is refused", EPERM);
}
