#include "store/memo.h"

#include "base/memory.h"
#include "base/os/file.h"
#include "store/fileid.h"
#include "store/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// A local cache that no other machine reads: native byte order, told by the magic number. Header, entries, and for each
// of them the life in which it was last used.
struct header {
    char magic[8]; // "memo/2\0\0"
    uint32_t byte_order, entry_bytes;
    uint64_t count;
    uint64_t life; // how often a memo was opened from this file's line
    uint64_t sum;  // of all that follows
};
static const char magic[8] = "memo/2";
enum { NATIVE_ORDER = 0x01020304 };

struct entry {
    struct sc_file_id id;
    uint64_t fsid;
    struct sc_digest digest;
};
_Static_assert(sizeof(struct header) == 40 && sizeof(struct entry) == 80, "the file's layout");

struct sc_memo {
    char *path;
    uint32_t max_entries;
    uint32_t life;
    struct entry *entries; // in what was loaded, or on the heap
    void *mapping;         // what was loaded, or NULL
    size_t mapping_bytes;
    uint32_t *used; // lives
    uint32_t count, room;
    uint32_t *slots; // entry index + 1; 0: empty. A file has one entry, found by device and inode.
    uint32_t slot_count;
    bool changed;
};

// ext4 and xfs stamp files with the time of the last timer tick: 10 ms at CONFIG_HZ=100, the slowest.
#define GRANULARITY_NS INT64_C(10000000)
#define COARSE_NS      INT64_C(2010000000)
// Longer than a write takes from the moment that stamps the file to its last byte, where no lease tells of it.
#define UNSEEN_NS INT64_C(60000000000)

