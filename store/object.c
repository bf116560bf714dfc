#include "store/object.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "store/layout_cache.h"
#include "store/names.h"
#include "store/object_impl.h"
#include "store/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Identities kept in memory; beyond it all are forgotten, which costs checking again.
enum { MAX_CHECKED = 1 << 20, PRESENT_MS = 10 * 60 * 1000 };

struct sc_volume sc_object_volume_at(const char *path)
{
    SC_AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    return fd >= 0 ? sc_volume_of(fd) : (struct sc_volume){0};
}

// NULL: elsewhere.
static const struct sc_volume *own_volume(const struct sc_objects *objects, const struct stat *st)
{
    uint64_t dev = (uint64_t)st->st_dev;
    return dev == objects->store_volume.dev    ? &objects->store_volume
           : dev == objects->layout_volume.dev ? &objects->layout_volume
                                               : NULL;
}

enum sc_rc sc_objects_new(const struct sc_objects_config *config, struct sc_objects **ret_objects,
                          struct sc_error *err)
{
    if (config->layout_folder) {
        enum sc_rc rc = sc_dir_make(config->layout_folder, 0777, err);
        if (rc != SC_OK)
            return rc;
    }
    struct sc_objects *objects = sc_calloc(1, sizeof *objects);
    objects->store = config->store;
    objects->domain_text = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(config->domain));
    objects->domain = sc_slice_str(objects->domain_text);
    objects->memo = config->memo;
    const char *root = sc_store_local_root(config->store);
    if (root && objects->memo)
        objects->store_volume = sc_object_volume_at(root);
    objects->layout_folder = config->layout_folder ? sc_strdup(config->layout_folder) : NULL;
    objects->layout_max_bytes = config->layout_max_bytes;
    objects->present_ms = config->present_ms ? config->present_ms : PRESENT_MS;
    sc_reader_init(&objects->reader);
    sc_buf_init(&objects->name, SC_LIMIT_PATH_BYTES);
    sc_buf_init(&objects->path, 2 * SC_LIMIT_PATH_BYTES);
    *ret_objects = objects;
    return SC_OK;
}

static void forget_all(struct sc_digest_map *map)
{
    for (size_t i = 0; i < map->room; i++)
        free(map->slots[i].value);
    sc_digest_map_done(map);
}

void sc_objects_free(struct sc_objects *objects)
{
    if (!objects)
        return;
    sc_layouts_free(objects->layouts);
    for (int i = 0; i < SC_AREA_COUNT; i++)
        forget_all(&objects->checked[i]);
    sc_reader_done(&objects->reader);
    sc_buf_done(&objects->name);
    sc_buf_done(&objects->path);
    free(objects->unsynced);
    free(objects->layout_folder);
    free(objects->domain_text);
    free(objects);
}

enum sc_rc sc_object_wrong(struct sc_error *err, enum sc_rc rc, const struct sc_digest *digest,
                           const char *what)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    return sc_error_set(err, rc, "object %s %s", hex, what);
}

static enum sc_rc wrap(struct sc_error *err, enum sc_rc rc, const struct sc_digest *digest)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    return sc_error_wrap(err, rc, "object %s", hex);
}

struct sc_slice sc_object_name(struct sc_objects *objects, enum sc_object_area area,
                               const struct sc_digest *digest)
{
    sc_buf_clear(&objects->name);
    switch (area) {
    case SC_AREA_CAS:
        sc_name_cas(&objects->name, objects->domain, digest);
        break;
    case SC_AREA_TREE:
        sc_name_tree(&objects->name, objects->domain, digest);
        break;
    case SC_AREA_PACK:
        sc_name_pack(&objects->name, objects->domain, digest);
        break;
    case SC_AREA_COUNT:
        SC_ASSERT(false);
    }
    return sc_buf_slice(&objects->name);
}

static void forget(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest)
{
    free(sc_digest_map_remove(&objects->checked[area], digest));
}

void sc_objects_distrust(struct sc_objects *objects)
{
    for (int i = 0; i < SC_AREA_COUNT; i++)
        forget_all(&objects->checked[i]);
}

