// Objects of a store that is spoken to as one elsewhere and answers the latest question first: what comes several at once,
// and what goes there unasked.
#include "tests/lib/odd_store.h"
#include "tests/unit/store_test.h"

#include "store/layout_cache.h"
#include "store/object.h"
#include "store/object_impl.h"

#include <dirent.h>

#define MAIN sc_slice_str("main")

enum { LARGE = 7, LARGE_BYTES = 200000 };

struct world {
    struct odd_store odd;
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_arena arena;
    char *scratch, *url, *layout, *root;
    struct sc_tree tree;
    struct sc_artifact folder;
    struct sc_artifact files[LARGE]; // of the folder: the first is executable, 2 and 4 are equal
};

static void begin_life(struct world *w)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_store_open(w->url, &w->store, &err), err);
    odd_store_init(&w->odd, w->store);
    struct sc_objects_config config = {.store = w->store, .domain = MAIN, .layout_folder = w->layout};
    assert_ok(sc_objects_new(&config, &w->objects, &err), err);
}

static void end_life(struct world *w)
{
    sc_objects_free(w->objects);
    sc_store_close(w->store);
    odd_store_done(&w->odd);
}

static void write_filled(const char *path, char fill, size_t size)
{
    SC_AUTO_FREE char *bytes = sc_calloc(size, 1);
    memset(bytes, fill, size);
    write_bytes(path, bytes, size);
}

// A folder with large files in it, and below it, put by another life.
static void put_folder(struct world *w)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_hash_options options = {.threads = 1};
    SC_AUTO_FREE char *sub = sc_scratch_path(w->root, "sub");
    make_dir(w->root);
    make_dir(sub);
    for (int i = 0; i < LARGE; i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/%d", i % 2 ? sub : w->root, i);
        write_filled(path, (char)('a' + (i == 4 ? 2 : i)), LARGE_BYTES);
        if (i == 0)
            assert_int_equal(chmod(path, 0755), 0);
        assert_ok(sc_hash_file(path, &options, &w->files[i], &err), err);
    }
    begin_life(w);
    assert_ok(sc_hash_dir(w->root, &options, &w->arena, &w->tree, &err), err);
    assert_ok(sc_objects_put_tree(w->objects, w->root, &w->tree, false, false, &err), err);
    w->folder = sc_hash_dir_artifact(&w->tree);
    end_life(w);
}

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    w->scratch = sc_scratch_new();
    w->url = sc_scratch_path(w->scratch, "store");
    w->layout = sc_scratch_path(w->scratch, "layout");
    w->root = sc_scratch_path(w->scratch, "root");
    sc_arena_init(&w->arena);
    *state = w;
    put_folder(w);
    begin_life(w);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    end_life(w);
    sc_arena_done(&w->arena);
    sc_scratch_remove(w->scratch);
    free(w->url);
    free(w->layout);
    free(w->root);
    free(w);
    return 0;
}

static void assert_tree_at(const char *path, const struct sc_digest *want)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_tree tree;
    sc_arena_init(&arena);
    assert_ok(sc_hash_dir(path, NULL, &arena, &tree, &err), err);
    assert_true(sc_digest_eq(&tree.nodes.items[0].digest, want));
}

