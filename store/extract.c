// Writing an artifact out for its user: own bytes, 0644 and 0755, whole or not at all.
#include "store/object_impl.h"

#include "base/memory.h"
#include "base/os/file.h"
#include "store/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static enum sc_rc create(int dirfd, const char *name, int *ret_fd, struct sc_error *err)
{
    *ret_fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*ret_fd < 0 && errno == EEXIST)
        return sc_error_set(err, SC_EXISTS, "%s exists already", name);
    return *ret_fd >= 0 ? SC_OK : sc_error_errno(err, errno, "create %s", name);
}

static enum sc_rc set_mode(int fd, bool exec, const char *name, struct sc_error *err)
{
    return fchmod(fd, exec ? 0755 : 0644) ? sc_error_errno(err, errno, "set the mode of %s", name) : SC_OK;
}

static enum sc_rc begin_file(struct sc_lay *lay, int dirfd, const char *name, struct sc_lay_file *file,
                             struct sc_error *err)
{
    (void)lay;
    enum sc_rc rc = create(dirfd, name, &file->fd, err);
    if (rc == SC_OK)
        file->own = sc_strdup(name);
    return rc;
}

// What is not whole goes with the folder.
static enum sc_rc end_file(struct sc_lay *lay, struct sc_lay_file *file, enum sc_rc rc, struct sc_error *err)
{
    (void)lay;
    SC_AUTO_FREE char *name = file->own;
    return rc == SC_OK ? set_mode(file->fd, file->exec, name, err) : rc;
}

static enum sc_rc extract_one(struct sc_objects *objects, const struct sc_artifact *artifact,
                              const char *dest, struct sc_error *err)
{
    SC_AUTO_CLOSE int fd = -1;
    struct sc_digest inline_digest = sc_digest_of(artifact->inline_bytes);
    if (artifact->has_inline && !sc_digest_eq(&inline_digest, &artifact->digest))
        return sc_object_wrong(err, SC_CORRUPT, &artifact->digest,
                               "is damaged: its inline bytes have another digest");
    enum sc_rc rc = create(AT_FDCWD, dest, &fd, err);
    if (rc != SC_OK)
        return rc;
    rc = artifact->has_inline ? sc_fd_write_all(fd, artifact->inline_bytes, err)
                              : sc_object_fetch(objects, &artifact->digest, fd, err);
    if (rc == SC_OK)
        rc = set_mode(fd, artifact->exec, dest, err);
    if (rc != SC_OK)
        unlink(dest);
    return rc;
}

static enum sc_rc extract_dir(struct sc_objects *objects, const struct sc_artifact *artifact,
                              const char *dest, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_tree tree;
    enum sc_rc rc = sc_objects_get_tree(objects, &artifact->digest, &arena, &tree, err);
    if (rc != SC_OK)
        return rc;
    if (mkdir(dest, 0700))
        return errno == EEXIST ? sc_error_set(err, SC_EXISTS, "%s exists already", dest)
                               : sc_error_errno(err, errno, "make folder %s", dest);
    SC_AUTO_CLOSE int fd = open(dest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "open folder %s", dest);
    struct sc_lay lay = {
        .objects = objects, .begin = begin_file, .end = end_file, .file_mode = 0644, .dir_mode = 0755};
    rc = sc_lay_tree(&lay, &tree, fd, err);
    if (rc == SC_OK && fchmod(fd, 0755))
        rc = sc_error_errno(err, errno, "set the mode of %s", dest);
    if (rc != SC_OK)
        (void)!sc_dir_remove(dest, NULL);
    return rc;
}

enum sc_rc sc_objects_extract(struct sc_objects *objects, const struct sc_artifact *artifact,
                              const char *dest, struct sc_error *err)
{
    enum sc_rc rc = SC_UNSUPPORTED;
    switch (artifact->kind) {
    case SC_ARTIFACT_FILE:
        rc = extract_one(objects, artifact, dest, err);
        break;
    case SC_ARTIFACT_DIR:
        rc = extract_dir(objects, artifact, dest, err);
        break;
    case SC_ARTIFACT_LIST:
        rc = sc_error_set(err, SC_UNSUPPORTED, "a list has no bytes of its own to write");
        break;
    }
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "write %s", dest);
}
