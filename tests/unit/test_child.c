#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include "base/os/child.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_BYTES = 4096 };

struct ended {
    struct sc_buf out, errs;
    int status;
    struct sc_error err;
};

static enum sc_rc run(struct ended *ended, const char *script, int64_t timeout_ms, bool sweeps)
{
    static const char *const env[] = {"A=1", "PATH=/usr/bin:/bin", NULL};
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct sc_child child = {
        .argv = argv, .env = env, .timeout_ms = timeout_ms, .max_bytes = MAX_BYTES, .sweeps = sweeps};
    *ended = (struct ended){.status = -1};
    sc_buf_init(&ended->out, MAX_BYTES);
    sc_buf_init(&ended->errs, MAX_BYTES);
    return sc_child_run(&child, &ended->out, &ended->errs, &ended->status, &ended->err);
}

static enum sc_rc run_for(struct ended *ended, const char *script, int64_t timeout_ms)
{
    return run(ended, script, timeout_ms, false);
}

static void done(struct ended *ended)
{
    sc_buf_done(&ended->out);
    sc_buf_done(&ended->errs);
}

static void test_child_gives_both_streams_and_how_it_ended(void **state)
{
    struct ended ended;
    (void)state;
    assert_ok(run_for(&ended, "pwd; echo A=$A HOME=$HOME; cat; echo bad >&2; exit 3", 60000), ended.err);
    assert_string_equal(sc_buf_cstr(&ended.out), "/\nA=1 HOME=\n");
    assert_string_equal(sc_buf_cstr(&ended.errs), "bad\n");
    assert_true(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 3);
    done(&ended);
    assert_ok(run_for(&ended, "kill -TERM $$", 60000), ended.err);
    assert_true(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGTERM);
    done(&ended);
}

static void test_child_keeps_the_umask(void **state)
{
    struct ended ended;
    (void)state;
    mode_t before = umask(0077); // what a credential_process caches is nobody else's
    assert_ok(run_for(&ended, "umask", 60000), ended.err);
    umask(before);
    assert_string_equal(sc_buf_cstr(&ended.out), "0077\n");
    done(&ended);
}

static void test_child_that_does_not_end_is_killed_with_what_it_started(void **state)
{
    struct ended ended;
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    SC_AUTO_FREE char *script = sc_asprintf("exec 3>%s; sleep 1000 & sleep 1000", path);
    assert_rc(run_for(&ended, script, 200), SC_TIMEOUT);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0); // nobody holds its other end any more
    done(&ended);
}

// Two that left its session and its process group, one of them with a child and deaf to kindness.
static void assert_sweeps(const char *folder, const char *end, int64_t timeout_ms, enum sc_rc rc, int status)
{
    struct ended ended;
    SC_AUTO_FREE char *held = sc_scratch_path(folder, "held"), *bell = sc_scratch_path(folder, "bell");
    assert_true(mkfifo(held, 0600) == 0 || errno == EEXIST);
    assert_true(mkfifo(bell, 0600) == 0 || errno == EEXIST);
    SC_AUTO_CLOSE int fd = open(held, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    SC_AUTO_FREE char *script = sc_asprintf(
        "exec 3>%s; setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & echo up >%s; sleep 1000' & read up <%s; "
        "setsid sh -c 'echo up >%s; sleep 1000' & read up <%s; %s",
        held, bell, bell, bell, bell, end);
    assert_rc(run(&ended, script, timeout_ms, true), rc);
    assert_int_equal(ended.status, status);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0); // nobody holds its other end any more
    done(&ended);
}

static void test_child_that_is_swept_leaves_nothing_behind(void **state)
{
    assert_sweeps(*state, "exit 3", 60000, SC_OK, 3 << 8); // wait(2)
    assert_sweeps(*state, "kill -TERM $$", 60000, SC_OK, SIGTERM);
    assert_sweeps(*state, "sleep 1000", 500, SC_TIMEOUT, SIGKILL);
    struct ended ended;
    const char *const argv[] = {"/nowhere/to/be/found", NULL};
    struct sc_child child = {
        .argv = argv, .env = argv, .timeout_ms = 60000, .max_bytes = MAX_BYTES, .sweeps = true};
    sc_buf_init(&ended.out, MAX_BYTES);
    sc_buf_init(&ended.errs, MAX_BYTES);
    assert_rc(sc_child_run(&child, &ended.out, &ended.errs, &ended.status, &ended.err), SC_NOT_FOUND);
    done(&ended);
}

