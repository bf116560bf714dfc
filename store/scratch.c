#include "store/scratch.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

enum sc_rc sc_scratch_open(const char *parent, struct sc_scratch *ret_scratch, struct sc_error *err)
{
    if (mkdir(parent, 0777) && errno != EEXIST)
        return sc_error_errno(err, errno, "make folder %s", parent);
    for (int i = 0; i < TRIES; i++) {
        uint64_t number;
        if (getrandom(&number, sizeof number, 0) != sizeof number)
            return sc_error_errno(err, errno, "getrandom");
        SC_AUTO_FREE char *path = sc_asprintf("%s/%016llx", parent, (unsigned long long)number);
        if (mkdir(path, 0700)) {
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
            *ret_scratch = (struct sc_scratch){.fd = fd, .path = SC_STEAL(path)};
            return SC_OK;
        }
        sc_fd_close(fd);
    }
    return sc_error_set(err, SC_IO, "%s: no scratch folder could be made in it", parent);
}

void sc_scratch_close(struct sc_scratch *scratch)
{
    if (scratch->path)
        (void)!sc_dir_remove(scratch->path, NULL); // a leftover is swept by the next who opens
    if (scratch->fd >= 0)
        sc_fd_close(scratch->fd);
    free(scratch->path);
    *scratch = (struct sc_scratch){.fd = -1};
}

void sc_scratch_name(struct sc_scratch *scratch, char ret_name[SC_SCRATCH_NAME_BYTES])
{
    snprintf(ret_name, SC_SCRATCH_NAME_BYTES, "%llu", (unsigned long long)scratch->next++);
}

void sc_scratch_sweep(const char *parent)
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
        SC_AUTO_FREE char *path = sc_asprintf("%s/" SC_SLICE_FMT, parent, SC_SLICE_ARG(names[i]));
        SC_AUTO_CLOSE int held = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (held >= 0 && flock(held, LOCK_EX | LOCK_NB) == 0)
            (void)!sc_dir_remove(path, NULL);
    }
}
