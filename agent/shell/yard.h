// The work folders of steps. Making and removing a few folders a step costs more than all else that an agent does for a
// trivial one, so a folder that its step left as it was made serves again: only what lay in out/ was taken from it, and
// its mode, owner, flags and extended attributes are those of a new one. Anything else is removed, and made new. Shared by
// the workers.
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct sc_yard;

// `steps` is the folder that holds them all.
struct sc_yard *sc_yard_new(const char *steps);
void sc_yard_free(struct sc_yard *yard); // removes those that wait
// A folder's number. `*ret_ready`: it is there, empty but for an empty folder out; else nothing is there. `fresh`: only the
// latter.
uint64_t sc_yard_take(struct sc_yard *yard, bool fresh, bool *ret_ready);
// Its path, which the caller frees.
char *sc_yard_path(const struct sc_yard *yard, uint64_t number);
// Back from a step of which nothing runs any more; what it left is removed. `contained`: no process can still be at home in
// it, so that it may serve again.
void sc_yard_give(struct sc_yard *yard, uint64_t number, bool contained);
