#include "store/beneath.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

// openat2 calls a link in the middle ELOOP, openat with O_DIRECTORY calls it ENOTDIR.
static int open_part(int dirfd, const char *part)
{
    int fd = openat(dirfd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == ENOTDIR && fstatat(dirfd, part, &st, AT_SYMLINK_NOFOLLOW) == 0)
        errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
    return fd;
}

static int open_by_parts(int dirfd, const char *path, int flags, mode_t mode)
{
    SC_AUTO_FREE char *copy = sc_strdup(path);
    SC_AUTO_CLOSE int held = -1;
    char *part = copy;
    for (char *slash; (slash = strchr(part, '/')); part = slash + 1) {
        *slash = 0;
        if (!*part)
            continue;
        if (strcmp(part, "..") == 0) {
            errno = EXDEV;
            return -1;
        }
        int next = open_part(held < 0 ? dirfd : held, part);
        if (next < 0)
            return -1;
        sc_close_fd(&held);
        held = next;
    }
    if (strcmp(part, "..") == 0) {
        errno = EXDEV;
        return -1;
    }
    return openat(held < 0 ? dirfd : held, *part ? part : ".", flags, mode);
}

int sc_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
    flags |= O_CLOEXEC | O_NOFOLLOW;
    struct open_how how = {.flags = (uint64_t)(unsigned)flags,
                           .mode = flags & O_CREAT ? mode : 0,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd;
    do {
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    // Sandboxes of containers refuse what they do not know with EPERM.
    return fd >= 0 || (errno != ENOSYS && errno != EPERM) ? fd : open_by_parts(dirfd, path, flags, mode);
}
