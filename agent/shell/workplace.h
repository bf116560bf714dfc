// Where an agent works: its folder, and what lies where below it. All folders are the agent's alone (0700) and hidden
// from steps; a step's own work folder is bound at /work.
//
//     <work>/agent.lock        who works here
//            steps/<number>/   a step's work folder, fresh (yard.h)
//            inputs/<attempt>/ inputs that came with the assignment itself
//            taken/<attempt>/  outputs, moved away from the step
//            logs/             spooled logs
//            layout/           laid-out trees and copies of objects (store/object.h)
//            sources/          data from others' buckets on their way to the store
//            memo-<n>, classes, pinned what is remembered, to be lost without harm
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "store/names.h"
#include "store/object.h"

struct sc_workplace {
    char *root, *steps, *inputs, *taken, *logs, *layout, *probe, *classes, *sources, *pinned;
    int lock_fd;
};

// Makes the folders and takes the lock: SC_BUSY, naming its process, when another agent works there.
SC_MUST_USE enum sc_rc sc_workplace_open(const char *root, struct sc_workplace *ret_place,
                                         struct sc_error *err);
void sc_workplace_close(struct sc_workplace *place);
// What an earlier life left: puts its spooled logs into the store under their labels, removes everything else. Returns how
// many attempts it found.
SC_MUST_USE enum sc_rc sc_workplace_clear(const struct sc_workplace *place, struct sc_store *store,
                                          struct sc_slice domain, uint32_t *ret_found, struct sc_error *err);
