#include "tests/lib/runner_fixture.h"

#include "base/os/file.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534 };
#define PROGRAM_ENV "STEPCACHE_TEST_RUNNER"
static struct sc_slice shell_argv[3] = {SC_SLICE_LIT("/bin/sh"), SC_SLICE_LIT("-c"), {NULL, 0}};
static struct sc_slice shell_env[1] = {SC_SLICE_LIT("PATH=/usr/bin:/bin:/usr/sbin:/sbin")};

static char copied[64];

static void remove_copy(void)
{
    unlink(copied);
}

// The program of the build, copied to where an ordinary user can reach it: the checkout may lie in root's home. The
// ordinary user, who cannot even copy it, is told where root's copy is.
const char *fixture_program(void)
{
    char path[4096];
    const char *given = getenv(PROGRAM_ENV);
    if (given)
        return given;
    if (copied[0])
        return copied;
    const char *build = getenv("STEPCACHE_BUILD");
    if (!build) {
        print_message("skipped: STEPCACHE_BUILD is not set, so there is no runner\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/agent/runner/stepcache-runner", build);
    struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    assert_int_equal(sc_file_read(path, SIZE_MAX, &bytes, NULL), SC_OK);
    snprintf(copied, sizeof copied, "/tmp/stepcache-runner-%d", (int)getpid());
    sc_scratch_write(copied, sc_buf_slice(&bytes), 0755);
    assert_int_equal(chmod(copied, 0755), 0);
    sc_buf_done(&bytes);
    atexit(remove_copy);
    return copied;
}

static void make_file(const char *folder, const char *name, const char *text)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/%s", folder, name);
    SC_AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void fixture_make(struct runner_fixture *f)
{
    *f = (struct runner_fixture){.base = sc_strdup("/tmp/runner-test-XXXXXX")};
    umask(022);
    assert_non_null(mkdtemp(f->base));
    assert_int_equal(chmod(f->base, 0755), 0);
    f->hidden = sc_asprintf("%s/hidden", f->base);
    f->store = sc_asprintf("%s/store", f->hidden);
    f->work = sc_asprintf("%s/work/1", f->hidden);
    SC_AUTO_FREE char *tree = sc_asprintf("%s/tree", f->store);
    assert_int_equal(sc_dir_make(tree, 0755, NULL), SC_OK);
    assert_int_equal(sc_dir_make(f->work, 0755, NULL), SC_OK);
    make_file(f->store, "data", "cached\n");
    make_file(tree, "leaf", "cached\n");
}

void fixture_start(struct runner_fixture *f)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice hidden = sc_slice_str(f->hidden);
    struct sc_runner_config config = {.hidden = {&hidden, 1}};
    assert_int_equal(sc_runner_start(fixture_program(), &config, &f->runner, &err), SC_OK);
    struct sc_runner_event event;
    assert_int_equal(fixture_event(f, &event), SC_OK);
    assert_int_equal(event.kind, SC_RUNNER_CAPABILITIES);
    f->capabilities = event.capabilities;
    snprintf(f->reason, sizeof f->reason, SC_SLICE_FMT, SC_SLICE_ARG(event.capabilities.reason));
}

void fixture_done(struct runner_fixture *f)
{
    sc_runner_free(f->runner);
    assert_int_equal(sc_dir_remove(f->base, NULL), SC_OK);
    free(f->base);
    free(f->hidden);
    free(f->store);
    free(f->work);
    *f = (struct runner_fixture){0};
}

struct sc_launch fixture_launch(struct runner_fixture *f, const char *script)
{
    static struct sc_runner_input inputs[2];
    static char sources[2][4096];
    snprintf(sources[0], sizeof sources[0], "%s/data", f->store);
    snprintf(sources[1], sizeof sources[1], "%s/tree", f->store);
    inputs[0] = (struct sc_runner_input){sc_slice_str("data"), sc_slice_str(sources[0])};
    inputs[1] = (struct sc_runner_input){sc_slice_str("tree"), sc_slice_str(sources[1])};
    shell_argv[2] = sc_slice_str(script);
    return (struct sc_launch){.task = ++f->task,
                              .work = sc_slice_str(f->work),
                              .argv = {shell_argv, 3},
                              .env = {shell_env, 1},
                              .inputs = {inputs, f->capabilities.binds_inputs ? 2 : 0}};
}