// What was begun has left nothing, and no entry is pinned.
static void assert_nothing_left(struct world *w)
{
    DIR *dir = opendir(w->objects->layouts->scratch.path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        assert_true(e->d_name[0] == '.');
    closedir(dir);
    for (int kind = 0; kind < SC_LAYOUT_COUNT; kind++) {
        const struct sc_digest_map *map = &w->objects->layouts->entries[kind];
        for (size_t i = 0; i < map->room; i++)
            assert_true(!map->slots[i].value || ((struct sc_layout *)map->slots[i].value)->pins == 0);
    }
    assert_int_equal(w->odd.pending_count, 0);
}

static void test_lay_large_files_of_a_folder_come_four_at_once(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    for (int again = 0; again < 2; again++) { // the second time it is there
        assert_ok(sc_objects_local(w->objects, &w->folder, &path, NULL, &err), err);
        assert_tree_at(sc_buf_cstr(&path), &w->folder.digest);
        assert_int_equal(odd_store_count(&w->odd, "get v1/main/cas/"), LARGE - 1); // equal ones once
        sc_objects_unpin(w->objects, &w->folder);
    }
    assert_int_equal(w->odd.pending_most, 4);
    assert_false(w->odd.clashed);
    assert_nothing_left(w);
}

static void make_entries(struct world *w, struct sc_fan_in_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        entries[i] = (struct sc_fan_in_entry){sc_arena_printf(&w->arena, "e%u", i),
                                              i < LARGE ? w->files[i] : w->folder};
}

static void test_lay_files_of_a_fan_in_come_four_at_once(void **state)
{
    struct world *w = *state;
    struct sc_fan_in_entry entries[LARGE + 1];
    make_entries(w, entries, LARGE + 1);
    for (uint32_t count = LARGE; count <= LARGE + 1;
         count++) { // then with the folder, whose files are had by then
        struct sc_error err = SC_ERROR_INIT;
        SC_AUTO_BUF struct sc_buf path;
        sc_buf_init(&path, 0);
        struct sc_artifact sum = sc_fan_in_artifact(entries, count);
        assert_ok(sc_objects_local_fan_in(w->objects, entries, count, &path, NULL, &err), err);
        assert_tree_at(sc_buf_cstr(&path), &sum.digest);
        assert_int_equal(odd_store_count(&w->odd, "get v1/main/cas/"), LARGE - 1);
        sc_objects_unpin(w->objects, &sum);
        assert_nothing_left(w);
    }
    assert_int_equal(w->odd.pending_most, 4);
}

static void test_lay_the_first_that_is_lost_is_named_and_nothing_is_left(void **state)
{
    struct world *w = *state;
    static const enum sc_rc rcs[] = {SC_NOT_FOUND, SC_UNREACHABLE};
    for (size_t i = 0; i < SC_COUNT(rcs); i++) {
        struct sc_error err = SC_ERROR_INIT;
        struct sc_digest lost = {{0}};
        SC_AUTO_BUF struct sc_buf path;
        sc_buf_init(&path, 0);
        odd_store_refuse(&w->odd, &w->files[2].digest, rcs[i], 1);
        assert_rc(sc_objects_local(w->objects, &w->folder, &path, &lost, &err), rcs[i]);
        assert_contains(err.message, w->odd.refused); // the object's digest
        assert_true(rcs[i] == SC_NOT_FOUND ? sc_digest_eq(&lost, &w->files[2].digest)
                                           : sc_digest_is_zero(&lost));
        assert_nothing_left(w);
    }
}

static void test_lay_of_many_failures_the_first_counts(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest lost = {{0}};
    char hex[SC_DIGEST_HEX_BYTES];
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    snprintf(w->odd.refused, sizeof w->odd.refused, "/cas/");
    w->odd.refuse_rc = SC_NOT_FOUND;
    w->odd.refuse_count = UINT32_MAX;
    assert_rc(sc_objects_local(w->objects, &w->folder, &path, &lost, &err), SC_NOT_FOUND);
    assert_int_equal(odd_store_count(&w->odd, "get v1/main/cas/"),
                     2); // the next waits for its equal, and is not begun
    sc_digest_hex(&lost, hex);
    assert_contains(w->odd.log[w->odd.log_count - 2], hex);
    assert_contains(err.message, hex);
    assert_nothing_left(w);
}

static void test_lay_a_fan_in_names_the_entry_that_lost_something(void **state)
{
    struct world *w = *state;
    struct sc_fan_in_entry entries[LARGE + 1];
    make_entries(w, entries, LARGE + 1);
    for (int of_folder = 0; of_folder < 2; of_folder++) {
        struct sc_error err = SC_ERROR_INIT;
        struct sc_digest lost = {{0}};
        SC_AUTO_BUF struct sc_buf path;
        sc_buf_init(&path, 0);
        // A file right before the folder, which must not be taken for the folder's; then one of the folder alone.
        struct sc_fan_in_entry some[] = {entries[1], entries[3], entries[LARGE]};
        odd_store_refuse(&w->odd, &w->files[of_folder ? 4 : 3].digest, SC_NOT_FOUND, 1);
        assert_rc(sc_objects_local_fan_in(w->objects, some, SC_COUNT(some), &path, &lost, &err),
                  SC_NOT_FOUND);
        assert_true(sc_digest_eq(&lost, of_folder ? &w->folder.digest : &w->files[3].digest));
        assert_nothing_left(w);
    }
}

static void test_lay_extract_has_large_files_come_four_at_once_and_is_whole_or_not_there(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *to = sc_scratch_path(w->scratch, "to");
    odd_store_refuse(&w->odd, &w->files[3].digest, SC_NOT_FOUND, 1);
    assert_rc(sc_objects_extract(w->objects, &w->folder, to, &err), SC_NOT_FOUND);
    assert_int_equal(access(to, F_OK), -1);
    assert_int_equal(w->odd.pending_count, 0);
    assert_ok(sc_objects_extract(w->objects, &w->folder, to, &err), err);
    assert_tree_at(to, &w->folder.digest);
    assert_int_equal(w->odd.pending_most, 4);
    assert_false(w->odd.clashed);
}

// ---- what goes there unasked

static void test_lay_new_file_is_asked_for_only_where_it_is_large(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {1000, LARGE_BYTES};
    for (uint32_t i = 0; i < SC_COUNT(sizes); i++) {
        struct sc_error err = SC_ERROR_INIT;
        struct sc_hash_options options = {.threads = 1};
        struct sc_artifact artifact;
        SC_AUTO_FREE char *path = sc_asprintf("%s/new-%u", w->scratch, i);
        write_filled(path, 'n', sizes[i]);
        assert_ok(sc_hash_file(path, &options, &artifact, &err), err);
        for (int again = 0; again < 2; again++) // known to be there
            assert_ok(sc_objects_put_new_file(w->objects, path, &artifact, false, false, &err), err);
        assert_int_equal(odd_store_count(&w->odd, "head "), i);
        assert_int_equal(odd_store_count(&w->odd, "put "), 2 * i + 1);
        assert_ok(sc_objects_put_new_file(w->objects, path, &artifact, false, true, &err), err); // by force
        assert_int_equal(odd_store_count(&w->odd, "put "), 2 * i + 2);
    }
}

static ino_t inode_of(struct world *w, enum sc_object_area area, const struct sc_digest *digest)
{
    struct stat st;
    SC_AUTO_FREE char *path =
        sc_asprintf("%s/" SC_SLICE_FMT, w->url, SC_SLICE_ARG(sc_object_name(w->objects, area, digest)));
    assert_int_equal(lstat(path, &st), 0);
    return st.st_ino;
}

// By another life, which knows of nothing. The tree object is asked for, and spares all the rest where it is there.
static void test_lay_small_pack_is_put_unasked_whatever_is_there(void **state)
{
    struct world *w = *state;
    struct sc_hash_options options = {.threads = 1};
    struct sc_error err = SC_ERROR_INIT;
    struct sc_tree tree, stored;
    ino_t inodes[2];
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "small");
    make_dir(root);
    write_below(root, "a", "one");
    write_below(root, "b", "two");
    assert_ok(sc_hash_dir(root, &options, &w->arena, &tree, &err), err);
    const struct sc_digest *digest = &tree.nodes.items[0].digest;
    for (int life = 0; life < 2; life++) {
        assert_ok(sc_objects_put_tree(w->objects, root, &tree, false, false, &err), err);
        assert_int_equal(odd_store_count(&w->odd, "head "), 1);
        assert_int_equal(odd_store_count(&w->odd, "head v1/main/tree/"), 1);
        assert_int_equal(odd_store_count(&w->odd, "put "), 2);
        assert_ok(sc_objects_get_tree(w->objects, digest, &w->arena, &stored, &err), err);
        assert_int_equal(stored.packs.count, 1);
        inodes[life] = inode_of(w, SC_AREA_PACK, &stored.packs.items[0].digest);
        struct sc_slice name = sc_object_name(w->objects, SC_AREA_TREE, digest);
        SC_AUTO_FREE char *path = sc_asprintf("%s/" SC_SLICE_FMT, w->url, SC_SLICE_ARG(name));
        assert_int_equal(unlink(path), 0);
        end_life(w);
        begin_life(w);
    }
    assert_true(inodes[0] != inodes[1]); // put again, so that its age is new
}

