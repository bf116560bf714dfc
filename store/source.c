#include "store/source.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/backend.h"
#include "store/hash_build.h"
#include "store/identity.h"
#include "store/object_impl.h"
#include "store/pack.h"
#include "store/source_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOOKS_MOST = 4 }; // at a source that changes while it is read

static struct sc_source_object object_at(const struct sc_source *source, struct sc_slice key)
{
    return (struct sc_source_object){
        .of = {.server = sc_store_server(source->from), .bucket = source->bucket, .key = key}};
}

static void pin(const struct sc_source *source, struct sc_source_object *object)
{
    object->pin = sc_pin(&object->of);
    object->known = sc_pinned_find(source->pinned, &object->pin, &object->digest);
}

static enum sc_rc fail_op(const struct sc_store_op *op, struct sc_error *err)
{
    if (err && op->rc != SC_OK)
        *err = op->err;
    return op->rc;
}

// ---- versions

static struct sc_identity_of identity_of(const struct sc_source *source, struct sc_slice key)
{
    return (struct sc_identity_of){
        .server = sc_store_server(source->from), .bucket = source->bucket, .key = key};
}

static enum sc_rc check_version(const struct sc_source *source, const struct sc_pin_of *of,
                                struct sc_slice wanted, struct sc_error *err)
{
    bool real = sc_identity_is_version(of->version);
    if (real && (wanted.len == 0 || sc_slice_eq(wanted, of->version)))
        return SC_OK;
    (void)sc_source_wrong(source, of->key, SC_UNSUPPORTED,
                          real ? "the server answers with another version than was asked for"
                               : "it has no version id, and `identity: version` needs one",
                          err);
    sc_error_hint(err, "leave `identity: version` out%s",
                  real ? "" : ", or switch on the bucket's versioning and upload the object again");
    return SC_UNSUPPORTED;
}

// Whether its bytes are to be read; what it is now is known.
static bool is_read(const struct sc_source *source, const struct sc_buf *identity)
{
    return !source->by_version || (source->store && (source->identity.len == 0 ||
                                                     sc_slice_eq(source->identity, sc_buf_slice(identity))));
}

static bool is_unknown(const struct sc_source *source, const struct sc_source_object *object)
{
    (void)source;
    return !object->known;
}

static bool is_any(const struct sc_source *source, const struct sc_source_object *object)
{
    (void)source;
    (void)object;
    return true;
}

// ---- among our objects

// By the server itself, where it holds both. SC_UNSUPPORTED: not possible, for whatever reason.
static enum sc_rc copy_there(const struct sc_source *source, const struct sc_source_object *object,
                             struct sc_error *err)
{
    struct sc_objects *objects = source->objects;
    const char *server = sc_store_server(objects->store);
    if (!server || strcmp(server, object->of.server) != 0)
        return SC_UNSUPPORTED;
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_COPY, sc_object_name(objects, SC_AREA_CAS, &object->digest));
    op.from = object->of.key;
    op.from_bucket = object->of.bucket;
    op.from_version = object->of.version;
    op.from_etag = object->of.etag;
    op.from_bytes = object->of.bytes;
    op.sha256 = object->digest;
    (void)sc_store_wait(objects->store, &op);
    enum sc_rc rc = fail_op(&op, err);
    sc_store_op_done(&op);
    if (rc == SC_OK)
        sc_object_set_put(objects, SC_AREA_CAS, &object->digest);
    return rc == SC_OK || rc == SC_BUSY ? rc : SC_UNSUPPORTED;
}

static enum sc_rc put_object(const struct sc_source *source, struct sc_source_object *object,
                             struct sc_error *err)
{
    if (!source->force && sc_object_keep(source->objects, SC_AREA_CAS, &object->digest) == SC_OK)
        return SC_OK;
    enum sc_rc rc = copy_there(source, object, err);
    if (rc != SC_UNSUPPORTED)
        return rc;
    rc = sc_source_read(source, object, 1, is_any, false, err);
    return rc == SC_OK
               ? sc_object_put_path(source->objects, &object->digest, object->path, true, source->force, err)
               : rc;
}

// ---- a file

