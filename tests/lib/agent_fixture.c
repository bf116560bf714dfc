#include "tests/lib/agent_fixture.h"

#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "base/limits.h"
#include "base/os/clock.h"
#include "base/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 }; // for what must come; no test waits for it in vain

bool agent_fixture_make(struct agent_fixture *f)
{
    const char *build = getenv("STEPCACHE_BUILD");
    *f = (struct agent_fixture){.attempt = 100, .signals = {-1, -1}};
    sc_arena_init(&f->arena);
    sc_buf_init(&f->logs[0], 0);
    sc_buf_init(&f->logs[1], 0);
    if (!build) {
        print_message("skipped: STEPCACHE_BUILD is not set, so there is no runner\n");
        return false;
    }
    struct sc_slice runner = sc_arena_printf(&f->arena, "%s/agent/runner/stepcache-runner", build);
    if (access((const char *)runner.ptr, X_OK))
        runner = sc_arena_printf(&f->arena, "%s/agent/runner/step-runner", build);
    f->folder = sc_scratch_new();
    f->store = sc_scratch_path(f->folder, "store");
    f->work = sc_scratch_path(f->folder, "work");
    f->endpoint = sc_asprintf("ipc://%s/agent.sock", f->folder);
    f->config = (struct sc_agent_config){.endpoint = f->endpoint,
                                         .store = f->store,
                                         .work = f->work,
                                         .runner = (const char *)runner.ptr,
                                         .name = sc_slice_str("a1"),
                                         .domain = sc_slice_str("main"),
                                         .path = sc_slice_str("/usr/local/bin:/usr/bin:/bin"),
                                         .cpus_milli = 2000};
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_bus_bind(f->endpoint, &f->bus, &err), err);
    assert_ok(sc_store_open(f->store, &f->handle, &err), err);
    struct sc_objects_config objects = {.store = f->handle, .domain = sc_slice_str("main")};
    assert_ok(sc_objects_new(&objects, &f->objects, &err), err);
    assert_int_equal(pipe2(f->signals, O_CLOEXEC | O_NONBLOCK), 0);
    return true;
}

static void *run(void *context)
{
    struct agent_fixture *f = context;
    f->rc = sc_agent_run(&f->config, f->signals[0], &f->err);
    return NULL;
}

void agent_fixture_send(struct agent_fixture *f, const struct sc_message *message)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_bus_send(f->bus, &f->peer, message, &err), err);
}

static bool passes_over(struct agent_fixture *f, enum sc_message_type wanted)
{
    const struct sc_message *m = &f->message;
    if (m->type == wanted)
        return false;
    switch ((int)m->type) {
    case SC_MESSAGE_LOG:
        if (m->body.log.offset == 0)
            sc_buf_clear(&f->logs[m->body.log.stream]); // told again
        assert_int_equal(m->body.log.offset, f->logs[m->body.log.stream].len);
        sc_buf_add_slice(&f->logs[m->body.log.stream], m->body.log.text);
        return true;
    case SC_MESSAGE_PROGRESS:
        f->progresses[m->body.progress.phase]++;
        return true;
    case SC_MESSAGE_HELLO:
        f->hellos++;
        agent_fixture_welcome(f);
        return true;
    case SC_MESSAGE_RENEW:
    case SC_MESSAGE_ACCEPTED:
        return true;
    default:
        fail_msg("a %s came, where a %s was waited for", sc_message_type_name(m->type),
                 sc_message_type_name(wanted));
        return false;
    }
}

void agent_fixture_await_log(struct agent_fixture *f, enum sc_stream stream, const char *text)
{
    int64_t end = sc_clock_mono_ms() + PATIENCE_MS;
    while (f->logs[stream].len < strlen(text) && sc_clock_mono_ms() < end) {
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc =
            sc_bus_receive(f->bus, SC_LIMIT_MESSAGE_AGENT_BYTES, &f->arena, &f->peer, &f->message, &err);
        if (rc == SC_OK) {
            assert_true(passes_over(f, SC_MESSAGE_COUNT));
            continue;
        }
        struct pollfd p = {.fd = sc_bus_fd(f->bus), .events = POLLIN};
        poll(&p, 1, 100);
    }
    assert_true(f->logs[stream].len >= strlen(text));
    assert_memory_equal(f->logs[stream].ptr, text, strlen(text));
}

