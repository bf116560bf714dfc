// The options of all commands, in one table: what each is called, what it takes, what it is for. A command names the
// ones it has by a mask; parsing, help and completion read the table.
#pragma once

#include "pipeline/document.h"
#include "proto/message.h"

// X(name, long name, letter or 0, argument's name or NULL, argument optional, help)
#define SC_OPTION_TABLE(X)                                                                                   \
    X(PARAM, "param", 'p', "NAME=VALUE", false, "set a parameter; may be given several times")               \
    X(NO_CACHE, "no-cache", 0, NULL, false, "neither look up nor store results")                             \
    X(REFRESH, "refresh", 0, "STEP", true, "run STEP (without: every step) again and replace its result")    \
    X(FORCE, "force", 0, "STEP", false, "run STEP and all below it again")                                   \
    X(CACHED_ONLY, "cached-only", 0, NULL, false, "run nothing: a miss is a failure")                        \
    X(ONLY, "only", 0, "STEP", false, "run STEP alone; what it needs must be cached")                        \
    X(FROM, "from", 0, "STEP", false, "start at STEP; what is above it is taken from the newest run")        \
    X(FAIL_FAST, "fail-fast", 0, NULL, false, "stop independent branches after the first failure")           \
    X(JSON, "json", 0, NULL, false, "print one JSON object a line")                                          \
    X(PLAIN, "plain", 0, NULL, false, "print plain lines, even on a terminal")                               \
    X(QUIET, "quiet", 'q', NULL, false, "print failures and the run id only")                                \
    X(LOGS, "logs", 0, NULL, false, "print what the steps write, as they write it")                          \
    X(WATCH, "watch", 'w', NULL, false, "follow the run; Ctrl-C detaches")                                   \
    X(FOLLOW, "follow", 'f', NULL, false, "go on until the step has ended")                                  \
    X(ATTEMPT, "attempt", 0, "N", false, "the log of attempt N instead of the newest")                       \
    X(SAMPLE, "sample", 0, "N", false, "cache verify: every Nth object and record")                          \
    X(LIMIT, "limit", 'n', "N", false, "at most N rows")                                                     \
    X(PIPELINE, "pipeline", 0, "NAME", false, "only runs of this pipeline")                                  \
    X(YES, "yes", 'y', NULL, false, "do not ask")                                                            \
    X(OLDER_THAN, "older-than", 0, "AGE", false, "gc: drop results that were made longer ago, like P30D")    \
    X(KEEP_LAST, "keep-last", 0, "N", false, "gc: the newest N of each step stay")                           \
    X(NAMESPACE, "namespace", 0, "NAME", false, "gc: drop results of this namespace only")                   \
    X(MAX_BYTES, "max-bytes", 0, "SIZE", false, "gc: drop the cheapest until the rest has this size")        \
    X(DRY_RUN, "dry-run", 0, NULL, false, "gc: only tell what it would do (the default)")                    \
    X(DELETE, "delete", 0, NULL, false, "gc: do it")                                                         \
    X(SVG, "svg", 0, NULL, false, "print SVG, made by Graphviz's dot")                                       \
    X(COORDINATOR, "coordinator", 0, "ENDPOINT", false,                                                      \
      "talk to this coordinator (default: $STEPCACHE_COORDINATOR, "                                          \
      "else your own on this machine)")                                                                      \
    X(OWN_STORE, "store", 0, "STORE", false,                                                                 \
      "your own coordinator keeps results there: a folder, or s3://bucket/prefix?… (default: "             \
      "$STEPCACHE_STORE, else a folder in your cache)")                                                      \
    X(STORE, "store", 0, "STORE", false, "this store: a folder, or s3://bucket/prefix?…")                    \
    X(ENDPOINT_URL, "endpoint-url", 0, "URL", false, "the S3 server of that store, when it is not AWS")      \
    X(HELP, "help", 'h', NULL, false, "print this help")

enum sc_option {
#define X(name, text, letter, arg, optional, help) SC_OPTION_##name,
    SC_OPTION_TABLE(X)
#undef X
        SC_OPTION_COUNT
};
#define SC_OPTION_BIT(name) (UINT64_C(1) << SC_OPTION_##name)
// What commands share.
#define SC_OPTIONS_OUTPUT                                                                                    \
    (SC_OPTION_BIT(JSON) | SC_OPTION_BIT(PLAIN) | SC_OPTION_BIT(QUIET) | SC_OPTION_BIT(LOGS))
#define SC_OPTIONS_RUN                                                                                       \
    (SC_OPTION_BIT(PARAM) | SC_OPTION_BIT(NO_CACHE) | SC_OPTION_BIT(REFRESH) | SC_OPTION_BIT(FORCE) |        \
     SC_OPTION_BIT(CACHED_ONLY) | SC_OPTION_BIT(ONLY) | SC_OPTION_BIT(FROM) | SC_OPTION_BIT(FAIL_FAST))

struct sc_option_info {
    const char *name;
    int letter;
    const char *argument;
    bool argument_optional;
    const char *help;
};
const struct sc_option_info *sc_option_info(enum sc_option option);

struct sc_options {
    SC_LIST(struct sc_param_override, params);
    struct sc_run_options run;
    bool json, plain, quiet, logs, watch, follow, yes, svg, help, dry_run, delete_;
    uint32_t limit, attempt, sample;
    const char *pipeline, *coordinator, *own_store, *store, *endpoint_url;
    const char *older_than, *keep_last, *namespace_, *max_bytes;
    char **args; // what is no option, in order
    uint32_t arg_count;
};

// Reads argv (argv[0] is the command's name). Texts are borrowed from argv, lists lie in the arena. SC_INVALID for an
// option that the mask does not have (the nearest is suggested), a missing or a malformed argument, and more or fewer
// other words than args_min to args_max; `--help` alone is always good.
SC_MUST_USE enum sc_rc sc_options_parse(int argc, char **argv, uint64_t mask, uint32_t args_min,
                                        uint32_t args_max, struct sc_arena *arena,
                                        struct sc_options *ret_options, struct sc_error *err);
// The options of a mask, a line each.
void sc_options_help(uint64_t mask, struct sc_buf *out);
