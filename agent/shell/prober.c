#include "agent/shell/probe.h"

#include "agent/shell/classes.h"
#include "agent/shell/host.h"
#include "agent/shell/python_probe.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/os/child.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    GRANULARITY_NS = 20 * 1000000, // of file times, generously: what is younger than that may change unseen
    OUTPUT_BYTES = SC_LIMIT_VALUE_BYTES,
    SHOWN_BYTES = 300, // of a failed command's output
    LOOKS = 16,        // whose time is known, for sc_prober_holds
};

struct seen { // of the files that tell a class
    struct sc_digest digest;
    const char *changed; // the one that was last seen to change, or NULL
};

struct look { // what a question was answered last, and when the looking began
    struct sc_digest question, environment;
    enum sc_rc rc; // why it had no answer
    char *why, *hint;
    struct sc_digest seen; // the files that tell a class; zero for commands
    char *changed;         // of them
    int64_t began_us;      // mono
};

struct sc_prober {
    struct sc_prober_config config;
    char *folder, *root;
    _Atomic uint32_t shared_started;
    pthread_mutex_t lock; // of what follows; never held while a process is waited for
    struct sc_classes *shared_classes;
    struct look shared_looks[LOOKS];
    uint32_t shared_next_look;
};

static void look_done(struct look *look)
{
    free(look->why);
    free(look->hint);
    free(look->changed);
}

struct sc_prober *sc_prober_new(const struct sc_prober_config *config)
{
    struct sc_prober *prober = sc_calloc(1, sizeof *prober);
    prober->config = *config;
    prober->folder = config->folder ? sc_strdup(config->folder) : NULL;
    prober->root = sc_strdup(config->root ? config->root : "");
    pthread_mutex_init(&prober->lock, NULL);
    prober->shared_classes = sc_classes_open(config->classes_path);
    return prober;
}

void sc_prober_free(struct sc_prober *prober)
{
    if (!prober)
        return;
    sc_classes_close(prober->shared_classes);
    pthread_mutex_destroy(&prober->lock);
    for (uint32_t i = 0; i < LOOKS; i++)
        look_done(&prober->shared_looks[i]);
    free(prober->folder);
    free(prober->root);
    free(prober);
}

uint32_t sc_prober_started(struct sc_prober *prober)
{
    return prober->shared_started;
}

// ---- looks

static void put_texts(struct sc_buf *bytes, const sc_text_list *texts)
{
    sc_mp_put_array(bytes, texts->count);
    for (uint32_t i = 0; i < texts->count; i++)
        sc_mp_put_str(bytes, texts->items[i]);
}

struct sc_digest sc_prober_question(const struct sc_msg_probe *probe, struct sc_slice path)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    sc_mp_put_array(&bytes, 4);
    sc_mp_put_uint(&bytes, probe->kind);
    sc_mp_put_bool(&bytes, probe->gpu);
    sc_mp_put_str(&bytes, path);
    put_texts(&bytes, &probe->commands);
    return sc_digest_of(sc_buf_slice(&bytes));
}

// A question by which its answer is told: without the parts that do not count.
static struct sc_digest looked_for(const struct sc_msg_probe *probe, struct sc_slice path)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    struct sc_digest question = sc_prober_question(probe, path);
    sc_mp_put_array(&bytes, 2);
    sc_mp_put_bin(&bytes, sc_slice(&question, sizeof question));
    put_texts(&bytes, &probe->ignored);
    return sc_digest_of(sc_buf_slice(&bytes));
}

static struct look *find_look(struct sc_prober *prober, const struct sc_digest *question)
{
    for (uint32_t i = 0; i < LOOKS; i++)
        if (sc_digest_eq(&prober->shared_looks[i].question, question))
            return &prober->shared_looks[i];
    return NULL;
}

// Takes the look's texts.
static void note_look(struct sc_prober *prober, const struct look *look)
{
    pthread_mutex_lock(&prober->lock);
    struct look *place = find_look(prober, &look->question);
    if (!place)
        place = &prober->shared_looks[prober->shared_next_look++ % LOOKS];
    look_done(place);
    *place = *look;
    pthread_mutex_unlock(&prober->lock);
}