const struct sc_message *agent_fixture_await(struct agent_fixture *f, enum sc_message_type type)
{
    int64_t end = sc_clock_mono_ms() + PATIENCE_MS;
    while (sc_clock_mono_ms() < end) {
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc =
            sc_bus_receive(f->bus, SC_LIMIT_MESSAGE_AGENT_BYTES, &f->arena, &f->peer, &f->message, &err);
        if (rc == SC_OK && !passes_over(f, type))
            return &f->message;
        if (rc == SC_OK)
            continue;
        assert_rc(rc, SC_NOT_FOUND);
        struct pollfd p = {.fd = sc_bus_fd(f->bus), .events = POLLIN};
        poll(&p, 1, 100);
    }
    fail_msg("waited in vain for a %s", sc_message_type_name(type));
    return NULL;
}

void agent_fixture_welcome(struct agent_fixture *f)
{
    struct sc_message welcome = {.type = SC_MESSAGE_WELCOME,
                                 .body.welcome = {.coordinator = sc_slice_str("c1"),
                                                  .domain = sc_slice_str("main"),
                                                  .lease_ms = 15000,
                                                  .renew_ms = 3000}};
    agent_fixture_send(f, &welcome);
}

void agent_fixture_start(struct agent_fixture *f)
{
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    f->running = true;
    agent_fixture_await(f, SC_MESSAGE_HELLO);
    agent_fixture_welcome(f);
}

void agent_fixture_signal(struct agent_fixture *f)
{
    struct signalfd_siginfo info = {.ssi_signo = SIGTERM};
    assert_int_equal(write(f->signals[1], &info, sizeof info), sizeof info);
}

void agent_fixture_join(struct agent_fixture *f)
{
    pthread_join(f->thread, NULL);
    f->running = false;
}

void agent_fixture_done(struct agent_fixture *f)
{
    if (f->running) {
        for (int i = 0; i < 3; i++) // a failed test's step must not hold it up
            agent_fixture_signal(f);
        agent_fixture_join(f);
    }
    if (f->folder && f->bus) {
        sc_objects_free(f->objects);
        sc_store_close(f->handle);
        sc_bus_close(f->bus);
        close(f->signals[0]);
        close(f->signals[1]);
        sc_scratch_remove(f->folder);
    }
    free(f->store);
    free(f->work);
    free(f->endpoint);
    sc_buf_done(&f->logs[0]);
    sc_buf_done(&f->logs[1]);
    sc_arena_done(&f->arena);
}

struct sc_assignment *agent_fixture_script(struct agent_fixture *f, const char *script, ...)
{
    enum { MOST = 16 };
    struct sc_assignment *a = SC_NEW(&f->arena, struct sc_assignment);
    a->attempt = ++f->attempt;
    a->number = 1;
    a->namespace_ = sc_slice_str("default");
    a->pipeline = sc_slice_str("p");
    a->run = sc_slice_str("r1");
    a->step = sc_slice_str("train");
    a->script = true;
    a->cpus_milli = 1000;
    a->command.items = SC_NEW(&f->arena, struct sc_pieces);
    a->command.count = 1;
    a->command.items[0].items.items = SC_NEW(&f->arena, struct sc_piece);
    a->command.items[0].items.count = 1;
    a->command.items[0].items.items[0] = (struct sc_piece){SC_PIECE_TEXT, sc_slice_str(script)};
    a->outputs.items = SC_NEW_ARRAY(&f->arena, MOST, struct sc_assigned_output);
    a->inputs.items = SC_NEW_ARRAY(&f->arena, MOST, struct sc_assigned_input);
    va_list args;
    va_start(args, script);
    for (const char *text; (text = va_arg(args, const char *));) {
        const char *path = strchr(text, '=');
        size_t len = strlen(path + 1);
        bool dir = path[len] == '/';
        a->outputs.items[a->outputs.count++] = (struct sc_assigned_output){
            .name = sc_slice(text, (size_t)(path - text)), .path = sc_slice(path + 1, len - dir), .dir = dir};
    }
    va_end(args);
    return a;
}