static void test_child_that_is_swept_leaves_nothing_when_its_caller_is_killed(void **state)
{
    SC_AUTO_FREE char *held = sc_scratch_path(*state, "held"), *ready = sc_scratch_path(*state, "ready");
    assert_int_equal(mkfifo(held, 0600) | mkfifo(ready, 0600), 0);
    SC_AUTO_CLOSE int fd = open(held, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    SC_AUTO_FREE char *script =
        sc_asprintf("exec 3>%s; setsid sh -c 'echo up >%s; sleep 1000' & sleep 1000", held, ready);
    pid_t caller = fork();
    if (caller == 0) {
        struct ended ended;
        _exit(run(&ended, script, 600000, true) == SC_OK);
    }
    SC_AUTO_CLOSE int up = open(ready, O_RDONLY | O_CLOEXEC);
    char byte;
    assert_int_equal(read(up, &byte, 1), 1);
    assert_int_equal(kill(caller, SIGKILL), 0);
    assert_int_equal(waitpid(caller, NULL, 0), caller);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(read(fd, &byte, 1), 0);
}

static void test_child_ends_when_it_is_not_waited_for_any_more(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    SC_AUTO_CLOSE int fd =
        open(path, O_RDWR | O_CLOEXEC); // ready to be read once the child has written to it
    SC_AUTO_FREE char *script = sc_asprintf("echo here >%s; sleep 1000", path);
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct sc_child child = {
        .argv = argv, .env = env, .timeout_ms = 600000, .max_bytes = MAX_BYTES, .stop_fd = fd};
    SC_AUTO_BUF struct sc_buf out, errs;
    struct sc_error err = SC_ERROR_INIT;
    int status = -1;
    sc_buf_init(&out, MAX_BYTES);
    sc_buf_init(&errs, MAX_BYTES);
    assert_rc(sc_child_run(&child, &out, &errs, &status, &err), SC_INTERRUPTED);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_child_that_prints_too_much_is_an_error(void **state)
{
    struct ended ended;
    (void)state;
    assert_ok(run_for(&ended, "head -c 4096 /dev/zero", 60000), ended.err);
    assert_int_equal(ended.out.len, MAX_BYTES);
    done(&ended);
    assert_rc(run_for(&ended, "head -c 4097 /dev/zero", 60000), SC_LIMIT);
    done(&ended);
    assert_rc(run_for(&ended, "head -c 4097 /dev/zero >&2", 60000), SC_LIMIT);
    done(&ended);
}

static void test_child_that_is_not_there_is_named(void **state)
{
    static const char *const argv[] = {"/nowhere/program", NULL}, *const env[] = {NULL};
    struct sc_child child = {.argv = argv, .env = env, .timeout_ms = 60000, .max_bytes = MAX_BYTES};
    SC_AUTO_BUF struct sc_buf out, errs;
    struct sc_error err = SC_ERROR_INIT;
    int status = 0;
    (void)state;
    sc_buf_init(&out, MAX_BYTES);
    sc_buf_init(&errs, MAX_BYTES);
    assert_rc(sc_child_run(&child, &out, &errs, &status, &err), SC_NOT_FOUND);
    assert_contains(err.message, "/nowhere/program");
}

static void test_child_find_takes_the_first_that_may_be_run(void **state)
{
    const char *folder = *state;
    SC_AUTO_FREE char *file = sc_scratch_path(folder, "thing"), *more = sc_scratch_path(folder, "more");
    SC_AUTO_FREE char *inner = sc_scratch_path(more, "thing");
    assert_int_equal(mkdir(more, 0700), 0);
    sc_scratch_write(file, sc_slice_str("x"), 0600);
    sc_scratch_write(inner, sc_slice_str("x"), 0700);
    SC_AUTO_FREE char *path = sc_asprintf("/nowhere::%s:%s", folder, more);
    SC_AUTO_FREE char *found = sc_child_find("thing", path);
    assert_string_equal(found, inner);
    SC_AUTO_FREE char *as_is = sc_child_find("./thing", path);
    assert_string_equal(as_is, "./thing");
    assert_null(sc_child_find("more", folder)); // a folder is no program
    assert_null(sc_child_find("thing", "/nowhere"));
    assert_null(sc_child_find("thing", ""));
    SC_AUTO_FREE char *shell = sc_child_find("sh", NULL);
    assert_non_null(shell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_gives_both_streams_and_how_it_ended),
        cmocka_unit_test(test_child_keeps_the_umask),
        cmocka_unit_test_setup_teardown(test_child_that_is_swept_leaves_nothing_when_its_caller_is_killed,
                                        sc_scratch_setup, sc_scratch_teardown),
        cmocka_unit_test_setup_teardown(test_child_that_is_swept_leaves_nothing_behind, sc_scratch_setup,
                                        sc_scratch_teardown),
        cmocka_unit_test_setup_teardown(test_child_that_does_not_end_is_killed_with_what_it_started,
                                        sc_scratch_setup, sc_scratch_teardown),
        cmocka_unit_test_setup_teardown(test_child_ends_when_it_is_not_waited_for_any_more, sc_scratch_setup,
                                        sc_scratch_teardown),
        cmocka_unit_test(test_child_that_prints_too_much_is_an_error),
        cmocka_unit_test(test_child_that_is_not_there_is_named),
        cmocka_unit_test_setup_teardown(test_child_find_takes_the_first_that_may_be_run, sc_scratch_setup,
                                        sc_scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
