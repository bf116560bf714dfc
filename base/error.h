// An error's story: what happened, to what, and what to do next. The caller owns the struct (usually on its
// stack, made by SC_ERROR_INIT); functions that fail fill it when it is not NULL and leave it alone when they
// succeed. No thread-local state. A chain reads outermost first: "run r: step train: open model.bin: No such file".
#pragma once

#include "base/rc.h"

#include <stdarg.h>

enum { SC_ERROR_MESSAGE_BYTES = 1024, SC_ERROR_HINT_BYTES = 256 };

struct sc_error {
    enum sc_rc rc;
    int sys_errno; // 0 when no system call is to blame
    char message[SC_ERROR_MESSAGE_BYTES];
    char hint[SC_ERROR_HINT_BYTES]; // what the user can do next; may be empty
};

#define SC_ERROR_INIT                                                                                        \
    {                                                                                                        \
        .rc = SC_OK                                                                                          \
    }

// Sets the story and returns rc, so that a failure is one line: `return sc_error_set(err, SC_IO, "…", …)`.
// A story longer than the buffer is cut, never an error of its own.
enum sc_rc sc_error_set(struct sc_error *err, enum sc_rc rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The same for a failed system call: appends strerror(sys_errno) and maps ENOSPC/EDQUOT to SC_FULL, EACCES/EPERM
// to SC_DENIED, ENOENT to SC_NOT_FOUND, EEXIST to SC_EXISTS, all others to SC_IO.
enum sc_rc sc_error_errno(struct sc_error *err, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Puts "<text>: " before the story that is there; returns the story's rc.
enum sc_rc sc_error_wrap(struct sc_error *err, enum sc_rc rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Says what to do next.
void sc_error_hint(struct sc_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The rc that a failed call's errno maps to.
enum sc_rc sc_rc_of_errno(int sys_errno);
