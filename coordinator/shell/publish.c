// Published outputs (3-FORMATS, "The bucket"): plain objects under a prefix that names their content, a manifest after them, and
// latest.json, which moves forward only. Where the manifest is there, what is there with the right size is not written again.
#include "coordinator/shell/placing.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "store/names.h"
#include "store/pack.h"
#include "store/pack_reader.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

struct publishing {
    struct storage_writer *writer;
    const struct sc_close_out *what;
    const struct sc_publish_item *item;
    struct sc_arena *arena;
    json_t *files;                // of the manifest
    bool before;                  // it was published before, as its manifest says
    uint64_t manifest_bytes;      // of that manifest
    uint64_t written;             // files
    struct placing *placing;      // NULL: the store is a folder of this machine
    struct sc_pack_reader *packs; // of the folder, where its small files lie together
};

static json_t *text_of(struct sc_slice s)
{
    json_t *text = json_stringn((const char *)s.ptr, s.len);
    return text ? text : json_string("(not UTF-8)");
}

static json_t *digest_text(const struct sc_digest *digest)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    return json_string(hex);
}

static struct sc_slice name_of(const struct publishing *p, struct sc_slice rest)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_name_out(&name, p->writer->storage->config.domain, p->what->namespace_, p->what->pipeline,
                p->item->step, p->item->output, &p->item->artifact.digest, rest);
    return sc_arena_copy(p->arena, sc_buf_slice(&name));
}

static bool is_there(struct storage_writer *writer, struct sc_slice name, uint64_t bytes)
{
    uint64_t there;
    return storage_has_named(writer->store, name, &there) && there == bytes;
}