static struct sc_checked *set_checked(struct sc_objects *objects, enum sc_object_area area,
                                      const struct sc_digest *digest, const struct sc_file_id *id)
{
    struct sc_checked *checked = sc_digest_map_get(&objects->checked[area], digest);
    if (!checked) {
        if (objects->checked[area].count >= MAX_CHECKED)
            forget_all(&objects->checked[area]);
        checked = sc_calloc(1, sizeof *checked);
        sc_digest_map_put(&objects->checked[area], digest, checked);
    }
    checked->id = *id;
    checked->seen_ms = sc_clock_mono_ms();
    return checked;
}

static bool is_present(const struct sc_objects *objects, enum sc_object_area area,
                       const struct sc_digest *digest)
{
    const struct sc_checked *checked = sc_digest_map_get(&objects->checked[area], digest);
    return checked && sc_clock_mono_ms() - checked->seen_ms < objects->present_ms;
}

// How old what is there may be for a writer to count on it. A collector removes what is older than the horizon; a writer
// that takes something of half that age and puts its record within a quarter was there before any collector that could
// remove it began. What a tree names is not looked at where the tree is elsewhere, and may have been half the horizon
// old when the tree was put: so a tree may be a quarter old.
static int64_t young_for_ms(const struct sc_objects *objects, enum sc_object_area area)
{
    return sc_store_horizon_ms(objects->store) / (area == SC_AREA_TREE ? 4 : 2) - SC_STORE_GRAIN_MS;
}

bool sc_object_is_kept(const struct sc_objects *objects, enum sc_object_area area,
                       const struct sc_digest *digest)
{
    const struct sc_checked *checked = sc_digest_map_get(&objects->checked[area], digest);
    return is_present(objects, area, digest) && sc_clock_mono_ms() < checked->young_ms;
}

static bool set_present(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                        int64_t age_ms)
{
    static const struct sc_file_id no_id;
    int64_t left_ms = young_for_ms(objects, area) - age_ms;
    set_checked(objects, area, digest, &no_id)->young_ms = sc_clock_mono_ms() + left_ms;
    return left_ms > 0;
}

void sc_object_set_put(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest)
{
    set_present(objects, area, digest, 0);
}

bool sc_object_set_seen(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                        const struct sc_store_op *head)
{
    return set_present(objects, area, digest, head->now_ms - head->mtime_ms);
}

// Git's rule does not bind here: nobody writes to an object once it has its name, so what was checked stays so in the
// same tick of the clock, too.
static void tell_memo(struct sc_objects *objects, const struct stat *st, const struct sc_digest *digest)
{
    const struct sc_volume *volume = own_volume(objects, st);
    if (objects->memo && volume)
        sc_memo_remember(objects->memo, volume, st, INT64_MAX, digest);
}

static void remember_when_durable(struct sc_objects *objects, const struct stat *st,
                                  const struct sc_digest *digest)
{
    if (!objects->memo)
        return;
    if (objects->unsynced_count >= MAX_CHECKED)
        objects->unsynced_count = 0;
    if (objects->unsynced_count == objects->unsynced_room) {
        objects->unsynced_room = objects->unsynced_room ? objects->unsynced_room * 2 : 64;
        objects->unsynced = sc_realloc(objects->unsynced, objects->unsynced_room, sizeof *objects->unsynced);
    }
    objects->unsynced[objects->unsynced_count++] = (struct sc_unsynced){*st, *digest};
}

bool sc_object_is_known(const struct sc_objects *objects, const char *path, const struct stat *st,
                        const struct sc_digest *digest)
{
    if (!objects->memo)
        return false;
    const struct sc_volume *own = own_volume(objects, st);
    struct sc_volume volume = own ? *own : sc_object_volume_at(path);
    struct sc_digest known;
    return sc_memo_find(objects->memo, &volume, st, &known) && sc_digest_eq(&known, digest);
}

void sc_object_remember(struct sc_objects *objects, const struct sc_digest *digest, const struct stat *st)
{
    remember_when_durable(objects, st, digest);
}