// An answer for the coordinator is a look like another: a step that starts on it need not look again.
static void note_answer(struct sc_prober *prober, const struct sc_msg_probe *probe, struct sc_slice path,
                        const struct sc_environment *environment, const struct seen *seen, int64_t began_us)
{
    struct look look = {.question = looked_for(probe, path),
                        .environment = sc_environment_digest(environment),
                        .seen = seen->digest,
                        .changed = seen->changed ? sc_strdup(seen->changed) : NULL,
                        .began_us = began_us};
    note_look(prober, &look);
}

// ---- a class

// The minimum that every step gets; a HOME is of no use to an isolated python.
static const char *const *clean_env(struct sc_arena *arena, struct sc_slice path, const char *home)
{
    const char **env = SC_NEW_ARRAY(arena, 5, const char *);
    env[0] = (const char *)sc_arena_printf(arena, "PATH=" SC_SLICE_FMT, SC_SLICE_ARG(path)).ptr;
    env[1] = (const char *)sc_arena_printf(arena, "HOME=%s", home).ptr;
    env[2] = "LANG=C.UTF-8";
    env[3] = "TZ=UTC";
    return env;
}

static void put_part(struct sc_arena *arena, struct sc_environment *env, const char *name,
                     const struct sc_buf *value)
{
    env->parts.items[env->parts.count++] =
        (struct sc_environment_part){sc_slice_str(name), sc_arena_copy(arena, sc_buf_slice(value))};
}

static void put_text(struct sc_arena *arena, struct sc_environment *env, const char *name,
                     struct sc_slice text)
{
    SC_AUTO_BUF struct sc_buf value;
    sc_buf_init(&value, 0);
    sc_mp_put_str(&value, text);
    put_part(arena, env, name, &value);
}

// Sorted by name, as struct sc_environment wants them.
static void build_class(struct sc_arena *arena, const struct sc_host *host, struct sc_slice path, bool gpu,
                        const struct sc_python *python, struct sc_environment *ret_environment)
{
    struct sc_environment env = {.parts = {SC_NEW_ARRAY(arena, 7, struct sc_environment_part), 0}};
    SC_AUTO_BUF struct sc_buf packages;
    sc_buf_init(&packages, 0);
    sc_mp_put_array(&packages, python->packages.count);
    for (uint32_t i = 0; i < python->packages.count; i++)
        sc_mp_put_str(&packages, python->packages.items[i]);
    put_text(arena, &env, "arch", host->arch);
    if (gpu)
        put_text(arena, &env, "gpu", host->gpu);
    put_text(arena, &env, "libc", host->libc);
    put_text(arena, &env, "os", host->os);
    put_part(arena, &env, "packages", &packages);
    put_text(arena, &env, "path", path);
    put_text(arena, &env, "python", python->version);
    *ret_environment = env;
}

// Everything that stands in the class but does not lie in a watched file.
static struct sc_slice facts_of(struct sc_arena *arena, const struct sc_host *host, bool gpu)
{
    return sc_arena_printf(arena, "1\n" SC_SLICE_FMT "\n" SC_SLICE_FMT "\n" SC_SLICE_FMT "\n" SC_SLICE_FMT,
                           SC_SLICE_ARG(host->arch), SC_SLICE_ARG(host->os), SC_SLICE_ARG(host->libc),
                           SC_SLICE_ARG(gpu ? host->gpu : sc_slice(NULL, 0)));
}

// Under the lock.
static struct seen seen_of(const struct sc_fingerprint *fingerprint, struct sc_arena *arena)
{
    const char *changed = fingerprint->changed;
    return (struct seen){fingerprint->steady, changed ? sc_arena_cstr(arena, sc_slice_str(changed)) : NULL};
}

