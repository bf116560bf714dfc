// step-coordinator: holds the pipeline DAG and the cache index, gives verdicts, assigns steps, keeps the journal.
#include "coordinator/shell/loop.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

enum { LEASE_MS = 15000, RENEW_MS = 3000, AGENT_WAIT_MS = 10000 };

struct program {
    struct sc_config config;
    struct sc_arena arena;
    int lock_fd, log_fd;
    struct sc_loop loop;
};

static int usage(FILE *to, int code)
{
    fputs("usage: step-coordinator --config FILE\n"
          "       step-coordinator --private     this user's own; leaves when nobody needs it\n"
          "       step-coordinator --version\n",
          to);
    return code;
}

static int complain(const struct sc_error *err)
{
    fprintf(stderr, "step-coordinator: %s\n", err->message);
    if (err->hint[0])
        fprintf(stderr, "%s\n", err->hint);
    return sc_rc_exit_code(err->rc);
}

// Signals are taken from a descriptor by the core thread alone; threads are made later and inherit this.
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static enum sc_rc open_log(struct program *program, struct sc_error *err)
{
    const char *wanted = getenv("STEPCACHE_LOG");
    enum sc_log_level level = wanted && strcmp(wanted, "debug") == 0 ? SC_LOG_DEBUG : SC_LOG_INFO;
    program->log_fd = -1;
    if (program->config.log) {
        program->log_fd = open(program->config.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (program->log_fd < 0)
            return sc_error_errno(err, errno, "open the log %s", program->config.log);
    }
    sc_log_open(program->log_fd < 0 ? STDERR_FILENO : program->log_fd, "coordinator", level);
    return SC_OK;
}

static enum sc_rc make_socket_folder(struct program *program, const char *endpoint, struct sc_error *err)
{
    const char *path = endpoint + strlen("ipc://"), *slash = strrchr(path, '/');
    const char *folder =
        (const char *)sc_arena_printf(&program->arena, "%.*s", (int)(slash - path), path).ptr;
    return *folder ? sc_dir_make(folder, 0700, err) : SC_OK;
}

static enum sc_rc prepare_folders(struct program *program, struct sc_error *err)
{
    const struct sc_config *config = &program->config;
    enum sc_rc rc = sc_dir_make(config->state, 0700, err);
    if (rc == SC_OK)
        rc = sc_file_refuse_network(config->state, err);
    if (rc == SC_OK)
        rc = make_socket_folder(program, config->client, err);
    if (rc == SC_OK)
        rc = make_socket_folder(program, config->agent, err);
    if (rc != SC_OK)
        return rc;
    const char *lock =
        (const char *)sc_arena_printf(&program->arena, "%s/coordinator.lock", config->state).ptr;
    rc = sc_file_lock(lock, &program->lock_fd, err);
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "another coordinator uses this state");
}

static enum sc_rc open_workers(struct program *program, struct sc_error *err)
{
    const struct sc_config *config = &program->config;
    struct sc_loop *loop = &program->loop;
    const char *journal = (const char *)sc_arena_printf(&program->arena, "%s/journal.db", config->state).ptr;
    loop->answers = sc_mailbox_new(true);
    loop->spending = sc_spending_open(
        (const char *)sc_arena_printf(&program->arena, "%s/requests.json", config->state).ptr);
    enum sc_rc rc = sc_journal_open(journal, &loop->journal, err);
    if (rc != SC_OK)
        return rc;
    const char *id = sc_arena_cstr(&program->arena, sc_journal_id(loop->journal));
    if (config->shared_store) // so that collections of others know of its open runs
        loop->config.name = id;
    struct sc_storage_config storage = {
        .warm = loop->config.private_,
        .url = config->store,
        .domain = sc_slice_str(config->domain),
        .name = sc_slice_str(loop->config.name ? loop->config.name : ""),
        .coordinator = sc_slice_str(id),
        .journal_path = journal,
        .scratch = (const char *)sc_arena_printf(&program->arena, "%s/scratch", config->state).ptr,
        .patience_ms = config->store_patience_ms,
        .spending = loop->spending,
        .tariff = config->tariff,
        .horizon_ms = config->horizon_ms,
        .answers = loop->answers,
    };
    rc = sc_storage_open(&storage, &loop->storage, err);
    return rc == SC_OK ? sc_queries_open(&storage, loop->storage, &loop->queries, err) : rc;
}

