#include "agent/shell/agent_state.h"

#include "agent/shell/machine.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/log.h"

#include <stdatomic.h>
#include <unistd.h>
#include <utlist.h>

enum {
    LOG_CHUNK_BYTES = 64 << 10,
    LOG_BYTES_PER_MS = 32 << 10,
    LOG_BURST_BYTES = 1 << 20,
    LOG_WAIT_MS = 10,
    READING_MS = 1000,   // between two words on how far a source is
    SLOW_LOOK_MS = 3000, // then its watchers are told
};

static void send(struct sc_agent *agent, const struct sc_message *message)
{
    struct sc_error err = SC_ERROR_INIT;
    if (sc_bus_send(agent->bus, NULL, message, &err) != SC_OK) // reports and hellos are repeated by the core
        sc_log(SC_LOG_WARN, "ignoring that a %s was not sent: %s", sc_message_type_name(message->type),
               err.message);
}

static void say_hello(struct sc_agent *agent, const struct sc_agent_effect *effect)
{
    const struct sc_agent_config *c = agent->config;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_class class_;
    struct sc_message message = {.type = SC_MESSAGE_HELLO};
    struct sc_msg_hello *hello = &message.body.hello;
    hello->agent = c->name;
    hello->incarnation = agent->incarnation;
    hello->coordinator = sc_agent_core_coordinator(agent->core);
    hello->held.items = effect->held.items;
    hello->held.count = effect->held.count;
    if (sc_prober_remembered(agent->prober, c->path, false, &arena, &class_, NULL) == SC_OK) {
        hello->classes.items = &class_;
        hello->classes.count = 1;
    }
    hello->path = c->path;
    hello->cpus_milli = c->cpus_milli;
    hello->gpus = c->gpus;
    hello->memory_bytes = c->memory_bytes;
    hello->disk_bytes = sc_machine_disk_bytes(agent->place.root);
    hello->labels.items = c->labels.items;
    hello->labels.count = c->labels.count;
    hello->assurance = agent->worker_config.sandbox;
    hello->software = sc_slice_str(SC_RELEASE);
    hello->pid = (uint64_t)getpid();
    agent->requests_from = agent->requests_told;
    send(agent, &message);
}

static bool has_untold(const struct sc_agent_task *task)
{
    const struct sc_log_stream *s = task->logs.streams;
    return task->logs.listened && (s[0].told < s[0].bytes || s[1].told < s[1].bytes);
}

// Since the hello: a coordinator that starts again has kept what it was told before.
static struct sc_requests requests(struct sc_agent *agent)
{
    const struct sc_store_requests *from = &agent->requests_from;
    agent->requests_told = sc_store_requests();
    return (struct sc_requests){agent->requests_told.put - from->put, agent->requests_told.get - from->get,
                                agent->requests_told.delete_ - from->delete_};
}

// The monotonic clock stands still while the machine sleeps, the other one may be set back: the larger counts.
static uint64_t stored_ms(const struct sc_agent_task *task)
{
    if (!task->taken_ms)
        return 0;
    int64_t mono_ms = sc_clock_mono_ms() - task->taken_ms, wall_ms = sc_clock_wall_ms() - task->taken_wall_ms;
    return (uint64_t)(mono_ms > wall_ms ? mono_ms : wall_ms);
}

static void send_reported(struct sc_agent *agent, struct sc_agent_task *task)
{
    struct sc_message message = {.type = SC_MESSAGE_REPORTED,
                                 .body.reported = {.attempt = task->attempt,
                                                   .requests = requests(agent),
                                                   .stored_ms = stored_ms(task),
                                                   .result = task->result}};
    send(agent, &message);
}

static void send_ended(struct sc_agent *agent, uint64_t attempt)
{
    struct sc_message message = {.type = SC_MESSAGE_ENDED, .body.ended = {.attempt = attempt}};
    send(agent, &message);
}

// ---- listeners

void sc_agent_forget_listener(struct sc_agent *agent, struct sc_agent_task *task)
{
    if (!task->logs.listened)
        return;
    task->logs.listened = false;
    agent->listened--;
    if (task->say_reported)
        send_reported(agent, task);
    task->say_reported = false;
}

static void tell(struct sc_agent *agent, struct sc_agent_task *task)
{
    for (int i = 0; i < 2; i++) {
        while (agent->tokens > 0 && task->logs.streams[i].told < task->logs.streams[i].bytes) {
            SC_AUTO_ARENA struct sc_arena arena;
            sc_arena_init(&arena);
            struct sc_message message = {.type = SC_MESSAGE_LOG, .body.log.stream = (enum sc_stream)i};
            struct sc_msg_log *log = &message.body.log;
            sc_attempt_logs_next(&task->logs, LOG_CHUNK_BYTES, &arena, log);
            agent->tokens -= (int64_t)log->text.len;
            if (log->text.len)
                send(agent, &message);
        }
    }
    if (!has_untold(task) && task->say_reported)
        sc_agent_forget_listener(agent, task);
}

void sc_agent_listen(struct sc_agent *agent, const struct sc_msg_listen *listen)
{
    struct sc_agent_task *task = sc_agent_find(agent, listen->attempt);
    if (!task)
        return;
    if (listen->stop) {
        sc_agent_forget_listener(agent, task);
        return;
    }
    sc_attempt_logs_tell_again(&task->logs);
    if (task->logs.listened)
        return;
    task->logs.listened = true;
    agent->listened++;
}

