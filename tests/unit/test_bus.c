#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zmq.h>

#include "base/limits.h"
#include "base/os/clock.h"
#include "proto/bus.h"

enum {
    PATIENCE_MS = 20000
}; // how long what must come may take before a test fails; no test waits for it in vain

struct fixture {
    char *folder, *endpoint;
    struct sc_bus *server, *client;
    struct sc_arena arena;
    struct sc_peer_id peer;
    struct sc_message message;
    struct sc_error err;
};

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    f->folder = sc_scratch_new();
    f->endpoint = sc_asprintf("ipc://%s/s", f->folder);
    sc_arena_init(&f->arena);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sc_bus_close(f->client);
    sc_bus_close(f->server);
    sc_arena_done(&f->arena);
    sc_scratch_remove(f->folder);
    free(f->endpoint);
    free(f);
    return 0;
}

static bool is_readable(const struct sc_bus *bus, int timeout_ms)
{
    struct pollfd p = {.fd = sc_bus_fd(bus), .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0;
}

// The next message of the bus, waiting for it as a loop does.
static bool await(struct fixture *f, struct sc_bus *bus)
{
    for (int64_t end = sc_clock_mono_ms() + PATIENCE_MS; sc_clock_mono_ms() < end; is_readable(bus, 100)) {
        enum sc_rc rc =
            sc_bus_receive(bus, SC_LIMIT_MESSAGE_AGENT_BYTES, &f->arena, &f->peer, &f->message, &f->err);
        if (rc == SC_OK)
            return true;
        assert_rc(rc, SC_NOT_FOUND);
        sc_bus_flush(bus);
    }
    return false;
}

static struct sc_message numbered(uint64_t id)
{
    return (struct sc_message){.type = SC_MESSAGE_CANCEL, .id = id, .body.cancel.run = SC_SLICE_LIT("r1")};
}

static void send_numbered(struct fixture *f, struct sc_bus *bus, const struct sc_peer_id *peer, uint64_t id)
{
    struct sc_message message = numbered(id);
    assert_ok(sc_bus_send(bus, peer, &message, &f->err), f->err);
}

static void assert_arrives(struct fixture *f, struct sc_bus *bus, uint64_t id)
{
    assert_true(await(f, bus));
    if (f->message.id != id)
        fail_msg("message %ju came where %ju was next", (uintmax_t)f->message.id, (uintmax_t)id);
}

static struct sc_bus *dial(struct fixture *f, const char *name)
{
    struct sc_bus *bus;
    assert_ok(sc_bus_dial(f->endpoint, sc_slice_str(name), &bus, &f->err), f->err);
    return bus;
}

// A server and a client that have heard of each other.
static void connect_both(struct fixture *f)
{
    assert_ok(sc_bus_bind(f->endpoint, &f->server, &f->err), f->err);
    f->client = dial(f, "client");
    send_numbered(f, f->client, NULL, 0);
    assert_arrives(f, f->server, 0);
    assert_int_equal(f->peer.len, 6);
    assert_memory_equal(f->peer.bytes, "client", 6);
}

static void test_bus_keeps_order_both_ways(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 3000 }; // far more than libzmq's own queues take
    connect_both(f);
    struct sc_peer_id peer = f->peer;
    for (uint64_t i = 1; i <= COUNT; i++)
        send_numbered(f, f->client, NULL, i);
    for (uint64_t i = 1; i <= COUNT; i++) {
        assert_arrives(f, f->server, i);
        sc_bus_flush(f->client);
    }
    for (uint64_t i = 1; i <= COUNT; i++)
        send_numbered(f, f->server, &peer, i);
    for (uint64_t i = 1; i <= COUNT; i++) {
        assert_arrives(f, f->client, i);
        sc_bus_flush(f->server);
    }
}

static void test_bus_client_may_dial_before_the_server_is_there(void **state)
{
    struct fixture *f = *state;
    f->client = dial(f, "early");
    for (uint64_t i = 0; i < 500; i++)
        send_numbered(f, f->client, NULL, i);
    assert_ok(sc_bus_bind(f->endpoint, &f->server, &f->err), f->err);
    for (uint64_t i = 0; i < 500; i++) {
        assert_arrives(f, f->server, i);
        sc_bus_flush(f->client);
    }
}

