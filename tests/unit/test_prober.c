#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "agent/shell/probe.h"
#include "base/limits.h"
#include "base/os/clock.h"
#include "base/os/file.h"

#include <fcntl.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// A python of the test's own: this program under that name. It notes its environment, and prints what a file says.
struct fixture {
    char *folder, *bin, *python, *answer, *site, *classes, *etc, *os_release;
    char *self; // the file that runs as this python
    struct sc_slice path;
    struct sc_prober *prober;
    char *changed; // what the last look of `held` named
    struct sc_arena arena;
    struct sc_error err;
};

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

// As if it were written long ago: what is young is not remembered.
static void age(const char *path)
{
    struct timespec then[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, then, AT_SYMLINK_NOFOLLOW), 0);
}

// version, executable, packages, watch, whole
#define ANSWER                                                                                               \
    "{\"version\": \"%s\", \"executable\": \"%s\", \"packages\": [%s], \"watch\": [\"%s\"], \"loose\": [], " \
    "\"whole\": %s}"

static void answer(struct fixture *f, const char *version, const char *packages)
{
    SC_AUTO_FREE char *text = sc_asprintf(ANSWER, version, f->self, packages, f->site, "true");
    write_file(f->answer, text, 0644);
}

static void open_prober(struct fixture *f)
{
    struct sc_prober_config config = {
        .classes_path = f->classes, .folder = NULL, .root = f->folder, .timeout_ms = 30000};
    SC_AUTO_FREE char *probe = sc_scratch_path(f->folder, "probe");
    config.folder = probe;
    f->prober = sc_prober_new(&config);
}

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    f->folder = sc_scratch_new();
    f->bin = sc_scratch_path(f->folder, "bin");
    f->python = sc_scratch_path(f->folder, "bin/python3");
    f->answer = sc_scratch_path(f->folder, "answer");
    f->self = realpath("/proc/self/exe", NULL);
    f->site = sc_scratch_path(f->folder, "site");
    f->classes = sc_scratch_path(f->folder, "classes");
    f->os_release = sc_scratch_path(f->folder, "etc/os-release");
    f->etc = sc_scratch_path(f->folder, "etc");
    assert_int_equal(mkdir(f->bin, 0755) | mkdir(f->site, 0755) | mkdir(f->etc, 0755), 0);
    assert_int_equal(symlink(f->self, f->python), 0);
    write_file(f->os_release, "NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n", 0644);
    f->path = sc_slice_str(f->bin);
    sc_arena_init(&f->arena);
    answer(f, "3.11.2", "\"numpy==1.24.2\", \"a-b==1\"");
    open_prober(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sc_prober_free(f->prober);
    sc_arena_done(&f->arena);
    char *paths[] = {f->bin,     f->python, f->answer,     f->self,   f->site,
                     f->classes, f->etc,    f->os_release, f->changed};
    for (size_t i = 0; i < SC_COUNT(paths); i++)
        free(paths[i]);
    sc_scratch_remove(f->folder);
    free(f);
    return 0;
}

static struct sc_class look(struct fixture *f)
{
    struct sc_class class_;
    assert_ok(sc_prober_class(f->prober, f->path, false, 0, &f->arena, &class_, &f->err), f->err);
    return class_;
}

static struct sc_slice part(const struct sc_environment *env, const char *name)
{
    for (uint32_t i = 0; i < env->parts.count; i++)
        if (sc_slice_eq_str(env->parts.items[i].name, name))
            return env->parts.items[i].value;
    fail_msg("no part %s", name);
    return (struct sc_slice){0};
}

static struct sc_slice text(const struct sc_class *class_, const char *name)
{
    struct sc_mp_reader reader = sc_mp_reader(part(&class_->environment, name));
    struct sc_slice value = sc_mp_get_str(&reader);
    assert_true(sc_mp_finished(&reader));
    return value;
}