void agent_fixture_input(struct agent_fixture *f, struct sc_assignment *assignment, const char *name,
                         struct sc_artifact artifact)
{
    (void)f;
    assignment->inputs.items[assignment->inputs.count++] = (struct sc_assigned_input){
        .name = sc_slice_str(name), .kind = SC_INPUT_ARTIFACT, .artifact = artifact};
}

void agent_fixture_assign(struct agent_fixture *f, const struct sc_assignment *assignment)
{
    struct sc_message message = {.type = SC_MESSAGE_ASSIGN};
    message.body.assign.assignments.items = (struct sc_assignment *)(uintptr_t)assignment;
    message.body.assign.assignments.count = 1;
    agent_fixture_send(f, &message);
}

const struct sc_result *agent_fixture_run(struct agent_fixture *f, const struct sc_assignment *assignment)
{
    agent_fixture_assign(f, assignment);
    const struct sc_message *m = agent_fixture_await(f, SC_MESSAGE_REPORTED);
    assert_int_equal(m->body.reported.attempt, assignment->attempt);
    return &m->body.reported.result;
}

struct sc_artifact agent_fixture_put(struct agent_fixture *f, const char *bytes, const char *ext)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = {
        .kind = SC_ARTIFACT_FILE, .bytes = strlen(bytes), .files = 1, .ext = sc_slice_str(ext)};
    assert_ok(sc_objects_put_bytes(f->objects, sc_slice_str(bytes), false, &artifact.digest, &err), err);
    assert_ok(sc_objects_sync(f->objects, &err), err);
    return artifact;
}

const char *agent_fixture_get(struct agent_fixture *f, const struct sc_digest *digest)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    assert_ok(sc_objects_get_bytes(f->objects, digest, 256 << 20, &bytes, &err), err);
    return sc_arena_cstr(&f->arena, sc_buf_slice(&bytes));
}

const char *agent_fixture_named(struct agent_fixture *f, const char *name)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str(name));
    op.max_bytes = 256 << 20;
    op.to_fd = -1;
    enum sc_rc rc = sc_store_wait(f->handle, &op);
    const char *text = rc == SC_OK ? sc_arena_cstr(&f->arena, sc_buf_slice(&op.data)) : NULL;
    sc_store_op_done(&op);
    return text;
}

const struct sc_artifact *agent_fixture_output(const struct sc_result *result, const char *name)
{
    for (uint32_t i = 0; i < result->outputs.count; i++)
        if (sc_slice_eq_str(result->outputs.items[i].name, name))
            return &result->outputs.items[i].artifact;
    fail_msg("the result has no output %s", name);
    return NULL;
}

static uint32_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    uint32_t count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

bool agent_fixture_is_empty(struct agent_fixture *f, const char *name)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/%s", f->work, name);
    return count_entries(path) == 0;
}

bool agent_fixture_is_clean(struct agent_fixture *f)
{
    SC_AUTO_FREE char *steps = sc_asprintf("%s/steps", f->work);
    DIR *dir = opendir(steps);
    bool clean = true;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%s", steps, e->d_name);
        SC_AUTO_FREE char *out = sc_asprintf("%s/out", folder);
        clean = clean && count_entries(folder) == 1 && count_entries(out) == 0;
    }
    closedir(dir);
    return clean && agent_fixture_is_empty(f, "taken") && agent_fixture_is_empty(f, "inputs") &&
           agent_fixture_is_empty(f, "logs");
}
