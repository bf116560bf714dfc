#include "base/os/log.h"

#include "base/os/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    int fd;
    const char *component;
    enum sc_log_level level;
} sink = {STDERR_FILENO, "stepcache", SC_LOG_WARN};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void sc_log_open(int fd, const char *component, enum sc_log_level level)
{
    sink.fd = fd;
    sink.component = component;
    sink.level = level;
}

bool sc_log_wants(enum sc_log_level level)
{
    return level <= sink.level;
}

void sc_log(enum sc_log_level level, const char *format, ...)
{
    if (!sc_log_wants(level))
        return;
    char line[2048], at[32];
    sc_clock_rfc3339(sc_clock_wall_ms(), at);
    int used =
        snprintf(line, sizeof line - 1, "%s level=%s component=%s ", at, level_names[level], sink.component);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, sizeof line - 1 - (size_t)used, format, args);
    va_end(args);
    size_t len = (size_t)used + (size_t)(more > 0 ? more : 0);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    if (write(sink.fd, line, len) < 0)
        return; // nowhere to say it
}
