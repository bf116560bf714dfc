#include "tests/unit/store_test.h"

#include "store/scratch.h"
#include "store/store.h"

#include <pthread.h>

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

static enum sc_rc put(struct sc_store *store, const char *name, struct sc_slice body, bool if_absent)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str(name));
    op.body = body;
    op.if_absent = if_absent;
    enum sc_rc rc = sc_store_wait(store, &op);
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc put_path(struct sc_store *store, const char *name, const char *path, bool move,
                           struct sc_error *ret_err)
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

static enum sc_rc simple(struct sc_store *store, enum sc_store_kind kind, const char *name)
{
    struct sc_store_op op;
    sc_store_op_init(&op, kind, sc_slice_str(name));
    op.max_bytes = 1 << 20;
    enum sc_rc rc = sc_store_wait(store, &op);
    sc_store_op_done(&op);
    return rc;
}

static void assert_object(struct sc_store *store, const char *name, const char *text)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str(name));
    op.max_bytes = 1 << 20;
    assert_rc(sc_store_wait(store, &op), SC_OK);
    assert_slice(sc_buf_slice(&op.data), text);
    assert_int_equal(op.bytes, strlen(text));
    sc_store_op_done(&op);
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

static void test_store_put_then_get_head_remove(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    assert_rc(put(w->store, "v1/main/cas/ab/abcd", sc_slice_str("hello"), false), SC_OK);
    assert_object(w->store, "v1/main/cas/ab/abcd", "hello");
    sc_store_op_init(&op, SC_STORE_HEAD, sc_slice_str("v1/main/cas/ab/abcd"));
    assert_rc(sc_store_wait(w->store, &op), SC_OK);
    assert_int_equal(op.bytes, 5);
    assert_true(op.mtime_ms > 1500000000000);
    sc_store_op_done(&op);
    assert_rc(put(w->store, "v1/main/cas/ab/abcd", sc_slice_str("bye"), false), SC_OK);
    assert_object(w->store, "v1/main/cas/ab/abcd", "bye");
    assert_rc(simple(w->store, SC_STORE_REMOVE, "v1/main/cas/ab/abcd"), SC_OK);
    assert_rc(simple(w->store, SC_STORE_REMOVE, "v1/main/cas/ab/abcd"), SC_OK);
    assert_rc(simple(w->store, SC_STORE_GET, "v1/main/cas/ab/abcd"), SC_NOT_FOUND);
    assert_rc(simple(w->store, SC_STORE_HEAD, "v1/main/cas/ab/abcd"), SC_NOT_FOUND);
    assert_rc(simple(w->store, SC_STORE_HEAD, "v1/main/cas"), SC_NOT_FOUND); // a folder is no object
    assert_rc(simple(w->store, SC_STORE_SYNC, ""), SC_OK);
    struct sc_store_counts counts = sc_store_counts(w->store);
    assert_int_equal(counts.puts, 2);
    assert_int_equal(counts.syncs, 1);
    assert_int_equal(counts.bytes_in, 8);
}

static void test_store_put_if_absent_keeps_the_first(void **state)
{
    struct world *w = *state;
    assert_rc(put(w->store, "v1/main/key/a", sc_slice_str("first"), true), SC_OK);
    assert_rc(put(w->store, "v1/main/key/a", sc_slice_str("second"), true), SC_EXISTS);
    assert_object(w->store, "v1/main/key/a", "first");
    assert_int_equal(count_unfinished(w), 0);
}

static void test_store_objects_are_read_only_whatever_the_umask(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    mode_t old = umask(0077);
    assert_rc(put(w->store, "plain", sc_slice_str("1"), false), SC_OK);
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

static void test_store_get_larger_than_asked_is_a_limit(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    assert_rc(put(w->store, "x", sc_slice_str("12345"), false), SC_OK);
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str("x"));
    op.max_bytes = 4;
    assert_rc(sc_store_wait(w->store, &op), SC_LIMIT);
    assert_int_equal(op.data.len, 0);
    sc_store_op_done(&op);
}

