// Flights: one for a key, whoever wants it. Attempts belong to flights; joiners never inherit a failure.
#include "coordinator/core/state.h"

#include "base/limits.h"
#include "base/memory.h"

// What an artifact says of itself, as far as it can be told without the store.
static bool artifact_is_sound(const struct sc_artifact *artifact, bool dir, uint64_t inline_most)
{
    if (sc_digest_is_zero(&artifact->digest) || (artifact->kind == SC_ARTIFACT_DIR) != dir ||
        artifact->kind > SC_ARTIFACT_DIR)
        return false;
    if (!artifact->has_inline)
        return artifact->inline_bytes.len == 0;
    struct sc_digest digest = sc_digest_of(artifact->inline_bytes);
    return !dir && artifact->inline_bytes.len == artifact->bytes && artifact->bytes <= inline_most &&
           sc_digest_eq(&digest, &artifact->digest);
}

// A log that was written to; or nothing at all.
static bool log_is_sound(const struct sc_artifact *log)
{
    if (!log->has_inline && sc_digest_is_zero(&log->digest))
        return log->inline_bytes.len == 0;
    return artifact_is_sound(log, false, SC_LIMIT_LOG_INLINE_BYTES);
}

// An agent that reports other names than it was given, or what no record can hold, is broken: nothing of it is believed.
static bool fits_plan(const struct sc_plan_step *plan_step, const struct sc_result *result)
{
    if (result->outputs.count != plan_step->outputs.count || result->values.count != plan_step->values.count)
        return false;
    for (uint32_t i = 0; i < plan_step->outputs.count; i++) {
        const struct sc_plan_output *output = &plan_step->outputs.items[i];
        const struct sc_artifact *artifact = &result->outputs.items[i].artifact;
        struct sc_slice ext = output->dir ? sc_slice(NULL, 0) : sc_artifact_ext(output->path);
        if (!sc_slice_eq(result->outputs.items[i].name, output->name) ||
            !artifact_is_sound(artifact, output->dir, SC_LIMIT_INLINE_BYTES) ||
            !sc_slice_eq(artifact->ext, ext)) // in the keys and paths of its readers
            return false;
    }
    for (uint32_t i = 0; i < plan_step->values.count; i++)
        if (!sc_slice_eq(result->values.items[i].name, plan_step->values.items[i].name))
            return false;
    return log_is_sound(&result->stdout_) && log_is_sound(&result->stderr_);
}

static bool overrules(const struct step *step)
{
    return step->reason == SC_REASON_REFRESH || step->reason == SC_REASON_FORCED ||
           step->reason == SC_REASON_OBJECTS_LOST;
}

// What the flight needs to run and to be recorded; core->key holds the step's key.
static void equip(struct sc_core *core, struct flight *flight, struct step *step)
{
    flight->environment = step->environment;
    flight->need = step_group(step)->need;
    flight->key_encoding = sc_arena_copy(&flight->arena, sc_buf_slice(&core->key.encoding));
    flight->generation = step->generation;
    flight->force_upload = step->lost;
    flight->refresh = overrules(step);
    flight->unrecorded = step->reason == SC_REASON_DISABLED;
    flight->command = input_command_digest(step);
}

static bool is_own_restored(const struct flight *flight, const struct step *step)
{
    return flight->restored && sc_slice_eq(flight->made_by_run, step->run->id);
}

static void finish(struct sc_core *core, struct flight *flight);

static void join(struct sc_core *core, struct flight *flight, struct step *step)
{
    bool own = is_own_restored(flight, step);
    step_move(core, step, STEP_WAITING);
    if (!own && !step->again) {
        step->verdict = SC_VERDICT_JOIN;
        step->reason = SC_REASON_IN_FLIGHT;
        step_info(step)->made_by_run = sc_arena_copy(&step->run->arena, flight->made_by_run);
    }
    step->own_work = own;
    if (flight->restored && !flight->key_encoding.len)
        equip(core, flight, step);
    if (own) {
        step->attempts = (uint16_t)flight->failures;
        step->number = flight->tries;
    }
    flight_add_waiter(flight, step);
    if (!step->again)
        watch_tell_verdict(core, step, 0);
    if (flight->state == FLIGHT_SETTLED && flight->restored && !fits_plan(step_plan(step), flight->result)) {
        flight->state =
            FLIGHT_QUEUED; // a report that came before its step did, and does not fit it: made anew
        flight->result = NULL;
        flight_queue(core, flight);
    } else if (flight->state == FLIGHT_SETTLED && !step->again) {
        flight_settle(core, flight, 0);
        if (flight->unrecorded)
            finish(core, flight);
    } else if (flight->state == FLIGHT_QUEUED && !flight->queued && !flight->attempt)
        flight_queue(core, flight);
}

