// Whether the user's own coordinator is alive, told by the lock that it holds from its first moment to its last. Silence
// would not do: a busy machine makes the living silent, too. The lock file is kept open: a lock outlives its file's name,
// which whoever cleans the folder may remove. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sc_presence {
    const char *lock; // borrowed; NULL: it is never looked at
    int64_t next_ms;  // mono: when to look again
    int64_t free_ms;  // mono: since when the lock is free; 0: it is held
    bool seen;        // fd is the lock file that was there last; closed when the coordinator is gone
    int fd;
};

// Looks when it is time, and tells whether the lock has been free for longer than a start takes. welcomed: there was a
// coordinator, whose clients may have begun to start another.
bool sc_presence_is_gone(struct sc_presence *presence, int64_t mono_ms, bool welcomed);
// When to ask again; INT64_MAX for never.
int64_t sc_presence_next(const struct sc_presence *presence);
