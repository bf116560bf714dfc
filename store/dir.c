// The folder back end: the bucket's names are paths below a root. An object becomes visible by a rename of a whole
// file out of this handle's scratch folder, so readers never see half of one, and several processes may share a root.
// Durability is one syncfs a batch (2-ARCHITECTURE, Store), not a sync an object.
#include "store/backend.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "store/copy.h"
#include "store/reader.h"
#include "store/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct dir_store {
    struct sc_store base;
    char *root;
    int root_fd; // kept from the start, so that a write error of any time since is told by syncfs
    char *scratch_parent;
    struct sc_scratch scratch;
    struct sc_reader reader;
    struct sc_store_op *first, *last;
};

static struct dir_store *dir_of(struct sc_store *store)
{
    return (struct dir_store *)store;
}

// A name as a path below the root.
static bool to_path(struct sc_slice name, char ret_path[SC_LIMIT_PATH_BYTES])
{
    if (!sc_store_name_is_valid(name))
        return false;
    memcpy(ret_path, name.ptr, name.len);
    ret_path[name.len] = 0;
    return true;
}

// Of a name that is not there: absent, unless the whole store was removed under this handle, which tells nothing of what
// it held.
static enum sc_rc absent(struct dir_store *dir, const char *path, struct sc_error *err)
{
    struct stat st;
    if (fstat(dir->root_fd, &st) == 0 && st.st_nlink == 0)
        return sc_error_set(err, SC_CLOSED, "the store's folder %s was removed while it was in use",
                            dir->root);
    return sc_error_set(err, SC_NOT_FOUND, "%s: not in the store", path);
}

// Makes the folders above path, below the root.
static enum sc_rc make_parents(struct dir_store *dir, char *path, struct sc_error *err)
{
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int failed = mkdirat(dir->root_fd, path, 0777) ? errno : 0;
        if (failed && failed != EEXIST) {
            enum sc_rc rc = failed == ENOENT
                                ? absent(dir, path, err)
                                : sc_error_errno(err, failed, "make folder %s/%s", dir->root, path);
            *slash = '/';
            return rc;
        }
        *slash = '/';
    }
    return SC_OK;
}

static int rename_new(int from_fd, const char *from, int to_fd, const char *to)
{
    if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    // A file system without it: a link is as exclusive.
    if (linkat(from_fd, from, to_fd, to, 0))
        return -1;
    unlinkat(from_fd, from, 0);
    return 0;
}

static enum sc_rc publish(struct dir_store *dir, const char *staged, char *path, bool if_absent,
                          struct sc_error *err)
{
    for (int i = 0; i < 2; i++) {
        int failed = if_absent ? rename_new(dir->scratch.fd, staged, dir->root_fd, path)
                               : renameat(dir->scratch.fd, staged, dir->root_fd, path);
        if (failed == 0)
            return SC_OK;
        if (errno == EEXIST)
            return sc_error_set(err, SC_EXISTS, "%s is there already", path);
        if (errno != ENOENT || i == 1)
            break;
        enum sc_rc rc = make_parents(dir, path, err);
        if (rc != SC_OK)
            return rc;
    }
    return sc_error_errno(err, errno, "rename to %s/%s", dir->root, path);
}

