// Field tables of the messages between client and coordinator.
#include "proto/message_schema.h"

#include "base/memory.h"

// ---- client to coordinator

#define T struct sc_msg_put
static const struct sc_field put_fields[] = {
    SC_WIRE_MAX("bytes", T, bytes, SC_F_BIN, SC_LIMIT_CHUNK_BYTES),
    SC_WIRE("digest", T, digest, SC_F_DIGEST),
    SC_WIRE("offset", T, offset, SC_F_U64),
    SC_WIRE("total_bytes", T, total_bytes, SC_F_U64),
    SC_WIRE("tree", T, tree, SC_F_BOOL),
};
SC_SCHEMA(sc_schema_msg_put, "put", T, put_fields);
#undef T

#define T struct sc_run_options
static const struct sc_field run_options_fields[] = {
    SC_WIRE("attached", T, attached, SC_F_BOOL),
    SC_WIRE("cached_only", T, cached_only, SC_F_BOOL),
    SC_WIRE("dry", T, dry, SC_F_BOOL),
    SC_WIRE("fail_fast", T, fail_fast, SC_F_BOOL),
    SC_WIRE_LIST("force", T, force, &sc_schema_text, SC_LIMIT_STEP_INSTANCES),
    SC_WIRE("from", T, from, SC_F_TEXT),
    SC_WIRE("no_cache", T, no_cache, SC_F_BOOL),
    SC_WIRE_LIST("only", T, only, &sc_schema_text, SC_LIMIT_STEP_INSTANCES),
    SC_WIRE_LIST("refresh", T, refresh, &sc_schema_text, SC_LIMIT_STEP_INSTANCES),
    SC_WIRE("refresh_all", T, refresh_all, SC_F_BOOL),
};
SC_SCHEMA(sc_schema_run_options, "options", T, run_options_fields);
#undef T

