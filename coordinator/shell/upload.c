// Uploads: objects that clients put in chunks through the coordinator. A small one comes whole; a larger one is gathered in a
// scratch file. Its digest is checked before it becomes an object.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/names.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { UPLOADS_MOST = 256, UPLOADS_OF_CLIENT = 16 };
static const uint64_t UPLOAD_BYTES_MOST = UINT64_C(4) << 30;

struct storage_upload {
    struct storage_upload *next;
    uint64_t client;
    struct sc_digest digest;
    bool tree;
    uint64_t bytes, total_bytes;
    int fd;
    struct sc_hasher *hasher;
    char path[SC_LIMIT_PATH_BYTES];
};

static struct storage_upload **find(struct storage_writer *writer, uint64_t client,
                                    const struct sc_msg_put *put)
{
    struct storage_upload **at = &writer->uploads;
    while (*at && !((*at)->client == client && (*at)->tree == put->tree &&
                    sc_digest_eq(&(*at)->digest, &put->digest)))
        at = &(*at)->next;
    return at;
}

static void drop(struct storage_writer *writer, struct storage_upload **at)
{
    struct storage_upload *upload = *at;
    *at = upload->next;
    writer->upload_count--;
    close(upload->fd);
    unlink(upload->path);
    sc_hasher_free(upload->hasher);
    free(upload);
}

void storage_drop_uploads(struct storage_writer *writer, uint64_t client)
{
    for (struct storage_upload **at = &writer->uploads; *at;)
        if (client == 0 || (*at)->client == client)
            drop(writer, at);
        else
            at = &(*at)->next;
}

static enum sc_rc store_tree(struct storage_writer *writer, const struct sc_digest *root,
                             struct sc_slice bytes, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    SC_AUTO_BUF struct sc_buf name;
    struct sc_tree tree;
    sc_arena_init(&arena);
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    enum sc_rc rc = sc_tree_decode(bytes, root, &arena, &tree, err);
    if (rc != SC_OK)
        return rc;
    sc_name_tree(&name, writer->storage->config.domain, root);
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_buf_slice(&name));
    op.body = bytes;
    rc = sc_store_wait(writer->store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc wrong_digest(const struct sc_digest *digest, struct sc_error *err)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    return sc_error_set(err, SC_CORRUPT, "what was uploaded as %s has another digest; upload it again", hex);
}

static enum sc_rc store_small(struct storage_writer *writer, const struct sc_msg_put *put,
                              struct sc_error *err)
{
    if (put->tree)
        return store_tree(writer, &put->digest, put->bytes, err);
    struct sc_digest digest = sc_digest_of(put->bytes);
    if (!sc_digest_eq(&digest, &put->digest))
        return wrong_digest(&put->digest, err);
    return sc_objects_put_bytes(writer->objects, put->bytes, false, &digest, err);
}

static enum sc_rc store_large(struct storage_writer *writer, struct storage_upload *upload,
                              struct sc_error *err)
{
    if (upload->tree) {
        SC_AUTO_BUF struct sc_buf bytes;
        sc_buf_init(&bytes, 0);
        enum sc_rc rc = sc_file_read(upload->path, SC_LIMIT_TREE_BYTES, &bytes, err);
        return rc == SC_OK ? store_tree(writer, &upload->digest, sc_buf_slice(&bytes), err) : rc;
    }
    struct sc_digest digest = sc_hasher_end(upload->hasher);
    if (!sc_digest_eq(&digest, &upload->digest))
        return wrong_digest(&upload->digest, err);
    struct sc_artifact artifact = {
        .kind = SC_ARTIFACT_FILE, .digest = digest, .bytes = upload->bytes, .files = 1};
    return sc_objects_put_file(writer->objects, upload->path, &artifact, true, false, err);
}

static enum sc_rc begin(struct storage_writer *writer, const struct sc_job *job, struct sc_error *err)
{
    const struct sc_msg_put *put = &job->u.put;
    uint32_t own = 0;
    for (const struct storage_upload *u = writer->uploads; u; u = u->next)
        own += u->client == job->client;
    if (own >= UPLOADS_OF_CLIENT || writer->upload_count >= UPLOADS_MOST)
        return sc_error_set(err, SC_LIMIT, "more than %d uploads at once",
                            own >= UPLOADS_OF_CLIENT ? UPLOADS_OF_CLIENT : UPLOADS_MOST);
    struct storage_upload *upload = sc_calloc(1, sizeof *upload);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    const char *path = storage_scratch(writer, &arena);
    SC_ASSERT(strlen(path) < sizeof upload->path);
    memcpy(upload->path, path, strlen(path) + 1);
    upload->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (upload->fd < 0) {
        free(upload);
        return sc_error_errno(err, errno, "create %s", path);
    }
    upload->client = job->client;
    upload->digest = put->digest;
    upload->tree = put->tree;
    upload->total_bytes = put->total_bytes;
    upload->hasher = sc_hasher_new();
    sc_hasher_begin(upload->hasher);
    upload->next = writer->uploads;
    writer->uploads = upload;
    writer->upload_count++;
    return SC_OK;
}

static enum sc_rc check(const struct sc_msg_put *put, struct sc_error *err)
{
    if (sc_digest_is_zero(&put->digest))
        return sc_error_set(err, SC_INVALID, "put: it names no digest");
    if (put->total_bytes > UPLOAD_BYTES_MOST || (put->tree && put->total_bytes > SC_LIMIT_TREE_BYTES))
        return sc_error_set(err, SC_LIMIT, "put: %llu bytes are more than an upload may have",
                            (unsigned long long)put->total_bytes);
    if (put->offset > put->total_bytes || put->bytes.len > put->total_bytes - put->offset)
        return sc_error_set(err, SC_INVALID, "put: a chunk reaches past the object's end");
    if (put->bytes.len == 0 && put->total_bytes != 0)
        return sc_error_set(err, SC_INVALID, "put: an empty chunk");
    return SC_OK;
}

enum sc_rc storage_put(struct storage_writer *writer, struct sc_job *job, bool *ret_stored,
                       struct sc_error *err)
{
    const struct sc_msg_put *put = &job->u.put;
    *ret_stored = false;
    enum sc_rc rc = check(put, err);
    if (rc != SC_OK)
        return rc;
    struct storage_upload **at = find(writer, job->client, put);
    if (put->offset == 0 && *at)
        drop(writer, at); // begun anew
    if (put->bytes.len == put->total_bytes) {
        *ret_stored = true;
        return store_small(writer, put, err);
    }
    if (put->offset == 0 && (rc = begin(writer, job, err)) != SC_OK)
        return rc;
    at = find(writer, job->client, put);
    struct storage_upload *upload = *at;
    if (!upload || upload->bytes != put->offset || upload->total_bytes != put->total_bytes)
        return sc_error_set(err, SC_INVALID, "put: a chunk is out of order");
    rc = sc_fd_write_all(upload->fd, put->bytes, err);
    if (rc == SC_OK) {
        sc_hasher_add(upload->hasher, put->bytes.ptr, put->bytes.len);
        upload->bytes += put->bytes.len;
        if (upload->bytes < upload->total_bytes)
            return SC_OK;
        *ret_stored = true;
        rc = store_large(writer, upload, err);
    }
    drop(writer, find(writer, job->client, put));
    return rc;
}
