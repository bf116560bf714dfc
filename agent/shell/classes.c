#include "agent/shell/classes.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { CLASSES_MOST = 64, FILE_BYTES = 64 << 20, WATCH_MOST = 1000000 };
static const char format[] = "stepcache.classes/3";

struct all {
    struct sc_slice v;
    SC_LIST(struct sc_remembered, items);
};

static const struct sc_field bytes_fields[] = {{"", SC_F_BIN, 0, NULL, SC_LIMIT_PATH_BYTES}};
static const struct sc_schema bytes_schema = {.name = "path",
                                              .fields = bytes_fields,
                                              .field_count = 1,
                                              .size = sizeof(struct sc_slice),
                                              .positional = true,
                                              .bare = true};
static const struct sc_field remembered_fields[] = {
    SC_FIELD(struct sc_remembered, path, SC_F_BIN),
    SC_FIELD(struct sc_remembered, gpu, SC_F_BOOL),
    SC_FIELD(struct sc_remembered, fingerprint, SC_F_DIGEST),
    SC_FIELD(struct sc_remembered, environment, SC_F_BIN),
    SC_FIELD_SUB(struct sc_remembered, watch.items, SC_F_LIST, &bytes_schema, WATCH_MOST),
    SC_FIELD(struct sc_remembered, watch.steady_count, SC_F_U32),
};
static SC_SCHEMA_POSITIONAL(remembered_schema, "remembered class", struct sc_remembered, remembered_fields);
static const struct sc_field all_fields[] = {
    SC_FIELD(struct all, v, SC_F_TEXT),
    SC_FIELD_SUB(struct all, items, SC_F_LIST, &remembered_schema, CLASSES_MOST),
};
static SC_SCHEMA_POSITIONAL(all_schema, "classes", struct all, all_fields);

struct entry {
    struct sc_arena arena;
    struct sc_remembered remembered;
};

struct sc_classes {
    char *file;
    uint32_t count;
    struct entry entries[CLASSES_MOST];
};

static void copy_entry(const struct sc_remembered *from, struct entry *ret_entry)
{
    sc_arena_init(&ret_entry->arena);
    struct sc_arena *arena = &ret_entry->arena;
    struct sc_remembered *to = &ret_entry->remembered;
    *to = *from;
    to->path = sc_arena_copy(arena, from->path);
    to->environment = sc_arena_copy(arena, from->environment);
    to->watch.items.items = SC_NEW_ARRAY(arena, from->watch.items.count, struct sc_slice);
    for (uint32_t i = 0; i < from->watch.items.count; i++)
        to->watch.items.items[i] = sc_arena_copy(arena, from->watch.items.items[i]);
}

struct sc_classes *sc_classes_open(const char *file)
{
    struct sc_classes *classes = sc_calloc(1, sizeof *classes);
    if (!file)
        return classes;
    classes->file = sc_strdup(file);
    SC_AUTO_BUF struct sc_buf bytes;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_buf_init(&bytes, FILE_BYTES + 65536);
    sc_arena_init(&arena);
    struct all all = {0};
    if (sc_file_read(file, FILE_BYTES, &bytes, NULL) != SC_OK ||
        sc_decode(&all_schema, sc_buf_slice(&bytes), SC_DECODE_STRICT, &arena, &all, NULL) != SC_OK ||
        !sc_slice_eq_str(all.v, format))
        return classes;
    for (; classes->count < all.items.count; classes->count++)
        copy_entry(&all.items.items[classes->count], &classes->entries[classes->count]);
    return classes;
}

void sc_classes_close(struct sc_classes *classes)
{
    if (!classes)
        return;
    for (uint32_t i = 0; i < classes->count; i++)
        sc_arena_done(&classes->entries[i].arena);
    free(classes->file);
    free(classes);
}

const struct sc_remembered *sc_classes_find(const struct sc_classes *classes, struct sc_slice path, bool gpu)
{
    for (uint32_t i = 0; i < classes->count; i++) {
        const struct sc_remembered *r = &classes->entries[i].remembered;
        if (r->gpu == gpu && sc_slice_eq(r->path, path))
            return r;
    }
    return NULL;
}

