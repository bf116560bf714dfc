#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum sc_rc rc;
    int exit_code;
    const char *name;
    const char *text;
} table[] = {
#define X(name, value, exit_code, text) {SC_##name, exit_code, #name, text},
    SC_RC_TABLE(X)
#undef X
};
enum { TABLE_COUNT = sizeof table / sizeof *table };

static const char *const lower_names[] = {
    "ok",          "invalid",   "document", "limit",     "unsupported", "not_found", "exists",
    "ambiguous",   "malformed", "version",  "corrupt",   "io",          "full",      "denied",
    "unreachable", "timeout",   "busy",     "cancelled", "step_failed", "closed",    "interrupted",
};
_Static_assert(sizeof lower_names / sizeof *lower_names == TABLE_COUNT, "one name a result code");

static int row_of(enum sc_rc rc)
{
    int row = -(int)rc;
    return row >= 0 && row < TABLE_COUNT && table[row].rc == rc ? row : -1;
}

const char *sc_rc_name(enum sc_rc rc)
{
    int row = row_of(rc);
    return row < 0 ? "unknown" : lower_names[row];
}

const char *sc_rc_text(enum sc_rc rc)
{
    int row = row_of(rc);
    return row < 0 ? "unknown error" : table[row].text;
}

int sc_rc_exit_code(enum sc_rc rc)
{
    int row = row_of(rc);
    return row < 0 ? 3 : table[row].exit_code;
}

enum sc_rc sc_rc_of_errno(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
        return SC_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return SC_DENIED;
    case ENOENT:
        return SC_NOT_FOUND;
    case EEXIST:
        return SC_EXISTS;
    default:
        return SC_IO;
    }
}

enum sc_rc sc_error_set(struct sc_error *err, enum sc_rc rc, const char *format, ...)
{
    if (!err)
        return rc;
    va_list args;
    va_start(args, format);
    *err = (struct sc_error){.rc = rc};
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return rc;
}

enum sc_rc sc_error_errno(struct sc_error *err, int sys_errno, const char *format, ...)
{
    enum sc_rc rc = sc_rc_of_errno(sys_errno);
    if (!err)
        return rc;
    va_list args;
    va_start(args, format);
    *err = (struct sc_error){.rc = rc, .sys_errno = sys_errno};
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    char reason[128];
    // GNU strerror_r: it returns the text, which need not be in the buffer.
    snprintf(err->message + used, sizeof err->message - used, ": %s",
             strerror_r(sys_errno, reason, sizeof reason));
    return rc;
}

enum sc_rc sc_error_wrap(struct sc_error *err, enum sc_rc rc, const char *format, ...)
{
    if (!err)
        return rc;
    char inner[SC_ERROR_MESSAGE_BYTES];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s", inner[0] ? inner : sc_rc_text(rc));
    err->rc = rc;
    return rc;
}

void sc_error_hint(struct sc_error *err, const char *format, ...)
{
    if (!err)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(err->hint, sizeof err->hint, format, args);
    va_end(args);
}
