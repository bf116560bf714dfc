#include "tests/unit/store_test.h"

#include "store/scratch.h"

struct world {
    struct sc_store *store;
    char *scratch, *root;
};

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    struct sc_error err = SC_ERROR_INIT;
    w->scratch = sc_scratch_new();
    w->root = sc_scratch_path(w->scratch, "a/b/store");
    *state = w;
    SC_AUTO_FREE char *url = sc_asprintf("dir:%s", w->root);
    return sc_store_open(url, &w->store, &err) == SC_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sc_store_close(w->store);
    sc_scratch_remove(w->scratch);
    free(w->root);
    free(w);
    return 0;
}

// How many files lie below the store's folder of unfinished writes.
static int count_unfinished(const struct world *w)
{
    SC_AUTO_FREE char *command = sc_asprintf("find '%s/tmp' -type f | wc -l", w->root);
    FILE *pipe = popen(command, "r");
    char line[32] = "";
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    return (int)strtol(line, NULL, 10);
}

static void test_store_puts_that_lose_or_fail_leave_nothing_half_way(void **state)
{
    struct world *w = *state;
    assert_rc(store_put(w->store, "a", sc_slice_str("first"), true), SC_OK);
    assert_rc(store_put(w->store, "a", sc_slice_str("second"), true), SC_EXISTS);
    assert_rc(store_put_file(w->store, "b", "/dev/null", false, NULL), SC_UNSUPPORTED);
    assert_int_equal(count_unfinished(w), 0);
}

static void test_store_objects_are_read_only_whatever_the_umask(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    mode_t old = umask(0077);
    assert_rc(store_put(w->store, "plain", sc_slice_str("1"), false), SC_OK);
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str("run"));
    op.body = sc_slice_str("2");
    op.exec = true;
    assert_rc(sc_store_wait(w->store, &op), SC_OK);
    sc_store_op_done(&op);
    umask(old);
    SC_AUTO_FREE char *plain = sc_scratch_path(w->root, "plain");
    SC_AUTO_FREE char *run = sc_scratch_path(w->root, "run");
    assert_int_equal(mode_of(plain), 0444);
    assert_int_equal(mode_of(run), 0555);
}

// ---- files

static void test_store_move_takes_the_file_itself_unless_it_has_other_names(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "file");
    SC_AUTO_FREE char *other = sc_scratch_path(w->scratch, "other");
    SC_AUTO_FREE char *object = sc_scratch_path(w->root, "cas/a");
    struct stat before, after;
    write_text(file, "content");
    assert_int_equal(stat(file, &before), 0);
    assert_rc(store_put_file(w->store, "cas/a", file, true, NULL), SC_OK);
    assert_int_equal(stat(object, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_mode & 07777, 0444);
    assert_int_not_equal(access(file, F_OK), 0);
    write_text(file, "content");
    assert_int_equal(link(file, other), 0); // by its other name the object could be changed
    assert_int_equal(stat(file, &before), 0);
    assert_rc(store_put_file(w->store, "cas/a", file, true, NULL), SC_OK);
    assert_int_equal(stat(object, &after), 0);
    assert_int_not_equal(after.st_ino, before.st_ino);
    assert_file(other, "content");
    assert_object(w->store, "cas/a", "content");
}

