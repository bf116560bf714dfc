#include "store/layout_cache.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void sc_layouts_free(struct sc_layouts *l)
{
    if (!l)
        return;
    for (int kind = 0; kind < SC_LAYOUT_COUNT; kind++) {
        for (size_t i = 0; i < l->entries[kind].room; i++)
            free(l->entries[kind].slots[i].value);
        sc_digest_map_done(&l->entries[kind]);
    }
    sc_scratch_close(&l->scratch);
    if (l->pins_fd >= 0)
        sc_fd_close(l->pins_fd);
    free(l->root);
    free(l->trees);
    free(l->files);
    free(l);
}

enum sc_rc sc_layouts_open(const char *folder, uint64_t max_bytes, struct sc_layouts **ret_layouts,
                           struct sc_error *err)
{
    struct sc_layouts *l = sc_calloc(1, sizeof *l);
    l->max_bytes = max_bytes;
    l->root = sc_strdup(folder);
    l->trees = sc_asprintf("%s/trees", l->root);
    l->files = sc_asprintf("%s/files", l->root);
    l->scratch.fd = l->pins_fd = -1;
    SC_AUTO_FREE char *tmp = sc_asprintf("%s/tmp", l->root);
    SC_AUTO_FREE char *pins = sc_asprintf("%s/pins", l->root);
    sc_scratch_sweep(tmp);
    enum sc_rc rc = sc_dir_make(l->trees, 0777, err);
    if (rc == SC_OK)
        rc = sc_dir_make(l->files, 0777, err);
    if (rc == SC_OK)
        rc = sc_scratch_open(tmp, &l->scratch, err);
    if (rc == SC_OK) {
        l->pins_fd = open(pins, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (l->pins_fd < 0)
            rc = sc_error_errno(err, errno, "open %s", pins);
    }
    if (rc == SC_OK)
        *ret_layouts = l;
    else
        sc_layouts_free(l);
    return rc;
}

void sc_layout_path(const struct sc_layouts *l, enum sc_layout_kind kind, const struct sc_digest *digest,
                    struct sc_buf *ret_path)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    sc_buf_clear(ret_path);
    sc_buf_printf(ret_path, "%s/%s%s", kind == SC_LAYOUT_TREE ? l->trees : l->files, hex,
                  kind == SC_LAYOUT_EXEC ? "-x" : "");
}

static bool lock_byte(const struct sc_layouts *l, off_t at, short type, bool wait)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int command = wait ? F_OFD_SETLKW : F_OFD_SETLK;
    int rc;
    do {
        rc = fcntl(l->pins_fd, command, &lock);
    } while (rc && errno == EINTR);
    return rc == 0;
}

// Two entries on one byte only keep each other longer.
static off_t byte_of(enum sc_layout_kind kind, const struct sc_digest *digest)
{
    uint64_t at;
    memcpy(&at, digest->bytes, sizeof at);
    return (off_t)((at >> 4) + (uint64_t)kind);
}

static bool set_lock(const struct sc_layouts *l, enum sc_layout_kind kind, const struct sc_digest *digest,
                     short type)
{
    return lock_byte(l, byte_of(kind, digest), type, type == F_RDLCK);
}

// Forgets what is not in use; it is checked again when it is used again.
static void forget_unpinned(struct sc_digest_map *entries)
{
    struct sc_digest_map kept = {0};
    for (size_t i = 0; i < entries->room; i++) {
        struct sc_layout *entry = entries->slots[i].value;
        if (entry && entry->pins)
            sc_digest_map_put(&kept, &entry->digest, entry);
        else
            free(entry);
    }
    sc_digest_map_done(entries);
    *entries = kept;
}

struct sc_layout *sc_layout_entry(struct sc_layouts *l, enum sc_layout_kind kind,
                                  const struct sc_digest *digest)
{
    enum { MAX_ENTRIES = 100000 };
    struct sc_layout *entry = sc_digest_map_get(&l->entries[kind], digest);
    if (!entry) {
        if (l->entries[kind].count >= MAX_ENTRIES)
            forget_unpinned(&l->entries[kind]);
        entry = sc_calloc(1, sizeof *entry);
        entry->digest = *digest;
        entry->kind = kind;
        sc_digest_map_put(&l->entries[kind], digest, entry);
    }
    return entry;
}

enum sc_rc sc_layout_pin(struct sc_layouts *l, struct sc_layout *entry, struct sc_error *err)
{
    if (entry->pins == 0 && !set_lock(l, entry->kind, &entry->digest, F_RDLCK))
        return sc_error_errno(err, errno, "lock %s/pins", l->root);
    entry->pins++;
    entry->used = ++l->uses;
    return SC_OK;
}

void sc_layout_unpin(struct sc_layouts *l, struct sc_layout *entry)
{
    SC_ASSERT(entry->pins > 0);
    if (--entry->pins == 0)
        set_lock(l, entry->kind, &entry->digest, F_UNLCK);
}

#define JUDGING ((off_t)1 << 61) // beyond the bytes of all pins

enum sc_rc sc_layout_judge(struct sc_layouts *l, const struct sc_layout *entry, struct sc_error *err)
{
    return lock_byte(l, JUDGING + byte_of(entry->kind, &entry->digest), F_WRLCK, true)
               ? SC_OK
               : sc_error_errno(err, errno, "lock %s/pins", l->root);
}

void sc_layout_judged(struct sc_layouts *l, const struct sc_layout *entry)
{
    lock_byte(l, JUDGING + byte_of(entry->kind, &entry->digest), F_UNLCK, false);
}

#define GONE "gone-" // what of the scratch folder is only to be removed

