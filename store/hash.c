#include "store/hash.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/lease.h"
#include "store/reader.h"

#include <errno.h>
#include <fcntl.h>

static const struct sc_hash_options no_options;

static enum sc_rc open_root(const char *path, bool follow, int *ret_fd, struct sc_error *err)
{
    // O_NONBLOCK: a FIFO must not hold us. What is no file is refused after the open.
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    struct stat st;
    if (fd < 0 && errno == ELOOP && !follow)
        return sc_error_set(err, SC_UNSUPPORTED, "%s is a link, not a file", path);
    if (fd < 0 && errno == ENXIO && stat(path, &st) == 0) // a socket, or a device that is not there
        return sc_error_set(err, SC_UNSUPPORTED, "%s is %s, not a file", path,
                            sc_reader_kind_name(st.st_mode));
    if (fd < 0)
        return sc_error_errno(err, errno, "open %s", path);
    *ret_fd = fd;
    return SC_OK;
}

static enum sc_rc digest_file(int fd, const char *path, struct sc_memo *memo, const struct sc_volume *volume,
                              struct stat *ret_st, struct sc_digest *ret_digest, struct sc_error *err)
{
    int64_t taken_ns = memo ? sc_memo_moment(fd, volume) : SC_MEMO_NEVER;
    struct sc_reader reader;
    sc_reader_init(&reader);
    enum sc_rc rc = sc_reader_digest(&reader, fd, path, false, ret_st, ret_digest, err);
    sc_reader_done(&reader);
    if (rc == SC_OK && memo)
        sc_memo_remember(memo, volume, ret_st, taken_ns, ret_digest);
    return rc;
}

enum sc_rc sc_hash_file(const char *path, const struct sc_hash_options *options,
                        struct sc_artifact *ret_artifact, struct sc_error *err)
{
    if (!options)
        options = &no_options;
    SC_ASSERT(!options->memo || !options->ret_settled);
    SC_AUTO_CLOSE int fd = -1;
    enum sc_rc rc = open_root(path, options->follow_root, &fd, err);
    if (rc != SC_OK)
        return rc;
    struct stat st;
    struct sc_digest digest;
    if (fstat(fd, &st))
        return sc_error_errno(err, errno, "stat %s", path);
    if (options->max_bytes && S_ISREG(st.st_mode) && (uint64_t)st.st_size > options->max_bytes)
        return sc_error_set(err, SC_LIMIT, "%s: %llu bytes are more than %llu", path,
                            (unsigned long long)st.st_size, (unsigned long long)options->max_bytes);
    struct sc_memo *memo = options->memo;
    struct sc_volume volume = memo || options->ret_settled ? sc_volume_of(fd) : (struct sc_volume){0};
    bool settled = options->ret_settled && sc_lease_is_free(fd, &volume);
    if (!S_ISREG(st.st_mode) || !memo || !sc_memo_find(memo, &volume, &st, &digest))
        rc = digest_file(fd, path, memo, &volume, &st, &digest, err);
    if (rc != SC_OK)
        return rc;
    if (options->ret_settled)
        *options->ret_settled = settled;
    *ret_artifact = (struct sc_artifact){
        .kind = SC_ARTIFACT_FILE,
        .exec = (st.st_mode & S_IXUSR) != 0,
        .digest = digest,
        .ext = sc_artifact_ext(sc_slice_str(path)),
        .bytes = (uint64_t)st.st_size,
        .files = 1,
    };
    return SC_OK;
}

struct sc_artifact sc_hash_dir_artifact(const struct sc_tree *tree)
{
    SC_ASSERT(tree->nodes.count > 0);
    return (struct sc_artifact){
        .kind = SC_ARTIFACT_DIR,
        .digest = tree->nodes.items[0].digest,
        .bytes = tree->bytes,
        .files = tree->files,
    };
}
