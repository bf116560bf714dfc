// cache verify, for queries: every object read and hashed again, every record read, and what it names looked for.
#include "coordinator/shell/query_parts.h"

#include "base/memory.h"

struct verifying {
    struct sc_queries *queries;
    json_t *rows;
    uint64_t sample, seen; // every sample-th object
    uint64_t objects, bytes, records, corrupt, missing;
    bool tree;
};

static void problem(struct verifying *v, const char *state, struct sc_slice name, const char *text)
{
    if (json_array_size(v->rows) >= QUERY_ROWS_MOST)
        return;
    json_t *row = json_object();
    json_object_set_new(row, "state", json_string(state));
    json_object_set_new(row, "object", query_text(name));
    json_object_set_new(row, "problem", json_string(text));
    json_array_append_new(v->rows, row);
}

static void remove_object(struct verifying *v, struct sc_slice name)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_REMOVE, name);
    (void)sc_store_wait(v->queries->store, &op);
    sc_store_op_done(&op);
}

static enum sc_rc check_bytes(struct verifying *v, struct sc_slice name, const struct sc_digest *digest,
                              uint64_t *ret_bytes, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, name);
    op.max_bytes = SIZE_MAX;
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    enum sc_rc rc;
    if (!v->tree &&
        sc_store_local_path(v->queries->store, name, &path)) { // large ones are not held in memory
        struct sc_artifact found;
        struct sc_hash_options options = {.threads = 1};
        rc = sc_hash_file(sc_buf_cstr(&path), &options, &found, err);
        if (rc == SC_OK && !sc_digest_eq(&found.digest, digest))
            rc = sc_error_set(err, SC_CORRUPT, "its bytes are not what its name says");
        *ret_bytes = rc == SC_OK ? found.bytes : 0;
    } else if ((rc = sc_store_wait(v->queries->store, &op)) == SC_OK) {
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_tree tree;
        sc_arena_init(&arena);
        *ret_bytes = op.data.len;
        struct sc_digest found = sc_digest_of(sc_buf_slice(&op.data));
        if (v->tree)
            rc = sc_tree_decode(sc_buf_slice(&op.data), digest, &arena, &tree, err);
        else if (!sc_digest_eq(&found, digest))
            rc = sc_error_set(err, SC_CORRUPT, "its bytes are not what its name says");
    } else if (err) {
        *err = op.err;
    }
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc verify_object(void *context, struct sc_slice name, struct sc_error *err)
{
    struct verifying *v = context;
    struct sc_digest digest;
    struct sc_error own = SC_ERROR_INIT;
    uint64_t bytes = 0;
    (void)err;
    if (v->seen++ % v->sample != 0)
        return SC_OK;
    v->objects++;
    if (!query_name_digest(name, &digest)) {
        problem(v, "unknown", name, "no object of ours has such a name");
        return SC_OK;
    }
    enum sc_rc rc = check_bytes(v, name, &digest, &bytes, &own);
    v->bytes += bytes;
    if (rc == SC_OK || rc == SC_NOT_FOUND) // it may have gone meanwhile
        return SC_OK;
    if (rc == SC_CORRUPT || rc == SC_MALFORMED || rc == SC_VERSION) {
        v->corrupt++;
        remove_object(v, name); // so that the step that makes it runs again
        problem(v, "corrupt", name, own.message);
    } else {
        problem(v, "unreadable", name, own.message);
    }
    return SC_OK;
}

