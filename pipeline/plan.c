#include "pipeline/plan.h"

#include "pipeline/plan_check.h"

#include "base/limits.h"
#include "base/memory.h"

// All structs of a plan are positional: the tables' order is the format, fields are only ever added behind.

static const struct sc_field segment_fields[] = {
    SC_FIELD_MAX(struct sc_segment, kind, SC_F_ENUM, SC_SEGMENT_RUN),
    SC_FIELD(struct sc_segment, text, SC_F_TEXT),
    SC_FIELD(struct sc_segment, index, SC_F_U32),
};
static SC_SCHEMA_POSITIONAL(segment_schema, "segment", struct sc_segment, segment_fields);

static const struct sc_field word_fields[] = {
    SC_FIELD_SUB(struct sc_word, segments, SC_F_LIST, &segment_schema, SC_PLAN_SEGMENTS_MOST),
};
const struct sc_schema sc_schema_word = {.name = "word",
                                         .fields = word_fields,
                                         .field_count = SC_COUNT(word_fields),
                                         .size = sizeof(struct sc_word),
                                         .positional = true,
                                         .bare = true};

static const struct sc_field input_fields[] = {
    SC_FIELD_MAX(struct sc_plan_input, name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD_MAX(struct sc_plan_input, from, SC_F_ENUM, SC_FROM_VALUE),
    SC_FIELD(struct sc_plan_input, node, SC_F_U32),
    SC_FIELD(struct sc_plan_input, port, SC_F_U32),
    SC_FIELD(struct sc_plan_input, ignored, SC_F_BOOL),
};
static SC_SCHEMA_POSITIONAL(input_schema, "input", struct sc_plan_input, input_fields);

static const struct sc_field output_fields[] = {
    SC_FIELD_MAX(struct sc_plan_output, name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD_MAX(struct sc_plan_output, path, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
    SC_FIELD(struct sc_plan_output, dir, SC_F_BOOL),
};
static SC_SCHEMA_POSITIONAL(output_schema, "output", struct sc_plan_output, output_fields);

static const struct sc_field value_fields[] = {
    SC_FIELD_MAX(struct sc_plan_value, name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD(struct sc_plan_value, output, SC_F_U32),
    SC_FIELD_MAX(struct sc_plan_value, pointer, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
};
static SC_SCHEMA_POSITIONAL(value_schema, "value", struct sc_plan_value, value_fields);

static const struct sc_field env_fields[] = {
    SC_FIELD_MAX(struct sc_plan_env, name, SC_F_TEXT, SC_PLAN_ENV_NAME_BYTES),
    SC_FIELD_SUB(struct sc_plan_env, value, SC_F_STRUCT, &sc_schema_word, 0),
    SC_FIELD(struct sc_plan_env, ignored, SC_F_BOOL),
};
static SC_SCHEMA_POSITIONAL(env_schema, "env", struct sc_plan_env, env_fields);

static const struct sc_field axis_fields[] = {
    SC_FIELD_MAX(struct sc_plan_axis, name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD_SUB(struct sc_plan_axis, values, SC_F_LIST, &sc_schema_text, SC_LIMIT_MATRIX_INSTANCES),
};
static SC_SCHEMA_POSITIONAL(axis_schema, "matrix", struct sc_plan_axis, axis_fields);

static const struct sc_field label_fields[] = {
    SC_FIELD(struct sc_plan_label, name, SC_F_TEXT),
    SC_FIELD(struct sc_plan_label, value, SC_F_TEXT),
};
static SC_SCHEMA_POSITIONAL(label_schema, "label", struct sc_plan_label, label_fields);

#define STEP_FIELD(member, type)    SC_FIELD(struct sc_plan_step, member, type)
#define STEP_MAX(member, type, max) SC_FIELD_MAX(struct sc_plan_step, member, type, max)
#define STEP_LIST(member, element, count)                                                                    \
    SC_FIELD_SUB(struct sc_plan_step, member, SC_F_LIST, &element, count)

static const struct sc_field step_fields[] = {
    STEP_MAX(name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    STEP_FIELD(script, SC_F_BOOL),
    STEP_LIST(command, sc_schema_word, SC_PLAN_ARGUMENTS_MOST),
    STEP_FIELD(code, SC_F_DIGEST),
    STEP_LIST(inputs, input_schema, SC_LIMIT_INPUTS),
    STEP_LIST(outputs, output_schema, SC_LIMIT_OUTPUTS),
    STEP_LIST(values, value_schema, SC_LIMIT_OUTPUTS),
    STEP_LIST(env, env_schema, SC_PLAN_LIST_MOST),
    STEP_LIST(matrix, axis_schema, SC_PLAN_LIST_MOST),
    STEP_MAX(environment, SC_F_ENUM, SC_ENVIRONMENT_PROBE),
    STEP_LIST(probes, sc_schema_text, SC_PLAN_LIST_MOST),
    STEP_FIELD(salt, SC_F_TEXT),
    STEP_LIST(ignored, sc_schema_text, SC_PLAN_IGNORED_MOST),
    STEP_FIELD(cache_disabled, SC_F_BOOL),
    STEP_FIELD(refresh, SC_F_BOOL),
    STEP_FIELD(expires, SC_F_BOOL),
    STEP_FIELD(expire_after_ms, SC_F_I64),
    STEP_FIELD(cpus_milli, SC_F_U32),
    STEP_FIELD(memory_bytes, SC_F_U64),
    STEP_FIELD(disk_bytes, SC_F_U64),
    STEP_FIELD(gpus, SC_F_U32),
    STEP_LIST(labels, label_schema, SC_PLAN_LIST_MOST),
    STEP_FIELD(resources_keyed, SC_F_BOOL),
    STEP_FIELD(retry_attempts, SC_F_U32),
    STEP_FIELD(retry_on, SC_F_U32),
    STEP_FIELD(retry_backoff_ms, SC_F_I64),
    STEP_FIELD(timeout_ms, SC_F_I64),
    STEP_LIST(after, sc_schema_u32, SC_LIMIT_STEP_INSTANCES),
    STEP_MAX(sandbox, SC_F_ENUM, SC_SANDBOX_STRICT),
    STEP_MAX(network, SC_F_ENUM, SC_NETWORK_NONE),
    STEP_LIST(uses, label_schema, SC_PLAN_PARAMS_MOST),
};
static SC_SCHEMA_POSITIONAL(step_schema, "step", struct sc_plan_step, step_fields);

static const struct sc_field source_fields[] = {
    SC_FIELD_MAX(struct sc_plan_source, name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD_MAX(struct sc_plan_source, kind, SC_F_ENUM, SC_SOURCE_S3),
    SC_FIELD_MAX(struct sc_plan_source, path, SC_F_TEXT, SC_LIMIT_PATH_BYTES),
    SC_FIELD(struct sc_plan_source, dir, SC_F_BOOL),
    SC_FIELD_SUB(struct sc_plan_source, artifact, SC_F_STRUCT, &sc_schema_artifact, 0),
    SC_FIELD_MAX(struct sc_plan_source, version, SC_F_TEXT, SC_LIMIT_ETAG_BYTES),
    SC_FIELD(struct sc_plan_source, line, SC_F_U32),
    SC_FIELD(struct sc_plan_source, by_version, SC_F_BOOL),
};
static SC_SCHEMA_POSITIONAL(source_schema, "source", struct sc_plan_source, source_fields);

static const struct sc_field publish_fields[] = {
    SC_FIELD_MAX(struct sc_plan_publish, name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD(struct sc_plan_publish, step, SC_F_U32),
    SC_FIELD(struct sc_plan_publish, output, SC_F_U32),
};
static SC_SCHEMA_POSITIONAL(publish_schema, "published output", struct sc_plan_publish, publish_fields);

static const struct sc_field plan_fields[] = {
    SC_FIELD_MAX(struct sc_plan, version, SC_F_U32, 1),
    SC_FIELD_MAX(struct sc_plan, name, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    {"namespace", SC_F_TEXT, offsetof(struct sc_plan, namespace_), NULL, SC_LIMIT_NAME_BYTES},
    SC_FIELD_SUB(struct sc_plan, params, SC_F_LIST, &label_schema, SC_PLAN_PARAMS_MOST),
    SC_FIELD_SUB(struct sc_plan, sources, SC_F_LIST, &source_schema, SC_PLAN_SOURCES_MOST),
    SC_FIELD_SUB(struct sc_plan, steps, SC_F_LIST, &step_schema, SC_LIMIT_STEP_INSTANCES),
    SC_FIELD_SUB(struct sc_plan, outputs, SC_F_LIST, &publish_schema, SC_LIMIT_STEP_INSTANCES),
};
SC_SCHEMA_POSITIONAL(sc_schema_plan, "plan", struct sc_plan, plan_fields);

void sc_plan_encode(const struct sc_plan *plan, struct sc_buf *out)
{
    sc_encode(&sc_schema_plan, plan, out);
}

enum sc_rc sc_plan_decode(struct sc_slice bytes, struct sc_arena *arena, struct sc_plan **ret_plan,
                          struct sc_error *err)
{
    if (bytes.len > SC_LIMIT_PLAN_BYTES)
        return sc_error_set(err, SC_LIMIT, "plan: %zu bytes are more than %u", bytes.len,
                            SC_LIMIT_PLAN_BYTES);
    // The version stands first, so that a later format is told as such and not as a field that is wrong.
    struct sc_mp_reader reader = sc_mp_reader(bytes);
    sc_mp_get_array(&reader);
    uint64_t version = sc_mp_get_uint(&reader);
    if (!reader.failed && version != 1)
        return sc_error_set(err, SC_VERSION, "plan: version %ju where 1 is known", (uintmax_t)version);
    struct sc_plan *plan = SC_NEW(arena, struct sc_plan);
    enum sc_rc rc = sc_decode(&sc_schema_plan, bytes, SC_DECODE_STRICT, arena, plan, err);
    if (rc == SC_OK)
        rc = sc_plan_check(plan, err);
    if (rc == SC_OK)
        *ret_plan = plan;
    return rc;
}