void flight_join_or_start(struct sc_core *core, struct step *step)
{
    struct flight *flight = flight_find(core, &step->key);
    if (flight) {
        bool too_old = overrules(step) && !is_own_restored(flight, step) &&
                       !(flight->refresh && flight->number >= step->run->first_flight);
        step->again = too_old || (flight->state == FLIGHT_SETTLED && step->lost);
        join(core, flight, step);
        return;
    }
    step_move(core, step, STEP_WAITING);
    step->own_work = true;
    flight = flight_new(core, &step->key);
    flight->state = FLIGHT_QUEUED;
    flight->made_by_run = sc_arena_copy(&flight->arena, step->run->id);
    flight->made_by_step = run_step_name(core, step, &flight->arena);
    equip(core, flight, step);
    flight_add_waiter(flight, step);
    watch_tell_verdict(core, step, 0);
    flight_queue(core, flight);
}

void flight_detach(struct sc_core *core, struct step *step)
{
    struct flight *flight = step->flight;
    if (!flight)
        return;
    flight_remove_waiter(flight, step);
    if (flight->waiters || flight->state == FLIGHT_SETTLED || flight->state == FLIGHT_CHECKING)
        return;
    core_trace(core, "flight %llu: nobody waits for it any more", (unsigned long long)flight->number);
    if (flight->attempt) {
        struct attempt *attempt = flight->attempt;
        flight->attempt = NULL;
        attempt->flight = NULL;
        attempt_revoke(core, attempt);
    }
    flight_move(core, flight, FLIGHT_ABORTED);
    flight_free(core, flight);
}

static void remember_work(struct step *step, const struct flight *flight, const struct sc_result *result)
{
    struct step_info *info = step_info(step);
    struct sc_arena *arena = &step->run->arena;
    info->wall_ms = result->wall_ms;
    info->cpu_ms = result->cpu_ms;
    info->max_rss_bytes = result->max_rss_bytes;
    info->exit_code = result->exit_code;
    info->signal = result->signal;
    info->message = sc_arena_copy(arena, result->message);
    info->log_tail = sc_arena_copy(arena, result->log_tail);
    if (flight->attempt)
        info->agent = sc_arena_copy(arena, flight->attempt->agent_name);
}

// Everyone who waits gets the result; who waits only for it to be over looks again.
void flight_settle(struct sc_core *core, struct flight *flight, uint64_t after_seq)
{
    const struct sc_result *result = flight->result;
    struct step *step, *next, *first = NULL;
    bool write = false, owned = flight->record_run != 0;
    DL_FOREACH2 (flight->waiters, step, wait_next) {
        owned |= step->own_work;
        if (!first && !step->again)
            first = step;
    }
    if (!owned && first && !flight->restored)
        first->own_work = true; // who began it was cancelled: the next in line has the record written
    DL_FOREACH_SAFE2 (flight->waiters, step, next, wait_next) {
        if (step->again)
            continue;
        flight_remove_waiter(flight, step);
        if (step->own_work) {
            remember_work(step, flight, result);
            step->run->ran_ms += result->wall_ms;
            step->run->bytes_up += result->bytes_up;
            step->run->bytes_down += result->bytes_down;
            if (!flight->unrecorded && !flight->recorded && !flight->record_run) {
                flight->record_run = step->run->number;
                step->run->unrecorded++;
                write = true;
            }
        } else {
            step->run->saved_ms += result->wall_ms;
        }
        if (write) {
            flight_write_record(core, flight, step, after_seq);
            write = false;
        }
        step->lost = false;
        step_take_result(step, result);
        decision_add(core, step, DECISION_DONE)->after_seq = after_seq;
    }
}

// The message lies in the effects' arena.
static void decide_failed(struct sc_core *core, struct step *step, enum sc_outcome outcome,
                          struct sc_slice message)
{
    struct decision *decision = decision_add(core, step, DECISION_FAILED);
    decision->outcome = outcome;
    decision->message = message;
}

