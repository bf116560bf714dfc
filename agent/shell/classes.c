#include "agent/shell/classes.h"

#include "base/limits.h"
#include "base/mp.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

enum {
    CLASSES_MOST = 64,
    FILE_BYTES = 64 << 20,
    WATCH_MOST = 1000000,
    NEAR_NS = 20 * 1000000, // between two stamps of one mkdir: a tick of the slowest clock, generously
};
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

struct file_facts {
    uint64_t dev, ino, mode, bytes;
    int64_t mtime_ns, ctime_ns;
};
struct facts { // of a path; zero: nothing is there. Without padding: compared and hashed as bytes.
    struct file_facts own, target; // target: of a link
    struct sc_digest leads_to;
};
_Static_assert(sizeof(struct facts) == 2 * 48 + 32, "no padding");

struct known { // a path that tells of a class
    char *path;
    struct facts now, settled;
    uint64_t change; // number of the change of `settled`; 0: none was seen
    UT_hash_handle hh;
};

struct glance {             // the last look: the next one, where it asks and sees the same, comes to the same
    struct sc_buf question; // what was looked at
    struct facts *facts;
    uint32_t count;
    struct sc_fingerprint fingerprint;
};

struct sc_classes {
    char *file;
    struct known *known; // by path
    uint64_t changes;    // that were seen of them
    struct glance last;
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
    sc_buf_init(&classes->last.question, 0);
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

static void forget_all(struct sc_classes *classes)
{
    struct known *known, *next;
    HASH_ITER (hh, classes->known, known, next) {
        HASH_DEL(classes->known, known);
        free(known->path);
        free(known);
    }
}

void sc_classes_close(struct sc_classes *classes)
{
    if (!classes)
        return;
    for (uint32_t i = 0; i < classes->count; i++)
        sc_arena_done(&classes->entries[i].arena);
    forget_all(classes);
    sc_buf_done(&classes->last.question);
    free(classes->last.facts);
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

static struct file_facts facts_of(const struct stat *st, int64_t *newest_ns)
{
    struct file_facts facts = {.dev = st->st_dev,
                               .ino = st->st_ino,
                               .mode = st->st_mode,
                               .bytes = (uint64_t)st->st_size,
                               .mtime_ns = st->st_mtim.tv_sec * 1000000000ll + st->st_mtim.tv_nsec,
                               .ctime_ns = st->st_ctim.tv_sec * 1000000000ll + st->st_ctim.tv_nsec};
    int64_t newer = facts.mtime_ns > facts.ctime_ns ? facts.mtime_ns : facts.ctime_ns;
    if (newer > *newest_ns)
        *newest_ns = newer;
    return facts;
}

static struct facts look_at(const char *path, int64_t *newest_ns)
{
    struct facts facts = {0};
    struct stat st;
    if (lstat(path, &st))
        return facts;
    facts.own = facts_of(&st, newest_ns);
    if (S_ISLNK(st.st_mode)) {
        SC_AUTO_FREE char *real = realpath(path, NULL);
        if (real)
            facts.leads_to = sc_digest_of(sc_slice_str(real));
        if (stat(path, &st) == 0)
            facts.target = facts_of(&st, newest_ns);
    }
    return facts;
}

// False for a path that is too long to be looked at.
static bool to_path(struct sc_slice item, char *ret_path)
{
    if (item.len >= SC_LIMIT_PATH_BYTES)
        return false;
    memcpy(ret_path, item.ptr, item.len);
    ret_path[item.len] = 0;
    return true;
}

static int64_t look_at_all(const struct sc_watch *watch, struct facts *facts)
{
    int64_t newest_ns = 0;
    char path[SC_LIMIT_PATH_BYTES];
    for (uint32_t i = 0; i < watch->items.count; i++)
        if (to_path(watch->items.items[i], path))
            facts[i] = look_at(path, &newest_ns);
        else
            newest_ns = INT64_MAX;
    return newest_ns;
}

static bool is_near(int64_t later_ns, int64_t earlier_ns)
{
    return later_ns >= earlier_ns && later_ns - earlier_ns <= NEAR_NS;
}

// Whether the folder changed last when its __pycache__ was made, as the first import of a module that is one file does. Of
// file systems that do not tell when a folder was made, this cannot be known.
static bool has_new_pycache(const char *path, const struct facts *before, const struct facts *now)
{
    const struct file_facts *was = &before->own, *is = &now->own;
    struct statx made;
    if (!S_ISDIR(is->mode) || was->dev != is->dev || was->ino != is->ino || was->mode != is->mode)
        return false;
    SC_AUTO_FREE char *pycache = sc_asprintf("%s/__pycache__", path);
    if (statx(AT_FDCWD, pycache, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_BTIME, &made) ||
        !(made.stx_mask & STATX_BTIME) || !S_ISDIR(made.stx_mode))
        return false;
    int64_t made_ns = made.stx_btime.tv_sec * 1000000000ll + made.stx_btime.tv_nsec;
    return made_ns >= was->mtime_ns && is_near(is->mtime_ns, made_ns) && is_near(is->ctime_ns, made_ns);
}

// The facts that stand for the file or folder: as they were when it changed last, not counting a __pycache__ that was made.
static const struct known *settle(struct sc_classes *classes, const char *path, const struct facts *now)
{
    struct known *known;
    HASH_FIND_STR(classes->known, path, known);
    if (!known) {
        known = sc_calloc(1, sizeof *known);
        *known = (struct known){.path = sc_strdup(path), .now = *now, .settled = *now};
        HASH_ADD_KEYPTR(hh, classes->known, known->path, strlen(known->path), known);
        return known;
    }
    if (memcmp(&known->now, now, sizeof *now) == 0)
        return known;
    if (!has_new_pycache(path, &known->now, now)) {
        known->settled = *now;
        known->change = ++classes->changes;
    }
    known->now = *now;
    return known;
}

static struct sc_fingerprint digest_of(struct sc_classes *classes, const struct sc_watch *watch,
                                       struct sc_slice extra, const struct facts *facts)
{
    struct sc_hasher *all = sc_hasher_new(), *steady = sc_hasher_new();
    struct sc_fingerprint fingerprint = {0};
    uint64_t last_change = 0;
    char path[SC_LIMIT_PATH_BYTES];
    if (HASH_COUNT(classes->known) > WATCH_MOST)
        forget_all(classes);
    sc_hasher_begin(all);
    sc_hasher_begin(steady);
    sc_hasher_add(all, extra.ptr, extra.len);
    sc_hasher_add(steady, extra.ptr, extra.len);
    for (uint32_t i = 0; i < watch->items.count; i++) {
        struct sc_slice item = watch->items.items[i];
        if (!to_path(item, path))
            continue;
        sc_hasher_add(all, path, item.len + 1);
        sc_hasher_add(all, &facts[i], sizeof facts[i]);
        if (i >= watch->steady_count)
            continue;
        const struct known *known = settle(classes, path, &facts[i]);
        sc_hasher_add(steady, path, item.len + 1);
        sc_hasher_add(steady, &known->settled, sizeof known->settled);
        if (known->change > last_change) {
            last_change = known->change;
            fingerprint.changed = known->path;
        }
    }
    fingerprint.all = sc_hasher_end(all);
    fingerprint.steady = sc_hasher_end(steady);
    sc_hasher_free(all);
    sc_hasher_free(steady);
    return fingerprint;
}

static void put_question(struct sc_buf *question, const struct sc_watch *watch, struct sc_slice extra)
{
    sc_mp_put_uint(question, watch->steady_count);
    sc_mp_put_bin(question, extra);
    for (uint32_t i = 0; i < watch->items.count; i++)
        sc_mp_put_bin(question, watch->items.items[i]);
}

struct sc_fingerprint sc_classes_fingerprint(struct sc_classes *classes, const struct sc_watch *watch,
                                             struct sc_slice extra)
{
    struct glance *last = &classes->last;
    uint32_t count = watch->items.count;
    struct facts *facts = sc_calloc(count + 1, sizeof *facts);
    int64_t newest_ns = look_at_all(watch, facts);
    SC_AUTO_BUF struct sc_buf question;
    sc_buf_init(&question, 0);
    put_question(&question, watch, extra);
    if (last->facts && !question.overflow && last->count == count &&
        memcmp(last->facts, facts, count * sizeof *facts) == 0 &&
        sc_slice_eq(sc_buf_slice(&last->question), sc_buf_slice(&question))) {
        free(facts);
    } else {
        free(last->facts);
        last->fingerprint = digest_of(classes, watch, extra, facts);
        last->facts = facts;
        last->count = count;
        struct sc_buf old = last->question;
        last->question = question;
        question = old;
    }
    last->fingerprint.newest_ns = newest_ns;
    return last->fingerprint;
}
