// What a python3 says of itself: its version, the distributions that it sees, and the files by which a change of either
// shows. Private to the prober.
#pragma once

#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"

struct sc_python {
    struct sc_slice version;            // "3.11.2"
    struct sc_slice executable;         // the file that really ran
    SC_LIST(struct sc_slice, packages); // "name==version", names normalised (PEP 503), sorted
    SC_LIST(struct sc_slice, watch);    // absolute paths of files and folders
    SC_LIST(struct sc_slice,
            loose); // of folders that hold other things beside distributions: projects that are worked in
    bool whole;     // no change of these can escape who watches them; else it must be asked each time
};
// Runs the program, in isolated mode (-I) and a clean environment. In the arena.
SC_MUST_USE enum sc_rc sc_python_ask(const char *program, const char *const *env, int64_t timeout_ms,
                                     int stop_fd, struct sc_arena *arena, struct sc_python *ret_python,
                                     struct sc_error *err);
