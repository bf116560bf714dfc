#include "agent/runner/runner.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct sc_field path_fields[] = {{"path", SC_F_BIN, 0, NULL, SC_LIMIT_PATH_BYTES}};
static const struct sc_schema path_schema = {"path", path_fields, 1, sizeof(struct sc_slice), true, true};
// Arguments and variables are bytes: nothing says that they are UTF-8.
static const struct sc_field arg_fields[] = {{"argument", SC_F_BIN, 0, NULL, SC_RUNNER_ARG_BYTES}};
static const struct sc_schema arg_schema = {"argument", arg_fields, 1, sizeof(struct sc_slice), true, true};

static const struct sc_field config_fields[] = {
    SC_FIELD_SUB(struct sc_runner_config, hidden, SC_F_LIST, &path_schema, SC_RUNNER_HIDDEN),
};
SC_SCHEMA(sc_schema_runner_config, "runner config", struct sc_runner_config, config_fields);

static const struct sc_field input_fields[] = {
    SC_FIELD_MAX(struct sc_runner_input, name, SC_F_BIN, SC_LIMIT_FILENAME_BYTES),
    SC_FIELD_MAX(struct sc_runner_input, source, SC_F_BIN, SC_LIMIT_PATH_BYTES),
};
static SC_SCHEMA_POSITIONAL(input_schema, "input", struct sc_runner_input, input_fields);

static const struct sc_field limits_fields[] = {
    SC_FIELD(struct sc_runner_limits, cpus_milli, SC_F_U64),
    SC_FIELD(struct sc_runner_limits, memory_bytes, SC_F_U64),
    SC_FIELD(struct sc_runner_limits, open_files, SC_F_U64),
    SC_FIELD(struct sc_runner_limits, processes, SC_F_U64),
};
static SC_SCHEMA(limits_schema, "limits", struct sc_runner_limits, limits_fields);

static const struct sc_field launch_fields[] = {
    SC_FIELD(struct sc_launch, after, SC_F_U64),
    SC_FIELD_SUB(struct sc_launch, argv, SC_F_LIST, &arg_schema, SC_RUNNER_ARGS),
    SC_FIELD_SUB(struct sc_launch, env, SC_F_LIST, &arg_schema, SC_RUNNER_ARGS),
    SC_FIELD_SUB(struct sc_launch, inputs, SC_F_LIST, &input_schema, SC_RUNNER_INPUTS),
    SC_FIELD_SUB(struct sc_launch, limits, SC_F_STRUCT, &limits_schema, 0),
    SC_FIELD_MAX(struct sc_launch, network, SC_F_ENUM, SC_RUNNER_NETWORK_NONE),
    SC_FIELD(struct sc_launch, task, SC_F_U64),
    SC_FIELD_MAX(struct sc_launch, work, SC_F_BIN, SC_LIMIT_PATH_BYTES),
};
SC_SCHEMA(sc_schema_runner_launch, "launch", struct sc_launch, launch_fields);

static const struct sc_field go_fields[] = {
    SC_FIELD(struct sc_runner_go, task, SC_F_U64),
};
SC_SCHEMA(sc_schema_runner_go, "go", struct sc_runner_go, go_fields);

static const struct sc_field signal_fields[] = {
    SC_FIELD_MAX(struct sc_runner_signal, signal, SC_F_U32, 64),
    SC_FIELD(struct sc_runner_signal, task, SC_F_U64),
};
SC_SCHEMA(sc_schema_runner_signal, "signal", struct sc_runner_signal, signal_fields);

static const struct sc_field capabilities_fields[] = {
    SC_FIELD_MAX(struct sc_runner_capabilities, assurance, SC_F_ENUM, SC_RUNNER_ASSURANCE_NAMESPACES),
    SC_FIELD(struct sc_runner_capabilities, binds_inputs, SC_F_BOOL),
    SC_FIELD_MAX(struct sc_runner_capabilities, cgroup, SC_F_ENUM, SC_RUNNER_CGROUP_V2),
    SC_FIELD_MAX(struct sc_runner_capabilities, landlock_abi, SC_F_U32, UINT32_MAX),
    SC_FIELD(struct sc_runner_capabilities, limits_cpu, SC_F_BOOL),
    SC_FIELD(struct sc_runner_capabilities, limits_memory, SC_F_BOOL),
    SC_FIELD(struct sc_runner_capabilities, limits_processes, SC_F_BOOL),
    SC_FIELD_MAX(struct sc_runner_capabilities, reason, SC_F_BIN, SC_RUNNER_TEXT_BYTES),
};
static SC_SCHEMA(capabilities_schema, "capabilities", struct sc_runner_capabilities, capabilities_fields);