static void test_class_has_its_parts_sorted_and_encoded(void **state)
{
    struct fixture *f = *state;
    struct sc_class class_ = look(f);
    assert_slice(text(&class_, "os"), "debian 12");
    assert_slice(text(&class_, "python"), "3.11.2");
    assert_slice(text(&class_, "path"), f->bin);
#ifdef __GLIBC__ // read in the file, which is the one that this program began with
    SC_AUTO_FREE char *libc = sc_asprintf("glibc %s", gnu_get_libc_version());
    assert_slice(text(&class_, "libc"), libc);
#endif
    struct sc_mp_reader reader = sc_mp_reader(part(&class_.environment, "packages"));
    assert_int_equal(sc_mp_get_array(&reader), 2);
    assert_slice(sc_mp_get_str(&reader), "a-b==1");
    assert_slice(sc_mp_get_str(&reader), "numpy==1.24.2");
    for (uint32_t i = 1; i < class_.environment.parts.count; i++)
        assert_true(sc_slice_cmp(class_.environment.parts.items[i - 1].name,
                                 class_.environment.parts.items[i].name) < 0);
}

static void put_gpu(struct fixture *f, const char *slot, const char *model)
{
    SC_AUTO_FREE char *folder = sc_asprintf("%s/proc/driver/nvidia/gpus/%s", f->folder, slot);
    SC_AUTO_FREE char *file = sc_asprintf("%s/information", folder);
    SC_AUTO_FREE char *text_ = sc_asprintf("Model: \t\t %s\nIRQ:   \t\t 42\n", model);
    assert_ok(sc_dir_make(folder, 0755, &f->err), f->err);
    write_file(file, text_, 0644);
}

static struct sc_slice gpu_of(struct fixture *f)
{
    struct sc_class class_;
    assert_ok(sc_prober_class(f->prober, f->path, true, 0, &f->arena, &class_, &f->err), f->err);
    return text(&class_, "gpu");
}

