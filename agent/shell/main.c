// step-agent: runs the steps that a coordinator assigns to this machine.
#include "agent/shell/config.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CONFIG_BYTES = 1 << 20 };

static const char usage[] =
    "usage: step-agent --config FILE | --private\n"
    "\n"
    "  --config FILE  `key: value` lines: coordinator, store, work, … (see step-agent(1))\n"
    "  --private      this user's own, beside a coordinator that stepctl started\n"
    "  --version      print the version\n";

struct options {
    const char *config;
    bool private;
};

// 0, or the exit code.
static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"private", no_argument, NULL, 'p'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "c:h", known, NULL)) != -1;) {
        switch (c) {
        case 'c':
            options->config = optarg;
            break;
        case 'p':
            options->private = true;
            break;
        case 'v':
            printf("step-agent %s\n", SC_RELEASE);
            return -1;
        case 'h':
            fputs(usage, stdout);
            return -1;
        default:
            return 2;
        }
    }
    if (optind < argc || !options->config == !options->private) {
        fputs(usage, stderr);
        return 2;
    }
    return 0;
}

static enum sc_rc read_config(const struct options *options, struct sc_arena *arena,
                              struct sc_agent_config *config, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, CONFIG_BYTES + 65536);
    enum sc_rc rc = SC_OK;
    if (options->private) {
        rc = sc_agent_config_private(arena, config, err);
    } else {
        rc = sc_file_read(options->config, CONFIG_BYTES, &text, err);
        if (rc == SC_OK)
            rc = sc_agent_config_parse(sc_buf_slice(&text), options->config, arena, config, err);
    }
    return rc == SC_OK ? sc_agent_config_complete(
                             arena, options->config ? options->config : "step-agent --private", config, err)
                       : rc;
}

static enum sc_rc catch_signals(int *ret_fd, struct sc_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL); // before any thread is made: all inherit it
    signal(SIGPIPE, SIG_IGN);
    *ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret_fd < 0 ? sc_error_errno(err, errno, "catch signals") : SC_OK;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    int code = parse_options(argc, argv, &options);
    if (code)
        return code < 0 ? 0 : code;
    umask(022);
    sc_log_open(STDERR_FILENO, "agent", SC_LOG_INFO);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_agent_config config = {0};
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_CLOSE int signal_fd = -1;
    enum sc_rc rc = read_config(&options, &arena, &config, &err);
    if (rc == SC_OK && config.trace)
        sc_log_open(STDERR_FILENO, "agent", SC_LOG_DEBUG);
    if (rc == SC_OK)
        rc = catch_signals(&signal_fd, &err);
    if (rc == SC_OK)
        rc = sc_agent_run(&config, signal_fd, &err);
    if (rc == SC_OK)
        return 0;
    sc_log(SC_LOG_ERROR, "%s%s%s", err.message, err.hint[0] ? "; " : "", err.hint);
    return sc_rc_exit_code(rc);
}