static void test_bus_client_survives_its_servers_restart(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    for (int round = 0; round < 3; round++) {
        sc_bus_close(f->server);
        f->server = NULL;
        assert_ok(sc_bus_bind(f->endpoint, &f->server, &f->err), f->err);
        // What was on its way to the dead server is gone; a client asks again until it is answered.
        bool heard = false;
        for (int64_t end = sc_clock_mono_ms() + PATIENCE_MS; !heard && sc_clock_mono_ms() < end;) {
            send_numbered(f, f->client, NULL, 100 + (uint64_t)round);
            is_readable(f->server, 200);
            heard = sc_bus_receive(f->server, SC_LIMIT_MESSAGE_AGENT_BYTES, &f->arena, &f->peer, &f->message,
                                   &f->err) == SC_OK;
        }
        assert_true(heard);
        send_numbered(f, f->server, &f->peer, 200 + (uint64_t)round);
        assert_arrives(f, f->client, 200 + (uint64_t)round);
        while (sc_bus_receive(f->server, SC_LIMIT_MESSAGE_AGENT_BYTES, &f->arena, &f->peer, &f->message,
                              &f->err) == SC_OK)
            ;
    }
}

static void test_bus_a_name_that_comes_again_takes_over(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    struct sc_bus *second = dial(f, "client");
    send_numbered(f, second, NULL, 1);
    assert_arrives(f, f->server, 1);
    send_numbered(f, f->server, &f->peer, 2);
    assert_arrives(f, second, 2);
    assert_rc(sc_bus_receive(f->client, SC_LIMIT_MESSAGE_AGENT_BYTES, &f->arena, NULL, &f->message, &f->err),
              SC_NOT_FOUND);
    sc_bus_close(second);
}

static void test_bus_stays_readable_until_all_is_received(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    struct sc_peer_id peer = f->peer;
    for (uint64_t i = 1; i <= 3; i++)
        send_numbered(f, f->client, NULL, i);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(is_readable(f->server, PATIENCE_MS)); // though the one before left some behind
        send_numbered(f, f->server, &peer, i);            // and a send took libzmq's notice of them
        sc_bus_flush(f->server);
        assert_true(is_readable(f->server, PATIENCE_MS));
        assert_arrives(f, f->server, i);
    }
    assert_rc(
        sc_bus_receive(f->server, SC_LIMIT_MESSAGE_AGENT_BYTES, &f->arena, &f->peer, &f->message, &f->err),
        SC_NOT_FOUND);
}

static void test_bus_what_was_sent_before_close_arrives(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    for (uint64_t i = 1; i <= 50; i++)
        send_numbered(f, f->client, NULL, i);
    sc_bus_close(f->client);
    f->client = NULL;
    for (uint64_t i = 1; i <= 50; i++)
        assert_arrives(f, f->server, i);
}

static void test_bus_peer_that_is_gone_is_unreachable(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    struct sc_peer_id peer = f->peer, stranger = {.bytes = "nobody", .len = 6};
    struct sc_message message = numbered(1);
    assert_rc(sc_bus_send(f->server, &stranger, &message, &f->err), SC_UNREACHABLE);
    sc_bus_close(f->client);
    f->client = NULL;
    enum sc_rc rc = SC_OK;
    for (int64_t end = sc_clock_mono_ms() + PATIENCE_MS; rc == SC_OK && sc_clock_mono_ms() < end;) {
        rc = sc_bus_send(f->server, &peer, &message, &f->err);
        is_readable(f->server, 10);
        sc_bus_flush(f->server);
    }
    assert_rc(rc, SC_UNREACHABLE);
}

// ---- a peer that does not read

static uint8_t chunk[SC_LIMIT_CHUNK_BYTES];

static struct sc_message large(void)
{
    static struct sc_event_body event;
    event = (struct sc_event_body){.type = SC_EV_STEP_LOG, .text = sc_slice(chunk, sizeof chunk)};
    return (struct sc_message){.type = SC_MESSAGE_EVENT, .id = 5, .body.event.events = {&event, 1}};
}

static void test_bus_slow_peer_is_dropped_at_the_bound_and_told(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    struct sc_peer_id slow = f->peer;
    struct sc_message message = large();
    enum sc_rc rc;
    size_t sent = 0;
    while ((rc = sc_bus_send(f->server, &slow, &message, &f->err)) == SC_OK)
        sent++;
    assert_rc(rc, SC_LIMIT);
    assert_true(sent * sizeof chunk > SC_LIMIT_PEER_QUEUE_BYTES - sizeof chunk);
    assert_true(sent * sizeof chunk < 3 * (size_t)SC_LIMIT_PEER_QUEUE_BYTES);
    assert_rc(sc_bus_send(f->server, &slow, &message, &f->err), SC_UNREACHABLE);

    struct sc_bus *other = dial(f, "other"); // who reads is served as before
    send_numbered(f, other, NULL, 1);
    assert_arrives(f, f->server, 1);
    send_numbered(f, f->server, &f->peer, 2);
    assert_arrives(f, other, 2);
    sc_bus_close(other);

    size_t got = 0;
    do {
        assert_true(await(f, f->client));
        got += f->message.type == SC_MESSAGE_EVENT;
        sc_bus_flush(f->server);
        sc_arena_done(&f->arena);
    } while (f->message.type == SC_MESSAGE_EVENT);
    assert_int_equal(f->message.type, SC_MESSAGE_ERROR);
    assert_int_equal(f->message.body.error.rc, -SC_BUSY);
    assert_int_equal(f->message.id, message.id); // it ends the request that the rest would have answered
    assert_true(got < sent);

    send_numbered(f, f->client, NULL, 7); // it begins anew
    assert_arrives(f, f->server, 7);
    send_numbered(f, f->server, &f->peer, 8);
    assert_arrives(f, f->client, 8);
}

