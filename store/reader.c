#include "store/reader.h"

#include "base/memory.h"
#include "store/fileid.h"
#include "store/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

// A chunk is large enough that system calls do not show, and stays in the second-level cache between read and hash.
enum { SMALL_BYTES = 64 << 10, LARGE_BYTES = 1 << 20, CHUNK_BYTES = 1 << 20, WINDOW_BYTES = 4 << 20 };
static const uint8_t zeros[256 << 10];

void sc_reader_init(struct sc_reader *reader)
{
    *reader = (struct sc_reader){.hasher = sc_hasher_new()};
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
    for (; count > 0; count -= (off_t)sizeof zeros)
        add(reader, zeros, count < (off_t)sizeof zeros ? (size_t)count : sizeof zeros);
}

// Hashes one window where it lies, in the page cache: the copy of a read costs a tenth of the time of SHA-256. A file
// that is cut while it is mapped would kill us with SIGBUS. So nobody may cut it: a read lease makes whoever opens it for
// writing wait till the window is done. Sectors that cannot be read are told by MADV_POPULATE_READ (Linux 5.14). Where
// any of it is refused, the caller reads.
static bool add_window(struct sc_reader *reader, int fd, off_t at)
{
    if (sc_lease_take(fd) != SC_LEASE_HELD)
        return false;
    bool hashed = false;
    struct stat st;
    void *window = fstat(fd, &st) == 0 && st.st_size >= at + WINDOW_BYTES
                       ? mmap(NULL, WINDOW_BYTES, PROT_READ, MAP_SHARED, fd, at)
                       : MAP_FAILED;
    if (window != MAP_FAILED) {
        hashed = madvise(window, WINDOW_BYTES, MADV_POPULATE_READ) == 0;
        if (hashed)
            add(reader, window, WINDOW_BYTES);
        munmap(window, WINDOW_BYTES);
    }
    sc_lease_drop(fd);
    return hashed;
}

// *ret_at is the first byte that is left to be read.
static void add_windows(struct sc_reader *reader, int fd, off_t at, off_t end, off_t *ret_at)
{
    if (end - at >= 2 * WINDOW_BYTES && at % 4096 == 0)
        while (end - at >= WINDOW_BYTES && add_window(reader, fd, at))
            at += WINDOW_BYTES;
    *ret_at = at;
}

static void make_chunk(struct sc_reader *reader, off_t bytes)
{
    size_t want = bytes > SMALL_BYTES ? CHUNK_BYTES : SMALL_BYTES;
    if (want <= reader->chunk_bytes)
        return;
    free(reader->chunk);
    reader->chunk = aligned_alloc(4096, (want + 4095) / 4096 * 4096);
    SC_ASSERT(reader->chunk != NULL);
    reader->chunk_bytes = want;
}

// Reads [at, end); *ret_at is how far it came.
static enum sc_rc add_data(struct sc_reader *reader, int fd, const char *shown, off_t at, off_t end,
                           off_t *ret_at, struct sc_error *err)
{
    add_windows(reader, fd, at, end, &at);
    make_chunk(reader, end - at);
    while (at < end) {
        size_t want = end - at < (off_t)reader->chunk_bytes ? (size_t)(end - at) : reader->chunk_bytes;
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
