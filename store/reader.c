#include "store/reader.h"

#include "base/memory.h"
#include "store/fileid.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Large enough that system calls do not show, small enough to stay in the second-level cache between read and hash.
enum { CHUNK_BYTES = 256 << 10, LARGE_BYTES = 1 << 20 };
static const uint8_t zeros[CHUNK_BYTES];

void sc_reader_init(struct sc_reader *reader)
{
    *reader = (struct sc_reader){.hasher = sc_hasher_new()};
    SC_ASSERT(posix_memalign((void **)&reader->chunk, 4096, CHUNK_BYTES) == 0);
}

void sc_reader_done(struct sc_reader *reader)
{
    sc_hasher_free(reader->hasher);
    free(reader->chunk);
    *reader = (struct sc_reader){0};
}

const char *sc_reader_kind_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFBLK:
    case S_IFCHR:
        return "a device";
    case S_IFDIR:
        return "a folder";
    case S_IFLNK:
        return "a link";
    case S_IFREG:
        return "a file";
    default:
        return "of an unknown kind";
    }
}

static void add(struct sc_reader *reader, const uint8_t *bytes, size_t len)
{
    sc_hasher_add(reader->hasher, bytes, len);
    if (reader->tick)
        reader->tick(reader->context, len);
}

static void add_zeros(struct sc_reader *reader, off_t count)
{
    for (; count > 0; count -= CHUNK_BYTES)
        add(reader, zeros, count < CHUNK_BYTES ? (size_t)count : CHUNK_BYTES);
}

// Reads [at, end); *ret_at is how far it came.
static enum sc_rc add_data(struct sc_reader *reader, int fd, const char *shown, off_t at, off_t end,
                           off_t *ret_at, struct sc_error *err)
{
    while (at < end) {
        size_t want = end - at < CHUNK_BYTES ? (size_t)(end - at) : CHUNK_BYTES;
        ssize_t n = pread(fd, reader->chunk, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sc_error_errno(err, errno, "read %s", shown);
        if (n == 0)
            break;
        add(reader, reader->chunk, (size_t)n);
        at += n;
    }
    *ret_at = at;
    return SC_OK;
}

static enum sc_rc add_sparse(struct sc_reader *reader, int fd, const char *shown, off_t size, off_t *ret_at,
                             struct sc_error *err)
{
    off_t at = 0;
    while (at < size) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            return add_data(reader, fd, shown, at, size, ret_at, err); // not known here
        if (data < 0 || data > size)
            data = size;
        add_zeros(reader, data - at);
        off_t end = data < size ? lseek(fd, data, SEEK_HOLE) : size;
        if (end < 0 || end > size)
            end = size;
        enum sc_rc rc = add_data(reader, fd, shown, data, end, &at, err);
        if (rc != SC_OK)
            return rc;
        if (at < end)
            break;
    }
    *ret_at = at;
    return SC_OK;
}

enum sc_rc sc_reader_digest(struct sc_reader *reader, int fd, const char *shown, bool linked,
                            struct stat *ret_st, struct sc_digest *ret_digest, struct sc_error *err)
{
    struct stat before, after;
    if (fstat(fd, &before))
        return sc_error_errno(err, errno, "stat %s", shown);
    if (!S_ISREG(before.st_mode))
        return sc_error_set(err, SC_UNSUPPORTED, "%s is %s, not a file", shown,
                            sc_reader_kind_name(before.st_mode));
    sc_hasher_begin(reader->hasher);
    if (before.st_size >= LARGE_BYTES)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    bool sparse = before.st_size >= LARGE_BYTES && (off_t)before.st_blocks * 512 < before.st_size;
    off_t at = 0;
    enum sc_rc rc = sparse ? add_sparse(reader, fd, shown, before.st_size, &at, err)
                           : add_data(reader, fd, shown, 0, before.st_size, &at, err);
    struct sc_digest digest = sc_hasher_end(reader->hasher);
    if (rc != SC_OK)
        return rc;
    if (fstat(fd, &after))
        return sc_error_errno(err, errno, "stat %s", shown);
    struct sc_file_id was = sc_file_id(&before), is = sc_file_id(&after);
    if (linked)
        was.ctime_ns = is.ctime_ns;
    if (at != before.st_size || !sc_file_id_eq(&was, &is))
        return sc_error_set(err, SC_BUSY, "%s changed while it was read", shown);
    *ret_st = after;
    *ret_digest = digest;
    return SC_OK;
}
