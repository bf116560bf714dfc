#include "tests/unit/objects_test.h"

// ---- files

static void test_objects_bytes_come_back_and_are_put_once(void **state)
{
    struct world *w = *state;
    struct sc_digest digest = put_text(w, "hello", false);
    uint64_t before = put_count(w);
    assert_hex(&digest, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    put_text(w, "hello", false);
    assert_int_equal(put_count(w), before);
    put_text(w, "hello", true);
    assert_int_equal(put_count(w), before + 1);
    assert_rc(get_text(w, &digest, "hello"), SC_OK);
    SC_AUTO_FREE char *name = object_name(&digest, false);
    assert_object(w->store, name, "hello"); // plain: its name is its sha256sum
    next_life(w);
    before = put_count(w);
    put_text(w, "hello", false);
    assert_int_equal(put_count(w), before);
}

static void test_objects_missing_is_not_found_by_name(void **state)
{
    struct world *w = *state;
    struct sc_digest missing = {{0xaa}}, lost = {{0}};
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_tree tree;
    sc_buf_init(&bytes, 0);
    assert_rc(sc_objects_get_bytes(w->objects, &missing, 100, &bytes, &err), SC_NOT_FOUND);
    assert_contains(err.message, "aa0000");
    assert_rc(sc_objects_get_tree(w->objects, &missing, &w->arena, &tree, &err), SC_NOT_FOUND);
    struct sc_artifact artifact = {.kind = SC_ARTIFACT_FILE, .digest = missing};
    assert_rc(try_local(w, &artifact, &lost), SC_NOT_FOUND);
    assert_true(sc_digest_eq(&lost, &missing));
    artifact.kind = SC_ARTIFACT_DIR;
    lost = (struct sc_digest){{0}};
    assert_rc(try_local(w, &artifact, &lost), SC_NOT_FOUND);
    assert_true(sc_digest_eq(&lost, &missing));
}

static void test_objects_flipped_byte_is_corrupt_and_a_put_heals_it(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    for (int quiet = 0; quiet < 2; quiet++) {
        for (int life = 0; life < 2; life++) {
            struct sc_digest digest = put_text(w, "precious", false), lost = {{0}};
            struct sc_artifact artifact = text_artifact(w, "precious", false);
            SC_AUTO_FREE char *name = object_name(&digest, false);
            sync_store(w);
            flip_object(w->store, name, 3, quiet);
            if (life)
                next_life(w);
            assert_rc(try_local(w, &artifact, &lost), SC_CORRUPT);
            assert_true(sc_digest_eq(&lost, &digest));
            assert_false(is_stored(w, name)); // set aside: nobody reads it again
            assert_rc(try_local(w, &artifact, &lost), SC_NOT_FOUND);
            put_text(w, "precious", false);
            assert_rc(try_local(w, &artifact, &lost), SC_OK);
            assert_rc(get_text(w, &digest, "precious"), SC_OK);
        }
    }
}

// Elsewhere what lies there is not read by a put: who knows that it is damaged forces it.
static void test_objects_damaged_one_is_corrupt_to_its_reader_and_a_forced_put_heals_it(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest digest = put_text(w, "precious", false);
    struct sc_tree tree, found;
    struct sc_artifact folder = put_folder(w, "input", &tree);
    SC_AUTO_FREE char *name = object_name(&digest, false);
    SC_AUTO_FREE char *tree_name = object_name(&folder.digest, true);
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "input");
    flip_object(w->store, name, 3, false);
    flip_object(w->store, tree_name, 20, false);
    assert_rc(get_text(w, &digest, NULL), SC_CORRUPT);
    assert_rc(sc_objects_get_tree(w->objects, &folder.digest, &w->arena, &found, &err), SC_CORRUPT);
    assert_contains(err.message, "digest");
    put_text(w, "precious", true);
    assert_rc(get_text(w, &digest, "precious"), SC_OK);
    assert_ok(sc_objects_put_tree(w->objects, root, &tree, false, true, &err), err);
    assert_ok(sc_objects_get_tree(w->objects, &folder.digest, &w->arena, &found, &err), err);
}

static void test_objects_damaged_one_is_not_taken_for_present_by_a_put(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_digest digest = put_text(w, "precious", false);
    SC_AUTO_FREE char *path = object_path(w, &digest);
    flip_byte(path, 0, true);
    put_text(w, "precious", false);
    assert_rc(get_text(w, &digest, "precious"), SC_OK);
    // cut, as after a crash before the sync
    cut_to(path, 2);
    next_life(w);
    put_text(w, "precious", false);
    assert_rc(get_text(w, &digest, "precious"), SC_OK);
}

