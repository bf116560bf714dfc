// The commands: a table that help, completion and main read.
#pragma once

#include "stepctl/options.h"

struct sc_command {
    const char *name;
    const char *arguments; // "FILE", "RUN STEP"
    const char *summary;
    const char *more; // paragraphs for its help; may be NULL
    uint64_t options;
    uint32_t args_min, args_max;
    int (*run)(const struct sc_options *options, struct sc_arena *arena); // returns the exit code
};

extern const struct sc_command sc_commands[];
extern const uint32_t sc_command_count;
const struct sc_command *sc_command_find(struct sc_slice name); // NULL
// The whole help of a command; NULL: of stepctl.
void sc_command_help(const struct sc_command *command, struct sc_buf *out);
int sc_command_print_help(const struct sc_command *command); // 0
// Says that there is no such command, and the nearest one; returns the exit code.
int sc_command_unknown(const char *word);

#define SC_COMMAND_TABLE(X)                                                                                  \
    X(run)                                                                                                   \
    X(plan)                                                                                                  \
    X(submit)                                                                                                \
    X(status)                                                                                                \
    X(runs)                                                                                                  \
    X(agents)                                                                                                \
    X(watch)                                                                                                 \
    X(logs)                                                                                                  \
    X(get) X(cancel) X(key) X(explain) X(diff) X(cache) X(graph) X(completion) X(doctor) X(version) X(help_)
#define X(name) int sc_command_##name(const struct sc_options *options, struct sc_arena *arena);
SC_COMMAND_TABLE(X)
#undef X