// path NULL: bytes.
static enum sc_rc put_from(struct publishing *p, struct sc_slice name, const struct sc_artifact *artifact,
                           const char *path, struct sc_slice bytes, bool move, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, name);
    op.exec = artifact->exec;
    op.body_path = path;
    op.body = bytes;
    op.move_body = move;
    enum sc_rc rc = sc_store_wait(p->writer->store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

static bool has_inline(const struct sc_artifact *artifact)
{
    struct sc_digest digest =
        artifact->has_inline ? sc_digest_of(artifact->inline_bytes) : (struct sc_digest){{0}};
    return artifact->has_inline && sc_digest_eq(&digest, &artifact->digest);
}

// As an object in the store, and neither inline nor in a pack.
static bool lies_alone(const struct publishing *p, const struct sc_artifact *artifact)
{
    return !has_inline(artifact) && !(p->packs && artifact->bytes <= SC_PACK_FILE_BYTES);
}

// Of what does not lie alone.
static enum sc_rc bytes_of(void *context, const struct sc_artifact *artifact, struct sc_slice *ret_bytes,
                           struct sc_error *err)
{
    struct publishing *p = context;
    if (!has_inline(artifact))
        return sc_pack_reader_get(p->packs, &artifact->digest, ret_bytes, err);
    *ret_bytes = artifact->inline_bytes;
    return SC_OK;
}

// A server copies within itself what it has.
static void place_file(struct publishing *p, struct sc_slice name, const struct sc_artifact *artifact)
{
    SC_AUTO_BUF struct sc_buf from;
    sc_buf_init(&from, SC_LIMIT_PATH_BYTES);
    if (lies_alone(p, artifact))
        sc_name_cas(&from, p->writer->storage->config.domain, &artifact->digest);
    placing_add(p->placing, name, artifact, sc_buf_slice(&from), p->before);
}

static enum sc_rc put_file(struct publishing *p, struct sc_slice name, const struct sc_artifact *artifact,
                           struct sc_error *err)
{
    if (p->placing) {
        place_file(p, name, artifact);
        return SC_OK; // how it went is told at the end
    }
    if (p->before && is_there(p->writer, name, artifact->bytes))
        return SC_OK;
    p->written++;
    if (!lies_alone(p, artifact)) {
        struct sc_slice bytes;
        enum sc_rc rc = bytes_of(p, artifact, &bytes, err);
        return rc == SC_OK ? put_from(p, name, artifact, NULL, bytes, false, err) : rc;
    }
    if (artifact->exec) { // a checked copy of its own, which the store then takes
        const char *copy = storage_scratch(p->writer, p->arena);
        enum sc_rc rc = sc_objects_extract(p->writer->objects, artifact, copy, err);
        if (rc == SC_OK)
            rc = put_from(p, name, artifact, copy, sc_slice(NULL, 0), true, err);
        unlink(copy);
        return rc;
    }
    SC_AUTO_BUF struct sc_buf path;
    struct sc_digest lost;
    sc_buf_init(&path, SC_LIMIT_PATH_BYTES);
    enum sc_rc rc = sc_objects_local(p->writer->objects, artifact, &path, &lost, err);
    if (rc != SC_OK)
        return rc;
    rc = put_from(p, name, artifact, sc_buf_cstr(&path), sc_slice(NULL, 0), false, err);
    sc_objects_unpin(p->writer->objects, artifact);
    return rc;
}

static void list_file(struct publishing *p, struct sc_slice path, const struct sc_artifact *artifact)
{
    json_t *file = json_object();
    json_object_set_new(file, "path", text_of(path));
    json_object_set_new(file, "digest", digest_text(&artifact->digest));
    json_object_set_new(file, "bytes", json_integer((json_int_t)artifact->bytes));
    if (artifact->exec)
        json_object_set_new(file, "exec", json_true());
    json_array_append_new(p->files, file);
}

static enum sc_rc put_entries(struct publishing *p, const struct sc_tree *tree,
                              const struct sc_digest *digest, struct sc_slice folder, int depth,
                              struct sc_error *err)
{
    const struct sc_tree_node *node = depth ? sc_tree_find(tree, digest) : NULL;
    if (!node)
        return sc_error_set(err, SC_CORRUPT, "a folder's tree has no node, or is too deep");
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < node->entries.count && rc == SC_OK; i++) {
        const struct sc_tree_entry *entry = &node->entries.items[i];
        struct sc_slice path = folder.len ? sc_arena_printf(p->arena, SC_SLICE_FMT "/" SC_SLICE_FMT,
                                                            SC_SLICE_ARG(folder), SC_SLICE_ARG(entry->name))
                                          : entry->name;
        if (entry->kind == SC_ENTRY_DIR) {
            rc = put_entries(p, tree, &entry->digest, path, depth - 1, err);
        } else if (entry->kind ==
                   SC_ENTRY_LINK) { // a plain object cannot be a link: the manifest tells of it
            json_t *link = json_object();
            json_object_set_new(link, "path", text_of(path));
            json_object_set_new(link, "link", text_of(entry->target));
            json_array_append_new(p->files, link);
        } else {
            struct sc_artifact file = {.kind = SC_ARTIFACT_FILE,
                                       .exec = entry->kind == SC_ENTRY_EXEC,
                                       .digest = entry->digest,
                                       .bytes = entry->bytes,
                                       .files = 1};
            // Below a name of its own: the prefix holds the manifest too.
            rc = put_file(p,
                          name_of(p, sc_arena_printf(p->arena, SC_SLICE_FMT "/" SC_SLICE_FMT,
                                                     SC_SLICE_ARG(p->item->output), SC_SLICE_ARG(path))),
                          &file, err);
            list_file(p, path, &file);
        }
    }
    return rc;
}

static enum sc_rc finish_placing(struct publishing *p, enum sc_rc rc, struct sc_error *err)
{
    if (!p->placing)
        return rc;
    enum sc_rc placed = placing_finish(SC_STEAL(p->placing), &p->written, rc == SC_OK ? err : NULL);
    return rc == SC_OK ? placed : rc;
}

