// Classes of environments as they are remembered: each with the files that it was told by, and a fingerprint of how they
// were then. Kept in one file; losing it costs one start of a python.
#pragma once

#include "base/codec.h"
#include "base/error.h"

// Paths of files and folders. Those after the steady ones are folders in which other things than distributions come and go.
struct sc_watch {
    SC_LIST(struct sc_slice, items);
    uint32_t steady_count;
};
struct sc_remembered {
    struct sc_slice path; // PATH
    bool gpu;
    struct sc_digest fingerprint;
    struct sc_slice environment; // encoded
    struct sc_watch watch;
};

struct sc_classes;

struct sc_classes *sc_classes_open(const char *file); // NULL: in memory only; absent or damaged: empty
void sc_classes_close(struct sc_classes *classes);
const struct sc_remembered *sc_classes_find(const struct sc_classes *classes, struct sc_slice path, bool gpu);
// Copies, in place of what was remembered for the same PATH; writes the file.
void sc_classes_remember(struct sc_classes *classes, const struct sc_remembered *remembered);
// Of how the files are now: identity, size and times of each, and where a link leads; absent ones too.
// steady: of the steady ones, while these classes live. A folder whose only news is a __pycache__ that an import made counts
// as it was, since no step is at fault for that; `all` moves, so that the class is told anew.
struct sc_fingerprint {
    struct sc_digest all, steady;
    const char *changed; // the steady one that was last seen to change, till the next call; NULL: none
    int64_t newest_ns; // the youngest time that was seen; INT64_MAX where a path is too long to be looked at
};
// `extra` is mixed in.
struct sc_fingerprint sc_classes_fingerprint(struct sc_classes *classes, const struct sc_watch *watch,
                                             struct sc_slice extra);