static void test_objects_get_of_a_damaged_one_is_corrupt_and_sets_it_aside(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_digest digest = put_text(w, "precious", false);
    SC_AUTO_FREE char *path = object_path(w, &digest);
    flip_byte(path, 0, true);
    assert_rc(get_text(w, &digest, NULL), SC_CORRUPT);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_rc(get_text(w, &digest, NULL), SC_NOT_FOUND);
}

// Nothing is opened that could hang its reader, and nothing set aside that is somebody's.
static void test_objects_what_is_no_file_is_corrupt_by_name_and_lost_to_readers(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_tree tree, found;
    struct sc_digest digest = put_text(w, "precious", false);
    struct sc_artifact folder = put_folder(w, "input", &tree),
                       file = {.kind = SC_ARTIFACT_FILE, .digest = digest, .bytes = 8};
    const struct sc_artifact *artifacts[] = {&file, &folder};
    enum sc_rc rets[2];
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "input");
    SC_AUTO_FREE char *tree_name = object_name(&folder.digest, true);
    SC_AUTO_FREE char *tree_path = sc_scratch_path(sc_store_local_root(w->store), tree_name);
    SC_AUTO_FREE char *path = object_path(w, &digest);
    sc_buf_init(&bytes, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unlink(i ? tree_path : path), 0);
        assert_int_equal(mkfifo(i ? tree_path : path, 0666), 0);
    }
    sc_objects_presence(w->objects, artifacts, 2, false, rets);
    assert_rc(rets[0], SC_NOT_FOUND);
    assert_rc(rets[1], SC_NOT_FOUND);
    assert_rc(sc_objects_get_bytes(w->objects, &digest, 100, &bytes, &err), SC_CORRUPT);
    assert_contains(err.message, path);
    assert_contains(err.message, "is a FIFO");
    assert_rc(sc_objects_get_tree(w->objects, &folder.digest, &w->arena, &found, &err), SC_CORRUPT);
    assert_contains(err.message, tree_path);
    for (int force = 0; force < 2; force++) {
        err = (struct sc_error)SC_ERROR_INIT;
        assert_rc(sc_objects_put_bytes(w->objects, sc_slice_str("precious"), force, &digest, &err),
                  SC_CORRUPT);
        assert_contains(err.message, path);
        assert_rc(sc_objects_put_tree(w->objects, root, &tree, false, force, &err), SC_CORRUPT);
        assert_contains(err.message, "is a FIFO");
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unlink(i ? tree_path : path), 0);
        assert_int_equal(mkdir(i ? tree_path : path, 0777), 0);
    }
    put_text(w, "precious", false);
    assert_rc(get_text(w, &digest, "precious"), SC_OK);
    assert_ok(sc_objects_put_tree(w->objects, root, &tree, false, false, &err), err);
    assert_ok(sc_objects_get_tree(w->objects, &folder.digest, &w->arena, &found, &err), err);
}

static void test_objects_checked_one_is_not_read_again_in_the_next_life(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_artifact artifact = text_artifact(w, "checked", false);
    SC_AUTO_FREE char *path = object_path(w, &artifact.digest);
    struct stat st;
    struct sc_digest known;
    assert_int_equal(stat(path, &st), 0);
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct sc_volume volume = sc_volume_of(fd);
    assert_false(sc_memo_find(w->memo, &volume, &st, &known)); // not durable yet: a crash may tear it
    sync_store(w);
    assert_true(sc_memo_find(w->memo, &volume, &st, &known));
    assert_true(sc_digest_eq(&known, &artifact.digest));
    next_life(w);
    assert_true(sc_memo_find(w->memo, &volume, &st, &known));
}

static void test_objects_put_file_moves_or_copies(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact;
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "file");
    struct stat before, after;
    write_text(file, "moved");
    assert_ok(sc_hash_file(file, NULL, &artifact, &err), err);
    assert_int_equal(stat(file, &before), 0);
    assert_ok(sc_objects_put_file(w->objects, file, &artifact, true, false, &err), err);
    assert_rc(get_text(w, &artifact.digest, "moved"), SC_OK);
    if (!sc_store_place_is_s3()) {
        SC_AUTO_FREE char *path = object_path(w, &artifact.digest);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(mode_of(path), 0444);
    }
    write_text(file, "copied");
    assert_ok(sc_hash_file(file, NULL, &artifact, &err), err);
    assert_ok(sc_objects_put_file(w->objects, file, &artifact, false, false, &err), err);
    assert_rc(get_text(w, &artifact.digest, "copied"), SC_OK);
    assert_file(file, "copied");
}