static enum sc_rc look(const struct sc_source *source, struct sc_slice key, struct sc_slice version,
                       struct sc_arena *arena, struct sc_source_object *ret_object, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_HEAD, key);
    op.from_version = version;
    op.ask_checksum = sc_source_believes(source);
    (void)sc_store_wait(source->from, &op);
    enum sc_rc rc = fail_op(&op, err);
    if (rc == SC_OK) {
        *ret_object = object_at(source, key);
        ret_object->of.version =
            version.len && !source->by_version ? version : sc_arena_copy(arena, op.version);
        ret_object->of.etag = sc_arena_copy(arena, op.etag);
        ret_object->of.bytes = op.bytes;
        ret_object->of.mtime_s = op.mtime_ms / 1000;
        ret_object->archived = op.archived;
        pin(source, ret_object);
        sc_source_take_checksum(source, ret_object, &op.checksum);
    }
    if (rc == SC_OK && source->by_version)
        rc = check_version(source, &ret_object->of, version, err);
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc list(const struct sc_source *source, struct sc_slice prefix, uint32_t most, bool versions,
                       struct sc_store_op *ret_op, struct sc_error *err)
{
    sc_store_op_init(ret_op, SC_STORE_LIST, prefix);
    ret_op->max_entries = most;
    ret_op->versions = versions;
    ret_op->every_name = true;
    (void)sc_store_wait(source->from, ret_op);
    return fail_op(ret_op, err);
}

// A HEAD has no words: why there is nothing under this key.
static enum sc_rc explain_absent(const struct sc_source *source, struct sc_slice key, struct sc_slice version,
                                 struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf folder;
    sc_buf_init(&folder, 0);
    sc_buf_add_slice(&folder, key);
    sc_buf_add_byte(&folder, '/');
    struct sc_store_op op;
    enum sc_rc rc = list(source, sc_buf_slice(&folder), 1, false, &op, err);
    bool is_prefix = rc == SC_OK && op.entry_count > 0;
    sc_store_op_done(&op);
    if (rc == SC_UNREACHABLE) // no such bucket, or nobody there
        return rc;
    if (source->identity.len) {
        (void)sc_source_wrong(source, key, SC_NOT_FOUND, "the version that the run began with is gone", err);
        sc_error_hint(err, "start the run again");
        return SC_NOT_FOUND;
    }
    (void)sc_source_wrong(source, key, SC_NOT_FOUND,
                          version.len ? "there is no such version" : "there is no such object", err);
    sc_error_hint(err, is_prefix ? "it is a prefix: write it with a trailing slash" : "correct `sources`");
    return SC_NOT_FOUND;
}

static enum sc_rc take_file(const struct sc_source *source, struct sc_source_object *object,
                            struct sc_error *err)
{
    enum sc_rc rc = sc_source_read(source, object, 1, is_unknown, false, err);
    return rc == SC_OK && source->store ? put_object(source, object, err) : rc;
}

static enum sc_rc clear(const struct sc_source *source, struct sc_error *err)
{
    return sc_dir_remove(source->scratch, err);
}

static bool has_moved(enum sc_rc rc)
{
    return rc == SC_BUSY || rc == SC_NOT_FOUND;
}

static enum sc_rc pin_and_take(const struct sc_source *source, struct sc_slice key, struct sc_slice version,
                               struct sc_sourced *ret, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_source_object object = {.known = false};
    enum sc_rc rc = SC_BUSY;
    if (version.len == 0)
        version = sc_identity_version(source->identity);
    for (uint32_t looks = 0; looks < LOOKS_MOST && has_moved(rc); looks++) {
        rc = clear(source, err);
        if (rc == SC_OK)
            rc = look(source, key, version, &arena, &object, err);
        if (rc == SC_NOT_FOUND)
            return explain_absent(source, key, version, err);
        if (rc != SC_OK)
            return rc;
        object.path = (const char *)sc_arena_printf(&arena, "%s/object", source->scratch).ptr;
        sc_buf_clear(&ret->identity);
        if (source->by_version) {
            struct sc_identity_of of = identity_of(source, key);
            sc_identity_of_object(&of, object.of.version, &ret->identity);
        }
        if (!is_read(source, &ret->identity))
            return SC_OK;
        rc = take_file(source, &object, err);
    }
    ret->artifact = (struct sc_artifact){.kind = SC_ARTIFACT_FILE,
                                         .digest = object.digest,
                                         .bytes = object.of.bytes,
                                         .files = 1,
                                         .ext = sc_artifact_ext(key)};
    return rc;
}

