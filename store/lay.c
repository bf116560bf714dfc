#include "store/object_impl.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/beneath.h"
#include "store/pack.h"
#include "store/pack_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { AT_ONCE = 4 }; // large files that are under way

struct sc_lay_fetch {
    struct sc_store_op op;
    struct sc_lay_file file;
    struct sc_buf name; // the object's
    bool answered;
    struct sc_lay_fetch *next;
};

static void answered(struct sc_store_op *op)
{
    struct sc_lay_fetch *fetch = op->context;
    fetch->answered = true;
}

// The first failure counts, with what could not be had.
static void note_failure(struct sc_lay *lay, enum sc_rc rc, const struct sc_digest *digest,
                         const struct sc_error *err)
{
    if (rc == SC_OK || lay->rc != SC_OK)
        return;
    lay->rc = rc;
    lay->err = *err;
    if (rc == SC_NOT_FOUND || rc == SC_CORRUPT)
        lay->lost = *digest;
}

static void end_fetch(struct sc_lay *lay, struct sc_lay_fetch *fetch)
{
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_object_fetched(lay->objects, &fetch->file.digest, &fetch->op, &err);
    rc = lay->end(lay, &fetch->file, rc, &err);
    note_failure(lay, rc, &fetch->file.digest, &err);
    sc_fd_close(fetch->file.fd);
    sc_buf_done(&fetch->name);
    free(fetch);
    lay->fetch_count--;
}

static bool has_equal(const struct sc_lay *lay, const struct sc_digest *digest)
{
    for (const struct sc_lay_fetch *fetch = lay->fetches; fetch; fetch = fetch->next)
        if (digest && sc_digest_eq(&fetch->file.digest, digest))
            return true;
    return false;
}

// Until at most so many are under way, and none of this object (NULL: of any).
static void wait_for(struct sc_lay *lay, uint32_t most, const struct sc_digest *digest)
{
    for (;;) {
        for (struct sc_lay_fetch **at = &lay->fetches; *at;) {
            struct sc_lay_fetch *fetch = *at;
            if (!fetch->answered) {
                at = &fetch->next;
                continue;
            }
            *at = fetch->next;
            end_fetch(lay, fetch);
        }
        if (lay->fetch_count <= most && !has_equal(lay, digest))
            return;
        sc_store_dispatch(lay->objects->store, -1);
    }
}

enum sc_rc sc_lay_wait(struct sc_lay *lay, struct sc_error *err)
{
    wait_for(lay, 0, NULL);
    if (lay->rc != SC_OK && err)
        *err = lay->err;
    return lay->rc;
}

enum sc_rc sc_lay_file(struct sc_lay *lay, int dirfd, const char *name, const struct sc_digest *digest,
                       bool exec, struct sc_error *err)
{
    wait_for(lay, AT_ONCE - 1, digest);
    if (lay->rc != SC_OK)
        return sc_lay_wait(lay, err);
    struct sc_lay_file file = {.digest = *digest, .exec = exec, .fd = -1};
    struct sc_error own = SC_ERROR_INIT;
    enum sc_rc rc = lay->begin(lay, dirfd, name, &file, &own);
    note_failure(lay, rc, digest, &own);
    if (rc != SC_OK)
        return sc_lay_wait(lay, err);
    if (file.fd < 0)
        return SC_OK;
    struct sc_lay_fetch *fetch = sc_calloc(1, sizeof *fetch);
    fetch->file = file;
    sc_buf_init(&fetch->name, SC_LIMIT_PATH_BYTES);
    sc_buf_add_slice(&fetch->name, sc_object_name(lay->objects, SC_AREA_CAS, digest));
    sc_store_op_init(&fetch->op, SC_STORE_GET, sc_buf_slice(&fetch->name));
    fetch->op.to_fd = file.fd;
    fetch->op.sha256 = *digest;
    fetch->op.done = answered;
    fetch->op.context = fetch;
    fetch->next = lay->fetches;
    lay->fetches = fetch;
    lay->fetch_count++;
    sc_store_submit(lay->objects->store, &fetch->op);
    return SC_OK;
}

static enum sc_rc open_folder(int dirfd, const char *name, int *ret_fd, struct sc_error *err)
{
    *ret_fd = sc_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    return *ret_fd >= 0 ? SC_OK : sc_error_errno(err, errno, "open folder %s", name);
}

static const struct sc_tree_node *node_of(const struct sc_digest_map *nodes, const struct sc_digest *digest)
{
    const struct sc_tree_node *node = sc_digest_map_get(nodes, digest);
    SC_ASSERT(node != NULL); // the decoder or the hasher made the tree whole
    return node;
}

