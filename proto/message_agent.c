// Field tables of the messages between agent and coordinator.
#include "proto/message_schema.h"

#include "base/memory.h"

static const struct sc_field named_artifact_fields[] = {
    SC_WIRE_IN("artifact", struct sc_named_artifact, artifact, &sc_schema_artifact),
    SC_WIRE_MAX("name", struct sc_named_artifact, name, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
};
SC_SCHEMA(sc_schema_named_artifact, "named artifact", struct sc_named_artifact, named_artifact_fields);

static const struct sc_field named_text_fields[] = {
    SC_WIRE_MAX("name", struct sc_named_text, name, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
    SC_WIRE("text", struct sc_named_text, text, SC_F_TEXT),
};
SC_SCHEMA(sc_schema_named_text, "named text", struct sc_named_text, named_text_fields);

// ---- agent to coordinator

static const struct sc_field class_fields[] = {
    SC_WIRE_IN("environment", struct sc_class, environment, &sc_schema_environment),
    SC_WIRE("gpu", struct sc_class, gpu, SC_F_BOOL),
    SC_WIRE("path", struct sc_class, path, SC_F_TEXT),
};
SC_SCHEMA(sc_schema_class, "class", struct sc_class, class_fields);

#define T struct sc_msg_hello
static const struct sc_field hello_fields[] = {
    SC_WIRE_MAX("agent", T, agent, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("assurance", T, assurance, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_LIST("classes", T, classes, &sc_schema_class, SC_MESSAGE_CLASSES),
    SC_WIRE_MAX("coordinator", T, coordinator, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("cpus_milli", T, cpus_milli, SC_F_U32),
    SC_WIRE("disk_bytes", T, disk_bytes, SC_F_U64),
    SC_WIRE("gpus", T, gpus, SC_F_U32),
    SC_WIRE_LIST("held", T, held, &sc_schema_u64, SC_MESSAGE_ATTEMPTS),
    SC_WIRE("incarnation", T, incarnation, SC_F_U64),
    SC_WIRE_LIST("labels", T, labels, &sc_schema_named_text, 1000),
    SC_WIRE("memory_bytes", T, memory_bytes, SC_F_U64),
    SC_WIRE("path", T, path, SC_F_TEXT),
    SC_WIRE("pid", T, pid, SC_F_U64),
    SC_WIRE_MAX("software", T, software, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
};
SC_SCHEMA(sc_schema_msg_hello, "hello", T, hello_fields);
#undef T

static const struct sc_field requests_fields[] = {
    SC_WIRE("delete", struct sc_requests, delete_, SC_F_U64),
    SC_WIRE("get", struct sc_requests, get, SC_F_U64),
    SC_WIRE("put", struct sc_requests, put, SC_F_U64),
};
static SC_SCHEMA(sc_schema_requests, "requests", struct sc_requests, requests_fields);

static const struct sc_field renew_fields[] = {
    SC_WIRE_LIST("held", struct sc_msg_renew, held, &sc_schema_u64, SC_MESSAGE_ATTEMPTS),
    SC_WIRE_IN("requests", struct sc_msg_renew, requests, &sc_schema_requests),
};
SC_SCHEMA(sc_schema_msg_renew, "renew", struct sc_msg_renew, renew_fields);

static const struct sc_field accepted_fields[] = {
    SC_WIRE_LIST("attempts", struct sc_msg_accepted, attempts, &sc_schema_u64, SC_MESSAGE_ATTEMPTS),
};
SC_SCHEMA(sc_schema_msg_accepted, "accepted", struct sc_msg_accepted, accepted_fields);

static const struct sc_field rejected_fields[] = {
    SC_WIRE("attempt", struct sc_msg_rejected, attempt, SC_F_U64),
    SC_WIRE("reason", struct sc_msg_rejected, reason, SC_F_TEXT),
};
SC_SCHEMA(sc_schema_msg_rejected, "rejected", struct sc_msg_rejected, rejected_fields);

static const struct sc_field progress_fields[] = {
    SC_WIRE("attempt", struct sc_msg_progress, attempt, SC_F_U64),
    SC_WIRE("done_bytes", struct sc_msg_progress, done_bytes, SC_F_U64),
    SC_WIRE_MAX("phase", struct sc_msg_progress, phase, SC_F_ENUM, SC_PHASE_CHECKING),
    SC_WIRE("probe", struct sc_msg_progress, probe, SC_F_U64),
    SC_WIRE("total_bytes", struct sc_msg_progress, total_bytes, SC_F_U64),
};
SC_SCHEMA(sc_schema_msg_progress, "progress", struct sc_msg_progress, progress_fields);

static const struct sc_field log_fields[] = {
    SC_WIRE("attempt", struct sc_msg_log, attempt, SC_F_U64),
    SC_WIRE("begins", struct sc_msg_log, begins, SC_F_BOOL),
    SC_WIRE("offset", struct sc_msg_log, offset, SC_F_U64),
    SC_WIRE_MAX("stream", struct sc_msg_log, stream, SC_F_ENUM, SC_STREAM_STDERR),
    SC_WIRE_MAX("text", struct sc_msg_log, text, SC_F_BIN, SC_LIMIT_CHUNK_BYTES),
};
SC_SCHEMA(sc_schema_msg_log, "log", struct sc_msg_log, log_fields);

static const struct sc_field probed_fields[] = {
    SC_WIRE_IN("artifact", struct sc_msg_probed, artifact, &sc_schema_artifact),
    SC_WIRE_IN("class", struct sc_msg_probed, class_, &sc_schema_class),
    SC_WIRE_IN("commands", struct sc_msg_probed, commands, &sc_schema_environment),
    SC_WIRE("failed", struct sc_msg_probed, failed, SC_F_BOOL),
    SC_WIRE("identity", struct sc_msg_probed, identity, SC_F_RAW),
    SC_WIRE_MAX("kind", struct sc_msg_probed, kind, SC_F_ENUM, SC_PROBE_FILE),
    SC_WIRE("message", struct sc_msg_probed, message, SC_F_TEXT),
    SC_WIRE("probe", struct sc_msg_probed, probe, SC_F_U64),
};
SC_SCHEMA(sc_schema_msg_probed, "probed", struct sc_msg_probed, probed_fields);

#define T struct sc_result
static const struct sc_field result_fields[] = {
    SC_WIRE("bytes_down", T, bytes_down, SC_F_U64),
    SC_WIRE("bytes_up", T, bytes_up, SC_F_U64),
    SC_WIRE("cpu_ms", T, cpu_ms, SC_F_U64),
    SC_WIRE("ended_at", T, ended_at, SC_F_I64),
    SC_WIRE("exit_code", T, exit_code, SC_F_U32),
    SC_WIRE_MAX("log_tail", T, log_tail, SC_F_BIN, 4 * SC_LIMIT_LOG_TAIL_BYTES),
    SC_WIRE("lost", T, lost, SC_F_DIGEST),
    SC_WIRE("max_rss_bytes", T, max_rss_bytes, SC_F_U64),
    SC_WIRE("message", T, message, SC_F_TEXT),
    SC_WIRE_MAX("network", T, network, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("outcome", T, outcome, SC_F_ENUM, SC_OUTCOME_COUNT - 1),
    SC_WIRE_LIST("outputs", T, outputs, &sc_schema_named_artifact, SC_LIMIT_OUTPUTS),
    SC_WIRE_MAX("sandbox", T, sandbox, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("signal", T, signal, SC_F_U32),
    SC_WIRE("started_at", T, started_at, SC_F_I64),
    SC_WIRE_IN("stderr", T, stderr_, &sc_schema_artifact),
    SC_WIRE_IN("stdout", T, stdout_, &sc_schema_artifact),
    SC_WIRE("stored_at", T, stored_at, SC_F_I64),
    SC_WIRE_LIST("values", T, values, &sc_schema_named_text, SC_LIMIT_OUTPUTS),
    SC_WIRE("wall_ms", T, wall_ms, SC_F_U64),
};
SC_SCHEMA(sc_schema_result, "result", T, result_fields);
#undef T

static const struct sc_field reported_fields[] = {
    SC_WIRE("attempt", struct sc_msg_reported, attempt, SC_F_U64),
    SC_WIRE_IN("requests", struct sc_msg_reported, requests, &sc_schema_requests),
    SC_WIRE_IN("result", struct sc_msg_reported, result, &sc_schema_result),
    SC_WIRE("stored_ms", struct sc_msg_reported, stored_ms, SC_F_U64),
};
SC_SCHEMA(sc_schema_msg_reported, "reported", struct sc_msg_reported, reported_fields);

static const struct sc_field ended_fields[] = {
    SC_WIRE("attempt", struct sc_msg_ended, attempt, SC_F_U64),
};
SC_SCHEMA(sc_schema_msg_ended, "ended", struct sc_msg_ended, ended_fields);

static const struct sc_field goodbye_fields[] = {
    SC_WIRE("reason", struct sc_msg_goodbye, reason, SC_F_TEXT),
    SC_WIRE_IN("requests", struct sc_msg_goodbye, requests, &sc_schema_requests),
};
SC_SCHEMA(sc_schema_msg_goodbye, "goodbye", struct sc_msg_goodbye, goodbye_fields);

// ---- coordinator to agent

static const struct sc_field welcome_fields[] = {
    SC_WIRE_MAX("coordinator", struct sc_msg_welcome, coordinator, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("domain", struct sc_msg_welcome, domain, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_LIST("drop", struct sc_msg_welcome, drop, &sc_schema_u64, SC_MESSAGE_ATTEMPTS),
    SC_WIRE_LIST("keep", struct sc_msg_welcome, keep, &sc_schema_u64, SC_MESSAGE_ATTEMPTS),
    SC_WIRE("lease_ms", struct sc_msg_welcome, lease_ms, SC_F_U64),
    SC_WIRE("renew_ms", struct sc_msg_welcome, renew_ms, SC_F_U64),
};
SC_SCHEMA(sc_schema_msg_welcome, "welcome", struct sc_msg_welcome, welcome_fields);

static const struct sc_field probe_fields[] = {
    SC_WIRE("by_version", struct sc_msg_probe, by_version, SC_F_BOOL),
    SC_WIRE_LIST("commands", struct sc_msg_probe, commands, &sc_schema_text, SC_LIMIT_INPUTS),
    SC_WIRE("dir", struct sc_msg_probe, dir, SC_F_BOOL),
    SC_WIRE("force", struct sc_msg_probe, force, SC_F_BOOL),
    SC_WIRE("gpu", struct sc_msg_probe, gpu, SC_F_BOOL),
    SC_WIRE("identity", struct sc_msg_probe, identity, SC_F_RAW),
    SC_WIRE_LIST("ignored", struct sc_msg_probe, ignored, &sc_schema_text, SC_LIMIT_INPUTS),
    SC_WIRE_MAX("kind", struct sc_msg_probe, kind, SC_F_ENUM, SC_PROBE_FILE),
    SC_WIRE("path", struct sc_msg_probe, path, SC_F_TEXT),
    SC_WIRE("probe", struct sc_msg_probe, probe, SC_F_U64),
    SC_WIRE("store", struct sc_msg_probe, store, SC_F_BOOL),
    SC_WIRE("version", struct sc_msg_probe, version, SC_F_TEXT),
};
SC_SCHEMA(sc_schema_msg_probe, "probe", struct sc_msg_probe, probe_fields);

// Commands are most of an assignment's bytes, so a word is an array of [kind, text] pairs.
static const struct sc_field piece_fields[] = {
    SC_WIRE_MAX("kind", struct sc_piece, kind, SC_F_ENUM, SC_PIECE_VALUE),
    SC_WIRE("text", struct sc_piece, text, SC_F_TEXT),
};
static SC_SCHEMA_POSITIONAL(piece_schema, "piece", struct sc_piece, piece_fields);
static const struct sc_field pieces_fields[] = {
    SC_WIRE_LIST("items", struct sc_pieces, items, &piece_schema, SC_MESSAGE_WORDS),
};
static const struct sc_schema pieces_schema = {.name = "word",
                                               .fields = pieces_fields,
                                               .field_count = SC_COUNT(pieces_fields),
                                               .size = sizeof(struct sc_pieces),
                                               .positional = true,
                                               .bare = true};

#define T struct sc_assigned_input
static const struct sc_field assigned_input_fields[] = {
    SC_WIRE_IN("artifact", T, artifact, &sc_schema_artifact),
    SC_WIRE_LIST("entries", T, entries, &sc_schema_named_artifact, SC_LIMIT_MATRIX_INSTANCES),
    SC_WIRE_MAX("kind", T, kind, SC_F_ENUM, SC_INPUT_VALUE),
    SC_WIRE_MAX("name", T, name, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("text", T, text, SC_F_TEXT, SC_LIMIT_MESSAGE_AGENT_BYTES), // a fan-in of values is their list
};
static SC_SCHEMA(assigned_input_schema, "input", T, assigned_input_fields);
#undef T

static const struct sc_field assigned_output_fields[] = {
    SC_WIRE("dir", struct sc_assigned_output, dir, SC_F_BOOL),
    SC_WIRE_MAX("name", struct sc_assigned_output, name, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_MAX("path", struct sc_assigned_output, path, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
};
static SC_SCHEMA(assigned_output_schema, "output", struct sc_assigned_output, assigned_output_fields);

static const struct sc_field assigned_value_fields[] = {
    SC_WIRE_MAX("name", struct sc_assigned_value, name, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("output", struct sc_assigned_value, output, SC_F_U32),
    SC_WIRE_MAX("pointer", struct sc_assigned_value, pointer, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
};
static SC_SCHEMA(assigned_value_schema, "value", struct sc_assigned_value, assigned_value_fields);

static const struct sc_field assigned_env_fields[] = {
    SC_WIRE_MAX("name", struct sc_assigned_env, name, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
    SC_WIRE_IN("value", struct sc_assigned_env, value, &pieces_schema),
};
static SC_SCHEMA(assigned_env_schema, "env", struct sc_assigned_env, assigned_env_fields);

#define T struct sc_assignment
static const struct sc_field assignment_fields[] = {
    SC_WIRE("attempt", T, attempt, SC_F_U64),
    SC_WIRE_IN("code", T, code, &sc_schema_artifact),
    SC_WIRE_LIST("command", T, command, &pieces_schema, SC_MESSAGE_WORDS),
    SC_WIRE("cpus_milli", T, cpus_milli, SC_F_U32),
    SC_WIRE("disk_bytes", T, disk_bytes, SC_F_U64),
    SC_WIRE_LIST("env", T, env, &assigned_env_schema, SC_MESSAGE_FIELDS),
    SC_WIRE("environment", T, environment, SC_F_DIGEST),
    SC_WIRE("force_upload", T, force_upload, SC_F_BOOL),
    SC_WIRE("gpus", T, gpus, SC_F_U32),
    SC_WIRE_LIST("inputs", T, inputs, &assigned_input_schema, SC_LIMIT_INPUTS),
    SC_WIRE("listened", T, listened, SC_F_BOOL),
    SC_WIRE("memory_bytes", T, memory_bytes, SC_F_U64),
    SC_WIRE_MAX("namespace", T, namespace_, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("number", T, number, SC_F_U32),
    SC_WIRE_LIST("outputs", T, outputs, &assigned_output_schema, SC_LIMIT_OUTPUTS),
    SC_WIRE_MAX("pipeline", T, pipeline, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE_IN("probe", T, probe, &sc_schema_msg_probe),
    SC_WIRE_MAX("run", T, run, SC_F_TEXT, SC_MESSAGE_ID_BYTES),
    SC_WIRE("script", T, script, SC_F_BOOL),
    SC_WIRE("step", T, step, SC_F_TEXT),
    SC_WIRE("timeout_ms", T, timeout_ms, SC_F_U64),
    SC_WIRE("unrecorded", T, unrecorded, SC_F_BOOL),
    SC_WIRE_LIST("values", T, values, &assigned_value_schema, SC_LIMIT_OUTPUTS),
};
SC_SCHEMA(sc_schema_assignment, "assignment", T, assignment_fields);
#undef T

static const struct sc_field assign_fields[] = {
    SC_WIRE_LIST("assignments", struct sc_msg_assign, assignments, &sc_schema_assignment,
                 SC_LIMIT_BATCH_ASSIGN),
};
SC_SCHEMA(sc_schema_msg_assign, "assign", struct sc_msg_assign, assign_fields);

static const struct sc_field revoke_fields[] = {
    SC_WIRE_LIST("attempts", struct sc_msg_revoke, attempts, &sc_schema_u64, SC_MESSAGE_ATTEMPTS),
    SC_WIRE("grace_ms", struct sc_msg_revoke, grace_ms, SC_F_U64),
};
SC_SCHEMA(sc_schema_msg_revoke, "revoke", struct sc_msg_revoke, revoke_fields);

static const struct sc_field listen_fields[] = {
    SC_WIRE("attempt", struct sc_msg_listen, attempt, SC_F_U64),
    SC_WIRE("stop", struct sc_msg_listen, stop, SC_F_BOOL),
};
SC_SCHEMA(sc_schema_msg_listen, "listen", struct sc_msg_listen, listen_fields);

static const struct sc_field drain_fields[] = {
    SC_WIRE("now", struct sc_msg_drain, now, SC_F_BOOL),
};
SC_SCHEMA(sc_schema_msg_drain, "drain", struct sc_msg_drain, drain_fields);
