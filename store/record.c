#include "store/record.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/seal.h"

static const char version[] = "stepcache.record/1";

static const struct sc_field field_fields[] = {
    SC_FIELD_MAX(struct sc_record_field, label, SC_F_TEXT, 4096),
    SC_FIELD(struct sc_record_field, value, SC_F_RAW),
};
static SC_SCHEMA_POSITIONAL(field_schema, "record field", struct sc_record_field, field_fields);

static const struct sc_field output_fields[] = {
    SC_FIELD_MAX(struct sc_record_output, name, SC_F_TEXT, SC_LIMIT_FILENAME_BYTES),
    SC_FIELD_SUB(struct sc_record_output, artifact, SC_F_STRUCT, &sc_schema_artifact, 0),
};
static SC_SCHEMA_POSITIONAL(output_schema, "record output", struct sc_record_output, output_fields);

static const struct sc_field value_fields[] = {
    SC_FIELD_MAX(struct sc_record_value, name, SC_F_TEXT, SC_LIMIT_FILENAME_BYTES),
    SC_FIELD(struct sc_record_value, json, SC_F_TEXT),
};
static SC_SCHEMA_POSITIONAL(value_schema, "record value", struct sc_record_value, value_fields);

static const struct sc_field input_fields[] = {
    SC_FIELD_MAX(struct sc_record_input, name, SC_F_TEXT, SC_LIMIT_FILENAME_BYTES),
    SC_FIELD(struct sc_record_input, key, SC_F_DIGEST),
};
static SC_SCHEMA_POSITIONAL(input_schema, "record input", struct sc_record_input, input_fields);

static const struct sc_field log_fields[] = {
    {"stderr", SC_F_STRUCT, offsetof(struct sc_record_logs, stderr_), &sc_schema_artifact, 0},
    {"stdout", SC_F_STRUCT, offsetof(struct sc_record_logs, stdout_), &sc_schema_artifact, 0},
};
static SC_SCHEMA(logs_schema, "record logs", struct sc_record_logs, log_fields);

static const struct sc_field assurance_fields[] = {
    SC_FIELD(struct sc_record_assurance, network, SC_F_TEXT),
    SC_FIELD(struct sc_record_assurance, sandbox, SC_F_TEXT),
};
static SC_SCHEMA(assurance_schema, "record assurance", struct sc_record_assurance, assurance_fields);

static const struct sc_field signature_fields[] = {
    SC_FIELD(struct sc_record_signature, key_id, SC_F_TEXT),
    SC_FIELD_MAX(struct sc_record_signature, ed25519, SC_F_BIN, 64),
};
static SC_SCHEMA_POSITIONAL(signature_schema, "record signature", struct sc_record_signature,
                            signature_fields);

enum { MAX_FIELDS = 100000 };
static const struct sc_field record_fields[] = {
    SC_FIELD(struct sc_record, agent, SC_F_TEXT),
    SC_FIELD_SUB(struct sc_record, assurance, SC_F_STRUCT, &assurance_schema, 0),
    SC_FIELD(struct sc_record, attempt, SC_F_U64),
    SC_FIELD(struct sc_record, cpu_ms, SC_F_U64),
    SC_FIELD_MAX(struct sc_record, domain, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD(struct sc_record, ended_at, SC_F_I64),
    SC_FIELD_SUB(struct sc_record, fields, SC_F_LIST, &field_schema, MAX_FIELDS),
    SC_FIELD(struct sc_record, generation, SC_F_U64),
    SC_FIELD_SUB(struct sc_record, inputs_from, SC_F_LIST, &input_schema, SC_LIMIT_INPUTS),
    SC_FIELD(struct sc_record, key, SC_F_DIGEST),
    SC_FIELD_SUB(struct sc_record, logs, SC_F_STRUCT, &logs_schema, 0),
    SC_FIELD(struct sc_record, max_rss_bytes, SC_F_U64),
    {"namespace", SC_F_TEXT, offsetof(struct sc_record, namespace_), NULL, 0},
    SC_FIELD_SUB(struct sc_record, outputs, SC_F_LIST, &output_schema, SC_LIMIT_OUTPUTS),
    SC_FIELD(struct sc_record, pipeline, SC_F_TEXT),
    SC_FIELD(struct sc_record, run, SC_F_TEXT),
    SC_FIELD_SUB(struct sc_record, signatures, SC_F_LIST, &signature_schema, 16),
    SC_FIELD(struct sc_record, step, SC_F_TEXT),
    SC_FIELD(struct sc_record, supersedes, SC_F_U64),
    SC_FIELD_MAX(struct sc_record, v, SC_F_TEXT, 64),
    SC_FIELD_SUB(struct sc_record, values, SC_F_LIST, &value_schema, SC_LIMIT_OUTPUTS),
    SC_FIELD(struct sc_record, wall_ms, SC_F_U64),
};
SC_SCHEMA(sc_schema_record, "record", struct sc_record, record_fields);

static bool is_sorted(const void *items, uint32_t count, size_t size)
{
    // The name is the first member of each of them.
    const uint8_t *at = items;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_slice *name = (const struct sc_slice *)(const void *)(at + i * size);
        if (name->len == 0 ||
            (i > 0 &&
             sc_slice_cmp(*(const struct sc_slice *)(const void *)(at + (i - 1) * size), *name) >= 0))
            return false;
    }
    return true;
}
_Static_assert(offsetof(struct sc_record_field, label) == 0 && offsetof(struct sc_record_output, name) == 0 &&
                   offsetof(struct sc_record_value, name) == 0 && offsetof(struct sc_record_input, name) == 0,
               "is_sorted reads the name at the start");

