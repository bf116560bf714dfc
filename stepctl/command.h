// The commands: a table of what each is called and takes, which help, completion and main read; and their functions, which main
// alone calls.
#pragma once

#include "stepctl/options.h"

// X(id, name of the function), in the order in which help lists them
#define SC_COMMAND_TABLE(X)                                                                                  \
    X(RUN, run)                                                                                              \
    X(PLAN, plan)                                                                                            \
    X(SUBMIT, submit)                                                                                        \
    X(STATUS, status)                                                                                        \
    X(RUNS, runs)                                                                                            \
    X(AGENTS, agents)                                                                                        \
    X(WATCH, watch)                                                                                          \
    X(LOGS, logs)                                                                                            \
    X(GET, get)                                                                                              \
    X(URI, uri)                                                                                              \
    X(CANCEL, cancel)                                                                                        \
    X(KEY, key)                                                                                              \
    X(EXPLAIN, explain)                                                                                      \
    X(DIFF, diff)                                                                                            \
    X(CACHE, cache)                                                                                          \
    X(GRAPH, graph)                                                                                          \
    X(COMPLETION, completion)                                                                                \
    X(DOCTOR, doctor)                                                                                        \
    X(VERSION, version)                                                                                      \
    X(HELP, help_)

enum sc_command_id {
#define X(id, name) SC_COMMAND_##id,
    SC_COMMAND_TABLE(X)
#undef X
        SC_COMMAND_COUNT
};

struct sc_command {
    const char *name;
    const char *arguments; // "FILE", "RUN STEP"
    const char *summary;
    const char *more; // paragraphs for its help; may be NULL
    uint64_t options;
    uint32_t args_min, args_max;
};

extern const struct sc_command sc_commands[SC_COMMAND_COUNT];
const struct sc_command *sc_command_find(struct sc_slice name); // NULL
// The whole help of a command; NULL: of stepctl.
void sc_command_help(const struct sc_command *command, struct sc_buf *out);
int sc_command_print_help(const struct sc_command *command); // 0
// Says that there is no such command, and the nearest one; returns the exit code.
int sc_command_unknown(const char *word);

// Each returns the exit code.
#define X(id, name) int sc_command_##name(const struct sc_options *options, struct sc_arena *arena);
SC_COMMAND_TABLE(X)
#undef X