static void test_objects_file_that_changed_since_it_was_hashed_is_busy_and_not_kept(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact;
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "file");
    write_text(file, "hashed");
    assert_ok(sc_hash_file(file, NULL, &artifact, &err), err);
    write_text(file, "others");
    assert_rc(sc_objects_put_file(w->objects, file, &artifact, false, false, &err), SC_BUSY);
    assert_contains(err.message, file);
    assert_rc(get_text(w, &artifact.digest, NULL), SC_NOT_FOUND);
    assert_rc(sc_objects_put_file(w->objects, file, &artifact, false, true, &err), SC_BUSY);
    assert_rc(get_text(w, &artifact.digest, NULL), SC_NOT_FOUND);
}

// ---- folders

static void test_objects_tree_comes_back_as_it_was(void **state)
{
    struct world *w = *state;
    struct sc_tree tree, found;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    assert_ok(sc_objects_get_tree(w->objects, &artifact.digest, &w->arena, &found, &err), err);
    assert_int_equal(found.nodes.count, tree.nodes.count);
    assert_int_equal(found.files, tree.files);
    assert_int_equal(found.bytes, tree.bytes);
    uint64_t before = put_count(w);
    put_folder(w, "input", &tree);
    assert_int_equal(put_count(w), before);
    next_life(w);
    before = put_count(w);
    put_folder(w, "input", &tree);
    assert_int_equal(put_count(w), before);
}