int sc_agent_tell_listeners(struct sc_agent *agent)
{
    if (!agent->listened)
        return -1;
    int64_t now = sc_clock_mono_ms();
    agent->tokens += (now - agent->tokens_ms) * LOG_BYTES_PER_MS;
    agent->tokens_ms = now;
    if (agent->tokens > LOG_BURST_BYTES)
        agent->tokens = LOG_BURST_BYTES;
    bool more = false;
    struct sc_agent_task *task, *next;
    HASH_ITER (hh, agent->tasks, task, next) {
        if (!task->logs.listened)
            continue;
        tell(agent, task);
        more = more || has_untold(task);
    }
    return more ? LOG_WAIT_MS : -1;
}

// ---- the core's words

// What it is really at: it may wait for a process that tells of the environment.
static enum sc_phase phase_of(struct sc_agent *agent, struct sc_agent_task *task, enum sc_phase phase)
{
    int64_t since = phase == SC_PHASE_RUNNING ? 0 : sc_workers_looking_since(agent->workers, &task->job);
    if (!since)
        return phase;
    if (phase == SC_PHASE_FETCHING)
        sc_agent_later(agent, SC_AGENT_LOOKING, task->attempt);
    return sc_clock_mono_ms() - since < SLOW_LOOK_MS ? phase : SC_PHASE_CHECKING;
}

void sc_agent_speak(struct sc_agent *agent, const struct sc_agent_effect *effect)
{
    struct sc_message message = {0};
    struct sc_agent_task *task = effect->attempt ? sc_agent_find(agent, effect->attempt) : NULL;
    switch (effect->kind) {
    case SC_AGENT_SAY_HELLO:
        say_hello(agent, effect);
        return;
    case SC_AGENT_SAY_RENEW:
        message.type = SC_MESSAGE_RENEW;
        message.body.renew.held.items = effect->held.items;
        message.body.renew.held.count = effect->held.count;
        message.body.renew.requests = requests(agent);
        break;
    case SC_AGENT_SAY_ACCEPTED:
        message.type = SC_MESSAGE_ACCEPTED;
        message.body.accepted.attempts.items = effect->held.items;
        message.body.accepted.attempts.count = effect->held.count;
        break;
    case SC_AGENT_SAY_REJECTED:
        message.type = SC_MESSAGE_REJECTED;
        message.body.rejected = (struct sc_msg_rejected){effect->attempt, effect->text};
        break;
    case SC_AGENT_SAY_PROGRESS:
        message.type = SC_MESSAGE_PROGRESS;
        message.body.progress = (struct sc_msg_progress){.attempt = effect->attempt,
                                                         .phase = phase_of(agent, task, effect->phase)};
        break;
    case SC_AGENT_SAY_REPORTED: // a listener hears all of the log first
        SC_ASSERT(task != NULL);
        if (has_untold(task))
            task->say_reported = true;
        else
            send_reported(agent, task);
        return;
    case SC_AGENT_SAY_ENDED: // of a log that is cut short, a listener gets what goes at once
        if (task && has_untold(task)) {
            agent->tokens += LOG_BURST_BYTES;
            tell(agent, task);
        }
        send_ended(agent, effect->attempt);
        return;
    case SC_AGENT_LEAVE:
        message.type = SC_MESSAGE_GOODBYE;
        message.body.goodbye.reason = effect->text;
        message.body.goodbye.requests = requests(agent);
        break;
    case SC_AGENT_PREPARE:
    case SC_AGENT_LAUNCH:
    case SC_AGENT_GO:
    case SC_AGENT_SIGNAL:
    case SC_AGENT_TAKE:
    case SC_AGENT_CLEAN:
    case SC_AGENT_GIVE_UP:
    case SC_AGENT_RELEASE:
    case SC_AGENT_TRACE:
        SC_ASSERT(false);
    }
    send(agent, &message);
}

int sc_agent_tell_reading(struct sc_agent *agent)
{
    const struct sc_probe_job *job;
    int64_t now = sc_clock_mono_ms();
    if (!agent->asked)
        return -1;
    if (now < agent->tell_reading_ms)
        return (int)(agent->tell_reading_ms - now);
    agent->tell_reading_ms = now + READING_MS;
    DL_FOREACH (agent->asked, job) {
        struct sc_message message = {.type = SC_MESSAGE_PROGRESS};
        struct sc_msg_progress *progress = &message.body.progress;
        *progress = (struct sc_msg_progress){.probe = job->probe->probe,
                                             .phase = SC_PHASE_FETCHING,
                                             .done_bytes = atomic_load(&job->shared_done_bytes),
                                             .total_bytes = atomic_load(&job->shared_total_bytes)};
        if (progress->total_bytes && now - job->since_ms >= READING_MS)
            send(agent, &message);
    }
    return READING_MS;
}

void sc_agent_say_probed(struct sc_agent *agent, const struct sc_msg_probed *probed)
{
    struct sc_message message = {.type = SC_MESSAGE_PROBED, .body.probed = *probed};
    send(agent, &message);
}