// Frees a flight that is over. Who waits still begins anew: the record is there to be replaced by now, or the key is
// another.
static void finish(struct sc_core *core, struct flight *flight)
{
    struct step *waiters = flight->waiters, *step, *next;
    flight->waiters = NULL;
    DL_FOREACH2 (waiters, step, wait_next)
        step->flight = NULL;
    flight_free(core, flight);
    DL_FOREACH_SAFE2 (waiters, step, next, wait_next) {
        step->wait_prev = step->wait_next = NULL;
        decision_add(core, step, DECISION_AGAIN);
    }
}

void flight_begin_again(struct sc_core *core, struct flight *flight)
{
    SC_ASSERT(!flight->attempt);
    core_trace(core, "flight %llu: no agent has its environment any more",
               (unsigned long long)flight->number);
    flight_move(core, flight, FLIGHT_DEAD);
    finish(core, flight);
}

void flight_environments_gone(struct sc_core *core)
{
    if (!core->need_moved)
        return;
    core->need_moved = false;
    struct flight *flight, *next;
    DL_FOREACH_SAFE (core->flights, flight, next)
        if (flight->need && flight->need->moved && flight->waiters &&
            (flight->state == FLIGHT_QUEUED || flight->state == FLIGHT_BACKOFF) &&
            !need_anyone_has(core, flight->need, flight->environment))
            flight_begin_again(core, flight);
    for (struct need *need = core->needs; need; need = need->hh.next)
        need->moved = false;
}

// The result is nobody's: its key names an environment that it did not, or not all the time, run in.
static void environment_changed(struct sc_core *core, struct flight *flight, struct attempt *attempt,
                                const struct sc_result *result)
{
    if (flight->need)
        need_forget(flight->need, attempt->agent_name);
    flight->attempt = NULL;
    attempt->flight = NULL;
    attempt_release(core, attempt);
    flight_move(core, flight, FLIGHT_DEAD);
    struct step *step, *next;
    DL_FOREACH_SAFE2 (flight->waiters, step, next, wait_next) {
        if (!step->run->told_environment)
            watch_tell_note(core, step->run, SC_SLICE_FMT "; it begins again, as all that is under way does",
                            SC_SLICE_ARG(result->message));
        step->run->told_environment = true;
        if (++step->moves <= SC_LIMIT_ENVIRONMENT_CHANGES)
            continue;
        flight_remove_waiter(flight, step);
        decide_failed(
            core, step, SC_OUTCOME_ENVIRONMENT,
            sc_arena_printf(&core->effects.arena,
                            SC_SLICE_FMT
                            "; that happened %d times in this run: a probe must print the same as long as "
                            "nothing has changed, and packages must not be installed meanwhile",
                            SC_SLICE_ARG(result->message), SC_LIMIT_ENVIRONMENT_CHANGES + 1));
    }
    finish(core, flight);
}

void flight_write_record(struct sc_core *core, struct flight *flight, const struct step *step,
                         uint64_t after_seq)
{
    struct sc_arena *arena = &core->effects.arena;
    const struct sc_result *result = flight->result;
    struct sc_core_record *record = SC_NEW(arena, struct sc_core_record);
    struct sc_key_fields fields = sc_key_fields_for_record(flight->key_encoding, arena);
    *record = (struct sc_core_record){
        .key = flight->key,
        .generation = flight->generation ? flight->generation : 1,
        .fields = {fields.items.items, fields.items.count},
        .outputs = {result->outputs.items, result->outputs.count},
        .values = {result->values.items, result->values.count},
        .stdout_ = result->stdout_,
        .stderr_ = result->stderr_,
        .ended_at = result->ended_at,
        .wall_ms = result->wall_ms,
        .cpu_ms = result->cpu_ms,
        .max_rss_bytes = result->max_rss_bytes,
        .namespace_ = step->run->plan->plan->namespace_,
        .pipeline = step->run->plan->plan->name,
        .step = run_step_name(core, step, arena),
        .run = step->run->id,
        .agent = flight->attempt ? sc_arena_copy(arena, flight->attempt->agent_name) : sc_slice(NULL, 0),
        .attempt = step->number,
    };
    struct request *request;
    struct sc_effect *effect = core_request(core, SC_EFFECT_WRITE_RECORD, REQUEST_RECORD, &request);
    request->flight = flight->key;
    request->run = step->run->number;
    effect->after_seq = after_seq;
    effect->u.write_record.mode = flight->generation ? SC_WRITE_REPLACE : SC_WRITE_IF_ABSENT;
    effect->u.write_record.record = record;
    effect->u.write_record.key_encoding = sc_arena_copy(arena, flight->key_encoding);
    effect->u.write_record.sandbox = result->sandbox;
    effect->u.write_record.network = result->network;
    effect->u.write_record.command = flight->command;
    input_records_from(step, arena, &effect->u.write_record.inputs_from.items,
                       &effect->u.write_record.inputs_from.count);
}