static void test_bus_client_without_its_server_stops_at_the_bound_and_keeps_what_waits(void **state)
{
    struct fixture *f = *state;
    f->client = dial(f, "lonely");
    struct sc_message message = large();
    enum sc_rc rc;
    size_t sent = 0, got = 0;
    while ((rc = sc_bus_send(f->client, NULL, &message, &f->err)) == SC_OK)
        sent++;
    assert_rc(rc, SC_LIMIT);
    assert_ok(sc_bus_bind(f->endpoint, &f->server, &f->err), f->err);
    for (; got < sent; got++) {
        assert_true(await(f, f->server));
        sc_bus_flush(f->client);
        sc_arena_done(&f->arena);
    }
    assert_ok(sc_bus_send(f->client, NULL, &message, &f->err), f->err);
}

static void test_bus_message_larger_than_any_is_not_sent(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    static struct sc_slice rows[16];
    static uint8_t row[SC_LIMIT_RECORD_BYTES];
    for (size_t i = 0; i < SC_COUNT(rows); i++)
        rows[i] = sc_slice(row, sizeof row);
    struct sc_message message = {.type = SC_MESSAGE_PAGE, .body.page.rows = {rows, SC_COUNT(rows)}};
    assert_rc(sc_bus_send(f->server, &f->peer, &message, &f->err), SC_INVALID);
    assert_contains(f->err.message, "page");
    send_numbered(f, f->server, &f->peer, 3);
    assert_arrives(f, f->client, 3);
}

// ---- strangers

struct stranger {
    void *context, *socket;
};

static struct stranger stranger_dial(struct fixture *f)
{
    struct stranger s = {.context = zmq_ctx_new()};
    int linger = 0, timeout = PATIENCE_MS;
    s.socket = zmq_socket(s.context, ZMQ_DEALER);
    assert_int_equal(zmq_setsockopt(s.socket, ZMQ_LINGER, &linger, sizeof linger), 0);
    assert_int_equal(zmq_setsockopt(s.socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout), 0);
    assert_int_equal(zmq_connect(s.socket, f->endpoint), 0);
    return s;
}

static void stranger_close(struct stranger *s)
{
    zmq_close(s->socket);
    zmq_ctx_term(s->context);
}

// The server refuses what the stranger sent, and goes on.
static void assert_refused(struct fixture *f, uint64_t count)
{
    for (int64_t end = sc_clock_mono_ms() + PATIENCE_MS;
         sc_bus_refused(f->server) < count && sc_clock_mono_ms() < end;) {
        is_readable(f->server, 100);
        assert_rc(
            sc_bus_receive(f->server, SC_LIMIT_MESSAGE_USER_BYTES, &f->arena, &f->peer, &f->message, &f->err),
            SC_NOT_FOUND);
    }
    assert_int_equal(sc_bus_refused(f->server), count);
}

static void assert_answer(struct fixture *f, struct stranger *s, uint64_t id, const char *code)
{
    static uint8_t bytes[4096];
    int len = zmq_recv(s->socket, bytes, sizeof bytes, 0);
    assert_true(len > 0);
    assert_ok(sc_message_decode(sc_slice(bytes, (size_t)len), sizeof bytes, &f->arena, &f->message, &f->err),
              f->err);
    assert_int_equal(f->message.type, SC_MESSAGE_ERROR);
    assert_true(f->message.id == id);
    assert_slice(f->message.body.error.code, code);
}

