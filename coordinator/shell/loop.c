#include "coordinator/shell/loop.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/log.h"
#include "proto/tether.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,       // the longest sleep
    FOLLOW_MS = 50,       // how often logs that are followed are looked after
    LATE_MS = 500,        // a turn that is later than this was stopped, not busy
    LAZY_NS = 1000000000, // what may wait for company is committed after so long
    GATHER_NS = 1000000,  // how long a batch waits for look-ups that are under way
    BUSY_ATTEMPTS = 8,    // with so many at the agents they have work while a batch gathers company
    BUSY_NS = 1000000,    // of each attempt; at most
    BUSY_NS_MOST = 40000000,
    MESSAGES_A_TURN = 4096,      // of one bus
    NOBODY_MS = 10000,           // a private coordinator whom nobody ever came to leaves after so long
    HELD_BYTES_MOST = 256 << 20, // past this nothing more is read until the journal has caught up
};

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void sc_loop_init(struct sc_loop *loop, const struct sc_config *config)
{
    *loop = (struct sc_loop){.config = *config, .tether_fd = -1, .signal_fd = -1};
    sc_lanes_init(&loop->lanes);
}

void sc_loop_done(struct sc_loop *loop)
{
    while (loop->batches) {
        struct sc_loop_batch *batch = loop->batches;
        loop->batches = batch->next;
        sc_arena_done(&batch->arena);
        free(batch->events);
        free(batch);
    }
    if (loop->spare_batch)
        free(loop->spare_batch->events);
    free(loop->spare_batch);
    for (uint32_t i = 0; i < loop->tether_count; i++)
        close(loop->tethers[i].fd);
    free(loop->tethers);
    if (loop->tether_fd >= 0)
        close(loop->tether_fd);
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    sc_loop_follows_done(loop);
    sc_lanes_done(&loop->lanes);
    sc_peers_done(&loop->clients);
    sc_peers_done(&loop->agents);
}

// ---- time

// What the program was stopped for, beyond what it meant to sleep, is taken out of the time that the core sees: agents
// could not renew while nobody listened, so their leases are longer by that.
static void take_time(struct sc_loop *loop, int64_t meant_ms)
{
    int64_t real_ms = sc_clock_mono_ms(), gap_ms = real_ms - loop->real_ms;
    if (gap_ms > meant_ms + LATE_MS) {
        loop->missed_ms += gap_ms - meant_ms;
        sc_log(SC_LOG_WARN, "part=loop late_ms=%lld leases are longer by that",
               (long long)(gap_ms - meant_ms));
    }
    loop->real_ms = real_ms;
    loop->mono_ms = real_ms - loop->missed_ms;
    loop->wall_ms = sc_clock_wall_ms();
}

// ---- the journal

static bool journal_progress(struct sc_loop *loop, struct sc_error *err)
{
    if (sc_journal_failed(loop->journal, err))
        return false;
    uint64_t durable = sc_journal_durable(loop->journal);
    sc_latest_committed(sc_storage_latest(loop->storage), sc_journal_latest(loop->journal));
    if (durable == loop->durable_seq)
        return true;
    loop->durable_seq = durable;
    sc_loop_release(loop);
    struct sc_event event = {.kind = SC_EVENT_JOURNALED};
    event.u.journaled_seq = durable;
    sc_loop_feed(loop, &event);
    return true;
}

static int64_t gather_ns(const struct sc_loop *loop)
{
    uint32_t attempts = sc_core_live_attempts(loop->core);
    int64_t wait = loop->reads_under_way ? GATHER_NS : 0;
    if (attempts >= BUSY_ATTEMPTS)
        wait = (int64_t)attempts * BUSY_NS;
    return wait < BUSY_NS_MOST ? wait : BUSY_NS_MOST;
}

// In how many ns the open batch is to be handed over; 0: now; INT64_MAX: when something comes. A step's report and the grant
// of the step that follows it are one commit: between them lies a look-up, whose answer is worth waiting for.
static int64_t hand_in_ns(const struct sc_loop *loop, int64_t now)
{
    enum sc_journal_open_batch batch = sc_journal_open_batch(loop->journal);
    if (batch == SC_BATCH_EMPTY)
        return INT64_MAX;
    uint64_t wanted = sc_lanes_wanted(&loop->lanes);
    bool urgent = batch == SC_BATCH_URGENT || wanted > sc_journal_handed(loop->journal);
    int64_t since = sc_journal_batch_since_ns(loop->journal, batch == SC_BATCH_URGENT);
    int64_t wait = urgent ? gather_ns(loop) : LAZY_NS;
    int64_t left = since + wait - now;
    return left > 0 ? left : 0;
}

