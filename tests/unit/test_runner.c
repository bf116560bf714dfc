// The runner as its agent sees it: how steps start, end, are stopped and leave nothing behind. Every test but those
// that say so holds with and without namespaces, for root and for an ordinary user, and is run in all four ways.
#include "tests/lib/runner_fixture.h"

#include "base/os/clock.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// A step that stays until it is killed, after it said so on standard output.
#define STAY "echo here; exec tail -f /dev/null"

static bool is_plain;

static int setup(void **state)
{
    struct runner_fixture *f = sc_calloc(1, sizeof *f);
    fixture_make(f);
    fixture_start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct runner_fixture *f = *state;
    fixture_done(f);
    free(f);
    return 0;
}

static int group_plain(void **state)
{
    (void)state;
    is_plain = true;
    return setenv(SC_RUNNER_FORCE_ENV, "plain", 1);
}

static int group_plain_done(void **state)
{
    (void)state;
    is_plain = false;
    return unsetenv(SC_RUNNER_FORCE_ENV);
}

static bool has_view(const struct runner_fixture *f)
{
    return f->capabilities.assurance == SC_RUNNER_ASSURANCE_NAMESPACES;
}

static void skip_for(const char *why)
{
    print_message("skipped: %s\n", why);
    skip();
}

static void test_capabilities_say_what_holds(void **state)
{
    struct runner_fixture *f = *state;
    if (is_plain) {
        assert_false(has_view(f));
        assert_non_null(strstr(f->reason, SC_RUNNER_FORCE_ENV));
    }
    assert_int_equal(f->capabilities.binds_inputs, has_view(f));
    assert_int_equal(f->reason[0] == 0, has_view(f));
}

static void test_exit_code_is_told(void **state)
{
    struct outcome o;
    fixture_sh(*state, "exit 42", &o);
    assert_int_equal(o.event.kind, SC_RUNNER_ENDED);
    assert_int_equal(o.event.exit_code, 42);
    assert_int_equal(o.event.signal, 0);
    assert_false(o.event.oom);
    assert_true(o.event.max_rss_bytes > 0);
    assert_true(o.event.ended_ms >= o.event.started_ms);
}

static void test_a_step_that_stays_is_told_started_once(void **state)
{
    struct runner_fixture *f = *state;
    int64_t before_ms = sc_clock_mono_ms();
    struct sc_launch launch = fixture_launch(f, "mkfifo f; echo up; read x < f");
    SC_AUTO_CLOSE int out = fixture_begin(f, &launch);
    char line[64];
    fixture_line(out, line, sizeof line);
    struct sc_runner_event event;
    assert_int_equal(fixture_any_event(f, &event), SC_OK);
    assert_int_equal(event.kind, SC_RUNNER_STARTED);
    assert_int_equal(event.task, launch.task);
    assert_int_equal(kill((pid_t)event.pid, 0), 0);
    assert_true(event.started_mono_ms >= before_ms);
    assert_true(sc_clock_mono_ms() - event.started_mono_ms >= SC_RUNNER_STAYS_MS);
    assert_int_equal(sc_runner_signal(f->runner, launch.task + 1, SIGTERM, NULL), SC_OK); // wakes the runner
    SC_AUTO_FREE char *fifo = sc_asprintf("%s/f", f->work);
    close(open(fifo, O_WRONLY | O_CLOEXEC)); // lets the step end, however late
    assert_int_equal(fixture_any_event(f, &event), SC_OK);
    assert_int_equal(event.kind, SC_RUNNER_ENDED);
    assert_true(event.started_ms > 0 && event.ended_ms >= event.started_ms);
}

static void test_abort_shows_as_its_signal(void **state)
{
    struct outcome o;
    fixture_sh(*state, "ulimit -c 0; kill -ABRT $$; exit 1", &o);
    assert_int_equal(o.event.kind, SC_RUNNER_ENDED);
    assert_int_equal(o.event.signal, SIGABRT);
}

