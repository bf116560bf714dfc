// The two output streams of an attempt, from the pipes to the store. What is small stays in memory; what is not goes
// into a spool file, so that memory is bounded whatever a step prints. The last lines of both, as they came, are kept
// for the report. Loop thread, but for what a TAKE job reads once the step has ended.
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "proto/message.h"

struct sc_log_stream {
    int pipe_fd;        // read end; -1: closed
    int spool_fd;       // -1: all is in `head`
    char *spool_path;   // NULL: not spooled, or handed to the store
    struct sc_buf head; // the bytes, until they are more than SC_LIMIT_LOG_INLINE_BYTES
    uint64_t bytes;     // kept
    uint64_t dropped;   // beyond the limit, or for want of space
    uint64_t told;      // to the listener, so far
    uint64_t left_out;  // of what was told last: where it began
};

struct sc_attempt_logs {
    uint64_t attempt;
    struct sc_log_stream streams[2]; // by enum sc_stream
    struct sc_buf tail;              // the last bytes of both, as they came
    bool tail_cut;                   // something came before it
    int tail_stream;                 // whose bytes end it; -1: none
    bool listened;
};

void sc_attempt_logs_init(struct sc_attempt_logs *logs, uint64_t attempt);
void sc_attempt_logs_done(struct sc_attempt_logs *logs); // closes all; the spools stay
// Makes both pipes; the read ends do not block.
SC_MUST_USE enum sc_rc sc_attempt_logs_open(struct sc_attempt_logs *logs, int ret_write_fds[2],
                                            struct sc_error *err);
// Reads what is there, at most max_bytes, with the shared buffer. False at the end of the stream (the pipe is closed
// then). `folder` is where a spool is made; `label` is written beside it, so that a later agent knows whose it is.
bool sc_attempt_logs_pump(struct sc_attempt_logs *logs, enum sc_stream stream, const char *folder,
                          struct sc_slice label, size_t max_bytes);
// After the step and all it started are gone: reads the rest, closes the pipes, notes what was dropped.
void sc_attempt_logs_finish(struct sc_attempt_logs *logs, const char *folder, struct sc_slice label);
// Both streams are told anew: from the beginning, or the last bytes of a long one, but never less than what is untold.
void sc_attempt_logs_tell_again(struct sc_attempt_logs *logs);
// The next bytes for a listener, at most max_bytes: attempt, offset and text of the message, whose stream is set. No text when
// all is told. In the arena.
void sc_attempt_logs_next(struct sc_attempt_logs *logs, size_t max_bytes, struct sc_arena *arena,
                          struct sc_msg_log *log);
// The last lines, at most SC_LIMIT_LOG_TAIL_BYTES, well-formed UTF-8 (what is not is shown as U+FFFD). In the arena.
struct sc_slice sc_attempt_logs_tail(const struct sc_attempt_logs *logs, struct sc_arena *arena);
// Bytes kept in memory.
size_t sc_attempt_logs_memory(const struct sc_attempt_logs *logs);