static void sourced_init(struct sc_sourced *sourced)
{
    *sourced = (struct sc_sourced){.artifact = {.bytes = 0}};
    sc_buf_init(&sourced->identity, 0);
}

static enum sc_rc ended(const struct sc_source *source, enum sc_rc rc, struct sc_error *err)
{
    enum sc_rc cleared = clear(source, rc == SC_OK ? err : NULL);
    return rc == SC_OK ? cleared : rc;
}

enum sc_rc sc_source_file(const struct sc_source *source, struct sc_slice key, struct sc_slice version,
                          struct sc_sourced *ret_sourced, struct sc_error *err)
{
    sourced_init(ret_sourced);
    return ended(source, pin_and_take(source, key, version, ret_sourced, err), err);
}

// ---- a folder

struct folder {
    const struct sc_source *source;
    struct sc_arena arena;
    struct sc_source_object *objects; // in the order of their keys
    uint32_t count;
    size_t skip; // of a key: the prefix and its slash
    struct sc_hash_folder *root;
};

static int by_name(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct sc_hash_item *)a)->name, ((const struct sc_hash_item *)b)->name);
}

// The part of a key at `at`, up to its slash; ret_more: one follows.
static struct sc_slice part_at(const struct sc_source_object *object, size_t at, bool *ret_more)
{
    struct sc_slice rest = sc_slice_from(object->of.key, at);
    const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    *ret_more = slash != NULL;
    return slash ? sc_slice(rest.ptr, (size_t)(slash - rest.ptr)) : rest;
}

// Behind the last key from `first` on that lies in the same folder as it.
static uint32_t end_of(const struct folder *f, uint32_t first, uint32_t end, size_t at, struct sc_slice part)
{
    uint32_t i = first + 1;
    for (; i < end; i++) {
        bool more;
        struct sc_slice other = part_at(&f->objects[i], at, &more);
        if (!more || !sc_slice_eq(other, part))
            break;
    }
    return i;
}

static enum sc_rc check_key(const struct folder *f, const struct sc_source_object *object,
                            struct sc_slice part, uint32_t depth, struct sc_error *err)
{
    if (depth >= SC_LIMIT_TREE_DEPTH)
        return sc_source_wrong(f->source, object->of.key, SC_LIMIT, "it lies too deep for a file", err);
    if (sc_store_name_is_valid(part))
        return SC_OK;
    (void)sc_source_wrong(f->source, object->of.key, SC_UNSUPPORTED, "no file can have this name", err);
    sc_error_hint(err, "name a prefix without it, or copy the object under another name");
    return SC_UNSUPPORTED;
}

static enum sc_rc check_marker(const struct folder *f, const struct sc_source_object *object,
                               struct sc_error *err)
{
    if (object->of.bytes == 0)
        return SC_OK;
    return sc_source_wrong(f->source, object->of.key, SC_UNSUPPORTED,
                           "its name is a folder's, and it holds bytes", err);
}

static enum sc_rc check_names(const struct folder *f, const struct sc_hash_folder *folder,
                              struct sc_slice above, struct sc_error *err)
{
    for (uint32_t i = 1; i < folder->count; i++)
        if (sc_slice_eq(folder->items[i - 1].name, folder->items[i].name)) {
            (void)sc_error_set(
                err, SC_UNSUPPORTED,
                "s3://" SC_SLICE_FMT "/" SC_SLICE_FMT SC_SLICE_FMT ": it is both an object and a prefix",
                SC_SLICE_ARG(f->source->bucket), SC_SLICE_ARG(above), SC_SLICE_ARG(folder->items[i].name));
            sc_error_hint(err, "no folder can hold both: move one of them");
            return SC_UNSUPPORTED;
        }
    return SC_OK;
}

