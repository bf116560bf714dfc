// Files: whole reads with a bound, whole writes, folders made and removed.
// All paths are C strings; every descriptor is close-on-exec.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <sys/stat.h>
#include <sys/types.h>

// Reads a file whole, at most max_bytes (SC_LIMIT when it is larger). A buffer with room for max_bytes + SC_FILE_READ_BYTES
// is not grown.
enum { SC_FILE_READ_BYTES = 64 << 10 };
SC_MUST_USE enum sc_rc sc_file_read(const char *path, size_t max_bytes, struct sc_buf *ret_bytes,
                                    struct sc_error *err);
// Writes all of it, going on after short writes and EINTR.
SC_MUST_USE enum sc_rc sc_fd_write_all(int fd, struct sc_slice bytes, struct sc_error *err);
// Makes the folder and its parents.
SC_MUST_USE enum sc_rc sc_dir_make(const char *path, mode_t mode, struct sc_error *err);
// Removes a folder and all below it without following links; absent is good. Makes folders writable on the way, since
// a step may have taken that right from its own.
SC_MUST_USE enum sc_rc sc_dir_remove(const char *path, struct sc_error *err);
// Sorted names of a folder's entries, without . and .. , in the arena.
SC_MUST_USE enum sc_rc sc_dir_names(int dirfd, struct sc_arena *arena, struct sc_slice **ret_names,
                                    size_t *ret_count, struct sc_error *err);
// Takes the lock file at path exclusively and writes this process's pid into it. SC_BUSY when another holds it, with
// its pid in the story; that takes 50 ms, since who asks whether it is held holds it for a moment. The lock lives as
// long as the descriptor.
SC_MUST_USE enum sc_rc sc_file_lock(const char *path, int *ret_fd, struct sc_error *err);
// Whether a live process may hold the lock file at path: false only when it is free, or absent; what cannot be told
// (no descriptor is left, …) may be. It asks the lock and not the pid in it: a process that was killed keeps its pid until
// it is reaped, and a pid of another container is anybody's here.
bool sc_file_is_locked(const char *path);
// The same of an open lock file, also of one that has no name any more.
bool sc_fd_is_locked(int fd);
// SC_UNSUPPORTED, naming the file system, where path lies on a network file system (NFS, SMB, 9p, FUSE and kin).
SC_MUST_USE enum sc_rc sc_file_refuse_network(const char *path, struct sc_error *err);
static inline void sc_close_fd(int *fd);
void sc_fd_close(int fd); // keeps errno
static inline void sc_close_fd(int *fd)
{
    if (*fd >= 0)
        sc_fd_close(*fd);
}
#define SC_AUTO_CLOSE __attribute__((cleanup(sc_close_fd)))