static enum sc_rc verify_record(void *context, struct sc_slice name, struct sc_error *err)
{
    struct verifying *v = context;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_digest key;
    struct sc_slice bytes;
    struct sc_record record;
    struct sc_error own = SC_ERROR_INIT;
    (void)err;
    sc_arena_init(&arena);
    if (v->seen++ % v->sample != 0)
        return SC_OK;
    v->records++;
    if (!query_name_digest(name, &key)) {
        problem(v, "unknown", name, "no record has such a name");
        return SC_OK;
    }
    enum sc_rc rc =
        sc_records_get(v->queries->store, v->queries->config.domain, &key, &arena, &bytes, &record, &own);
    if (rc == SC_NOT_FOUND)
        return SC_OK;
    if (rc != SC_OK && !sc_records_is_unreadable(rc)) {
        problem(v, "unreadable", name, own.message);
        return SC_OK;
    }
    if (rc != SC_OK) {
        v->corrupt++;
        problem(v, "corrupt", name, own.message);
        if (rc == SC_CORRUPT || rc == SC_MALFORMED) {
            remove_object(v, name);
            sc_index_remove(sc_storage_index(v->queries->storage), &key);
        }
        return SC_OK;
    }
    for (uint32_t i = 0; i < record.outputs.count; i++) {
        const struct sc_artifact *artifact = &record.outputs.items[i].artifact;
        enum sc_rc ret = SC_OK;
        if (!artifact->has_inline)
            sc_objects_presence(v->queries->objects, &artifact, 1, true, &ret);
        if (ret != SC_NOT_FOUND)
            continue;
        v->missing++;
        struct sc_slice text = sc_arena_printf(
            &arena, "output " SC_SLICE_FMT " of step " SC_SLICE_FMT " of pipeline " SC_SLICE_FMT " is gone",
            SC_SLICE_ARG(record.outputs.items[i].name), SC_SLICE_ARG(record.step),
            SC_SLICE_ARG(record.pipeline));
        problem(v, "missing", name, (const char *)text.ptr);
    }
    return SC_OK;
}

static enum sc_rc take_sample(const sc_text_list *args, uint64_t *ret_sample, struct sc_error *err)
{
    *ret_sample = 1;
    if (args->count == 0)
        return SC_OK;
    struct sc_slice text = args->items[args->count - 1];
    uint64_t n = 0;
    for (size_t i = 0; i < text.len && text.len < 10; i++)
        n = text.ptr[i] >= '0' && text.ptr[i] <= '9' ? n * 10 + (uint64_t)(text.ptr[i] - '0') : 0;
    bool named = args->count == 1 || (args->count == 2 && sc_slice_eq_str(args->items[0], "--sample"));
    if (n == 0 || !named)
        return sc_error_set(err, SC_INVALID,
                            "cache verify: --sample N reads every Nth object; there is nothing else to name");
    *ret_sample = n;
    return SC_OK;
}

enum sc_rc query_verify(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    struct verifying v = {.queries = queries, .rows = json_array()};
    SC_AUTO_BUF struct sc_buf prefix;
    sc_buf_init(&prefix, 0);
    enum sc_rc rc = take_sample(&job->u.query.message.body.cache.args, &v.sample, err);
    static const char *const areas[] = {"cas", "tree", "key"};
    for (size_t i = 0; i < SC_COUNT(areas) && rc == SC_OK; i++) {
        sc_buf_clear(&prefix);
        sc_buf_printf(&prefix, "v1/" SC_SLICE_FMT "/%s/", SC_SLICE_ARG(queries->config.domain), areas[i]);
        v.tree = i == 1;
        v.seen = 0;
        rc = query_each_name(queries, sc_buf_slice(&prefix), i == 2 ? verify_record : verify_object, &v, err);
    }
    if (rc == SC_OK) {
        json_t *row = json_object();
        json_object_set_new(row, "state", json_string("ok"));
        json_object_set_new(row, "objects", json_integer((json_int_t)v.objects));
        json_object_set_new(row, "bytes", json_integer((json_int_t)v.bytes));
        json_object_set_new(row, "records", json_integer((json_int_t)v.records));
        json_object_set_new(row, "corrupt", json_integer((json_int_t)v.corrupt));
        json_object_set_new(row, "missing", json_integer((json_int_t)v.missing));
        json_array_append_new(v.rows, row);
        query_send_rows(queries, job, v.rows);
    }
    json_decref(v.rows);
    return rc;
}