// Under the lock.
static bool remembered(struct sc_prober *prober, const struct sc_host *host, struct sc_slice path, bool gpu,
                       struct sc_arena *arena, struct sc_class *ret_class, struct seen *ret_seen)
{
    const struct sc_remembered *r = sc_classes_find(prober->shared_classes, path, gpu);
    if (!r)
        return false;
    struct sc_fingerprint now =
        sc_classes_fingerprint(prober->shared_classes, &r->watch, facts_of(arena, host, gpu));
    if (!sc_digest_eq(&now.all, &r->fingerprint))
        return false;
    struct sc_slice bytes = sc_arena_copy(arena, r->environment);
    struct sc_environment environment = {0};
    if (sc_decode(&sc_schema_environment, bytes, SC_DECODE_STRICT, arena, &environment, NULL) != SC_OK)
        return false;
    *ret_class = (struct sc_class){.path = path, .gpu = gpu, .environment = environment};
    *ret_seen = seen_of(&now, arena);
    return true;
}

#define COARSE_NS INT64_C(2010000000)

// What was found runs itself. A version manager's shim does not: which interpreter it starts hangs on what is not watched.
static bool runs_itself(const char *program, struct sc_slice executable)
{
    SC_AUTO_FREE char *real = realpath(program, NULL);
    return real && sc_slice_eq_str(executable, real);
}

// A file that changed while we looked, or so shortly before that its times need not show the next change, would make a
// wrong memory (the racy rule of the memo): then it is asked again next time.
static void remember(struct sc_prober *prober, const struct sc_class *class_, const struct sc_watch *watch,
                     const struct sc_fingerprint *fingerprint, int64_t before_ns)
{
    int64_t grain = fingerprint->newest_ns % 1000000000 == 0
                        ? COARSE_NS
                        : GRANULARITY_NS; // file systems of whole seconds
    if (fingerprint->newest_ns >= before_ns - grain)
        return;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    sc_encode(&sc_schema_environment, &class_->environment, &bytes);
    struct sc_remembered r = {.path = class_->path,
                              .gpu = class_->gpu,
                              .fingerprint = fingerprint->all,
                              .environment = sc_buf_slice(&bytes),
                              .watch = *watch};
    pthread_mutex_lock(&prober->lock);
    sc_classes_remember(prober->shared_classes, &r);
    pthread_mutex_unlock(&prober->lock);
}

static int64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void watch_also(struct sc_watch *watch, const struct sc_slice *paths, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        watch->items.items[watch->items.count++] = paths[i];
}

static struct sc_watch all_watched(const sc_text_list *looked, const struct sc_python *python,
                                   struct sc_arena *arena)
{
    struct sc_watch watch = {.steady_count = looked->count + python->watch.count};
    watch.items.items = SC_NEW_ARRAY(arena, watch.steady_count + python->loose.count, struct sc_slice);
    watch_also(&watch, looked->items, looked->count);
    watch_also(&watch, python->watch.items, python->watch.count);
    watch_also(&watch, python->loose.items, python->loose.count);
    return watch;
}

// Asks the python3 of this PATH, and remembers.
static enum sc_rc tell(struct sc_prober *prober, const struct sc_host *host, struct sc_slice path, bool gpu,
                       int stop_fd, struct sc_arena *arena, struct sc_class *ret_class, struct seen *ret_seen,
                       struct sc_error *err)
{
    int64_t before_ns = wall_ns();
    struct sc_python python = {.version = sc_slice_str("none")};
    sc_text_list looked;
    const char *program = sc_host_find(path, "python3", arena, &looked);
    if (program) {
        prober->shared_started++;
        enum sc_rc rc = sc_python_ask(program, clean_env(arena, path, "/"), prober->config.timeout_ms,
                                      stop_fd, arena, &python, err);
        if (rc != SC_OK) {
            sc_error_hint(err,
                          "repair that python3, take it off the PATH, or give the step `environment: any`");
            return rc;
        }
    }
    struct sc_watch watch = all_watched(&looked, &python, arena);
    struct sc_class class_ = {.path = path, .gpu = gpu};
    build_class(arena, host, path, gpu, &python, &class_.environment);
    pthread_mutex_lock(&prober->lock);
    struct sc_fingerprint fingerprint =
        sc_classes_fingerprint(prober->shared_classes, &watch, facts_of(arena, host, gpu));
    *ret_seen = seen_of(&fingerprint, arena);
    pthread_mutex_unlock(&prober->lock);
    if (!program || (python.whole && runs_itself(program, python.executable)))
        remember(prober, &class_, &watch, &fingerprint, before_ns);
    *ret_class = class_;
    return SC_OK;
}

