#include "proto/tether.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/os/file.h"

enum { BACKLOG = 1024 };
_Static_assert(sizeof((struct sc_peer_id *)0)->bytes == SC_TETHER_BYTES,
               "a tether's first bytes are a routing id");

static enum sc_rc address_of(const char *path, struct sockaddr_un *ret_address, struct sc_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return sc_error_set(err, SC_LIMIT,
                            "%s: %zu bytes are more than the %zu that a socket's path may have", path, len,
                            sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, len + 1);
    *ret_address = address;
    return SC_OK;
}

enum sc_rc sc_tether_listen(const char *path, int *ret_fd, struct sc_error *err)
{
    struct sockaddr_un address;
    enum sc_rc rc = address_of(path, &address, err);
    if (rc != SC_OK)
        return rc;
    SC_AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return sc_error_errno(err, errno, "make a socket");
    // What an earlier life left behind; whoever listens holds the state's lock, so there is no other.
    if (unlink(path) && errno != ENOENT)
        return sc_error_errno(err, errno, "remove %s", path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG))
        return sc_error_errno(err, errno, "listen at %s", path);
    *ret_fd = fd;
    fd = -1;
    return SC_OK;
}

enum sc_rc sc_tether_connect(const char *path, const struct sc_peer_id *self, int *ret_fd,
                             struct sc_error *err)
{
    struct sockaddr_un address;
    SC_ASSERT(self->len > 0 && self->len <= SC_TETHER_BYTES);
    enum sc_rc rc = address_of(path, &address, err);
    if (rc != SC_OK)
        return rc;
    SC_AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sc_error_errno(err, errno, "make a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof address)) {
        int failed = errno;
        rc = sc_error_errno(err, failed, "connect to %s", path);
        return failed == ENOENT || failed == ECONNREFUSED
                   ? sc_error_wrap(err, SC_UNREACHABLE, "nobody is there")
                   : rc;
    }
    uint8_t hello[SC_TETHER_BYTES] = {0};
    memcpy(hello, self->bytes, self->len);
    ssize_t n;
    do
        n = send(fd, hello, sizeof hello, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof hello)
        return sc_error_set(err, SC_UNREACHABLE, "connect to %s: it was closed at once", path);
    *ret_fd = fd;
    fd = -1;
    return SC_OK;
}

bool sc_tether_peer(const uint8_t first[SC_TETHER_BYTES], struct sc_peer_id *ret_peer)
{
    struct sc_peer_id peer = {.len = SC_TETHER_BYTES};
    memcpy(peer.bytes, first, SC_TETHER_BYTES);
    while (peer.len && peer.bytes[peer.len - 1] == 0)
        peer.len--;
    if (peer.len == 0 || peer.bytes[0] == 0)
        return false;
    *ret_peer = peer;
    return true;
}
