// What tells that a file is the one it was and holds what it held: device, inode, size, both times.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct sc_file_id {
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns;
};

static inline int64_t sc_ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline struct sc_file_id sc_file_id(const struct stat *st)
{
    return (struct sc_file_id){(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
                               sc_ns_of(st->st_mtim), sc_ns_of(st->st_ctim)};
}

static inline bool sc_file_id_eq(const struct sc_file_id *a, const struct sc_file_id *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}
