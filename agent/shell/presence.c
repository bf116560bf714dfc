#include "agent/shell/presence.h"

#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>

enum {
    LOOK_MS = 1000,     // while the lock is held, and nothing is to be feared
    LOOK_SOON_MS = 100, // before the first welcome, and while it is free
    START_MS = 500,     // a coordinator is started before its agent, and takes the lock first of all
    RESTART_MS = 3000,  // who is tethered to one that fell starts another at once
};

// What cannot be told may be: a wrong yes costs waiting, a wrong no the running steps.
static bool may_live(struct sc_presence *presence, bool welcomed)
{
    if (presence->seen && sc_fd_is_locked(presence->fd))
        return true;
    int fd = open(presence->lock, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT || (welcomed && !presence->seen);
    if (presence->seen)
        sc_fd_close(presence->fd);
    presence->seen = true;
    presence->fd = fd;
    return sc_fd_is_locked(fd);
}

bool sc_presence_is_gone(struct sc_presence *presence, int64_t mono_ms, bool welcomed)
{
    if (!presence->lock || mono_ms < presence->next_ms)
        return false;
    if (may_live(presence, welcomed))
        presence->free_ms = 0;
    else if (!presence->free_ms)
        presence->free_ms = mono_ms;
    presence->next_ms = mono_ms + (welcomed && !presence->free_ms ? LOOK_MS : LOOK_SOON_MS);
    bool gone = presence->free_ms && mono_ms - presence->free_ms >= (welcomed ? RESTART_MS : START_MS);
    if (gone && presence->seen) {
        sc_fd_close(presence->fd);
        presence->seen = false;
    }
    return gone;
}

int64_t sc_presence_next(const struct sc_presence *presence)
{
    return presence->lock ? presence->next_ms : INT64_MAX;
}
