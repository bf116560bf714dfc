#include "stepctl/private.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/child.h"
#include "base/os/clock.h"
#include "base/os/file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    LOG_TAIL_BYTES = 600,
    STRANGER_MS = 2000, // an agent of an earlier run that leaves takes less
};

void sc_private_init(struct sc_private *private, const struct sc_places *places, bool wants_agent)
{
    *private = (struct sc_private){.places = places, .wants_agent = wants_agent};
}

static char *own_folder(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return NULL;
    path[n] = 0;
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    return sc_strdup(path);
}

char *sc_private_program(const char *name, const char *build_folder)
{
    SC_AUTO_FREE char *folder = own_folder();
    for (int i = 0; folder && i < 2; i++) {
        char *candidate =
            i ? sc_asprintf("%s/../%s/%s", folder, build_folder, name) : sc_asprintf("%s/%s", folder, name);
        if (access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
    }
    return sc_child_find(name, getenv("PATH"));
}

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

// posix_spawn shares our memory with the child until it execs, which makes it cheap and needs no care between fork and
// exec (RUNTIME: 0.45 ms).
static enum sc_rc spawn(const char *program, const char *log, pid_t *ret_pid, struct sc_error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addchdir_np(&actions, "/");
    // What the shell that started us left open is none of a daemon's business: it would hold pipes open for ever.
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    char name[] = "--private";
    char *argv[] = {(char *)(uintptr_t)program, name, NULL};
    int rc = posix_spawn(ret_pid, program, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rc ? sc_error_errno(err, rc, "start %s", program) : SC_OK;
}

static enum sc_rc start(const struct sc_places *places, const char *name, const char *build_folder,
                        const char *log_name, int64_t *log_bytes, pid_t *pid, struct sc_error *err)
{
    SC_AUTO_FREE char *program = sc_private_program(name, build_folder);
    if (!program) {
        enum sc_rc rc = sc_error_set(err, SC_UNREACHABLE, "%s is not beside stepctl and not on PATH", name);
        sc_error_hint(err, "install it, or say --coordinator ENDPOINT to talk to one that runs");
        return rc;
    }
    SC_AUTO_FREE char *log = sc_asprintf("%s/%s", places->logs, log_name);
    if (!*pid)
        *log_bytes = size_of(log);
    return spawn(program, log, pid, err);
}

static enum sc_rc start_coordinator(struct sc_private *private, struct sc_error *err)
{
    private->starts++;
    return start(private->places, "step-coordinator", "coordinator/shell", "coordinator.log",
                 &private->coordinator_log, &private->coordinator, err);
}

static enum sc_rc start_agent(struct sc_private *private, struct sc_error *err)
{
    return start(private->places, "step-agent", "agent/shell", "agent.log", &private->agent_log,
                 &private->agent, err);
}

enum sc_rc sc_private_begin(struct sc_private *private, const struct sc_peer_id *self, int *ret_tether,
                            struct sc_error *err)
{
    struct sc_error ignored = SC_ERROR_INIT;
    int tether = -1;
    private->started_ms = sc_clock_mono_ms();
    if (sc_tether_connect(private->places->tether, self, &tether, &ignored) != SC_OK) {
        tether = -1;
        enum sc_rc rc = start_coordinator(private, err);
        if (rc != SC_OK)
            return rc;
    }
    if (private->wants_agent) {
        enum sc_rc rc = start_agent(private, err);
        if (rc != SC_OK) {
            if (tether >= 0)
                sc_fd_close(tether);
            return rc;
        }
    }
    *ret_tether = tether;
    return SC_OK;
}

// The child's end, when it has ended: once with its status, then with 0.
static bool ended_with(pid_t *pid, int *ret_status)
{
    *ret_status = 0;
    if (*pid <= 0)
        return true;
    if (waitpid(*pid, ret_status, WNOHANG) != *pid)
        return false;
    *pid = 0;
    return true;
}

static bool ended(pid_t *pid)
{
    int status;
    return ended_with(pid, &status);
}

// What the coordinator wrote since we started it, its last lines.
static void log_tail(const struct sc_private *private, struct sc_error *err)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/coordinator.log", private->places->logs);
    int64_t size = size_of(path), from = private->coordinator_log;
    if (size - from > LOG_TAIL_BYTES)
        from = size - LOG_TAIL_BYTES;
    char text[LOG_TAIL_BYTES + 1];
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : pread(fd, text, LOG_TAIL_BYTES, from);
    if (n <= 0) {
        sc_error_hint(err, "its log is %s", path);
        return;
    }
    text[n] = 0;
    char *line = text;
    for (char *c = text; *c; c++)
        if (*c == '\n' && c[1])
            line = c + 1;
    line[strcspn(line, "\n")] = 0;
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, "; the last line of %s: %s", path, line);
}

