// The mounted file system that a file lies on, told apart from another that bears its device number before or after it,
// and whether a file there can have another content without having other times.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum sc_volume_trust {
    SC_VOLUME_STAMPS,    // a change of a file shows in its times
    SC_VOLUME_UNSTAMPED, // not for sure
    SC_VOLUME_READ_ONLY, // nobody writes there; it was made elsewhere, with the times that its maker chose
    SC_VOLUME_IMAGE, // lies in a file (a loop device) or another program (nbd) that may be another one next time
};

// All zero: not known; no file lies there.
struct sc_volume {
    uint64_t dev, fsid;
    enum sc_volume_trust trust;
    bool tells_writers; // a read lease is refused over every writer (store/lease.h)
};

// Of an open file or folder, also one of O_PATH; any thread. Holds till its file system is unmounted, which it is not while
// something on it is open. Some system calls: ask once for many files.
struct sc_volume sc_volume_of(int fd);
