// What steps are given: read-only paths of checked artifacts. Below the layout folder:
//
//     trees/<root digest>          a folder laid out once; its files are hardlinks of objects where the file system allows
//     trees/<root digest>.bytes    what it counts for, as text; touched when it is used
//     files/<digest>[-x]           executable copies, inline bytes, objects of a store that is not on this machine
//     pins                         locked byte by byte: who uses what, who judges what
//     tmp/                         what is being built or removed
//
// Several handles and processes may share the folder. A pin is a shared lock (F_OFD_SETLK) on the byte that an entry's
// digest tells: it dies with its process, and the one who wants to remove the entry tries to lock it exclusively.
// A laid-out folder is checked whole when this handle uses it first (hashed, by the memo), and trusted from then on:
// it lies read-only, and steps see it through read-only mounts.
#include "store/layout_cache.h"
#include "store/object_impl.h"

#include "base/memory.h"
#include "base/os/file.h"
#include "store/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LINK_TRIES = 8 };

static enum sc_rc open_layouts(struct sc_objects *objects, struct sc_error *err)
{
    if (objects->layouts)
        return SC_OK;
    if (!objects->layout_folder)
        return sc_error_set(err, SC_INVALID, "no folder for inputs is configured");
    enum sc_rc rc =
        sc_layouts_open(objects->layout_folder, objects->layout_max_bytes, &objects->layouts, err);
    if (rc == SC_OK && objects->memo)
        objects->layout_volume = sc_object_volume_at(objects->layout_folder);
    return rc;
}

static enum sc_rc new_file(struct sc_layouts *l, char ret_name[SC_SCRATCH_NAME_BYTES], int *ret_fd,
                           struct sc_error *err)
{
    sc_scratch_name(&l->scratch, ret_name);
    *ret_fd = openat(l->scratch.fd, ret_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *ret_fd >= 0 ? SC_OK : sc_error_errno(err, errno, "create a file in %s", l->scratch.path);
}

// Gives a filled scratch file its place.
static enum sc_rc place_file(struct sc_objects *objects, struct sc_layout *entry, const char *name, int fd,
                             const char *path, struct sc_error *err)
{
    struct sc_layouts *l = objects->layouts;
    struct stat st;
    if (fchmod(fd, entry->kind == SC_LAYOUT_EXEC ? 0555 : 0444))
        return sc_error_errno(err, errno, "set a file's mode");
    if (renameat(l->scratch.fd, name, AT_FDCWD, path))
        return sc_error_errno(err, errno, "rename to %s", path);
    if (fstat(fd, &st))
        return sc_error_errno(err, errno, "stat %s", path);
    entry->checked = true;
    entry->id = sc_file_id(&st);
    sc_object_remember(objects, &entry->digest, &st);
    sc_layouts_evict(l, (entry->id.size + 4095) / 4096 * 4096);
    return SC_OK;
}

static enum sc_rc make_file(struct sc_objects *objects, struct sc_layout *entry,
                            const struct sc_artifact *inlined, const char *path, struct sc_error *err)
{
    struct sc_layouts *l = objects->layouts;
    struct sc_digest digest = inlined ? sc_digest_of(inlined->inline_bytes) : entry->digest;
    if (!sc_digest_eq(&digest, &entry->digest))
        return sc_object_wrong(err, SC_CORRUPT, &entry->digest,
                               "is damaged: its inline bytes have another digest");
    char name[SC_SCRATCH_NAME_BYTES];
    SC_AUTO_CLOSE int fd = -1;
    enum sc_rc rc = new_file(l, name, &fd, err);
    if (rc != SC_OK)
        return rc;
    rc = inlined ? sc_fd_write_all(fd, inlined->inline_bytes, err)
                 : sc_object_fetch(objects, &entry->digest, fd, err);
    if (rc == SC_OK)
        rc = place_file(objects, entry, name, fd, path, err);
    if (rc != SC_OK)
        unlinkat(l->scratch.fd, name, 0);
    return rc;
}

static bool check_file(struct sc_objects *objects, struct sc_layout *entry, const char *path)
{
    struct stat st;
    SC_AUTO_CLOSE int fd = -1;
    if (lstat(path, &st) || !S_ISREG(st.st_mode) ||
        ((st.st_mode & S_IXUSR) != 0) != (entry->kind == SC_LAYOUT_EXEC))
        return false;
    struct sc_file_id id = sc_file_id(&st);
    if (entry->checked && sc_file_id_eq(&entry->id, &id))
        return true;
    if (!sc_object_is_known(objects, path, &st, &entry->digest)) {
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || sc_object_verify_fd(objects, fd, path, &entry->digest, &st, NULL) != SC_OK)
            return false;
        sc_object_remember(objects, &entry->digest, &st);
    }
    entry->checked = true;
    entry->id = sc_file_id(&st);
    return true;
}

