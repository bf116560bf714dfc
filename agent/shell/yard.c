#include "agent/shell/yard.h"

#include "base/memory.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { WAITING_MOST = 64, FOLDER_MODE = 0755 };

struct sc_yard {
    char *steps;
    int flags; // of a folder that was just made; -1: the file system has none
    pthread_mutex_t lock;
    uint64_t shared_next;
    uint32_t shared_count;
    uint64_t shared_waiting[WAITING_MOST];
};

// chattr(1); what a file system does not know cannot have been changed.
static int flags_of(int fd)
{
    int flags = 0;
    return ioctl(fd, FS_IOC_GETFLAGS, &flags) ? -1 : flags & ~(int)FS_INDEX_FL;
}

struct sc_yard *sc_yard_new(const char *steps)
{
    struct sc_yard *yard = sc_calloc(1, sizeof *yard);
    yard->steps = sc_strdup(steps);
    yard->shared_next = 1;
    yard->flags = -1;
    pthread_mutex_init(&yard->lock, NULL);
    SC_AUTO_FREE char *probe = sc_yard_path(yard, 0);
    if (mkdir(probe, FOLDER_MODE) && errno != EEXIST)
        return yard;
    SC_AUTO_CLOSE int fd = open(probe, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        yard->flags = flags_of(fd);
    rmdir(probe);
    return yard;
}

static void remove_folder(const struct sc_yard *yard, uint64_t number)
{
    SC_AUTO_FREE char *path = sc_yard_path(yard, number);
    struct sc_error err = SC_ERROR_INIT;
    if (sc_dir_remove(path, &err) != SC_OK)
        sc_log(SC_LOG_WARN, "ignoring that a folder stays: %s", err.message);
}

void sc_yard_free(struct sc_yard *yard)
{
    if (!yard)
        return;
    for (uint32_t i = 0; i < yard->shared_count; i++)
        remove_folder(yard, yard->shared_waiting[i]);
    pthread_mutex_destroy(&yard->lock);
    free(yard->steps);
    free(yard);
}

uint64_t sc_yard_take(struct sc_yard *yard, bool fresh, bool *ret_ready)
{
    pthread_mutex_lock(&yard->lock);
    *ret_ready = !fresh && yard->shared_count > 0;
    uint64_t number = *ret_ready ? yard->shared_waiting[--yard->shared_count] : yard->shared_next++;
    pthread_mutex_unlock(&yard->lock);
    return number;
}

char *sc_yard_path(const struct sc_yard *yard, uint64_t number)
{
    return sc_asprintf("%s/%llu", yard->steps, (unsigned long long)number);
}

// True when the folder holds nothing but what `only` names (NULL: nothing at all).
static bool holds_only(int fd, const char *only)
{
    char bytes[1024] __attribute__((aligned(8)));
    for (;;) {
        long n = syscall(SYS_getdents64, fd, bytes, sizeof bytes);
        if (n <= 0)
            return n == 0;
        for (long at = 0; at < n;) {
            struct dirent64 entry;
            memcpy(&entry, bytes + at, offsetof(struct dirent64, d_name));
            const char *name = bytes + at + offsetof(struct dirent64, d_name);
            if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && (!only || strcmp(name, only) != 0))
                return false;
            at += entry.d_reclen;
        }
    }
}

static bool is_as_made(const struct sc_yard *yard, int fd, const char *only)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_mode == (S_IFDIR | FOLDER_MODE) && st.st_uid == geteuid() &&
           st.st_gid == getegid() && flistxattr(fd, NULL, 0) <= 0 && flags_of(fd) == yard->flags &&
           holds_only(fd, only);
}

static bool may_serve_again(const struct sc_yard *yard, uint64_t number)
{
    SC_AUTO_FREE char *path = sc_yard_path(yard, number);
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !is_as_made(yard, fd, "out"))
        return false;
    SC_AUTO_CLOSE int out = openat(fd, "out", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return out >= 0 && is_as_made(yard, out, NULL);
}

void sc_yard_give(struct sc_yard *yard, uint64_t number, bool contained)
{
    bool kept = false;
    if (contained && may_serve_again(yard, number)) {
        pthread_mutex_lock(&yard->lock);
        kept = yard->shared_count < WAITING_MOST;
        if (kept)
            yard->shared_waiting[yard->shared_count++] = number;
        pthread_mutex_unlock(&yard->lock);
    }
    if (!kept)
        remove_folder(yard, number);
}