static void test_exec_failure_names_command_and_reason(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_launch launch = fixture_launch(f, "");
    struct sc_slice argv[] = {SC_SLICE_LIT("python4")};
    launch.argv.items = argv;
    launch.argv.count = 1;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_int_equal(o.event.kind, SC_RUNNER_FAILED);
    assert_int_equal(o.event.sys_errno, ENOENT);
    assert_string_equal(o.text, "exec python4: No such file or directory");
}

static void test_work_is_current_folder_and_home(void **state)
{
    struct runner_fixture *f = *state;
    struct outcome o;
    fixture_sh(f, "pwd; echo $HOME; echo made > made", &o);
    SC_AUTO_FREE char *real = realpath(f->work, NULL);
    SC_AUTO_FREE char *expected =
        has_view(f) ? sc_strdup("/work\n/work\n") : sc_asprintf("%s\n%s\n", real, f->work);
    assert_string_equal(o.out, expected);
    SC_AUTO_FREE char *made = sc_asprintf("%s/made", f->work);
    assert_int_equal(access(made, F_OK), 0);
}

static void test_environment_is_exactly_what_was_given(void **state)
{
    struct runner_fixture *f = *state;
    setenv("LEAK", "from the agent", 1);
    struct sc_launch launch = fixture_launch(f, "");
    struct sc_slice argv[] = {SC_SLICE_LIT("env")};
    struct sc_slice env[] = {SC_SLICE_LIT("B=2"), SC_SLICE_LIT("HOME=/x"), SC_SLICE_LIT("A=\xff bytes"),
                             SC_SLICE_LIT("PATH=/usr/bin:/bin")};
    launch.argv.items = argv;
    launch.argv.count = 1;
    launch.env.items = env;
    launch.env.count = SC_COUNT(env);
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_string_equal(o.out, "B=2\nHOME=/x\nA=\xff bytes\nPATH=/usr/bin:/bin\n");
}

static void test_step_starts_bare(void **state)
{
    struct outcome o;
    // umask, nothing on standard input, descriptors 0 to 2 only (ls has its own as 3), no signal ignored or blocked.
    fixture_sh(*state,
               "umask; cat; ls /proc/self/fd | tr '\\n' ' '; echo; grep -E 'Sig(Blk|Ign)' /proc/self/status;"
               "grep NoNewPrivs /proc/self/status; echo error >&2",
               &o);
    assert_string_equal(
        o.out, "0022\n0 1 2 3 \nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t1\n");
    assert_string_equal(o.err, "error\n");
}

static void test_long_command_lines_arrive_whole(void **state)
{
    struct runner_fixture *f = *state;
    enum { WORDS = 1024, WORD_BYTES = 2000 };
    struct sc_launch launch = fixture_launch(f, "echo $#");
    SC_AUTO_FREE struct sc_slice *argv = sc_calloc(WORDS + 4, sizeof *argv);
    SC_AUTO_FREE char *word = sc_calloc(WORD_BYTES, 1);
    memset(word, 'x', WORD_BYTES);
    for (size_t i = 0; i < WORDS + 4; i++)
        argv[i] = i < 3 ? launch.argv.items[i] : sc_slice(word, i == 3 ? 1 : WORD_BYTES);
    launch.argv.items = argv;
    launch.argv.count = WORDS + 4;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_string_equal(o.out, "1024\n");
}

static void expect_refusal(struct runner_fixture *f, const struct sc_launch *launch, const char *words)
{
    struct outcome o;
    fixture_run(f, launch, &o);
    assert_int_equal(o.event.kind, SC_RUNNER_FAILED);
    if (!strstr(o.text, words))
        print_message("%s\n", o.text);
    assert_non_null(strstr(o.text, words));
}