static enum sc_rc look_class(struct sc_prober *prober, struct sc_slice path, bool gpu, int stop_fd,
                             struct sc_arena *arena, struct sc_class *ret_class, struct seen *ret_seen,
                             struct sc_error *err)
{
    struct sc_host host = sc_host_look(prober->root, gpu, arena);
    pthread_mutex_lock(&prober->lock);
    bool known = remembered(prober, &host, path, gpu, arena, ret_class, ret_seen);
    pthread_mutex_unlock(&prober->lock);
    if (known)
        return SC_OK;
    if (stop_fd == SC_PROBER_QUICK)
        return sc_error_set(err, SC_BUSY, "a process would have to be started");
    return tell(prober, &host, path, gpu, stop_fd, arena, ret_class, ret_seen, err);
}

enum sc_rc sc_prober_class(struct sc_prober *prober, struct sc_slice path, bool gpu, int stop_fd,
                           struct sc_arena *arena, struct sc_class *ret_class, struct sc_error *err)
{
    struct sc_msg_probe probe = {.kind = SC_PROBE_CLASS, .gpu = gpu};
    struct seen seen;
    int64_t began_us = sc_clock_mono_us();
    enum sc_rc rc = look_class(prober, path, gpu, stop_fd, arena, ret_class, &seen, err);
    if (rc == SC_OK)
        note_answer(prober, &probe, path, &ret_class->environment, &seen, began_us);
    return rc;
}

enum sc_rc sc_prober_remembered(struct sc_prober *prober, struct sc_slice path, bool gpu,
                                struct sc_arena *arena, struct sc_class *ret_class, struct sc_error *err)
{
    struct seen seen;
    struct sc_host host = sc_host_look(prober->root, gpu, arena);
    if (pthread_mutex_trylock(&prober->lock)) // somebody looks at files, which may be slow ones
        return sc_error_set(err, SC_BUSY, "not known yet");
    bool known = remembered(prober, &host, path, gpu, arena, ret_class, &seen);
    pthread_mutex_unlock(&prober->lock);
    return known ? SC_OK : sc_error_set(err, SC_BUSY, "a process would have to be started");
}

// ---- commands

static struct sc_slice strip(struct sc_slice s)
{
    while (s.len && strchr(" \t\r\n", s.ptr[s.len - 1]))
        s.len--;
    while (s.len && strchr(" \t\r\n", s.ptr[0]))
        s = sc_slice_from(s, 1);
    return s;
}

static enum sc_rc command_failed(struct sc_slice command, struct sc_slice said, const char *what,
                                 struct sc_error *err)
{
    said = strip(said);
    if (said.len > SHOWN_BYTES)
        said = sc_slice_from(said, said.len - SHOWN_BYTES);
    enum sc_rc rc = sc_error_set(err, SC_INVALID, "probe `%.*s` %s%s" SC_SLICE_FMT,
                                 (int)(command.len < SHOWN_BYTES ? command.len : SHOWN_BYTES),
                                 (const char *)command.ptr, what, said.len ? ": " : "", SC_SLICE_ARG(said));
    sc_error_hint(err,
                  "a probe must print what the key is to hold, and end with 0; correct it in `environment`");
    return rc;
}

