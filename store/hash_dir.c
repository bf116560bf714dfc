// Hashing a folder in three passes: walk (threads take folders from a shared list), read what the memo does not know
// (threads take files), build the nodes from the leaves up (the calling thread, hash_build.c).
#include "store/hash.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/beneath.h"
#include "store/hash_build.h"
#include "store/lease.h"
#include "store/reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    MAX_THREADS = 64,
    BATCH_FILES = 32,
    FEW_FILES = 64,
    LARGE_BYTES = 4 << 20,
    DENTS_BYTES = 64 << 10,
    SHOWN_BYTES = 200
}; // of either end of a path in a message

struct learned { // for the memo, which one thread writes
    const struct sc_volume *volume;
    struct stat st;
    int64_t taken_ns;
    struct sc_digest digest;
};

struct found {
    struct sc_slice name; // NUL-terminated
    uint8_t type;         // DT_…
};

struct walk;
struct worker {
    struct walk *walk;
    struct sc_hash_scratch scratch;
    struct sc_arena arena;
    struct sc_hash_item **pending; // files to read, met in this worker's folders
    uint32_t pending_count, pending_room;
    struct learned *learned;
    uint32_t learned_count, learned_room;
    struct sc_reader reader;
    bool has_reader, is_caller;
    uint8_t *dents;
    struct found *found; // names of the folder that is read
    uint32_t found_count, found_room;
    uint64_t folder_files, folder_bytes; // what was kept of it
    pthread_t thread;
};

struct walk {
    const char *root;
    int root_fd;
    const struct sc_hash_options *options;
    struct sc_volume volume; // the root's
    uint64_t max_bytes, max_files;
    struct worker workers[MAX_THREADS];
    uint32_t thread_count;
    pthread_mutex_t mutex; // of what follows
    pthread_cond_t changed;
    struct sc_hash_folder *shared_folders;
    uint32_t shared_active;
    struct sc_error shared_err;
    enum sc_rc shared_rc;
    bool stop;      // atomic
    bool unsettled; // atomic: some file may have a writer
    // Reading: files are taken in batches. next_batch and the counts are atomic.
    struct sc_hash_item **files;
    uint32_t file_count;
    uint32_t *batches; // where each begins in files, and the end
    uint32_t batch_count, next_batch;
    uint64_t entries, files_kept, bytes, bytes_done, files_done;
};

static bool is_stopped(struct walk *w)
{
    return __atomic_load_n(&w->stop, __ATOMIC_RELAXED);
}

// The first failure is the one that is told.
static void fail(struct walk *w, const struct sc_error *err)
{
    pthread_mutex_lock(&w->mutex);
    if (w->shared_rc == SC_OK) {
        w->shared_rc = err->rc;
        w->shared_err = *err;
    }
    __atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void shown_path(const struct walk *w, const struct sc_hash_folder *folder, const char *name,
                       char *ret_shown, size_t room)
{
    snprintf(ret_shown, room, "%s%s%s%s%s", w->root, *folder->path ? "/" : "", folder->path, *name ? "/" : "",
             name);
}

static enum sc_rc refuse(const struct walk *w, const struct sc_hash_folder *folder, const char *name,
                         enum sc_rc rc, const char *why, struct sc_error *err)
{
    char shown[SC_LIMIT_PATH_BYTES];
    shown_path(w, folder, name, shown, sizeof shown);
    size_t len = strlen(shown);
    if (len <= 2 * SHOWN_BYTES)
        return sc_error_set(err, rc, "%s %s", shown, why);
    return sc_error_set(err, rc, "%.*s…%s %s", SHOWN_BYTES, shown, shown + len - SHOWN_BYTES, why);
}

// What was listed and is gone, or became a link, was changed under us.
static enum sc_rc fail_errno(const struct walk *w, const struct sc_hash_folder *folder, const char *name,
                             int sys_errno, const char *verb, struct sc_error *err)
{
    char shown[SC_LIMIT_PATH_BYTES];
    shown_path(w, folder, name, shown, sizeof shown);
    if (sys_errno == ENOENT || sys_errno == ENOTDIR || sys_errno == ELOOP)
        return sc_error_set(err, SC_BUSY, "%s vanished while the folder was read", shown);
    return sc_error_errno(err, sys_errno, "%s %s", verb, shown);
}

static struct stat stat_of(const struct statx *x)
{
    return (struct stat){
        .st_dev = makedev(x->stx_dev_major, x->stx_dev_minor),
        .st_ino = x->stx_ino,
        .st_mode = x->stx_mode,
        .st_size = (off_t)x->stx_size,
        .st_mtim = {x->stx_mtime.tv_sec, x->stx_mtime.tv_nsec},
        .st_ctim = {x->stx_ctime.tv_sec, x->stx_ctime.tv_nsec},
    };
}

static enum sc_rc look_at(struct walk *w, int fd, struct sc_hash_folder *folder, const char *name,
                          struct stat *ret_st, struct sc_error *err)
{
    struct statx x;
    if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_STATX_SYNC_AS_STAT,
              STATX_TYPE | STATX_MODE | STATX_INO | STATX_SIZE | STATX_MTIME | STATX_CTIME, &x))
        return fail_errno(w, folder, name, errno, "stat", err);
    *ret_st = stat_of(&x);
    return SC_OK;
}

