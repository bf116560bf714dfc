#include "store/source_read.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

enum {
    AT_ONCE = 16,       // objects that are read
    HASHED_AT_ONCE = 4, // large ones, each by a thread of its own
    HASH_LOOK_MS = 20,  // while both the server and threads are waited for
    LARGE_BYTES =
        1 << 20,       // from here on a thread, and a question for its checksum, cost less than they spare
    READINGS_MOST = 4, // of an object, until two agree
};

enum sc_rc sc_source_wrong(const struct sc_source *source, struct sc_slice key, enum sc_rc rc,
                           const char *what, struct sc_error *err)
{
    return sc_error_set(err, rc, "s3://" SC_SLICE_FMT "/" SC_SLICE_FMT ": %s", SC_SLICE_ARG(source->bucket),
                        SC_SLICE_ARG(key), what);
}

// ---- checksums

bool sc_source_believes(const struct sc_source *source)
{
    const char *server = sc_store_server(source->from), *at = source->believed ? source->believed : "";
    if (!strstr(server, "://")) // AWS
        return true;
    while (*at) {
        size_t len = strcspn(at, ", ");
        if (len == strlen(server) && memcmp(at, server, len) == 0)
            return true;
        at += len;
        at += strspn(at, ", ");
    }
    return false;
}

// Where it was read before, and was another, one of the two is wrong: reading tells.
void sc_source_take_checksum(const struct sc_source *source, struct sc_source_object *object,
                             const struct sc_digest *checksum)
{
    if (sc_digest_is_zero(checksum) || !sc_source_believes(source))
        return;
    bool other = object->known && !sc_digest_eq(&object->digest, checksum);
    object->digest = *checksum;
    object->known = !other;
}

// ---- reading

// An etag that is the MD5 of what came vouches for it.
static bool is_md5(const char *path, struct sc_slice etag)
{
    if (etag.len != 32)
        return false;
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t bytes[64 << 10], sum[EVP_MAX_MD_SIZE];
    bool good = fd >= 0 && context && EVP_DigestInit_ex(context, EVP_md5(), NULL);
    for (ssize_t n = 1; good && n > 0;) {
        n = read(fd, bytes, sizeof bytes);
        good = n >= 0 && EVP_DigestUpdate(context, bytes, (size_t)n);
    }
    good = good && EVP_DigestFinal_ex(context, sum, NULL);
    EVP_MD_CTX_free(context);
    for (size_t i = 0; good && i < 16; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", sum[i]);
        good = memcmp(hex, etag.ptr + 2 * i, 2) == 0;
    }
    return good;
}

struct reading {
    struct sc_store_op op;
    struct reader *reader;
    struct sc_source_object *object;
    int fd;
    uint64_t moved_bytes; // that the reader has counted
    uint32_t times;
    struct sc_digest before; // of the time before
    pthread_t thread;        // that hashes
    atomic_bool hashed;      // it is done, with what follows
    bool sure;
    struct sc_artifact artifact;
    enum sc_rc rc;
    struct sc_error err;
    struct reading *prev, *next; // in one of the reader's lists
};

struct reader {
    const struct sc_source *source;
    uint32_t open, hashing_count;
    bool digest_alone;
    uint64_t done_bytes, total_bytes;
    struct reading *answered, *hashing;
    enum sc_rc rc; // the first failure
    struct sc_error *err;
};

static void answered(struct sc_store_op *op)
{
    struct reading *r = op->context;
    DL_APPEND(r->reader->answered, r);
}

static void tell(struct reader *reader)
{
    if (reader->source->progress)
        reader->source->progress(reader->source->context, reader->done_bytes, reader->total_bytes);
}

// After a failure on the way it is less than before.
static void moved(struct reading *r, uint64_t bytes)
{
    r->reader->done_bytes += bytes - r->moved_bytes;
    r->moved_bytes = bytes;
    tell(r->reader);
}

static void progressed(struct sc_store_op *op)
{
    moved(op->context, op->moved_bytes);
}

