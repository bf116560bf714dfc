#include "base/os/file.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

void sc_fd_close(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
}

enum sc_rc sc_file_read(const char *path, size_t max_bytes, struct sc_buf *ret_bytes, struct sc_error *err)
{
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "open %s", path);
    for (;;) {
        uint8_t *at = sc_buf_reserve(ret_bytes, SC_FILE_READ_BYTES);
        if (!at)
            return sc_error_set(err, SC_LIMIT, "%s: larger than can be read", path);
        ssize_t n = read(fd, at, SC_FILE_READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sc_error_errno(err, errno, "read %s", path);
        if (n == 0)
            return SC_OK;
        ret_bytes->len += (size_t)n;
        if (ret_bytes->len > max_bytes)
            return sc_error_set(err, SC_LIMIT, "%s: larger than the limit of %zu bytes", path, max_bytes);
    }
}

enum sc_rc sc_fd_write_all(int fd, struct sc_slice bytes, struct sc_error *err)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sc_error_errno(err, errno, "write");
        bytes = sc_slice_from(bytes, (size_t)n);
    }
    return SC_OK;
}

enum sc_rc sc_dir_make(const char *path, mode_t mode, struct sc_error *err)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return SC_OK;
    if (errno != ENOENT)
        return sc_error_errno(err, errno, "make folder %s", path);
    SC_AUTO_FREE char *copy = sc_strdup(path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(copy, mode) && errno != EEXIST)
            return sc_error_errno(err, errno, "make folder %s", copy);
        *slash = '/';
    }
    if (mkdir(path, mode) && errno != EEXIST)
        return sc_error_errno(err, errno, "make folder %s", path);
    return SC_OK;
}

static int remove_below(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
        return 0;
    if ((errno != ENOTEMPTY && errno != EEXIST && errno != EACCES) || depth == 0)
        return -1;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    fchmod(fd, 0700);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        sc_fd_close(fd);
        return -1;
    }
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_below(dirfd(dir), e->d_name, depth - 1);
    int saved = errno;
    closedir(dir);
    errno = saved;
    return rc ? rc : unlinkat(parent, name, AT_REMOVEDIR);
}

enum sc_rc sc_dir_remove(const char *path, struct sc_error *err)
{
    enum {
        DEPTH = 4000
    }; // each level holds one descriptor and little stack; deeper trees are no step's work
    if (remove_below(AT_FDCWD, path, DEPTH))
        return sc_error_errno(err, errno, "remove %s", path);
    return SC_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

enum sc_rc sc_dir_names(int dirfd, struct sc_arena *arena, struct sc_slice **ret_names, size_t *ret_count,
                        struct sc_error *err)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        enum sc_rc rc = sc_error_errno(err, errno, "open folder");
        if (fd >= 0)
            sc_fd_close(fd);
        return rc;
    }
    SC_AUTO_FREE struct sc_slice *names = NULL;
    size_t count = 0, room = 0;
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)); errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (count == room) {
            room = room ? room * 2 : 64;
            names = sc_realloc(names, room, sizeof *names);
        }
        names[count++] = sc_arena_copy(arena, sc_slice_str(e->d_name));
    }
    int saved = errno;
    closedir(dir);
    if (saved)
        return sc_error_errno(err, saved, "read folder");
    struct sc_slice *kept = SC_NEW_ARRAY(arena, count, struct sc_slice);
    if (count) {
        qsort(names, count, sizeof *names, by_bytes);
        memcpy(kept, names, count * sizeof *names);
    }
    *ret_names = kept;
    *ret_count = count;
    return SC_OK;
}

static bool take_lock(int fd)
{
    enum { TRIES = 10, PAUSE_MS = 5 }; // longer than anybody takes to ask
    for (int i = 0;; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK || i == TRIES)
            return false;
        poll(NULL, 0, PAUSE_MS);
    }
}

enum sc_rc sc_file_lock(const char *path, int *ret_fd, struct sc_error *err)
{
    SC_AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return sc_error_errno(err, errno, "open lock %s", path);
    if (!take_lock(fd)) {
        char pid[32] = "";
        ssize_t n = errno == EWOULDBLOCK ? pread(fd, pid, sizeof pid - 1, 0) : -1;
        if (n < 0)
            return sc_error_errno(err, errno, "lock %s", path);
        pid[strcspn(pid, "\n")] = 0;
        return sc_error_set(err, SC_BUSY, "%s is held by process %s", path, pid[0] ? pid : "(unknown)");
    }
    char pid[32];
    int len = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)len, 0) != len)
        return sc_error_errno(err, errno, "write lock %s", path);
    *ret_fd = fd;
    fd = -1;
    return SC_OK;
}

bool sc_file_is_locked(const char *path)
{
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? sc_fd_is_locked(fd) : errno != ENOENT;
}

bool sc_fd_is_locked(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB))
        return true;
    flock(fd, LOCK_UN);
    return false;
}

enum sc_rc sc_file_refuse_network(const char *path, struct sc_error *err)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } network[] = {
        {NFS_SUPER_MAGIC, "NFS"},   {SMB_SUPER_MAGIC, "SMB"},     {0xFF534D42, "CIFS"},
        {0xFE534D42, "SMB2"},       {CEPH_SUPER_MAGIC, "CephFS"}, {V9FS_MAGIC, "9p"},
        {AFS_SUPER_MAGIC, "AFS"},   {FUSE_SUPER_MAGIC, "FUSE"},   {0x0BD00BD0, "Lustre"},
        {CODA_SUPER_MAGIC, "Coda"},
    };
    struct statfs fs;
    if (statfs(path, &fs))
        return sc_error_errno(err, errno, "statfs %s", path);
    for (size_t i = 0; i < SC_COUNT(network); i++)
        if ((unsigned long)(uint32_t)fs.f_type == network[i].magic)
            return sc_error_set(err, SC_UNSUPPORTED,
                                "%s lies on a network file system (%s), where locks and syncs do not hold; "
                                "choose a local folder",
                                path, network[i].name);
    return SC_OK;
}