// ---- a turn

enum { FD_SIGNAL, FD_ANSWERS, FD_CLIENTS, FD_AGENTS, FD_TETHER, FD_FIXED };

static int64_t next_deadline(struct sc_loop *loop)
{
    if (!loop->deadline_known)
        loop->deadline_ms = sc_core_next_deadline(loop->core);
    loop->deadline_known = true;
    return loop->deadline_ms;
}

static void sleep_until_ready(struct sc_loop *loop, struct pollfd *fds, bool at_once)
{
    int64_t deadline = next_deadline(loop), wait_ms = TICK_MS;
    if (deadline != INT64_MAX && deadline - loop->mono_ms < wait_ms)
        wait_ms = deadline > loop->mono_ms ? deadline - loop->mono_ms : 0;
    if (loop->follows && wait_ms > FOLLOW_MS)
        wait_ms = FOLLOW_MS;
    int64_t wait_ns = at_once ? 0 : wait_ms * 1000000, hand_ns = hand_in_ns(loop, now_ns());
    if (hand_ns < wait_ns)
        wait_ns = hand_ns;
    fds[FD_SIGNAL] = (struct pollfd){.fd = loop->signal_fd, .events = POLLIN};
    fds[FD_ANSWERS] = (struct pollfd){.fd = sc_mailbox_fd(loop->answers), .events = POLLIN};
    bool full = loop->lanes.bytes > HELD_BYTES_MOST;
    fds[FD_CLIENTS] = (struct pollfd){.fd = full ? -1 : sc_bus_fd(loop->clients_bus), .events = POLLIN};
    fds[FD_AGENTS] = (struct pollfd){.fd = full ? -1 : sc_bus_fd(loop->agents_bus), .events = POLLIN};
    fds[FD_TETHER] = (struct pollfd){.fd = loop->tether_fd, .events = POLLIN};
    for (uint32_t i = 0; i < loop->tether_count; i++)
        fds[FD_FIXED + i] =
            (struct pollfd){.fd = loop->tethers[i].cut ? -1 : loop->tethers[i].fd, .events = POLLIN};
    struct timespec timeout = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    if (ppoll(fds, FD_FIXED + loop->tether_count, &timeout, NULL) < 0)
        for (uint32_t i = 0; i < FD_FIXED + loop->tether_count; i++)
            fds[i].revents = 0;
    take_time(loop, wait_ns / 1000000);
}

typedef void (*message_fn)(struct sc_loop *loop, const struct sc_peer_id *from,
                           const struct sc_message *message);

// True when all that was there was read.
static bool drain_bus(struct sc_loop *loop, struct sc_bus *bus, size_t max_bytes, message_fn handle)
{
    struct sc_arena arena;
    sc_arena_init(&arena);
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < MESSAGES_A_TURN && rc == SC_OK; i++) {
        struct sc_peer_id from;
        struct sc_message message;
        struct sc_error err = SC_ERROR_INIT;
        rc = sc_bus_receive(bus, max_bytes, &arena, &from, &message, &err);
        if (rc == SC_OK)
            handle(loop, &from, &message);
        else if (rc != SC_NOT_FOUND)
            sc_log(SC_LOG_WARN, "part=bus ignoring: %s", err.message);
        sc_arena_done(&arena);
    }
    return rc != SC_OK;
}

static bool drain(struct sc_loop *loop)
{
    if (loop->lanes.bytes > HELD_BYTES_MOST)
        return true;
    bool all = drain_bus(loop, loop->agents_bus, SC_LIMIT_MESSAGE_AGENT_BYTES, sc_loop_agent_message);
    all = drain_bus(loop, loop->clients_bus, SC_LIMIT_MESSAGE_USER_BYTES, sc_loop_client_message) && all;
    return all;
}

static void read_signals(struct sc_loop *loop)
{
    struct signalfd_siginfo info;
    while (read(loop->signal_fd, &info, sizeof info) == sizeof info) {
        sc_log(SC_LOG_INFO, "part=loop signal=%u stopping; open runs stay in the journal", info.ssi_signo);
        loop->stopping = true;
    }
}