static const char *join(struct sc_arena *arena, const struct sc_hash_folder *folder, struct sc_slice name,
                        const char *tail)
{
    return (const char *)sc_arena_printf(arena, "%s%s" SC_SLICE_FMT "%s", folder->path,
                                         *folder->path ? "/" : "", SC_SLICE_ARG(name), tail)
        .ptr;
}

static enum sc_rc take_link(struct worker *self, int fd, struct sc_hash_item *item, struct sc_error *err)
{
    struct walk *w = self->walk;
    char target[SC_LIMIT_PATH_BYTES];
    const char *name = (const char *)item->name.ptr;
    ssize_t len = readlinkat(fd, name, target, sizeof target);
    if (len < 0)
        return fail_errno(w, item->parent, name, errno, "read link", err);
    item->kind = SC_ENTRY_LINK;
    item->target = sc_arena_copy(&self->arena, sc_slice(target, (size_t)len));
    if (len == sizeof target || !sc_tree_link_stays(item->target, item->parent->depth))
        return refuse(
            w, item->parent, name, SC_UNSUPPORTED,
            "is a link that is absolute or may leave the folder; only links that stay inside are kept", err);
    return SC_OK;
}

static enum sc_rc take_folder(struct worker *self, struct sc_hash_item *item, struct sc_error *err)
{
    struct walk *w = self->walk;
    struct sc_hash_folder *folder = SC_NEW(&self->arena, struct sc_hash_folder);
    item->kind = SC_ENTRY_DIR;
    item->folder = folder;
    folder->depth = item->parent->depth + 1;
    folder->volume = item->parent->volume;
    folder->path = join(&self->arena, item->parent, item->name, "");
    // What is hashed is opened by its whole path later.
    if (folder->depth > SC_LIMIT_TREE_DEPTH ||
        strlen(w->root) + 1 + strlen(folder->path) > SC_LIMIT_PATH_BYTES - SC_LIMIT_FILENAME_BYTES - 2) {
        char why[128];
        snprintf(why, sizeof why, "lies too deep: at most %d folders, and %d bytes of a whole path",
                 SC_LIMIT_TREE_DEPTH, SC_LIMIT_PATH_BYTES);
        return refuse(w, item->parent, (const char *)item->name.ptr, SC_LIMIT, why, err);
    }
    pthread_mutex_lock(&w->mutex);
    folder->next = w->shared_folders;
    w->shared_folders = folder;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    return SC_OK;
}

// fd: the folder's. Asked where a file lies elsewhere than the files above it, which is below a mount.
static const struct sc_volume *volume_for(struct worker *self, int fd, struct sc_hash_folder *folder,
                                          const struct stat *st)
{
    if (folder->volume->dev != (uint64_t)st->st_dev && !folder->own_volume) {
        struct sc_volume *own = SC_NEW(&self->arena, struct sc_volume);
        *own = sc_volume_of(fd);
        folder->volume = own;
        folder->own_volume = true;
    }
    return folder->volume;
}

static void take_file(struct worker *self, int fd, struct sc_hash_item *item, const struct stat *st)
{
    item->kind = st->st_mode & S_IXUSR ? SC_ENTRY_EXEC : SC_ENTRY_FILE;
    item->bytes = (uint64_t)st->st_size;
    struct sc_memo *memo = self->walk->options->memo;
    if (memo && sc_memo_find(memo, volume_for(self, fd, item->parent, st), st, &item->digest))
        return;
    if (self->pending_count == self->pending_room) {
        self->pending_room = self->pending_room ? self->pending_room * 2 : 256;
        self->pending = sc_realloc(self->pending, self->pending_room, sizeof *self->pending);
    }
    self->pending[self->pending_count++] = item;
}

