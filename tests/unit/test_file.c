#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/file.h"

static void write_text(const char *path, const char *text)
{
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct sc_error err = SC_ERROR_INIT;
    assert_true(fd >= 0);
    assert_ok(sc_fd_write_all(fd, sc_slice_str(text), &err), err);
}

static void assert_text(const char *path, const char *text)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&bytes, 0);
    assert_ok(sc_file_read(path, 1 << 20, &bytes, &err), err);
    assert_slice(sc_buf_slice(&bytes), text);
}

static void test_file_read_keeps_its_bound_and_names_the_file(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "f");
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    write_text(path, "12345678");
    sc_buf_init(&bytes, 0);
    assert_ok(sc_file_read(path, 8, &bytes, &err), err);
    assert_int_equal(bytes.len, 8);
    sc_buf_clear(&bytes);
    assert_rc(sc_file_read(path, 7, &bytes, &err), SC_LIMIT);
    assert_contains(err.message, path);
    assert_rc(sc_file_read("/nowhere/f", 7, &bytes, &err), SC_NOT_FOUND);
    assert_contains(err.message, "/nowhere/f");
}

static void test_file_write_all_goes_on_after_short_writes(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    enum { BYTES = 1 << 20 }; // many times a pipe's room
    pid_t child = fork();
    if (child == 0) {
        static uint8_t zeros[BYTES];
        close(ends[0]);
        _exit(sc_fd_write_all(ends[1], sc_slice(zeros, BYTES), NULL) == SC_OK ? 0 : 1);
    }
    close(ends[1]);
    size_t seen = 0;
    char bytes[4096];
    for (ssize_t n; (n = read(ends[0], bytes, sizeof bytes)) > 0; seen += (size_t)n)
        ;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(seen, BYTES);
}

static void test_dir_make_makes_parents_and_is_content_with_what_is_there(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "a/b/c");
    struct sc_error err = SC_ERROR_INIT;
    struct stat st;
    assert_ok(sc_dir_make(path, 0700, &err), err);
    assert_ok(sc_dir_make(path, 0700, &err), err);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_dir_names_are_sorted_by_bytes(void **state)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    static const char *const made[] = {"b", "\xff", "a b", "B", "a\nb", "-x", "a"};
    static const char *const sorted[] = {"-x", "B", "a", "a\nb", "a b", "b", "\xff"};
    struct sc_slice *names;
    size_t count;
    sc_arena_init(&arena);
    for (size_t i = 0; i < SC_COUNT(made); i++) {
        SC_AUTO_FREE char *path = sc_scratch_path(*state, made[i]);
        write_text(path, "");
    }
    SC_AUTO_CLOSE int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(sc_dir_names(fd, &arena, &names, &count, &err), err);
    assert_int_equal(count, SC_COUNT(sorted));
    for (size_t i = 0; i < count; i++)
        assert_slice(names[i], sorted[i]);
}

static void test_dir_remove_of_an_absent_folder_is_good(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "none");
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_dir_remove(path, &err), err);
}

static void test_dir_remove_follows_no_links(void **state)
{
    SC_AUTO_FREE char *kept = sc_scratch_path(*state, "kept");
    SC_AUTO_FREE char *folder = sc_scratch_path(*state, "folder");
    SC_AUTO_FREE char *link = sc_scratch_path(folder, "link");
    SC_AUTO_FREE char *file = sc_scratch_path(kept, "file");
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_dir_make(kept, 0700, &err), err);
    assert_ok(sc_dir_make(folder, 0700, &err), err);
    write_text(file, "still here");
    assert_int_equal(symlink(kept, link), 0);
    assert_ok(sc_dir_remove(folder, &err), err);
    assert_int_equal(access(folder, F_OK), -1);
    assert_text(file, "still here");
    assert_int_equal(symlink(kept, folder), 0);
    assert_ok(sc_dir_remove(folder, &err), err); // a link itself
    assert_text(file, "still here");
}

// Permissions mean nothing to root, so the deed is done as nobody.
static void as_nobody(const char *folder, bool on)
{
    if (getuid() != 0)
        return;
    if (on)
        assert_int_equal(chown(folder, 65534, 65534), 0);
    assert_int_equal(seteuid(on ? 65534 : 0), 0);
}

static void test_dir_remove_opens_unwritable_folders_on_its_way(void **state)
{
    SC_AUTO_FREE char *outer = sc_scratch_path(*state, "outer");
    SC_AUTO_FREE char *inner = sc_scratch_path(outer, "x/inner");
    SC_AUTO_FREE char *middle = sc_scratch_path(outer, "x");
    SC_AUTO_FREE char *file = sc_scratch_path(inner, "file");
    struct sc_error err = SC_ERROR_INIT;
    as_nobody(*state, true);
    assert_ok(sc_dir_make(inner, 0700, &err), err);
    write_text(file, "x");
    assert_int_equal(chmod(file, 0), 0);
    assert_int_equal(chmod(inner, 0500), 0);
    assert_int_equal(chmod(middle, 0), 0);
    assert_int_equal(chmod(outer, 0555), 0);
    enum sc_rc rc = sc_dir_remove(outer, &err);
    as_nobody(*state, false);
    assert_ok(rc, err);
    assert_int_equal(access(outer, F_OK), -1);
}