static void launch(struct runner_fixture *f, const struct sc_launch *what, int out, int err_fd)
{
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_runner_launch(f->runner, what, out, err_fd, &err);
    if (rc != SC_OK)
        print_message("%s\n", err.message);
    assert_int_equal(rc, SC_OK);
    close(out);
    if (err_fd != out)
        close(err_fd);
}

int fixture_begin(struct runner_fixture *f, const struct sc_launch *what)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    launch(f, what, ends[1], ends[1]);
    return ends[0];
}

enum sc_rc fixture_any_event(struct runner_fixture *f, struct sc_runner_event *ret_event)
{
    struct sc_error err = SC_ERROR_INIT;
    for (;;) {
        enum sc_rc rc = sc_runner_next(f->runner, ret_event, &err);
        if (rc != SC_OK || ret_event->kind != SC_RUNNER_NOTHING)
            return rc;
        struct pollfd p = {.fd = sc_runner_fd(f->runner), .events = POLLIN};
        poll(&p, 1, -1);
    }
}

enum sc_rc fixture_event(struct runner_fixture *f, struct sc_runner_event *ret_event)
{
    enum sc_rc rc;
    do {
        rc = fixture_any_event(f, ret_event);
    } while (rc == SC_OK && ret_event->kind == SC_RUNNER_STARTED);
    return rc;
}

// Appends what is there; false at the end.
static bool drain(int fd, char *text, size_t size)
{
    size_t have = strlen(text);
    char lost[4096];
    bool full = have + 1 >= size;
    ssize_t n = full ? read(fd, lost, sizeof lost) : read(fd, text + have, size - 1 - have);
    if (n > 0 && !full)
        text[have + (size_t)n] = 0;
    return n > 0;
}

void fixture_run(struct runner_fixture *f, const struct sc_launch *what, struct outcome *ret_outcome)
{
    memset(ret_outcome, 0, sizeof *ret_outcome);
    int out[2], err[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    launch(f, what, out[1], err[1]);
    struct pollfd fds[3] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}, {sc_runner_fd(f->runner), POLLIN, 0}};
    bool done = false;
    while (!done || fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[0].fd >= 0 && fds[0].revents && !drain(out[0], ret_outcome->out, sizeof ret_outcome->out))
            fds[0].fd = -1;
        if (fds[1].fd >= 0 && fds[1].revents && !drain(err[0], ret_outcome->err, sizeof ret_outcome->err))
            fds[1].fd = -1;
        if (!fds[2].revents)
            continue;
        struct sc_runner_event event;
        assert_int_equal(fixture_any_event(f, &event), SC_OK);
        if (event.kind == SC_RUNNER_STARTED)
            continue;
        assert_int_equal(event.task, what->task);
        done = true;
        fds[2].fd = -1;
        ret_outcome->event = event;
        snprintf(ret_outcome->text, sizeof ret_outcome->text, SC_SLICE_FMT, SC_SLICE_ARG(event.text));
    }
    close(out[0]);
    close(err[0]);
}

void fixture_sh(struct runner_fixture *f, const char *script, struct outcome *ret_outcome)
{
    struct sc_launch what = fixture_launch(f, script);
    fixture_run(f, &what, ret_outcome);
}

void fixture_line(int fd, char *ret_line, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && read(fd, ret_line + n, 1) == 1 && ret_line[n] != '\n')
        n++;
    ret_line[n] = 0;
}

void fixture_until_end(int fd)
{
    char lost[4096];
    ssize_t n;
    while ((n = read(fd, lost, sizeof lost)) > 0 || (n < 0 && errno == EINTR))
        ;
    assert_int_equal(n, 0);
}

bool fixture_is_at_end(int fd)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 0) != 1)
            return false;
        char lost[4096];
        ssize_t n = read(fd, lost, sizeof lost);
        if (n <= 0)
            return n == 0;
    }
}

int fixture_as_ordinary_user(const char *name)
{
    pid_t child = fork();
    if (child == 0) {
        if (copied[0])
            setenv(PROGRAM_ENV, copied, 1);
        if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
            _exit(1);
        execl("/proc/self/exe", name, "user", NULL);
        if (errno == EACCES)
            print_message("skipped as an ordinary user: the build is out of its reach\n");
        _exit(errno == EACCES ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status != 0;
}