static bool artifact_is_valid(const struct sc_artifact *artifact)
{
    if (artifact->has_inline &&
        (artifact->kind != SC_ARTIFACT_FILE || artifact->inline_bytes.len != artifact->bytes))
        return false;
    return artifact->has_inline || artifact->inline_bytes.len == 0;
}

bool sc_record_is_valid(const struct sc_record *record)
{
    if (!sc_slice_eq_str(record->v, version) || record->domain.len == 0 || sc_digest_is_zero(&record->key) ||
        record->generation == 0 || record->generation > SC_LIMIT_GENERATION ||
        record->supersedes >= record->generation || record->ended_at < 0)
        return false;
    if (!is_sorted(record->fields.items, record->fields.count, sizeof *record->fields.items) ||
        !is_sorted(record->outputs.items, record->outputs.count, sizeof *record->outputs.items) ||
        !is_sorted(record->values.items, record->values.count, sizeof *record->values.items) ||
        !is_sorted(record->inputs_from.items, record->inputs_from.count, sizeof *record->inputs_from.items))
        return false;
    for (uint32_t i = 0; i < record->outputs.count; i++) {
        const struct sc_artifact *artifact = &record->outputs.items[i].artifact;
        bool bare = artifact->kind == SC_ARTIFACT_LIST; // it may be metadata alone
        if ((!bare && sc_digest_is_zero(&artifact->digest)) || !artifact_is_valid(artifact))
            return false;
    }
    for (uint32_t i = 0; i < record->inputs_from.count; i++)
        if (sc_digest_is_zero(&record->inputs_from.items[i].key))
            return false;
    return artifact_is_valid(&record->logs.stdout_) && artifact_is_valid(&record->logs.stderr_);
}

void sc_record_encode(const struct sc_record *record, struct sc_buf *out)
{
    size_t start = out->len;
    sc_encode(&sc_schema_record, record, out);
    sc_seal(out, start);
}

struct version_of {
    struct sc_slice v;
};
static const struct sc_field version_fields[] = {SC_FIELD(struct version_of, v, SC_F_TEXT)};
static SC_SCHEMA(version_schema, "record", struct version_of, version_fields);

// A later version is told as such, not by the first of its fields that is unknown.
static enum sc_rc check_version(struct sc_slice body, struct sc_arena *arena, struct sc_error *err)
{
    struct version_of found = {{NULL, 0}};
    enum sc_rc rc = sc_decode(&version_schema, body, SC_DECODE_LENIENT, arena, &found, err);
    if (rc != SC_OK || sc_slice_eq_str(found.v, version))
        return rc;
    return sc_error_set(err, SC_VERSION, "record of the unknown version " SC_SLICE_FMT,
                        (int)(found.v.len < 64 ? found.v.len : 64), (const char *)found.v.ptr);
}

enum sc_rc sc_record_decode(struct sc_slice bytes, struct sc_slice domain, const struct sc_digest *key,
                            struct sc_arena *arena, struct sc_record *ret_record, struct sc_error *err)
{
    if (bytes.len > SC_LIMIT_RECORD_BYTES)
        return sc_error_set(err, SC_LIMIT, "record of %zu bytes", bytes.len);
    struct sc_record record = {0};
    struct sc_error story = SC_ERROR_INIT;
    struct sc_slice body;
    if (!sc_unseal(bytes, &body))
        return sc_error_set(err, SC_CORRUPT, "record: its bytes are not what its checksum says");
    enum sc_rc rc = sc_decode(&sc_schema_record, body, SC_DECODE_STRICT, arena, &record, &story);
    if (rc == SC_VERSION || (rc == SC_OK && !sc_slice_eq_str(record.v, version))) {
        enum sc_rc other = check_version(body, arena, err);
        if (other != SC_OK)
            return other;
    }
    if (rc != SC_OK) {
        if (err)
            *err = story;
        return rc;
    }
    if (!sc_record_is_valid(&record))
        return sc_error_set(err, SC_MALFORMED,
                            "record: its lists are not sorted, or a value is out of range");
    if (!sc_slice_eq(record.domain, domain))
        return sc_error_set(err, SC_CORRUPT,
                            "record of domain " SC_SLICE_FMT " found in domain " SC_SLICE_FMT,
                            SC_SLICE_ARG(record.domain), SC_SLICE_ARG(domain));
    if (!sc_digest_eq(&record.key, key)) {
        char named[SC_DIGEST_HEX_BYTES], wanted[SC_DIGEST_HEX_BYTES];
        sc_digest_hex(&record.key, named);
        sc_digest_hex(key, wanted);
        return sc_error_set(err, SC_CORRUPT, "record of key %s found under key %s", named, wanted);
    }
    *ret_record = record;
    return SC_OK;
}

bool sc_record_same_result(const struct sc_record *a, const struct sc_record *b)
{
    if (a->outputs.count != b->outputs.count || a->values.count != b->values.count)
        return false;
    for (uint32_t i = 0; i < a->outputs.count; i++)
        if (!sc_slice_eq(a->outputs.items[i].name, b->outputs.items[i].name) ||
            !sc_artifact_same(&a->outputs.items[i].artifact, &b->outputs.items[i].artifact))
            return false;
    for (uint32_t i = 0; i < a->values.count; i++)
        if (!sc_slice_eq(a->values.items[i].name, b->values.items[i].name) ||
            !sc_slice_eq(a->values.items[i].json, b->values.items[i].json))
            return false;
    return true;
}
