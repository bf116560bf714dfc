#include "stepctl/upload.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { MEMO_ENTRIES = 1 << 20 };

enum sc_rc sc_upload_open(struct sc_upload *upload, const struct sc_places *places, struct sc_client *through,
                          struct sc_error *err)
{
    *upload = (struct sc_upload){.client = through};
    SC_AUTO_FREE char *memo = sc_asprintf("%s/memo-client", places->cache);
    upload->memo = sc_memo_open(memo, MEMO_ENTRIES);
    if (through)
        return SC_OK;
    enum sc_rc rc = sc_store_open(places->store, &upload->store, err);
    if (rc != SC_OK)
        return rc;
    const struct sc_objects_config config = {
        .store = upload->store, .domain = SC_SLICE_LIT("main"), .memo = upload->memo};
    return sc_objects_new(&config, &upload->objects, err);
}

void sc_upload_done(struct sc_upload *upload)
{
    // The memo saves time only: that it could not be written is no error of the command.
    struct sc_error ignored = SC_ERROR_INIT;
    if (upload->objects)
        sc_objects_free(upload->objects);
    if (upload->store)
        sc_store_close(upload->store);
    if (upload->memo) {
        if (sc_memo_save(upload->memo, &ignored) != SC_OK)
            ignored.rc = SC_OK;
        sc_memo_close(upload->memo);
    }
    *upload = (struct sc_upload){0};
}

static enum sc_rc put_chunk(struct sc_client *client, const struct sc_msg_put *put, struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_PUT, .body.put = *put};
    return sc_client_ask(client, &message, &(struct sc_answer){0}, err);
}

static enum sc_rc put_bytes(struct sc_client *client, const struct sc_digest *digest, bool tree,
                            struct sc_slice bytes, struct sc_error *err)
{
    struct sc_msg_put put = {.digest = *digest, .tree = tree, .total_bytes = bytes.len};
    do {
        size_t n = bytes.len - put.offset;
        put.bytes = sc_slice(bytes.ptr + put.offset, n < SC_LIMIT_CHUNK_BYTES ? n : SC_LIMIT_CHUNK_BYTES);
        enum sc_rc rc = put_chunk(client, &put, err);
        if (rc != SC_OK)
            return rc;
        put.offset += put.bytes.len;
    } while (put.offset < bytes.len);
    return SC_OK;
}

static enum sc_rc put_fd(struct sc_client *client, const struct sc_digest *digest, int fd, uint64_t bytes,
                         const char *path, struct sc_error *err)
{
    SC_AUTO_FREE uint8_t *chunk = sc_calloc(1, SC_LIMIT_CHUNK_BYTES);
    struct sc_msg_put put = {.digest = *digest, .total_bytes = bytes};
    do {
        uint64_t left = bytes - put.offset;
        ssize_t n =
            pread(fd, chunk, left < SC_LIMIT_CHUNK_BYTES ? left : SC_LIMIT_CHUNK_BYTES, (off_t)put.offset);
        if (n < 0)
            return sc_error_errno(err, errno, "read %s", path);
        if (n == 0 && left)
            return sc_error_set(err, SC_BUSY, "%s: became shorter while it was read", path);
        put.bytes = sc_slice(chunk, (size_t)n);
        enum sc_rc rc = put_chunk(client, &put, err);
        if (rc != SC_OK)
            return rc;
        put.offset += (uint64_t)n;
    } while (put.offset < bytes);
    return SC_OK;
}

enum sc_rc sc_upload_bytes(struct sc_upload *upload, struct sc_slice bytes, struct sc_digest *ret_digest,
                           struct sc_error *err)
{
    if (!upload->client)
        return sc_objects_put_bytes(upload->objects, bytes, false, ret_digest, err);
    struct sc_digest digest = sc_digest_of(bytes);
    enum sc_rc rc = put_bytes(upload->client, &digest, false, bytes, err);
    if (rc == SC_OK)
        *ret_digest = digest;
    return rc;
}

enum sc_rc sc_upload_file(struct sc_upload *upload, const char *path, const struct sc_artifact *artifact,
                          struct sc_error *err)
{
    if (!upload->client)
        return sc_objects_put_file(upload->objects, path, artifact, false, false, err);
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "open %s", path);
    return put_fd(upload->client, &artifact->digest, fd, artifact->bytes, path, err);
}

static enum sc_rc put_node_files(struct sc_upload *upload, int folder, const char *path,
                                 const struct sc_tree *tree, const struct sc_tree_node *node, uint32_t depth,
                                 struct sc_error *err)
{
    if (depth > SC_LIMIT_TREE_DEPTH)
        return sc_error_set(err, SC_LIMIT, "%s: deeper than %d folders", path, SC_LIMIT_TREE_DEPTH);
    for (uint32_t i = 0; i < node->entries.count; i++) {
        const struct sc_tree_entry *entry = &node->entries.items[i];
        if (entry->kind == SC_ENTRY_LINK)
            continue;
        SC_AUTO_FREE char *name = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(entry->name));
        SC_AUTO_FREE char *whole = sc_asprintf("%s/%s", path, name);
        bool dir = entry->kind == SC_ENTRY_DIR;
        SC_AUTO_CLOSE int fd =
            openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (dir ? O_DIRECTORY : 0));
        if (fd < 0)
            return sc_error_errno(err, errno, "open %s", whole);
        enum sc_rc rc =
            dir ? put_node_files(upload, fd, whole, tree, sc_tree_find(tree, &entry->digest), depth + 1, err)
                : put_fd(upload->client, &entry->digest, fd, entry->bytes, whole, err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

enum sc_rc sc_upload_tree(struct sc_upload *upload, const char *root, const struct sc_tree *tree,
                          struct sc_error *err)
{
    if (!upload->client)
        return sc_objects_put_tree(upload->objects, root, tree, false, false, err);
    SC_AUTO_CLOSE int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "open %s", root);
    enum sc_rc rc = put_node_files(upload, fd, root, tree, &tree->nodes.items[0], 0, err);
    if (rc != SC_OK)
        return rc;
    SC_AUTO_BUF struct sc_buf encoded;
    sc_buf_init(&encoded, SC_LIMIT_TREE_BYTES);
    sc_tree_encode(tree, &encoded);
    return put_bytes(upload->client, &tree->nodes.items[0].digest, true, sc_buf_slice(&encoded), err);
}

enum sc_rc sc_upload_sync(struct sc_upload *upload, struct sc_error *err)
{
    return upload->client ? SC_OK : sc_objects_sync(upload->objects, err);
}