static bool is_wanted(struct worker *self, const struct sc_hash_item *item, bool dir)
{
    const struct sc_hash_options *options = self->walk->options;
    if (!options->wants)
        return true;
    const char *path = join(&self->arena, item->parent, item->name, dir ? "/" : "");
    return options->wants(options->context, sc_slice_str(path), dir);
}

// *ret_kept: false when the filter leaves the entry out.
static enum sc_rc take_entry(struct worker *self, int fd, struct sc_hash_item *item, unsigned char type,
                             bool *ret_kept, struct sc_error *err)
{
    struct walk *w = self->walk;
    struct sc_hash_folder *folder = item->parent;
    const char *name = (const char *)item->name.ptr;
    struct stat st = {0};
    if (type == DT_UNKNOWN || type == DT_REG) {
        enum sc_rc rc = look_at(w, fd, folder, name, &st, err);
        if (rc != SC_OK)
            return rc;
        type = (unsigned char)IFTODT(st.st_mode);
    }
    *ret_kept = is_wanted(self, item, type == DT_DIR);
    if (!*ret_kept)
        return SC_OK;
    if (type == DT_DIR)
        return take_folder(self, item, err);
    self->folder_files++;
    if (type == DT_LNK)
        return take_link(self, fd, item, err);
    if (type != DT_REG) {
        char why[64];
        snprintf(why, sizeof why, "is %s, which cannot be kept", sc_reader_kind_name(DTTOIF(type)));
        return refuse(w, folder, name, SC_UNSUPPORTED, why, err);
    }
    take_file(self, fd, item, &st);
    self->folder_bytes += item->bytes;
    return SC_OK;
}