static const struct sc_field event_fields[] = {
    SC_FIELD_SUB(struct sc_runner_event, capabilities, SC_F_STRUCT, &capabilities_schema, 0),
    SC_FIELD(struct sc_runner_event, cpu_us, SC_F_U64),
    SC_FIELD(struct sc_runner_event, ended_ms, SC_F_I64),
    SC_FIELD_MAX(struct sc_runner_event, exit_code, SC_F_U32, 255),
    SC_FIELD_MAX(struct sc_runner_event, kind, SC_F_ENUM, SC_RUNNER_WITHDRAWN),
    SC_FIELD(struct sc_runner_event, max_rss_bytes, SC_F_U64),
    SC_FIELD(struct sc_runner_event, oom, SC_F_BOOL),
    SC_FIELD_MAX(struct sc_runner_event, pid, SC_F_U32, INT32_MAX),
    SC_FIELD_MAX(struct sc_runner_event, signal, SC_F_U32, 64),
    SC_FIELD(struct sc_runner_event, started_mono_ms, SC_F_I64),
    SC_FIELD(struct sc_runner_event, started_ms, SC_F_I64),
    SC_FIELD_MAX(struct sc_runner_event, sys_errno, SC_F_U32, 4095),
    SC_FIELD(struct sc_runner_event, task, SC_F_U64),
    SC_FIELD_MAX(struct sc_runner_event, text, SC_F_BIN, SC_RUNNER_TEXT_BYTES),
};
SC_SCHEMA(sc_schema_runner_event, "runner event", struct sc_runner_event, event_fields);

const char *sc_runner_assurance_name(enum sc_runner_assurance assurance)
{
    return assurance == SC_RUNNER_ASSURANCE_NAMESPACES ? "namespaces" : "none";
}

const char *sc_runner_cgroup_name(enum sc_runner_cgroup cgroup)
{
    switch (cgroup) {
    case SC_RUNNER_CGROUP_NONE:
        return "none";
    case SC_RUNNER_CGROUP_V1:
        return "v1";
    case SC_RUNNER_CGROUP_V2:
        return "v2";
    }
    return "none";
}

// A packet is two bytes, the kind and where the body lies, and the body.
enum { HEADER_BYTES = 2, BODY_HERE = 0, BODY_MEMFD = 1 };
union control {
    struct cmsghdr header; // for alignment
    char bytes[CMSG_SPACE(sizeof(int) * SC_RUNNER_PACKET_FDS)];
};

static enum sc_rc send_packet(int socket, struct iovec *parts, size_t part_count, const int *fds,
                              uint32_t fd_count, struct sc_error *err)
{
    union control control = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
    if (fd_count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(int) * fd_count), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return sc_error_set(err, SC_BUSY, "the runner's socket is full");
        if (errno == EPIPE || errno == ECONNRESET)
            return sc_error_set(err, SC_CLOSED, "the runner's socket is closed");
        return sc_error_errno(err, errno, "send to the runner's socket");
    }
    return SC_OK;
}