void sc_object_linked(struct sc_objects *objects, const struct sc_digest *digest, const struct stat *st)
{
    struct sc_file_id id = sc_file_id(st);
    set_checked(objects, SC_AREA_CAS, digest, &id);
    remember_when_durable(objects, st, digest);
}

enum sc_rc sc_object_verify_fd(struct sc_objects *objects, int fd, const char *shown,
                               const struct sc_digest *digest, struct stat *ret_st, struct sc_error *err)
{
    struct sc_digest found;
    enum sc_rc rc = sc_reader_digest(&objects->reader, fd, shown, true, ret_st, &found, err);
    if (rc == SC_OK && !sc_digest_eq(&found, digest)) {
        // Once more: memory and buses err more often than disks, and then the second reading is right.
        rc = sc_reader_digest(&objects->reader, fd, shown, true, ret_st, &found, err);
        if (rc == SC_OK && !sc_digest_eq(&found, digest))
            rc = sc_object_wrong(err, SC_CORRUPT, digest, "is damaged: its bytes have another digest");
    }
    return rc;
}

static enum sc_rc verify_tree(const char *path, const struct sc_digest *root, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, SC_LIMIT_TREE_BYTES);
    struct sc_tree tree;
    enum sc_rc rc = sc_file_read(path, SC_LIMIT_TREE_BYTES, &bytes, err);
    if (rc == SC_OK)
        rc = sc_tree_decode(sc_buf_slice(&bytes), root, &arena, &tree, err);
    if (rc == SC_MALFORMED || rc == SC_LIMIT || rc == SC_UNSUPPORTED || rc == SC_VERSION)
        rc = SC_CORRUPT;
    return rc;
}

// Out of the way, so that a put heals it and nobody reads it again. Another process may have put a good one in its
// place since it was read; then it stays.
static void set_aside(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                      const char *path, const struct stat *bad)
{
    struct stat now;
    forget(objects, area, digest);
    if (lstat(path, &now) == 0 && now.st_ino == bad->st_ino && now.st_dev == bad->st_dev)
        unlink(path);
}

static enum sc_rc check_local(struct sc_objects *objects, enum sc_object_area area,
                              const struct sc_digest *digest, const char *path, struct sc_error *err)
{
    struct stat st;
    if (lstat(path, &st)) {
        forget(objects, area, digest);
        if (errno == ENOENT || errno == ENOTDIR)
            return sc_object_wrong(err, SC_NOT_FOUND, digest, "is not in the store");
        return sc_error_errno(err, errno, "stat %s", path);
    }
    if (!S_ISREG(st.st_mode)) { // not to be opened, and not ours to set aside
        forget(objects, area, digest);
        return sc_error_set(err, SC_CORRUPT, "%s " SC_READER_NOT_A_FILE, path,
                            sc_reader_kind_name(st.st_mode));
    }
    struct sc_file_id id = sc_file_id(&st);
    const struct sc_checked *checked = sc_digest_map_get(&objects->checked[area], digest);
    if (checked && sc_file_id_eq(&checked->id, &id))
        return SC_OK;
    if (sc_object_is_known(objects, path, &st, digest)) {
        set_checked(objects, area, digest, &id);
        return SC_OK;
    }
    enum sc_rc rc;
    if (area == SC_AREA_TREE) {
        rc = verify_tree(path, digest, err);
    } else {
        SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return sc_error_errno(err, errno, "open %s", path);
        rc = sc_object_verify_fd(objects, fd, path, digest, &st, err);
    }
    if (rc == SC_CORRUPT)
        set_aside(objects, area, digest, path, &st);
    if (rc != SC_OK)
        return rc == SC_CORRUPT
                   ? sc_object_wrong(err, rc, digest, "is damaged: its bytes have another digest")
                   : rc;
    id = sc_file_id(&st);
    set_checked(objects, area, digest, &id);
    remember_when_durable(objects, &st, digest);
    return SC_OK;
}

static const char *local_path(struct sc_objects *objects, struct sc_slice name)
{
    sc_buf_clear(&objects->path);
    return sc_store_local_path(objects->store, name, &objects->path) ? sc_buf_cstr(&objects->path) : NULL;
}