static enum sc_rc write_packed(struct sc_lay *lay, int dirfd, const char *name,
                               const struct sc_digest *digest, bool exec, struct sc_error *err)
{
    struct sc_slice bytes;
    enum sc_rc rc = sc_pack_reader_get(lay->packs, digest, &bytes, err);
    if (rc != SC_OK)
        return rc;
    SC_AUTO_CLOSE int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return sc_error_errno(err, errno, "create %s", name);
    rc = sc_fd_write_all(fd, bytes, err);
    struct stat st;
    if (rc == SC_OK &&
        (fchmod(fd, lay->file_mode | (exec ? (lay->file_mode & 0444) >> 2 : 0)) || fstat(fd, &st)))
        rc = sc_error_errno(err, errno, "set the mode of %s", name);
    if (rc == SC_OK)
        sc_object_remember(lay->objects, digest, &st);
    return rc;
}

static enum sc_rc lay_packed(struct sc_lay *lay, int dirfd, const char *name, const struct sc_digest *digest,
                             bool exec, struct sc_error *err)
{
    struct sc_error own = SC_ERROR_INIT;
    enum sc_rc rc = write_packed(lay, dirfd, name, digest, exec, &own);
    note_failure(lay, rc, digest, &own);
    return rc == SC_OK ? SC_OK : sc_lay_wait(lay, err);
}

static enum sc_rc lay_files(struct sc_lay *lay, const struct sc_digest_map *nodes,
                            const struct sc_tree_node *node, int dirfd, struct sc_error *err)
{
    for (uint32_t i = 0; i < node->entries.count; i++) {
        const struct sc_tree_entry *e = &node->entries.items[i];
        if (e->kind == SC_ENTRY_LINK)
            continue;
        char name[256];
        SC_ASSERT(e->name.len < sizeof name);
        memcpy(name, e->name.ptr, e->name.len);
        name[e->name.len] = 0;
        enum sc_rc rc;
        if (e->kind == SC_ENTRY_DIR) {
            SC_AUTO_CLOSE int fd = -1;
            rc = mkdirat(dirfd, name, 0700) ? sc_error_errno(err, errno, "make folder %s", name)
                                            : open_folder(dirfd, name, &fd, err);
            if (rc == SC_OK)
                rc = lay_files(lay, nodes, node_of(nodes, &e->digest), fd, err);
        } else {
            bool packed = lay->packs && e->bytes <= SC_PACK_FILE_BYTES, exec = e->kind == SC_ENTRY_EXEC;
            rc = packed ? lay_packed(lay, dirfd, name, &e->digest, exec, err)
                        : sc_lay_file(lay, dirfd, name, &e->digest, exec, err);
        }
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

static enum sc_rc lay_links(struct sc_lay *lay, const struct sc_digest_map *nodes,
                            const struct sc_tree_node *node, int dirfd, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    for (uint32_t i = 0; i < node->entries.count; i++) {
        const struct sc_tree_entry *e = &node->entries.items[i];
        if (e->kind != SC_ENTRY_LINK && e->kind != SC_ENTRY_DIR)
            continue;
        const char *name = sc_arena_cstr(&arena, e->name);
        if (e->kind == SC_ENTRY_LINK) {
            if (symlinkat(sc_arena_cstr(&arena, e->target), dirfd, name))
                return sc_error_errno(err, errno, "make link %s", name);
            continue;
        }
        SC_AUTO_CLOSE int fd = -1;
        enum sc_rc rc = open_folder(dirfd, name, &fd, err);
        if (rc == SC_OK)
            rc = lay_links(lay, nodes, node_of(nodes, &e->digest), fd, err);
        if (rc == SC_OK && fchmod(fd, lay->dir_mode))
            rc = sc_error_errno(err, errno, "set the mode of folder %s", name);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

enum sc_rc sc_lay_tree(struct sc_lay *lay, const struct sc_tree *tree, int dirfd, struct sc_error *err)
{
    struct sc_digest_map nodes = {0};
    for (uint32_t i = 0; i < tree->nodes.count; i++)
        sc_digest_map_put(&nodes, &tree->nodes.items[i].digest, &tree->nodes.items[i]);
    if (tree->packs.count)
        lay->packs = sc_pack_reader_new(lay->objects, tree->packs.items, tree->packs.count);
    enum sc_rc rc = lay_files(lay, &nodes, &tree->nodes.items[0], dirfd, err);
    enum sc_rc ended = sc_lay_wait(lay, rc == SC_OK ? err : NULL);
    if (rc == SC_OK)
        rc = ended;
    sc_pack_reader_free(SC_STEAL(lay->packs));
    if (rc == SC_OK)
        rc = lay_links(lay, &nodes, &tree->nodes.items[0], dirfd, err);
    sc_digest_map_done(&nodes);
    return rc;
}
