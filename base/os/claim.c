#include "base/os/claim.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

enum { TRIES = 100 };

// Between mkdir and flock a sweep of another process may take the folder for a dead one's: then it is gone, or going,
// and another is made.
static bool is_still_there(int fd, const char *path)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

enum sc_rc sc_claim_make(const char *parent, const char *prefix, mode_t mode, struct sc_claim *ret_claim,
                         struct sc_error *err)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t number;
        if (getrandom(&number, sizeof number, 0) != sizeof number)
            return sc_error_errno(err, errno, "getrandom");
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s%016llx", parent, prefix, (unsigned long long)number);
        if (mkdir(path, mode)) {
            if (errno == EEXIST)
                continue;
            return sc_error_errno(err, errno, "make folder %s", path);
        }
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return sc_error_errno(err, errno, "open folder %s", path);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_still_there(fd, path)) {
            *ret_claim = (struct sc_claim){.fd = fd, .path = SC_STEAL(path)};
            return SC_OK;
        }
        sc_fd_close(fd);
    }
    return sc_error_set(err, SC_IO, "%s: no folder could be made in it and held", parent);
}

void sc_claim_done(struct sc_claim *claim)
{
    if (claim->fd >= 0)
        sc_fd_close(claim->fd);
    free(claim->path);
    *claim = (struct sc_claim){.fd = -1};
}

void sc_claim_sweep(const char *parent, const char *prefix, void (*remove)(const char *path))
{
    SC_AUTO_CLOSE int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *names;
    size_t count;
    if (sc_dir_names(fd, &arena, &names, &count, NULL) != SC_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (names[i].len < strlen(prefix) || memcmp(names[i].ptr, prefix, strlen(prefix)) != 0)
            continue;
        SC_AUTO_FREE char *path = sc_asprintf("%s/" SC_SLICE_FMT, parent, SC_SLICE_ARG(names[i]));
        SC_AUTO_CLOSE int held = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (held >= 0 && flock(held, LOCK_EX | LOCK_NB) == 0)
            remove(path);
    }
}
