// Opens a path relative to a folder so that no link is followed and no ".." leaves it: openat2 where the kernel has
// it (5.6), else part by part.
#pragma once

#include <sys/types.h>

// As openat, CLOEXEC and NOFOLLOW always: a descriptor, or -1 and errno (ELOOP where a link stands).
int sc_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