static void test_dir_remove_of_a_deep_tree(void **state)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *top = sc_scratch_path(*state, "top");
    enum { DEPTH = 300 };
    int at = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *name = "top";
    for (int i = 0; i < DEPTH; i++, name = "d") {
        assert_int_equal(mkdirat(at, name, 0700), 0);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    close(at);
    assert_ok(sc_dir_remove(top, &err), err);
    assert_int_equal(access(top, F_OK), -1);
}

static void test_file_lock_is_exclusive_and_names_the_holders_pid(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "lock");
    struct sc_error err = SC_ERROR_INIT;
    char pid[32];
    int fd = -1, second = -1;
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_ok(sc_file_lock(path, &fd, &err), err);
    assert_rc(sc_file_lock(path, &second, &err), SC_BUSY);
    assert_contains(err.message, pid);
    assert_contains(err.message, path);
    assert_int_equal(second, -1);
    close(fd);
    assert_ok(sc_file_lock(path, &second, &err), err);
    close(second);
}

static void test_file_lock_dies_with_its_process(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "lock");
    struct sc_error err = SC_ERROR_INIT;
    pid_t child = fork();
    if (child == 0) {
        int fd;
        _exit(sc_file_lock(path, &fd, NULL) == SC_OK ? 0 : 1);
    }
    int status, fd;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(sc_file_lock(path, &fd, &err), err);
    close(fd);
}

static void test_file_is_locked_asks_the_lock_and_not_the_pid_in_it(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "lock"), *none = sc_scratch_path(*state, "none");
    struct sc_error err = SC_ERROR_INIT;
    int fd;
    assert_false(sc_file_is_locked(none));
    assert_ok(sc_file_lock(path, &fd, &err), err);
    assert_true(sc_file_is_locked(path));
    write_text(path, "1\n");
    assert_true(sc_file_is_locked(path));
    close(fd);
    assert_false(sc_file_is_locked(path));         // though process 1 lives
    assert_ok(sc_file_lock(path, &fd, &err), err); // nor does asking hold it
    close(fd);
}

static void test_file_that_cannot_be_asked_may_be_locked(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "lock");
    assert_int_equal(symlink("lock", path), 0); // to itself
    assert_true(sc_file_is_locked(path));
}

static int asking_fd;
static void stop_asking(int signal)
{
    (void)signal;
    flock(asking_fd, LOCK_UN);
}

// Who asks whether a lock is held holds it for a moment.
static void test_file_lock_is_taken_while_somebody_asks(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "lock");
    struct sc_error err = SC_ERROR_INIT;
    write_text(path, "1\n");
    asking_fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(asking_fd, LOCK_SH | LOCK_NB), 0);
    struct sigaction was, stop = {.sa_handler = stop_asking};
    assert_int_equal(sigaction(SIGALRM, &stop, &was), 0);
    struct itimerval soon = {.it_value = {.tv_usec = 10000}};
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    int fd = -1;
    assert_ok(sc_file_lock(path, &fd, &err), err);
    assert_int_equal(sigaction(SIGALRM, &was, NULL), 0);
    close(fd);
    close(asking_fd);
}

static void test_file_refuse_network_takes_a_local_folder_and_names_a_missing_one(void **state)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *none = sc_scratch_path(*state, "none");
    enum sc_rc rc = sc_file_refuse_network(*state, &err);
    if (rc == SC_UNSUPPORTED) // the scratch folder itself lies on one: then it is named
        assert_contains(err.message, "network file system");
    else
        assert_ok(rc, err);
    assert_rc(sc_file_refuse_network(none, &err), SC_NOT_FOUND);
    assert_contains(err.message, none);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_file_read_keeps_its_bound_and_names_the_file),
        TEST(test_file_write_all_goes_on_after_short_writes),
        TEST(test_dir_make_makes_parents_and_is_content_with_what_is_there),
        TEST(test_dir_names_are_sorted_by_bytes),
        TEST(test_dir_remove_of_an_absent_folder_is_good),
        TEST(test_dir_remove_follows_no_links),
        TEST(test_dir_remove_opens_unwritable_folders_on_its_way),
        TEST(test_dir_remove_of_a_deep_tree),
        TEST(test_file_lock_is_exclusive_and_names_the_holders_pid),
        TEST(test_file_lock_dies_with_its_process),
        TEST(test_file_is_locked_asks_the_lock_and_not_the_pid_in_it),
        TEST(test_file_that_cannot_be_asked_may_be_locked),
        TEST(test_file_lock_is_taken_while_somebody_asks),
        TEST(test_file_refuse_network_takes_a_local_folder_and_names_a_missing_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