enum sc_rc sc_private_await(struct sc_private *private, const struct sc_peer_id *self, int patience_ms,
                            int *ret_tether, struct sc_error *err)
{
    int64_t until = sc_clock_mono_ms() + patience_ms;
    int pause_ms = 1;
    for (;;) {
        struct sc_error last = SC_ERROR_INIT;
        if (sc_tether_connect(private->places->tether, self, ret_tether, &last) == SC_OK)
            return SC_OK;
        int64_t now = sc_clock_mono_ms();
        if (now >= until) {
            sc_error_set(err, SC_UNREACHABLE, "the coordinator did not come up within %d s",
                         patience_ms / 1000);
            log_tail(private, err);
            return SC_UNREACHABLE;
        }
        // It left without listening: another one that is just going holds the lock (0), or it cannot start at all.
        int status;
        if (ended_with(&private->coordinator, &status)) {
            bool gave_up = WIFEXITED(status) && WEXITSTATUS(status); // not one that was killed
            if (gave_up || private->starts > 40) {
                sc_error_set(err, SC_UNREACHABLE, "the coordinator does not start");
                log_tail(private, err);
                return SC_UNREACHABLE;
            }
            poll(NULL, 0, private->starts > 3 ? 100 : 5);
            enum sc_rc rc = start_coordinator(private, err);
            if (rc != SC_OK)
                return rc;
        }
        poll(NULL, 0, pause_ms);
        if (now - private->started_ms > 200)
            pause_ms = 10;
    }
}

// An agent that works for another coordinator, which is found by another XDG_RUNTIME_DIR.
static char *stranger(const struct sc_places *places)
{
    char endpoint[SC_LIMIT_PATH_BYTES];
    SC_AUTO_FREE char *link = sc_asprintf("%s/" SC_AGENT_ENDPOINT_LINK, places->agent_state);
    SC_AUTO_FREE char *lock = sc_asprintf("%s/agent.lock", places->agent_state);
    ssize_t len = readlink(link, endpoint, sizeof endpoint - 1);
    endpoint[len > 0 ? len : 0] = 0;
    SC_AUTO_BUF struct sc_buf pid;
    sc_buf_init(&pid, 32 + 65536);
    if (len <= 0 || strcmp(endpoint, places->agent_endpoint) == 0 ||
        sc_file_read(lock, 32, &pid, NULL) != SC_OK)
        return NULL;
    return sc_asprintf(
        "the agent of another session (process %.*s, for %s) works in %s: this run's steps wait until it "
        "leaves; to run beside it, set XDG_CACHE_HOME to another folder",
        (int)strcspn(sc_buf_cstr(&pid), "\n"), sc_buf_cstr(&pid), endpoint, places->agent_state);
}

char *sc_private_tick(struct sc_private *private, int64_t mono_ms)
{
    // Often at first, when an agent of an earlier run may just be leaving; later once a second.
    int64_t every = mono_ms - private->started_ms < 3000 ? 50 : 1000;
    if (!private->wants_agent || mono_ms - private->agent_checked_ms < every)
        return NULL;
    private->agent_checked_ms = mono_ms;
    SC_AUTO_FREE char *lock = sc_asprintf("%s/agent.lock", private->places->agent_state);
    struct sc_error ignored = SC_ERROR_INIT;
    bool locked = sc_file_is_locked(lock);
    if (ended(&private->agent) && !locked && start_agent(private, &ignored) != SC_OK)
    private->wants_agent = false; // said once, when it was started first; it cannot be now
    // One that is just leaving is not worth a word.
    if (!locked || private->told_stranger || mono_ms - private->started_ms < STRANGER_MS)
        return NULL;
    char *news = stranger(private->places);
    private->told_stranger = news != NULL;
    return news;
}

bool sc_private_is_gone(struct sc_private *private)
{
    SC_AUTO_FREE char *agent = sc_asprintf("%s/agent.lock", private->places->agent_state);
    SC_AUTO_FREE char *coordinator = sc_asprintf("%s/coordinator.lock", private->places->coordinator_state);
    bool children = ended(&private->coordinator) && ended(&private->agent);
    return children && !sc_file_is_locked(agent) && !sc_file_is_locked(coordinator);
}

void sc_private_dismiss_agent(struct sc_private *private)
{
    if (!ended(&private->agent))
        kill(private->agent, SIGTERM);
    private->wants_agent = false;
}