static void test_gpu_steps_key_driver_and_models(void **state)
{
    struct fixture *f = *state;
    assert_slice(gpu_of(f), "none");
    put_gpu(f, "0000:01:00.0", "NVIDIA A100");
    put_gpu(f, "0000:02:00.0", "NVIDIA A100");
    SC_AUTO_FREE char *version = sc_scratch_path(f->folder, "proc/driver/nvidia/version");
    write_file(version, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n", 0644);
    assert_slice(gpu_of(f), "nvidia 535.104.05, NVIDIA A100, NVIDIA A100");
    write_file(version, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\n", 0644);
    assert_slice(gpu_of(f), "nvidia 550.54.14, NVIDIA A100, NVIDIA A100");
    struct sc_class class_ = look(f); // a step without a gpu does not key it
    for (uint32_t i = 0; i < class_.environment.parts.count; i++)
        assert_false(sc_slice_eq_str(class_.environment.parts.items[i].name, "gpu"));
}

static void test_python_gets_a_clean_environment(void **state)
{
    struct fixture *f = *state;
    setenv("PYTHONPATH", "/evil", 1);
    look(f);
    SC_AUTO_FREE char *path = sc_scratch_path(f->folder, "env");
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    assert_ok(sc_file_read(path, 1 << 20, &bytes, &f->err), f->err);
    const char *env = sc_buf_cstr(&bytes);
    assert_null(strstr(env, "evil"));
    assert_contains(env, "LANG=C.UTF-8\n");
    assert_contains(env, "TZ=UTC\n");
}

// The racy rule cannot be waited out in a test; files that are old but for their change time are what `touch` leaves,
// and the change time cannot be set. So the moment of looking is what moves: a prober remembers once that time is past.
static void settle(struct fixture *f)
{
    age(f->site);
    age(f->python);
    uint32_t before;
    do {
        before = sc_prober_started(f->prober);
        look(f);
    } while (sc_prober_started(f->prober) != before);
}

static void test_unchanged_class_starts_no_process(void **state)
{
    struct fixture *f = *state;
    settle(f);
    uint32_t before = sc_prober_started(f->prober);
    look(f);
    assert_int_equal(sc_prober_started(f->prober), before);
    sc_prober_free(f->prober); // nor does the next life
    open_prober(f);
    struct sc_class class_ = look(f);
    assert_int_equal(sc_prober_started(f->prober), 0);
    assert_slice(text(&class_, "python"), "3.11.2");
    assert_ok(sc_prober_remembered(f->prober, f->path, false, &f->arena, &class_, &f->err), f->err);
}

static void test_changes_are_noticed(void **state)
{
    struct fixture *f = *state;
    settle(f);
    answer(f, "3.11.2", "\"numpy==1.26.0\"");
    SC_AUTO_FREE char *dist = sc_asprintf("%s/numpy-1.26.0.dist-info", f->site);
    assert_int_equal(mkdir(dist, 0755), 0);
    struct sc_class class_ = look(f);
    struct sc_mp_reader reader = sc_mp_reader(part(&class_.environment, "packages"));
    assert_int_equal(sc_mp_get_array(&reader), 1);
    assert_slice(sc_mp_get_str(&reader), "numpy==1.26.0");
    settle(f);
    SC_AUTO_FREE char *first = sc_scratch_path(f->folder, "first"); // another python before it on the PATH
    SC_AUTO_FREE char *script = sc_scratch_path(f->folder, "first/python3");
    SC_AUTO_FREE char *path = sc_asprintf("%s:%s", first, f->bin);
    assert_int_equal(mkdir(first, 0755), 0);
    f->path = sc_slice_str(path);
    settle(f);
    answer(f, "3.12.0", "");
    assert_int_equal(symlink(f->self, script), 0);
    class_ = look(f);
    assert_slice(text(&class_, "python"), "3.12.0");
    write_file(f->os_release, "ID=debian\nVERSION_ID=13\n", 0644);
    class_ = look(f);
    assert_slice(text(&class_, "os"), "debian 13");
}

// For longer than files are too young to be remembered.
static void assert_asked_each_time(struct fixture *f)
{
    int64_t until_ms = sc_clock_mono_ms() + 100;
    do {
        uint32_t before = sc_prober_started(f->prober);
        look(f);
        assert_int_equal(sc_prober_started(f->prober), before + 1);
    } while (sc_clock_mono_ms() < until_ms);
}

// A version manager's shim, whether script or program, starts another file than itself.
static void test_python_that_starts_another_is_not_remembered(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *text_ = sc_asprintf(ANSWER, "3.11.2", "/usr/bin/python3.11", "", f->site, "true");
    write_file(f->answer, text_, 0644);
    assert_asked_each_time(f);
}

// A .pth with code may look at files that nobody knows of; a name that is no text, or too long, is not looked at.
static void test_python_whose_files_are_not_all_known_is_not_remembered(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *text_ = sc_asprintf(ANSWER, "3.11.2", f->self, "", f->site, "false");
    write_file(f->answer, text_, 0644);
    assert_asked_each_time(f);
    SC_AUTO_FREE char *long_path = sc_asprintf("/%0*d", SC_LIMIT_PATH_BYTES, 0);
    SC_AUTO_FREE char *longer = sc_asprintf(ANSWER, "3.11.2", f->self, "", long_path, "true");
    write_file(f->answer, longer, 0644);
    assert_asked_each_time(f);
}

static enum sc_rc held(struct fixture *f, const struct sc_msg_probe *probe,
                       const struct sc_digest *environment, struct sc_digest *seen, int64_t since_us,
                       int64_t asked_us, int stop_fd, bool *ret_holds)
{
    struct sc_held held = {.probe = probe,
                           .path = f->path,
                           .environment = environment,
                           .seen = seen,
                           .changed = &f->changed,
                           .since_us = since_us,
                           .asked_us = asked_us};
    free(SC_STEAL(f->changed));
    return sc_prober_holds(f->prober, &held, stop_fd, ret_holds, &f->err);
}

static bool holds(struct fixture *f, const struct sc_msg_probe *probe, const struct sc_digest *environment,
                  int64_t since_us)
{
    bool holds = false;
    struct sc_digest seen = {0};
    assert_ok(held(f, probe, environment, &seen, since_us, sc_clock_mono_us(), 0, &holds), f->err);
    return holds;
}

static void test_class_that_changed_does_not_hold(void **state)
{
    struct fixture *f = *state;
    struct sc_msg_probe probe = {.kind = SC_PROBE_CLASS};
    settle(f);
    struct sc_class class_ = look(f);
    struct sc_digest environment = sc_environment_digest(&class_.environment);
    assert_true(holds(f, &probe, &environment, sc_clock_mono_us()));
    answer(f, "3.11.2", "\"numpy==1.26.0\"");
    SC_AUTO_FREE char *dist = sc_asprintf("%s/numpy-1.26.0.dist-info", f->site);
    assert_int_equal(mkdir(dist, 0755), 0);
    assert_true(holds(f, &probe, &environment, 0)); // looked at already, after that
    bool still = false;
    struct sc_digest seen = {0};
    assert_rc(held(f, &probe, &environment, &seen, INT64_MAX, INT64_MAX, SC_PROBER_QUICK, &still), SC_BUSY);
    assert_false(holds(f, &probe, &environment, sc_clock_mono_us()));
    assert_false(holds(f, &probe, &environment, 0));
}

static void test_class_that_was_put_back_does_not_hold(void **state)
{
    struct fixture *f = *state;
    struct sc_msg_probe probe = {.kind = SC_PROBE_CLASS};
    settle(f);
    struct sc_class class_ = look(f);
    struct sc_digest environment = sc_environment_digest(&class_.environment), seen = {0};
    SC_AUTO_FREE char *dist = sc_asprintf("%s/numpy-1.26.0.dist-info", f->site);
    bool still = false;
    for (int i = 0; i < 3; i++) {
        int64_t now_us = sc_clock_mono_us();
        assert_ok(held(f, &probe, &environment, &seen, now_us, now_us, 0, &still), f->err);
        assert_int_equal(still, i < 2); // twice unchanged; then something came and went
        if (i == 1)
            assert_int_equal(mkdir(dist, 0755) | rmdir(dist), 0);
    }
    assert_non_null(f->changed);
    assert_string_equal(f->changed, f->site);
}

static bool tells_birth(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, 0, STATX_BTIME, &st) == 0 && st.stx_mask & STATX_BTIME;
}

// The first import of a module that is one file makes it, and nothing else has changed.
static void test_class_whose_folder_got_a_pycache_holds(void **state)
{
    struct fixture *f = *state;
    struct sc_msg_probe probe = {.kind = SC_PROBE_CLASS};
    SC_AUTO_FREE char *pycache = sc_asprintf("%s/__pycache__", f->site);
    settle(f);
    struct sc_class class_ = look(f);
    struct sc_digest environment = sc_environment_digest(&class_.environment), seen = {0};
    bool still = false;
    for (int i = 0; i < 4; i++) {
        int64_t now_us = sc_clock_mono_us();
        uint32_t before = sc_prober_started(f->prober);
        assert_ok(held(f, &probe, &environment, &seen, now_us, now_us, 0, &still), f->err);
        if (i < 3 && !still && !tells_birth(f->site)) {
            print_message("skipped: this file system does not tell when a folder was made\n");
            return;
        }
        assert_int_equal(still, i < 3);
        if (i == 1)
            assert_int_equal(mkdir(pycache, 0755), 0);
        if (i == 2) {
            assert_int_equal(sc_prober_started(f->prober),
                             before + 1); // its packages were asked for all the same
            age(f->site);
        }
    }
}

static void test_commands_that_print_otherwise_do_not_hold(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *line = sc_asprintf("/bin/cat %s", f->os_release);
    struct sc_slice command = sc_slice_str(line);
    struct sc_msg_probe probe = {.kind = SC_PROBE_COMMANDS, .commands = {&command, 1}};
    struct sc_environment env;
    assert_ok(sc_prober_commands(f->prober, f->path, &probe.commands, 0, &f->arena, &env, &f->err), f->err);
    struct sc_digest environment = sc_environment_digest(&env);
    assert_true(holds(f, &probe, &environment, sc_clock_mono_us()));
    write_file(f->os_release, "ID=other\n", 0644);
    assert_true(holds(f, &probe, &environment, 0));
    assert_false(holds(f, &probe, &environment, sc_clock_mono_us()));
}

// The coordinator was answered after the look, by this prober or in its life before.
static void test_old_look_only_confirms(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *line = sc_asprintf("/bin/cat %s", f->os_release);
    struct sc_slice command = sc_slice_str(line);
    struct sc_msg_probe probe = {.kind = SC_PROBE_COMMANDS, .commands = {&command, 1}};
    struct sc_environment env;
    assert_ok(sc_prober_commands(f->prober, f->path, &probe.commands, 0, &f->arena, &env, &f->err), f->err);
    write_file(f->os_release, "ID=other\n", 0644);
    struct sc_prober *old = f->prober;
    open_prober(f);
    assert_ok(sc_prober_commands(f->prober, f->path, &probe.commands, 0, &f->arena, &env, &f->err), f->err);
    uint32_t before = sc_prober_started(f->prober);
    struct sc_digest environment = sc_environment_digest(&env);
    assert_true(holds(f, &probe, &environment, 0));
    assert_int_equal(sc_prober_started(f->prober), before); // what the coordinator was told is a look
    sc_prober_free(f->prober);
    f->prober = old;
    assert_true(holds(f, &probe, &environment, 0));
}

static void test_ignored_parts_may_change(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *line = sc_asprintf("/bin/cat %s", f->os_release);
    struct sc_slice commands[] = {sc_slice_str(line), SC_SLICE_LIT("echo 1")},
                    ignored = SC_SLICE_LIT("probe.0");
    struct sc_msg_probe probe = {
        .kind = SC_PROBE_COMMANDS, .commands = {commands, 2}, .ignored = {&ignored, 1}};
    struct sc_environment env;
    assert_ok(sc_prober_commands(f->prober, f->path, &probe.commands, 0, &f->arena, &env, &f->err), f->err);
    env = sc_environment_without(&f->arena, &env, &probe.ignored);
    assert_int_equal(env.parts.count, 3);
    struct sc_digest environment = sc_environment_digest(&env);
    write_file(f->os_release, "ID=other\n", 0644);
    assert_true(holds(f, &probe, &environment, sc_clock_mono_us()));
    probe.ignored.count = 0;
    assert_false(holds(f, &probe, &environment, sc_clock_mono_us()));
}

static void test_damaged_memory_counts_as_none(void **state)
{
    struct fixture *f = *state;
    settle(f);
    sc_prober_free(f->prober);
    write_file(f->classes, "garbage", 0600);
    open_prober(f);
    look(f);
    assert_int_equal(sc_prober_started(f->prober), 1);
}

static void test_no_python_is_a_class_of_its_own(void **state)
{
    struct fixture *f = *state;
    f->path = sc_slice_str("/nonexistent:relative:");
    struct sc_class class_ = look(f);
    assert_slice(text(&class_, "python"), "none");
    assert_int_equal(sc_prober_started(f->prober), 0);
}

static void test_python_that_fails_is_an_error_that_names_it(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(unlink(f->python), 0);
    write_file(f->python, "#!/bin/sh\necho broken >&2\nexit 1\n", 0755);
    struct sc_class class_;
    assert_rc(sc_prober_class(f->prober, f->path, false, 0, &f->arena, &class_, &f->err), SC_INVALID);
    assert_contains(f->err.message, f->python);
    assert_contains(f->err.message, "broken");
    write_file(f->python, "#!/bin/sh\necho hello\n", 0755);
    assert_rc(sc_prober_class(f->prober, f->path, false, 0, &f->arena, &class_, &f->err), SC_MALFORMED);
}

static void test_real_python_tells_its_distributions(void **state)
{
    struct fixture *f = *state;
    if (access("/usr/bin/python3", X_OK))
        skip();
    f->path = sc_slice_str("/usr/bin:/bin");
    struct sc_class class_ = look(f);
    assert_true(sc_slice_starts(text(&class_, "python"), "3."));
    struct sc_mp_reader reader = sc_mp_reader(part(&class_.environment, "packages"));
    uint32_t count = sc_mp_get_array(&reader);
    struct sc_slice previous = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct sc_slice package = sc_mp_get_str(&reader);
        assert_true(i == 0 || sc_slice_cmp(previous, package) < 0);
        assert_non_null(memmem(package.ptr, package.len, "==", 2));
        previous = package;
    }
    assert_true(sc_mp_finished(&reader));
}

