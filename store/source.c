#include "store/source.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/backend.h"
#include "store/hash_build.h"
#include "store/object_impl.h"
#include "store/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

enum {
    AT_ONCE = 16,      // objects that are read
    LOOKS_MOST = 4,    // at a source that changes while it is read
    READINGS_MOST = 4, // of an object, until two agree
};

struct object {
    struct sc_pin_of of;
    struct sc_digest pin, digest;
    bool known;                // the digest
    bool here;                 // its bytes lie at path
    bool archived;             // cannot be read
    const char *path;          // where they are to lie
    struct sc_hash_item *item; // of a folder
};

static bool is_folder(const struct object *object)
{
    return object->path == NULL;
}

static struct object object_at(const struct sc_source *source, struct sc_slice key)
{
    return (struct object){
        .of = {.server = sc_store_server(source->from), .bucket = source->bucket, .key = key}};
}

static void pin(const struct sc_source *source, struct object *object)
{
    object->pin = sc_pin(&object->of);
    object->known = sc_pinned_find(source->pinned, &object->pin, &object->digest);
}

static enum sc_rc wrong(const struct sc_source *source, struct sc_slice key, enum sc_rc rc, const char *what,
                        struct sc_error *err)
{
    return sc_error_set(err, rc, "s3://" SC_SLICE_FMT "/" SC_SLICE_FMT ": %s", SC_SLICE_ARG(source->bucket),
                        SC_SLICE_ARG(key), what);
}

static enum sc_rc fail_op(const struct sc_store_op *op, struct sc_error *err)
{
    if (err && op->rc != SC_OK)
        *err = op->err;
    return op->rc;
}

// ---- reading

// An etag that is the MD5 of what came vouches for it.
static bool is_md5(const char *path, struct sc_slice etag)
{
    if (etag.len != 32)
        return false;
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t bytes[64 << 10], sum[EVP_MAX_MD_SIZE];
    bool good = fd >= 0 && context && EVP_DigestInit_ex(context, EVP_md5(), NULL);
    for (ssize_t n = 1; good && n > 0;) {
        n = read(fd, bytes, sizeof bytes);
        good = n >= 0 && EVP_DigestUpdate(context, bytes, (size_t)n);
    }
    good = good && EVP_DigestFinal_ex(context, sum, NULL);
    EVP_MD_CTX_free(context);
    for (size_t i = 0; good && i < 16; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", sum[i]);
        good = memcmp(hex, etag.ptr + 2 * i, 2) == 0;
    }
    return good;
}

struct reading {
    struct sc_store_op op;
    struct reader *reader;
    struct object *object;
    int fd;
    uint32_t times;
    struct sc_digest before; // of the time before
    struct reading *prev, *next;
};

struct reader {
    const struct sc_source *source;
    uint32_t open;
    struct reading *answered;
    enum sc_rc rc; // the first failure
    struct sc_error *err;
};

static void answered(struct sc_store_op *op)
{
    struct reading *r = op->context;
    DL_APPEND(r->reader->answered, r);
}

static void ask(struct reading *r)
{
    const struct sc_pin_of *of = &r->object->of;
    sc_store_op_init(&r->op, SC_STORE_GET, of->key);
    r->op.to_fd = r->fd;
    r->op.from_version = of->version;
    r->op.from_etag = of->etag;
    r->op.done = answered;
    r->op.context = r;
    sc_store_submit(r->reader->source->from, &r->op);
}

// TLS vouches for what came. Without it an object is read until its etag does, or two readings agree: a wrong digest would be
// remembered.
static bool is_sure(const struct reading *r, const struct sc_digest *digest)
{
    return !sc_slice_starts(sc_slice_str(r->object->of.server), "http://") ||
           sc_digest_eq(digest, &r->before) || is_md5(r->object->path, r->object->of.etag);
}