void flight_recorded(struct sc_core *core, struct flight *flight, struct request *request,
                     const struct sc_event *event)
{
    struct run *run = run_by_number(core, request->run);
    if (run) {
        SC_ASSERT(run->unrecorded > 0);
        run->unrecorded--;
        if (event->rc != SC_OK) {
            run->store_error = 1;
            watch_tell_note(core, run, "a result could not be written to the store: " SC_SLICE_FMT,
                            SC_SLICE_ARG(event->message));
        } else if (event->u.recorded.put == SC_RECORDED_LOST) {
            watch_tell_note(core, run,
                            "another coordinator has a different result under the same key: the step is not "
                            "deterministic; this run keeps its own");
        }
    }
    if (flight && flight->state == FLIGHT_SETTLED) {
        flight->recorded = true;
        finish(core, flight);
    }
}

static uint32_t retry_bit(enum sc_outcome outcome)
{
    switch (outcome) {
    case SC_OUTCOME_AGENT_LOST:
        return SC_RETRY_AGENT_LOST;
    case SC_OUTCOME_OUT_OF_MEMORY:
        return SC_RETRY_OUT_OF_MEMORY;
    case SC_OUTCOME_EXIT:
        return SC_RETRY_EXIT;
    case SC_OUTCOME_SIGNAL:
        return SC_RETRY_SIGNAL;
    case SC_OUTCOME_TIMEOUT:
        return SC_RETRY_TIMEOUT;
    case SC_OUTCOME_OUTPUT_MISSING:
        return SC_RETRY_OUTPUT_MISSING;
    case SC_OUTCOME_DISK_FULL:
        return SC_RETRY_DISK_FULL;
    case SC_OUTCOME_INPUT_LOST:
        return SC_RETRY_INPUT_LOST;
    case SC_OUTCOME_STORE:
        return SC_RETRY_STORE;
    case SC_OUTCOME_OK:
    case SC_OUTCOME_OUTPUT_NOT_ALLOWED:
    case SC_OUTCOME_START:
    case SC_OUTCOME_VALUE:
    case SC_OUTCOME_CANCELLED:
    case SC_OUTCOME_NOT_CACHED:
    case SC_OUTCOME_UPSTREAM:
    case SC_OUTCOME_PROBE:
    case SC_OUTCOME_ENVIRONMENT:
    case SC_OUTCOME_INTERNAL:
    case SC_OUTCOME_COUNT:
        return 0;
    }
    return 0;
}

// The backoff of a step's n-th retry: doubling, at most an hour, and up to a fifth more so that retries spread.
static int64_t backoff(struct sc_core *core, const struct sc_plan_step *plan_step, uint32_t failures)
{
    int64_t ms = plan_step->retry_backoff_ms;
    for (uint32_t i = 1; i < failures && ms < 3600000; i++)
        ms *= 2;
    if (ms > 3600000)
        ms = 3600000;
    return ms + (int64_t)sc_random_below(&core->random, (uint64_t)(ms / 5 + 1));
}

static void tell_retry(struct sc_core *core, struct step *step, enum sc_outcome outcome, int64_t wait_ms,
                       uint64_t after_seq)
{
    struct sc_event_body event = {
        .type = SC_EV_STEP_RETRY,
        .at = core->wall_ms,
        .run = step->run->id,
        .step = run_step_name(core, step, &core->effects.arena),
        .attempt = step->number,
        .outcome = outcome,
        .next_in_ms = (uint64_t)wait_ms,
        .text = step->info ? step->info->message : sc_slice(NULL, 0),
        .log_tail = step->info ? step->info->log_tail : sc_slice(NULL, 0),
    };
    watch_tell(core, step->run, step, &event, after_seq);
}