// ---- commands

static enum sc_rc ask(struct fixture *f, struct sc_environment *env, struct sc_slice *commands,
                      uint32_t count)
{
    sc_text_list list = {commands, count};
    return sc_prober_commands(f->prober, sc_slice_str("/usr/bin:/bin"), &list, 0, &f->arena, env, &f->err);
}

static void test_commands_tell_what_they_print(void **state)
{
    struct fixture *f = *state;
    struct sc_slice commands[] = {SC_SLICE_LIT("echo '  one two  '; echo"),
                                  SC_SLICE_LIT("ls -A; echo > left; echo $LANG"),
                                  SC_SLICE_LIT("ls -A; cat; echo done")};
    struct sc_environment env;
    assert_ok(ask(f, &env, commands, 3), f->err);
    struct sc_class class_ = {.environment = env};
    assert_slice(text(&class_, "path"), "/usr/bin:/bin");
    assert_true(text(&class_, "arch").len > 0);
    assert_slice(text(&class_, "probe.0"), "one two");
    assert_slice(text(&class_, "probe.1"), "C.UTF-8");
    assert_slice(text(&class_, "probe.2"), "done");
}

static void test_command_that_fails_or_prints_nothing_is_named(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *command, *part;
    } cases[] = {
        {"echo why >&2; exit 4", "probe `echo why >&2; exit 4` exited with 4: why"},
        {"true", "probe `true` printed nothing"},
        {"kill -9 $$", "was killed by signal 9"},
        {"printf '\\377'", "no UTF-8"},
        {"head -c 70000 /dev/zero", "printed more than 65536 bytes"},
        {"no-such-program", "exited with 127"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_slice command = sc_slice_str(cases[i].command);
        struct sc_environment env;
        assert_rc(ask(f, &env, &command, 1), SC_INVALID);
        assert_contains(f->err.message, cases[i].part);
        assert_true(f->err.hint[0] != 0);
    }
}

