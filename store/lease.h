// Read leases (fcntl(2), F_SETLEASE): the kernel's word that nobody has an open file open for writing or mapped writable
// and shared, and its promise that whoever wants to waits till the lease is dropped. Any thread. Held for moments only:
// who waits is a program of the user's.
#pragma once

#include "store/volume.h"

enum sc_lease {
    SC_LEASE_HELD,    // no writer: drop it soon
    SC_LEASE_WRITER,  // somebody has it open for writing, or keeps a mapping of such an opening
    SC_LEASE_UNKNOWN, // not told: the file is another user's, or the file system has no leases
};

// fd: open for reading alone. The signal that tells of a waiting writer is SIGURG, which is ignored by default.
enum sc_lease sc_lease_take(int fd);
void sc_lease_drop(int fd);
// Whether nobody can write to the file but who opens it anew. False where that cannot be told.
bool sc_lease_is_free(int fd, const struct sc_volume *volume);
