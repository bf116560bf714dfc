// The mount table of this process's mount namespace, and the question where in it a folder shows (proc(5),
// /proc/pid/mountinfo): the same folder is reached by every mount of its file system that holds it.
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <sys/types.h>

struct sc_mount {
    int id;
    unsigned major, minor; // of the file system; not always what stat says (btrfs)
    const char *root;      // the folder of the file system that is mounted
    const char *point;     // where, as this process sees it
    const char *type;
    const char *options; // the file system's own
};

struct sc_mounts {
    struct sc_mount *items;
    size_t count;
};

// A folder by what it is, not by where it is seen.
struct sc_place {
    unsigned major, minor;
    const char *path; // within the file system
    dev_t dev;
    ino_t ino;
};

struct sc_places {
    struct sc_place items[1024];
    size_t count;
};

// Reads the table through a descriptor of /proc.
SC_MUST_USE enum sc_rc sc_mounts_read(int proc_fd, struct sc_arena *arena, struct sc_mounts *ret_mounts,
                                      struct sc_error *err);
// Adds the folder and every mount below it to places.
SC_MUST_USE enum sc_rc sc_mounts_place(int proc_fd, const struct sc_mounts *mounts, const char *folder,
                                       struct sc_arena *arena, struct sc_places *places,
                                       struct sc_error *err);
// The path at which this mount shows the place, or a part of it; NULL when it does not, or is itself covered there.
const char *sc_mounts_shows(int proc_fd, const struct sc_mount *mount, const struct sc_place *place,
                            struct sc_arena *arena);
