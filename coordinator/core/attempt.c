#include "coordinator/core/attempt.h"

#include "coordinator/core/effects.h"
#include "coordinator/core/tables.h"

#include "base/memory.h"

enum { KILL_MS = 1 }; // of grace: none

static const uint16_t moves[ATTEMPT_STATES] = {
    [ATTEMPT_OFFERED] = 1 << ATTEMPT_LIVE | 1 << ATTEMPT_REJECTED | 1 << ATTEMPT_LOST |
                        1 << ATTEMPT_REVOKING | 1 << ATTEMPT_REPORTED,
    [ATTEMPT_LIVE] = 1 << ATTEMPT_REPORTED | 1 << ATTEMPT_LOST | 1 << ATTEMPT_REVOKING,
    [ATTEMPT_REVOKING] = 1 << ATTEMPT_ENDED | 1 << ATTEMPT_LOST | 1 << ATTEMPT_REPORTED,
    [ATTEMPT_LOST] = 1 << ATTEMPT_LIVE | 1 << ATTEMPT_ENDED | 1 << ATTEMPT_REVOKING,
};

// Its run waits no longer for it.
static void ended(struct sc_core *core, struct attempt *attempt)
{
    struct run *run = run_by_number(core, attempt->ending_for);
    if (run) {
        SC_ASSERT(run->ending > 0);
        run->ending--;
    }
    attempt->ending_for = 0;
}

void attempt_move(struct sc_core *core, struct attempt *attempt, enum attempt_state to)
{
    if (attempt->state == to)
        return;
    SC_ASSERT(moves[attempt->state] & 1 << to);
    attempt->state = to;
    if (attempt->ending_for && to != ATTEMPT_REVOKING)
        ended(core, attempt);
}

struct attempt *attempt_find(struct sc_core *core, uint64_t id)
{
    struct attempt *attempt;
    HASH_FIND(hh, core->attempts, &id, sizeof id, attempt);
    return attempt;
}

struct attempt *attempt_new(struct sc_core *core, uint64_t id, struct sc_slice agent_name,
                            const struct sc_plan_step *plan_step)
{
    struct attempt *attempt = sc_calloc(1, sizeof *attempt);
    attempt->id = id;
    attempt->cpus_milli = plan_step->cpus_milli;
    attempt->gpus = plan_step->gpus;
    attempt->memory_bytes = plan_step->memory_bytes;
    sc_arena_init(&attempt->arena);
    attempt->agent_name = sc_arena_copy(&attempt->arena, agent_name);
    HASH_ADD(hh, core->attempts, id, sizeof attempt->id, attempt);
    return attempt;
}

void attempt_charge(struct agent *agent, struct attempt *attempt)
{
    attempt->agent = agent;
    DL_APPEND(agent->attempts, attempt);
    agent->used_cpus_milli += attempt->cpus_milli;
    agent->used_gpus += attempt->gpus;
    agent->used_memory_bytes += attempt->memory_bytes;
    agent->attempt_count++;
}

void attempt_forget_logs(struct attempt *attempt, uint64_t run, uint64_t client)
{
    for (struct log_told **at = &attempt->logs_told, *told; (told = *at);) {
        if (run && (told->run != run || told->client != client)) {
            at = &told->next;
            continue;
        }
        *at = told->next;
        free(told);
    }
}

void attempt_release(struct sc_core *core, struct attempt *attempt)
{
    SC_ASSERT(!attempt->flight);
    struct agent *agent = attempt->agent;
    if (agent) {
        SC_ASSERT(agent->attempt_count > 0 && agent->used_cpus_milli >= attempt->cpus_milli);
        DL_DELETE(agent->attempts, attempt);
        agent->used_cpus_milli -= attempt->cpus_milli;
        agent->used_gpus -= attempt->gpus;
        agent->used_memory_bytes -= attempt->memory_bytes;
        agent->attempt_count--;
    }
    HASH_DEL(core->attempts, attempt);
    attempt_forget_logs(attempt, 0, 0);
    if (attempt->ending_for)
        ended(core, attempt);
    sc_arena_done(&attempt->arena);
    free(attempt);
}