static void test_store_sparse_file_of_4_gib_takes_next_to_nothing(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "sparse");
    SC_AUTO_FREE char *object = sc_scratch_path(w->root, "cas/sparse");
    SC_AUTO_FREE char *out = sc_scratch_path(w->scratch, "out");
    static const off_t size = (off_t)4 << 30;
    struct stat st;
    struct sc_store_op op;
    SC_AUTO_CLOSE int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    if (ftruncate(fd, size))
        skip(); // this file system has no files of that size
    assert_int_equal(pwrite(fd, "middle", 6, size / 2), 6);
    assert_rc(store_put_file(w->store, "cas/sparse", file, false, NULL), SC_OK);
    assert_int_equal(stat(object, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true(st.st_blocks * 512 < 1 << 20);
    SC_AUTO_CLOSE int to = open(out, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str("cas/sparse"));
    op.to_fd = to;
    assert_rc(sc_store_wait(w->store, &op), SC_OK);
    sc_store_op_done(&op);
    char text[7] = "";
    assert_int_equal(fstat(to, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true(st.st_blocks * 512 < 1 << 20);
    assert_int_equal(pread(to, text, 6, size / 2), 6);
    assert_string_equal(text, "middle");
}

// ---- opening

static void test_store_open_makes_its_description_once(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_store *again;
    SC_AUTO_FREE char *path = sc_scratch_path(w->root, "stepcache.json");
    SC_AUTO_BUF struct sc_buf before;
    sc_buf_init(&before, 0);
    assert_ok(sc_file_read(path, 10000, &before, &err), err);
    assert_contains(sc_buf_cstr(&before), "\"stepcache.store/1\"");
    assert_contains(sc_buf_cstr(&before), "\"created\"");
    assert_ok(sc_store_open(w->root, &again, &err), err);
    assert_file(path, sc_buf_cstr(&before));
    assert_string_equal(sc_store_local_root(again), sc_store_local_root(w->store));
    assert_string_equal(sc_store_url(again), w->root);
    sc_store_close(again);
}

static void test_store_horizon_is_fixed_when_the_store_is_made(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_store *store;
    assert_int_equal(sc_store_horizon_ms(w->store), SC_STORE_HORIZON_MS);
    SC_AUTO_FREE char *path = sc_scratch_path(w->scratch, "other");
    assert_ok(sc_store_open_with(path, 90000, &store, &err), err);
    sc_store_close(store);
    assert_ok(sc_store_open(path, &store, &err), err);
    assert_int_equal(sc_store_horizon_ms(store), 90000);
    sc_store_close(store);
    assert_rc(sc_store_open_with(path, 80000, &store, &err), SC_INVALID);
    assert_contains(err.message, "its collection horizon is 90 s and cannot be changed");
    SC_AUTO_FREE char *format = sc_asprintf("%s/stepcache.json", path);
    assert_int_equal(chmod(format, 0644), 0);
    static const char *const wrong[] = {"999", "0", "-5", "\"P1D\"", "9000000000000000"};
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        SC_AUTO_FREE char *text =
            sc_asprintf("{\"format\": \"stepcache.store/1\", \"horizon_ms\": %s}", wrong[i]);
        write_text(format, text);
        assert_rc(sc_store_open(path, &store, &err), SC_MALFORMED);
        assert_contains(err.message, "horizon_ms of its stepcache.json");
    }
    write_text(format, "{\"format\": \"stepcache.store/1\"}"); // as it was made before there was one
    assert_ok(sc_store_open(path, &store, &err), err);
    assert_int_equal(sc_store_horizon_ms(store), SC_STORE_HORIZON_MS);
    sc_store_close(store);
}

static enum sc_rc remove_before(struct sc_store *store, const char *name, int64_t before_ms)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_REMOVE, sc_slice_str(name));
    op.before_ms = before_ms;
    enum sc_rc rc = sc_store_wait(store, &op);
    sc_store_op_done(&op);
    return rc;
}

static void test_store_what_was_put_or_touched_since_is_not_removed(void **state)
{
    struct world *w = *state;
    assert_rc(store_put(w->store, "v1/a", sc_slice_str("text"), false), SC_OK);
    SC_AUTO_FREE char *path = sc_scratch_path(w->root, "v1/a");
    struct timespec then = {.tv_sec = 1000};
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){then, then}, 0), 0);
    assert_rc(remove_before(w->store, "v1/a", 1000000), SC_BUSY);
    assert_object(w->store, "v1/a", "text");
    assert_rc(remove_before(w->store, "v1/a", 1000001), SC_OK);
    assert_rc(object_op(w->store, SC_STORE_HEAD, "v1/a"), SC_NOT_FOUND);
    assert_rc(remove_before(w->store, "v1/a", 1000001), SC_OK);
    assert_int_equal(count_unfinished(w), 0);
}

static void test_store_urls_that_are_none_are_refused_by_name(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_store *store;
    assert_rc(sc_store_open("s3://bucket/prefix?colour=red", &store, &err), SC_INVALID);
    assert_contains(err.message, "colour");
    assert_rc(sc_store_open("relative/path", &store, &err), SC_INVALID);
    assert_rc(sc_store_open("dir:relative", &store, &err), SC_INVALID);
    assert_rc(sc_store_open("", &store, &err), SC_INVALID);
    assert_rc(sc_store_open("/dev/null/x", &store, &err), SC_IO);
}