static void tell_gone(struct sc_loop *loop)
{
    while (loop->clients.any_gone || loop->agents.any_gone) {
        sc_loop_clients_gone(loop);
        sc_loop_agents_gone(loop);
    }
}

static void judge_deadline(struct sc_loop *loop)
{
    if (next_deadline(loop) > loop->mono_ms)
        return;
    struct sc_event event = {.kind = SC_EVENT_DEADLINE};
    sc_loop_feed(loop, &event);
}

// Records wait for company before they are written. When nothing runs and nothing is looked up, none is coming.
static void hurry_writer(struct sc_loop *loop)
{
    if (loop->hurried || loop->records_under_way == 0 || loop->reads_under_way || loop->lanes.count ||
        sc_core_live_attempts(loop->core))
        return;
    loop->hurried = true;
    sc_loop_post(loop, sc_job_new(SC_JOB_HURRY));
}

// A large run's memory goes back to the system once there is nothing more to do with it.
static void trim_memory(struct sc_loop *loop)
{
    bool open = sc_core_open_runs(loop->core) > 0 || loop->jobs_under_way > 0;
    if (open)
        loop->trim_ms = loop->real_ms + TICK_MS;
    if (open || loop->trim_ms == 0 || loop->real_ms < loop->trim_ms)
        return;
    loop->trim_ms = 0;
    malloc_trim(0);
}

static bool nobody_needs_us(struct sc_loop *loop)
{
    if (!loop->config.private_ || loop->tether_count > loop->cut_count)
        return false;
    // A store that refuses may do so for long; what could not be written stays in the journal.
    if (loop->store_trouble && loop->had_client && sc_core_live_attempts(loop->core) == 0)
        return true;
    if (sc_core_open_runs(loop->core) > 0)
        return false;
    if (loop->jobs_under_way > 0 || loop->lanes.count > 0 ||
        sc_journal_open_batch(loop->journal) == SC_BATCH_URGENT)
        return false;
    return loop->had_client || loop->real_ms - loop->started_ms > NOBODY_MS;
}

static void read_sockets(struct sc_loop *loop, const struct pollfd *fds)
{
    uint32_t tethers = loop->tether_count; // more may come while these are looked at
    if (fds[FD_SIGNAL].revents)
        read_signals(loop);
    sc_loop_answers(loop);
    if (fds[FD_TETHER].revents)
        sc_loop_accept(loop);
    for (uint32_t i = 0; i < tethers; i++)
        if (fds[FD_FIXED + i].revents)
            sc_loop_tether_ready(loop, i);
}

// Returns false when the program is to end.
static bool turn(struct sc_loop *loop, struct pollfd *fds, bool *at_once, struct sc_error *err)
{
    sleep_until_ready(loop, fds, *at_once);
    read_sockets(loop, fds);
    // Renewals that are here count before leases are judged.
    bool all = drain(loop);
    if (!journal_progress(loop, err)) {
        loop->rc = err->rc;
        return false;
    }
    // A tether that is cut counts after the messages that came before.
    sc_loop_sweep_tethers(loop);
    tell_gone(loop);
    if (all)
        judge_deadline(loop);
    if (loop->follows)
        sc_loop_follows_tick(loop);
    if (hand_in_ns(loop, now_ns()) == 0)
        sc_journal_hand(loop->journal);
    hurry_writer(loop);
    trim_memory(loop);
    sc_loop_flush_events(loop);
    sc_bus_flush(loop->clients_bus);
    sc_bus_flush(loop->agents_bus);
    tell_gone(loop);
    *at_once = !all;
    take_time(loop, 0);
    return !loop->stopping && !nobody_needs_us(loop);
}

static enum sc_rc run_turns(struct sc_loop *loop, struct sc_error *err)
{
    struct pollfd *fds = NULL;
    uint32_t room = 0;
    bool at_once = false, go_on = true;
    while (go_on) {
        if (FD_FIXED + loop->tether_count > room) {
            room = FD_FIXED + loop->tether_count * 2;
            fds = sc_realloc(fds, room, sizeof *fds);
        }
        go_on = turn(loop, fds, &at_once, err);
    }
    free(fds);
    return loop->rc;
}

// ---- beginning and end

struct restoring {
    struct sc_loop *loop;
};

