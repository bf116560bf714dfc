// What the tests of store/ share: small files, golden bytes, child processes.
#pragma once

#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include "base/digest.h"
#include "base/os/file.h"
#include "store/store.h"
#include "tests/lib/store_place.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNUSED_OK __attribute__((unused))

// "<folder>/<name>" of the test's scratch folder; freed with it by SC_AUTO_FREE.
#define PATH(var, name) SC_AUTO_FREE char *var = sc_scratch_path(*state, name)

static UNUSED_OK void write_bytes(const char *path, const void *bytes, size_t len)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_ok(sc_fd_write_all(fd, sc_slice(bytes, len), &err), err);
}

static UNUSED_OK void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

static UNUSED_OK void write_below(const char *folder, const char *name, const char *text)
{
    SC_AUTO_FREE char *path = sc_scratch_path(folder, name);
    write_text(path, text);
}

static UNUSED_OK void make_dir(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static UNUSED_OK void assert_file(const char *path, const char *text)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&bytes, 0);
    assert_ok(sc_file_read(path, 1 << 20, &bytes, &err), err);
    assert_slice(sc_buf_slice(&bytes), text);
}

static UNUSED_OK mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

// Changes one byte in place, whatever the file's mode: what a bad disk does. Keeps size and mtime when `quiet`.
static UNUSED_OK void flip_byte(const char *path, off_t at, bool quiet)
{
    struct stat st;
    uint8_t byte;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(chmod(path, 0644), 0);
    SC_AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    if (quiet)
        assert_int_equal(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
    assert_int_equal(fchmod(fd, st.st_mode & 07777), 0);
}

// Shortens a file, whatever its mode: what a crash before the sync leaves.
static UNUSED_OK void cut_to(const char *path, off_t bytes)
{
    mode_t mode = mode_of(path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(truncate(path, bytes), 0);
    assert_int_equal(chmod(path, mode), 0);
}

// ---- objects of a store, wherever it lies

static UNUSED_OK enum sc_rc object_op(struct sc_store *store, enum sc_store_kind kind, const char *name)
{
    struct sc_store_op op;
    sc_store_op_init(&op, kind, sc_slice_str(name));
    op.max_bytes = 1 << 20;
    enum sc_rc rc = sc_store_wait(store, &op);
    sc_store_op_done(&op);
    return rc;
}

static UNUSED_OK enum sc_rc store_put(struct sc_store *store, const char *name, struct sc_slice body,
                                      bool if_absent)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str(name));
    op.body = body;
    op.if_absent = if_absent;
    enum sc_rc rc = sc_store_wait(store, &op);
    sc_store_op_done(&op);
    return rc;
}

static UNUSED_OK enum sc_rc store_put_file(struct sc_store *store, const char *name, const char *path,
                                           bool move, struct sc_error *ret_err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str(name));
    op.body_path = path;
    op.move_body = move;
    enum sc_rc rc = sc_store_wait(store, &op);
    if (ret_err)
        *ret_err = op.err;
    sc_store_op_done(&op);
    return rc;
}

static UNUSED_OK void assert_object(struct sc_store *store, const char *name, const char *text)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str(name));
    op.max_bytes = 1 << 20;
    assert_rc(sc_store_wait(store, &op), SC_OK);
    assert_slice(sc_buf_slice(&op.data), text);
    assert_int_equal(op.bytes, strlen(text));
    sc_store_op_done(&op);
}

// What stands under the name is changed: in place where that is a file, as a bad disk would, else by another object.
static UNUSED_OK void change_object(struct sc_store *store, const char *name,
                                    void (*change)(struct sc_buf *, size_t), size_t at)
{
    struct sc_store_op get, put;
    sc_store_op_init(&get, SC_STORE_GET, sc_slice_str(name));
    sc_store_op_init(&put, SC_STORE_PUT, sc_slice_str(name));
    get.max_bytes = 64 << 20;
    assert_ok(sc_store_wait(store, &get), get.err);
    change(&get.data, at);
    put.body = sc_buf_slice(&get.data);
    assert_ok(sc_store_wait(store, &put), put.err);
    sc_store_op_done(&get);
    sc_store_op_done(&put);
}

static UNUSED_OK void flip_in(struct sc_buf *bytes, size_t at)
{
    bytes->ptr[at] ^= 1;
}

static UNUSED_OK void cut_in(struct sc_buf *bytes, size_t at)
{
    bytes->len = at;
}

static UNUSED_OK void flip_object(struct sc_store *store, const char *name, size_t at, bool quiet)
{
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    if (sc_store_local_path(store, sc_slice_str(name), &path))
        flip_byte(sc_buf_cstr(&path), (off_t)at, quiet);
    else
        change_object(store, name, flip_in, at);
}

static UNUSED_OK void cut_object(struct sc_store *store, const char *name, size_t bytes)
{
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    if (sc_store_local_path(store, sc_slice_str(name), &path))
        cut_to(sc_buf_cstr(&path), (off_t)bytes);
    else
        change_object(store, name, cut_in, bytes);
}

// At the top of a test of what only a folder has.
#define DIR_ONLY()                                                                                           \
    do {                                                                                                     \
        if (sc_store_place_is_s3())                                                                          \
            skip();                                                                                          \
    } while (0)

// And of what only a store elsewhere has.
#define S3_ONLY()                                                                                            \
    do {                                                                                                     \
        if (!sc_store_place_is_s3())                                                                         \
            skip();                                                                                          \
    } while (0)

// Mounts a small tmpfs at "<folder>/<name>". False: we may not; the test skips before it holds anything.
static UNUSED_OK bool mount_small(const char *folder, const char *name, const char *options)
{
    SC_AUTO_FREE char *path = sc_scratch_path(folder, name);
    (void)mkdir(path, 0755);
    if (mount("tmpfs", path, "tmpfs", 0, options) == 0)
        return true;
    print_message("skipped: mounting a small tmpfs needs root\n");
    return false;
}

static UNUSED_OK void digest_of_text(const char *text, struct sc_digest *ret_digest)
{
    *ret_digest = sc_digest_of(sc_slice_str(text));
}

static UNUSED_OK void assert_hex(const struct sc_digest *digest, const char *hex)
{
    char found[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, found);
    assert_string_equal(found, hex);
}

// Runs `child` in a process of its own; it ends by returning an exit code.
static UNUSED_OK pid_t start_child(int (*child)(void *context), void *context)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child(context));
    return pid;
}

static UNUSED_OK int wait_child(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

// Compares with tests/golden/<name>, hex in lines of 32 bytes. STEPCACHE_WRITE_GOLDEN=1 writes the file instead.
static UNUSED_OK void assert_golden(const char *name, struct sc_slice bytes)
{
    const char *source = getenv("STEPCACHE_SOURCE");
    SC_AUTO_FREE char *path = sc_asprintf("%s/tests/golden/%s", source ? source : ".", name);
    SC_AUTO_BUF struct sc_buf hex, kept;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&hex, 0);
    sc_buf_init(&kept, 0);
    for (size_t i = 0; i < bytes.len; i++)
        sc_buf_printf(&hex, "%02x%s", bytes.ptr[i], i % 32 == 31 || i + 1 == bytes.len ? "\n" : "");
    if (getenv("STEPCACHE_WRITE_GOLDEN")) {
        write_bytes(path, hex.ptr, hex.len);
        return;
    }
    assert_ok(sc_file_read(path, 1 << 20, &kept, &err), err);
    assert_string_equal(sc_buf_cstr(&hex), sc_buf_cstr(&kept));
}