static enum sc_rc look_elsewhere(struct sc_objects *objects, enum sc_object_area area,
                                 const struct sc_digest *digest, bool *ret_young, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_HEAD, sc_object_name(objects, area, digest));
    enum sc_rc rc = sc_store_wait(objects->store, &op);
    if (rc == SC_OK && op.archived)
        rc = sc_error_set(&op.err, SC_NOT_FOUND, "it is archived, and cannot be read");
    if (rc == SC_OK) {
        bool young = sc_object_set_seen(objects, area, digest, &op);
        if (ret_young)
            *ret_young = young;
    } else if (err) {
        *err = op.err;
    }
    sc_store_op_done(&op);
    return rc;
}

enum sc_rc sc_object_check(struct sc_objects *objects, enum sc_object_area area,
                           const struct sc_digest *digest, const char **ret_path, struct sc_error *err)
{
    struct sc_slice name = sc_object_name(objects, area, digest);
    const char *path = local_path(objects, name);
    if (ret_path)
        *ret_path = path;
    if (path)
        return check_local(objects, area, digest, path, err);
    // Elsewhere: what is there was checked by its writer, and every read checks it again.
    if (is_present(objects, area, digest))
        return SC_OK;
    enum sc_rc rc = look_elsewhere(objects, area, digest, NULL, err);
    return rc == SC_OK ? SC_OK : wrap(err, rc, digest);
}

// Says that a folder's object, which is whole, is wanted again.
static enum sc_rc touch(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                        const char *path, const struct stat *was)
{
    struct stat now;
    if (utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) && errno != ENOENT)
        return SC_EXISTS; // another user's: a new one takes its place
    if (lstat(path, &now) || now.st_ino != was->st_ino || now.st_dev != was->st_dev) {
        forget(objects, area, digest);
        return SC_NOT_FOUND; // collected meanwhile
    }
    struct sc_file_id id = sc_file_id(&now);
    set_checked(objects, area, digest, &id);
    remember_when_durable(objects, &now, digest);
    return SC_OK;
}

enum sc_rc sc_object_keep(struct sc_objects *objects, enum sc_object_area area,
                          const struct sc_digest *digest)
{
    const char *path = local_path(objects, sc_object_name(objects, area, digest));
    bool young = false;
    struct stat st;
    if (!path && sc_object_is_kept(objects, area, digest))
        return SC_OK;
    enum sc_rc rc = path ? check_local(objects, area, digest, path, NULL)
                         : look_elsewhere(objects, area, digest, &young, NULL);
    if (rc != SC_OK)
        return rc;
    if (!path)
        return young ? SC_OK : SC_EXISTS;
    if (lstat(path, &st))
        return SC_NOT_FOUND;
    int64_t age_ms = sc_clock_wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000 - st.st_mtim.tv_nsec / 1000000;
    return age_ms < young_for_ms(objects, area) ? SC_OK : touch(objects, area, digest, path, &st);
}

// What the object is now, for the checked set and the memo.
static void note_put(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest)
{
    const char *path = local_path(objects, sc_object_name(objects, area, digest));
    struct stat st = {0};
    if (path && lstat(path, &st))
        return;
    if (!path) {
        sc_object_set_put(objects, area, digest);
        return;
    }
    struct sc_file_id id = sc_file_id(&st);
    set_checked(objects, area, digest, &id);
    remember_when_durable(objects, &st, digest);
}

struct source { // of a put
    struct sc_slice bytes;
    const char *path; // or NULL: bytes
    bool move, force;
    bool absent; // the caller looked just now
};