static void test_lay_archived_file_of_a_folder_is_put_over(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    ino_t inodes[LARGE];
    SC_AUTO_FREE char *path =
        sc_asprintf("%s/" SC_SLICE_FMT, w->url,
                    SC_SLICE_ARG(sc_object_name(w->objects, SC_AREA_TREE, &w->folder.digest)));
    for (int i = 0; i < LARGE; i++)
        inodes[i] = inode_of(w, SC_AREA_CAS, &w->files[i].digest);
    assert_int_equal(unlink(path), 0);
    w->odd.archived = true;
    assert_ok(sc_objects_put_tree(w->objects, w->root, &w->tree, false, false, &err), err);
    for (int i = 0; i < LARGE; i++)
        assert_true(inode_of(w, SC_AREA_CAS, &w->files[i].digest) != inodes[i]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_lay_large_files_of_a_folder_come_four_at_once),
        T(test_lay_files_of_a_fan_in_come_four_at_once),
        T(test_lay_the_first_that_is_lost_is_named_and_nothing_is_left),
        T(test_lay_of_many_failures_the_first_counts),
        T(test_lay_a_fan_in_names_the_entry_that_lost_something),
        T(test_lay_extract_has_large_files_come_four_at_once_and_is_whole_or_not_there),
        T(test_lay_new_file_is_asked_for_only_where_it_is_large),
        T(test_lay_small_pack_is_put_unasked_whatever_is_there),
        T(test_lay_archived_file_of_a_folder_is_put_over),
    };
    return cmocka_run_group_tests_name("lay", tests, NULL, NULL);
}