static void test_command_that_does_not_end_is_killed(void **state)
{
    struct fixture *f = *state;
    sc_prober_free(f->prober);
    SC_AUTO_FREE char *probe = sc_scratch_path(f->folder, "probe");
    struct sc_prober_config config = {.folder = probe, .timeout_ms = 50};
    f->prober = sc_prober_new(&config);
    struct sc_slice command = SC_SLICE_LIT("mkfifo f; exec 3<> f; read x <&3");
    struct sc_environment env;
    assert_rc(ask(f, &env, &command, 1), SC_INVALID);
    assert_contains(f->err.message, "did not end within 0.05 s");
    assert_int_equal(rmdir(probe), 0); // nothing is left in it
}

// Those who asked before it began are told what it found, and no process is started for each.
static void test_look_that_failed_is_shared_by_who_asked_before_it(void **state)
{
    struct fixture *f = *state;
    struct sc_slice command = SC_SLICE_LIT("echo why >&2; exit 4");
    struct sc_msg_probe probe = {.kind = SC_PROBE_COMMANDS, .commands = {&command, 1}};
    struct sc_digest environment = {0}, seen = {0};
    bool still = true;
    int64_t asked_us = sc_clock_mono_us() - 1;
    f->path = sc_slice_str("/usr/bin:/bin");
    for (int i = 0; i < 2; i++) {
        f->err = (struct sc_error){.rc = SC_OK};
        assert_rc(held(f, &probe, &environment, &seen, asked_us, asked_us, 0, &still), SC_INVALID);
        assert_contains(f->err.message, "exited with 4: why");
        assert_contains(f->err.hint, "correct it in `environment`");
        assert_int_equal(sc_prober_started(f->prober), 1);
    }
    asked_us = sc_clock_mono_us(); // it may be well by now
    assert_rc(held(f, &probe, &environment, &seen, asked_us - 1000000, asked_us, 0, &still), SC_INVALID);
    assert_int_equal(sc_prober_started(f->prober), 2);
}

