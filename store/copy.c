#include "store/copy.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SMALL_BYTES = 64 << 10, CHUNK_BYTES = 256 << 10 };

// Reads and writes at the same offsets: for small files, and where copy_file_range is refused.
static enum sc_rc copy_plain(int from, int to, off_t at, off_t end, struct sc_error *err)
{
    uint8_t small[16 << 10];
    SC_AUTO_FREE uint8_t *large = end - at > (off_t)sizeof small ? sc_calloc(CHUNK_BYTES, 1) : NULL;
    uint8_t *chunk = large ? large : small;
    size_t room = large ? CHUNK_BYTES : sizeof small;
    while (at < end) {
        size_t want = end - at < (off_t)room ? (size_t)(end - at) : room;
        ssize_t n = pread(from, chunk, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sc_error_errno(err, errno, "read");
        if (n == 0)
            return sc_error_set(err, SC_BUSY, "it became shorter while it was copied");
        for (ssize_t done = 0; done < n;) {
            ssize_t w = pwrite(to, chunk + done, (size_t)(n - done), at + done);
            if (w < 0 && errno == EINTR)
                continue;
            if (w < 0)
                return sc_error_errno(err, errno, "write");
            done += w;
        }
        at += n;
    }
    return SC_OK;
}

static enum sc_rc copy_range(int from, int to, off_t at, off_t end, struct sc_error *err)
{
    while (at < end) {
        off_t in = at, out = at;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (n > 0) {
            at += n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return sc_error_errno(err, errno, "write");
        return copy_plain(from, to, at, end,
                          err); // other file systems, old kernels; an early end is told there
    }
    return SC_OK;
}

enum sc_rc sc_copy_file(int from, int to, uint64_t bytes, struct sc_error *err)
{
    off_t size = (off_t)bytes;
    if (bytes <= SMALL_BYTES)
        return copy_plain(from, to, 0, size, err);
    if (ioctl(to, FICLONE, from) == 0) {
        // A clone takes what is there now; a file that grew is cut to what the caller knows of.
        struct stat st;
        if (fstat(to, &st))
            return sc_error_errno(err, errno, "stat");
        if (st.st_size < size)
            return sc_error_set(err, SC_BUSY, "it became shorter while it was copied");
        return st.st_size == size || ftruncate(to, size) == 0 ? SC_OK : sc_error_errno(err, errno, "cut");
    }
    if (ftruncate(to, size))
        return sc_error_errno(err, errno, "make room for %llu bytes", (unsigned long long)bytes);
    for (off_t at = 0; at < size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; // the rest is a hole
        off_t hole = data < 0 ? size : lseek(from, data, SEEK_HOLE);
        if (data < 0)
            data = at; // no SEEK_DATA here: all is data
        if (hole < 0 || hole > size)
            hole = size;
        if (data >= size)
            break;
        enum sc_rc rc = copy_range(from, to, data, hole, err);
        if (rc != SC_OK)
            return rc;
        at = hole;
    }
    struct stat st;
    if (fstat(from, &st))
        return sc_error_errno(err, errno, "stat");
    return st.st_size >= size ? SC_OK : sc_error_set(err, SC_BUSY, "it became shorter while it was copied");
}
