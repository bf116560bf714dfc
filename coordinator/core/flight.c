#include "coordinator/core/flight.h"

#include "coordinator/core/attempt.h"
#include "coordinator/core/effects.h"
#include "coordinator/core/input.h"
#include "coordinator/core/need.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/tables.h"
#include "coordinator/core/watch.h"

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
    // What was withdrawn may have been withdrawn because it is gone, whatever its agent remembers of having put it.
    flight->force_upload = step->lost || step->reason == SC_REASON_VOIDED;
    flight->refresh = overrules(step);
    flight->unrecorded = step->reason == SC_REASON_DISABLED;
    flight->command = input_command_digest(step);
}

static bool is_own_restored(const struct flight *flight, const struct step *step)
{
    return flight->restored && sc_slice_eq(flight->made_by_run, step->run->id);
}

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
    if (!step->again) {
        watch_tell_verdict(core, step, 0);
        watch_joined(core, flight, step);
    }
    if (flight->state == FLIGHT_SETTLED && flight->restored && !fits_plan(step_plan(step), flight->result)) {
        flight->state =
            FLIGHT_QUEUED; // a report that came before its step did, and does not fit it: made anew
        flight->result = NULL;
        flight_queue(core, flight);
    } else if (flight->state == FLIGHT_SETTLED && !step->again) {
        flight_settle(core, flight, 0);
        if (flight->unrecorded)
            flight_finish(core, flight);
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

uint64_t flight_journal_grant(struct sc_core *core, const struct flight *flight, uint64_t attempt,
                              struct sc_slice agent, bool lazy)
{
    const struct step *owner = flight->waiters;
    struct sc_fact fact = {
        .kind = SC_FACT_GRANT,
        .attempt = attempt,
        .run = owner->run->id,
        .group = owner->group,
        .instance = owner->instance,
        .key = flight->key,
        .agent = agent,
        .number = flight->tries,
    };
    return core_journal(core, &fact, lazy);
}

void flight_detach(struct sc_core *core, struct step *step)
{
    struct flight *flight = step->flight;
    if (!flight)
        return;
    bool owned = flight->waiters == step;
    flight_remove_waiter(flight, step);
    if (owned && flight->waiters && flight->attempt) // a restart asks whether its owner's run is open
        flight_journal_grant(core, flight, flight->attempt->id, flight->attempt->agent_name, true);
    if (flight->waiters || flight->state == FLIGHT_SETTLED || flight->state == FLIGHT_CHECKING)
        return;
    core_trace(core, "flight %llu: nobody waits for it any more", (unsigned long long)flight->number);
    if (flight->attempt) {
        struct attempt *attempt = flight->attempt;
        flight->attempt = NULL;
        attempt->flight = NULL;
        attempt_revoke(core, attempt, step->run);
    }
    flight_move(core, flight, FLIGHT_ABORTED);
    flight_free(core, flight);
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
            flight_remember_work(step, flight, result);
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
    effect->u.write_record.stored_at = result->stored_at;
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
            run_store_failed(run, event->rc, event->message);
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
        flight_finish(core, flight);
    }
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

// Then its agent looked at less than a reader's key may hold.
static bool ignores_environment(const struct sc_plan_step *plan_step)
{
    for (uint32_t i = 0; i < plan_step->ignored.count; i++)
        if (sc_slice_starts(plan_step->ignored.items[i], "environment"))
            return true;
    return false;
}

bool flight_checks_environment(const struct flight *flight)
{
    return flight->need && !flight->need->any && !flight->unrecorded;
}

bool flight_is_too_late(const struct sc_core *core, const struct sc_result *result)
{
    return core->config.record_within_ms && result->outcome == SC_OUTCOME_OK &&
           core->wall_ms - result->stored_at > core->config.record_within_ms;
}

// What was reported, with its times by our clock, or the failure that takes its place.
static struct sc_result judge_report(const struct sc_core *core, const struct flight *flight,
                                     const struct sc_msg_reported *reported)
{
    const struct step *owner = flight->waiters;
    uint64_t stored_ms = reported->stored_ms < INT64_MAX / 2 ? reported->stored_ms : INT64_MAX / 2;
    struct sc_result result = reported->result;
    result.ended_at = ended_by_our_clock(core, &reported->result);
    result.stored_at = core->wall_ms - (int64_t)stored_ms;
    if (result.outcome == SC_OUTCOME_OK && owner && !fits_plan(step_plan(owner), &result))
        return (struct sc_result){
            .outcome = SC_OUTCOME_INTERNAL,
            .message =
                sc_slice_str("the agent reported other outputs than it was asked for, or in another form; "
                             "update it to this coordinator's version")};
    if (flight_is_too_late(core, &result))
        return (struct sc_result){
            .outcome = SC_OUTCOME_STORE,
            .message =
                sc_slice_str("the report came so long after the outputs were stored that they may have been "
                             "collected; they are made again")};
    return result;
}

void flight_reported(struct sc_core *core, struct attempt *attempt, const struct sc_msg_reported *reported)
{
    struct flight *flight = attempt->flight;
    if (!flight) { // revoked, and it was faster
        attempt_move(core, attempt, ATTEMPT_REPORTED);
        attempt_release(core, attempt);
        return;
    }
    const struct step *owner = flight->waiters;
    const struct sc_result judged = judge_report(core, flight, reported), *result = &judged;
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
    core->epoch++; // what was asked before tells nothing of what it may have changed
    if (result->outcome == SC_OUTCOME_OK) {
        if (flight_checks_environment(flight) && owner && !ignores_environment(step_plan(owner)))
            need_held(core, flight->need, attempt->agent_name, flight->environment);
        flight_move(core, flight, FLIGHT_SETTLED);
        flight_settle(core, flight, seq);
        flight->attempt = NULL;
        attempt->flight = NULL;
        if (flight->unrecorded && owner)
            flight_finish(core, flight);
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
        flight_environment_changed(core, flight, attempt, result);
        return;
    }
    flight_fail_attempt(core, flight, attempt, result, seq);
    attempt_release(core, attempt);
}