static int write_and_die(void *context)
{
    // Leaves an unfinished file, as a process does that is killed while it writes.
    const char *root = context;
    SC_AUTO_FREE char *parent = sc_scratch_path(root, "tmp");
    struct sc_scratch scratch;
    struct sc_error err = SC_ERROR_INIT;
    if (sc_scratch_open(parent, &scratch, &err) != SC_OK)
        return 1;
    SC_AUTO_CLOSE int fd = openat(scratch.fd, "half", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return write(fd, "half", 4) == 4 ? 0 : 1;
}

static void test_store_open_removes_what_the_dead_left_and_nothing_of_the_living(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *parent = sc_scratch_path(w->root, "tmp");
    struct sc_scratch living;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_store *again;
    assert_ok(sc_scratch_open(parent, &living, &err), err);
    SC_AUTO_CLOSE int fd = openat(living.fd, "being-written", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(wait_child(start_child(write_and_die, w->root)), 0);
    assert_int_equal(count_unfinished(w), 2);
    assert_ok(sc_store_open(w->root, &again, &err), err);
    assert_int_equal(count_unfinished(w), 1);
    assert_int_equal(faccessat(living.fd, "being-written", F_OK, 0), 0);
    sc_store_close(again);
    sc_scratch_close(&living);
    assert_int_equal(count_unfinished(w), 0);
}

// ---- a full disk

static void test_store_full_disk_is_full_and_leaves_no_half_object(void **state)
{
    struct world *w = *state;
    if (!mount_small(w->scratch, "disk", "size=1m"))
        skip();
    SC_AUTO_FREE char *disk = sc_scratch_path(w->scratch, "disk");
    struct world full = {.root = sc_scratch_path(disk, "store")};
    struct sc_error err = SC_ERROR_INIT;
    enum { BYTES = 3 << 20 };
    SC_AUTO_FREE char *large = sc_calloc(BYTES, 1);
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "large");
    memset(large, 'l', BYTES);
    write_bytes(file, large, BYTES);
    enum sc_rc opened = sc_store_open(full.root, &full.store, &err);
    enum sc_rc body = store_put(full.store, "cas/body", sc_slice(large, BYTES), false);
    enum sc_rc copied = store_put_file(full.store, "cas/copied", file, false, &err);
    enum sc_rc moved =
        store_put_file(full.store, "cas/moved", file, true, NULL); // another file system: a copy
    bool kept = access(file, F_OK) == 0;
    enum sc_rc heads[3] = {object_op(full.store, SC_STORE_HEAD, "cas/body"),
                           object_op(full.store, SC_STORE_HEAD, "cas/copied"),
                           object_op(full.store, SC_STORE_HEAD, "cas/moved")};
    int unfinished = count_unfinished(&full);
    enum sc_rc small = store_put(full.store, "cas/small", sc_slice_str("fits again"), false);
    sc_store_close(full.store);
    free(full.root);
    assert_int_equal(umount2(disk, MNT_DETACH), 0);
    assert_rc(opened, SC_OK);
    assert_rc(body, SC_FULL);
    assert_rc(copied, SC_FULL);
    assert_contains(err.message, "large");
    assert_rc(moved, SC_FULL);
    assert_true(kept);
    for (int i = 0; i < 3; i++)
        assert_rc(heads[i], SC_NOT_FOUND);
    assert_int_equal(unfinished, 0);
    assert_rc(small, SC_OK);
}

// ---- what stands in an object's place and is none

static void make_fifo(const char *path)
{
    assert_int_equal(mkfifo(path, 0666), 0);
}

static void make_socket(const char *path)
{
    assert_int_equal(mknod(path, S_IFSOCK | 0666, 0), 0);
}

static void make_link(const char *path)
{
    assert_int_equal(symlink("good", path), 0);
}

static void make_full_folder(const char *path)
{
    make_dir(path);
    write_below(path, "somebodys", "work");
}

static enum sc_rc put_error(struct world *w, const char *name, bool if_absent, struct sc_error *ret_err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str(name));
    op.body = sc_slice_str("new");
    op.if_absent = if_absent;
    enum sc_rc rc = sc_store_wait(w->store, &op);
    *ret_err = op.err;
    sc_store_op_done(&op);
    return rc;
}