void flight_fail(struct sc_core *core, struct flight *flight, const struct sc_result *result,
                 uint64_t after_seq)
{
    struct step *owner = flight->waiters;
    while (owner && owner->again)
        owner = owner->wait_next;
    flight->failures++;
    if (!owner) { // restored, and its step has not come yet; or only steps are left that want a younger one
        if (flight->waiters) {
            finish(core, flight);
            return;
        }
        flight->state = FLIGHT_QUEUED;
        return;
    }
    remember_work(owner, flight, result);
    const struct sc_plan_step *plan_step = step_plan(owner);
    owner->attempts++;
    if (plan_step->retry_on & retry_bit(result->outcome) && owner->attempts < plan_step->retry_attempts) {
        int64_t wait_ms = backoff(core, plan_step, owner->attempts);
        flight_move(core, flight, FLIGHT_BACKOFF);
        flight->backoff_ms = core->mono_ms + wait_ms;
        tell_retry(core, owner, result->outcome, wait_ms, after_seq);
        return;
    }
    flight_move(core, flight, FLIGHT_DEAD);
    struct step *failed = owner;
    flight_remove_waiter(flight, failed);
    finish(core, flight); // the others queue again under their own limits
    decide_failed(core, failed, result->outcome, result->message);
}

static const struct sc_result *copy_result(struct sc_arena *arena, const struct sc_result *from)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_encode(&sc_schema_result, from, &buf);
    struct sc_slice kept = sc_arena_copy(arena, sc_buf_slice(&buf));
    struct sc_result *to = SC_NEW(arena, struct sc_result);
    SC_ASSERT(sc_decode(&sc_schema_result, kept, SC_DECODE_LENIENT, arena, to, NULL) == SC_OK);
    return to;
}

void flight_started(struct sc_core *core, struct flight *flight)
{
    struct step *step;
    DL_FOREACH2 (flight->waiters, step, wait_next) {
        if (step->started || step->again)
            continue;
        step->started = true;
        step->number = flight->tries;
        watch_tell_started(core, step);
    }
}

// An agent's clock may be off. A result that seems to end after now ended now: else it would seem younger than it is, and
// be served after it has expired.
static int64_t ended_by_our_clock(const struct sc_core *core, const struct sc_result *result)
{
    int64_t ended_at = result->ended_at < core->wall_ms ? result->ended_at : core->wall_ms;
    return ended_at > 0 ? ended_at : 0;
}

// Its agent could not have an input: which are really gone?
static void look_for_inputs(struct sc_core *core, struct flight *flight)
{
    struct input_artifact *inputs;
    uint32_t count = input_artifacts(flight->waiters, &core->effects.arena, &inputs);
    core_trace(core, "flight %llu: an input could not be had; looking which are gone",
               (unsigned long long)flight->number);
    struct request *request;
    struct sc_effect *effect = core_request(core, SC_EFFECT_PRESENCE, REQUEST_PRESENCE, &request);
    struct sc_artifact *items = SC_NEW_ARRAY(&core->effects.arena, count, struct sc_artifact);
    request->flight = flight->key;
    request->objects = sc_calloc(count, sizeof *request->objects);
    request->object_count = count;
    for (uint32_t i = 0; i < count; i++) {
        items[i] = *inputs[i].artifact;
        request->objects[i] = items[i].digest;
    }
    effect->u.presence.items = items;
    effect->u.presence.count = count;
}

