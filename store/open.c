// Opening a store: its URL says which back end, and stepcache.json whether we can read what is there.
#include "store/backend.h"

#include "base/memory.h"
#include "base/os/clock.h"

#include <jansson.h>

// ---- stepcache.json: what a store says of itself

static const char format_name[] = "stepcache.store/1", format_object[] = "stepcache.json";

// Fixed when the store was made: who takes an object for young by one horizon and who collects by another would disagree.
static enum sc_rc take_horizon(struct sc_store *store, const json_t *json, struct sc_error *err)
{
    const json_t *horizon = json_object_get(json, "horizon_ms");
    store->horizon_ms = horizon ? (int64_t)json_integer_value(horizon) : SC_STORE_HORIZON_MS;
    if (store->horizon_ms >= SC_STORE_HORIZON_LEAST_MS && store->horizon_ms <= SC_STORE_HORIZON_MOST_MS)
        return SC_OK;
    return sc_error_set(err, SC_MALFORMED, "%s: horizon_ms of its %s is not from %d to %lld", store->url,
                        format_object, SC_STORE_HORIZON_LEAST_MS, (long long)SC_STORE_HORIZON_MOST_MS);
}

static enum sc_rc check_format(struct sc_store *store, struct sc_slice text, struct sc_error *err)
{
    json_error_t where;
    json_t *json = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &where);
    const char *format = json_string_value(json_object_get(json, "format"));
    enum sc_rc rc = SC_OK;
    if (!format)
        rc = sc_error_set(err, SC_MALFORMED, "%s: its %s is not a description of a store", store->url,
                          format_object);
    else if (strcmp(format, format_name) != 0)
        rc = sc_error_set(err, SC_UNSUPPORTED, "%s: the store's format is %s; this version knows %s",
                          store->url, format, format_name);
    else
        rc = take_horizon(store, json, err);
    json_decref(json);
    return rc;
}

static enum sc_rc make_format(struct sc_store *store, int64_t horizon_ms, struct sc_error *err)
{
    char at[32];
    sc_clock_rfc3339(sc_clock_wall_ms(), at);
    json_t *json = json_pack("{s:s, s:s, s:I}", "format", format_name, "created", at, "horizon_ms",
                             (json_int_t)(horizon_ms ? horizon_ms : SC_STORE_HORIZON_MS));
    char *text = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    SC_ASSERT(text != NULL);
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str(format_object));
    op.body = sc_slice_str(text);
    op.if_absent = true; // another process may be making the same store
    enum sc_rc rc = sc_store_wait(store, &op);
    if (rc == SC_EXISTS)
        rc = SC_OK;
    else if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    free(text);
    return rc;
}

static enum sc_rc open_format(struct sc_store *store, int64_t horizon_ms, struct sc_error *err)
{
    enum { MAX_BYTES = 64 << 10 };
    for (int i = 0; i < 2; i++) {
        struct sc_store_op op;
        sc_store_op_init(&op, SC_STORE_GET, sc_slice_str(format_object));
        op.max_bytes = MAX_BYTES;
        enum sc_rc rc = sc_store_wait(store, &op);
        if (rc == SC_OK)
            rc = check_format(store, sc_buf_slice(&op.data), err);
        else if (err)
            *err = op.err;
        sc_store_op_done(&op);
        if (rc == SC_OK && horizon_ms && horizon_ms != store->horizon_ms) {
            sc_error_set(err, SC_INVALID,
                         "%s: its collection horizon is %lld s and cannot be changed, and the configuration "
                         "says %lld s",
                         store->url, (long long)(store->horizon_ms / 1000), (long long)(horizon_ms / 1000));
            sc_error_hint(err, "leave `horizon` out, or name a new store");
            return SC_INVALID;
        }
        if (rc != SC_NOT_FOUND || i == 1)
            return rc;
        rc = make_format(store, horizon_ms, err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

// ---- the handle

// Whether the parameter client=libs3 stands in it; the module reads the rest.
static bool names_libs3(const char *url)
{
    static const char client[] = "client=libs3";
    const char *at = strchr(url, '?');
    while (at) {
        if (strncmp(at + 1, client, strlen(client)) == 0 && strchr("&", at[1 + strlen(client)]))
            return true;
        at = strchr(at + 1, '&');
    }
    return false;
}

static enum sc_rc open_backend(const char *url, struct sc_store **ret_store, struct sc_error *err)
{
    struct sc_slice text = sc_slice_str(url);
    if (sc_slice_starts(text, "dir:/"))
        return sc_store_dir_open(url + 4, url, ret_store, err);
    if (sc_slice_starts(text, "/"))
        return sc_store_dir_open(url, url, ret_store, err);
    if (sc_slice_starts(text, "s3://")) {
        sc_store_open_fn open;
        enum sc_rc rc = sc_store_module_load(names_libs3(url) ? "libs3" : "s3", &open, err);
        return rc == SC_OK ? open(url, ret_store, err) : rc;
    }
    return sc_error_set(err, SC_INVALID, "%s: not a store; write dir:/absolute/path or s3://bucket/prefix",
                        url);
}

enum sc_rc sc_store_open(const char *url, struct sc_store **ret_store, struct sc_error *err)
{
    return sc_store_open_with(url, 0, ret_store, err);
}

enum sc_rc sc_store_open_with(const char *url, int64_t horizon_ms, struct sc_store **ret_store,
                              struct sc_error *err)
{
    struct sc_store *store;
    enum sc_rc rc = open_backend(url, &store, err);
    if (rc != SC_OK)
        return rc;
    rc = open_format(store, horizon_ms, err);
    if (rc != SC_OK) {
        sc_store_close(store);
        return rc;
    }
    store->counts = (struct sc_store_counts){0};
    *ret_store = store;
    return SC_OK;
}

enum sc_rc sc_store_open_bucket(const char *url, struct sc_store **ret_store, struct sc_error *err)
{
    SC_ASSERT(sc_slice_starts(sc_slice_str(url), "s3://"));
    return open_backend(url, ret_store, err);
}