static void test_invalid_launches_are_refused_by_name(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_launch launch = fixture_launch(f, "true");
    launch.network = SC_RUNNER_NETWORK_NONE;
    expect_refusal(f, &launch, "network none is not supported");
    launch = fixture_launch(f, "true");
    launch.work = sc_slice_str("work");
    expect_refusal(f, &launch, "not an absolute path");
    launch = fixture_launch(f, "true");
    launch.argv.count = 0;
    expect_refusal(f, &launch, "no command");
    launch = fixture_launch(f, "true");
    launch.work = sc_slice_str("/does/not/exist");
    expect_refusal(f, &launch, "/does/not/exist: No such file or directory");
    launch = fixture_launch(f, "true");
    struct sc_runner_input input = {sc_slice_str("x/y"), sc_slice_str("/etc")};
    launch.inputs.items = &input;
    launch.inputs.count = 1;
    expect_refusal(f, &launch, has_view(f) ? "not one path component" : "to be copied");
    input.name = sc_slice_str("gone");
    input.source = sc_slice_str("/does/not/exist");
    expect_refusal(f, &launch,
                   has_view(f) ? "bind input gone: /does/not/exist: No such file" : "to be copied");
    struct outcome o;
    fixture_sh(f, "exit 3", &o); // and it goes on
    assert_int_equal(o.event.exit_code, 3);
}

static void test_inputs_are_at_their_names(void **state)
{
    struct runner_fixture *f = *state;
    if (!has_view(f))
        skip_for("inputs are bound with namespaces only");
    struct outcome o;
    fixture_sh(f, "cat in/data in/tree/leaf; ls -A in", &o);
    assert_string_equal(o.out, "cached\ncached\ndata\ntree\n");
    fixture_sh(f, "cat in/data", &o); // in the same folder: the mount points are there already
    assert_string_equal(o.out, "cached\n");
}

// A child in a session of its own, a daemonised grandchild, both with standard output open.
#define LEAVE                                                                                                \
    "setsid sh -c 'echo child; exec tail -f /dev/null' &"                                                    \
    "(setsid sh -c 'trap \"\" TERM HUP; echo grandchild; (exec tail -f /dev/null)' &) ; "

static void test_nothing_of_a_step_outlives_its_end(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_launch launch = fixture_launch(f, "mkfifo f; " LEAVE "exec sh -c 'read x < f'");
    SC_AUTO_CLOSE int out = fixture_begin(f, &launch);
    char line[64];
    fixture_line(out, line, sizeof line); // both are up, in either order
    fixture_line(out, line, sizeof line);
    SC_AUTO_FREE char *fifo = sc_asprintf("%s/f", f->work);
    close(open(fifo, O_WRONLY | O_CLOEXEC)); // lets the step end
    struct sc_runner_event event;
    assert_int_equal(fixture_event(f, &event), SC_OK);
    assert_int_equal(event.kind, SC_RUNNER_ENDED);
    assert_int_equal(event.signal, 0);
    assert_true(fixture_is_at_end(out));
}

static void test_term_reaches_every_process_and_kill_ends_all(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_launch launch =
        fixture_launch(f, "(trap 'echo child; exit' TERM; echo up; while :; do read x < /dev/null || wait; "
                          "tail -f /dev/null & wait; done) &"
                          "trap 'echo step' TERM; echo up; while :; do tail -f /dev/null & wait $!; done");
    SC_AUTO_CLOSE int out = fixture_begin(f, &launch);
    char lines[2][64];
    fixture_line(out, lines[0], sizeof lines[0]);
    fixture_line(out, lines[0], sizeof lines[0]);
    assert_int_equal(sc_runner_signal(f->runner, launch.task, SIGTERM, NULL), SC_OK);
    fixture_line(out, lines[0], sizeof lines[0]);
    fixture_line(out, lines[1], sizeof lines[1]);
    assert_true(strcmp(lines[0], lines[1]) != 0); // "child" and "step"
    assert_int_equal(sc_runner_signal(f->runner, launch.task, SIGKILL, NULL), SC_OK);
    struct sc_runner_event event;
    assert_int_equal(fixture_event(f, &event), SC_OK);
    assert_int_equal(event.kind, SC_RUNNER_ENDED);
    assert_int_equal(event.signal, SIGKILL);
    assert_true(fixture_is_at_end(out));
    // A task that is no more is passed over.
    assert_int_equal(sc_runner_signal(f->runner, launch.task, SIGTERM, NULL), SC_OK);
    struct outcome o;
    fixture_sh(f, "exit 5", &o);
    assert_int_equal(o.event.exit_code, 5);
}