// Whether it is to be read again.
static enum sc_rc take_bytes(struct reading *r, bool *ret_again, struct sc_error *err)
{
    struct object *object = r->object;
    struct sc_artifact artifact;
    const struct sc_hash_options options = {.threads = 1};
    if (r->op.bytes != object->of.bytes)
        return wrong(r->reader->source, object->of.key, SC_BUSY, "it changed while it was read", err);
    enum sc_rc rc = sc_hash_file(object->path, &options, &artifact, err);
    if (rc != SC_OK)
        return rc;
    *ret_again = !is_sure(r, &artifact.digest);
    r->before = artifact.digest;
    if (*ret_again)
        return ++r->times < READINGS_MOST
                   ? SC_OK
                   : wrong(r->reader->source, object->of.key, SC_CORRUPT,
                           "each time it is read it is another: something changes bytes on the way", err);
    bool another = object->known && !sc_digest_eq(&object->digest, &artifact.digest);
    object->digest = artifact.digest;
    object->known = object->here = true;
    sc_pinned_remember(r->reader->source->pinned, &object->pin, &object->digest);
    return another
               ? wrong(r->reader->source, object->of.key, SC_BUSY, "it is another under the same etag", err)
               : SC_OK;
}

static void take_answer(struct reading *r)
{
    struct reader *reader = r->reader;
    struct sc_error err = SC_ERROR_INIT;
    bool again = false;
    enum sc_rc rc = fail_op(&r->op, &err);
    if (rc == SC_OK)
        rc = take_bytes(r, &again, &err);
    else if (r->op.archived)
        r->object->archived = true;
    sc_store_op_done(&r->op);
    if (rc == SC_OK && again && ftruncate(r->fd, 0) == 0) {
        ask(r);
        return;
    }
    if (rc != SC_OK && reader->rc == SC_OK) {
        reader->rc = rc;
        if (reader->err)
            *reader->err = err;
    }
    close(r->fd);
    free(r);
    reader->open--;
}

static void wait_for(struct reader *reader, uint32_t most)
{
    for (;;) {
        for (struct reading *r; (r = reader->answered);) {
            DL_DELETE(reader->answered, r);
            take_answer(r);
        }
        if (reader->open <= most)
            return;
        sc_store_dispatch(reader->source->from, -1);
    }
}

static enum sc_rc make_parent(const char *path, struct sc_error *err)
{
    SC_AUTO_FREE char *folder = sc_strdup(path);
    *strrchr(folder, '/') = 0;
    return sc_dir_make(folder, 0700, err);
}

