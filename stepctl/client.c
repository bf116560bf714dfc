#include "stepctl/client.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "stepctl/say.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SILENCE_MS = 60000, AWAIT_MS = 10000, ASK_AGAIN = 5, SEE_OFF_MS = 15000, SEE_OFF_POLL_MS = 2 };

static void identify(struct sc_peer_id *self)
{
    uint8_t noise[12];
    // Twelve bytes come at once from an initialised pool; a pid and a clock would do as well, were it not.
    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        memset(noise, (int)getpid() & 0xff, sizeof noise);
    char text[sizeof self->bytes + 1] = "user-";
    size_t at = strlen(text);
    for (size_t i = 0; i < sizeof noise; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%02x", noise[i]);
    memcpy(self->bytes, text, at);
    self->len = (uint8_t)at;
}

enum sc_rc sc_client_begin(struct sc_client *client, const struct sc_options *options, bool wants_agent,
                           struct sc_error *err)
{
    *client = (struct sc_client){.tether = -1};
    sc_arena_init(&client->arena);
    identify(&client->self);
    client->endpoint = options->coordinator ? options->coordinator : getenv("STEPCACHE_COORDINATOR");
    if (client->endpoint && !*client->endpoint)
        client->endpoint = NULL;
    if (client->endpoint)
        unsetenv("STEPCACHE_STORE"); // that coordinator has its own
    enum sc_rc rc = sc_places_find(&client->arena, &client->places, err);
    if (rc != SC_OK) // folders that cannot be used: nothing of the request is wrong
        return sc_rc_exit_code(rc) == 3 ? rc : (err->rc = SC_IO);
    if (client->endpoint)
        return SC_OK;
    sc_private_init(&client->private, &client->places, wants_agent);
    return sc_private_begin(&client->private, &client->self, &client->tether, err);
}

// Nobody at the other end is told at once here; ZeroMQ itself would try without end.
static enum sc_rc check_endpoint(const char *endpoint, struct sc_error *err)
{
    if (strncmp(endpoint, "ipc://", 6) != 0)
        return SC_OK; // sc_bus_dial says what it thinks of it
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = endpoint + 6;
    if (strlen(path) >= sizeof address.sun_path)
        return sc_error_set(err, SC_LIMIT, "%s: the socket's path is longer than %zu bytes", endpoint,
                            sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    SC_AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sc_error_errno(err, errno, "make a socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return SC_OK;
    sc_error_errno(err, errno, "no coordinator at %s", endpoint);
    sc_error_hint(
        err,
        "start step-coordinator there, or leave --coordinator and STEPCACHE_COORDINATOR out to use your own");
    return err->rc = SC_UNREACHABLE;
}

// A coordinator started by hand has a tether beside its socket where it was configured so; without one we only learn
// later that it is gone.
static void try_tether(struct sc_client *client)
{
    const char *slash = strrchr(client->endpoint, '/');
    if (strncmp(client->endpoint, "ipc://", 6) != 0 || !slash)
        return;
    struct sc_error ignored = SC_ERROR_INIT;
    SC_AUTO_FREE char *path =
        sc_asprintf("%.*s/tether.sock", (int)(slash - client->endpoint - 6), client->endpoint + 6);
    if (sc_tether_connect(path, &client->self, &client->tether, &ignored) != SC_OK)
        client->tether = -1;
}

enum sc_rc sc_client_connect(struct sc_client *client, struct sc_error *err)
{
    enum sc_rc rc = SC_OK;
    if (client->endpoint) {
        rc = check_endpoint(client->endpoint, err);
        if (rc == SC_OK)
            try_tether(client);
    } else if (client->tether < 0) {
        rc = sc_private_await(&client->private, &client->self, AWAIT_MS, &client->tether, err);
    }
    if (rc != SC_OK)
        return rc;
    return sc_bus_dial(client->endpoint ? client->endpoint : client->places.client_endpoint,
                       sc_slice(client->self.bytes, client->self.len), &client->bus, err);
}

enum sc_rc sc_client_open(struct sc_client *client, const struct sc_options *options, bool wants_agent,
                          struct sc_error *err)
{
    enum sc_rc rc = sc_client_begin(client, options, wants_agent, err);
    return rc == SC_OK ? sc_client_connect(client, err) : rc;
}

static void disconnect(struct sc_client *client)
{
    if (client->tether >= 0)
        sc_fd_close(client->tether);
    client->tether = -1;
    if (client->bus)
        sc_bus_close(client->bus);
    client->bus = NULL;
}

enum sc_rc sc_client_again(struct sc_client *client, struct sc_error *err)
{
    disconnect(client);
    if (!client->endpoint) {
        enum sc_rc rc = sc_private_begin(&client->private, &client->self, &client->tether, err);
        if (rc != SC_OK)
            return rc;
    }
    return sc_client_connect(client, err);
}

void sc_client_let_go(struct sc_client *client)
{
    struct sc_error ignored = SC_ERROR_INIT;
    if (client->endpoint)
        return;
    if (client->tether < 0 && client->private.starts &&
        sc_private_await(&client->private, &client->self, AWAIT_MS, &client->tether, &ignored) != SC_OK)
        client->tether = -1;
    sc_private_dismiss_agent(&client->private);
}

// Whether the coordinator goes with its last client: the stream's end; a byte says that others need it.
static bool goes_too(int tether, int signals)
{
    uint8_t byte;
    for (;;) {
        struct pollfd fds[] = {{.fd = tether, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        int n = poll(fds, SC_COUNT(fds), SEE_OFF_MS);
        if (n < 0 && errno == EINTR)
            continue;
        return n > 0 && fds[0].revents && recv(tether, &byte, 1, MSG_DONTWAIT) == 0;
    }
}

void sc_client_see_off(struct sc_client *client, int signals)
{
    if (client->endpoint || client->tether < 0)
        return;
    shutdown(client->tether, SHUT_WR);
    if (!goes_too(client->tether, signals))
        return;
    int64_t until = sc_clock_mono_ms() + SEE_OFF_MS;
    struct pollfd fd = {.fd = signals, .events = POLLIN};
    while (!sc_private_is_gone(&client->private) && sc_clock_mono_ms() < until)
        if (poll(&fd, 1, SEE_OFF_POLL_MS) > 0)
            return;
}

void sc_client_done(struct sc_client *client)
{
    disconnect(client);
    sc_arena_done(&client->arena);
}

enum sc_rc sc_client_send(struct sc_client *client, struct sc_message *message, struct sc_error *err)
{
    message->id = ++client->last_id;
    return sc_bus_send(client->bus, NULL, message, err);
}

static bool tether_is_cut(const struct sc_client *client)
{
    uint8_t byte;
    return client->tether >= 0 && recv(client->tether, &byte, 1, MSG_DONTWAIT) == 0;
}

enum sc_rc sc_client_next(struct sc_client *client, struct sc_arena *arena, struct sc_message *ret_message,
                          struct sc_error *err)
{
    struct sc_peer_id from;
    enum sc_rc rc = sc_bus_receive(client->bus, SC_LIMIT_MESSAGE_AGENT_BYTES, arena, &from, ret_message, err);
    if (rc == SC_NOT_FOUND && tether_is_cut(client))
        return sc_error_set(err, SC_CLOSED, "the coordinator is gone");
    return rc;
}

bool sc_client_wait(struct sc_client *client, int extra_fd, int timeout_ms)
{
    struct pollfd fds[] = {
        {.fd = sc_bus_fd(client->bus), .events = POLLIN},
        {.fd = client->tether, .events = POLLIN},
        {.fd = extra_fd, .events = POLLIN},
    };
    if (poll(fds, SC_COUNT(fds), timeout_ms) <= 0)
        return false;
    return fds[2].revents != 0;
}

enum sc_rc sc_client_error(const struct sc_msg_error *message, struct sc_error *err)
{
    enum sc_rc rc = message->rc && message->rc < 1000 ? (enum sc_rc)(-(int)message->rc) : SC_IO;
    sc_error_set(err, rc, SC_SLICE_FMT, SC_SLICE_ARG(message->message));
    if (message->hint.len)
        sc_error_hint(err, SC_SLICE_FMT, SC_SLICE_ARG(message->hint));
    return rc;
}

// Of an answer: whether any of it came, and whether it is whole.
struct progress {
    bool begun, whole;
};

static enum sc_rc take_answer(const struct sc_message *message, const struct sc_answer *answer,
                              struct progress *progress, struct sc_error *err)
{
    progress->begun = true;
    if (message->type == SC_MESSAGE_PAGE) {
        const struct sc_msg_page *page = &message->body.page;
        for (uint32_t i = 0; answer->row && i < page->rows.count; i++)
            answer->row(answer->context, page->rows.items[i]);
        progress->whole = page->last;
    } else if (message->type == SC_MESSAGE_EVENT) {
        const struct sc_msg_event *events = &message->body.event;
        for (uint32_t i = 0; answer->event && i < events->events.count; i++)
            answer->event(answer->context, &events->events.items[i]);
    } else if (message->type == SC_MESSAGE_ERROR) {
        return sc_client_error(&message->body.error, err);
    } else if (message->type == SC_MESSAGE_DONE) {
        progress->whole = true;
    }
    return SC_OK;
}

// One message, or a wait for one.
static enum sc_rc ask_turn(struct sc_client *client, uint64_t id, const struct sc_answer *answer,
                           struct progress *progress, int64_t *heard, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_message in;
    enum sc_rc rc = sc_client_next(client, &arena, &in, err);
    if (rc == SC_NOT_FOUND) {
        sc_client_wait(client, -1, 1000);
        if (answer->patient || sc_clock_mono_ms() - *heard < SILENCE_MS)
            return SC_OK;
        return sc_error_set(err, SC_TIMEOUT, "the coordinator did not answer within %d s", SILENCE_MS / 1000);
    }
    *heard = sc_clock_mono_ms();
    return rc == SC_OK && in.id == id ? take_answer(&in, answer, progress, err) : rc;
}

enum sc_rc sc_client_ask(struct sc_client *client, struct sc_message *message, const struct sc_answer *answer,
                         struct sc_error *err)
{
    struct progress progress = {.begun = false};
    enum sc_rc rc = sc_client_send(client, message, err);
    int64_t heard = sc_clock_mono_ms();
    for (int tries = 0; rc == SC_OK && !progress.whole;) {
        rc = ask_turn(client, message->id, answer, &progress, &heard, err);
        // The user's own may just have been leaving when we came: the next one is asked.
        if (rc == SC_CLOSED && !client->endpoint && !progress.begun && tries++ < ASK_AGAIN) {
            rc = sc_client_again(client, err);
            if (rc == SC_OK)
                rc = sc_client_send(client, message, err);
        }
    }
    if (rc == SC_CLOSED)
        err->rc = rc = SC_UNREACHABLE;
    return rc;
}