static void restore_row(void *context, uint64_t seq, struct sc_slice fact)
{
    struct sc_loop *loop = ((struct restoring *)context)->loop;
    struct sc_event event = {.kind = SC_EVENT_RESTORE_ROW};
    struct sc_digest digest;
    event.u.restore.seq = seq;
    event.u.restore.fact = fact;
    if (sc_core_fact_plan(fact, &digest)) {
        struct sc_error err = SC_ERROR_INIT;
        if (sc_storage_load_plan(loop->storage, &digest, &event.u.restore.plan, &err) != SC_OK)
            sc_log(SC_LOG_WARN, "part=loop ignoring a run whose plan cannot be had: %s", err.message);
    }
    sc_loop_feed(loop, &event);
}

// The numbers of facts are those of attempts, too. Where the disk was lost an agent may still speak of an attempt of that earlier
// life, and its report must fit none of this one's: so a new journal begins to count anywhere.
static enum sc_rc begin_anew(struct sc_loop *loop, uint64_t *ret_last_seq, struct sc_error *err)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return sc_error_set(err, SC_IO, "no random bytes");
    *ret_last_seq = random >> 16; // leaves room to count on, and is exact as a number in JSON
    sc_journal_begin_at(loop->journal, *ret_last_seq);
    return SC_OK;
}

static enum sc_rc restore(struct sc_loop *loop, struct sc_error *err)
{
    struct restoring restoring = {loop};
    uint64_t last_seq;
    loop->durable_seq = UINT64_MAX; // what it is restored from is durable
    enum sc_rc rc = sc_journal_restore(loop->journal, restore_row, &restoring, &last_seq, err);
    if (rc == SC_OK && last_seq == 0)
        rc = begin_anew(loop, &last_seq, err);
    if (rc == SC_OK && loop->config.name)
        rc = sc_loop_take_up(loop, &last_seq, err);
    if (rc != SC_OK)
        return rc;
    loop->durable_seq = last_seq;
    struct sc_event event = {.kind = SC_EVENT_RESTORE_END};
    event.u.restore.seq = last_seq;
    sc_loop_feed(loop, &event);
    return SC_OK;
}

static enum sc_rc bind_sockets(struct sc_loop *loop, struct sc_error *err)
{
    enum sc_rc rc = sc_bus_bind(loop->config.client, &loop->clients_bus, err);
    if (rc == SC_OK)
        rc = sc_bus_bind(loop->config.agent, &loop->agents_bus, err);
    // The tether last: a client that reaches it finds the others there.
    return rc == SC_OK ? sc_tether_listen(loop->config.tether, &loop->tether_fd, err) : rc;
}

static enum sc_rc catch_signals(struct sc_loop *loop, struct sc_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return loop->signal_fd < 0 ? sc_error_errno(err, errno, "make a signalfd") : SC_OK;
}

static void leave(struct sc_loop *loop)
{
    unlink(loop->config.tether); // who comes now starts another one
    sc_log(SC_LOG_INFO, "part=loop leaving commits=%llu cpu_ms=%.0f",
           (unsigned long long)sc_journal_commits(loop->journal), sc_clock_cpu_s() * 1000);
    if (!loop->stopping && loop->rc == SC_OK)
        sc_loop_drain_agents(loop);
    sc_bus_close(loop->clients_bus);
    sc_bus_close(loop->agents_bus);
    loop->clients_bus = loop->agents_bus = NULL;
    unlink(loop->config.client + strlen("ipc://"));
    unlink(loop->config.agent + strlen("ipc://"));
}

enum sc_rc sc_loop_run(struct sc_loop *loop, struct sc_error *err)
{
    loop->real_ms = loop->started_ms = sc_clock_mono_ms();
    take_time(loop, 0);
    enum sc_rc rc = catch_signals(loop, err);
    if (rc == SC_OK)
        rc = restore(loop, err);
    if (rc == SC_OK)
        sc_journal_start(loop->journal, sc_mailbox_fd(loop->answers));
    if (rc == SC_OK)
        rc = bind_sockets(loop, err);
    if (rc != SC_OK)
        return rc;
    sc_storage_start(loop->storage);
    sc_queries_start(loop->queries);
    sc_log(SC_LOG_INFO, "part=loop ready after_ms=%lld runs=%u",
           (long long)(sc_clock_mono_ms() - loop->started_ms), sc_core_open_runs(loop->core));
    rc = run_turns(loop, err);
    leave(loop);
    return rc;
}