// Pins the entry; `*ret_there` tells whether its file lies at the path and is whole, else it is to be made.
static enum sc_rc take_entry(struct sc_objects *objects, enum sc_layout_kind kind,
                             const struct sc_digest *digest, struct sc_buf *ret_path,
                             struct sc_layout **ret_entry, bool *ret_there, struct sc_error *err)
{
    struct sc_layouts *l = objects->layouts;
    struct sc_layout *entry = sc_layout_entry(l, kind, digest);
    sc_layout_path(l, kind, digest, ret_path);
    enum sc_rc rc = sc_layout_pin(l, entry, err);
    if (rc != SC_OK)
        return rc;
    *ret_entry = entry;
    *ret_there = check_file(objects, entry, sc_buf_cstr(ret_path));
    entry->checked &= *ret_there;
    return SC_OK;
}

static enum sc_rc local_file(struct sc_objects *objects, enum sc_layout_kind kind,
                             const struct sc_digest *digest, const struct sc_artifact *inlined,
                             struct sc_buf *ret_path, struct sc_layout **ret_entry, struct sc_error *err)
{
    bool there;
    enum sc_rc rc = take_entry(objects, kind, digest, ret_path, ret_entry, &there, err);
    if (rc != SC_OK || there)
        return rc;
    rc = make_file(objects, *ret_entry, inlined, sc_buf_cstr(ret_path), err);
    if (rc != SC_OK)
        sc_layout_unpin(objects->layouts, *ret_entry);
    return rc;
}

static enum sc_rc copy_into(struct sc_objects *objects, const char *from, int dirfd, const char *name,
                            bool exec, const struct sc_digest *digest, struct sc_error *err)
{
    SC_AUTO_CLOSE int in = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    SC_AUTO_CLOSE int out = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;
    if (in < 0 || out < 0 || fstat(in, &st))
        return sc_error_errno(err, errno, "copy %s to %s", from, name);
    enum sc_rc rc = sc_copy_file(in, out, (uint64_t)st.st_size, err);
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "copy %s to %s", from, name);
    if (fchmod(out, exec ? 0555 : 0444))
        return sc_error_errno(err, errno, "set the mode of %s", name);
    return sc_object_verify_fd(objects, out, name, digest, &st, err);
}

// One more name for a checked file; where there can be none (another file system, too many links), a copy.
// `*ret_linked` tells which; *ret_st is the file in its place.
static enum sc_rc link_into(struct sc_objects *objects, const char *from, int dirfd, const char *name,
                            bool exec, const struct sc_digest *digest, bool *ret_linked, struct stat *ret_st,
                            struct sc_error *err)
{
    // Another handle may put an equal file in its place just now: the one that was found has no name left then.
    int tries = 0;
    do {
        *ret_linked = linkat(AT_FDCWD, from, dirfd, name, 0) == 0;
    } while (!*ret_linked && errno == ENOENT && ++tries < LINK_TRIES);
    if (!*ret_linked && errno != EXDEV && errno != EMLINK && errno != EPERM)
        return sc_error_errno(err, errno, "link %s to %s", from, name);
    enum sc_rc rc = *ret_linked ? SC_OK : copy_into(objects, from, dirfd, name, exec, digest, err);
    if (rc == SC_OK && fstatat(dirfd, name, ret_st, AT_SYMLINK_NOFOLLOW))
        rc = sc_error_errno(err, errno, "stat %s", name);
    return rc;
}

static enum sc_rc link_entry(struct sc_objects *objects, struct sc_layout *entry, const char *path, int dirfd,
                             const char *name, struct sc_error *err)
{
    bool linked;
    struct stat st;
    enum sc_rc rc = link_into(objects, path, dirfd, name, entry->kind == SC_LAYOUT_EXEC, &entry->digest,
                              &linked, &st, err);
    if (rc != SC_OK)
        return rc;
    if (linked)
        entry->id = sc_file_id(&st);
    sc_object_remember(objects, &entry->digest, &st);
    return SC_OK;
}