static enum sc_rc send(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                       const struct source *source, bool if_absent, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_object_name(objects, area, digest));
    op.body = source->bytes;
    op.body_path = source->path;
    op.move_body = source->move;
    op.if_absent = if_absent;
    if (area != SC_AREA_TREE) // whose digest is its root's
        op.sha256 = *digest;
    enum sc_rc rc = sc_store_wait(objects->store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

// Whether the file still is what it was when it was hashed, as far as the memo tells.
static bool is_known(struct sc_objects *objects, const char *path, const struct sc_digest *digest)
{
    struct stat st;
    return lstat(path, &st) == 0 && sc_object_is_known(objects, path, &st, digest);
}

static enum sc_rc write_object(struct sc_objects *objects, enum sc_object_area area,
                               const struct sc_digest *digest, const struct source *source, bool *ret_written,
                               struct sc_error *err)
{
    *ret_written = true;
    enum sc_rc rc = source->force    ? SC_CORRUPT
                    : source->absent ? SC_NOT_FOUND
                                     : sc_object_keep(objects, area, digest);
    if (rc == SC_OK) { // there, right, and young enough
        *ret_written = false;
        return SC_OK;
    }
    // Absent, old, or damaged and set aside; if it cannot even be read, the write tells the story. A file that is taken
    // replaces what another process may have put meanwhile: it is the same, and the file is gone either way.
    rc = send(objects, area, digest, source, rc == SC_NOT_FOUND && !source->move, err);
    if (rc != SC_EXISTS)
        return rc;
    if (sc_object_keep(objects, area, digest) == SC_OK) {
        *ret_written = false;
        return SC_OK;
    }
    return send(objects, area, digest, source, false, err);
}

static enum sc_rc put(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                      const struct source *source, struct sc_error *err)
{
    bool written;
    enum sc_rc rc = write_object(objects, area, digest, source, &written, err);
    if (rc != SC_OK)
        return wrap(err, rc, digest);
    if (!written)
        return SC_OK;
    // A file that others may still write to can have changed between hashing and copying. A back end elsewhere checks
    // what it sends against the digest; a copy in a folder is read again, unless the original is known to be as it was.
    bool sure = !source->path || source->move || !sc_store_local_root(objects->store) ||
                is_known(objects, source->path, digest);
    if (sure) {
        note_put(objects, area, digest);
        return SC_OK;
    }
    forget(objects, area, digest);
    rc = sc_object_check(objects, area, digest, NULL, err);
    if (rc == SC_CORRUPT)
        return sc_error_set(err, SC_BUSY, "%s changed between hashing and storing", source->path);
    return rc;
}

enum sc_rc sc_objects_put_bytes(struct sc_objects *objects, struct sc_slice bytes, bool force,
                                struct sc_digest *ret_digest, struct sc_error *err)
{
    struct sc_digest digest = sc_digest_of(bytes);
    enum sc_rc rc = sc_object_put_bytes(objects, &digest, bytes, force, err);
    if (rc == SC_OK)
        *ret_digest = digest;
    return rc;
}

enum sc_rc sc_object_put_bytes(struct sc_objects *objects, const struct sc_digest *digest,
                               struct sc_slice bytes, bool force, struct sc_error *err)
{
    struct source source = {.bytes = bytes, .force = force};
    return put(objects, SC_AREA_CAS, digest, &source, err);
}

enum sc_rc sc_object_absolute(const char *path, char **ret_path, struct sc_error *err)
{
    *ret_path = path[0] == '/' ? sc_strdup(path) : realpath(path, NULL);
    return *ret_path ? SC_OK : sc_error_errno(err, errno, "find %s", path);
}

enum sc_rc sc_objects_put_file(struct sc_objects *objects, const char *path,
                               const struct sc_artifact *artifact, bool move, bool force,
                               struct sc_error *err)
{
    SC_ASSERT(artifact->kind == SC_ARTIFACT_FILE);
    SC_AUTO_FREE char *full = NULL;
    enum sc_rc rc = sc_object_absolute(path, &full, err);
    return rc == SC_OK ? sc_object_put_path(objects, &artifact->digest, full, move, force, err) : rc;
}

enum sc_rc sc_object_put_path(struct sc_objects *objects, const struct sc_digest *digest, const char *path,
                              bool move, bool force, struct sc_error *err)
{
    struct source source = {.path = path, .move = move, .force = force};
    return put(objects, SC_AREA_CAS, digest, &source, err);
}

enum sc_rc sc_object_put_tree_bytes(struct sc_objects *objects, const struct sc_digest *root,
                                    struct sc_slice bytes, bool force, struct sc_error *err)
{
    struct source source = {.bytes = bytes, .force = force, .absent = true};
    return put(objects, SC_AREA_TREE, root, &source, err);
}

enum sc_rc sc_objects_sync(struct sc_objects *objects, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_SYNC, sc_slice(NULL, 0));
    enum sc_rc rc = sc_store_wait(objects->store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    if (rc != SC_OK)
        return rc;
    for (size_t i = 0; i < objects->unsynced_count; i++)
        tell_memo(objects, &objects->unsynced[i].st, &objects->unsynced[i].digest);
    objects->unsynced_count = 0;
    return SC_OK;
}

enum sc_rc sc_object_get(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                         size_t max_bytes, struct sc_buf *ret_bytes, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, sc_object_name(objects, area, digest));
    op.max_bytes = max_bytes;
    if (area != SC_AREA_TREE) // whose digest is its root's
        op.sha256 = *digest;
    enum sc_rc rc = sc_store_wait(objects->store, &op);
    if (rc == SC_OK) {
        sc_buf_clear(ret_bytes);
        sc_buf_add_slice(ret_bytes, sc_buf_slice(&op.data));
        if (ret_bytes->overflow)
            rc = sc_object_wrong(err, SC_LIMIT, digest, "is larger than can be read");
    } else if (err) {
        *err = op.err;
    }
    sc_store_op_done(&op);
    return rc;
}

