// The agent's program: killed, started again, on a full disk. With a coordinator in miniature.
#include "tests/lib/agent_fixture.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct life {
    struct agent_fixture f;
    char *config, *bell;
    int bell_fd; // reading end of a FIFO that steps write to
    pid_t pid;
    bool mounted_store, mounted_work;
};

static int setup(void **state)
{
    struct life *l = sc_calloc(1, sizeof *l);
    *state = l;
    l->bell_fd = -1;
    if (!agent_fixture_make(&l->f))
        return 0;
    l->config = sc_asprintf("%s/agent.conf", l->f.folder);
    // Not in a hidden folder: the socket's, the test's own, is one.
    l->bell = sc_asprintf("/tmp/stepcache-bell-%d", (int)getpid());
    unlink(l->bell);
    assert_int_equal(mkfifo(l->bell, 0666), 0);
    l->bell_fd = open(l->bell, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    assert_true(l->bell_fd >= 0);
    SC_AUTO_FREE char *text =
        sc_asprintf("coordinator: %s\nstore: %s\nwork: %s\nrunner: %s\nname: a1\ncpus: 2\n", l->f.endpoint,
                    l->f.store, l->f.work, l->f.config.runner);
    sc_scratch_write(l->config, sc_slice_str(text), 0600);
    return 0;
}

static void start(struct life *l)
{
    SC_AUTO_FREE char *program = sc_asprintf("%s/agent/shell/step-agent", getenv("STEPCACHE_BUILD"));
    char *argv[] = {program, (char *)(uintptr_t) "--config", l->config, NULL};
    assert_int_equal(posix_spawn(&l->pid, program, NULL, NULL, argv, environ), 0);
    agent_fixture_await(&l->f, SC_MESSAGE_HELLO);
    agent_fixture_welcome(&l->f);
}

static int stop(struct life *l, int signal)
{
    int status = 0;
    kill(l->pid, signal);
    waitpid(l->pid, &status, 0);
    l->pid = 0;
    return status;
}

static int teardown(void **state)
{
    struct life *l = *state;
    if (l->pid)
        stop(l, SIGKILL);
    if (l->mounted_store)
        umount2(l->f.store, MNT_DETACH);
    if (l->mounted_work)
        umount2(l->f.work, MNT_DETACH);
    if (l->bell_fd >= 0)
        close(l->bell_fd);
    if (l->bell)
        unlink(l->bell);
    agent_fixture_done(&l->f);
    free(l->config);
    free(l->bell);
    free(l);
    return 0;
}

#define LIFE(l)                                                                                              \
    struct life *l = *state;                                                                                 \
    if (!l->config)                                                                                          \
    skip()

static void await_bell(struct life *l, const char *text)
{
    char got[64] = "";
    for (size_t used = 0; used < strlen(text);) {
        struct pollfd p = {.fd = l->bell_fd, .events = POLLIN};
        assert_true(poll(&p, 1, 60000) > 0);
        ssize_t n = read(l->bell_fd, got + used, strlen(text) - used);
        used += n > 0 ? (size_t)n : 0;
    }
    assert_string_equal(got, text);
}

// A script in which $BELL stands for the FIFO.
static struct sc_assignment *ringing(struct life *l, const char *script)
{
    struct sc_slice text = sc_arena_printf(&l->f.arena, "BELL=%s; %s", l->bell, script);
    return agent_fixture_script(&l->f, (const char *)text.ptr, NULL);
}

// Whether a process of ours still runs: it would hold the lock of this file.
static void test_killed_agent_takes_its_steps_along_and_the_next_clears_up(void **state)
{
    LIFE(l);
    start(l);
    agent_fixture_assign(
        &l->f, ringing(l, "head -c 100000 /dev/zero | tr '\\0' x; echo up > $BELL; mkfifo f; exec 3<> f; "
                          "echo left > out/left; read x <&3"));
    await_bell(l, "up\n");
    // The log is spooled once the agent has read it; a listener tells when.
    struct sc_message listen = {.type = SC_MESSAGE_LISTEN, .body.listen = {.attempt = l->f.attempt}};
    agent_fixture_send(&l->f, &listen);
    SC_AUTO_FREE char *all = sc_calloc(1, 100001);
    memset(all, 'x', 100000);
    agent_fixture_await_log(&l->f, SC_STREAM_STDOUT, all);
    stop(l, SIGKILL);
    start(l);
    assert_true(agent_fixture_is_clean(&l->f));
    const char *log = agent_fixture_named(&l->f, "v1/main/run/default/r1/train/1/stdout");
    assert_non_null(log);
    assert_int_equal(strlen(log), 100000);
    assert_string_equal(sc_outcome_name(agent_fixture_run(&l->f, ringing(l, "echo on > $BELL"))->outcome),
                        "ok");
    await_bell(l, "on\n");
    assert_int_equal(stop(l, SIGTERM), 0);
    assert_true(agent_fixture_is_empty(&l->f, "steps"));
}

static void test_second_program_names_the_first(void **state)
{
    LIFE(l);
    start(l);
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    SC_AUTO_FREE char *program = sc_asprintf("%s/agent/shell/step-agent", getenv("STEPCACHE_BUILD"));
    char *argv[] = {program, (char *)(uintptr_t) "--config", l->config, NULL};
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, fds[1], STDERR_FILENO);
    pid_t second;
    assert_int_equal(posix_spawn(&second, program, &files, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    close(fds[1]);
    char said[4096] = "";
    size_t used = 0;
    for (ssize_t n; (n = read(fds[0], said + used, sizeof said - 1 - used)) > 0;)
        used += (size_t)n;
    close(fds[0]);
    int status;
    waitpid(second, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    SC_AUTO_FREE char *pid = sc_asprintf("is held by process %d", (int)l->pid);
    assert_contains(said, pid);
}

static bool mount_small(const char *path, const char *size)
{
    SC_AUTO_FREE char *options = sc_asprintf("size=%s,mode=700", size);
    if (geteuid() != 0 || (mkdir(path, 0700) && errno != EEXIST) ||
        mount("stepcache-test", path, "tmpfs", 0, options)) {
        print_message("skipped: a tmpfs needs root\n");
        return false;
    }
    return true;
}

static void test_output_that_the_store_has_no_room_for_is_disk_full(void **state)
{
    LIFE(l);
    if (!mount_small(l->f.store, "3m"))
        skip();
    l->mounted_store = true;
    start(l);
    const struct sc_result *r = agent_fixture_run(
        &l->f, agent_fixture_script(&l->f, "head -c 8000000 /dev/zero > out/big", "big=big", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "disk-full");
    assert_contains(sc_arena_cstr(&l->f.arena, r->message), "step train: output big could not be stored");
    r = agent_fixture_run(&l->f, agent_fixture_script(&l->f, "echo > out/small", "small=small", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "ok");
}

static void test_step_that_fails_on_a_full_disk_is_disk_full(void **state)
{
    LIFE(l);
    if (!mount_small(l->f.work, "2m"))
        skip();
    l->mounted_work = true;
    start(l);
    const struct sc_result *r = agent_fixture_run(
        &l->f, agent_fixture_script(&l->f, "head -c 8000000 /dev/zero > out/big", "big=big", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "disk-full");
    assert_contains(sc_arena_cstr(&l->f.arena, r->message), "no space is left");
    // A log that does not fit is cut, and says so; the step is none the worse.
    r = agent_fixture_run(&l->f, agent_fixture_script(&l->f, "head -c 8000000 /dev/zero", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "ok");
    assert_true(r->stdout_.bytes < 8000000);
    assert_true(agent_fixture_is_clean(&l->f));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_killed_agent_takes_its_steps_along_and_the_next_clears_up),
        TEST(test_second_program_names_the_first),
        TEST(test_output_that_the_store_has_no_room_for_is_disk_full),
        TEST(test_step_that_fails_on_a_full_disk_is_disk_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