static enum sc_rc lay_inline(struct sc_objects *objects, int dirfd, const char *name,
                             const struct sc_artifact *inlined, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    struct sc_layout *entry;
    enum sc_rc rc = local_file(objects, inlined->exec ? SC_LAYOUT_EXEC : SC_LAYOUT_FILE, &inlined->digest,
                               inlined, &path, &entry, err);
    if (rc != SC_OK)
        return rc;
    rc = link_entry(objects, entry, sc_buf_cstr(&path), dirfd, name, err);
    sc_layout_unpin(objects->layouts, entry);
    return rc;
}

// A file on its way into files/, and from there to its place.
struct coming {
    struct sc_layout *entry; // pinned
    struct sc_buf path;      // its own
    char scratch[SC_SCRATCH_NAME_BYTES];
    int dirfd; // of its place
    char *name;
};

static void free_coming(struct sc_objects *objects, struct coming *c)
{
    if (c->entry)
        sc_layout_unpin(objects->layouts, c->entry);
    if (c->dirfd >= 0)
        sc_fd_close(c->dirfd);
    sc_buf_done(&c->path);
    free(c->name);
    free(c);
}

static enum sc_rc begin_cached(struct sc_objects *objects, int dirfd, const char *name,
                               struct sc_lay_file *file, struct sc_error *err)
{
    struct coming *c = sc_calloc(1, sizeof *c);
    bool there;
    c->dirfd = -1;
    sc_buf_init(&c->path, 0);
    enum sc_rc rc = take_entry(objects, file->exec ? SC_LAYOUT_EXEC : SC_LAYOUT_FILE, &file->digest, &c->path,
                               &c->entry, &there, err);
    if (rc == SC_OK && there)
        rc = link_entry(objects, c->entry, sc_buf_cstr(&c->path), dirfd, name, err);
    if (rc == SC_OK && !there && (c->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0)) < 0)
        rc = sc_error_errno(err, errno, "open the folder of %s again", name);
    if (rc == SC_OK && !there)
        rc = new_file(objects->layouts, c->scratch, &file->fd, err);
    if (rc != SC_OK || there) {
        free_coming(objects, c);
        return rc;
    }
    c->name = sc_strdup(name);
    file->own = c;
    return SC_OK;
}

static enum sc_rc end_file(struct sc_lay *lay, struct sc_lay_file *file, enum sc_rc rc, struct sc_error *err)
{
    struct sc_objects *objects = lay->objects;
    struct coming *c = file->own;
    const char *path = sc_buf_cstr(&c->path);
    if (rc == SC_OK)
        rc = place_file(objects, c->entry, c->scratch, file->fd, path, err);
    if (rc != SC_OK)
        unlinkat(objects->layouts->scratch.fd, c->scratch, 0);
    else
        rc = link_entry(objects, c->entry, path, c->dirfd, c->name, err);
    free_coming(objects, c);
    return rc;
}

static enum sc_rc begin_file(struct sc_lay *lay, int dirfd, const char *name, struct sc_lay_file *file,
                             struct sc_error *err)
{
    struct sc_objects *objects = lay->objects;
    if (file->exec || !sc_store_local_root(objects->store))
        return begin_cached(objects, dirfd, name, file, err);
    const char *path;
    enum sc_rc rc = sc_object_check(objects, SC_AREA_CAS, &file->digest, &path, err);
    if (rc != SC_OK)
        return rc;
    bool linked;
    struct stat st;
    rc = link_into(objects, path, dirfd, name, false, &file->digest, &linked, &st, err);
    if (rc == SC_OK && linked)
        sc_object_linked(objects, &file->digest, &st);
    else if (rc == SC_OK)
        sc_object_remember(objects, &file->digest, &st);
    return rc;
}

struct building {
    struct sc_lay lay;
    const struct sc_digest *root;
    const struct sc_fan_in_entry *entries; // of a fan-in, else NULL
    uint32_t count;
    uint64_t bytes;
};

static enum sc_rc build_tree(struct building *b, const struct sc_digest *root, int dirfd,
                             struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_tree tree;
    enum sc_rc rc = sc_objects_get_tree(b->lay.objects, root, &arena, &tree, err);
    if (rc == SC_NOT_FOUND || rc == SC_CORRUPT)
        b->lay.lost = *root;
    if (rc != SC_OK)
        return rc;
    b->bytes += tree.bytes;
    return sc_lay_tree(&b->lay, &tree, dirfd, err);
}