void flight_reported(struct sc_core *core, struct attempt *attempt, const struct sc_result *result)
{
    struct flight *flight = attempt->flight;
    if (!flight) { // revoked, and it was faster
        attempt_move(core, attempt, ATTEMPT_REPORTED);
        attempt_release(core, attempt);
        return;
    }
    struct sc_result broken = {.outcome = SC_OUTCOME_INTERNAL,
                               .message = sc_slice_str("the agent reported other outputs than it was asked "
                                                       "for, or in another form; update it to this "
                                                       "coordinator's version")};
    struct step *owner = flight->waiters;
    struct sc_result timed = *result;
    timed.ended_at = ended_by_our_clock(core, result);
    result =
        result->outcome == SC_OUTCOME_OK && owner && !fits_plan(step_plan(owner), result) ? &broken : &timed;
    struct sc_fact fact = {
        .kind = SC_FACT_REPORT,
        .attempt = attempt->id,
        .key = flight->key,
        .run = owner ? owner->run->id : flight->made_by_run,
        .agent = attempt->agent_name,
        .number = flight->tries,
        .result = *result,
    };
    if (owner) {
        fact.group = owner->group;
        fact.instance = owner->instance;
    }
    uint64_t seq = core_journal(core, &fact, agent_is_saturated(attempt->agent));
    flight_started(core, flight);
    if (flight->state == FLIGHT_ASSIGNED)
        flight_move(core, flight, FLIGHT_RUNNING);
    attempt_move(core, attempt, ATTEMPT_REPORTED);
    flight->result = copy_result(&flight->arena, result);
    struct step *step;
    DL_FOREACH2 (flight->waiters, step, wait_next)
        step->started = false;
    if (flight->state == FLIGHT_RUNNING)
        flight_move(core, flight, FLIGHT_CHECKING);
    if (result->outcome == SC_OUTCOME_OK) {
        flight_move(core, flight, FLIGHT_SETTLED);
        flight_settle(core, flight, seq);
        flight->attempt = NULL;
        attempt->flight = NULL;
        if (flight->unrecorded && owner)
            finish(core, flight);
        attempt_release(core, attempt);
        return;
    }
    if (result->outcome == SC_OUTCOME_INPUT_LOST && owner) {
        flight->attempt = NULL;
        attempt->flight = NULL;
        attempt_release(core, attempt);
        look_for_inputs(core, flight);
        return;
    }
    if (result->outcome == SC_OUTCOME_ENVIRONMENT) {
        environment_changed(core, flight, attempt, result);
        return;
    }
    flight_fail_attempt(core, flight, attempt, result, seq);
    attempt_release(core, attempt);
}

void flight_fail_attempt(struct sc_core *core, struct flight *flight, struct attempt *attempt,
                         const struct sc_result *result, uint64_t after_seq)
{
    struct sc_result *copy = SC_NEW(&core->effects.arena, struct sc_result); // the flight's memory may go
    *copy = *result;
    copy->message = sc_arena_copy(&core->effects.arena, result->message);
    copy->log_tail = sc_arena_copy(&core->effects.arena, result->log_tail);
    struct step *owner = flight->waiters;
    if (owner)
        remember_work(owner, flight, copy);
    flight->attempt = NULL;
    attempt->flight = NULL;
    flight_fail(core, flight, copy, after_seq);
}

void flight_attempt_lost(struct sc_core *core, struct attempt *attempt, const char *why)
{
    struct flight *flight = attempt->flight;
    core_trace(core, "attempt %llu: lost: %s", (unsigned long long)attempt->id, why);
    attempt_move(core, attempt, ATTEMPT_LOST);
    if (!flight)
        return;
    struct sc_fact fact = {.kind = SC_FACT_LOST, .attempt = attempt->id, .key = flight->key};
    uint64_t seq = core_journal(core, &fact, false);
    struct step *step;
    DL_FOREACH2 (flight->waiters, step, wait_next)
        step->started = false;
    if (flight->state == FLIGHT_ASSIGNED)
        flight_move(core, flight, FLIGHT_RUNNING);
    struct sc_result result = {
        .outcome = SC_OUTCOME_AGENT_LOST,
        .message = sc_arena_printf(&core->effects.arena, "agent " SC_SLICE_FMT " is lost: %s",
                                   SC_SLICE_ARG(attempt->agent_name), why),
    };
    flight_fail_attempt(core, flight, attempt, &result, seq);
}

void flight_deadlines(struct sc_core *core)
{
    struct flight *flight, *next;
    DL_FOREACH_SAFE (core->flights, flight, next) {
        if (core->backoff_count == 0)
            return;
        if (flight->state == FLIGHT_BACKOFF && flight->backoff_ms <= core->mono_ms) {
            flight_move(core, flight, FLIGHT_QUEUED);
            flight_queue(core, flight);
        }
    }
}

// Called every turn, so it looks only at what can have a deadline: flights in backoff, and the queue's head.
int64_t flight_next_deadline(const struct sc_core *core)
{
    int64_t at = INT64_MAX;
    const struct flight *flight;
    if (core->backoff_count > 0)
        DL_FOREACH (core->flights, flight)
            if (flight->state == FLIGHT_BACKOFF && flight->backoff_ms < at)
                at = flight->backoff_ms;
    uint32_t looked = 0;
    DL_FOREACH2 (core->queue, flight, qnext) {
        if (looked++ >= QUEUE_SCAN_MOST || flight->unplaceable_since_ms == 0)
            break;
        if (flight->unplaceable_since_ms + core->config.agent_wait_ms < at)
            at = flight->unplaceable_since_ms + core->config.agent_wait_ms;
    }
    return at;
}
