#include "coordinator/shell/open_run.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/seal.h"
#include "store/names.h"

static const char version[] = "stepcache.open/1";

enum { USER_BYTES = 255 }; // as in a submit

static const struct sc_field fields[] = {
    SC_FIELD(struct sc_open_run, cancelled, SC_F_BOOL),
    SC_FIELD_MAX(struct sc_open_run, coordinator, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD_MAX(struct sc_open_run, domain, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD_SUB(struct sc_open_run, options, SC_F_STRUCT, &sc_schema_run_options, 0),
    SC_FIELD(struct sc_open_run, plan, SC_F_DIGEST),
    SC_FIELD_MAX(struct sc_open_run, run, SC_F_TEXT, SC_LIMIT_NAME_BYTES),
    SC_FIELD(struct sc_open_run, started_at, SC_F_I64),
    SC_FIELD_MAX(struct sc_open_run, user, SC_F_TEXT, USER_BYTES),
    SC_FIELD_MAX(struct sc_open_run, v, SC_F_TEXT, 64),
};
SC_SCHEMA(sc_schema_open_run, "open run", struct sc_open_run, fields);

void sc_open_run_encode(const struct sc_open_run *open, struct sc_buf *out)
{
    struct sc_open_run whole = *open;
    size_t start = out->len;
    whole.v = sc_slice_str(version);
    sc_encode(&sc_schema_open_run, &whole, out);
    sc_seal(out, start);
}

// Of any version: a later one is told as such, not by the first of its fields that is unknown.
struct version_of {
    struct sc_slice v;
};
static const struct sc_field version_fields[] = {SC_FIELD(struct version_of, v, SC_F_TEXT)};
static SC_SCHEMA(version_schema, "open run", struct version_of, version_fields);

static bool lies_at(const struct sc_open_run *open, struct sc_slice name)
{
    SC_AUTO_BUF struct sc_buf own;
    sc_buf_init(&own, SC_LIMIT_PATH_BYTES);
    sc_name_open(&own, open->domain, open->coordinator, open->run);
    return sc_slice_eq(sc_buf_slice(&own), name);
}

enum sc_rc sc_open_run_decode(struct sc_slice bytes, struct sc_slice name, struct sc_arena *arena,
                              struct sc_open_run *ret_open, struct sc_error *err)
{
    struct sc_open_run open = {0};
    struct version_of found = {{NULL, 0}};
    struct sc_slice body;
    if (!sc_unseal(bytes, &body))
        return sc_error_set(err, SC_CORRUPT, "open run: its bytes are not what its checksum says");
    enum sc_rc rc = sc_decode(&version_schema, body, SC_DECODE_LENIENT, arena, &found, err);
    if (rc == SC_OK && !sc_slice_eq_str(found.v, version))
        return sc_error_set(err, SC_VERSION, "open run of the unknown version " SC_SLICE_FMT,
                            (int)(found.v.len < 64 ? found.v.len : 64), (const char *)found.v.ptr);
    if (rc == SC_OK)
        rc = sc_decode(&sc_schema_open_run, body, SC_DECODE_STRICT, arena, &open, err);
    if (rc != SC_OK)
        return rc;
    if (!sc_name_domain_is_valid(open.domain) || open.run.len == 0 || sc_digest_is_zero(&open.plan))
        return sc_error_set(err, SC_MALFORMED, "open run: it lacks its domain, its id or its plan");
    if (!lies_at(&open, name))
        return sc_error_set(err, SC_CORRUPT,
                            "open run " SC_SLICE_FMT " of coordinator " SC_SLICE_FMT
                            " found under another name",
                            SC_SLICE_ARG(open.run), SC_SLICE_ARG(open.coordinator));
    *ret_open = open;
    return SC_OK;
}
