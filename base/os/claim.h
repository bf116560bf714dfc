// A folder of one process's own below a folder that many share. It is held by a lock that dies with its holder, so that
// a sweep removes what dead ones left and never touches a live one's, whatever process or container it runs in. A pid
// would not do: another pid namespace does not know it, or gives it to another, and a dead process keeps it until it is
// reaped, which some containers' first process never does.
#pragma once

#include "base/os/file.h"

struct sc_claim {
    int fd;     // of the folder, which holds the lock; -1: none
    char *path; // absolute when the parent's is
};

// Makes a folder below parent whose name is the prefix and a random number.
SC_MUST_USE enum sc_rc sc_claim_make(const char *parent, const char *prefix, mode_t mode,
                                     struct sc_claim *ret_claim, struct sc_error *err);
// Lets go of the folder, which stays until the caller removes it or a sweep does. No claim is good.
void sc_claim_done(struct sc_claim *claim);
// Calls `remove` for each folder below parent whose name begins with the prefix and whose holder is dead.
void sc_claim_sweep(const char *parent, const char *prefix, void (*remove)(const char *path));