static enum sc_rc begin(struct reader *reader, struct object *object, struct sc_error *err)
{
    if (object->archived)
        return wrong(reader->source, object->of.key, SC_NOT_FOUND, "it is archived", err);
    enum sc_rc rc = make_parent(object->path, err);
    if (rc != SC_OK)
        return rc;
    int fd = open(object->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return sc_error_errno(err, errno, "create %s", object->path);
    struct reading *r = sc_calloc(1, sizeof *r);
    *r = (struct reading){.reader = reader, .object = object, .fd = fd};
    reader->open++;
    ask(r);
    return SC_OK;
}

typedef bool (*wanted_fn)(const struct sc_source *source, const struct object *object);

static enum sc_rc read_objects(const struct sc_source *source, struct object *objects, uint32_t count,
                               wanted_fn wanted, struct sc_error *err)
{
    struct reader reader = {.source = source, .err = err};
    for (uint32_t i = 0; i < count && reader.rc == SC_OK; i++) {
        if (is_folder(&objects[i]) || objects[i].here || !wanted(source, &objects[i]))
            continue;
        wait_for(&reader, AT_ONCE - 1);
        if (reader.rc == SC_OK)
            reader.rc = begin(&reader, &objects[i], err);
    }
    wait_for(&reader, 0);
    for (uint32_t i = 0; i < count; i++)
        if (objects[i].archived && reader.rc == SC_NOT_FOUND) {
            (void)wrong(source, objects[i].of.key, SC_NOT_FOUND, "it is archived, and cannot be read", err);
            sc_error_hint(err, "restore it in its bucket, or name a copy that can be read");
        }
    return reader.rc;
}

static bool is_unknown(const struct sc_source *source, const struct object *object)
{
    (void)source;
    return !object->known;
}

static bool is_any(const struct sc_source *source, const struct object *object)
{
    (void)source;
    (void)object;
    return true;
}

// ---- among our objects

// By the server itself, where it holds both. SC_UNSUPPORTED: not possible, for whatever reason.
static enum sc_rc copy_there(const struct sc_source *source, const struct object *object,
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

static enum sc_rc put_object(const struct sc_source *source, struct object *object, struct sc_error *err)
{
    if (!source->force && sc_object_keep(source->objects, SC_AREA_CAS, &object->digest) == SC_OK)
        return SC_OK;
    enum sc_rc rc = copy_there(source, object, err);
    if (rc != SC_UNSUPPORTED)
        return rc;
    rc = read_objects(source, object, 1, is_any, err);
    return rc == SC_OK
               ? sc_object_put_path(source->objects, &object->digest, object->path, true, source->force, err)
               : rc;
}

// ---- a file

static enum sc_rc look(const struct sc_source *source, struct sc_slice key, struct sc_slice version,
                       struct sc_arena *arena, struct object *ret_object, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_HEAD, key);
    op.from_version = version;
    (void)sc_store_wait(source->from, &op);
    enum sc_rc rc = fail_op(&op, err);
    if (rc == SC_OK) {
        *ret_object = object_at(source, key);
        ret_object->of.version = version.len ? version : sc_arena_copy(arena, op.version);
        ret_object->of.etag = sc_arena_copy(arena, op.etag);
        ret_object->of.bytes = op.bytes;
        ret_object->of.mtime_s = op.mtime_ms / 1000;
        ret_object->archived = op.archived;
        pin(source, ret_object);
    }
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc list(const struct sc_source *source, struct sc_slice prefix, uint32_t most,
                       struct sc_store_op *ret_op, struct sc_error *err)
{
    sc_store_op_init(ret_op, SC_STORE_LIST, prefix);
    ret_op->max_entries = most;
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
    enum sc_rc rc = list(source, sc_buf_slice(&folder), 1, &op, err);
    bool is_prefix = rc == SC_OK && op.entry_count > 0;
    sc_store_op_done(&op);
    if (rc == SC_UNREACHABLE) // no such bucket, or nobody there
        return rc;
    (void)wrong(source, key, SC_NOT_FOUND,
                version.len ? "there is no such version" : "there is no such object", err);
    sc_error_hint(err, is_prefix ? "it is a prefix: write it with a trailing slash" : "correct `sources`");
    return SC_NOT_FOUND;
}

static enum sc_rc take_file(const struct sc_source *source, struct object *object, struct sc_error *err)
{
    enum sc_rc rc = read_objects(source, object, 1, is_unknown, err);
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
                               struct sc_artifact *ret_artifact, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct object object = {.known = false};
    enum sc_rc rc = SC_BUSY;
    for (uint32_t looks = 0; looks < LOOKS_MOST && has_moved(rc); looks++) {
        rc = clear(source, err);
        if (rc == SC_OK)
            rc = look(source, key, version, &arena, &object, err);
        if (rc == SC_NOT_FOUND)
            return explain_absent(source, key, version, err);
        if (rc != SC_OK)
            return rc;
        object.path = (const char *)sc_arena_printf(&arena, "%s/object", source->scratch).ptr;
        rc = take_file(source, &object, err);
    }
    *ret_artifact = (struct sc_artifact){.kind = SC_ARTIFACT_FILE,
                                         .digest = object.digest,
                                         .bytes = object.of.bytes,
                                         .files = 1,
                                         .ext = sc_artifact_ext(key)};
    return rc;
}

static enum sc_rc ended(const struct sc_source *source, enum sc_rc rc, struct sc_error *err)
{
    enum sc_rc cleared = clear(source, rc == SC_OK ? err : NULL);
    return rc == SC_OK ? cleared : rc;
}

enum sc_rc sc_source_file(const struct sc_source *source, struct sc_slice key, struct sc_slice version,
                          struct sc_artifact *ret_artifact, struct sc_error *err)
{
    return ended(source, pin_and_take(source, key, version, ret_artifact, err), err);
}

// ---- a folder

struct folder {
    const struct sc_source *source;
    struct sc_arena arena;
    struct object *objects; // in the order of their keys
    uint32_t count;
    size_t skip; // of a key: the prefix and its slash
    struct sc_hash_folder *root;
};

static int by_name(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct sc_hash_item *)a)->name, ((const struct sc_hash_item *)b)->name);
}

