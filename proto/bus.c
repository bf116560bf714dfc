#include "proto/bus.h"
#include "proto/queue.h"

#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uthash.h>
#include <zmq.h>

enum {
    LINGER_MS = 200,
    // Messages, not bytes, are what libzmq counts per peer. Few, so that what waits is ours to bound; enough that a burst
    // of events does not take a turn of the loop for each.
    HIGH_WATER = 64,
    RECONNECT_MS =
        10, // doubled with each failure, with jitter of its own (zmq_setsockopt(3), ZMQ_RECONNECT_IVL)
    RECONNECT_MAX_MS = 1000,
};

// Who has something waiting, or was dropped and has not been heard of since.
struct peer {
    struct sc_peer_id id;
    struct sc_queue queue;
    bool dropped; // it read too slowly: nothing more is for it but the error that says so
    UT_hash_handle hh;
};

struct sc_bus {
    void *context, *socket;
    bool server;
    struct peer *peers; // a client's one peer has an empty id
    uint64_t refused;
    struct sc_buf scratch;
    // ZMQ_FD tells of changes, not of states: any call on the socket may swallow one. So what the caller polls is an
    // epoll descriptor over it and over an eventfd that is set while messages are known to wait.
    int epoll_fd, waiting_fd;
    bool waiting;
};

int sc_bus_fd(const struct sc_bus *bus)
{
    return bus->epoll_fd;
}

uint64_t sc_bus_refused(const struct sc_bus *bus)
{
    return bus->refused;
}

// ---- making and closing

static enum sc_rc check_endpoint(const char *endpoint, struct sc_error *err)
{
    if (strncmp(endpoint, "tcp://", 6) == 0)
        return sc_error_set(err, SC_UNSUPPORTED, "%s: tcp is not built yet, only ipc:///absolute/path",
                            endpoint);
    if (strncmp(endpoint, "ipc:///", 7) != 0)
        return sc_error_set(err, SC_INVALID, "%s: not an endpoint: ipc:///absolute/path is one", endpoint);
    size_t most = sizeof((struct sockaddr_un *)0)->sun_path - 1, len = strlen(endpoint) - 6;
    if (len > most)
        return sc_error_set(err, SC_LIMIT,
                            "%s: its path has %zu bytes, more than the %zu that a socket's may have",
                            endpoint, len, most);
    return SC_OK;
}

// Anybody who reaches the socket is obeyed, so only its owner may: the folder decides (unix(7), "Pathname socket
// ownership and permissions").
static enum sc_rc check_folder(const char *endpoint, struct sc_error *err)
{
    SC_AUTO_FREE char *folder = sc_strdup(endpoint + 6);
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = 0;
    struct stat st;
    if (lstat(folder, &st))
        return sc_error_errno(err, errno, "the socket's folder %s", folder);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        enum sc_rc rc = sc_error_set(err, SC_DENIED,
                                     "%s: the folder of a socket must be yours and closed to others", folder);
        sc_error_hint(err, "chmod 700 %s", folder);
        return rc;
    }
    return SC_OK;
}

static void set_int(void *socket, int option, int value)
{
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    SC_ASSERT(rc == 0);
}

static enum sc_rc open_descriptors(struct sc_bus *bus, struct sc_error *err)
{
    int fd;
    size_t size = sizeof fd;
    bus->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bus->waiting_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bus->epoll_fd < 0 || bus->waiting_fd < 0 || zmq_getsockopt(bus->socket, ZMQ_FD, &fd, &size))
        return sc_error_errno(err, errno, "make a socket's descriptors");
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, fd, &event) ||
        epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, bus->waiting_fd, &event))
        return sc_error_errno(err, errno, "watch a socket's descriptors");
    return SC_OK;
}