static enum sc_rc make_core(struct program *program, struct sc_error *err)
{
    struct sc_core_config core = {
        .coordinator = sc_journal_id(program->loop.journal),
        .domain = sc_slice_str(program->config.domain),
        .lease_ms = LEASE_MS,
        .renew_ms = RENEW_MS,
        .agent_wait_ms = AGENT_WAIT_MS,
        .store_patience_ms = program->config.store_patience_ms,
        .record_within_ms = sc_storage_horizon_ms(program->loop.storage) / 4,
        .grace_ms = SC_LIMIT_GRACE_MS,
        .allow = program->config.allow,
    };
    if (getrandom(&core.seed, sizeof core.seed, 0) != sizeof core.seed)
        return sc_error_set(err, SC_IO, "no random bytes");
    program->loop.core = sc_core_new(&core);
    return SC_OK;
}

static enum sc_rc close_all(struct program *program, enum sc_rc rc, struct sc_error *err)
{
    struct sc_loop *loop = &program->loop;
    sc_queries_close(loop->queries);
    sc_storage_close(loop->storage);
    sc_spending_close(loop->spending); // after all handles are closed
    struct sc_error closing = SC_ERROR_INIT;
    enum sc_rc closed = sc_journal_close(loop->journal, &closing);
    if (rc == SC_OK && closed != SC_OK)
        *err = closing;
    sc_bus_close(loop->clients_bus);
    sc_bus_close(loop->agents_bus);
    sc_mailbox_free(loop->answers);
    sc_core_free(loop->core);
    sc_loop_done(loop);
    if (program->lock_fd >= 0)
        sc_fd_close(program->lock_fd);
    sc_arena_done(&program->arena);
    return rc == SC_OK ? closed : rc;
}

static int run(struct program *program)
{
    struct sc_error err = SC_ERROR_INIT;
    sc_loop_init(&program->loop, &program->config);
    enum sc_rc rc = prepare_folders(program, &err);
    if (rc == SC_BUSY && program->config.private_) {
        (void)close_all(program, SC_OK, &err);
        return 0; // this user's coordinator is there
    }
    if (rc == SC_OK)
        rc = open_log(program, &err);
    if (rc == SC_OK)
        rc = open_workers(program, &err);
    if (rc == SC_OK)
        rc = make_core(program, &err);
    if (rc == SC_OK)
        rc = sc_loop_run(&program->loop, &err);
    rc = close_all(program, rc, &err);
    if (rc == SC_OK)
        return 0;
    sc_log(SC_LOG_ERROR, "part=main %s", err.message);
    return program->log_fd >= 0 || !err.message[0] ? complain(&err) : sc_rc_exit_code(rc);
}

int main(int argc, char **argv)
{
    struct program program = {.lock_fd = -1, .log_fd = -1};
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc;
    mallopt(M_ARENA_MAX, 2); // an arena a thread would keep memory that is never used again
    // Large buffers are mappings, which go back when they are freed. By itself malloc keeps more the larger what it frees.
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    sc_arena_init(&program.arena);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("step-coordinator " SC_RELEASE);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, 0);
    if (argc == 2 && strcmp(argv[1], "--private") == 0)
        rc = sc_config_private(&program.arena, &program.config, &err);
    else if (argc == 3 && strcmp(argv[1], "--config") == 0)
        rc = sc_config_read(argv[2], &program.arena, &program.config, &err);
    else
        return usage(stderr, 2);
    if (rc != SC_OK) {
        sc_arena_done(&program.arena);
        return complain(&err);
    }
    block_signals();
    return run(&program);
}
