// Result codes: the one table of what can go wrong, its text and the exit code that stepctl gives for it.
// Zero is good, all others are negative. An rc is never a count or an answer.
#pragma once

// X(name, value, exit code, text)
#define SC_RC_TABLE(X)                                                                                       \
    X(OK, 0, 0, "ok")                                                                                        \
    X(INVALID, -1, 2, "invalid request")                                                                     \
    X(DOCUMENT, -2, 2, "invalid pipeline document")                                                          \
    X(LIMIT, -3, 2, "a limit was exceeded")                                                                  \
    X(UNSUPPORTED, -4, 2, "not supported")                                                                   \
    X(NOT_FOUND, -5, 2, "not found")                                                                         \
    X(EXISTS, -6, 2, "exists already")                                                                       \
    X(AMBIGUOUS, -7, 2, "ambiguous")                                                                         \
    X(MALFORMED, -8, 3, "malformed data")                                                                    \
    X(VERSION, -9, 3, "unknown version")                                                                     \
    X(CORRUPT, -10, 3, "corrupt data")                                                                       \
    X(IO, -11, 3, "input/output error")                                                                      \
    X(FULL, -12, 3, "no space left")                                                                         \
    X(DENIED, -13, 3, "permission denied")                                                                   \
    X(UNREACHABLE, -14, 3, "could not be reached")                                                           \
    X(TIMEOUT, -15, 3, "timed out")                                                                          \
    X(BUSY, -16, 3, "busy")                                                                                  \
    X(CANCELLED, -17, 4, "cancelled")                                                                        \
    X(STEP_FAILED, -18, 1, "a step failed")                                                                  \
    X(CLOSED, -19, 3, "closed")                                                                              \
    X(INTERRUPTED, -20, 130, "interrupted")

enum sc_rc {
#define X(name, value, exit_code, text) SC_##name = value,
    SC_RC_TABLE(X)
#undef X
};

#define SC_MUST_USE __attribute__((warn_unused_result))

// The code's lower-case name, as `error` events carry it: "not_found".
const char *sc_rc_name(enum sc_rc rc);
// The code's short text, for people.
const char *sc_rc_text(enum sc_rc rc);
// What stepctl exits with.
int sc_rc_exit_code(enum sc_rc rc);