static void ask(struct reading *r, enum sc_store_kind kind)
{
    const struct sc_pin_of *of = &r->object->of;
    sc_store_op_init(&r->op, kind, of->key);
    r->op.to_fd = r->fd;
    r->op.ask_checksum = kind == SC_STORE_HEAD;
    r->op.from_version = of->version;
    r->op.from_etag = of->etag;
    r->op.done = answered;
    if (kind == SC_STORE_GET) {
        r->op.progress = progressed;
        r->reader->total_bytes += of->bytes;
        r->moved_bytes = 0;
        tell(r->reader);
    }
    r->op.context = r;
    sc_store_submit(r->reader->source->from, &r->op);
}

// TLS vouches for what came. Without it an object is read until its etag does, or two readings agree: a wrong digest would be
// remembered.
static bool is_sure(const struct reading *r)
{
    return !sc_slice_starts(sc_slice_str(r->object->of.server), "http://") ||
           sc_digest_eq(&r->artifact.digest, &r->before) || is_md5(r->object->path, r->object->of.etag);
}

static void end(struct reading *r)
{
    struct reader *reader = r->reader;
    if (r->rc != SC_OK && reader->rc == SC_OK) {
        reader->rc = r->rc;
        if (reader->err)
            *reader->err = r->err;
    }
    close(r->fd);
    free(r);
    reader->open--;
}

// Of the bytes that are in its file. Nothing else touches the reading meanwhile.
static void hash(struct reading *r)
{
    const struct sc_hash_options options = {.threads = 1};
    r->rc = sc_hash_file(r->object->path, &options, &r->artifact, &r->err);
    r->sure = r->rc == SC_OK && is_sure(r);
}

static enum sc_rc judge(struct reading *r, bool *ret_again)
{
    struct sc_source_object *object = r->object;
    const struct sc_source *source = r->reader->source;
    if (r->rc != SC_OK)
        return r->rc;
    *ret_again = !r->sure;
    r->before = r->artifact.digest;
    if (*ret_again)
        return ++r->times < READINGS_MOST
                   ? SC_OK
                   : sc_source_wrong(source, object->of.key, SC_CORRUPT,
                                     "each time it is read it is another: something changes bytes on the way",
                                     &r->err);
    bool another = object->known && !sc_digest_eq(&object->digest, &r->artifact.digest);
    object->digest = r->artifact.digest;
    object->known = object->here = true;
    sc_pinned_remember(source->pinned, &object->pin, &object->digest);
    return another
               ? sc_source_wrong(source, object->of.key, SC_BUSY,
                                 "it is another than it was under the same etag, or than its checksum says",
                                 &r->err)
               : SC_OK;
}

static void take_hash(struct reading *r)
{
    bool again = false;
    r->rc = judge(r, &again);
    if (r->rc == SC_OK && again && ftruncate(r->fd, 0) == 0)
        ask(r, SC_STORE_GET);
    else
        end(r);
}

static void *hash_thread(void *context)
{
    struct reading *r = context;
    hash(r);
    atomic_store(&r->hashed, true);
    return NULL;
}

static void join(struct reading *r)
{
    struct reader *reader = r->reader;
    pthread_join(r->thread, NULL);
    DL_DELETE(reader->hashing, r);
    reader->hashing_count--;
    take_hash(r);
}

static void begin_hash(struct reading *r)
{
    struct reader *reader = r->reader;
    while (reader->hashing_count >= HASHED_AT_ONCE)
        join(reader->hashing);
    atomic_store(&r->hashed, false);
    if (r->object->of.bytes < LARGE_BYTES || pthread_create(&r->thread, NULL, hash_thread, r) != 0) {
        hash(r);
        take_hash(r);
        return;
    }
    DL_APPEND(reader->hashing, r);
    reader->hashing_count++;
}