static const struct sc_field submit_fields[] = {
    SC_WIRE("logs", struct sc_msg_submit, logs, SC_F_BOOL),
    SC_WIRE_IN("options", struct sc_msg_submit, options, &sc_schema_run_options),
    SC_WIRE("plan", struct sc_msg_submit, plan, SC_F_DIGEST),
    SC_WIRE_MAX("user", struct sc_msg_submit, user, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("watch", struct sc_msg_submit, watch, SC_F_BOOL),
};
SC_SCHEMA(sc_schema_msg_submit, "submit", struct sc_msg_submit, submit_fields);

static const struct sc_field list_fields[] = {
    SC_WIRE("limit", struct sc_msg_list, limit, SC_F_U32),
    SC_WIRE_MAX("pipeline", struct sc_msg_list, pipeline, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("what", struct sc_msg_list, what, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
};
SC_SCHEMA(sc_schema_msg_list, "list", struct sc_msg_list, list_fields);

static const struct sc_field show_fields[] = {
    SC_WIRE_MAX("run", struct sc_msg_show, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
};
SC_SCHEMA(sc_schema_msg_show, "show", struct sc_msg_show, show_fields);

static const struct sc_field watch_fields[] = {
    SC_WIRE("logs", struct sc_msg_watch, logs, SC_F_BOOL),
    SC_WIRE("own", struct sc_msg_watch, own, SC_F_BOOL),
    SC_WIRE_MAX("run", struct sc_msg_watch, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
};
SC_SCHEMA(sc_schema_msg_watch, "watch", struct sc_msg_watch, watch_fields);

static const struct sc_field logs_fields[] = {
    SC_WIRE("attempt", struct sc_msg_logs, attempt, SC_F_U32),
    SC_WIRE("follow", struct sc_msg_logs, follow, SC_F_BOOL),
    SC_WIRE_MAX("run", struct sc_msg_logs, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("step", struct sc_msg_logs, step, SC_F_TEXT),
};
SC_SCHEMA(sc_schema_msg_logs, "logs", struct sc_msg_logs, logs_fields);

static const struct sc_field cancel_fields[] = {
    SC_WIRE("now", struct sc_msg_cancel, now, SC_F_BOOL),
    SC_WIRE_MAX("run", struct sc_msg_cancel, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
};
SC_SCHEMA(sc_schema_msg_cancel, "cancel", struct sc_msg_cancel, cancel_fields);

static const struct sc_field explain_fields[] = {
    SC_WIRE_MAX("run", struct sc_msg_explain, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("step", struct sc_msg_explain, step, SC_F_TEXT),
};
SC_SCHEMA(sc_schema_msg_explain, "explain", struct sc_msg_explain, explain_fields);

static const struct sc_field cache_fields[] = {
    SC_WIRE_LIST("args", struct sc_msg_cache, args, &sc_schema_text, SC_LIMIT_INPUTS),
    SC_WIRE_MAX("op", struct sc_msg_cache, op, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
};
SC_SCHEMA(sc_schema_msg_cache, "cache", struct sc_msg_cache, cache_fields);

// ---- coordinator to client

static const struct sc_field started_fields[] = {
    SC_WIRE_MAX("run", struct sc_msg_started, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("steps", struct sc_msg_started, steps, SC_F_U64),
};
SC_SCHEMA(sc_schema_msg_started, "started", struct sc_msg_started, started_fields);

static const struct sc_field changed_field_fields[] = {
    SC_WIRE("label", struct sc_changed_field, label, SC_F_TEXT),
    SC_WIRE_MAX("new", struct sc_changed_field, new_, SC_F_TEXT, SC_LIMIT_RECORD_BYTES),
    SC_WIRE_MAX("old", struct sc_changed_field, old_, SC_F_TEXT, SC_LIMIT_RECORD_BYTES),
};
static SC_SCHEMA(changed_field_schema, "field", struct sc_changed_field, changed_field_fields);

static const struct sc_field published_fields[] = {
    SC_WIRE("bytes", struct sc_published, bytes, SC_F_U64),
    SC_WIRE("digest", struct sc_published, digest, SC_F_DIGEST),
    SC_WIRE("name", struct sc_published, name, SC_F_TEXT),
    SC_WIRE("uri", struct sc_published, uri, SC_F_TEXT),
};
static SC_SCHEMA(published_schema, "published", struct sc_published, published_fields);

#define T struct sc_event_body
static const struct sc_field event_body_fields[] = {
    SC_WIRE_MAX("agent", T, agent, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("at", T, at, SC_F_I64),
    SC_WIRE("attempt", T, attempt, SC_F_U64),
    SC_WIRE("bytes_down", T, bytes_down, SC_F_U64),
    SC_WIRE("bytes_up", T, bytes_up, SC_F_U64),
    SC_WIRE("cached", T, cached, SC_F_BOOL),
    SC_WIRE_MAX("code", T, code, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("cpu_ms", T, cpu_ms, SC_F_U64),
    SC_WIRE("detail", T, detail, SC_F_TEXT),
    SC_WIRE("done_bytes", T, done_bytes, SC_F_U64),
    SC_WIRE("ended_at", T, ended_at, SC_F_I64),
    SC_WIRE("exit_code", T, exit_code, SC_F_U32),
    SC_WIRE("failed", T, failed, SC_F_U64),
    SC_WIRE_LIST("fields", T, fields, &changed_field_schema, SC_MESSAGE_FIELDS),
    SC_WIRE("hint", T, hint, SC_F_TEXT),
    SC_WIRE("hits", T, hits, SC_F_U64),
    SC_WIRE("joined", T, joined, SC_F_U64),
    SC_WIRE("key", T, key, SC_F_DIGEST),
    SC_WIRE_MAX("log_tail", T, log_tail, SC_F_BIN, 4 * SC_LIMIT_LOG_TAIL_BYTES),
    SC_WIRE_MAX("made_by_agent", T, made_by_agent, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("made_by_pipeline", T, made_by_pipeline, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("made_by_run", T, made_by_run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("made_by_step", T, made_by_step, SC_F_TEXT),
    SC_WIRE("max_rss_bytes", T, max_rss_bytes, SC_F_U64),
    SC_WIRE("misses", T, misses, SC_F_U64),
    SC_WIRE_MAX("namespace", T, namespace_, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("next_in_ms", T, next_in_ms, SC_F_U64),
    SC_WIRE_MAX("outcome", T, outcome, SC_F_ENUM, SC_OUTCOME_COUNT - 1),
    SC_WIRE_LIST("outputs", T, outputs, &published_schema, SC_MESSAGE_PUBLISHED),
    SC_WIRE_MAX("phase", T, phase, SC_F_ENUM, SC_PHASE_STORING),
    SC_WIRE_MAX("pipeline", T, pipeline, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("ran_ms", T, ran_ms, SC_F_U64),
    SC_WIRE_MAX("reason", T, reason, SC_F_ENUM, SC_REASON_COUNT - 1),
    SC_WIRE_MAX("run", T, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("saved_ms", T, saved_ms, SC_F_U64),
    SC_WIRE("signal", T, signal, SC_F_U32),
    SC_WIRE("skipped", T, skipped, SC_F_U64),
    SC_WIRE_MAX("state", T, state, SC_F_ENUM, SC_END_SKIPPED),
    SC_WIRE("step", T, step, SC_F_TEXT),
    SC_WIRE("steps", T, steps, SC_F_U64),
    SC_WIRE_MAX("stream", T, stream, SC_F_ENUM, SC_STREAM_STDERR),
    SC_WIRE_MAX("text", T, text, SC_F_BIN, SC_LIMIT_CHUNK_BYTES), // log bytes as they came
    SC_WIRE("total_bytes", T, total_bytes, SC_F_U64),
    SC_WIRE_MAX("type", T, type, SC_F_ENUM, SC_EV_COUNT - 1),
    SC_WIRE_MAX("verdict", T, verdict, SC_F_ENUM, SC_VERDICT_MISS),
    SC_WIRE("wall_ms", T, wall_ms, SC_F_U64),
};
SC_SCHEMA(sc_schema_event_body, "event", T, event_body_fields);
#undef T

static const struct sc_field event_fields[] = {
    SC_WIRE_LIST("events", struct sc_msg_event, events, &sc_schema_event_body, SC_MESSAGE_EVENTS),
};
SC_SCHEMA(sc_schema_msg_event, "event", struct sc_msg_event, event_fields);

static const struct sc_field row_fields[] = {
    {"row", SC_F_TEXT, 0, NULL, SC_LIMIT_RECORD_BYTES},
};
static const struct sc_schema row_schema = {.name = "row",
                                            .fields = row_fields,
                                            .field_count = 1,
                                            .size = sizeof(struct sc_slice),
                                            .positional = true,
                                            .bare = true};
static const struct sc_field page_fields[] = {
    SC_WIRE("last", struct sc_msg_page, last, SC_F_BOOL),
    SC_WIRE_LIST("rows", struct sc_msg_page, rows, &row_schema, SC_MESSAGE_ROWS),
};
SC_SCHEMA(sc_schema_msg_page, "page", struct sc_msg_page, page_fields);

static const struct sc_field done_fields[] = {
    SC_WIRE_MAX("run", struct sc_msg_done, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("state", struct sc_msg_done, state, SC_F_ENUM, SC_END_SKIPPED),
};
SC_SCHEMA(sc_schema_msg_done, "done", struct sc_msg_done, done_fields);

static const struct sc_field error_fields[] = {
    SC_WIRE_MAX("code", struct sc_msg_error, code, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("hint", struct sc_msg_error, hint, SC_F_TEXT),
    SC_WIRE("message", struct sc_msg_error, message, SC_F_TEXT),
    SC_WIRE("rc", struct sc_msg_error, rc, SC_F_U32),
};
SC_SCHEMA(sc_schema_msg_error, "error", struct sc_msg_error, error_fields);