static enum sc_rc put_folder(struct publishing *p, struct sc_error *err)
{
    struct sc_tree tree;
    enum sc_rc rc = sc_objects_get_tree(p->writer->objects, &p->item->artifact.digest, p->arena, &tree, err);
    if (rc != SC_OK)
        return finish_placing(p, rc, err);
    if (tree.packs.count)
        p->packs = sc_pack_reader_new(p->writer->objects, tree.packs.items, tree.packs.count);
    rc = put_entries(p, &tree, &p->item->artifact.digest, sc_slice(NULL, 0), SC_LIMIT_TREE_DEPTH + 1, err);
    rc = finish_placing(p, rc, err);
    sc_pack_reader_free(SC_STEAL(p->packs));
    return rc;
}

static const char manifest_name[] = "manifest.json";

static char *text_of_json(const json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
    SC_ASSERT(text != NULL);
    return text;
}

static enum sc_rc put_manifest(struct publishing *p, struct sc_error *err)
{
    const struct sc_artifact *artifact = &p->item->artifact;
    json_t *manifest = json_object();
    json_object_set_new(manifest, "v", json_integer(1));
    json_object_set_new(manifest, "namespace", text_of(p->what->namespace_));
    json_object_set_new(manifest, "pipeline", text_of(p->what->pipeline));
    json_object_set_new(manifest, "step", text_of(p->item->step));
    json_object_set_new(manifest, "output", text_of(p->item->output));
    json_object_set_new(manifest, "kind", json_string(artifact->kind == SC_ARTIFACT_DIR ? "dir" : "file"));
    json_object_set_new(manifest, "digest", digest_text(&artifact->digest));
    json_object_set_new(manifest, "bytes", json_integer((json_int_t)artifact->bytes));
    json_object_set(manifest, "files", p->files);
    SC_AUTO_FREE char *text = text_of_json(manifest);
    json_decref(manifest);
    if (p->before && p->written == 0 && p->manifest_bytes == strlen(text))
        return SC_OK;
    return storage_put_named(p->writer->store, name_of(p, sc_slice_str(manifest_name)), sc_slice_str(text),
                             err);
}

// The instance of a matrix step in the published name: report[lr=0.1].
static struct sc_slice published_name(const struct publishing *p)
{
    const uint8_t *bracket = p->item->step.len ? memchr(p->item->step.ptr, '[', p->item->step.len) : NULL;
    if (!bracket)
        return p->item->name;
    struct sc_slice label = sc_slice_from(p->item->step, (size_t)(bracket - p->item->step.ptr));
    return sc_arena_printf(p->arena, SC_SLICE_FMT SC_SLICE_FMT, SC_SLICE_ARG(p->item->name),
                           SC_SLICE_ARG(label));
}

static struct sc_slice uri_of(const struct publishing *p, struct sc_slice rest)
{
    struct sc_slice name = name_of(p, rest);
    const char *root = sc_store_local_root(p->writer->store);
    const char *url = sc_store_url(p->writer->store);
    int len = (int)strcspn(url, "?"); // how it is reached is no part of what it is called
    while (len > 0 && url[len - 1] == '/')
        len--;
    return root ? sc_arena_printf(p->arena, "dir:%s/" SC_SLICE_FMT, root, SC_SLICE_ARG(name))
                : sc_arena_printf(p->arena, "%.*s/" SC_SLICE_FMT, len, url, SC_SLICE_ARG(name));
}

static enum sc_rc publish_one(struct publishing *p, struct sc_published *ret_output, struct sc_error *err)
{
    const struct sc_artifact *artifact = &p->item->artifact;
    struct sc_slice file = sc_arena_printf(p->arena, SC_SLICE_FMT SC_SLICE_FMT, SC_SLICE_ARG(p->item->output),
                                           SC_SLICE_ARG(artifact->ext));
    enum sc_rc rc;
    p->files = json_array();
    p->before =
        storage_has_named(p->writer->store, name_of(p, sc_slice_str(manifest_name)), &p->manifest_bytes);
    if (!sc_store_local_root(p->writer->store))
        p->placing = placing_new(p->writer->store, bytes_of, p);
    if (artifact->kind == SC_ARTIFACT_DIR) {
        rc = put_folder(p, err);
    } else {
        rc = finish_placing(p, put_file(p, name_of(p, file), artifact, err), err);
        list_file(p, file, artifact);
    }
    if (rc == SC_OK)
        rc = put_manifest(p, err);
    json_decref(p->files);
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "publish " SC_SLICE_FMT " of step " SC_SLICE_FMT,
                             SC_SLICE_ARG(p->item->output), SC_SLICE_ARG(p->item->step));
    *ret_output = (struct sc_published){
        .name = published_name(p),
        .digest = artifact->digest,
        .bytes = artifact->bytes,
        .uri = uri_of(p, artifact->kind == SC_ARTIFACT_DIR ? p->item->output : file),
    };
    return SC_OK;
}