static void send_revoke(struct sc_core *core, struct attempt *attempt, int64_t grace_ms)
{
    struct sc_message *message = core_message(core, SC_MESSAGE_REVOKE);
    uint64_t *ids = SC_NEW(&core->effects.arena, uint64_t);
    *ids = attempt->id;
    message->body.revoke.attempts.items = ids;
    message->body.revoke.attempts.count = 1;
    message->body.revoke.grace_ms = (uint64_t)grace_ms;
    core_send_agent(core, attempt->agent, message, core->last_seq);
}

void attempt_revoke(struct sc_core *core, struct attempt *attempt, struct run *run)
{
    if (attempt->state == ATTEMPT_REVOKING)
        return;
    attempt_move(core, attempt, ATTEMPT_REVOKING);
    if (!attempt->agent)
        return; // it is told when it comes
    attempt->ending_for = run->number;
    run->ending++;
    send_revoke(core, attempt, run->killing ? KILL_MS : core->config.grace_ms);
}

void attempt_kill_for(struct sc_core *core, struct run *run)
{
    run->killing = true;
    struct attempt *attempt, *next;
    HASH_ITER (hh, core->attempts, attempt, next)
        if (attempt->ending_for == run->number && attempt->agent)
            send_revoke(core, attempt, KILL_MS);
}

void attempt_listen(struct sc_core *core, struct attempt *attempt, bool on)
{
    attempt->listening = on;
    if (!attempt->agent)
        return;
    struct sc_message *message = core_message(core, SC_MESSAGE_LISTEN);
    message->body.listen = (struct sc_msg_listen){.attempt = attempt->id, .stop = !on};
    core_send_agent(core, attempt->agent, message, 0);
}

// Whether it has more than it can run at once: it does not wait for the next assignment then.
bool agent_is_saturated(const struct agent *agent)
{
    return agent && agent->used_cpus_milli > agent->cpus_milli;
}

bool agent_has_labels(const struct agent *agent, const struct sc_plan_step *step)
{
    for (uint32_t i = 0; i < step->labels.count; i++) {
        bool found = false;
        for (uint32_t k = 0; k < agent->labels.count && !found; k++)
            found = sc_slice_eq(agent->labels.items[k].name, step->labels.items[i].name) &&
                    sc_slice_eq(agent->labels.items[k].text, step->labels.items[i].value);
        if (!found)
            return false;
    }
    return true;
}

bool agent_suits(const struct agent *agent, const struct sc_plan_step *step)
{
    return agent->number && step->cpus_milli <= agent->cpus_milli && step->gpus <= agent->gpus &&
           (agent->memory_bytes == 0 || step->memory_bytes <= agent->memory_bytes) &&
           agent_has_labels(agent, step);
}

bool agent_any_suits(const struct sc_core *core, const struct sc_plan_step *step)
{
    const struct agent *agent;
    DL_FOREACH (core->agents, agent)
        if (agent_suits(agent, step))
            return true;
    return false;
}

struct sc_slice agent_none_suits(struct sc_core *core, const struct sc_plan_step *step)
{
    const struct agent *agent;
    uint32_t cpus = 0, gpus = 0;
    uint64_t memory = 0;
    DL_FOREACH (core->agents, agent) {
        cpus = agent->cpus_milli > cpus ? agent->cpus_milli : cpus;
        gpus = agent->gpus > gpus ? agent->gpus : gpus;
        memory = agent->memory_bytes > memory ? agent->memory_bytes : memory;
    }
    return sc_arena_printf(&core->effects.arena,
                           "no agent can run it: it asks for %.10g cpus, %llu MiB of memory, %u gpus "
                           "and %u labels; the largest agent has %.10g cpus, "
                           "%llu MiB, %u gpus; lower `resources`, or start a larger agent",
                           step->cpus_milli / 1000.0, (unsigned long long)(step->memory_bytes >> 20),
                           step->gpus, step->labels.count, cpus / 1000.0, (unsigned long long)(memory >> 20),
                           gpus);
}