struct hanging {
    struct fixture *f;
    struct sc_slice command;
    int stop_fd;
    struct sc_arena arena;
    struct sc_error err;
    enum sc_rc rc;
};

static void *hang(void *context)
{
    struct hanging *h = context;
    struct sc_environment env;
    sc_text_list list = {&h->command, 1};
    h->rc = sc_prober_commands(h->f->prober, sc_slice_str("/usr/bin:/bin"), &list, h->stop_fd, &h->arena,
                               &env, &h->err);
    return NULL;
}

static void test_command_that_hangs_keeps_nobody_waiting_and_can_be_ended(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *path = sc_scratch_path(f->folder, "bell");
    assert_int_equal(mkfifo(path, 0600), 0);
    SC_AUTO_CLOSE int bell = open(path, O_RDWR | O_CLOEXEC);
    SC_AUTO_FREE char *command = sc_asprintf("echo >%s; exec sleep 1000", path);
    struct hanging h = {
        .f = f, .command = sc_slice_str(command), .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    sc_arena_init(&h.arena);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hang, &h), 0);
    char byte;
    assert_int_equal(read(bell, &byte, 1), 1); // it runs
    look(f);
    struct sc_environment env;
    struct sc_slice other = SC_SLICE_LIT("echo 1");
    assert_ok(ask(f, &env, &other, 1), f->err);
    uint64_t one = 1;
    assert_int_equal(write(h.stop_fd, &one, sizeof one), sizeof one);
    pthread_join(thread, NULL);
    assert_rc(h.rc, SC_INTERRUPTED);
    sc_arena_done(&h.arena);
    close(h.stop_fd);
}