static void test_bus_bad_frames_are_answered_counted_and_not_returned(void **state)
{
    struct fixture *f = *state;
    assert_ok(sc_bus_bind(f->endpoint, &f->server, &f->err), f->err);
    struct stranger s = stranger_dial(f);
    assert_int_equal(zmq_send(s.socket, "hello there", 11, 0), 11);
    assert_refused(f, 1);
    assert_answer(f, &s, 0, "malformed");
    assert_int_equal(zmq_send(s.socket, "\x94\x07\xa5renew\x05\x80", 10, 0), 10);
    assert_refused(f, 2);
    assert_answer(f, &s, 5, "version");
    assert_int_equal(zmq_send(s.socket, "\x94\x01\xa6travel\x06\x80", 11, 0), 11);
    assert_refused(f, 3);
    assert_answer(f, &s, 6, "version");
    assert_int_equal(zmq_send(s.socket, "", 0, 0), 0);
    assert_refused(f, 4);
    assert_answer(f, &s, 0, "malformed");
    // Several frames, the first of them well-formed.
    assert_int_equal(zmq_send(s.socket, "\x94\x01\xa5renew\x08\x80", 10, ZMQ_SNDMORE), 10);
    assert_int_equal(zmq_send(s.socket, "a", 1, ZMQ_SNDMORE), 1);
    assert_int_equal(zmq_send(s.socket, "b", 1, 0), 1);
    assert_refused(f, 5);
    assert_answer(f, &s, 8, "malformed");
    // And a good one is taken from the same peer.
    assert_int_equal(zmq_send(s.socket, "\x94\x01\xa5renew\x09\x80", 10, 0), 10);
    assert_arrives(f, f->server, 9);
    assert_int_equal(f->message.type, SC_MESSAGE_RENEW);
    stranger_close(&s);
}

static void test_bus_too_large_is_answered_and_counted(void **state)
{
    struct fixture *f = *state;
    assert_ok(sc_bus_bind(f->endpoint, &f->server, &f->err), f->err);
    struct stranger s = stranger_dial(f);
    size_t len = SC_LIMIT_MESSAGE_USER_BYTES + 1;
    SC_AUTO_FREE uint8_t *bytes = sc_calloc(len, 1);
    memcpy(bytes, "\x94\x01\xa5renew\x03\x80", 10);
    assert_int_equal(zmq_send(s.socket, bytes, len, 0), len);
    assert_refused(f, 1);
    assert_answer(f, &s, 3, "limit");
    assert_true(f->arena.total_bytes < 100000);
    stranger_close(&s);
}

// ---- endpoints

static void test_bus_binds_in_a_closed_folder_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chmod(f->folder, 0755), 0);
    assert_rc(sc_bus_bind(f->endpoint, &f->server, &f->err), SC_DENIED);
    assert_contains(f->err.message, f->folder);
    assert_contains(f->err.hint, "chmod 700");
    SC_AUTO_FREE char *none = sc_asprintf("ipc://%s/none/s", f->folder);
    assert_rc(sc_bus_bind(none, &f->server, &f->err), SC_NOT_FOUND);
    assert_null(f->server);
}

static void test_bus_other_endpoints_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    char endpoint[200] = "ipc:///";
    memset(endpoint + 7, 'x', 120);
    assert_rc(sc_bus_bind("tcp://127.0.0.1:5555", &f->server, &f->err), SC_UNSUPPORTED);
    assert_contains(f->err.message, "tcp://127.0.0.1:5555");
    assert_rc(sc_bus_dial("tcp://127.0.0.1:5555", sc_slice_str("x"), &f->client, &f->err), SC_UNSUPPORTED);
    assert_rc(sc_bus_bind("ipc://@abstract", &f->server, &f->err), SC_INVALID);
    assert_rc(sc_bus_bind("ipc://relative/path", &f->server, &f->err), SC_INVALID);
    assert_rc(sc_bus_bind("inproc://x", &f->server, &f->err), SC_INVALID);
    assert_rc(sc_bus_bind("", &f->server, &f->err), SC_INVALID);
    assert_rc(sc_bus_bind(endpoint, &f->server, &f->err), SC_LIMIT);
}

static void test_bus_close_of_none_is_good(void **state)
{
    (void)state;
    sc_bus_close(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bus_keeps_order_both_ways),
        TEST(test_bus_client_may_dial_before_the_server_is_there),
        TEST(test_bus_client_survives_its_servers_restart),
        TEST(test_bus_a_name_that_comes_again_takes_over),
        TEST(test_bus_stays_readable_until_all_is_received),
        TEST(test_bus_what_was_sent_before_close_arrives),
        TEST(test_bus_peer_that_is_gone_is_unreachable),
        TEST(test_bus_slow_peer_is_dropped_at_the_bound_and_told),
        TEST(test_bus_client_without_its_server_stops_at_the_bound_and_keeps_what_waits),
        TEST(test_bus_message_larger_than_any_is_not_sent),
        TEST(test_bus_bad_frames_are_answered_counted_and_not_returned),
        TEST(test_bus_too_large_is_answered_and_counted),
        TEST(test_bus_binds_in_a_closed_folder_alone),
        TEST(test_bus_other_endpoints_are_refused_by_name),
        TEST(test_bus_close_of_none_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