static int by_name(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

struct dirent64_head { // what getdents64 gives (man 2 getdents)
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

static void take_dents(struct worker *self, size_t len)
{
    for (size_t at = 0; at < len;) {
        const struct dirent64_head *head = (const struct dirent64_head *)(const void *)(self->dents + at);
        at += head->reclen;
        if (strcmp(head->name, ".") == 0 || strcmp(head->name, "..") == 0)
            continue;
        if (self->found_count == self->found_room) {
            self->found_room = self->found_room ? self->found_room * 2 : 64;
            self->found = sc_realloc(self->found, self->found_room, sizeof *self->found);
        }
        self->found[self->found_count++] =
            (struct found){sc_arena_copy(&self->arena, sc_slice_str(head->name)), head->type};
    }
}

// Counts are added up a folder at a time: the threads share the sums.
static enum sc_rc check_sums(struct worker *self, const struct sc_hash_folder *folder, struct sc_error *err)
{
    struct walk *w = self->walk;
    if (__atomic_add_fetch(&w->entries, self->found_count, __ATOMIC_RELAXED) > SC_LIMIT_TREE_ENTRIES ||
        __atomic_add_fetch(&w->files_kept, self->folder_files, __ATOMIC_RELAXED) > w->max_files)
        return refuse(w, folder, "", SC_LIMIT, "and what was read before it hold more files than may be",
                      err);
    if (__atomic_add_fetch(&w->bytes, self->folder_bytes, __ATOMIC_RELAXED) > w->max_bytes)
        return refuse(w, folder, "", SC_LIMIT, "and what was read before it hold more bytes than may be",
                      err);
    return SC_OK;
}

static enum sc_rc keep_entries(struct worker *self, int fd, struct sc_hash_folder *folder,
                               struct sc_error *err)
{
    self->folder_files = self->folder_bytes = 0;
    folder->items = SC_NEW_ARRAY(&self->arena, self->found_count, struct sc_hash_item);
    for (uint32_t i = 0; i < self->found_count; i++) {
        struct sc_hash_item *item = &folder->items[folder->count];
        item->name = self->found[i].name;
        item->parent = folder;
        bool kept = false;
        enum sc_rc rc = take_entry(self, fd, item, self->found[i].type, &kept, err);
        if (rc != SC_OK)
            return rc;
        folder->count += kept;
    }
    return check_sums(self, folder, err);
}

static bool keeps_empty(const struct walk *w)
{
    return w->options->keep_empty_dirs || !w->options->wants;
}

// A folder of known files alone is encoded by the thread that walked it.
static void encode_whole(struct worker *self, struct sc_hash_folder *folder)
{
    for (uint32_t i = 0; i < folder->count; i++)
        if (folder->items[i].folder)
            return;
    folder->digest = sc_hash_encode_folder(&self->scratch, folder, keeps_empty(self->walk));
    folder->encoding = sc_arena_copy(&self->arena, sc_buf_slice(&self->scratch.encoding));
    folder->whole = true;
}

static enum sc_rc read_folder(struct worker *self, struct sc_hash_folder *folder, struct sc_error *err)
{
    struct walk *w = self->walk;
    SC_AUTO_CLOSE int fd =
        sc_open_beneath(w->root_fd, *folder->path ? folder->path : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fail_errno(w, folder, "", errno, "open folder", err);
    self->found_count = 0;
    for (ssize_t len; (len = getdents64(fd, self->dents, DENTS_BYTES)) != 0;) {
        if (len < 0)
            return fail_errno(w, folder, "", errno, "read folder", err);
        take_dents(self, (size_t)len);
        if (self->found_count > SC_LIMIT_TREE_ENTRIES)
            break; // check_sums refuses it
    }
    if (self->found_count)
        qsort(self->found, self->found_count, sizeof *self->found, by_name);
    uint32_t pending = self->pending_count;
    enum sc_rc rc = keep_entries(self, fd, folder, err);
    if (rc == SC_OK && self->pending_count == pending)
        encode_whole(self, folder);
    return rc;
}

static void *walk_folders(void *context)
{
    struct worker *self = context;
    struct walk *w = self->walk;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->shared_folders && w->shared_active && !is_stopped(w))
            pthread_cond_wait(&w->changed, &w->mutex);
        struct sc_hash_folder *folder = w->shared_folders;
        if (!folder || is_stopped(w))
            break;
        w->shared_folders = folder->next;
        w->shared_active++;
        pthread_mutex_unlock(&w->mutex);
        struct sc_error err = SC_ERROR_INIT;
        if (read_folder(self, folder, &err) != SC_OK)
            fail(w, &err);
        pthread_mutex_lock(&w->mutex);
        w->shared_active--;
    }
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

// Runs `work` on the calling thread and, when worthwhile, on all others. A thread that cannot be started is done without.
static void run_all(struct walk *w, void *(*work)(void *), bool worthwhile)
{
    uint32_t started = 1;
    for (; worthwhile && started < w->thread_count; started++)
        if (pthread_create(&w->workers[started].thread, NULL, work, &w->workers[started]))
            break;
    work(&w->workers[0]);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(w->workers[i].thread, NULL);
}

static void count_bytes(void *context, uint64_t bytes)
{
    struct worker *self = context;
    struct walk *w = self->walk;
    uint64_t done = __atomic_add_fetch(&w->bytes_done, bytes, __ATOMIC_RELAXED);
    if (self->is_caller && w->options->progress)
        w->options->progress(w->options->context, done, __atomic_load_n(&w->files_done, __ATOMIC_RELAXED));
}

static void learn(struct worker *self, const struct sc_volume *volume, const struct stat *st,
                  int64_t taken_ns, const struct sc_digest *digest)
{
    if (taken_ns == SC_MEMO_NEVER)
        return;
    if (self->learned_count == self->learned_room) {
        self->learned_room = self->learned_room ? self->learned_room * 2 : 64;
        self->learned = sc_realloc(self->learned, self->learned_room, sizeof *self->learned);
    }
    self->learned[self->learned_count++] = (struct learned){volume, *st, taken_ns, *digest};
}

static enum sc_rc read_item(struct worker *self, int folder_fd, struct sc_hash_item *item,
                            struct sc_error *err)
{
    struct walk *w = self->walk;
    const char *name = (const char *)item->name.ptr;
    SC_AUTO_CLOSE int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(w, item->parent, name, errno, "open", err);
    char shown[SC_LIMIT_PATH_BYTES];
    shown_path(w, item->parent, name, shown, sizeof shown);
    struct stat st;
    const struct sc_volume *volume = item->parent->volume;
    int64_t taken_ns = w->options->memo ? sc_memo_moment(fd, volume) : SC_MEMO_NEVER;
    bool settled = !w->options->ret_settled || sc_lease_is_free(fd, volume);
    enum sc_rc rc = sc_reader_digest(&self->reader, fd, shown, w->options->linked, &st, &item->digest, err);
    if (rc != SC_OK)
        return rc;
    if (!settled || (uint64_t)st.st_dev != volume->dev)
        __atomic_store_n(&w->unsettled, true, __ATOMIC_RELAXED);
    item->kind = st.st_mode & S_IXUSR ? SC_ENTRY_EXEC : SC_ENTRY_FILE;
    item->bytes = (uint64_t)st.st_size;
    learn(self, volume, &st, taken_ns, &item->digest);
    __atomic_add_fetch(&w->files_done, 1, __ATOMIC_RELAXED);
    return SC_OK;
}

static enum sc_rc read_batch(struct worker *self, uint32_t first, uint32_t count, struct sc_error *err)
{
    struct walk *w = self->walk;
    SC_AUTO_CLOSE int folder_fd = -1;
    const struct sc_hash_folder *open_folder = NULL;
    for (uint32_t i = first; i < first + count && !is_stopped(w); i++) {
        struct sc_hash_item *item = w->files[i];
        if (item->parent != open_folder) {
            sc_close_fd(&folder_fd);
            open_folder = item->parent;
            folder_fd = sc_open_beneath(w->root_fd, *open_folder->path ? open_folder->path : ".",
                                        O_PATH | O_DIRECTORY, 0);
            if (folder_fd < 0)
                return fail_errno(w, item->parent, "", errno, "open folder", err);
        }
        enum sc_rc rc = read_item(self, folder_fd, item, err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

static void *read_files(void *context)
{
    struct worker *self = context;
    struct walk *w = self->walk;
    if (!self->has_reader) {
        sc_reader_init(&self->reader);
        self->reader.tick = count_bytes;
        self->reader.context = self;
        self->has_reader = true;
    }
    while (!is_stopped(w)) {
        uint32_t batch = __atomic_fetch_add(&w->next_batch, 1, __ATOMIC_RELAXED);
        if (batch >= w->batch_count)
            break;
        uint32_t first = w->batches[batch];
        struct sc_error err = SC_ERROR_INIT;
        if (read_batch(self, first, w->batches[batch + 1] - first, &err) != SC_OK)
            fail(w, &err);
    }
    return NULL;
}

static int by_size_down(const void *a, const void *b)
{
    const struct sc_hash_item *x = *(struct sc_hash_item *const *)a, *y = *(struct sc_hash_item *const *)b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

// Large files first, the largest at the front and each a batch of its own, so that all threads end at about the same
// time; then the small ones as they were met, folder by folder.
static uint64_t plan_batches(struct walk *w)
{
    uint32_t count = 0, large = 0, small = 0;
    uint64_t bytes = 0, batch_bytes = 0;
    for (uint32_t i = 0; i < w->thread_count; i++)
        count += w->workers[i].pending_count;
    w->files = sc_calloc(count, sizeof(struct sc_hash_item *));
    w->batches = sc_calloc((size_t)count + 1, sizeof *w->batches);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < w->thread_count; i++)
            for (uint32_t k = 0; k < w->workers[i].pending_count; k++) {
                struct sc_hash_item *item = w->workers[i].pending[k];
                if ((item->bytes >= LARGE_BYTES) != (pass == 0))
                    continue;
                w->files[w->file_count++] = item;
                large += pass == 0;
                bytes += item->bytes;
            }
    if (large)
        qsort(w->files, large, sizeof(struct sc_hash_item *), by_size_down);
    for (uint32_t i = 0; i < count; i++) {
        bool fits = i > large && small < BATCH_FILES && batch_bytes + w->files[i]->bytes <= LARGE_BYTES;
        if (!fits) {
            w->batches[w->batch_count++] = i;
            small = 0;
            batch_bytes = 0;
        }
        small++;
        batch_bytes += w->files[i]->bytes;
    }
    w->batches[w->batch_count] = count;
    return bytes;
}

static void tell_memo(struct walk *w)
{
    for (uint32_t i = 0; i < w->thread_count; i++)
        for (uint32_t k = 0; k < w->workers[i].learned_count; k++) {
            const struct learned *l = &w->workers[i].learned[k];
            sc_memo_remember(w->options->memo, l->volume, &l->st, l->taken_ns, &l->digest);
        }
}

static uint32_t thread_count_of(const struct sc_hash_options *options)
{
    cpu_set_t set;
    uint32_t count = options->threads;
    if (count == 0)
        count = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : count;
}

static void start(struct walk *w, const char *path, const struct sc_hash_options *options)
{
    *w = (struct walk){
        .root = path,
        .root_fd = -1,
        .options = options,
        .max_bytes = options->max_bytes ? options->max_bytes : INT64_MAX,
        .max_files = options->max_files ? options->max_files : SC_LIMIT_TREE_ENTRIES,
        .thread_count = thread_count_of(options),
    };
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    for (uint32_t i = 0; i < w->thread_count; i++) {
        struct worker *worker = &w->workers[i];
        worker->walk = w;
        worker->is_caller = i == 0;
        worker->dents = sc_calloc(1, DENTS_BYTES);
        sc_arena_init(&worker->arena);
        sc_buf_init(&worker->scratch.encoding, 0);
    }
}

static void end(struct walk *w)
{
    for (uint32_t i = 0; i < w->thread_count; i++) {
        struct worker *worker = &w->workers[i];
        if (worker->has_reader)
            sc_reader_done(&worker->reader);
        sc_arena_done(&worker->arena);
        free(worker->pending);
        free(worker->learned);
        free(worker->dents);
        free(worker->found);
        free(worker->scratch.entries);
        sc_buf_done(&worker->scratch.encoding);
    }
    free(w->files);
    free(w->batches);
    if (w->root_fd >= 0)
        sc_fd_close(w->root_fd);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

static enum sc_rc open_root(struct walk *w, struct sc_error *err)
{
    int follow = w->options->follow_root ? 0 : O_NOFOLLOW;
    w->root_fd = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow);
    if (w->root_fd >= 0)
        return SC_OK;
    struct stat st;
    int failed = errno;
    if ((failed == ENOTDIR || failed == ELOOP) && lstat(w->root, &st) == 0)
        return sc_error_set(err, SC_UNSUPPORTED, "%s is %s, not a folder", w->root,
                            sc_reader_kind_name(st.st_mode));
    return sc_error_errno(err, failed, "open folder %s", w->root);
}

static enum sc_rc hash_dir(struct walk *w, struct sc_arena *arena, struct sc_tree *ret_tree,
                           struct sc_error *err)
{
    enum sc_rc rc = open_root(w, err);
    if (rc != SC_OK)
        return rc;
    struct sc_hash_folder *root = SC_NEW(&w->workers[0].arena, struct sc_hash_folder);
    root->path = "";
    if (w->options->memo || w->options->ret_settled)
        w->volume = sc_volume_of(w->root_fd);
    root->volume = &w->volume;
    struct sc_error story = SC_ERROR_INIT;
    if (read_folder(&w->workers[0], root, &story) != SC_OK)
        fail(w, &story);
    // The filter is the caller's and need not be made for threads; what it is for, code, is small.
    if (w->shared_folders)
        run_all(w, walk_folders, !w->options->wants && w->shared_folders->next != NULL);
    if (w->shared_rc == SC_OK) {
        uint64_t bytes = plan_batches(w);
        if (w->file_count)
            run_all(w, read_files, w->batch_count > 1 && (bytes > LARGE_BYTES || w->file_count > FEW_FILES));
    }
    if (w->options->memo)
        tell_memo(w); // what was read is known, even when something else failed
    if (w->shared_rc != SC_OK) {
        if (err)
            *err = w->shared_err;
        return w->shared_rc;
    }
    if (w->options->progress)
        w->options->progress(w->options->context, w->bytes_done, w->files_done);
    if (w->options->ret_settled)
        *w->options->ret_settled = !w->unsettled;
    sc_hash_build(root, keeps_empty(w), &w->workers[0].scratch, arena, ret_tree);
    return SC_OK;
}

enum sc_rc sc_hash_dir(const char *path, const struct sc_hash_options *options, struct sc_arena *arena,
                       struct sc_tree *ret_tree, struct sc_error *err)
{
    static const struct sc_hash_options no_options;
    SC_ASSERT(!options || !options->memo || !options->ret_settled);
    struct walk *w = sc_calloc(1, sizeof *w);
    start(w, path, options ? options : &no_options);
    enum sc_rc rc = hash_dir(w, arena, ret_tree, err);
    end(w);
    return rc;
}
