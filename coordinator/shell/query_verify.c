// cache verify, for queries: every object read and hashed again, every record read, and what it names looked for.
#include "coordinator/shell/query_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WHOLE_BYTES =
        4
        << 20, // of an object elsewhere that is read into memory, several at once; larger ones go through a file
};

enum area { CAS, TREE, PACK, AREAS };
static const char *const area_names[AREAS] = {"cas", "tree", "pack"};

struct output { // of a record, to be looked for
    struct sc_artifact artifact;
    struct sc_slice object, text;
};

struct verifying {
    struct sc_queries *queries;
    json_t *rows;
    uint64_t sample, seen; // every sample-th object
    uint64_t objects, bytes, records, corrupt, missing;
    enum area area;
    struct query_fetches fetches;
    struct sc_arena arena; // of the outputs
    SC_LIST(struct output, outputs);
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

// What was found of an object's bytes.
static void judge(struct verifying *v, struct sc_slice name, uint64_t bytes, enum sc_rc rc,
                  const struct sc_error *story)
{
    v->bytes += rc == SC_OK ? bytes : 0;
    if (rc == SC_OK || rc == SC_NOT_FOUND) // it may have gone meanwhile
        return;
    if (rc == SC_CORRUPT || rc == SC_MALFORMED || rc == SC_VERSION) {
        v->corrupt++;
        remove_object(v, name); // so that the step that makes it runs again
        problem(v, "corrupt", name, story->message);
    } else {
        problem(v, "unreadable", name, story->message);
    }
}

static enum sc_rc check_bytes(const struct verifying *v, const struct sc_digest *digest, struct sc_slice body,
                              struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    sc_arena_init(&arena);
    if (v->area == TREE)
        return sc_tree_decode(body, digest, &arena, &tree, err);
    struct sc_digest found = sc_digest_of(body);
    return sc_digest_eq(&found, digest)
               ? SC_OK
               : sc_error_set(err, SC_CORRUPT, "its bytes are not what its name says");
}

static enum sc_rc check_fetched(void *context, const struct query_fetched *got, struct sc_error *err)
{
    struct verifying *v = context;
    struct sc_digest digest;
    struct sc_error own = *got->story;
    (void)err;
    SC_ASSERT(query_name_digest(got->name, &digest));
    enum sc_rc rc = got->rc == SC_OK ? check_bytes(v, &digest, got->body, &own) : got->rc;
    judge(v, got->name, got->body.len, rc, &own);
    return SC_OK;
}

// A file on this machine, however large.
static enum sc_rc check_here(const char *path, const struct sc_digest *digest, struct sc_error *err)
{
    struct sc_artifact found;
    struct sc_hash_options options = {.threads = 1};
    enum sc_rc rc = sc_hash_file(path, &options, &found, err);
    return rc == SC_OK && !sc_digest_eq(&found.digest, digest)
               ? sc_error_set(err, SC_CORRUPT, "its bytes are not what its name says")
               : rc;
}

// Through a file that has no name and is gone at once: bytes that come several parts at a time are hashed from there.
static enum sc_rc check_large(struct verifying *v, struct sc_slice name, const struct sc_digest *digest,
                              struct sc_error *err)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/verify-XXXXXX", v->queries->config.scratch);
    SC_AUTO_CLOSE int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "make the file %s", path);
    unlink(path);
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, name);
    op.to_fd = fd;
    op.sha256 = *digest;
    enum sc_rc rc = sc_store_wait(v->queries->store, &op);
    if (rc != SC_OK)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc verify_object(struct verifying *v, const struct sc_store_entry *entry)
{
    struct sc_digest digest;
    struct sc_error story = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    if (v->seen++ % v->sample != 0)
        return SC_OK;
    v->objects++;
    if (!query_name_digest(entry->name, &digest)) {
        problem(v, "unknown", entry->name, "no object of ours has such a name");
        return SC_OK;
    }
    enum sc_rc rc;
    if (v->area != TREE && sc_store_local_path(v->queries->store, entry->name, &path))
        rc = check_here(sc_buf_cstr(&path), &digest, &story);
    else if (v->area == TREE || entry->bytes <= WHOLE_BYTES)
        return query_fetch(&v->fetches, entry->name, entry->mtime_ms, NULL);
    else
        rc = check_large(v, entry->name, &digest, &story);
    judge(v, entry->name, entry->bytes, rc, &story);
    return SC_OK;
}

static enum sc_rc verify_page(void *context, const struct sc_store_op *list, struct sc_error *err)
{
    struct verifying *v = context;
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < list->entry_count && rc == SC_OK; i++)
        rc = sc_mailbox_closed(v->queries->box) ? sc_error_set(err, SC_CANCELLED, "the coordinator stops")
                                                : verify_object(v, &list->entries[i]);
    enum sc_rc ended = query_fetch_end(&v->fetches, v->fetches.rc != SC_OK ? err : NULL);
    return rc == SC_OK ? ended : rc;
}

// ---- records

enum { LOOKED_FOR_AT_ONCE = 1000 };