static enum sc_rc run_command(struct sc_prober *prober, const char *folder, struct sc_slice path,
                              struct sc_slice command, int stop_fd, struct sc_arena *arena,
                              struct sc_slice *ret_text, struct sc_error *err)
{
    const char *const argv[] = {"/bin/sh", "-c", sc_arena_cstr(arena, command), NULL};
    struct sc_child child = {.argv = argv,
                             .env = clean_env(arena, path, folder),
                             .folder = folder,
                             .timeout_ms = prober->config.timeout_ms,
                             .stop_fd = stop_fd,
                             .max_bytes = OUTPUT_BYTES,
                             .sweeps = true};
    SC_AUTO_BUF struct sc_buf out, errs;
    sc_buf_init(&out, OUTPUT_BYTES);
    sc_buf_init(&errs, OUTPUT_BYTES);
    int status = 0;
    prober->shared_started++;
    enum sc_rc rc = sc_dir_remove(folder, err);
    if (rc == SC_OK)
        rc = sc_dir_make(folder, 0755, err);
    if (rc != SC_OK)
        return rc;
    struct sc_error why = SC_ERROR_INIT;
    rc = sc_child_run(&child, &out, &errs, &status, &why);
    struct sc_error ignored = SC_ERROR_INIT;
    if (sc_dir_remove(folder, &ignored) != SC_OK)
        sc_log(SC_LOG_WARN, "ignoring: %s", ignored.message);
    if (rc == SC_TIMEOUT || rc == SC_LIMIT)
        return command_failed(command, sc_arena_copy(arena, sc_slice_str(why.message)), "failed", err);
    if (rc != SC_OK) {
        if (err)
            *err = why;
        return rc;
    }
    char what[64];
    if (WIFSIGNALED(status))
        snprintf(what, sizeof what, "was killed by signal %d", WTERMSIG(status));
    else
        snprintf(what, sizeof what, "exited with %d", WEXITSTATUS(status));
    if (status != 0)
        return command_failed(command, sc_buf_slice(&errs), what, err);
    struct sc_slice text = strip(sc_buf_slice(&out));
    if (text.len == 0)
        return command_failed(command, sc_buf_slice(&errs), "printed nothing", err);
    if (!sc_slice_is_utf8(text))
        return command_failed(command, sc_slice(NULL, 0), "printed what is no UTF-8 text", err);
    *ret_text = sc_arena_copy(arena, text);
    return SC_OK;
}

static int by_name(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct sc_environment_part *)a)->name,
                        ((const struct sc_environment_part *)b)->name);
}

// The folder is the question's own, and the same each time, since commands may print where they are.
static enum sc_rc look_commands(struct sc_prober *prober, const struct sc_msg_probe *probe,
                                struct sc_slice path, int stop_fd, struct sc_arena *arena,
                                struct sc_environment *ret_environment, struct sc_error *err)
{
    if (stop_fd == SC_PROBER_QUICK)
        return sc_error_set(err, SC_BUSY, "processes would have to be started");
    const sc_text_list *commands = &probe->commands;
    char hex[SC_DIGEST_HEX_BYTES];
    struct sc_digest question = sc_prober_question(probe, path);
    sc_digest_hex(&question, hex);
    SC_AUTO_FREE char *folder = sc_asprintf("%s/%.16s", prober->folder, hex);
    struct sc_environment env = {
        .parts = {SC_NEW_ARRAY(arena, commands->count + 2, struct sc_environment_part), 0}};
    put_text(arena, &env, "arch", sc_host_arch(arena));
    put_text(arena, &env, "path", path);
    for (uint32_t i = 0; i < commands->count; i++) {
        struct sc_slice text;
        enum sc_rc rc = run_command(prober, folder, path, commands->items[i], stop_fd, arena, &text, err);
        if (rc != SC_OK)
            return rc;
        put_text(arena, &env, (const char *)sc_arena_printf(arena, "probe.%u", i).ptr, text);
    }
    qsort(env.parts.items, env.parts.count, sizeof *env.parts.items, by_name);
    *ret_environment = env;
    return SC_OK;
}

enum sc_rc sc_prober_commands(struct sc_prober *prober, struct sc_slice path, const sc_text_list *commands,
                              int stop_fd, struct sc_arena *arena, struct sc_environment *ret_environment,
                              struct sc_error *err)
{
    struct sc_msg_probe probe = {.kind = SC_PROBE_COMMANDS, .commands = *commands};
    int64_t began_us = sc_clock_mono_us();
    enum sc_rc rc = look_commands(prober, &probe, path, stop_fd, arena, ret_environment, err);
    if (rc == SC_OK)
        note_answer(prober, &probe, path, ret_environment, &(struct seen){0}, began_us);
    return rc;
}