static enum sc_rc open_bus(int type, struct sc_bus **ret_bus, struct sc_error *err)
{
    struct sc_bus *bus = sc_calloc(1, sizeof *bus);
    bus->server = type == ZMQ_ROUTER;
    bus->epoll_fd = bus->waiting_fd = -1;
    sc_buf_init(&bus->scratch, SC_LIMIT_MESSAGE_AGENT_BYTES);
    bus->context = zmq_ctx_new();
    if (!bus->context || zmq_ctx_set(bus->context, ZMQ_MAX_SOCKETS, 8) ||
        !(bus->socket = zmq_socket(bus->context, type))) {
        enum sc_rc rc = sc_error_set(err, SC_IO, "make a socket: %s", zmq_strerror(errno));
        sc_bus_close(bus);
        return rc;
    }
    int64_t max_bytes = SC_LIMIT_MESSAGE_AGENT_BYTES;
    int rc = zmq_setsockopt(bus->socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
    SC_ASSERT(rc == 0);
    set_int(bus->socket, ZMQ_LINGER, LINGER_MS);
    set_int(bus->socket, ZMQ_SNDHWM, HIGH_WATER);
    set_int(bus->socket, ZMQ_RCVHWM, HIGH_WATER);
    set_int(bus->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_int(bus->socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    if (bus->server) {
        set_int(bus->socket, ZMQ_ROUTER_MANDATORY, 1);
        set_int(bus->socket, ZMQ_ROUTER_HANDOVER,
                1); // a peer that comes again takes its name over from its dead self
        set_int(bus->socket, ZMQ_BACKLOG, 1024);
    }
    enum sc_rc opened = open_descriptors(bus, err);
    if (opened != SC_OK) {
        sc_bus_close(bus);
        return opened;
    }
    *ret_bus = bus;
    return SC_OK;
}

enum sc_rc sc_bus_bind(const char *endpoint, struct sc_bus **ret_bus, struct sc_error *err)
{
    struct sc_bus *bus;
    enum sc_rc rc = check_endpoint(endpoint, err);
    if (rc == SC_OK)
        rc = check_folder(endpoint, err);
    if (rc == SC_OK)
        rc = open_bus(ZMQ_ROUTER, &bus, err);
    if (rc != SC_OK)
        return rc;
    if (zmq_bind(bus->socket, endpoint)) {
        rc = sc_error_errno(err, errno, "bind %s", endpoint);
        sc_bus_close(bus);
        return rc;
    }
    *ret_bus = bus;
    return SC_OK;
}

enum sc_rc sc_bus_dial(const char *endpoint, struct sc_slice identity, struct sc_bus **ret_bus,
                       struct sc_error *err)
{
    struct sc_bus *bus;
    SC_ASSERT(identity.len > 0 && identity.len <= sizeof((struct sc_peer_id *)0)->bytes &&
              identity.ptr[0] != 0);
    enum sc_rc rc = check_endpoint(endpoint, err);
    if (rc == SC_OK)
        rc = open_bus(ZMQ_DEALER, &bus, err);
    if (rc != SC_OK)
        return rc;
    // Not ZMQ_IMMEDIATE: what is sent while the server is away waits, and is there for the next one.
    if (zmq_setsockopt(bus->socket, ZMQ_ROUTING_ID, identity.ptr, identity.len) ||
        zmq_connect(bus->socket, endpoint)) {
        rc = sc_error_errno(err, errno, "dial %s", endpoint);
        sc_bus_close(bus);
        return rc;
    }
    *ret_bus = bus;
    return SC_OK;
}

static void forget(struct sc_bus *bus, struct peer *peer)
{
    sc_queue_clear(&peer->queue);
    HASH_DEL(bus->peers, peer);
    free(peer);
}

void sc_bus_close(struct sc_bus *bus)
{
    if (!bus)
        return;
    if (bus->socket)
        sc_bus_flush(bus);
    struct peer *peer, *next;
    HASH_ITER (hh, bus->peers, peer, next)
        forget(bus, peer);
    if (bus->epoll_fd >= 0)
        close(bus->epoll_fd);
    if (bus->waiting_fd >= 0)
        close(bus->waiting_fd);
    if (bus->socket)
        zmq_close(bus->socket);
    if (bus->context)
        while (zmq_ctx_term(bus->context) && errno == EINTR)
            ;
    sc_buf_done(&bus->scratch);
    free(bus);
}

// ---- readiness

static void set_waiting(struct sc_bus *bus, bool waiting)
{
    uint64_t count = 1;
    if (bus->waiting == waiting)
        return;
    ssize_t n =
        waiting ? write(bus->waiting_fd, &count, sizeof count) : read(bus->waiting_fd, &count, sizeof count);
    SC_ASSERT(n == sizeof count);
    bus->waiting = waiting;
}

// After a call that may have taken libzmq's notice of a message without taking the message.
static void notice(struct sc_bus *bus)
{
    int events = 0;
    size_t size = sizeof events;
    int rc = zmq_getsockopt(bus->socket, ZMQ_EVENTS, &events, &size);
    SC_ASSERT(rc == 0 || errno == EINTR);
    if (rc != 0 || (events & ZMQ_POLLIN))
        set_waiting(bus, true);
}

// ---- sending

static int send_part(struct sc_bus *bus, const void *bytes, size_t len, int flags)
{
    int rc;
    do
        rc = zmq_send(bus->socket, bytes, len, flags | ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? errno : 0;
}

// 0, EAGAIN when the peer takes no more now, EHOSTUNREACH when it is not there.
static int send_frame(struct sc_bus *bus, const struct sc_peer_id *id, struct sc_slice frame)
{
    // A ROUTER checks the peer at the id's part; what follows goes to a pipe that was found to have room.
    int failed = id->len ? send_part(bus, id->bytes, id->len, ZMQ_SNDMORE) : 0;
    if (!failed)
        failed = send_part(bus, frame.ptr, frame.len, 0);
    SC_ASSERT(failed == 0 || failed == EAGAIN || failed == EHOSTUNREACH);
    return failed;
}

static void flush_peer(struct sc_bus *bus, struct peer *peer)
{
    int failed = 0;
    while (!failed && !sc_queue_is_empty(&peer->queue)) {
        failed =
            send_frame(bus, &peer->id, (struct sc_slice){peer->queue.head->bytes, peer->queue.head->len});
        if (!failed)
            sc_queue_pop(&peer->queue);
    }
    if (failed == EHOSTUNREACH || (sc_queue_is_empty(&peer->queue) && !peer->dropped))
        forget(bus, peer);
}

void sc_bus_flush(struct sc_bus *bus)
{
    struct peer *peer, *next;
    HASH_ITER (hh, bus->peers, peer, next)
        flush_peer(bus, peer);
    notice(bus);
}

static struct peer *find_peer(struct sc_bus *bus, const struct sc_peer_id *id)
{
    struct peer *peer;
    HASH_FIND(hh, bus->peers, id, sizeof *id, peer);
    return peer;
}

static struct sc_message error_message(uint64_t id, enum sc_rc rc, const char *text, const char *hint)
{
    return (struct sc_message){.type = SC_MESSAGE_ERROR,
                               .id = id,
                               .body.error = {.code = sc_slice_str(sc_rc_name(rc)),
                                              .message = sc_slice_str(text),
                                              .hint = sc_slice_str(hint),
                                              .rc = (uint32_t)-rc}};
}

// Its last message answers the request whose answer did not fit.
static enum sc_rc drop_peer(struct peer *peer, uint64_t request, struct sc_error *err)
{
    struct sc_message last =
        error_message(request, SC_BUSY, "messages were read too slowly; those that waited were dropped",
                      "connect again and ask for the state");
    SC_AUTO_BUF struct sc_buf frame;
    sc_buf_init(&frame, 0);
    sc_message_encode(&last, &frame);
    sc_queue_clear(&peer->queue);
    bool queued = sc_queue_push(&peer->queue, sc_buf_slice(&frame), SC_LIMIT_PEER_QUEUE_BYTES);
    SC_ASSERT(queued);
    peer->dropped = true;
    return sc_error_set(err, SC_LIMIT, "a peer reads too slowly: more than %u bytes wait for it",
                        SC_LIMIT_PEER_QUEUE_BYTES);
}

static void sweep_dropped(struct sc_bus *bus)
{
    struct peer *peer, *next;
    HASH_ITER (hh, bus->peers, peer, next)
        if (peer->dropped && sc_queue_is_empty(&peer->queue))
            forget(bus, peer);
}

static enum sc_rc enqueue(struct sc_bus *bus, struct peer *peer, const struct sc_peer_id *id,
                          struct sc_slice frame, uint64_t request, struct sc_error *err)
{
    if (!peer) {
        if (HASH_COUNT(bus->peers) >= SC_LIMIT_PEERS)
            sweep_dropped(bus);
        if (HASH_COUNT(bus->peers) >= SC_LIMIT_PEERS)
            return sc_error_set(err, SC_BUSY, "more than %u peers are slow", SC_LIMIT_PEERS);
        peer = sc_calloc(1, sizeof *peer);
        peer->id = *id;
        sc_queue_init(&peer->queue);
        HASH_ADD(hh, bus->peers, id, sizeof peer->id, peer);
    }
    if (sc_queue_push(&peer->queue, frame, SC_LIMIT_PEER_QUEUE_BYTES))
        return SC_OK;
    if (bus->server)
        return drop_peer(peer, request, err);
    return sc_error_set(err, SC_LIMIT, "more than %u bytes wait for the server", SC_LIMIT_PEER_QUEUE_BYTES);
}

static enum sc_rc send_message(struct sc_bus *bus, const struct sc_peer_id *id,
                               const struct sc_message *message, struct sc_error *err)
{
    sc_buf_clear(&bus->scratch);
    sc_message_encode(message, &bus->scratch);
    if (bus->scratch.overflow)
        return sc_error_set(err, SC_INVALID, "%s message: larger than the %u bytes that one may have",
                            sc_message_type_name(message->type), SC_LIMIT_MESSAGE_AGENT_BYTES);
    struct peer *peer = bus->peers ? find_peer(bus, id) : NULL;
    if (peer && peer->dropped)
        return sc_error_set(err, SC_UNREACHABLE, "the peer was dropped");
    if (peer)
        return enqueue(bus, peer, id, sc_buf_slice(&bus->scratch), message->id, err);
    int failed = send_frame(bus, id, sc_buf_slice(&bus->scratch));
    if (failed == EHOSTUNREACH)
        return sc_error_set(err, SC_UNREACHABLE, "the peer is gone");
    return failed == EAGAIN ? enqueue(bus, NULL, id, sc_buf_slice(&bus->scratch), message->id, err) : SC_OK;
}

enum sc_rc sc_bus_send(struct sc_bus *bus, const struct sc_peer_id *peer, const struct sc_message *message,
                       struct sc_error *err)
{
    struct sc_peer_id id = {.len = 0};
    if (bus->server) {
        SC_ASSERT(peer->len > 0 && peer->len <= sizeof peer->bytes);
        id.len = peer->len;
        memcpy(id.bytes, peer->bytes, peer->len); // the rest stays zero: the whole struct is the hash's key
    }
    enum sc_rc rc = send_message(bus, &id, message, err);
    notice(bus);
    return rc;
}

// ---- receiving

struct incoming {
    struct sc_peer_id peer;
    struct sc_slice frame; // in the arena
    const char *bad;       // why it is no message, or NULL
    enum sc_rc bad_rc;
    bool answerable;
};

static bool receive_part(struct sc_bus *bus, zmq_msg_t *part)
{
    int rc;
    do
        rc = zmq_msg_recv(part, bus->socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    SC_ASSERT(rc >= 0 || errno == EAGAIN);
    return rc >= 0;
}

// One message with all its parts; false when there is none.
static bool receive_parts(struct sc_bus *bus, size_t max_bytes, struct sc_arena *arena,
                          struct incoming *ret_in)
{
    struct incoming in = {.answerable = bus->server, .bad_rc = SC_MALFORMED};
    zmq_msg_t part;
    zmq_msg_init(&part);
    if (!receive_part(bus, &part)) {
        zmq_msg_close(&part);
        return false;
    }
    if (bus->server) {
        in.peer.len = (uint8_t)zmq_msg_size(&part);
        if (in.peer.len > sizeof in.peer.bytes) {
            in.bad = "a routing id of more than 32 bytes";
            in.answerable = false;
            in.peer.len = 0;
        }
        memcpy(in.peer.bytes, zmq_msg_data(&part), in.peer.len);
        if (!zmq_msg_more(&part) || !receive_part(bus, &part)) {
            in.bad = "nothing but a routing id";
            in.answerable = false;
        }
    }
    if (!in.bad && zmq_msg_more(&part))
        in.bad = "more than one frame";
    if (!in.bad && zmq_msg_size(&part) > max_bytes) {
        in.bad = "it is too large";
        in.bad_rc = SC_LIMIT;
    }
    size_t seen = zmq_msg_size(&part);
    in.frame = sc_arena_copy(arena, sc_slice(zmq_msg_data(&part), in.bad ? (seen < 64 ? seen : 64) : seen));
    while (zmq_msg_more(&part) && receive_part(bus, &part))
        ;
    zmq_msg_close(&part);
    *ret_in = in;
    return true;
}

// The one error reply, with the id of what it answers.
static void refuse(struct sc_bus *bus, const struct incoming *in, enum sc_rc rc, const char *text)
{
    bus->refused++;
    if (!in->answerable)
        return;
    struct sc_message reply = error_message(sc_message_peek_id(in->frame), rc, text, "");
    enum sc_rc sent = send_message(bus, &in->peer, &reply, NULL);
    (void)sent; // whoever sends what is no message may miss the answer
}

enum sc_rc sc_bus_receive(struct sc_bus *bus, size_t max_bytes, struct sc_arena *arena,
                          struct sc_peer_id *ret_peer, struct sc_message *ret_message, struct sc_error *err)
{
    struct incoming in;
    struct sc_error why = SC_ERROR_INIT;
    while (receive_parts(bus, max_bytes, arena, &in)) {
        struct peer *peer = bus->peers ? find_peer(bus, &in.peer) : NULL;
        if (peer && peer->dropped && bus->server && sc_queue_is_empty(&peer->queue))
            forget(bus, peer); // it read the error, and begins anew
        enum sc_rc rc = in.bad_rc;
        if (!in.bad)
            rc = sc_message_decode(in.frame, max_bytes, arena, ret_message, &why);
        if (rc == SC_OK) {
            if (ret_peer)
                *ret_peer = in.peer;
            set_waiting(bus, true); // until it says that there is none
            return SC_OK;
        }
        refuse(bus, &in, rc, in.bad ? in.bad : why.message);
    }
    set_waiting(bus, false);
    notice(bus);
    return sc_error_set(err, SC_NOT_FOUND, "no message waits");
}