// A folder of the objects first … end, whose keys are the same up to `at`.
static enum sc_rc build(struct folder *f, uint32_t first, uint32_t end, size_t at, uint32_t depth,
                        struct sc_hash_folder **ret_folder, struct sc_error *err)
{
    struct sc_hash_folder *folder = SC_NEW(&f->arena, struct sc_hash_folder);
    folder->items = SC_NEW_ARRAY(&f->arena, end - first, struct sc_hash_item);
    for (uint32_t i = first; i < end;) {
        struct sc_source_object *object = &f->objects[i];
        bool more;
        struct sc_slice part = part_at(object, at, &more);
        if (part.len == 0 && !more) { // the folder's own marker
            enum sc_rc rc = check_marker(f, object, err);
            if (rc != SC_OK)
                return rc;
            i++;
            continue;
        }
        enum sc_rc rc = check_key(f, object, part, depth, err);
        if (rc != SC_OK)
            return rc;
        struct sc_hash_item *item = &folder->items[folder->count++];
        item->name = part;
        if (!more) {
            item->kind = SC_ENTRY_FILE;
            item->bytes = object->of.bytes;
            i++;
            continue;
        }
        item->kind = SC_ENTRY_DIR;
        uint32_t next = end_of(f, i, end, at, part);
        rc = build(f, i, next, at + part.len + 1, depth + 1, &item->folder, err);
        if (rc != SC_OK)
            return rc;
        i = next;
    }
    if (folder->count)
        qsort(folder->items, folder->count, sizeof *folder->items, by_name);
    *ret_folder = folder;
    return check_names(f, folder, sc_slice(f->objects[first].of.key.ptr, at), err);
}

// Sorting moved the items.
static void find_items(struct folder *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct sc_hash_folder *folder = f->root;
        bool more = true;
        size_t at = f->skip;
        f->objects[i].item = NULL;
        while (folder) {
            struct sc_hash_item like = {.name = part_at(&f->objects[i], at, &more)};
            struct sc_hash_item *item =
                folder->count ? bsearch(&like, folder->items, folder->count, sizeof like, by_name) : NULL;
            if (!more)
                f->objects[i].item = item;
            folder = more && item ? item->folder : NULL;
            at += like.name.len + 1;
        }
    }
}

static enum sc_rc pin_all(struct folder *f, struct sc_slice prefix, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf below;
    sc_buf_init(&below, 0);
    sc_buf_add_slice(&below, prefix);
    if (prefix.len)
        sc_buf_add_byte(&below, '/');
    struct sc_store_op op;
    enum sc_rc rc =
        list(f->source, sc_buf_slice(&below), SC_LIMIT_SOURCE_OBJECTS + 1, f->source->by_version, &op, err);
    f->skip = below.len;
    f->count = op.entry_count;
    f->objects = SC_NEW_ARRAY(&f->arena, f->count, struct sc_source_object);
    for (uint32_t i = 0; rc == SC_OK && i < f->count; i++) {
        const struct sc_store_entry *entry = &op.entries[i];
        struct sc_source_object *object = &f->objects[i];
        *object = object_at(f->source, sc_arena_copy(&f->arena, entry->name));
        object->of.version = sc_arena_copy(&f->arena, entry->version);
        object->of.etag = sc_arena_copy(&f->arena, entry->etag);
        object->of.bytes = entry->bytes;
        object->of.mtime_s = entry->mtime_ms / 1000;
        if (f->source->by_version)
            rc = check_version(f->source, &object->of, (struct sc_slice){NULL, 0}, err);
        if (entry->name.ptr[entry->name.len - 1] == '/')
            continue;
        object->path = (const char *)sc_arena_printf(&f->arena, "%s/" SC_SLICE_FMT, f->source->scratch,
                                                     SC_SLICE_ARG(sc_slice_from(object->of.key, f->skip)))
                           .ptr;
        pin(f->source, object);
    }
    sc_store_op_done(&op);
    if (rc != SC_OK)
        return rc;
    if (f->count > SC_LIMIT_SOURCE_OBJECTS)
        return sc_source_wrong(f->source, sc_buf_slice(&below), SC_LIMIT,
                               "more than 1000000 objects lie below it", err);
    if (f->count == 0) {
        (void)sc_source_wrong(f->source, sc_buf_slice(&below), SC_NOT_FOUND, "nothing lies below it", err);
        sc_error_hint(err, "correct `sources`; an object is written without a slash at its end");
        return SC_NOT_FOUND;
    }
    return build(f, 0, f->count, f->skip, 0, &f->root, err);
}

