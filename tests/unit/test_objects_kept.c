// What a collector may remove is put again.
#include "tests/unit/objects_test.h"

#include "base/os/clock.h"

#include <signal.h>

// A store of its own, whose horizon is so short that nothing is ever young in it.
static struct sc_store *open_short(struct world *w, char **ret_url)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_store *store;
    SC_AUTO_FREE char *folder = sc_scratch_path(w->scratch, "short");
    make_dir(folder);
    *ret_url = sc_store_place_new(folder);
    assert_ok(sc_store_open_with(*ret_url, 1000, &store, &err), err);
    assert_int_equal(sc_store_horizon_ms(store), 1000);
    return store;
}

static void test_objects_of_more_than_half_the_horizon_are_put_again(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest digest;
    char *url;
    struct sc_store *store = open_short(w, &url);
    struct sc_objects *objects;
    const struct sc_objects_config config = {.store = store, .domain = MAIN};
    assert_ok(sc_objects_new(&config, &objects, &err), err);
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "folder");
    make_dir(root);
    write_below(root, "a", "a small file");
    struct sc_hash_options options = {.threads = 1};
    struct sc_tree tree;
    assert_ok(sc_hash_dir(root, &options, &w->arena, &tree, &err), err);
    uint64_t puts[3];
    for (int i = 0; i < 3; i++) {
        uint64_t before = sc_store_counts(store).puts;
        assert_ok(sc_objects_put_bytes(objects, sc_slice_str("bytes"), false, &digest, &err), err);
        assert_ok(sc_objects_put_tree(objects, root, &tree, false, false, &err), err);
        puts[i] = sc_store_counts(store).puts - before;
    }
    // A folder's are touched instead: see below.
    assert_int_equal(puts[1], sc_store_place_is_s3() ? puts[0] : 0);
    assert_int_equal(puts[2], puts[1]);
    sc_objects_free(objects);
    sc_store_close(store);
    sc_store_place_remove(url);
}

static void set_age(const char *path, int64_t age_s)
{
    struct timespec then = {.tv_sec = sc_clock_wall_ms() / 1000 - age_s};
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){then, then}, 0), 0);
}

static int64_t age_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return sc_clock_wall_ms() / 1000 - st.st_mtime;
}

static void test_objects_of_a_folder_are_touched_when_a_writer_counts_on_old_ones(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    enum { DAY = 86400 };
    struct sc_digest digest = put_text(w, "wanted again", false);
    SC_AUTO_FREE char *name = object_name(&digest, false);
    SC_AUTO_FREE char *path = object_path(w, &digest);
    set_age(path, 3 * DAY); // of a horizon of seven days
    put_text(w, "wanted again", false);
    assert_true(age_of(path) >= 3 * DAY);
    set_age(path, 4 * DAY);
    put_text(w, "wanted again", false);
    assert_true(age_of(path) < DAY);
    set_age(path, 4 * DAY);
    flip_byte(path, 0, true); // what is touched is whole
    next_life(w);
    put_text(w, "wanted again", false);
    assert_object(w->store, name, "wanted again");
    assert_true(age_of(path) < DAY);
}

// A collector that never stops, in a process of its own.
static pid_t collect_for_ever(const struct world *w, const char *name)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct sc_store *store;
    struct sc_store_op op;
    if (sc_store_open(w->url, &store, NULL) != SC_OK)
        _exit(1);
    for (;;) {
        sc_store_op_init(&op, SC_STORE_REMOVE, sc_slice_str(name));
        op.before_ms = sc_clock_wall_ms() - 86400000;
        (void)sc_store_wait(store, &op);
        sc_store_op_done(&op);
    }
}

static void test_objects_that_a_writer_counts_on_are_there_whatever_a_collector_does(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    enum { ROUNDS = 4000, LOOKS = 100000 };
    struct sc_digest digest = put_text(w, "wanted again", false);
    SC_AUTO_FREE char *name = object_name(&digest, false);
    SC_AUTO_FREE char *path = object_path(w, &digest);
    pid_t collector = collect_for_ever(w, name);
    struct timespec old = {.tv_sec = 1000000000};
    int lost = 0;
    for (int i = 0; i < ROUNDS && !lost; i++) {
        (void)utimensat(AT_FDCWD, path, (struct timespec[]){old, old}, 0); // it may be gone already
        put_text(w, "wanted again", false);
        // It may be looked at by the collector just now, which puts it back.
        for (lost = 1; lost && lost < LOOKS;)
            lost = object_op(w->store, SC_STORE_HEAD, name) == SC_OK ? 0 : lost + 1;
    }
    assert_int_equal(kill(collector, SIGKILL), 0);
    assert_int_equal(waitpid(collector, NULL, 0), collector);
    assert_int_equal(lost, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv)
{
    if (!sc_store_place_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
        T(test_objects_of_more_than_half_the_horizon_are_put_again),
        T(test_objects_of_a_folder_are_touched_when_a_writer_counts_on_old_ones),
        T(test_objects_that_a_writer_counts_on_are_there_whatever_a_collector_does),
    };
    return cmocka_run_group_tests_name("objects_kept", tests, NULL, NULL);
}
