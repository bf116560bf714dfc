// stepcache-runner: started by an agent with a socket as descriptor 3; not for hand use. See runner.h.
#include "agent/runner/plain.h"
#include "agent/runner/runner.h"
#include "agent/runner/sandbox.h"
#include "agent/runner/serve.h"

#include "base/os/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_FAILED = 1, SIGNALS = 64 };

// What steps inherit is decided here and not by whoever started the agent: no terminal, no descriptors, every signal
// at its default (exec keeps those ignored that were) and blocked until the step has its own mask.
static void become_bare(void)
{
    // Past glibc, which hides the two signals of its own that its posix_spawn leaves ignored. Zeros are SIG_DFL and no
    // flags in the kernel's struct sigaction, which no architecture has larger.
    static const uint64_t by_default[16];
    for (int sig = 1; sig <= SIGNALS; sig++)
        (void)syscall(SYS_rt_sigaction, sig, by_default, NULL, SIGNALS / 8);
    setsid();
    umask(SC_RUNNER_UMASK);
    close_range(SC_RUNNER_SOCKET_FD + 1, ~0u, 0);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    // Closing the socket is what ends a runner; this is for the case that something holds it open.
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
}

static enum sc_rc receive_config(struct sc_buf *buffer, struct sc_arena *arena,
                                 struct sc_runner_config *ret_config, struct sc_error *err)
{
    struct sc_runner_packet packet;
    enum sc_rc rc = sc_runner_receive(SC_RUNNER_SOCKET_FD, 0, buffer, &packet, err);
    if (rc != SC_OK)
        return rc;
    sc_runner_packet_done(&packet);
    if (packet.kind != SC_RUNNER_CONFIG)
        return sc_error_set(err, SC_MALFORMED, "the first message is not a configuration");
    return sc_decode(&sc_schema_runner_config, packet.body, SC_DECODE_LENIENT, arena, ret_config, err);
}

// Without a hidden folder that is there nothing is safe, so that is an error; a kernel that refuses is not.
static enum sc_rc check_hidden(const struct sc_runner_config *config, struct sc_arena *arena,
                               struct sc_error *err)
{
    for (uint32_t i = 0; i < config->hidden.count; i++) {
        const char *path = sc_arena_cstr(arena, config->hidden.items[i]);
        struct stat st;
        if (path[0] != '/')
            return sc_error_set(err, SC_INVALID, "hidden folder %s: not an absolute path", path);
        if (stat(path, &st))
            return sc_error_errno(err, errno, "hidden folder %s", path);
        if (!S_ISDIR(st.st_mode))
            return sc_error_set(err, SC_INVALID, "hidden folder %s: not a folder", path);
    }
    return SC_OK;
}

static bool is_forced_plain(void)
{
    const char *force = getenv(SC_RUNNER_FORCE_ENV);
    return force && strcmp(force, "plain") == 0;
}

static enum sc_rc choose(const struct sc_runner_config *config, struct sc_sandbox *ret_sandbox,
                         struct sc_runner_capabilities *capabilities, char reason[SC_RUNNER_TEXT_BYTES],
                         struct sc_error *err)
{
    struct sc_error why = SC_ERROR_INIT;
    enum sc_rc rc = is_forced_plain() ? sc_error_set(&why, SC_UNSUPPORTED, SC_RUNNER_FORCE_ENV "=plain")
                                      : sc_sandbox_probe(config, &why);
    capabilities->landlock_abi = sc_plain_landlock_abi();
    if (rc == SC_OK) {
        rc = sc_sandbox_open(config, ret_sandbox, err);
        if (rc != SC_OK)
            return rc; // it worked in the probe
        capabilities->assurance = SC_RUNNER_ASSURANCE_NAMESPACES;
        capabilities->binds_inputs = true;
        return SC_OK;
    }
    const char *landlock = "";
    (void)sc_plain_protects(config, &landlock);
    snprintf(reason, SC_RUNNER_TEXT_BYTES, "no namespaces: %.200s; %s", why.message, landlock);
    capabilities->reason = sc_slice_str(reason);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        return sc_error_errno(err, errno, "become a subreaper");
    return SC_OK;
}

static enum sc_rc run(struct sc_buf *buffer, struct sc_arena *arena, struct sc_error *err)
{
    struct sc_runner_config config = {0};
    enum sc_rc rc = receive_config(buffer, arena, &config, err);
    if (rc == SC_CLOSED)
        return SC_OK;
    if (rc == SC_OK)
        rc = check_hidden(&config, arena, err);
    if (rc != SC_OK)
        return rc;
    struct sc_cgroups cgroups;
    sc_cgroups_open(&cgroups); // before a user namespace: it is of no use in there, where ids are others
    struct sc_sandbox sandbox = {.template = {.view_fd = -1}};
    struct sc_runner_capabilities capabilities = {.cgroup = cgroups.version,
                                                  .limits_cpu = cgroups.cpu != NULL,
                                                  .limits_memory = cgroups.memory != NULL,
                                                  .limits_processes = cgroups.processes != NULL};
    char reason[SC_RUNNER_TEXT_BYTES];
    rc = choose(&config, &sandbox, &capabilities, reason, err);
    if (rc == SC_OK)
        rc = sc_sandbox_bound(err);
    // No step reads what another was given, where they share a user and no namespace parts them.
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    bool contains = capabilities.assurance == SC_RUNNER_ASSURANCE_NAMESPACES;
    if (rc == SC_OK)
        rc = sc_serve(SC_RUNNER_SOCKET_FD, &config, contains ? &sandbox : NULL, &capabilities, &cgroups, err);
    sc_cgroups_close(&cgroups);
    return rc;
}

int main(int argc, char **argv)
{
    (void)argv;
    struct stat st;
    if (argc != 1 || fstat(SC_RUNNER_SOCKET_FD, &st) || !S_ISSOCK(st.st_mode)) {
        fputs("stepcache-runner: is started by stepcache-agent\n", stderr);
        return EXIT_USAGE;
    }
    become_bare();
    sc_log_open(STDERR_FILENO, "runner", SC_LOG_INFO);
    struct sc_buf buffer;
    struct sc_arena arena;
    sc_buf_init(&buffer, SC_RUNNER_BODY_BYTES + SC_RUNNER_PACKET_BYTES);
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = run(&buffer, &arena, &err);
    if (rc != SC_OK)
        sc_log(SC_LOG_ERROR, "ended: %s", err.message);
    sc_arena_done(&arena);
    sc_buf_done(&buffer);
    _exit(rc == SC_OK ? 0
                      : EXIT_FAILED); // not exit: a leak checker cannot trace a process that is not dumpable
}