// The server may have told what it is; else it is read.
static void take_head(struct reading *r)
{
    struct sc_source_object *object = r->object;
    const struct sc_source *source = r->reader->source;
    sc_source_take_checksum(source, object, &r->op.checksum);
    sc_store_op_done(&r->op);
    if (!object->known) {
        ask(r, SC_STORE_GET);
        return;
    }
    sc_pinned_remember(source->pinned, &object->pin, &object->digest);
    unlink(object->path); // whoever wants the bytes makes it anew
    end(r);
}

static void take_answer(struct reading *r)
{
    bool head = r->op.kind == SC_STORE_HEAD;
    r->rc = r->op.rc;
    if (r->rc != SC_OK) {
        r->err = r->op.err;
        r->object->archived |= r->op.archived;
    } else if (!head && r->op.bytes != r->object->of.bytes) {
        r->rc = sc_source_wrong(r->reader->source, r->object->of.key, SC_BUSY, "it changed while it was read",
                                &r->err);
    }
    if (r->rc == SC_OK && head) {
        take_head(r);
        return;
    }
    sc_store_op_done(&r->op);
    if (r->rc == SC_OK) {
        moved(r, r->object->of.bytes);
        begin_hash(r);
    } else {
        end(r);
    }
}

static void join_ended(struct reader *reader)
{
    struct reading *r, *next;
    DL_FOREACH_SAFE (reader->hashing, r, next)
        if (atomic_load(&r->hashed))
            join(r);
}

static void wait_for(struct reader *reader, uint32_t most)
{
    for (;;) {
        for (struct reading *r; (r = reader->answered);) {
            DL_DELETE(reader->answered, r);
            take_answer(r);
        }
        join_ended(reader);
        if (reader->open <= most)
            return;
        if (reader->answered)
            continue;
        if (reader->hashing_count == reader->open)
            join(reader->hashing);
        else
            sc_store_dispatch(reader->source->from, reader->hashing_count ? HASH_LOOK_MS : -1);
    }
}

static enum sc_rc make_parent(const char *path, struct sc_error *err)
{
    SC_AUTO_FREE char *folder = sc_strdup(path);
    *strrchr(folder, '/') = 0;
    return sc_dir_make(folder, 0700, err);
}

static enum sc_rc begin(struct reader *reader, struct sc_source_object *object, struct sc_error *err)
{
    if (object->archived)
        return sc_source_wrong(reader->source, object->of.key, SC_NOT_FOUND, "it is archived", err);
    enum sc_rc rc = make_parent(object->path, err);
    if (rc != SC_OK)
        return rc;
    int fd = open(object->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return sc_error_errno(err, errno, "create %s", object->path);
    struct reading *r = sc_calloc(1, sizeof *r);
    *r = (struct reading){.reader = reader, .object = object, .fd = fd, .err = SC_ERROR_INIT};
    reader->open++;
    bool asks = reader->digest_alone && object->of.bytes >= LARGE_BYTES && sc_source_believes(reader->source);
    ask(r, asks ? SC_STORE_HEAD : SC_STORE_GET);
    return SC_OK;
}

enum sc_rc sc_source_read(const struct sc_source *source, struct sc_source_object *objects, uint32_t count,
                          sc_source_wanted_fn wanted, bool digest_alone, struct sc_error *err)
{
    struct reader reader = {.source = source, .digest_alone = digest_alone, .err = err};
    for (uint32_t i = 0; i < count && reader.rc == SC_OK; i++) {
        if (sc_source_is_folder(&objects[i]) || objects[i].here || !wanted(source, &objects[i]))
            continue;
        wait_for(&reader, AT_ONCE - 1);
        if (reader.rc == SC_OK)
            reader.rc = begin(&reader, &objects[i], err);
    }
    wait_for(&reader, 0);
    for (uint32_t i = 0; i < count; i++)
        if (objects[i].archived && reader.rc == SC_NOT_FOUND) {
            (void)sc_source_wrong(source, objects[i].of.key, SC_NOT_FOUND,
                                  "it is archived, and cannot be read", err);
            sc_error_hint(err, "restore it in its bucket, or name a copy that can be read");
        }
    return reader.rc;
}