// The part of a key at `at`, up to its slash; ret_more: one follows.
static struct sc_slice part_at(const struct object *object, size_t at, bool *ret_more)
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

static enum sc_rc check_key(const struct folder *f, const struct object *object, struct sc_slice part,
                            uint32_t depth, struct sc_error *err)
{
    if (depth >= SC_LIMIT_TREE_DEPTH)
        return wrong(f->source, object->of.key, SC_LIMIT, "it lies too deep for a file", err);
    if (sc_store_name_is_valid(part))
        return SC_OK;
    (void)wrong(f->source, object->of.key, SC_UNSUPPORTED, "no file can have this name", err);
    sc_error_hint(err, "name a prefix without it, or copy the object under another name");
    return SC_UNSUPPORTED;
}

static enum sc_rc check_marker(const struct folder *f, const struct object *object, struct sc_error *err)
{
    if (object->of.bytes == 0)
        return SC_OK;
    return wrong(f->source, object->of.key, SC_UNSUPPORTED, "its name is a folder's, and it holds bytes",
                 err);
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
        struct object *object = &f->objects[i];
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
    enum sc_rc rc = list(f->source, sc_buf_slice(&below), SC_LIMIT_SOURCE_OBJECTS + 1, &op, err);
    f->skip = below.len;
    f->count = op.entry_count;
    f->objects = SC_NEW_ARRAY(&f->arena, f->count, struct object);
    for (uint32_t i = 0; rc == SC_OK && i < f->count; i++) {
        const struct sc_store_entry *entry = &op.entries[i];
        struct object *object = &f->objects[i];
        *object = object_at(f->source, sc_arena_copy(&f->arena, entry->name));
        object->of.etag = sc_arena_copy(&f->arena, entry->etag);
        object->of.bytes = entry->bytes;
        object->of.mtime_s = entry->mtime_ms / 1000;
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
        return wrong(f->source, sc_buf_slice(&below), SC_LIMIT, "more than 1000000 objects lie below it",
                     err);
    if (f->count == 0) {
        (void)wrong(f->source, sc_buf_slice(&below), SC_NOT_FOUND, "nothing lies below it", err);
        sc_error_hint(err, "correct `sources`; an object is written without a slash at its end");
        return SC_NOT_FOUND;
    }
    return build(f, 0, f->count, f->skip, 0, &f->root, err);
}

// What sc_objects_put_tree reads: small files of a bucket lie in packs, which are made here; by force, all.
static bool is_packed(const struct sc_source *source, const struct object *object)
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
        if (!is_folder(&f->objects[i]) && !is_packed(source, &f->objects[i]))
            rc = put_object(source, &f->objects[i], err);
    if (rc == SC_OK)
        rc = read_objects(source, f->objects, f->count, is_packed, err);
    return rc == SC_OK ? sc_objects_put_tree(source->objects, source->scratch, tree, true, source->force, err)
                       : rc;
}

static enum sc_rc take_folder(struct folder *f, struct sc_slice prefix, struct sc_artifact *ret_artifact,
                              bool *ret_pinned, struct sc_error *err)
{
    enum sc_rc rc = pin_all(f, prefix, err);
    *ret_pinned = rc == SC_OK;
    if (rc == SC_OK)
        rc = read_objects(f->source, f->objects, f->count, is_unknown, err);
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
    *ret_artifact = sc_hash_dir_artifact(&tree);
    return rc;
}

enum sc_rc sc_source_dir(const struct sc_source *source, struct sc_slice prefix,
                         struct sc_artifact *ret_artifact, struct sc_error *err)
{
    enum sc_rc rc = SC_BUSY;
    bool pinned = true;
    for (uint32_t looks = 0; looks < LOOKS_MOST && has_moved(rc) && pinned; looks++) {
        struct folder f = {.source = source};
        sc_arena_init(&f.arena);
        rc = clear(source, err);
        if (rc == SC_OK)
            rc = take_folder(&f, prefix, ret_artifact, &pinned, err);
        sc_arena_done(&f.arena);
    }
    return ended(source, rc, err);
}
