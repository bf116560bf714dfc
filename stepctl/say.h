// What a command says beside its results: errors on standard error, as people or (--json) programs read them, and
// output that is collected and written in large pieces. No output goes any other way.
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "pipeline/document.h"

struct sc_out {
    struct sc_buf buf;
    int fd;
    bool broken; // the reader is gone; what follows is dropped
};
void sc_out_init(struct sc_out *out, int fd);
void sc_out_done(struct sc_out *out); // flushes
void sc_out_flush(struct sc_out *out);
// Flushes when much has gathered.
static inline void sc_out_maybe_flush(struct sc_out *out)
{
    if (out->buf.len > 48 * 1024)
        sc_out_flush(out);
}

// Says an error ("stepctl: story", then the hint on a line of its own; or an error event on standard output) and
// returns the exit code. An error without a message was said already.
int sc_say_error(bool json, const struct sc_error *err);
// One mistake of a file: file:line:column: message (hint).
void sc_say_diagnostic(bool json, const char *file, const struct sc_diagnostic *diagnostic);
// A line on standard error: "stepctl: …".
void sc_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