// What sc_objects_put_tree reads: small files of a bucket lie in packs, which are made here; by force, all.
static bool is_packed(const struct sc_source *source, const struct sc_source_object *object)
{
    return source->force ||
           (!sc_store_local_root(source->objects->store) && object->of.bytes <= SC_PACK_FILE_BYTES);
}

static enum sc_rc put_folder(struct folder *f, const struct sc_tree *tree, struct sc_error *err)
{
    const struct sc_source *source = f->source;
    const struct sc_digest *root = &tree->nodes.items[0].digest;
    bool local = sc_store_local_root(source->objects->store) != NULL;
    if (!local && !source->force && sc_object_keep(source->objects, SC_AREA_TREE, root) == SC_OK)
        return SC_OK;
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < f->count && rc == SC_OK; i++)
        if (!sc_source_is_folder(&f->objects[i]) && !is_packed(source, &f->objects[i]))
            rc = put_object(source, &f->objects[i], err);
    if (rc == SC_OK)
        rc = sc_source_read(source, f->objects, f->count, is_packed, false, err);
    return rc == SC_OK ? sc_objects_put_tree(source->objects, source->scratch, tree, true, source->force, err)
                       : rc;
}

static void identify(const struct folder *f, struct sc_slice prefix, struct sc_buf *ret_identity)
{
    struct sc_identity_of of = identity_of(f->source, prefix);
    struct sc_identity_digest digest;
    sc_identity_digest_begin(&digest, f->count);
    for (uint32_t i = 0; i < f->count; i++)
        sc_identity_digest_add(&digest, sc_slice_from(f->objects[i].of.key, f->skip),
                               f->objects[i].of.version);
    sc_identity_of_prefix(&of, &digest, ret_identity);
}

static enum sc_rc take_folder(struct folder *f, struct sc_slice prefix, struct sc_sourced *ret,
                              bool *ret_pinned, struct sc_error *err)
{
    enum sc_rc rc = pin_all(f, prefix, err);
    *ret_pinned = rc == SC_OK;
    ret->artifact = (struct sc_artifact){.bytes = 0};
    sc_buf_clear(&ret->identity);
    if (rc == SC_OK && f->source->by_version)
        identify(f, prefix, &ret->identity);
    if (rc == SC_OK && !is_read(f->source, &ret->identity))
        return SC_OK;
    if (rc == SC_OK)
        rc = sc_source_read(f->source, f->objects, f->count, is_unknown, true, err);
    if (rc != SC_OK)
        return rc;
    find_items(f);
    for (uint32_t i = 0; i < f->count; i++)
        if (f->objects[i].item)
            f->objects[i].item->digest = f->objects[i].digest;
    struct sc_hash_scratch scratch = {.count = 0};
    struct sc_tree tree;
    sc_buf_init(&scratch.encoding, 0);
    sc_hash_build(f->root, true, &scratch, &f->arena, &tree);
    sc_buf_done(&scratch.encoding);
    free(scratch.entries);
    if (f->source->store)
        rc = put_folder(f, &tree, err);
    ret->artifact = sc_hash_dir_artifact(&tree);
    return rc;
}

enum sc_rc sc_source_dir(const struct sc_source *source, struct sc_slice prefix,
                         struct sc_sourced *ret_sourced, struct sc_error *err)
{
    enum sc_rc rc = SC_BUSY;
    bool pinned = true;
    sourced_init(ret_sourced);
    for (uint32_t looks = 0; looks < LOOKS_MOST && has_moved(rc) && pinned; looks++) {
        struct folder f = {.source = source};
        sc_arena_init(&f.arena);
        rc = clear(source, err);
        if (rc == SC_OK)
            rc = take_folder(&f, prefix, ret_sourced, &pinned, err);
        sc_arena_done(&f.arena);
    }
    return ended(source, rc, err);
}