static void test_objects_extract_gives_own_bytes_and_plain_modes(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    SC_AUTO_FREE char *dest = sc_scratch_path(w->scratch, "out");
    SC_AUTO_FREE char *run = sc_scratch_path(dest, "sub/run");
    SC_AUTO_FREE char *dash = sc_scratch_path(dest, "-rf");
    SC_AUTO_FREE char *sub = sc_scratch_path(dest, "sub");
    struct stat st;
    mode_t old = umask(0077);
    assert_ok(sc_objects_extract(w->objects, &artifact, dest, &err), err);
    umask(old);
    assert_tree_at(dest, &artifact);
    assert_int_equal(mode_of(run), 0755);
    assert_int_equal(mode_of(dash), 0644);
    assert_int_equal(mode_of(sub), 0755);
    assert_int_equal(mode_of(dest), 0755);
    assert_int_equal(stat(dash, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    write_text(dash, "changed"); // nobody else's bytes
    SC_AUTO_FREE char *again = sc_scratch_path(w->scratch, "again");
    assert_ok(sc_objects_extract(w->objects, &artifact, again, &err), err);
    assert_tree_at(again, &artifact);
    assert_rc(sc_objects_extract(w->objects, &artifact, dest, &err), SC_EXISTS);
    assert_file(dash, "changed");
}

static void test_objects_extract_of_a_file_is_whole_or_not_there(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = text_artifact(w, "some text", true);
    SC_AUTO_FREE char *dest = sc_scratch_path(w->scratch, "out");
    SC_AUTO_FREE char *name = object_name(&artifact.digest, false);
    assert_ok(sc_objects_extract(w->objects, &artifact, dest, &err), err);
    assert_file(dest, "some text");
    assert_int_equal(mode_of(dest), 0755);
    assert_rc(sc_objects_extract(w->objects, &artifact, dest, &err), SC_EXISTS);
    assert_int_equal(unlink(dest), 0);
    flip_object(w->store, name, 2, true);
    assert_rc(sc_objects_extract(w->objects, &artifact, dest, &err), SC_CORRUPT);
    assert_int_not_equal(access(dest, F_OK), 0);
    struct sc_artifact inlined = {.kind = SC_ARTIFACT_FILE,
                                  .has_inline = true,
                                  .bytes = 2,
                                  .files = 1,
                                  .inline_bytes = sc_slice_str("in")};
    digest_of_text("in", &inlined.digest);
    assert_ok(sc_objects_extract(w->objects, &inlined, dest, &err), err);
    assert_file(dest, "in");
    assert_int_equal(mode_of(dest), 0644);
    assert_int_equal(unlink(dest), 0);
    inlined.inline_bytes = sc_slice_str("no");
    assert_rc(sc_objects_extract(w->objects, &inlined, dest, &err), SC_CORRUPT);
    assert_int_not_equal(access(dest, F_OK), 0);
}

static void test_objects_extract_of_a_folder_that_lost_a_file_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    SC_AUTO_FREE char *dest = sc_scratch_path(w->scratch, "out");
    lose_small_file(w, &artifact, "raw");
    assert_rc(sc_objects_extract(w->objects, &artifact, dest, &err), SC_NOT_FOUND);
    assert_int_not_equal(access(dest, F_OK), 0);
}

// ---- presence

static void test_objects_presence_tells_missing_cut_and_inline(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    struct sc_artifact there = text_artifact(w, "there", false), gone = text_artifact(w, "gone", false),
                       cut = text_artifact(w, "cut short", false);
    struct sc_artifact folder = put_folder(w, "input", &tree),
                       no_folder = {.kind = SC_ARTIFACT_DIR, .digest = {{1}}};
    struct sc_artifact inlined = {.kind = SC_ARTIFACT_FILE, .has_inline = true, .digest = {{2}}};
    SC_AUTO_FREE char *gone_name = object_name(&gone.digest, false);
    SC_AUTO_FREE char *cut_name = object_name(&cut.digest, false);
    assert_rc(object_op(w->store, SC_STORE_REMOVE, gone_name), SC_OK);
    cut_object(w->store, cut_name, 3);
    const struct sc_artifact *const artifacts[] = {&there, &gone, &cut, &folder, &no_folder, &inlined};
    static const enum sc_rc want[] = {SC_OK, SC_NOT_FOUND, SC_NOT_FOUND, SC_OK, SC_NOT_FOUND, SC_OK};
    enum sc_rc rets[6];
    for (int deep = 0; deep < 2; deep++) {
        sc_objects_presence(w->objects, artifacts, 6, deep, rets);
        for (int i = 0; i < 6; i++)
            assert_rc(rets[i], want[i]);
    }
    lose_small_file(w, &folder, "raw");
    sc_objects_presence(w->objects, artifacts, 6, false, rets);
    assert_rc(rets[3], SC_OK);
    sc_objects_presence(w->objects, artifacts, 6, true, rets);
    assert_rc(rets[3], SC_NOT_FOUND);
}

static void test_objects_flipped_byte_of_a_tree_object_is_corrupt_and_a_put_heals_it(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_tree tree, found;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    SC_AUTO_FREE char *name = object_name(&artifact.digest, true);
    sync_store(w);
    flip_object(w->store, name, 20, true);
    struct sc_digest lost = {{0}};
    assert_rc(try_local(w, &artifact, &lost), SC_CORRUPT);
    assert_true(sc_digest_eq(&lost, &artifact.digest));
    assert_rc(sc_objects_get_tree(w->objects, &artifact.digest, &w->arena, &found, &err), SC_NOT_FOUND);
    put_folder(w, "input", &tree);
    assert_rc(try_local(w, &artifact, NULL), SC_OK);
}

static void test_objects_large_sparse_file_goes_in_and_out_sparse(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact;
    struct stat st;
    static const off_t size = (off_t)256 << 20;
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "sparse");
    SC_AUTO_FREE char *dest = sc_scratch_path(w->scratch, "out");
    SC_AUTO_CLOSE int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(pwrite(fd, "end", 3, size - 3), 3);
    assert_ok(sc_hash_file(file, NULL, &artifact, &err), err);
    assert_ok(sc_objects_put_file(w->objects, file, &artifact, false, false, &err), err);
    assert_ok(sc_objects_extract(w->objects, &artifact, dest, &err), err);
    assert_int_equal(stat(dest, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true(st.st_blocks * 512 < 1 << 20);
    SC_AUTO_FREE char *path = object_path(w, &artifact.digest);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv)
{
    if (!sc_store_place_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
        T(test_objects_bytes_come_back_and_are_put_once),
        T(test_objects_missing_is_not_found_by_name),
        T(test_objects_flipped_byte_is_corrupt_and_a_put_heals_it),
        T(test_objects_damaged_one_is_corrupt_to_its_reader_and_a_forced_put_heals_it),
        T(test_objects_damaged_one_is_not_taken_for_present_by_a_put),
        T(test_objects_get_of_a_damaged_one_is_corrupt_and_sets_it_aside),
        T(test_objects_what_is_no_file_is_corrupt_by_name_and_lost_to_readers),
        T(test_objects_checked_one_is_not_read_again_in_the_next_life),
        T(test_objects_put_file_moves_or_copies),
        T(test_objects_file_that_changed_since_it_was_hashed_is_busy_and_not_kept),
        T(test_objects_tree_comes_back_as_it_was),
        T(test_objects_extract_gives_own_bytes_and_plain_modes),
        T(test_objects_extract_of_a_file_is_whole_or_not_there),
        T(test_objects_extract_of_a_folder_that_lost_a_file_leaves_nothing),
        T(test_objects_presence_tells_missing_cut_and_inline),
        T(test_objects_flipped_byte_of_a_tree_object_is_corrupt_and_a_put_heals_it),
        T(test_objects_large_sparse_file_goes_in_and_out_sparse),
    };
    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