// Whole and by a rename, without sync: a torn one counts as absent.
static void save(const struct sc_classes *classes)
{
    struct sc_remembered items[CLASSES_MOST];
    for (uint32_t i = 0; i < classes->count; i++)
        items[i] = classes->entries[i].remembered;
    struct all all = {.v = sc_slice_str(format), .items = {items, classes->count}};
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, FILE_BYTES);
    sc_encode(&all_schema, &all, &bytes);
    SC_AUTO_FREE char *temporary = sc_asprintf("%s.new", classes->file);
    SC_AUTO_CLOSE int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct sc_error err = SC_ERROR_INIT;
    bool good = fd >= 0 && !bytes.overflow && sc_fd_write_all(fd, sc_buf_slice(&bytes), &err) == SC_OK &&
                rename(temporary, classes->file) == 0;
    if (!good)
        sc_log(SC_LOG_WARN, "ignoring that %s was not written: %s", classes->file,
               err.rc == SC_OK ? strerror(errno) : err.message);
}

void sc_classes_remember(struct sc_classes *classes, const struct sc_remembered *remembered)
{
    struct entry entry;
    copy_entry(remembered, &entry);
    uint32_t at = 0;
    while (at < classes->count && (classes->entries[at].remembered.gpu != remembered->gpu ||
                                   !sc_slice_eq(classes->entries[at].remembered.path, remembered->path)))
        at++;
    if (at == CLASSES_MOST)
        at = 0; // more PATHs than anybody has: the oldest leaves
    if (at < classes->count)
        sc_arena_done(&classes->entries[at].arena);
    else
        classes->count++;
    classes->entries[at] = entry;
    if (classes->file)
        save(classes);
}

// ---- fingerprints

static void add_stat(struct sc_hasher *hasher, const struct stat *st, int64_t *newest_ns)
{
    int64_t mtime = st->st_mtim.tv_sec * 1000000000ll + st->st_mtim.tv_nsec;
    int64_t ctime = st->st_ctim.tv_sec * 1000000000ll + st->st_ctim.tv_nsec;
    uint64_t facts[] = {st->st_dev,      st->st_ino,     st->st_mode, (uint64_t)st->st_size,
                        (uint64_t)mtime, (uint64_t)ctime};
    sc_hasher_add(hasher, facts, sizeof facts);
    if (mtime > *newest_ns)
        *newest_ns = mtime;
    if (ctime > *newest_ns)
        *newest_ns = ctime;
}

static void add_path(struct sc_hasher *hasher, const char *path, int64_t *newest_ns)
{
    struct stat st;
    sc_hasher_add(hasher, path, strlen(path) + 1);
    if (lstat(path, &st)) {
        sc_hasher_add(hasher, "absent", 6);
        return;
    }
    add_stat(hasher, &st, newest_ns);
    if (!S_ISLNK(st.st_mode))
        return;
    SC_AUTO_FREE char *real = realpath(path, NULL);
    if (real)
        sc_hasher_add(hasher, real, strlen(real) + 1);
    if (stat(path, &st) == 0)
        add_stat(hasher, &st, newest_ns);
}

struct sc_fingerprint sc_classes_fingerprint(const struct sc_watch *watch, struct sc_slice extra)
{
    struct sc_hasher *hasher = sc_hasher_new();
    struct sc_fingerprint fingerprint = {0};
    sc_hasher_begin(hasher);
    sc_hasher_add(hasher, extra.ptr, extra.len);
    for (uint32_t i = 0; i < watch->items.count; i++) {
        if (i == watch->steady_count) {
            fingerprint.steady = sc_hasher_end(hasher);
            sc_hasher_begin(hasher);
            sc_hasher_add(hasher, &fingerprint.steady, sizeof fingerprint.steady);
        }
        char path[SC_LIMIT_PATH_BYTES];
        struct sc_slice item = watch->items.items[i];
        if (item.len >= sizeof path) {
            fingerprint.newest_ns = INT64_MAX;
            continue;
        }
        memcpy(path, item.ptr, item.len);
        path[item.len] = 0;
        add_path(hasher, path, &fingerprint.newest_ns);
    }
    fingerprint.all = sc_hasher_end(hasher);
    if (watch->steady_count >= watch->items.count)
        fingerprint.steady = fingerprint.all;
    sc_hasher_free(hasher);
    return fingerprint;
}