static void test_store_names_that_leave_the_root_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const wrong[] = {"", "/etc/x", "a//b", "a/../b", "..", ".", "a/.", "a/"};
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        assert_rc(put(w->store, wrong[i], sc_slice_str("x"), false), SC_INVALID);
        assert_rc(simple(w->store, SC_STORE_GET, wrong[i]), SC_INVALID);
        assert_rc(simple(w->store, SC_STORE_REMOVE, wrong[i]), SC_INVALID);
    }
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_HEAD, sc_slice("a\0b", 3));
    assert_rc(sc_store_wait(w->store, &op), SC_INVALID);
    sc_store_op_done(&op);
    sc_store_op_init(&op, SC_STORE_LIST, sc_slice_str("../"));
    op.max_entries = 10;
    assert_rc(sc_store_wait(w->store, &op), SC_INVALID);
    sc_store_op_done(&op);
}

// ---- listing

static void assert_list(struct sc_store *store, const char *prefix, const char *after, uint32_t max,
                        const char *want)
{
    struct sc_store_op op;
    SC_AUTO_BUF struct sc_buf all;
    sc_buf_init(&all, 0);
    sc_store_op_init(&op, SC_STORE_LIST, sc_slice_str(prefix));
    op.after = sc_slice_str(after);
    op.max_entries = max;
    assert_rc(sc_store_wait(store, &op), SC_OK);
    for (uint32_t i = 0; i < op.entry_count; i++)
        sc_buf_printf(&all, SC_SLICE_FMT " ", SC_SLICE_ARG(op.entries[i].name));
    assert_string_equal(sc_buf_cstr(&all), want);
    sc_store_op_done(&op);
}

static void test_store_list_is_in_byte_order_across_folders(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"l/b", "l/a/x", "l/a-b", "l/a/y/z", "l/a0", "l/c/1", "other"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        assert_rc(put(w->store, names[i], sc_slice_str(""), false), SC_OK);
    assert_list(w->store, "l/", "", 100, "l/a-b l/a/x l/a/y/z l/a0 l/b l/c/1 ");
    assert_list(w->store, "l/a", "", 100, "l/a-b l/a/x l/a/y/z l/a0 ");
    assert_list(w->store, "l/a/", "", 100, "l/a/x l/a/y/z ");
    assert_list(w->store, "l/", "", 2, "l/a-b l/a/x ");
    assert_list(w->store, "l/", "l/a/x", 2, "l/a/y/z l/a0 ");
    assert_list(w->store, "l/", "l/a0", 100, "l/b l/c/1 ");
    assert_list(w->store, "l/", "l/a/", 100, "l/a/x l/a/y/z l/a0 l/b l/c/1 ");
    assert_list(w->store, "l/", "l/zz", 100, "");
    assert_list(w->store, "nothing/", "", 100, "");
    assert_list(w->store, "oth", "", 100, "other ");
}

// ---- asynchrony

struct chain {
    struct sc_store *store;
    int calls;
    struct sc_store_op second;
};

static void submit_another(struct sc_store_op *op)
{
    struct chain *chain = op->context;
    chain->calls++;
    sc_store_submit(chain->store, &chain->second);
}

static void count_call(struct sc_store_op *op)
{
    ++*(int *)op->context;
}

