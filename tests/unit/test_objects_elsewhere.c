// A store elsewhere: many small files go in packs, and what was seen there is believed for a while.
#include "tests/unit/objects_test.h"

#include "base/os/clock.h"

enum { MANY = 2000, SMALL_BYTES = 6000 };

static void write_small(const char *root, uint32_t i, uint32_t version)
{
    char name[32], text[SMALL_BYTES + 1];
    snprintf(name, sizeof name, "f%05u", i);
    uint32_t draw = i * 2654435761u + version;
    for (size_t k = 0; k < SMALL_BYTES; k++) {
        draw = draw * 1664525u + 1013904223u;
        text[k] = (char)('!' + (draw >> 24) % 90);
    }
    text[i % 7 == 0 ? 0 : SMALL_BYTES] = 0; // some are empty
    write_below(root, name, text);
}

static struct sc_artifact put_many(struct world *w, const char *root, bool force)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_hash_options options = {.threads = 1};
    struct sc_tree tree;
    assert_ok(sc_hash_dir(root, &options, &w->arena, &tree, &err), err);
    assert_ok(sc_objects_put_tree(w->objects, root, &tree, false, force, &err), err);
    return sc_hash_dir_artifact(&tree);
}

static void test_objects_small_files_elsewhere_go_in_packs(void **state)
{
    struct world *w = *state;
    S3_ONLY();
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "many");
    SC_AUTO_FREE char *large = sc_scratch_path(root, "large");
    make_dir(root);
    for (uint32_t i = 0; i < MANY; i++)
        write_small(root, i, 0);
    SC_AUTO_CLOSE int fd = open(large, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 300000), 0);
    uint64_t before = put_count(w);
    struct sc_artifact first = put_many(w, root, false);
    uint64_t packs = put_count(w) - before - 2; // the tree, and the large file
    assert_in_range(packs, 2, 10);

    next_life(w);
    before = put_count(w);
    put_many(w, root, false);
    assert_int_equal(put_count(w), before);
    struct sc_store_counts counts = sc_store_counts(w->store);
    assert_in_range(counts.requests_get, 1, 4); // the tree was asked for, not its files

    write_small(root, MANY / 2, 1);
    struct sc_artifact second = put_many(w, root, false);
    assert_in_range(put_count(w) - before, 2, 3); // its pack, the next one perhaps, and the tree

    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    struct sc_digest lost = {{0}};
    assert_ok(sc_objects_local(w->objects, &first, &path, &lost, &err), err);
    assert_tree_at(sc_buf_cstr(&path), &first);
    sc_objects_unpin(w->objects, &first);
    assert_ok(sc_objects_local(w->objects, &second, &path, &lost, &err), err);
    assert_tree_at(sc_buf_cstr(&path), &second);
    sc_objects_unpin(w->objects, &second);
}

static void test_objects_what_was_seen_elsewhere_is_believed_for_a_while_only(void **state)
{
    struct world *w = *state;
    S3_ONLY();
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest digest = put_text(w, "there", false);
    SC_AUTO_FREE char *name = object_name(&digest, false);
    assert_rc(object_op(w->store, SC_STORE_REMOVE, name), SC_OK);
    put_text(w, "there", false);
    assert_rc(object_op(w->store, SC_STORE_HEAD, name), SC_NOT_FOUND); // it was believed
    struct sc_objects *forgetful;
    const struct sc_objects_config config = {.store = w->store, .domain = MAIN, .present_ms = 1};
    assert_ok(sc_objects_new(&config, &forgetful, &err), err);
    for (int i = 0; i < 2; i++) {
        assert_ok(sc_objects_put_bytes(forgetful, sc_slice_str("there"), false, &digest, &err), err);
        assert_rc(object_op(w->store, SC_STORE_HEAD, name), SC_OK);
        assert_rc(object_op(w->store, SC_STORE_REMOVE, name), SC_OK);
        for (int64_t from = sc_clock_mono_ms(); sc_clock_mono_ms() - from < 2;)
            ;
    }
    sc_objects_free(forgetful);
}

static void test_objects_damaged_pack_is_corrupt_and_a_forced_put_heals_it(void **state)
{
    struct world *w = *state;
    S3_ONLY();
    struct sc_error err = SC_ERROR_INIT;
    struct sc_tree tree;
    struct sc_artifact folder = put_folder(w, "input", &tree);
    SC_AUTO_FREE char *name = small_file_name(w, &folder, "raw");
    flip_object(w->store, name, 20, true);
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    struct sc_digest lost = {{0}};
    assert_rc(sc_objects_local(w->objects, &folder, &path, &lost, &err), SC_CORRUPT);
    assert_false(sc_digest_is_zero(&lost));
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "input");
    put_many(w, root, true);
    assert_ok(sc_objects_local(w->objects, &folder, &path, &lost, &err), err);
    assert_tree_at(sc_buf_cstr(&path), &folder);
    sc_objects_unpin(w->objects, &folder);
}

static void test_objects_file_that_changed_is_busy_and_never_packed(void **state)
{
    struct world *w = *state;
    S3_ONLY();
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "moving");
    make_dir(root);
    write_below(root, "a", "before");
    struct sc_hash_options options = {.threads = 1};
    struct sc_tree tree;
    assert_ok(sc_hash_dir(root, &options, &w->arena, &tree, &err), err);
    write_below(root, "a", "after!");
    assert_rc(sc_objects_put_tree(w->objects, root, &tree, false, false, &err), SC_BUSY);
    assert_contains(err.message, "moving/a");
    struct sc_artifact folder = sc_hash_dir_artifact(&tree);
    const struct sc_artifact *artifacts[] = {&folder};
    enum sc_rc ret;
    sc_objects_presence(w->objects, artifacts, 1, false, &ret);
    assert_rc(ret, SC_NOT_FOUND);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv)
{
    if (!sc_store_place_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
        T(test_objects_small_files_elsewhere_go_in_packs),
        T(test_objects_what_was_seen_elsewhere_is_believed_for_a_while_only),
        T(test_objects_damaged_pack_is_corrupt_and_a_forced_put_heals_it),
        T(test_objects_file_that_changed_is_busy_and_never_packed),
    };
    return cmocka_run_group_tests_name("objects_elsewhere", tests, NULL, NULL);
}