static void test_command_does_not_wait_for_what_it_left(void **state)
{
    struct fixture *f = *state;
    struct sc_slice command = SC_SLICE_LIT("mkfifo f; (exec 3<> f; read x <&3) & echo out");
    struct sc_environment env;
    assert_ok(ask(f, &env, &command, 1), f->err);
    struct sc_class class_ = {.environment = env};
    assert_slice(text(&class_, "probe.0"), "out");
}

// This program as a python3: what it is told by is beside it.
static int be_python(const char *self)
{
    SC_AUTO_FREE char *folder = sc_asprintf("%.*s/..", (int)(strrchr(self, '/') - self), self);
    SC_AUTO_FREE char *answer = sc_scratch_path(folder, "answer");
    SC_AUTO_FREE char *env_path = sc_scratch_path(folder, "env");
    FILE *env = fopen(env_path, "we");
    for (char **e = environ; env && *e; e++)
        fprintf(env, "%s\n", *e);
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    if (!env || fclose(env) || sc_file_read(answer, 1 << 20, &text, NULL) != SC_OK)
        return 8;
    return fwrite(text.ptr, 1, text.len, stdout) == text.len ? 0 : 8;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-I") == 0)
        return be_python(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(test_class_has_its_parts_sorted_and_encoded),
        TEST(test_gpu_steps_key_driver_and_models),
        TEST(test_python_gets_a_clean_environment),
        TEST(test_unchanged_class_starts_no_process),
        TEST(test_changes_are_noticed),
        TEST(test_python_that_starts_another_is_not_remembered),
        TEST(test_python_whose_files_are_not_all_known_is_not_remembered),
        TEST(test_class_that_changed_does_not_hold),
        TEST(test_class_that_was_put_back_does_not_hold),
        TEST(test_class_whose_folder_got_a_pycache_holds),
        TEST(test_commands_that_print_otherwise_do_not_hold),
        TEST(test_old_look_only_confirms),
        TEST(test_ignored_parts_may_change),
        TEST(test_damaged_memory_counts_as_none),
        TEST(test_no_python_is_a_class_of_its_own),
        TEST(test_python_that_fails_is_an_error_that_names_it),
        TEST(test_real_python_tells_its_distributions),
        TEST(test_commands_tell_what_they_print),
        TEST(test_command_that_fails_or_prints_nothing_is_named),
        TEST(test_command_that_does_not_end_is_killed),
        TEST(test_look_that_failed_is_shared_by_who_asked_before_it),
        TEST(test_command_that_hangs_keeps_nobody_waiting_and_can_be_ended),
        TEST(test_command_does_not_wait_for_what_it_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