// Removing: out of the way by one rename while nobody else can pin it, then at leisure.
bool sc_layout_discard(struct sc_layouts *l, enum sc_layout_kind kind, const struct sc_digest *digest)
{
    SC_AUTO_BUF struct sc_buf path, bytes_path, to;
    sc_buf_init(&path, 0);
    sc_buf_init(&bytes_path, 0);
    sc_buf_init(&to, 0);
    sc_layout_path(l, kind, digest, &path);
    if (kind != SC_LAYOUT_TREE)
        return unlink(sc_buf_cstr(&path)) == 0 || errno == ENOENT;
    char name[SC_SCRATCH_NAME_BYTES];
    sc_scratch_name(&l->scratch, name);
    sc_buf_printf(&to, "%s/" GONE "%s", l->scratch.path, name);
    sc_buf_add_slice(&bytes_path, sc_buf_slice(&path));
    sc_buf_add_str(&bytes_path, ".bytes");
    unlink(sc_buf_cstr(&bytes_path));
    chmod(sc_buf_cstr(&path), 0700); // a folder that may not be written may not be moved, either
    return rename(sc_buf_cstr(&path), sc_buf_cstr(&to)) == 0 || errno == ENOENT;
}

static void clean_scratch(struct sc_layouts *l)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *names;
    size_t count;
    if (sc_dir_names(l->scratch.fd, &arena, &names, &count, NULL) != SC_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!sc_slice_starts(names[i], GONE))
            continue; // being built
        SC_AUTO_FREE char *path = sc_asprintf("%s/" SC_SLICE_FMT, l->scratch.path, SC_SLICE_ARG(names[i]));
        (void)!sc_dir_remove(path, NULL);
    }
}

struct candidate {
    enum sc_layout_kind kind;
    struct sc_digest digest;
    uint64_t bytes, used;
    int64_t mtime_ns;
};
struct candidates {
    struct candidate *items;
    uint32_t count, room;
    uint64_t bytes;
};

static uint64_t read_number(int dirfd, const char *name)
{
    char text[32] = "";
    SC_AUTO_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    return n > 0 ? strtoull(text, NULL, 10) : 0;
}

static void add_candidate(struct sc_layouts *l, struct candidates *all, int dirfd, bool tree,
                          struct sc_slice name)
{
    struct candidate c = {.kind = tree ? SC_LAYOUT_TREE : SC_LAYOUT_FILE};
    if (!tree && name.len == SC_DIGEST_HEX_BYTES + 1 && memcmp(name.ptr + name.len - 2, "-x", 2) == 0) {
        c.kind = SC_LAYOUT_EXEC;
        name.len -= 2;
    }
    char file[SC_DIGEST_HEX_BYTES + 16];
    if (!sc_digest_parse(name, &c.digest))
        return;
    snprintf(file, sizeof file, SC_SLICE_FMT "%s", SC_SLICE_ARG(name),
             tree                       ? ".bytes"
             : c.kind == SC_LAYOUT_EXEC ? "-x"
                                        : "");
    struct stat st = {0};
    bool found = fstatat(dirfd, file, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!found && !tree)
        return;
    c.bytes = tree ? read_number(dirfd, file) : (uint64_t)st.st_blocks * 512;
    c.mtime_ns = sc_ns_of(st.st_mtim); // 0 where a tree's size is not known: the first to go
    const struct sc_layout *entry = sc_digest_map_get(&l->entries[c.kind], &c.digest);
    c.used = entry ? entry->used : 0;
    if (all->count == all->room) {
        all->room = all->room ? all->room * 2 : 64;
        all->items = sc_realloc(all->items, all->room, sizeof *all->items);
    }
    all->items[all->count++] = c;
    all->bytes += c.bytes;
}

static void collect(struct sc_layouts *l, struct candidates *all, const char *folder, bool tree)
{
    SC_AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *names;
    size_t count;
    if (fd < 0 || sc_dir_names(fd, &arena, &names, &count, NULL) != SC_OK)
        return;
    for (size_t i = 0; i < count; i++)
        add_candidate(l, all, fd, tree, names[i]);
}

static int by_age(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->used != y->used)
        return x->used < y->used ? -1 : 1;
    return (x->mtime_ns > y->mtime_ns) - (x->mtime_ns < y->mtime_ns);
}

// What others add is only seen by counting, so it is done again for each eighth of the bound that we add ourselves.
void sc_layouts_evict(struct sc_layouts *l, uint64_t added_bytes)
{
    uint64_t max_bytes = l->max_bytes;
    l->added_bytes += added_bytes;
    bool within = l->counted_bytes + l->added_bytes <= max_bytes && l->added_bytes < max_bytes / 8;
    if (max_bytes == 0 || (l->counted && within))
        return;
    struct candidates all = {0};
    collect(l, &all, l->trees, true);
    collect(l, &all, l->files, false);
    uint64_t bytes = all.bytes;
    if (bytes > max_bytes && all.count)
        qsort(all.items, all.count, sizeof *all.items, by_age);
    for (uint32_t i = 0; i < all.count && bytes > max_bytes; i++) {
        const struct candidate *c = &all.items[i];
        const struct sc_layout *entry = sc_digest_map_get(&l->entries[c->kind], &c->digest);
        if ((entry && entry->pins) || !set_lock(l, c->kind, &c->digest, F_WRLCK))
            continue;
        if (sc_layout_discard(l, c->kind, &c->digest)) {
            bytes -= c->bytes;
            free(sc_digest_map_remove(&l->entries[c->kind], &c->digest));
        }
        set_lock(l, c->kind, &c->digest, F_UNLCK);
    }
    free(all.items);
    l->counted_bytes = bytes;
    l->added_bytes = 0;
    l->counted = true;
    clean_scratch(l);
}
