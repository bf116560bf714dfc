#include "store/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

enum sc_lease sc_lease_take(int fd)
{
    // Before the lease: the signal that is sent unless another is named, SIGIO, ends the process.
    if (fcntl(fd, F_SETSIG, SIGURG))
        return SC_LEASE_UNKNOWN;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        return SC_LEASE_HELD;
    return errno == EAGAIN ? SC_LEASE_WRITER : SC_LEASE_UNKNOWN;
}

void sc_lease_drop(int fd)
{
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
}

bool sc_lease_is_free(int fd, const struct sc_volume *volume)
{
    if (!volume->tells_writers || sc_lease_take(fd) != SC_LEASE_HELD)
        return false;
    sc_lease_drop(fd);
    return true;
}