// A damaged object of a folder store is set aside by the same check that a put does, which tells what it saw.
static enum sc_rc tell_corrupt(struct sc_objects *objects, enum sc_object_area area,
                               const struct sc_digest *digest, struct sc_error *err)
{
    forget(objects, area, digest);
    if (sc_store_local_root(objects->store) &&
        sc_object_check(objects, area, digest, NULL, err) == SC_CORRUPT)
        return SC_CORRUPT;
    return sc_object_wrong(err, SC_CORRUPT, digest, "is damaged: its bytes have another digest");
}

enum sc_rc sc_objects_get_bytes(struct sc_objects *objects, const struct sc_digest *digest, size_t max_bytes,
                                struct sc_buf *ret_bytes, struct sc_error *err)
{
    enum sc_rc rc = sc_object_get(objects, SC_AREA_CAS, digest, max_bytes, ret_bytes, err);
    if (rc == SC_CORRUPT)
        return tell_corrupt(objects, SC_AREA_CAS, digest, err);
    return rc == SC_OK ? SC_OK : wrap(err, rc, digest);
}

enum sc_rc sc_objects_get_tree(struct sc_objects *objects, const struct sc_digest *root,
                               struct sc_arena *arena, struct sc_tree *ret_tree, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, SC_LIMIT_TREE_BYTES);
    enum sc_rc rc = SC_OK;
    for (int i = 0; i < 2; i++) {
        rc = sc_object_get(objects, SC_AREA_TREE, root, SC_LIMIT_TREE_BYTES, &bytes, err);
        if (rc != SC_OK)
            return wrap(err, rc, root);
        rc = sc_tree_decode(sc_buf_slice(&bytes), root, arena, ret_tree, err);
        if (rc == SC_OK)
            return SC_OK;
    }
    return tell_corrupt(objects, SC_AREA_TREE, root, err);
}

enum sc_rc sc_object_fetch(struct sc_objects *objects, const struct sc_digest *digest, int to_fd,
                           struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, sc_object_name(objects, SC_AREA_CAS, digest));
    op.to_fd = to_fd;
    op.sha256 = *digest;
    sc_store_wait(objects->store, &op);
    return sc_object_fetched(objects, digest, &op, err);
}

enum sc_rc sc_object_fetched(struct sc_objects *objects, const struct sc_digest *digest,
                             struct sc_store_op *op, struct sc_error *err)
{
    enum sc_rc rc = op->rc;
    if (rc != SC_OK && err)
        *err = op->err;
    sc_store_op_done(op);
    if (rc == SC_CORRUPT)
        return tell_corrupt(objects, SC_AREA_CAS, digest, err);
    return rc == SC_OK ? SC_OK : wrap(err, rc, digest);
}