// ---- latest.json

static json_t *read_latest(struct storage_writer *writer, struct sc_slice name)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    if (storage_get_named(writer->store, name, 64u << 20, &bytes, NULL) != SC_OK)
        return json_object();
    json_t *latest = json_loadb((const char *)bytes.ptr, bytes.len, 0, NULL);
    if (json_is_object(latest))
        return latest;
    json_decref(latest);
    return json_object(); // rotten: what is newest now is true anyway
}

// Whether a run is newer than what stands in latest.json. One that ended just now, by the clock that timed it, is, though
// the clock that timed the other be ahead; one that comes late, since the store refused, is compared.
static bool is_newer(const struct sc_close_out *what, const json_t *old)
{
    enum { LATE_MS = 60000 };
    int64_t late_ms = sc_clock_wall_ms() - what->ended_at;
    return (late_ms >= 0 && late_ms < LATE_MS) ||
           json_integer_value(json_object_get(old, "ended_at")) <= what->ended_at;
}

static enum sc_rc move_latest(struct storage_writer *writer, const struct sc_job *job, struct sc_error *err)
{
    const struct sc_close_out *what = &job->u.close_out.what;
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_name_out_latest(&name, writer->storage->config.domain, what->namespace_, what->pipeline);
    json_t *latest = read_latest(writer, sc_buf_slice(&name));
    json_t *outputs = json_object_get(latest, "outputs");
    if (!json_is_object(outputs)) {
        outputs = json_object();
        json_object_set_new(latest, "outputs", outputs);
    }
    json_object_set_new(latest, "v", json_integer(1));
    bool moved = false;
    for (uint32_t i = 0; i < job->u.close_out.output_count; i++) {
        const struct sc_published *output = &job->u.close_out.outputs[i];
        char *key = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(output->name));
        if (is_newer(what, json_object_get(outputs, key))) {
            json_t *entry = json_object();
            json_object_set_new(entry, "uri", text_of(output->uri));
            json_object_set_new(entry, "digest", digest_text(&output->digest));
            json_object_set_new(entry, "bytes", json_integer((json_int_t)output->bytes));
            json_object_set_new(entry, "run", text_of(what->run));
            json_object_set_new(entry, "ended_at", json_integer(what->ended_at));
            json_object_set_new(outputs, key, entry);
            moved = true;
        }
        free(key);
    }
    SC_AUTO_FREE char *text = text_of_json(latest);
    json_decref(latest);
    return moved ? storage_put_named(writer->store, sc_buf_slice(&name), sc_slice_str(text), err) : SC_OK;
}

enum sc_rc storage_publish(struct storage_writer *writer, struct sc_job *job, struct sc_error *err)
{
    const struct sc_close_out *what = &job->u.close_out.what;
    job->u.close_out.outputs = SC_NEW_ARRAY(&job->arena, what->publish.count, struct sc_published);
    job->u.close_out.output_count = 0;
    for (uint32_t i = 0; i < what->publish.count; i++) {
        struct publishing p = {
            .writer = writer, .what = what, .item = &what->publish.items[i], .arena = &job->arena};
        enum sc_rc rc = publish_one(&p, &job->u.close_out.outputs[i], err);
        if (rc != SC_OK)
            return rc;
        job->u.close_out.output_count++;
    }
    return what->publish.count ? move_latest(writer, job, err) : SC_OK;
}