static void test_store_what_is_no_file_is_corrupt_by_name_and_stays(void **state)
{
    static const struct {
        void (*make)(const char *path);
        const char *kind;
        bool removable;
    } cases[] = {{make_fifo, "is a FIFO", true},
                 {make_socket, "is a socket", true},
                 {make_link, "is a link", true},
                 {make_full_folder, "is a folder", false}};
    struct world *w = *state;
    assert_rc(store_put(w->store, "k/good", sc_slice_str("good"), false), SC_OK);
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_FREE char *path = sc_scratch_path(w->root, "k/x");
        struct sc_store_op op;
        struct sc_error err;
        struct stat before, after;
        cases[i].make(path);
        assert_int_equal(lstat(path, &before), 0);
        sc_store_op_init(&op, SC_STORE_GET, sc_slice_str("k/x"));
        op.max_bytes = 100;
        assert_rc(sc_store_wait(w->store, &op), SC_CORRUPT);
        assert_contains(op.err.message, path);
        assert_contains(op.err.message, cases[i].kind);
        sc_store_op_done(&op);
        assert_rc(object_op(w->store, SC_STORE_HEAD, "k/x"), SC_CORRUPT);
        for (int if_absent = 0; if_absent < 2; if_absent++) {
            assert_rc(put_error(w, "k/x", if_absent, &err), SC_CORRUPT);
            assert_contains(err.message, path);
            assert_contains(err.message, cases[i].kind);
            assert_contains(err.message, "remove it");
        }
        assert_int_equal(lstat(path, &after), 0);
        assert_true(before.st_ino == after.st_ino && before.st_mode == after.st_mode);
        assert_object(w->store, "k/good", "good"); // where the link leads
        assert_rc(object_op(w->store, SC_STORE_REMOVE, "k/x"), cases[i].removable ? SC_OK : SC_CORRUPT);
        assert_int_equal(count_unfinished(w), 0);
    }
    SC_AUTO_FREE char *kept = sc_scratch_path(w->root, "k/x/somebodys");
    assert_file(kept, "work");
}

static void test_store_empty_folder_gives_way_to_a_put(void **state)
{
    struct world *w = *state;
    struct sc_error err;
    assert_rc(store_put(w->store, "k/good", sc_slice_str("good"), false), SC_OK);
    for (int if_absent = 0; if_absent < 2; if_absent++) {
        SC_AUTO_FREE char *path = sc_scratch_path(w->root, "k/x");
        make_dir(path);
        assert_rc(object_op(w->store, SC_STORE_GET, "k/x"), SC_CORRUPT);
        assert_rc(put_error(w, "k/x", if_absent, &err), SC_OK);
        assert_object(w->store, "k/x", "new");
        assert_rc(object_op(w->store, SC_STORE_REMOVE, "k/x"), SC_OK);
        make_dir(path);
        assert_rc(object_op(w->store, SC_STORE_REMOVE, "k/x"), SC_OK);
        assert_rc(object_op(w->store, SC_STORE_GET, "k/x"), SC_NOT_FOUND);
    }
}

static void test_store_that_was_removed_is_gone_and_holds_no_absent_names(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(store_put(w->store, "k/x", sc_slice_str("1"), false), SC_OK);
    assert_ok(sc_dir_remove(w->root, &err), err);
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str("k/x"));
    assert_rc(sc_store_wait(w->store, &op), SC_CLOSED);
    assert_contains(op.err.message, w->root);
    sc_store_op_done(&op);
    assert_rc(object_op(w->store, SC_STORE_HEAD, "k/x"), SC_CLOSED);
    assert_rc(object_op(w->store, SC_STORE_LIST, "k/"), SC_CLOSED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_store_puts_that_lose_or_fail_leave_nothing_half_way),
        T(test_store_objects_are_read_only_whatever_the_umask),
        T(test_store_move_takes_the_file_itself_unless_it_has_other_names),
        T(test_store_sparse_file_of_4_gib_takes_next_to_nothing),
        T(test_store_open_makes_its_description_once),
        T(test_store_horizon_is_fixed_when_the_store_is_made),
        T(test_store_what_was_put_or_touched_since_is_not_removed),
        cmocka_unit_test(test_store_urls_that_are_none_are_refused_by_name),
        T(test_store_open_removes_what_the_dead_left_and_nothing_of_the_living),
        T(test_store_full_disk_is_full_and_leaves_no_half_object),
        T(test_store_what_is_no_file_is_corrupt_by_name_and_stays),
        T(test_store_empty_folder_gives_way_to_a_put),
        T(test_store_that_was_removed_is_gone_and_holds_no_absent_names),
    };
    return cmocka_run_group_tests_name("store_dir", tests, NULL, NULL);
}