static void test_store_completes_in_dispatch_and_never_in_submit(void **state)
{
    struct world *w = *state;
    struct chain chain = {.store = w->store};
    struct sc_store_op first;
    int second_calls = 0;
    sc_store_op_init(&first, SC_STORE_PUT, sc_slice_str("x"));
    first.body = sc_slice_str("1");
    first.done = submit_another;
    first.context = &chain;
    sc_store_op_init(&chain.second, SC_STORE_HEAD, sc_slice_str("x"));
    chain.second.done = count_call;
    chain.second.context = &second_calls;
    sc_store_submit(w->store, &first);
    assert_int_equal(chain.calls, 0);
    SC_AUTO_FREE char *path = sc_scratch_path(w->root, "x");
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(sc_store_dispatch(w->store, 0), 1);
    assert_int_equal(chain.calls, 1);
    assert_int_equal(second_calls, 0);
    assert_int_equal(sc_store_dispatch(w->store, -1), 1);
    assert_int_equal(second_calls, 1);
    assert_int_equal(chain.second.bytes, 1);
    assert_int_equal(sc_store_dispatch(w->store, -1), 0);
    sc_store_op_done(&first);
    sc_store_op_done(&chain.second);
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
    assert_rc(put_path(w->store, "cas/a", file, true, NULL), SC_OK);
    assert_int_equal(stat(object, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_mode & 07777, 0444);
    assert_int_not_equal(access(file, F_OK), 0);
    write_text(file, "content");
    assert_int_equal(link(file, other), 0); // by its other name the object could be changed
    assert_int_equal(stat(file, &before), 0);
    assert_rc(put_path(w->store, "cas/a", file, true, NULL), SC_OK);
    assert_int_equal(stat(object, &after), 0);
    assert_int_not_equal(after.st_ino, before.st_ino);
    assert_file(other, "content");
    assert_object(w->store, "cas/a", "content");
}

static void test_store_copy_leaves_the_file_and_follows_no_link(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "file");
    SC_AUTO_FREE char *link = sc_scratch_path(w->scratch, "link");
    struct sc_error err = SC_ERROR_INIT;
    write_text(file, "content");
    assert_rc(put_path(w->store, "cas/a", file, false, NULL), SC_OK);
    assert_file(file, "content");
    assert_int_equal(mode_of(file), 0644);
    assert_int_equal(symlink("file", link), 0);
    assert_true(put_path(w->store, "cas/b", link, false, &err) != SC_OK);
    assert_contains(err.message, "link");
    assert_rc(put_path(w->store, "cas/b", "/dev/null", false, &err), SC_UNSUPPORTED);
    assert_int_equal(unlink(link), 0);
    assert_rc(put_path(w->store, "cas/b", link, false, &err), SC_NOT_FOUND);
    assert_contains(err.message, link);
    assert_int_equal(count_unfinished(w), 0);
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
    assert_rc(put_path(w->store, "cas/sparse", file, false, NULL), SC_OK);
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

static void test_store_of_an_unknown_format_is_refused_by_name(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *path = sc_scratch_path(w->root, "stepcache.json");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_store *again;
    assert_int_equal(unlink(path), 0);
    write_text(path, "{\"format\": \"stepcache.store/2\"}");
    assert_rc(sc_store_open(w->root, &again, &err), SC_UNSUPPORTED);
    assert_contains(err.message, "stepcache.store/2");
    write_text(path, "not json");
    assert_rc(sc_store_open(w->root, &again, &err), SC_MALFORMED);
    assert_contains(err.message, "stepcache.json");
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

// ---- two at once

struct racer {
    const char *root;
    pthread_barrier_t *barrier;
    int index;
    enum sc_rc rc;
};

static void *race(void *context)
{
    struct racer *racer = context;
    struct sc_store *store;
    struct sc_error err = SC_ERROR_INIT;
    char text[32];
    snprintf(text, sizeof text, "racer %d", racer->index);
    racer->rc = sc_store_open(racer->root, &store, &err);
    pthread_barrier_wait(racer->barrier);
    if (racer->rc != SC_OK)
        return NULL;
    racer->rc = put(store, "v1/main/key/aa/raced", sc_slice_str(text), true);
    sc_store_close(store);
    return NULL;
}

static void test_store_of_twenty_racing_threads_exactly_one_puts(void **state)
{
    struct world *w = *state;
    enum { RACERS = 20 };
    for (int round = 0; round < 20; round++) {
        struct racer racers[RACERS];
        pthread_t threads[RACERS];
        pthread_barrier_t barrier;
        int won = 0, winner = -1;
        assert_rc(simple(w->store, SC_STORE_REMOVE, "v1/main/key/aa/raced"), SC_OK);
        pthread_barrier_init(&barrier, NULL, RACERS);
        for (int i = 0; i < RACERS; i++) {
            racers[i] = (struct racer){w->root, &barrier, i, SC_OK};
            assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
        }
        for (int i = 0; i < RACERS; i++) {
            pthread_join(threads[i], NULL);
            won += racers[i].rc == SC_OK;
            winner = racers[i].rc == SC_OK ? i : winner;
            assert_true(racers[i].rc == SC_OK || racers[i].rc == SC_EXISTS);
        }
        pthread_barrier_destroy(&barrier);
        assert_int_equal(won, 1);
        char text[32];
        snprintf(text, sizeof text, "racer %d", winner);
        assert_object(w->store, "v1/main/key/aa/raced", text);
    }
}

static int open_and_put(void *context)
{
    const char *root = context;
    struct sc_store *store;
    struct sc_error err = SC_ERROR_INIT;
    if (sc_store_open(root, &store, &err) != SC_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    enum sc_rc rc = SC_OK;
    for (int i = 0; rc == SC_OK && i < 50; i++) {
        char name[64];
        snprintf(name, sizeof name, "v1/main/cas/%02x/%d", i, i);
        rc = put(store, name, sc_slice_str("same"), false);
        if (rc == SC_OK)
            rc = simple(store, SC_STORE_GET, name);
    }
    sc_store_close(store);
    return rc == SC_OK ? 0 : 2;
}

static void test_store_two_processes_use_and_make_the_same_folder_at_once(void **state)
{
    struct world *w = *state;
    for (int round = 0; round < 10; round++) {
        SC_AUTO_FREE char *root = sc_asprintf("%s/shared-%d", w->scratch, round);
        pid_t pids[4];
        for (int i = 0; i < 4; i++)
            pids[i] = start_child(open_and_put, root);
        for (int i = 0; i < 4; i++)
            assert_int_equal(wait_child(pids[i]), 0);
    }
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
    enum sc_rc body = put(full.store, "cas/body", sc_slice(large, BYTES), false);
    enum sc_rc copied = put_path(full.store, "cas/copied", file, false, &err);
    enum sc_rc moved = put_path(full.store, "cas/moved", file, true, NULL); // another file system: a copy
    bool kept = access(file, F_OK) == 0;
    enum sc_rc heads[3] = {simple(full.store, SC_STORE_HEAD, "cas/body"),
                           simple(full.store, SC_STORE_HEAD, "cas/copied"),
                           simple(full.store, SC_STORE_HEAD, "cas/moved")};
    int unfinished = count_unfinished(&full);
    enum sc_rc small = put(full.store, "cas/small", sc_slice_str("fits again"), false);
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_store_put_then_get_head_remove),
        T(test_store_put_if_absent_keeps_the_first),
        T(test_store_objects_are_read_only_whatever_the_umask),
        T(test_store_get_larger_than_asked_is_a_limit),
        T(test_store_names_that_leave_the_root_are_refused),
        T(test_store_list_is_in_byte_order_across_folders),
        T(test_store_completes_in_dispatch_and_never_in_submit),
        T(test_store_move_takes_the_file_itself_unless_it_has_other_names),
        T(test_store_copy_leaves_the_file_and_follows_no_link),
        T(test_store_sparse_file_of_4_gib_takes_next_to_nothing),
        T(test_store_open_makes_its_description_once),
        T(test_store_of_an_unknown_format_is_refused_by_name),
        cmocka_unit_test(test_store_urls_that_are_none_are_refused_by_name),
        T(test_store_open_removes_what_the_dead_left_and_nothing_of_the_living),
        T(test_store_of_twenty_racing_threads_exactly_one_puts),
        T(test_store_two_processes_use_and_make_the_same_folder_at_once),
        T(test_store_full_disk_is_full_and_leaves_no_half_object),
    };
    return cmocka_run_group_tests_name("store_dir", tests, NULL, NULL);
}
