#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/file.h"
#include "proto/tether.h"

enum { PATIENCE_MS = 20000 };

static const struct sc_peer_id self = {.bytes = "ctl-7", .len = 5};

static bool await(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, PATIENCE_MS) > 0;
}

static int accept_one(int server)
{
    assert_true(await(server, POLLIN));
    int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    return fd;
}

static void assert_end(int fd)
{
    char byte;
    assert_true(await(fd, POLLIN));
    assert_int_equal(read(fd, &byte, 1), 0);
}

static void test_tether_tells_who_it_is_and_when_it_is_gone(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "t");
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_CLOSE int server = -1;
    int client;
    assert_ok(sc_tether_listen(path, &server, &err), err);
    assert_int_equal(accept(server, NULL, NULL), -1); // it does not block
    assert_int_equal(errno, EAGAIN);
    assert_ok(sc_tether_connect(path, &self, &client, &err), err);
    SC_AUTO_CLOSE int seen = accept_one(server);
    uint8_t first[SC_TETHER_BYTES];
    struct sc_peer_id peer;
    assert_true(await(seen, POLLIN));
    assert_int_equal(read(seen, first, sizeof first), sizeof first);
    assert_true(sc_tether_peer(first, &peer));
    assert_int_equal(peer.len, self.len);
    assert_memory_equal(peer.bytes, self.bytes, self.len);
    assert_int_equal(read(seen, first, 1), -1); // then it says nothing
    assert_int_equal(errno, EAGAIN);
    close(client);
    assert_end(seen);
}

static void test_tether_ends_when_its_client_is_killed(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "t");
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_CLOSE int server = -1;
    assert_ok(sc_tether_listen(path, &server, &err), err);
    pid_t child = fork();
    if (child == 0) {
        int fd;
        close(server);
        if (sc_tether_connect(path, &self, &fd, NULL) != SC_OK)
            _exit(1);
        for (;;)
            pause();
    }
    SC_AUTO_CLOSE int seen = accept_one(server);
    uint8_t first[SC_TETHER_BYTES];
    assert_true(await(seen, POLLIN));
    assert_int_equal(read(seen, first, sizeof first), sizeof first);
    kill(child, SIGKILL);
    assert_end(seen);
    waitpid(child, NULL, 0);
}

static void test_tether_client_sees_its_server_go(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "t");
    struct sc_error err = SC_ERROR_INIT;
    int server;
    SC_AUTO_CLOSE int client = -1;
    assert_ok(sc_tether_listen(path, &server, &err), err);
    assert_ok(sc_tether_connect(path, &self, &client, &err), err);
    int seen = accept_one(server);
    uint8_t first[SC_TETHER_BYTES];
    assert_true(await(seen, POLLIN));
    assert_int_equal(read(seen, first, sizeof first), sizeof first);
    close(seen);
    close(server);
    assert_end(client);
}

static void test_tether_to_nobody_is_unreachable(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "t");
    struct sc_error err = SC_ERROR_INIT;
    int fd = -1, server;
    assert_rc(sc_tether_connect(path, &self, &fd, &err), SC_UNREACHABLE);
    assert_contains(err.message, path);
    assert_ok(sc_tether_listen(path, &server, &err), err);
    close(server); // as after kill -9: the path is there, nobody listens
    assert_rc(sc_tether_connect(path, &self, &fd, &err), SC_UNREACHABLE);
    assert_int_equal(fd, -1);
    assert_ok(sc_tether_listen(path, &server, &err), err); // and the next life takes it over
    assert_ok(sc_tether_connect(path, &self, &fd, &err), err);
    close(fd);
    close(server);
}

static void test_tether_path_that_is_too_long_is_a_limit(void **state)
{
    (void)state;
    char path[300];
    struct sc_error err = SC_ERROR_INIT;
    int fd = -1;
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = 0;
    assert_rc(sc_tether_listen(path, &fd, &err), SC_LIMIT);
    assert_rc(sc_tether_connect(path, &self, &fd, &err), SC_LIMIT);
    assert_int_equal(fd, -1);
}

static void test_tether_first_bytes_of_nobody_are_refused(void **state)
{
    (void)state;
    uint8_t first[SC_TETHER_BYTES] = {0};
    struct sc_peer_id peer = {.len = 3};
    assert_false(sc_tether_peer(first, &peer));
    first[5] = 'x'; // a routing id does not start with 0
    assert_false(sc_tether_peer(first, &peer));
    assert_int_equal(peer.len, 3);
    memset(first, 'y', sizeof first);
    assert_true(sc_tether_peer(first, &peer));
    assert_int_equal(peer.len, SC_TETHER_BYTES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tether_tells_who_it_is_and_when_it_is_gone),
        TEST(test_tether_ends_when_its_client_is_killed),
        TEST(test_tether_client_sees_its_server_go),
        TEST(test_tether_to_nobody_is_unreachable),
        TEST(test_tether_path_that_is_too_long_is_a_limit),
        TEST(test_tether_first_bytes_of_nobody_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
