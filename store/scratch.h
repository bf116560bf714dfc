// A scratch folder of one handle below a shared parent: what is written there is renamed out when it is whole. The
// handle claims it (base/os/claim.h), so a sweep removes what dead ones left.
#pragma once

#include "base/os/claim.h"

struct sc_scratch {
    int fd;     // of the folder, as in its claim; -1: not open
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
