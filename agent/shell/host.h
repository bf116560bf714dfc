// What this machine is, without starting anything: the parts of the class that are not python's.
#pragma once

#include "base/arena.h"
#include "base/codec.h"

struct sc_host {
    struct sc_slice os;   // "debian 12": ID and VERSION_ID
    struct sc_slice arch; // "x86_64"
    struct sc_slice libc; // "glibc 2.36", "musl"
    struct sc_slice gpu;  // "none", or the driver and the models; empty when not asked for
};
struct sc_slice sc_host_arch(struct sc_arena *arena);
// root: what stands before /etc and /proc; "" but in tests.
struct sc_host sc_host_look(const char *root, bool gpu, struct sc_arena *arena);
// The program of this name on the PATH, or NULL; `ret_looked` is every path that was tried, the found one last.
const char *sc_host_find(struct sc_slice path, const char *name, struct sc_arena *arena,
                         sc_text_list *ret_looked);