static enum sc_rc build_entry(struct building *b, const struct sc_fan_in_entry *e, int dirfd,
                              struct sc_error *err)
{
    char name[256];
    SC_ASSERT(e->name.len > 0 && e->name.len < sizeof name);
    memcpy(name, e->name.ptr, e->name.len);
    name[e->name.len] = 0;
    struct sc_objects *objects = b->lay.objects;
    const struct sc_artifact *a = &e->artifact;
    enum sc_rc rc;
    if (a->kind == SC_ARTIFACT_DIR) {
        SC_AUTO_CLOSE int fd = -1;
        rc = sc_lay_wait(&b->lay, err); // so that what is lost from here on is this entry's
        if (rc != SC_OK)
            return rc;
        if (mkdirat(dirfd, name, 0700) ||
            (fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
            return sc_error_errno(err, errno, "make folder %s", name);
        rc = build_tree(b, &a->digest, fd, err);
        if (rc == SC_NOT_FOUND || rc == SC_CORRUPT)
            b->lay.lost = a->digest;
        if (rc == SC_OK && fchmod(fd, b->lay.dir_mode))
            rc = sc_error_errno(err, errno, "set the mode of folder %s", name);
        return rc;
    }
    b->bytes += a->bytes;
    if (!a->has_inline)
        return sc_lay_file(&b->lay, dirfd, name, &a->digest, a->exec, err);
    rc = lay_inline(objects, dirfd, name, a, err);
    if (rc == SC_CORRUPT)
        b->lay.lost = a->digest;
    return rc;
}

static enum sc_rc fill(struct building *b, int fd, struct sc_error *err)
{
    if (!b->entries)
        return build_tree(b, b->root, fd, err);
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < b->count && rc == SC_OK; i++)
        rc = build_entry(b, &b->entries[i], fd, err);
    enum sc_rc ended = sc_lay_wait(&b->lay, rc == SC_OK ? err : NULL);
    return rc == SC_OK ? ended : rc;
}

static enum sc_rc write_bytes(struct sc_layouts *l, uint64_t bytes, const char *path, struct sc_error *err)
{
    char name[SC_SCRATCH_NAME_BYTES], text[32];
    SC_AUTO_CLOSE int fd = -1;
    enum sc_rc rc = new_file(l, name, &fd, err);
    int len = snprintf(text, sizeof text, "%llu\n", (unsigned long long)bytes);
    if (rc == SC_OK)
        rc = sc_fd_write_all(fd, sc_slice(text, (size_t)len), err);
    if (rc == SC_OK && renameat(l->scratch.fd, name, AT_FDCWD, path))
        rc = sc_error_errno(err, errno, "rename to %s", path);
    return rc;
}

// Makes the folder in the scratch folder and gives it its name. Another handle may have been faster: then its folder is
// taken, once checked.
static enum sc_rc make_tree(struct sc_layouts *l, struct building *b, const char *path, bool *ret_exists,
                            struct sc_error *err)
{
    char name[SC_SCRATCH_NAME_BYTES];
    sc_scratch_name(&l->scratch, name);
    SC_AUTO_FREE char *built = sc_asprintf("%s/%s", l->scratch.path, name);
    SC_AUTO_FREE char *bytes_path = sc_asprintf("%s.bytes", path);
    SC_AUTO_CLOSE int fd = -1;
    if (mkdir(built, 0700) || (fd = open(built, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return sc_error_errno(err, errno, "make folder %s", built);
    enum sc_rc rc = fill(b, fd, err);
    if (rc == SC_OK)
        rc = write_bytes(l, b->bytes, bytes_path, err);
    *ret_exists = false;
    if (rc == SC_OK && renameat2(AT_FDCWD, built, AT_FDCWD, path, RENAME_NOREPLACE)) {
        // Where the flag is not known, a rename on a folder that is not empty fails as well.
        if (errno == EINVAL && rename(built, path) == 0)
            errno = 0;
        *ret_exists = errno == EEXIST || errno == ENOTEMPTY;
        if (errno && !*ret_exists)
            rc = sc_error_errno(err, errno, "rename to %s", path);
    }
    if (rc == SC_OK && !*ret_exists && fchmod(fd, b->lay.dir_mode))
        rc = sc_error_errno(err, errno, "set the mode of %s", path);
    if (rc != SC_OK || *ret_exists)
        (void)!sc_dir_remove(built, NULL);
    return rc;
}

static void note_tree(struct sc_layout *entry, const char *path)
{
    struct stat st;
    entry->checked = lstat(path, &st) == 0;
    if (entry->checked)
        entry->id = sc_file_id(&st);
}

// One that was laid out earlier: hashed again, which costs a look at each file where the memo knows them. SC_NOT_FOUND,
// SC_CORRUPT.
static enum sc_rc check_tree(struct sc_objects *objects, struct sc_layout *entry, const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT ? SC_NOT_FOUND : SC_CORRUPT;
    if (!S_ISDIR(st.st_mode))
        return SC_CORRUPT;
    struct sc_file_id id = sc_file_id(&st);
    if (entry->checked && entry->id.dev == id.dev && entry->id.ino == id.ino)
        return SC_OK;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_tree tree;
    // Another handle may link its files into other folders just now.
    struct sc_hash_options options = {.memo = objects->memo, .linked = true};
    if (sc_hash_dir(path, &options, &arena, &tree, NULL) != SC_OK ||
        !sc_digest_eq(&tree.nodes.items[0].digest, &entry->digest))
        return SC_CORRUPT;
    note_tree(entry, path);
    SC_AUTO_FREE char *bytes_path = sc_asprintf("%s.bytes", path);
    (void)!utimensat(AT_FDCWD, bytes_path, NULL, 0);
    return SC_OK;
}

// Whether it lies there, whole. One that is damaged is moved away; what other handles use of it stays theirs: a mount keeps
// the folder that it was made of. One handle judges at a time, or what it moves away could be the one that another has laid
// out since: what has its place keeps it but for this, as long as it is pinned.
static enum sc_rc find_tree(struct sc_objects *objects, struct sc_layout *entry, const char *path,
                            bool *ret_found, struct sc_error *err)
{
    struct sc_layouts *l = objects->layouts;
    enum sc_rc rc = sc_layout_judge(l, entry, err);
    if (rc != SC_OK)
        return rc;
    enum sc_rc checked = check_tree(objects, entry, path);
    *ret_found = checked == SC_OK;
    entry->checked &= *ret_found;
    if (checked == SC_CORRUPT && !sc_layout_discard(l, SC_LAYOUT_TREE, &entry->digest))
        rc = sc_error_errno(err, errno, "move %s away", path);
    sc_layout_judged(l, entry);
    return rc;
}

static enum sc_rc provide_tree(struct sc_objects *objects, struct sc_layout *entry, struct building *b,
                               const char *path, struct sc_error *err)
{
    struct sc_layouts *l = objects->layouts;
    enum { TRIES = 3 };
    for (int i = 0; i < TRIES; i++) {
        bool found = false, exists = false;
        enum sc_rc rc = find_tree(objects, entry, path, &found, err);
        if (rc != SC_OK || found)
            return rc;
        b->bytes = 0;
        rc = make_tree(l, b, path, &exists, err);
        if (rc != SC_OK)
            return rc;
        if (!exists) {
            note_tree(entry, path);
            sc_layouts_evict(l, b->bytes);
            return SC_OK;
        }
    }
    return sc_error_set(err, SC_BUSY, "%s is made and damaged again and again", path);
}

static enum sc_rc local_tree(struct sc_objects *objects, struct building *b, struct sc_buf *ret_path,
                             struct sc_digest *ret_lost, struct sc_error *err)
{
    enum sc_rc rc = open_layouts(objects, err);
    if (rc != SC_OK)
        return rc;
    struct sc_layouts *l = objects->layouts;
    struct sc_layout *entry = sc_layout_entry(l, SC_LAYOUT_TREE, b->root);
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    sc_layout_path(l, SC_LAYOUT_TREE, b->root, &path);
    rc = sc_layout_pin(l, entry, err);
    if (rc != SC_OK)
        return rc;
    b->lay = (struct sc_lay){
        .objects = objects, .begin = begin_file, .end = end_file, .file_mode = 0444, .dir_mode = 0555};
    rc = provide_tree(objects, entry, b, sc_buf_cstr(&path), err);
    if (rc != SC_OK) {
        sc_layout_unpin(l, entry);
        if (ret_lost && !sc_digest_is_zero(&b->lay.lost))
            *ret_lost = b->lay.lost;
        return rc;
    }
    sc_buf_clear(ret_path);
    sc_buf_add_slice(ret_path, sc_buf_slice(&path));
    return SC_OK;
}

// Files of the store itself need no pin: only collection removes them, and it knows what runs use.
static bool is_direct(const struct sc_objects *objects, const struct sc_artifact *artifact)
{
    return !artifact->exec && !artifact->has_inline && sc_store_local_root(objects->store);
}

static enum sc_rc local_one(struct sc_objects *objects, const struct sc_artifact *artifact,
                            struct sc_buf *ret_path, struct sc_error *err)
{
    if (is_direct(objects, artifact)) {
        const char *path;
        enum sc_rc rc = sc_object_check(objects, SC_AREA_CAS, &artifact->digest, &path, err);
        if (rc != SC_OK)
            return rc;
        sc_buf_clear(ret_path);
        sc_buf_add_str(ret_path, path);
        return SC_OK;
    }
    enum sc_rc rc = open_layouts(objects, err);
    struct sc_layout *entry;
    return rc == SC_OK
               ? local_file(objects, artifact->exec ? SC_LAYOUT_EXEC : SC_LAYOUT_FILE, &artifact->digest,
                            artifact->has_inline ? artifact : NULL, ret_path, &entry, err)
               : rc;
}

enum sc_rc sc_objects_local(struct sc_objects *objects, const struct sc_artifact *artifact,
                            struct sc_buf *ret_path, struct sc_digest *ret_lost, struct sc_error *err)
{
    if (artifact->kind == SC_ARTIFACT_LIST)
        return sc_error_set(err, SC_UNSUPPORTED, "a list cannot be laid out");
    if (artifact->kind == SC_ARTIFACT_DIR) {
        struct building b = {.root = &artifact->digest};
        return local_tree(objects, &b, ret_path, ret_lost, err);
    }
    enum sc_rc rc = local_one(objects, artifact, ret_path, err);
    if ((rc == SC_NOT_FOUND || rc == SC_CORRUPT) && ret_lost)
        *ret_lost = artifact->digest;
    return rc;
}

void sc_objects_unpin(struct sc_objects *objects, const struct sc_artifact *artifact)
{
    if (artifact->kind == SC_ARTIFACT_LIST ||
        (artifact->kind == SC_ARTIFACT_FILE && is_direct(objects, artifact)))
        return;
    SC_ASSERT(objects->layouts != NULL);
    enum sc_layout_kind kind = artifact->kind == SC_ARTIFACT_DIR ? SC_LAYOUT_TREE
                               : artifact->exec                  ? SC_LAYOUT_EXEC
                                                                 : SC_LAYOUT_FILE;
    struct sc_layout *entry = sc_digest_map_get(&objects->layouts->entries[kind], &artifact->digest);
    SC_ASSERT(entry != NULL);
    sc_layout_unpin(objects->layouts, entry);
}

struct sc_artifact sc_fan_in_artifact(const struct sc_fan_in_entry *entries, uint32_t count)
{
    struct sc_artifact sum = {.kind = SC_ARTIFACT_DIR};
    SC_AUTO_FREE struct sc_tree_entry *node = sc_calloc(count, sizeof *node);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_artifact *a = &entries[i].artifact;
        SC_ASSERT(a->kind != SC_ARTIFACT_LIST);
        bool dir = a->kind == SC_ARTIFACT_DIR;
        node[i] = (struct sc_tree_entry){
            .name = entries[i].name,
            .kind = dir       ? SC_ENTRY_DIR
                    : a->exec ? SC_ENTRY_EXEC
                              : SC_ENTRY_FILE,
            .digest = a->digest,
            .bytes = dir ? 0 : a->bytes,
        };
        sum.bytes += a->bytes;
        sum.files += dir ? a->files : 1;
    }
    SC_AUTO_BUF struct sc_buf encoding;
    sc_buf_init(&encoding, 0);
    sum.digest = sc_tree_node_encode(node, count, &encoding);
    return sum;
}

enum sc_rc sc_objects_local_fan_in(struct sc_objects *objects, const struct sc_fan_in_entry *entries,
                                   uint32_t count, struct sc_buf *ret_path, struct sc_digest *ret_lost,
                                   struct sc_error *err)
{
    struct sc_artifact artifact = sc_fan_in_artifact(entries, count);
    static const struct sc_fan_in_entry none;
    struct building b = {.root = &artifact.digest, .entries = entries ? entries : &none, .count = count};
    return local_tree(objects, &b, ret_path, ret_lost, err);
}
