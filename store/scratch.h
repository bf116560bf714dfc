// A scratch folder of one handle below a shared parent: what is written there is renamed out when it is whole. The
// folder is held by a lock that dies with the process, so that a sweep removes what dead ones left and never touches
// a live one's, whatever process or container it runs in.
#pragma once

#include "base/os/file.h"

struct sc_scratch {
    int fd;     // of the folder, which holds the lock; -1: not open
    char *path; // absolute when the parent's is
    uint64_t next;
};

enum { SC_SCRATCH_NAME_BYTES = 24 };

// Makes parent (one level) and a folder of its own in it.
SC_MUST_USE enum sc_rc sc_scratch_open(const char *parent, struct sc_scratch *ret_scratch,
                                       struct sc_error *err);
// Removes the folder and all in it.
void sc_scratch_close(struct sc_scratch *scratch);
// A name that is free in the folder.
void sc_scratch_name(struct sc_scratch *scratch, char ret_name[SC_SCRATCH_NAME_BYTES]);
// Removes the folders of dead owners. What cannot be removed is left.
void sc_scratch_sweep(const char *parent);
