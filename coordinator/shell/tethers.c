// Tethers: a client's own socket that is open as long as it lives. Its first 32 bytes are the client's routing id.
#include "coordinator/shell/loop.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void sc_loop_accept(struct sc_loop *loop)
{
    for (;;) {
        int fd = accept4(loop->tether_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            return; // none is left, or no descriptor is: tried again in the next turn
        if (loop->tether_count >= SC_LIMIT_PEERS) {
            close(fd);
            continue;
        }
        if (loop->tether_count == loop->tether_room) {
            loop->tether_room = loop->tether_room ? loop->tether_room * 2 : 16;
            loop->tethers = sc_realloc(loop->tethers, loop->tether_room, sizeof *loop->tethers);
        }
        loop->tethers[loop->tether_count++] = (struct sc_loop_tether){.fd = fd};
        loop->had_client = true;
    }
}

static void known(struct sc_loop *loop, struct sc_loop_tether *tether)
{
    struct sc_peer_id id = {.len = sizeof id.bytes};
    memcpy(id.bytes, tether->id, sizeof id.bytes);
    while (id.len && id.bytes[id.len - 1] == 0)
        id.len--;
    struct sc_peer *client = id.len ? sc_peers_get(&loop->clients, &id) : NULL;
    if (!client)
        return;
    client->tethers++;
    tether->client = client->number;
}

static void cut(struct sc_loop *loop, struct sc_loop_tether *tether)
{
    tether->cut = true;
    loop->cut_count++;
    struct sc_peer *client = sc_peers_by_number(&loop->clients, tether->client);
    if (client && --client->tethers == 0)
        sc_peers_mark_gone(&loop->clients, client);
}

void sc_loop_tether_ready(struct sc_loop *loop, uint32_t index)
{
    struct sc_loop_tether *tether = &loop->tethers[index];
    uint8_t rest[64];
    for (;;) {
        size_t room = sizeof tether->id - tether->got;
        ssize_t n =
            room ? read(tether->fd, tether->id + tether->got, room) : read(tether->fd, rest, sizeof rest);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            cut(loop, tether);
            return;
        }
        if (room) {
            tether->got = (uint8_t)(tether->got + n);
            if (tether->got == sizeof tether->id)
                known(loop, tether);
        }
    }
}

// A client that shut its end down hears at once when we stay, by a byte; when we go, by the end of the stream.
void sc_loop_sweep_tethers(struct sc_loop *loop)
{
    bool stays =
        !loop->config.private_ || loop->tether_count > loop->cut_count || sc_core_open_runs(loop->core) > 0;
    if (!stays || !loop->cut_count)
        return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < loop->tether_count; i++) {
        struct sc_loop_tether *tether = &loop->tethers[i];
        if (!tether->cut) {
            loop->tethers[kept++] = *tether;
            continue;
        }
        (void)send(tether->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); // most are gone
        close(tether->fd);
    }
    loop->tether_count = kept;
    loop->cut_count = 0;
}