static void test_memory_limit_is_told_as_oom(void **state)
{
    struct runner_fixture *f = *state;
    if (!f->capabilities.limits_memory)
        skip_for("no memory control group is to be had");
    struct sc_launch launch = fixture_launch(f, "exec tail /dev/zero"); // keeps all of a line that never ends
    launch.limits.memory_bytes = 64 << 20;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_int_equal(o.event.kind, SC_RUNNER_ENDED);
    assert_int_equal(o.event.signal, SIGKILL);
    assert_true(o.event.oom);
    assert_true(o.event.max_rss_bytes > 32 << 20);
    // 137 alone is no OOM.
    launch = fixture_launch(f, "kill -KILL $$");
    launch.limits.memory_bytes = 64 << 20;
    fixture_run(f, &launch, &o);
    assert_int_equal(o.event.signal, SIGKILL);
    assert_false(o.event.oom);
}

static void test_memory_limit_without_cgroup_is_of_data(void **state)
{
    struct runner_fixture *f = *state;
    if (f->capabilities.limits_memory)
        skip_for("a memory control group does it");
    struct sc_launch launch = fixture_launch(f, "ulimit -d");
    launch.limits.memory_bytes = 64 << 20;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_string_equal(o.out, "65536\n"); // KiB
}

static void test_process_limit_holds(void **state)
{
    struct runner_fixture *f = *state;
    if (!f->capabilities.limits_processes)
        skip_for("no pids control group is to be had");
    struct sc_launch launch =
        fixture_launch(f, "for i in 1 2 3 4 5 6 7 8; do tail -f /dev/null & done; echo not reached");
    launch.limits.processes = 4;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_int_equal(o.event.kind, SC_RUNNER_ENDED);
    assert_string_equal(o.out, "");
    assert_true(o.event.exit_code != 0);
}

static void test_cpu_limit_is_set(void **state)
{
    struct runner_fixture *f = *state;
    if (!f->capabilities.limits_cpu)
        skip_for("no cpu control group is to be had");
    struct sc_launch launch = fixture_launch(
        f,
        f->capabilities.cgroup == SC_RUNNER_CGROUP_V2
            ? "cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/cpu.max"
            : "cat /sys/fs/cgroup/cpu$(sed -n 's/^[0-9]*:cpu\\(,cpuacct\\)\\{0,1\\}://p' /proc/self/cgroup "
              "| head -n 1)/cpu.cfs_quota_us");
    launch.limits.cpus_milli = 1500;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_int_equal(strncmp(o.out, "150000", 6), 0);
}