enum sc_rc sc_runner_send(int socket, enum sc_runner_kind kind, const struct sc_schema *schema,
                          const void *object, const int *fds, uint32_t fd_count, struct sc_error *err)
{
    SC_ASSERT(fd_count < SC_RUNNER_PACKET_FDS);
    SC_AUTO_BUF struct sc_buf body;
    sc_buf_init(&body, SC_RUNNER_BODY_BYTES);
    sc_encode(schema, object, &body);
    if (body.overflow)
        return sc_error_set(err, SC_LIMIT, "%s: larger than %u bytes", schema->name, SC_RUNNER_BODY_BYTES);
    uint8_t header[HEADER_BYTES] = {(uint8_t)kind, BODY_HERE};
    struct iovec parts[2] = {{header, sizeof header}, {body.ptr, body.len}};
    if (body.len <= SC_RUNNER_PACKET_BYTES)
        return send_packet(socket, parts, 2, fds, fd_count, err);

    SC_AUTO_CLOSE int memfd = memfd_create("stepcache-runner", MFD_CLOEXEC);
    if (memfd < 0)
        return sc_error_errno(err, errno, "make a memfd");
    enum sc_rc rc = sc_fd_write_all(memfd, sc_buf_slice(&body), err);
    if (rc != SC_OK)
        return rc;
    int all[SC_RUNNER_PACKET_FDS];
    for (uint32_t i = 0; i < fd_count; i++)
        all[i] = fds[i];
    all[fd_count] = memfd;
    header[1] = BODY_MEMFD;
    return send_packet(socket, parts, 1, all, fd_count + 1, err);
}

static enum sc_rc malformed(struct sc_runner_packet *packet, const char *what, struct sc_error *err)
{
    sc_runner_packet_done(packet);
    return sc_error_set(err, SC_MALFORMED, "runner packet: %s", what);
}

// Replaces the buffer's contents by those of the packet's last descriptor.
static enum sc_rc read_memfd(struct sc_runner_packet *packet, struct sc_buf *buffer, struct sc_error *err)
{
    if (packet->fd_count == 0)
        return malformed(packet, "no memfd", err);
    SC_AUTO_CLOSE int memfd = packet->fds[--packet->fd_count];
    struct stat st;
    if (fstat(memfd, &st) || st.st_size <= 0 || st.st_size > SC_RUNNER_BODY_BYTES)
        return malformed(packet, "the size of its memfd", err);
    sc_buf_clear(buffer);
    uint8_t *at = sc_buf_reserve(buffer, (size_t)st.st_size);
    while (at && buffer->len < (size_t)st.st_size) {
        ssize_t n = pread(memfd, at + buffer->len, (size_t)st.st_size - buffer->len, (off_t)buffer->len);
        if (n <= 0)
            return malformed(packet, "reading its memfd", err);
        buffer->len += (size_t)n;
    }
    if (!at)
        return malformed(packet, "the size of its body", err);
    packet->body = sc_buf_slice(buffer);
    return SC_OK;
}

enum sc_rc sc_runner_receive(int socket, int flags, struct sc_buf *buffer,
                             struct sc_runner_packet *ret_packet, struct sc_error *err)
{
    sc_buf_clear(buffer);
    uint8_t *at = sc_buf_reserve(buffer, HEADER_BYTES + SC_RUNNER_PACKET_BYTES);
    SC_ASSERT(at != NULL);
    union control control = {0};
    struct iovec part = {at, HEADER_BYTES + SC_RUNNER_PACKET_BYTES};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    while ((n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (n < 0 && errno == EAGAIN)
        return SC_BUSY;
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return sc_error_set(err, SC_CLOSED, "the runner's socket is closed");
    if (n < 0)
        return sc_error_errno(err, errno, "receive from the runner's socket");

    struct sc_runner_packet packet = {0};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        packet.fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(packet.fds, CMSG_DATA(c), sizeof(int) * packet.fd_count);
    }
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return malformed(&packet, "larger than allowed", err);
    if (n < HEADER_BYTES || at[0] > SC_RUNNER_EVENT || at[1] > BODY_MEMFD)
        return malformed(&packet, "its header", err);
    packet.kind = (enum sc_runner_kind)at[0];
    packet.body = sc_slice(at + HEADER_BYTES, (size_t)n - HEADER_BYTES);
    if (at[1] == BODY_MEMFD) {
        enum sc_rc rc = read_memfd(&packet, buffer, err);
        if (rc != SC_OK)
            return rc;
    }
    *ret_packet = packet;
    return SC_OK;
}

void sc_runner_packet_done(struct sc_runner_packet *packet)
{
    for (uint32_t i = 0; i < packet->fd_count; i++)
        sc_fd_close(packet->fds[i]);
    packet->fd_count = 0;
}