static enum sc_rc stage_new(struct dir_store *dir, const char *staged, mode_t mode, int *ret_fd,
                            struct sc_error *err)
{
    int fd = openat(dir->scratch.fd, staged, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return sc_error_errno(err, errno, "create a file in %s", dir->scratch.path);
    *ret_fd = fd;
    if (fchmod(fd, mode)) // whatever the umask
        return sc_error_errno(err, errno, "set the mode of a file in %s", dir->scratch.path);
    return SC_OK;
}

// Takes the file itself: one name, no other owner who could open it for writing again.
static bool stage_move(struct dir_store *dir, int from, const struct stat *st, const char *path,
                       const char *staged, mode_t mode)
{
    if (st->st_nlink != 1)
        return false;
    if (st->st_uid != geteuid() && fchown(from, geteuid(), getegid()))
        return false;
    if (renameat(AT_FDCWD, path, dir->scratch.fd, staged))
        return false;
    struct stat moved;
    bool same = fstatat(dir->scratch.fd, staged, &moved, AT_SYMLINK_NOFOLLOW) == 0 &&
                moved.st_dev == st->st_dev && moved.st_ino == st->st_ino;
    if (same && fchmod(from, mode) == 0)
        return true;
    unlinkat(dir->scratch.fd, staged, 0);
    return false;
}

static enum sc_rc stage_file(struct dir_store *dir, const struct sc_store_op *op, const char *staged,
                             mode_t mode, uint64_t *ret_bytes, struct sc_error *err)
{
    SC_AUTO_CLOSE int from = open(op->body_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (from < 0 || fstat(from, &st))
        return sc_error_errno(err, errno, "open %s", op->body_path);
    if (!S_ISREG(st.st_mode))
        return sc_error_set(err, SC_UNSUPPORTED, "%s: not a regular file", op->body_path);
    *ret_bytes = (uint64_t)st.st_size;
    if (op->move_body && stage_move(dir, from, &st, op->body_path, staged, mode))
        return SC_OK;
    SC_AUTO_CLOSE int to = -1;
    enum sc_rc rc = stage_new(dir, staged, mode, &to, err);
    if (rc == SC_OK)
        rc = sc_copy_file(from, to, (uint64_t)st.st_size, err);
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "copy %s into the store", op->body_path);
}

// Something stands in an object's place that is no object: neither absent nor ours to remove, since it may hold what
// somebody wants.
static enum sc_rc not_a_file(struct dir_store *dir, const char *path, mode_t mode, struct sc_error *err)
{
    return sc_error_set(err, SC_CORRUPT, "%s/%s " SC_READER_NOT_A_FILE, dir->root, path,
                        sc_reader_kind_name(mode));
}

static enum sc_rc open_object(struct dir_store *dir, const char *path, int *ret_fd, struct stat *ret_st,
                              struct sc_error *err)
{
    SC_AUTO_CLOSE int fd = openat(dir->root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int failed = fd < 0 ? errno : 0;
    if (failed == ENOENT || failed == ENOTDIR)
        return absent(dir, path, err);
    // Links (ELOOP) and sockets (ENXIO) cannot be opened.
    bool known = (failed ? fstatat(dir->root_fd, path, ret_st, AT_SYMLINK_NOFOLLOW) : fstat(fd, ret_st)) == 0;
    if (known && !S_ISREG(ret_st->st_mode))
        return not_a_file(dir, path, ret_st->st_mode, err);
    if (failed || !known)
        return sc_error_errno(err, failed ? failed : errno, "open %s/%s", dir->root, path);
    *ret_fd = fd;
    fd = -1;
    return SC_OK;
}

static enum sc_rc stage_copy(struct dir_store *dir, const struct sc_store_op *op, const char *staged,
                             mode_t mode, uint64_t *ret_bytes, struct sc_error *err)
{
    char path[SC_LIMIT_PATH_BYTES];
    if (op->from_bucket.len)
        return sc_error_set(err, SC_UNSUPPORTED, "%s: a folder cannot copy out of a bucket", dir->root);
    if (!to_path(op->from, path))
        return sc_error_set(err, SC_INVALID, SC_SLICE_FMT ": not a name in the store",
                            SC_SLICE_ARG(op->from));
    SC_AUTO_CLOSE int from = -1;
    struct stat st;
    enum sc_rc rc = open_object(dir, path, &from, &st, err);
    if (rc != SC_OK)
        return rc;
    *ret_bytes = (uint64_t)st.st_size;
    SC_AUTO_CLOSE int to = -1;
    rc = stage_new(dir, staged, mode, &to, err);
    return rc == SC_OK ? sc_copy_file(from, to, (uint64_t)st.st_size, err) : rc;
}

static enum sc_rc stage(struct dir_store *dir, const struct sc_store_op *op, const char *staged,
                        uint64_t *ret_bytes, struct sc_error *err)
{
    mode_t mode = op->exec ? 0555 : 0444;
    if (op->kind == SC_STORE_COPY)
        return stage_copy(dir, op, staged, mode, ret_bytes, err);
    if (op->body_path)
        return stage_file(dir, op, staged, mode, ret_bytes, err);
    *ret_bytes = op->body.len;
    SC_AUTO_CLOSE int to = -1;
    enum sc_rc rc = stage_new(dir, staged, mode, &to, err);
    return rc == SC_OK ? sc_fd_write_all(to, op->body, err) : rc;
}

// Looks at the place of a put before anything is written. An empty folder gives way; another writer may have seen it too,
// and be quicker.
static enum sc_rc make_place(struct dir_store *dir, const char *path, bool if_absent, struct sc_error *err)
{
    struct stat st;
    if (fstatat(dir->root_fd, path, &st, AT_SYMLINK_NOFOLLOW))
        return SC_OK; // absent, or the rename tells why not
    if (S_ISREG(st.st_mode))
        return if_absent ? sc_error_set(err, SC_EXISTS, "%s is there already", path) : SC_OK;
    if (S_ISDIR(st.st_mode) &&
        (unlinkat(dir->root_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENOTDIR))
        return SC_OK;
    return not_a_file(dir, path, st.st_mode, err);
}

// Of a put or a copy.
static enum sc_rc write_object(struct dir_store *dir, struct sc_store_op *op, char *path)
{
    enum sc_rc rc = make_place(dir, path, op->if_absent, &op->err);
    if (rc == SC_OK && dir->scratch.fd < 0)
        rc = sc_scratch_open(dir->scratch_parent, &dir->scratch, &op->err);
    if (rc != SC_OK)
        return rc;
    char staged[SC_SCRATCH_NAME_BYTES];
    sc_scratch_name(&dir->scratch, staged);
    uint64_t bytes = 0;
    rc = stage(dir, op, staged, &bytes, &op->err);
    if (rc == SC_OK)
        rc = publish(dir, staged, path, op->if_absent, &op->err);
    if (rc != SC_OK)
        unlinkat(dir->scratch.fd, staged, 0);
    else
        dir->base.counts.bytes_in += bytes;
    op->bytes = bytes;
    return rc;
}

static enum sc_rc read_into(int fd, struct sc_store_op *op, size_t size)
{
    uint8_t *at = size ? sc_buf_reserve(&op->data, size) : op->data.ptr;
    if (size && !at)
        return sc_error_set(&op->err, SC_LIMIT, SC_SLICE_FMT ": %zu bytes are too many",
                            SC_SLICE_ARG(op->name), size);
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, at + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sc_error_errno(&op->err, errno, "read " SC_SLICE_FMT, SC_SLICE_ARG(op->name));
        if (n == 0)
            break; // shorter than it was: its reader's check of the digest tells
        done += (size_t)n;
        op->data.len += (size_t)n;
    }
    return SC_OK;
}

static enum sc_rc get_bytes(struct dir_store *dir, struct sc_store_op *op, const char *path)
{
    SC_AUTO_CLOSE int fd = -1;
    struct stat st;
    enum sc_rc rc = open_object(dir, path, &fd, &st, &op->err);
    if (rc != SC_OK)
        return rc;
    op->bytes = (uint64_t)st.st_size;
    dir->base.counts.bytes_out += op->bytes;
    if (op->to_fd >= 0)
        return sc_copy_file(fd, op->to_fd, op->bytes, &op->err);
    if (op->bytes > op->max_bytes)
        return sc_error_set(&op->err, SC_LIMIT, "%s: %llu bytes are more than %zu", path,
                            (unsigned long long)op->bytes, op->max_bytes);
    return read_into(fd, op, (size_t)op->bytes);
}

// SC_CORRUPT when what was read has another digest than the caller knows.
static enum sc_rc check_bytes(struct dir_store *dir, struct sc_store_op *op, const char *path)
{
    struct sc_digest found;
    struct stat st;
    enum sc_rc rc = SC_OK;
    if (sc_digest_is_zero(&op->sha256))
        return SC_OK;
    if (op->to_fd >= 0)
        rc = sc_reader_digest(&dir->reader, op->to_fd, path, true, &st, &found, &op->err);
    else
        found = sc_digest_of(sc_buf_slice(&op->data));
    if (rc == SC_OK && !sc_digest_eq(&found, &op->sha256))
        rc = sc_error_set(&op->err, SC_CORRUPT, "%s: its bytes have another digest", path);
    return rc;
}

static enum sc_rc do_get(struct dir_store *dir, struct sc_store_op *op, const char *path)
{
    dir->base.counts.gets++;
    for (int i = 0;; i++) {
        enum sc_rc rc = get_bytes(dir, op, path);
        if (rc == SC_OK)
            rc = check_bytes(dir, op, path);
        if (rc != SC_CORRUPT || i == 1)
            return rc;
        sc_buf_clear(&op->data);
        if (op->to_fd >= 0 && (ftruncate(op->to_fd, 0) || lseek(op->to_fd, 0, SEEK_SET) < 0))
            return sc_error_errno(&op->err, errno, "empty the copy of %s", path);
    }
}

static int64_t mtime_ms(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

static enum sc_rc do_head(struct dir_store *dir, struct sc_store_op *op, const char *path)
{
    struct stat st;
    dir->base.counts.heads++;
    op->now_ms = sc_clock_wall_ms();
    if (fstatat(dir->root_fd, path, &st, AT_SYMLINK_NOFOLLOW)) {
        if (errno == ENOENT || errno == ENOTDIR)
            return absent(dir, path, &op->err);
        return sc_error_errno(&op->err, errno, "stat %s/%s", dir->root, path);
    }
    if (!S_ISREG(st.st_mode))
        return not_a_file(dir, path, st.st_mode, &op->err);
    op->bytes = (uint64_t)st.st_size;
    op->mtime_ms = mtime_ms(&st);
    // What a file of this very content would keep: another has another inode, since objects come by rename.
    op->etag =
        sc_arena_printf(&op->arena, "%llx-%llx-%lld.%09ld", (unsigned long long)st.st_ino,
                        (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return SC_OK;
}

// Names in byte order: below a folder, a file "a-b" comes before what lies in the folder "a", since '-' < '/'. So
// folders are sorted with their slash.
struct lister {
    struct dir_store *dir;
    struct sc_store_op *op;
    char path[SC_LIMIT_PATH_BYTES];
    struct sc_store_entry *entries;
    uint32_t room;
};

static int by_bytes(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

static enum sc_rc list_folder(struct lister *l, size_t path_len, int depth);

// Whether names that start with `path` can be both in the wanted prefix and after `after`.
static bool is_wanted(const struct lister *l, struct sc_slice path, bool folder)
{
    const struct sc_store_op *op = l->op;
    size_t n = path.len < op->name.len ? path.len : op->name.len;
    if (n && memcmp(path.ptr, op->name.ptr, n) != 0)
        return false;
    if (!folder)
        return path.len >= op->name.len && (op->after.len == 0 || sc_slice_cmp(path, op->after) > 0);
    n = path.len < op->after.len ? path.len : op->after.len;
    return n == 0 || memcmp(path.ptr, op->after.ptr, n) >= 0;
}

static void list_add(struct lister *l, struct sc_slice path)
{
    struct sc_store_op *op = l->op;
    struct stat st;
    if (fstatat(l->dir->root_fd, l->path, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return; // removed meanwhile, or no object
    if (op->entry_count == l->room) {
        l->room = l->room ? l->room * 2 : 64;
        l->entries = sc_realloc(l->entries, l->room, sizeof *l->entries);
    }
    l->entries[op->entry_count++] = (struct sc_store_entry){
        .name = sc_arena_copy(&op->arena, path), .bytes = (uint64_t)st.st_size, .mtime_ms = mtime_ms(&st)};
}

static enum sc_rc list_entry(struct lister *l, size_t path_len, struct sc_slice entry, int depth)
{
    bool folder = entry.ptr[entry.len - 1] == '/';
    if (path_len + entry.len >= sizeof l->path)
        return SC_OK; // no name of ours
    memcpy(l->path + path_len, entry.ptr, entry.len);
    l->path[path_len + entry.len] = 0;
    struct sc_slice path = sc_slice(l->path, path_len + entry.len);
    if (!is_wanted(l, path, folder))
        return SC_OK;
    if (folder)
        return depth > 0 ? list_folder(l, path.len, depth - 1) : SC_OK;
    list_add(l, path);
    return SC_OK;
}

static bool is_folder(DIR *dir, const struct dirent *e)
{
    struct stat st;
    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    return fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static enum sc_rc list_folder(struct lister *l, size_t path_len, int depth)
{
    l->path[path_len] = 0;
    int fd =
        openat(l->dir->root_fd, path_len ? l->path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        enum sc_rc rc = absent(l->dir, l->path, &l->op->err);
        return rc == SC_NOT_FOUND ? SC_OK : rc; // nothing to list
    }
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        enum sc_rc rc = sc_error_errno(&l->op->err, errno, "list %s/%s", l->dir->root, l->path);
        if (fd >= 0)
            sc_fd_close(fd);
        return rc;
    }
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    SC_AUTO_FREE struct sc_slice *entries = NULL;
    size_t count = 0, room = 0;
    for (;;) {
        errno = 0; // readdir(3): what tells an error from the end
        struct dirent *e = readdir(dir);
        if (!e)
            break;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (count == room) {
            room = room ? room * 2 : 64;
            entries = sc_realloc(entries, room, sizeof *entries);
        }
        entries[count++] = sc_arena_printf(&arena, "%s%s", e->d_name, is_folder(dir, e) ? "/" : "");
    }
    int failed = errno;
    closedir(dir);
    if (failed) // half a listing is none: voids are read from it
        return sc_error_errno(&l->op->err, failed, "list %s/%s", l->dir->root, l->path);
    if (count)
        qsort(entries, count, sizeof *entries, by_bytes);
    enum sc_rc rc = SC_OK;
    for (size_t i = 0; rc == SC_OK && i < count && l->op->entry_count < l->op->max_entries; i++)
        rc = list_entry(l, path_len, entries[i], depth);
    return rc;
}

static enum sc_rc do_list(struct dir_store *dir, struct sc_store_op *op)
{
    enum { DEPTH = 32 };
    struct lister l = {.dir = dir, .op = op};
    dir->base.counts.lists++;
    op->entry_count = 0;
    op->now_ms = sc_clock_wall_ms();
    if (op->name.len >= sizeof l.path ||
        memchr(op->name.ptr ? op->name.ptr : (const uint8_t *)"", 0, op->name.len))
        return sc_error_set(&op->err, SC_INVALID, "not a prefix of names");
    // The walk begins at the folder that the prefix names: only what is asked for is read.
    const uint8_t *slash = op->name.len ? memrchr(op->name.ptr, '/', op->name.len) : NULL;
    size_t start = slash ? (size_t)(slash - op->name.ptr) + 1 : 0;
    char checked[SC_LIMIT_PATH_BYTES];
    if (start && !to_path(sc_slice(op->name.ptr, start - 1), checked))
        return sc_error_set(&op->err, SC_INVALID, SC_SLICE_FMT ": not a prefix of names",
                            SC_SLICE_ARG(op->name));
    if (start)
        memcpy(l.path, op->name.ptr, start);
    enum sc_rc rc = list_folder(&l, start, DEPTH);
    op->entries = SC_NEW_ARRAY(&op->arena, op->entry_count, struct sc_store_entry);
    if (op->entry_count)
        memcpy(op->entries, l.entries, op->entry_count * sizeof *l.entries);
    free(l.entries);
    return rc;
}

// Out of its place first, and then looked at: a writer that wants to count on it and comes later finds nothing there, one
// that came before has touched it, and it goes back, unless another has put a new one by then.
static enum sc_rc remove_older(struct dir_store *dir, struct sc_store_op *op, const char *path)
{
    char aside[SC_SCRATCH_NAME_BYTES];
    struct stat st;
    if (fstatat(dir->root_fd, path, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT || errno == ENOTDIR
                   ? SC_OK
                   : sc_error_errno(&op->err, errno, "stat %s/%s", dir->root, path);
    if (!S_ISREG(st.st_mode))
        return not_a_file(dir, path, st.st_mode, &op->err);
    if (dir->scratch.fd < 0) {
        enum sc_rc rc = sc_scratch_open(dir->scratch_parent, &dir->scratch, &op->err);
        if (rc != SC_OK)
            return rc;
    }
    sc_scratch_name(&dir->scratch, aside);
    if (renameat(dir->root_fd, path, dir->scratch.fd, aside))
        return errno == ENOENT ? SC_OK : sc_error_errno(&op->err, errno, "remove %s/%s", dir->root, path);
    bool young =
        fstatat(dir->scratch.fd, aside, &st, AT_SYMLINK_NOFOLLOW) == 0 && mtime_ms(&st) >= op->before_ms;
    if (young && rename_new(dir->scratch.fd, aside, dir->root_fd, path) && errno != EEXIST)
        return sc_error_errno(&op->err, errno, "put %s/%s back", dir->root, path);
    unlinkat(dir->scratch.fd, aside, 0);
    return young ? sc_error_set(&op->err, SC_BUSY, "%s was put or touched meanwhile", path) : SC_OK;
}

static enum sc_rc do_remove(struct dir_store *dir, struct sc_store_op *op, const char *path)
{
    dir->base.counts.removes++;
    if (op->before_ms)
        return remove_older(dir, op, path);
    if (unlinkat(dir->root_fd, path, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
        return SC_OK;
    if (errno == EISDIR)
        return make_place(dir, path, false, &op->err);
    return sc_error_errno(&op->err, errno, "remove %s/%s", dir->root, path);
}

static enum sc_rc do_sync(struct dir_store *dir, struct sc_store_op *op)
{
    dir->base.counts.syncs++;
    if (syncfs(dir->root_fd))
        return sc_error_errno(&op->err, errno, "sync %s", dir->root);
    return SC_OK;
}

static enum sc_rc perform(struct dir_store *dir, struct sc_store_op *op)
{
    char path[SC_LIMIT_PATH_BYTES];
    if (op->kind == SC_STORE_LIST)
        return do_list(dir, op);
    if (op->kind == SC_STORE_SYNC)
        return do_sync(dir, op);
    if (op->kind == SC_STORE_SWEEP) {
        sc_scratch_sweep(dir->scratch_parent); // a writer that is gone is known by its lock, whatever its age
        return SC_OK;
    }
    if (!to_path(op->name, path))
        return sc_error_set(&op->err, SC_INVALID, SC_SLICE_FMT ": not a name in the store",
                            SC_SLICE_ARG(op->name));
    switch (op->kind) {
    case SC_STORE_GET:
        return do_get(dir, op, path);
    case SC_STORE_PUT:
        dir->base.counts.puts++;
        return write_object(dir, op, path);
    case SC_STORE_COPY:
        dir->base.counts.copies++;
        return write_object(dir, op, path);
    case SC_STORE_HEAD:
        return do_head(dir, op, path);
    case SC_STORE_REMOVE:
        return do_remove(dir, op, path);
    case SC_STORE_LIST:
    case SC_STORE_SYNC:
    case SC_STORE_SWEEP:
        break;
    }
    SC_ASSERT(false);
    return SC_INVALID;
}

static void dir_submit(struct sc_store *store, struct sc_store_op *op)
{
    struct dir_store *dir = dir_of(store);
    if (dir->last)
        dir->last->next = op;
    else
        dir->first = op;
    dir->last = op;
}

// What was submitted before the call: operations that `done` callbacks submit wait for the next one.
static uint32_t dir_dispatch(struct sc_store *store, int wait_ms)
{
    (void)wait_ms; // nothing is ever under way between calls
    struct dir_store *dir = dir_of(store);
    struct sc_store_op *op = dir->first;
    dir->first = dir->last = NULL;
    uint32_t count = 0;
    while (op) {
        struct sc_store_op *next = op->next;
        op->next = NULL;
        op->rc = perform(dir, op);
        count++;
        if (op->done)
            op->done(op);
        op = next;
    }
    return count;
}

static bool dir_local_path(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path)
{
    char path[SC_LIMIT_PATH_BYTES];
    if (!to_path(name, path))
        return false;
    sc_buf_add_str(ret_path, dir_of(store)->root);
    sc_buf_add_byte(ret_path, '/');
    sc_buf_add_slice(ret_path, name);
    return true;
}

static const char *dir_local_root(const struct sc_store *store)
{
    return ((const struct dir_store *)store)->root;
}

static void dir_close(struct sc_store *store)
{
    struct dir_store *dir = dir_of(store);
    SC_ASSERT(dir->first == NULL); // an operation belongs to its caller until it is done
    sc_scratch_close(&dir->scratch);
    sc_reader_done(&dir->reader);
    if (dir->root_fd >= 0)
        sc_fd_close(dir->root_fd);
    free(dir->scratch_parent);
    free(dir->root);
    free(dir);
}

static const struct sc_store_backend dir_backend = {
    .close = dir_close,
    .submit = dir_submit,
    .dispatch = dir_dispatch,
    .local_path = dir_local_path,
    .local_root = dir_local_root,
};

enum sc_rc sc_store_dir_open(const char *path, const char *url, struct sc_store **ret_store,
                             struct sc_error *err)
{
    enum sc_rc rc = sc_dir_make(path, 0777, err);
    if (rc == SC_OK)
        rc = sc_file_refuse_network(path, err);
    if (rc != SC_OK)
        return rc;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *real = fd < 0 ? NULL : realpath(path, NULL);
    if (!real) {
        rc = sc_error_errno(err, errno, "open the store's folder %s", path);
        if (fd >= 0)
            sc_fd_close(fd);
        return rc;
    }
    struct dir_store *dir = sc_calloc(1, sizeof *dir);
    dir->base.backend = &dir_backend;
    dir->root = real;
    dir->root_fd = fd;
    dir->scratch_parent = sc_asprintf("%s/tmp", real);
    dir->scratch.fd = -1;
    sc_reader_init(&dir->reader);
    sc_scratch_sweep(dir->scratch_parent);
    dir->base.url = sc_strdup(url);
    *ret_store = &dir->base;
    return SC_OK;
}