static void look_for_outputs(struct verifying *v)
{
    const struct sc_artifact **artifacts = sc_calloc(v->outputs.count + 1, sizeof *artifacts);
    enum sc_rc *rets = sc_calloc(v->outputs.count + 1, sizeof *rets);
    for (uint32_t i = 0; i < v->outputs.count; i++)
        artifacts[i] = &v->outputs.items[i].artifact;
    sc_objects_presence(v->queries->objects, artifacts, v->outputs.count, true, rets);
    for (uint32_t i = 0; i < v->outputs.count; i++) {
        if (rets[i] != SC_NOT_FOUND)
            continue;
        v->missing++;
        problem(v, "missing", v->outputs.items[i].object, (const char *)v->outputs.items[i].text.ptr);
    }
    free(artifacts);
    free(rets);
    v->outputs.count = 0;
    sc_arena_reset(&v->arena);
    v->outputs.items = SC_NEW_ARRAY(&v->arena, LOOKED_FOR_AT_ONCE, struct output);
}

static void want_output(struct verifying *v, const struct query_read_record *read,
                        const struct sc_record_output *output)
{
    if (v->outputs.count == LOOKED_FOR_AT_ONCE || !v->outputs.items)
        look_for_outputs(v);
    struct output *wanted = &v->outputs.items[v->outputs.count++];
    sc_artifact_copy(&v->arena, &output->artifact, &wanted->artifact);
    wanted->object = sc_arena_copy(&v->arena, read->name);
    wanted->text = sc_arena_printf(
        &v->arena, "output " SC_SLICE_FMT " of step " SC_SLICE_FMT " of pipeline " SC_SLICE_FMT " is gone",
        SC_SLICE_ARG(output->name), SC_SLICE_ARG(read->record.step), SC_SLICE_ARG(read->record.pipeline));
}

static enum sc_rc verify_record(void *context, const struct query_read_record *read, struct sc_error *err)
{
    struct verifying *v = context;
    (void)err;
    v->records++;
    if (read->rc == SC_NOT_FOUND)
        return SC_OK;
    if (read->rc != SC_OK && !sc_records_is_unreadable(read->rc)) {
        problem(v, "unreadable", read->name, read->story.message);
        return SC_OK;
    }
    if (read->rc != SC_OK) {
        v->corrupt++;
        problem(v, "corrupt", read->name, read->story.message);
        if (read->rc == SC_CORRUPT || read->rc == SC_MALFORMED) {
            remove_object(v, read->name);
            sc_index_remove(sc_storage_index(v->queries->storage), &read->key);
        }
        return SC_OK;
    }
    for (uint32_t i = 0; i < read->record.outputs.count; i++)
        if (!read->record.outputs.items[i].artifact.has_inline)
            want_output(v, read, &read->record.outputs.items[i]);
    return SC_OK;
}

static enum sc_rc verify_records(struct verifying *v, struct sc_error *err)
{
    struct query_records records = {
        .queries = v->queries, .visit = verify_record, .context = v, .sample = v->sample};
    enum sc_rc rc = query_each_record(&records, err);
    if (v->outputs.count)
        look_for_outputs(v);
    if (records.strange)
        problem(v, "unknown", sc_slice_str("key/"), "names below it are no records' names");
    return rc;
}

// "N", or nothing.
static enum sc_rc take_sample(const sc_text_list *args, uint64_t *ret_sample, struct sc_error *err)
{
    struct sc_slice text = args->count == 1 ? args->items[0] : sc_slice(NULL, 0);
    uint64_t n = args->count == 0;
    for (size_t i = 0; i < text.len && text.len < 10; i++)
        n = text.ptr[i] >= '0' && text.ptr[i] <= '9' ? n * 10 + (uint64_t)(text.ptr[i] - '0') : 0;
    if (n == 0)
        return sc_error_set(err, SC_INVALID,
                            "cache verify: which share is to be read? N for every Nth object");
    *ret_sample = n;
    return SC_OK;
}

static void end_row(struct verifying *v)
{
    json_t *row = json_object();
    json_object_set_new(row, "state", json_string("ok"));
    json_object_set_new(row, "objects", json_integer((json_int_t)v->objects));
    json_object_set_new(row, "bytes", json_integer((json_int_t)v->bytes));
    json_object_set_new(row, "records", json_integer((json_int_t)v->records));
    json_object_set_new(row, "corrupt", json_integer((json_int_t)v->corrupt));
    json_object_set_new(row, "missing", json_integer((json_int_t)v->missing));
    json_array_append_new(v->rows, row);
}

enum sc_rc query_verify(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    struct verifying v = {.queries = queries, .rows = json_array()};
    SC_AUTO_BUF struct sc_buf prefix;
    sc_buf_init(&prefix, 0);
    sc_arena_init(&v.arena);
    v.fetches = (struct query_fetches){.queries = queries, .visit = check_fetched, .context = &v};
    enum sc_rc rc = take_sample(&job->u.query.message.body.cache.args, &v.sample, err);
    for (v.area = CAS; v.area < AREAS && rc == SC_OK; v.area++) {
        sc_buf_clear(&prefix);
        sc_buf_printf(&prefix, "v1/" SC_SLICE_FMT "/%s/", SC_SLICE_ARG(queries->config.domain),
                      area_names[v.area]);
        v.seen = 0;
        v.fetches.max_bytes = v.area == TREE ? SC_LIMIT_TREE_BYTES : WHOLE_BYTES;
        rc = query_each_page(queries, sc_buf_slice(&prefix), verify_page, &v, err);
    }
    if (rc == SC_OK)
        rc = verify_records(&v, err);
    if (rc == SC_OK) {
        end_row(&v);
        query_send_rows(queries, job, v.rows);
    }
    json_decref(v.rows);
    sc_arena_done(&v.arena);
    return rc;
}
