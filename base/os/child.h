// One process, run to its end by the calling thread, bounded in time and in what it may print: probes, credential_process.
// It dies with that thread (PR_SET_PDEATHSIG), and what it starts with its process group. Any thread may call.
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct sc_child {
    const char *const *argv; // argv[0] is a path
    const char *const *env;  // whole: nothing is added
    const char *folder;      // to run in; NULL: /
    int64_t timeout_ms;
    int stop_fd;      // it is ended as soon as this is readable; 0: by nobody
    size_t max_bytes; // of each stream; more is an error
    bool sweeps;      // what it leaves behind is ended, in whatever session or process group (base/os/sweep)
};
// SC_OK: it ended by itself; ret_status as of wait(2). SC_TIMEOUT: it was killed. SC_INTERRUPTED: it was, by
// stop_fd. SC_NOT_FOUND and others: it could not be
// started. Standard input is empty.
SC_MUST_USE enum sc_rc sc_child_run(const struct sc_child *child, struct sc_buf *ret_out,
                                    struct sc_buf *ret_err, int *ret_status, struct sc_error *err);
// Whether the kernel tells of a process's end (pidfd_open, Linux 5.3; a container's filter may refuse it). Where it does not,
// the end of a child is noticed up to 10 ms later, and nothing else changes.
bool sc_child_end_is_told(void);
// Where the program of that name lies: the name itself when it has a slash, else the first that may be run on `path` (a
// PATH; NULL: /usr/bin:/bin; empty entries, which would mean the working folder, are passed over). NULL: nowhere. The
// caller frees.
char *sc_child_find(const char *name, const char *path);