// Many heads at once, so that a store far away answers them in one round.
struct head {
    struct sc_store_op op;
    struct sc_buf name;
    uint64_t bytes; // what a file's must be; UINT64_MAX: not told
    enum sc_rc *rc; // the artifact's, worst of all its objects
    uint32_t *waiting;
};

static void head_done(struct sc_store_op *op)
{
    struct head *head = op->context;
    enum sc_rc rc = op->rc;
    if (rc == SC_OK && head->bytes != UINT64_MAX && op->bytes != head->bytes)
        rc = SC_NOT_FOUND; // cut short: what is there is not the object
    if ((rc == SC_OK && op->archived) || rc == SC_CORRUPT)
        rc = SC_NOT_FOUND; // nobody can read it
    if (rc != SC_OK && *head->rc == SC_OK)
        *head->rc = rc;
    --*head->waiting;
    sc_store_op_done(op);
    sc_buf_done(&head->name);
    free(head);
}

static void submit_head(struct sc_objects *objects, enum sc_object_area area, const struct sc_digest *digest,
                        uint64_t bytes, enum sc_rc *rc, uint32_t *waiting)
{
    enum { AT_ONCE = 1000 };
    struct head *head = sc_calloc(1, sizeof *head);
    sc_buf_init(&head->name, SC_LIMIT_PATH_BYTES);
    sc_buf_add_slice(&head->name, sc_object_name(objects, area, digest));
    sc_store_op_init(&head->op, SC_STORE_HEAD, sc_buf_slice(&head->name));
    head->op.done = head_done;
    head->op.context = head;
    head->bytes = bytes;
    head->rc = rc;
    head->waiting = waiting;
    ++*waiting;
    sc_store_submit(objects->store, &head->op);
    while (*waiting >= AT_ONCE)
        sc_store_dispatch(objects->store, -1);
}

static void submit_deep(struct sc_objects *objects, const struct sc_digest *root, enum sc_rc *rc,
                        uint32_t *waiting)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_tree tree;
    enum sc_rc got = sc_objects_get_tree(objects, root, &arena, &tree, NULL);
    if (got != SC_OK) {
        *rc = got == SC_CORRUPT ? SC_NOT_FOUND : got; // damaged is as good as lost
        return;
    }
    for (uint32_t i = 0; i < tree.packs.count; i++)
        submit_head(objects, SC_AREA_PACK, &tree.packs.items[i].digest, tree.packs.items[i].bytes, rc,
                    waiting);
    for (uint32_t i = 0; i < tree.nodes.count; i++)
        for (uint32_t k = 0; k < tree.nodes.items[i].entries.count; k++) {
            const struct sc_tree_entry *e = &tree.nodes.items[i].entries.items[k];
            if (tree.packs.count && e->bytes <= SC_PACK_FILE_BYTES)
                continue;
            if (e->kind == SC_ENTRY_FILE || e->kind == SC_ENTRY_EXEC)
                submit_head(objects, SC_AREA_CAS, &e->digest, e->bytes, rc, waiting);
        }
}

void sc_objects_presence(struct sc_objects *objects, const struct sc_artifact *const *artifacts,
                         uint32_t count, bool deep, enum sc_rc *rets)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_artifact *a = artifacts[i];
        rets[i] = SC_OK;
        if (a->has_inline)
            continue; // the reference is the bytes
        if (a->kind == SC_ARTIFACT_FILE)
            submit_head(objects, SC_AREA_CAS, &a->digest, a->bytes, &rets[i], &waiting);
        else if (a->kind == SC_ARTIFACT_DIR && deep)
            submit_deep(objects, &a->digest, &rets[i], &waiting);
        else if (a->kind == SC_ARTIFACT_DIR)
            submit_head(objects, SC_AREA_TREE, &a->digest, UINT64_MAX, &rets[i], &waiting);
        else
            rets[i] = SC_UNSUPPORTED;
    }
    while (waiting)
        sc_store_dispatch(objects->store, -1);
}
