#include "store/pinned.h"

#include "base/memory.h"
#include "base/mp.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <uthash.h>

// The file: the magic, entries (what was asked for longest first), and the SHA-256 of all before it.
static const char magic[16] = "pinned/1";

struct line {
    struct sc_digest pin, digest;
};
_Static_assert(sizeof(struct line) == 64, "the file's layout");

struct entry {
    struct line line;
    UT_hash_handle hh; // in the order of their use
};

struct sc_pinned {
    char *path;
    uint32_t max_entries;
    pthread_mutex_t lock; // of what follows
    struct entry *shared_entries;
    bool shared_loaded, shared_changed; // loaded: when it is first asked for
};

struct sc_digest sc_pin(const struct sc_pin_of *of)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    sc_mp_put_array(&bytes, 8);
    sc_mp_put_cstr(&bytes, "stepcache.pin/1");
    sc_mp_put_cstr(&bytes, of->server);
    sc_mp_put_bin(&bytes, of->bucket);
    sc_mp_put_bin(&bytes, of->key);
    sc_mp_put_bin(&bytes, of->version);
    sc_mp_put_bin(&bytes, of->etag);
    sc_mp_put_uint(&bytes, of->bytes);
    sc_mp_put_uint(&bytes, of->mtime_s > 0 ? (uint64_t)of->mtime_s : 0);
    return sc_digest_of(sc_buf_slice(&bytes));
}

static void remove_entry(struct sc_pinned *pinned, struct entry *entry)
{
    HASH_DEL(pinned->shared_entries, entry);
    free(entry);
}

// Under the lock, as all below. The newest stand last.
static void add(struct sc_pinned *pinned, const struct line *line)
{
    struct entry *entry;
    HASH_FIND(hh, pinned->shared_entries, &line->pin, sizeof line->pin, entry);
    if (entry)
        remove_entry(pinned, entry);
    else if (HASH_COUNT(pinned->shared_entries) >= pinned->max_entries)
        remove_entry(pinned, pinned->shared_entries);
    entry = sc_calloc(1, sizeof *entry);
    entry->line = *line;
    HASH_ADD(hh, pinned->shared_entries, line.pin, sizeof entry->line.pin, entry);
}

static void load(struct sc_pinned *pinned)
{
    SC_AUTO_BUF struct sc_buf bytes;
    size_t most = sizeof magic + SC_DIGEST_BYTES + (size_t)pinned->max_entries * sizeof(struct line);
    sc_buf_init(&bytes, most + SC_FILE_READ_BYTES);
    if (sc_file_read(pinned->path, most, &bytes, NULL) != SC_OK ||
        bytes.len < sizeof magic + SC_DIGEST_BYTES || memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return;
    size_t end = bytes.len - SC_DIGEST_BYTES;
    struct sc_digest sum = sc_digest_of(sc_slice(bytes.ptr, end));
    if (memcmp(bytes.ptr + end, &sum, sizeof sum) != 0 || (end - sizeof magic) % sizeof(struct line) != 0)
        return;
    for (size_t at = sizeof magic; at < end; at += sizeof(struct line)) {
        struct line line;
        memcpy(&line, bytes.ptr + at, sizeof line);
        add(pinned, &line);
    }
}

static void lock(struct sc_pinned *pinned)
{
    pthread_mutex_lock(&pinned->lock);
    if (!pinned->shared_loaded)
        load(pinned);
    pinned->shared_loaded = true;
}

struct sc_pinned *sc_pinned_open(const char *path, uint32_t max_entries)
{
    struct sc_pinned *pinned = sc_calloc(1, sizeof *pinned);
    SC_ASSERT(max_entries > 0);
    pinned->path = sc_strdup(path);
    pinned->max_entries = max_entries;
    pthread_mutex_init(&pinned->lock, NULL);
    return pinned;
}

void sc_pinned_close(struct sc_pinned *pinned)
{
    if (!pinned)
        return;
    struct entry *entry, *next;
    HASH_ITER (hh, pinned->shared_entries, entry, next)
        remove_entry(pinned, entry);
    pthread_mutex_destroy(&pinned->lock);
    free(pinned->path);
    free(pinned);
}

bool sc_pinned_find(struct sc_pinned *pinned, const struct sc_digest *pin, struct sc_digest *ret_digest)
{
    struct entry *entry;
    lock(pinned);
    HASH_FIND(hh, pinned->shared_entries, pin, sizeof *pin, entry);
    if (entry) {
        HASH_DEL(pinned->shared_entries, entry);
        HASH_ADD(hh, pinned->shared_entries, line.pin, sizeof entry->line.pin, entry);
        *ret_digest = entry->line.digest;
    }
    pthread_mutex_unlock(&pinned->lock);
    return entry != NULL;
}

void sc_pinned_remember(struct sc_pinned *pinned, const struct sc_digest *pin, const struct sc_digest *digest)
{
    struct line line = {*pin, *digest};
    lock(pinned);
    add(pinned, &line);
    pinned->shared_changed = true;
    pthread_mutex_unlock(&pinned->lock);
}

static void write_down(struct sc_pinned *pinned, struct sc_buf *out)
{
    struct entry *entry, *next;
    sc_buf_add(out, magic, sizeof magic);
    HASH_ITER (hh, pinned->shared_entries, entry, next)
        sc_buf_add(out, &entry->line, sizeof entry->line);
    struct sc_digest sum = sc_digest_of(sc_buf_slice(out));
    sc_buf_add(out, &sum, sizeof sum);
}

static enum sc_rc save(struct sc_pinned *pinned, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    write_down(pinned, &bytes);
    SC_AUTO_FREE char *temporary = sc_asprintf("%s.tmp-%d-XXXXXX", pinned->path, (int)getpid());
    SC_AUTO_CLOSE int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "create %s", temporary);
    enum sc_rc rc = sc_fd_write_all(fd, sc_buf_slice(&bytes), err);
    if (rc == SC_OK && rename(temporary, pinned->path))
        rc = sc_error_errno(err, errno, "rename %s to %s", temporary, pinned->path);
    if (rc != SC_OK)
        unlink(temporary);
    return rc;
}

enum sc_rc sc_pinned_save(struct sc_pinned *pinned, struct sc_error *err)
{
    enum sc_rc rc = SC_OK;
    pthread_mutex_lock(&pinned->lock); // two that save at once must not overtake each other
    if (pinned->shared_changed)
        rc = save(pinned, err);
    if (rc == SC_OK)
        pinned->shared_changed = false;
    pthread_mutex_unlock(&pinned->lock);
    return rc;
}
