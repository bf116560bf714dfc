#include "agent/runner/client.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct sc_runner {
    int socket;
    pid_t pid;
    struct sc_buf buffer; // the packet that the last event lies in
    struct sc_arena arena;
};

static int spawn(const char *program, int socket, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, socket, SC_RUNNER_SOCKET_FD);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    char *argv[] = {(char *)(uintptr_t) "stepcache-runner", NULL};
    int error = posix_spawn(ret_pid, program, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

enum sc_rc sc_runner_start(const char *program, const struct sc_runner_config *config,
                           struct sc_runner **ret_runner, struct sc_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return sc_error_errno(err, errno, "make the runner's socket");
    pid_t pid;
    int error = spawn(program, pair[1], &pid);
    close(pair[1]);
    if (error) {
        close(pair[0]);
        return sc_error_errno(err, error, "start %s", program);
    }
    struct sc_runner *runner = sc_calloc(1, sizeof *runner);
    runner->socket = pair[0];
    runner->pid = pid;
    sc_buf_init(&runner->buffer, SC_RUNNER_BODY_BYTES + SC_RUNNER_PACKET_BYTES);
    sc_arena_init(&runner->arena);
    enum sc_rc rc =
        sc_runner_send(runner->socket, SC_RUNNER_CONFIG, &sc_schema_runner_config, config, NULL, 0, err);
    if (rc != SC_OK) {
        sc_runner_free(runner);
        return sc_error_wrap(err, rc, "configure %s", program);
    }
    *ret_runner = runner;
    return SC_OK;
}

int sc_runner_fd(const struct sc_runner *runner)
{
    return runner->socket;
}

int sc_runner_pid(const struct sc_runner *runner)
{
    return runner->pid;
}

enum sc_rc sc_runner_launch(struct sc_runner *runner, const struct sc_launch *launch, int stdout_fd,
                            int stderr_fd, struct sc_error *err)
{
    int fds[2] = {stdout_fd, stderr_fd};
    return sc_runner_send(runner->socket, SC_RUNNER_LAUNCH, &sc_schema_runner_launch, launch, fds, 2, err);
}

enum sc_rc sc_runner_go(struct sc_runner *runner, uint64_t task, struct sc_error *err)
{
    struct sc_runner_go message = {.task = task};
    return sc_runner_send(runner->socket, SC_RUNNER_GO, &sc_schema_runner_go, &message, NULL, 0, err);
}

enum sc_rc sc_runner_signal(struct sc_runner *runner, uint64_t task, int sig, struct sc_error *err)
{
    SC_ASSERT(sig > 0 && sig <= SIGRTMAX);
    struct sc_runner_signal message = {.signal = (uint32_t)sig, .task = task};
    return sc_runner_send(runner->socket, SC_RUNNER_SIGNAL, &sc_schema_runner_signal, &message, NULL, 0, err);
}

enum sc_rc sc_runner_next(struct sc_runner *runner, struct sc_runner_event *ret_event, struct sc_error *err)
{
    // Sending waits for room (the runner never waits for a step, and queues its events when we do not read them), while
    // receiving must not.
    struct sc_runner_packet packet;
    enum sc_rc rc = sc_runner_receive(runner->socket, MSG_DONTWAIT, &runner->buffer, &packet, err);
    if (rc == SC_BUSY) {
        *ret_event = (struct sc_runner_event){.kind = SC_RUNNER_NOTHING};
        return SC_OK;
    }
    if (rc != SC_OK)
        return rc;
    struct sc_slice body = packet.body;
    sc_runner_packet_done(&packet); // events carry none
    if (packet.kind != SC_RUNNER_EVENT)
        return sc_error_set(err, SC_MALFORMED, "the runner sent what is not an event");
    sc_arena_done(&runner->arena);
    struct sc_runner_event event = {0};
    rc = sc_decode(&sc_schema_runner_event, body, SC_DECODE_LENIENT, &runner->arena, &event, err);
    if (rc == SC_OK)
        *ret_event = event;
    return rc;
}

void sc_runner_free(struct sc_runner *runner)
{
    if (!runner)
        return;
    sc_fd_close(runner->socket);
    while (waitpid(runner->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    sc_buf_done(&runner->buffer);
    sc_arena_done(&runner->arena);
    free(runner);
}