// ---- whether it is still so

static bool has_packages(const struct sc_environment *environment)
{
    for (uint32_t i = 0; i < environment->parts.count; i++)
        if (sc_slice_eq_str(environment->parts.items[i].name, "packages"))
            return true;
    return false;
}

static enum sc_rc look_again(struct sc_prober *prober, const struct sc_held *held, int stop_fd,
                             struct look *look, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    const struct sc_msg_probe *probe = held->probe;
    struct sc_class class_ = {0};
    struct seen seen = {0};
    enum sc_rc rc = probe->kind == SC_PROBE_CLASS
                        ? look_class(prober, held->path, probe->gpu, stop_fd, &arena, &class_, &seen, err)
                        : look_commands(prober, probe, held->path, stop_fd, &arena, &class_.environment, err);
    if (rc != SC_OK)
        return rc;
    struct sc_environment keyed = sc_environment_without(&arena, &class_.environment, &probe->ignored);
    look->environment = sc_environment_digest(&keyed);
    if (has_packages(&keyed)) { // most of the files tell of nothing else
        look->seen = seen.digest;
        look->changed = seen.changed ? sc_strdup(seen.changed) : NULL;
    }
    return SC_OK;
}

static bool is_as_before(const struct look *look, const struct sc_held *held)
{
    return look->rc == SC_OK && sc_digest_eq(&look->environment, held->environment) &&
           (sc_digest_is_zero(held->seen) || sc_digest_eq(&look->seen, held->seen));
}

// Gives what the look found.
static enum sc_rc conclude(const struct look *look, const struct sc_held *held, bool *ret_holds,
                           struct sc_error *err)
{
    if (look->rc != SC_OK) {
        sc_error_set(err, look->rc, "%s", look->why);
        sc_error_hint(err, "%s", look->hint);
        return look->rc;
    }
    *ret_holds = is_as_before(look, held);
    *held->seen = look->seen;
    if (!*ret_holds && look->changed)
        *held->changed = sc_strdup(look->changed);
    return SC_OK;
}

// Whether an earlier look serves; it has been concluded from then.
static bool served(struct sc_prober *prober, const struct sc_held *held, const struct sc_digest *question,
                   bool *ret_holds, enum sc_rc *ret_rc, struct sc_error *err)
{
    pthread_mutex_lock(&prober->lock);
    const struct look *look = find_look(prober, question);
    bool serves = look && look->began_us > held->since_us &&
                  (is_as_before(look, held) || look->began_us > held->asked_us);
    if (serves)
        *ret_rc = conclude(look, held, ret_holds, err);
    pthread_mutex_unlock(&prober->lock);
    return serves;
}

enum sc_rc sc_prober_holds(struct sc_prober *prober, const struct sc_held *held, int stop_fd, bool *ret_holds,
                           struct sc_error *err)
{
    SC_ASSERT(held->probe->kind == SC_PROBE_CLASS || held->probe->kind == SC_PROBE_COMMANDS);
    struct look now = {.question = looked_for(held->probe, held->path)};
    enum sc_rc rc = SC_OK;
    if (served(prober, held, &now.question, ret_holds, &rc, err))
        return rc;
    struct sc_error why = SC_ERROR_INIT;
    now.began_us = sc_clock_mono_us();
    now.rc = look_again(prober, held, stop_fd, &now, &why);
    if (now.rc == SC_OK) {
        rc = conclude(&now, held, ret_holds, err);
        note_look(prober, &now);
        return rc;
    }
    rc = now.rc;
    if (err)
        *err = why;
    if (rc == SC_BUSY || rc == SC_INTERRUPTED) // nothing was found out
        return rc;
    now.why = sc_strdup(why.message);
    now.hint = sc_strdup(why.hint);
    note_look(prober, &now);
    return rc;
}
