// Log lines of the programs: `time level=… component=… key=value …`, one write each, to standard error or a file
// descriptor. Only shells log; library code above debug does not. The sink is the one global of the project.
#pragma once

#include <stdbool.h>

enum sc_log_level { SC_LOG_ERROR, SC_LOG_WARN, SC_LOG_INFO, SC_LOG_DEBUG };

// fd stays the caller's. component is a program's name and must outlive all calls.
void sc_log_open(int fd, const char *component, enum sc_log_level level);
bool sc_log_wants(enum sc_log_level level);
void sc_log(enum sc_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