static uint64_t mix(uint64_t a)
{
    a = (a ^ a >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    return a ^ a >> 29;
}

// Against damage, not against an enemy: who can write the memo can write what it remembers.
static uint64_t sum_words(uint64_t seed, const void *bytes, size_t len)
{
    uint64_t sum[4] = {seed, 2, 3, 4};
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len / 4; i++) {
        uint32_t word;
        memcpy(&word, at + i * sizeof word, sizeof word);
        sum[i & 3] = (sum[i & 3] ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
        sum[i & 3] ^= sum[i & 3] >> 31;
    }
    return mix(sum[0] ^ mix(sum[1] ^ mix(sum[2] ^ mix(sum[3] ^ len))));
}

static uint64_t sum_of(const struct entry *entries, const uint32_t *used, uint64_t count)
{
    return sum_words(sum_words(1, entries, count * sizeof *entries), used, count * sizeof *used);
}

// Files of one folder have neighbouring inodes: 64 of them share a stretch of slots, which is looked up while it is in
// the cache, and the stretches are scattered.
static uint32_t home_of(uint64_t dev, uint64_t ino)
{
    return (uint32_t)(mix(ino >> 6 ^ mix(dev)) << 6 ^ (ino & 63));
}

static uint32_t *slot_of(const struct sc_memo *memo, uint64_t dev, uint64_t ino)
{
    uint32_t mask = memo->slot_count - 1;
    for (uint32_t i = home_of(dev, ino) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &memo->slots[i];
        if (*slot == 0)
            return slot;
        const struct entry *e = &memo->entries[*slot - 1];
        if (e->id.ino == ino && e->id.dev == dev)
            return slot;
    }
}

static void index_entries(struct sc_memo *memo)
{
    uint64_t want = 1024;
    while (want < (uint64_t)memo->room * 2)
        want *= 2;
    SC_ASSERT(want <= UINT32_MAX);
    free(memo->slots);
    memo->slots = sc_calloc(want, sizeof *memo->slots);
    memo->slot_count = (uint32_t)want;
    for (uint32_t i = 0; i < memo->count; i++)
        *slot_of(memo, memo->entries[i].id.dev, memo->entries[i].id.ino) = i + 1;
}

static bool is_header(const struct header *header, uint64_t file_bytes)
{
    return memcmp(header->magic, magic, sizeof magic) == 0 && header->byte_order == NATIVE_ORDER &&
           header->entry_bytes == sizeof(struct entry) && header->count > 0 &&
           header->count <= UINT32_MAX / 8 && header->life < UINT32_MAX - 1 &&
           file_bytes == sizeof *header + header->count * (sizeof(struct entry) + sizeof(uint32_t));
}

static bool read_all(int fd, void *into, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, (uint8_t *)into + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void load(struct sc_memo *memo)
{
    SC_AUTO_CLOSE int fd = open(memo->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(struct header))
        return;
    // Its pages are made at once: faulting them in one by one takes longer than reading the file.
    size_t bytes = (size_t)st.st_size;
    void *mapping =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (mapping == MAP_FAILED)
        return;
    const struct header *header = mapping;
    struct entry *entries = (struct entry *)(void *)((uint8_t *)mapping + sizeof *header);
    if (read_all(fd, mapping, bytes) && is_header(header, bytes)) {
        uint32_t count = (uint32_t)header->count;
        const uint32_t *used = (const uint32_t *)(const void *)(entries + count);
        if (sum_of(entries, used, count) == header->sum) {
            memo->entries = entries;
            memo->mapping = mapping;
            memo->mapping_bytes = bytes;
            memo->used = sc_realloc(NULL, count, sizeof *used);
            memcpy(memo->used, used, count * sizeof *used);
            memo->count = memo->room = count;
            memo->life = (uint32_t)header->life + 1;
            return;
        }
    }
    munmap(mapping, bytes);
}

static void unmap(struct sc_memo *memo)
{
    if (memo->mapping)
        munmap(memo->mapping, memo->mapping_bytes);
    memo->mapping = NULL;
}

// Entries on the heap, with room for more.
static void make_room(struct sc_memo *memo, uint32_t room)
{
    struct entry *entries = sc_realloc(memo->mapping ? NULL : memo->entries, room, sizeof *entries);
    if (memo->mapping)
        memcpy(entries, memo->entries, memo->count * sizeof *entries);
    unmap(memo);
    memo->entries = entries;
    memo->used = sc_realloc(memo->used, room, sizeof *memo->used);
    memo->room = room;
}

struct sc_memo *sc_memo_open(const char *path, uint32_t max_entries)
{
    struct sc_memo *memo = sc_calloc(1, sizeof *memo);
    SC_ASSERT(max_entries > 0 && max_entries <= UINT32_MAX / 8);
    memo->path = sc_strdup(path);
    memo->max_entries = max_entries;
    memo->life = 1;
    load(memo);
    index_entries(memo);
    return memo;
}

void sc_memo_close(struct sc_memo *memo)
{
    if (!memo)
        return;
    free(memo->path);
    if (!memo->mapping)
        free(memo->entries);
    unmap(memo);
    free(memo->used);
    free(memo->slots);
    free(memo);
}

struct aged {
    uint32_t index, used;
};

static int by_use(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;
    if (x->used != y->used)
        return x->used > y->used ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static int by_index(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

// Keeps those used last, in their order: neighbours of one folder stay neighbours.
static void shrink(struct sc_memo *memo, uint32_t count)
{
    if (memo->count <= count)
        return;
    SC_AUTO_FREE struct aged *aged = sc_calloc(memo->count, sizeof *aged);
    for (uint32_t i = 0; i < memo->count; i++)
        aged[i] = (struct aged){i, memo->used[i]};
    qsort(aged, memo->count, sizeof *aged, by_use);
    qsort(aged, count, sizeof *aged, by_index);
    for (uint32_t i = 0; i < count; i++) {
        memo->entries[i] = memo->entries[aged[i].index];
        memo->used[i] = memo->used[aged[i].index];
    }
    memo->count = count;
    index_entries(memo);
}

bool sc_memo_find(struct sc_memo *memo, const struct sc_volume *volume, const struct stat *st,
                  struct sc_digest *ret_digest)
{
    const uint32_t *slot = slot_of(memo, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
    if (*slot == 0)
        return false;
    const struct entry *e = &memo->entries[*slot - 1];
    struct sc_file_id id = sc_file_id(st);
    if (id.dev != volume->dev || e->fsid != volume->fsid || !sc_file_id_eq(&e->id, &id))
        return false;
    // Hashing threads look up at the same time; all of them write the same number.
    uint32_t *used = &memo->used[*slot - 1];
    if (__atomic_load_n(used, __ATOMIC_RELAXED) != memo->life)
        __atomic_store_n(used, memo->life, __ATOMIC_RELAXED);
    *ret_digest = e->digest;
    return true;
}

int64_t sc_memo_moment(int fd, const struct sc_volume *volume)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (volume->trust != SC_VOLUME_STAMPS)
        return SC_MEMO_NEVER;
    // A page that was stored to is stored to again without a stamp until it is written back, and a long write stamps
    // at its beginning: whoever could do either has the file open, or mapped.
    switch (sc_lease_take(fd)) {
    case SC_LEASE_HELD:
        sc_lease_drop(fd);
        return sc_ns_of(now);
    case SC_LEASE_WRITER:
        return SC_MEMO_NEVER;
    case SC_LEASE_UNKNOWN:
        break;
    }
    // Written back here, so that the next store to any page stamps; allowed to whoever may read the file.
    enum { ALL = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER };
    return sync_file_range(fd, 0, 0, ALL) == 0 ? sc_ns_of(now) - UNSEEN_NS : SC_MEMO_NEVER;
}

void sc_memo_remember(struct sc_memo *memo, const struct sc_volume *volume, const struct stat *st,
                      int64_t taken_ns, const struct sc_digest *digest)
{
    struct sc_file_id id = sc_file_id(st);
    if (id.dev != volume->dev) // a mount on the file itself
        return;
    int64_t newest = id.mtime_ns > id.ctime_ns ? id.mtime_ns : id.ctime_ns;
    // Whole seconds in both: a file system that keeps no finer times (ext3, FAT with 2 s), or one file in a billion.
    bool coarse = id.mtime_ns % 1000000000 == 0 && id.ctime_ns % 1000000000 == 0;
    if (taken_ns == SC_MEMO_NEVER || newest > taken_ns - (coarse ? COARSE_NS : GRANULARITY_NS))
        return; // racy: what is not remembered is read again, and remembered then
    memo->changed = true;
    uint32_t *slot = slot_of(memo, id.dev, id.ino);
    if (*slot) {
        memo->entries[*slot - 1] = (struct entry){id, volume->fsid, *digest};
        memo->used[*slot - 1] = memo->life;
        return;
    }
    if (memo->count >= memo->max_entries + memo->max_entries / 8) { // some slack, so that shrinking is rare
        shrink(memo, memo->max_entries);
        slot = slot_of(memo, id.dev, id.ino);
    }
    if (memo->count == memo->room)
        make_room(memo, memo->room ? memo->room * 2 : 512);
    if (memo->count >= memo->slot_count / 2) {
        index_entries(memo);
        slot = slot_of(memo, id.dev, id.ino);
    }
    memo->entries[memo->count] = (struct entry){id, volume->fsid, *digest};
    memo->used[memo->count++] = memo->life;
    *slot = memo->count;
}

enum sc_rc sc_memo_save(struct sc_memo *memo, struct sc_error *err)
{
    if (!memo->changed)
        return SC_OK;
    shrink(memo, memo->max_entries);
    struct header header = {.byte_order = NATIVE_ORDER,
                            .entry_bytes = sizeof(struct entry),
                            .count = memo->count,
                            .life = memo->life,
                            .sum = sum_of(memo->entries, memo->used, memo->count)};
    memcpy(header.magic, magic, sizeof magic);
    SC_AUTO_FREE char *temporary = sc_asprintf("%s.tmp-%d-XXXXXX", memo->path, (int)getpid());
    SC_AUTO_CLOSE int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "create %s", temporary);
    enum sc_rc rc = sc_fd_write_all(fd, sc_slice(&header, sizeof header), err);
    if (rc == SC_OK)
        rc = sc_fd_write_all(fd, sc_slice(memo->entries, memo->count * sizeof *memo->entries), err);
    if (rc == SC_OK)
        rc = sc_fd_write_all(fd, sc_slice(memo->used, memo->count * sizeof *memo->used), err);
    if (rc == SC_OK && rename(temporary, memo->path))
        rc = sc_error_errno(err, errno, "rename %s to %s", temporary, memo->path);
    if (rc != SC_OK) {
        unlink(temporary);
        return rc;
    }
    memo->changed = false;
    return SC_OK;
}