// A runner of another pid namespace, such as a container's, that uses the same control groups: starts and ends.
static void run_in_another_pid_namespace(const struct runner_fixture *f)
{
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWPID))
            _exit(1);
        pid_t inside = fork(), ended;
        if (inside == 0) {
            struct runner_fixture own = *f;
            fixture_start(&own);
            sc_runner_free(own.runner);
            _exit(0);
        }
        int status = 1;
        while ((ended = waitpid(inside, &status, 0)) < 0 && errno == EINTR)
            ;
        _exit(ended == inside && status == 0 ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_limits_hold_beside_a_runner_of_another_pid_namespace(void **state)
{
    struct runner_fixture *f = *state;
    if (geteuid() != 0)
        skip_for("needs root");
    if (!f->capabilities.limits_cpu)
        skip_for("no cpu control group is to be had");
    run_in_another_pid_namespace(f);
    struct sc_launch launch = fixture_launch(f, "exit 7");
    launch.limits.cpus_milli = 1500;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_string_equal(o.text, "");
    assert_int_equal(o.event.exit_code, 7);
}

// The step's group of the cpu hierarchy, "stepcache-<runner>/t<n>"; the caller frees it.
static char *cpu_group_of(struct runner_fixture *f, const struct sc_runner_limits *limits)
{
    struct sc_launch launch = fixture_launch(
        f, f->capabilities.cgroup == SC_RUNNER_CGROUP_V2
               ? "sed -n 's,^0::.*/stepcache-,,p' /proc/self/cgroup"
               : "sed -n 's,^[0-9]*:cpu\\(\\,cpuacct\\)\\{0\\,1\\}:.*/stepcache-,,p' /proc/self/cgroup");
    launch.limits = *limits;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_int_equal(o.event.kind, SC_RUNNER_ENDED);
    assert_non_null(strstr(o.out, "/t"));
    return sc_strdup(o.out);
}

static void test_group_serves_the_next_step_with_the_same_limits_only(void **state)
{
    struct runner_fixture *f = *state;
    if (!f->capabilities.limits_cpu)
        skip_for("no cpu control group is to be had");
    const struct sc_runner_limits one = {.cpus_milli = 1000}, half = {.cpus_milli = 500},
                                  memory = {.cpus_milli = 1000, .memory_bytes = 64 << 20};
    SC_AUTO_FREE char *first = cpu_group_of(f, &one), *again = cpu_group_of(f, &one),
                      *other = cpu_group_of(f, &half), *counted = cpu_group_of(f, &memory),
                      *counted_again = cpu_group_of(f, &memory), *last = cpu_group_of(f, &one);
    // Without a pid namespace somebody could be left in it.
    assert_int_equal(strcmp(first, again) == 0, has_view(f));
    assert_int_equal(strcmp(first, last) == 0, has_view(f));
    assert_string_not_equal(first, other);
    assert_string_not_equal(first, counted);
    if (f->capabilities.limits_memory)
        assert_string_not_equal(counted, counted_again);
}

static void test_open_files_limit_holds(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_launch launch = fixture_launch(f, "ulimit -n; ulimit -Hn");
    launch.limits.open_files = 77;
    struct outcome o;
    fixture_run(f, &launch, &o);
    assert_string_equal(o.out, "77\n77\n");
}

static void test_twenty_steps_at_once(void **state)
{
    struct runner_fixture *f = *state;
    enum { STEPS = 20 };
    int outs[STEPS];
    uint64_t first = f->task + 1;
    for (int i = 0; i < STEPS; i++) {
        struct sc_launch launch = fixture_launch(f, STAY);
        outs[i] = fixture_begin(f, &launch);
    }
    for (int i = 0; i < STEPS; i++) { // all of them run now
        char line[64];
        fixture_line(outs[i], line, sizeof line);
        assert_string_equal(line, "here");
    }
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(sc_runner_signal(f->runner, first + (uint64_t)i, SIGTERM, NULL), SC_OK);
    uint64_t sum = 0;
    for (int i = 0; i < STEPS; i++) {
        struct sc_runner_event event;
        assert_int_equal(fixture_event(f, &event), SC_OK);
        assert_int_equal(event.kind, SC_RUNNER_ENDED);
        assert_int_equal(event.signal, SIGTERM);
        sum += event.task - first;
    }
    assert_int_equal(sum, STEPS * (STEPS - 1) / 2);
    for (int i = 0; i < STEPS; i++)
        close(outs[i]);
}

// ---- launches that wait

// A step that runs until it is let go; its task.
static uint64_t begin_held(struct runner_fixture *f, int *ret_out)
{
    struct sc_launch launch = fixture_launch(f, "mkfifo f; echo up; read x < f; rm f");
    *ret_out = fixture_begin(f, &launch);
    char line[64];
    fixture_line(*ret_out, line, sizeof line);
    return launch.task;
}

static void let_go(struct runner_fixture *f)
{
    SC_AUTO_FREE char *fifo = sc_asprintf("%s/f", f->work);
    close(open(fifo, O_WRONLY | O_CLOEXEC));
}

static uint64_t begin_after(struct runner_fixture *f, uint64_t task, const char *script)
{
    struct sc_launch launch = fixture_launch(f, script);
    launch.after = task;
    close(fixture_begin(f, &launch));
    return launch.task;
}

#define expect_event(f, wanted, of)                                                                          \
    do {                                                                                                     \
        struct sc_runner_event event_;                                                                       \
        assert_int_equal(fixture_event(f, &event_), SC_OK);                                                  \
        assert_int_equal(event_.task, of);                                                                   \
        assert_int_equal(event_.kind, wanted);                                                               \
    } while (0)

static void test_launch_waits_for_the_end_of_another(void **state)
{
    struct runner_fixture *f = *state;
    SC_AUTO_CLOSE int out = -1;
    uint64_t held = begin_held(f, &out);
    uint64_t second = begin_after(f, held, "test ! -e f"), third = begin_after(f, second, "true");
    struct outcome o;
    fixture_sh(f, "exit 5", &o); // meanwhile others run, and no event of those two comes
    assert_int_equal(o.event.exit_code, 5);
    let_go(f);
    expect_event(f, SC_RUNNER_ENDED, held);
    struct sc_runner_event event;
    assert_int_equal(fixture_event(f, &event), SC_OK);
    assert_int_equal(event.task, second);
    assert_int_equal(event.exit_code, 0); // the first one was over when it began
    expect_event(f, SC_RUNNER_ENDED, third);
    uint64_t late = begin_after(f, held, "true"); // what it would wait for is over
    expect_event(f, SC_RUNNER_ENDED, late);
}

static void test_launch_that_waits_can_be_withdrawn(void **state)
{
    struct runner_fixture *f = *state;
    SC_AUTO_CLOSE int out = -1;
    uint64_t held = begin_held(f, &out), second = begin_after(f, held, "touch ran"),
             third = begin_after(f, second, "touch third");
    assert_int_equal(sc_runner_signal(f->runner, second, SIGTERM, NULL), SC_OK);
    expect_event(f, SC_RUNNER_WITHDRAWN, second);
    expect_event(f, SC_RUNNER_ENDED, third); // what it waited for is over
    let_go(f);
    expect_event(f, SC_RUNNER_ENDED, held);
    struct outcome o;
    fixture_sh(f, "test -e third && test ! -e ran", &o);
    assert_int_equal(o.event.exit_code, 0);
}

static void test_launch_that_waits_starts_when_it_is_told(void **state)
{
    struct runner_fixture *f = *state;
    SC_AUTO_CLOSE int out = -1;
    uint64_t held = begin_held(f, &out), second = begin_after(f, held, "exit 0");
    assert_int_equal(sc_runner_go(f->runner, second, NULL), SC_OK);
    expect_event(f, SC_RUNNER_ENDED, second);
    assert_int_equal(sc_runner_go(f->runner, second, NULL), SC_OK); // it is no more
    assert_int_equal(sc_runner_go(f->runner, held, NULL), SC_OK);   // it does not wait
    let_go(f);
    expect_event(f, SC_RUNNER_ENDED, held);
}

static void test_launch_that_waited_and_fails_is_told_after_the_end_and_holds_nobody_up(void **state)
{
    struct runner_fixture *f = *state;
    SC_AUTO_CLOSE int out = -1;
    uint64_t held = begin_held(f, &out);
    struct sc_launch launch = fixture_launch(f, "");
    struct sc_slice argv[] = {SC_SLICE_LIT("python4")};
    launch.argv.items = argv;
    launch.argv.count = 1;
    launch.after = held;
    close(fixture_begin(f, &launch));
    uint64_t last = begin_after(f, launch.task, "true");
    struct sc_launch invalid = fixture_launch(f, "true");
    invalid.work = sc_slice_str("work");
    invalid.after = held;
    close(fixture_begin(f, &invalid));
    expect_event(f, SC_RUNNER_FAILED, invalid.task); // at once
    let_go(f);
    expect_event(f, SC_RUNNER_ENDED, held);
    expect_event(f, SC_RUNNER_FAILED, launch.task);
    expect_event(f, SC_RUNNER_ENDED, last);
    if (!f->capabilities.limits_cpu)
        return;
    close(out);
    held = begin_held(f, &out);
    launch = fixture_launch(f, "true"); // does not even get a process
    launch.limits.cpus_milli = 1000000000000;
    launch.after = held;
    close(fixture_begin(f, &launch));
    last = begin_after(f, launch.task, "true");
    let_go(f);
    expect_event(f, SC_RUNNER_ENDED, held);
    expect_event(f, SC_RUNNER_FAILED, launch.task);
    expect_event(f, SC_RUNNER_ENDED, last);
}

static void test_what_waits_never_starts_when_the_client_is_gone(void **state)
{
    struct runner_fixture *f = *state;
    SC_AUTO_CLOSE int out = -1;
    uint64_t held = begin_held(f, &out);
    for (uint64_t i = 0; i < 50; i++)
        begin_after(f, i ? f->task : held, "touch ran");
    sc_runner_free(f->runner); // kills the first one, whose end the others wait for
    f->runner = NULL;
    assert_true(fixture_is_at_end(out));
    SC_AUTO_FREE char *ran = sc_asprintf("%s/ran", f->work);
    assert_int_equal(access(ran, F_OK), -1);
}

static void test_steps_die_with_a_killed_runner_and_the_client_says_closed(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_launch launch = fixture_launch(f, LEAVE STAY);
    SC_AUTO_CLOSE int out = fixture_begin(f, &launch);
    char line[64];
    for (int i = 0; i < 3; i++)
        fixture_line(out, line, sizeof line);
    kill(sc_runner_pid(f->runner), SIGKILL);
    fixture_until_end(out);
    struct sc_runner_event event;
    assert_int_equal(fixture_event(f, &event), SC_CLOSED);
    assert_int_equal(sc_runner_launch(f->runner, &launch, out, out, NULL), SC_CLOSED);
    sc_runner_free(f->runner);
    fixture_start(f); // another can be started
    struct outcome o;
    fixture_sh(f, "exit 6", &o);
    assert_int_equal(o.event.exit_code, 6);
}

// Without namespaces a runner and an init that are killed together leave what the step had put into the background.
static void test_next_runner_ends_what_dead_ones_left_in_their_groups(void **state)
{
    struct runner_fixture *f = *state;
    if (!f->capabilities.limits_cpu)
        skip_for("no cpu control group is to be had");
    struct sc_launch launch = fixture_launch(f, LEAVE STAY);
    launch.limits.cpus_milli = 1500;
    SC_AUTO_CLOSE int out = fixture_begin(f, &launch);
    char line[64];
    for (int i = 0; i < 3; i++)
        fixture_line(out, line, sizeof line);
    struct sc_runner_event event = {.kind = SC_RUNNER_NOTHING};
    while (event.kind == SC_RUNNER_NOTHING)
        assert_int_equal(sc_runner_next(f->runner, &event, NULL), SC_OK);
    assert_int_equal(event.kind, SC_RUNNER_STARTED);
    kill(sc_runner_pid(f->runner), SIGSTOP);
    kill((pid_t)event.pid, SIGKILL);
    kill(sc_runner_pid(f->runner), SIGKILL);
    sc_runner_free(f->runner);
    if (!has_view(f))
        assert_false(fixture_is_at_end(out));
    fixture_start(f);
    fixture_until_end(out);
}

static void test_steps_die_with_the_client(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_launch launch = fixture_launch(f, LEAVE STAY);
    SC_AUTO_CLOSE int out = fixture_begin(f, &launch);
    char line[64];
    for (int i = 0; i < 3; i++)
        fixture_line(out, line, sizeof line);
    sc_runner_free(f->runner);
    f->runner = NULL;
    assert_true(fixture_is_at_end(out));
}

static void test_steps_die_with_a_killed_agent(void **state)
{
    struct runner_fixture *f = *state;
    int up[2], out[2];
    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t agent = fork();
    if (agent == 0) {
        struct runner_fixture own = *f;
        fixture_start(&own);
        struct sc_launch launch = fixture_launch(&own, LEAVE STAY);
        if (sc_runner_launch(own.runner, &launch, out[1], out[1], NULL) != SC_OK)
            _exit(1);
        close(out[1]);
        for (;;)
            pause();
    }
    close(up[0]);
    close(up[1]);
    close(out[1]);
    char line[64];
    for (int i = 0; i < 3; i++)
        fixture_line(out[0], line, sizeof line);
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    fixture_until_end(out[0]);
    close(out[0]);
}

static void test_missing_hidden_folder_is_an_error(void **state)
{
    struct runner_fixture *f = *state;
    struct sc_slice hidden = SC_SLICE_LIT("/does/not/exist");
    struct sc_runner_config config = {.hidden = {&hidden, 1}};
    struct runner_fixture other = {0};
    assert_int_equal(sc_runner_start(fixture_program(), &config, &other.runner, NULL), SC_OK);
    struct sc_runner_event event;
    assert_int_equal(fixture_event(&other, &event), SC_CLOSED);
    sc_runner_free(other.runner);
    (void)f;
}

static void test_schemas_are_valid(void **state)
{
    (void)state;
    assert_true(sc_schema_is_valid(&sc_schema_runner_config));
    assert_true(sc_schema_is_valid(&sc_schema_runner_launch));
    assert_true(sc_schema_is_valid(&sc_schema_runner_go));
    assert_true(sc_schema_is_valid(&sc_schema_runner_signal));
    assert_true(sc_schema_is_valid(&sc_schema_runner_event));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_capabilities_say_what_holds),
        TEST(test_exit_code_is_told),
        TEST(test_a_step_that_stays_is_told_started_once),
        TEST(test_abort_shows_as_its_signal),
        TEST(test_exec_failure_names_command_and_reason),
        TEST(test_work_is_current_folder_and_home),
        TEST(test_environment_is_exactly_what_was_given),
        TEST(test_step_starts_bare),
        TEST(test_long_command_lines_arrive_whole),
        TEST(test_invalid_launches_are_refused_by_name),
        TEST(test_inputs_are_at_their_names),
        TEST(test_nothing_of_a_step_outlives_its_end),
        TEST(test_term_reaches_every_process_and_kill_ends_all),
        TEST(test_memory_limit_is_told_as_oom),
        TEST(test_memory_limit_without_cgroup_is_of_data),
        TEST(test_process_limit_holds),
        TEST(test_cpu_limit_is_set),
        TEST(test_limits_hold_beside_a_runner_of_another_pid_namespace),
        TEST(test_group_serves_the_next_step_with_the_same_limits_only),
        TEST(test_open_files_limit_holds),
        TEST(test_twenty_steps_at_once),
        TEST(test_launch_waits_for_the_end_of_another),
        TEST(test_launch_that_waits_can_be_withdrawn),
        TEST(test_launch_that_waits_starts_when_it_is_told),
        TEST(test_launch_that_waited_and_fails_is_told_after_the_end_and_holds_nobody_up),
        TEST(test_what_waits_never_starts_when_the_client_is_gone),
        TEST(test_steps_die_with_a_killed_runner_and_the_client_says_closed),
        TEST(test_next_runner_ends_what_dead_ones_left_in_their_groups),
        TEST(test_steps_die_with_the_client),
        TEST(test_steps_die_with_a_killed_agent),
        TEST(test_missing_hidden_folder_is_an_error),
        cmocka_unit_test(test_schemas_are_valid),
    };
    int failed = cmocka_run_group_tests_name("runner", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("runner, without namespaces", tests, group_plain, group_plain_done);
    return failed + (argc == 1 && geteuid() == 0 ? fixture_as_ordinary_user(argv[0]) : 0);
}
