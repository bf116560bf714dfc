#include "tests/unit/store_test.h"

#include "base/os/clock.h"
#include "store/names.h"
#include "store/object.h"

#include <signal.h>

#define MAIN sc_slice_str("main")

// A store, a memo and a handle; `next_life` ends the handle and begins another one, as a new process would.
struct world {
    struct sc_store *store;
    struct sc_memo *memo;
    struct sc_objects *objects;
    struct sc_arena arena;
    char *scratch, *url, *layout, *memo_path;
    uint64_t layout_max_bytes;
};

static void begin_life(struct world *w)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_store_open(w->url, &w->store, &err), err);
    w->memo = sc_memo_open(w->memo_path, 100000);
    struct sc_objects_config config = {.store = w->store,
                                       .domain = MAIN,
                                       .memo = w->memo,
                                       .layout_folder = w->layout,
                                       .layout_max_bytes = w->layout_max_bytes};
    assert_ok(sc_objects_new(&config, &w->objects, &err), err);
}

static void end_life(struct world *w)
{
    struct sc_error err = SC_ERROR_INIT;
    sc_objects_free(w->objects);
    assert_ok(sc_memo_save(w->memo, &err), err);
    sc_memo_close(w->memo);
    sc_store_close(w->store);
}

static void next_life(struct world *w)
{
    end_life(w);
    begin_life(w);
}

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    w->scratch = sc_scratch_new();
    w->url = sc_store_place_new(w->scratch);
    w->layout = sc_scratch_path(w->scratch, "layout");
    w->memo_path = sc_scratch_path(w->scratch, "memo");
    sc_arena_init(&w->arena);
    *state = w;
    begin_life(w);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    end_life(w);
    sc_arena_done(&w->arena);
    sc_store_place_remove(w->url);
    sc_scratch_remove(w->scratch);
    free(w->layout);
    free(w->memo_path);
    free(w);
    return 0;
}

static char *object_name(const struct sc_digest *digest, bool tree)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    if (tree)
        sc_name_tree(&name, MAIN, digest);
    else
        sc_name_cas(&name, MAIN, digest);
    return sc_strdup(sc_buf_cstr(&name));
}

// Its own path, where the store is a folder.
static char *object_path(const struct world *w, const struct sc_digest *digest)
{
    SC_AUTO_BUF struct sc_buf path;
    SC_AUTO_FREE char *name = object_name(digest, false);
    sc_buf_init(&path, 0);
    assert_true(sc_store_local_path(w->store, sc_slice_str(name), &path));
    return sc_strdup(sc_buf_cstr(&path));
}

static bool is_stored(struct world *w, const char *name)
{
    return object_op(w->store, SC_STORE_HEAD, name) == SC_OK;
}

static struct sc_digest put_text(struct world *w, const char *text, bool force)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest digest;
    assert_ok(sc_objects_put_bytes(w->objects, sc_slice_str(text), force, &digest, &err), err);
    return digest;
}

static enum sc_rc get_text(struct world *w, const struct sc_digest *digest, const char *want)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&bytes, 0);
    enum sc_rc rc = sc_objects_get_bytes(w->objects, digest, 1 << 20, &bytes, &err);
    if (rc == SC_OK)
        assert_slice(sc_buf_slice(&bytes), want);
    return rc;
}

static void sync_store(struct world *w)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_objects_sync(w->objects, &err), err);
}

static uint64_t put_count(const struct world *w)
{
    return sc_store_counts(w->store).puts;
}

static struct sc_artifact text_artifact(struct world *w, const char *text, bool exec)
{
    struct sc_digest digest = put_text(w, text, false);
    return (struct sc_artifact){
        .kind = SC_ARTIFACT_FILE, .exec = exec, .digest = digest, .bytes = strlen(text), .files = 1};
}

// The name of the object that holds the folder's file with this text: itself, or elsewhere the folder's only pack.
static char *small_file_name(struct world *w, const struct sc_artifact *folder, const char *text)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest digest;
    digest_of_text(text, &digest);
    if (sc_store_local_root(w->store))
        return object_name(&digest, false);
    struct sc_tree tree;
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    assert_ok(sc_objects_get_tree(w->objects, &folder->digest, &w->arena, &tree, &err), err);
    assert_int_equal(tree.packs.count, 1);
    sc_name_pack(&name, MAIN, &tree.packs.items[0].digest);
    return sc_strdup(sc_buf_cstr(&name));
}

static void lose_small_file(struct world *w, const struct sc_artifact *folder, const char *text)
{
    SC_AUTO_FREE char *name = small_file_name(w, folder, text);
    assert_rc(object_op(w->store, SC_STORE_REMOVE, name), SC_OK);
}

// A folder with all that a tree can hold, hashed and put.
static struct sc_artifact put_folder(struct world *w, const char *name, struct sc_tree *ret_tree)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, name);
    SC_AUTO_FREE char *sub = sc_scratch_path(root, "sub");
    SC_AUTO_FREE char *empty = sc_scratch_path(root, "empty");
    SC_AUTO_FREE char *link = sc_scratch_path(sub, "link");
    SC_AUTO_FREE char *run = sc_scratch_path(sub, "run");
    if (access(root, F_OK) != 0) {
        make_dir(root);
        make_dir(sub);
        make_dir(empty);
        write_below(root, "a b\n\"'", "blank");
        write_below(root, "-rf", "dash");
        write_below(root, "raw\xff", "raw");
        write_below(sub, "same", "blank");
        write_text(run, "#!/bin/sh\n");
        assert_int_equal(chmod(run, 0755), 0);
        assert_int_equal(symlink("../-rf", link), 0);
    }
    struct sc_hash_options options = {.memo = w->memo};
    assert_ok(sc_hash_dir(root, &options, &w->arena, ret_tree, &err), err);
    assert_ok(sc_objects_put_tree(w->objects, root, ret_tree, false, false, &err), err);
    return sc_hash_dir_artifact(ret_tree);
}

static char *local(struct world *w, const struct sc_artifact *artifact)
{
    SC_AUTO_BUF struct sc_buf path;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&path, 0);
    assert_ok(sc_objects_local(w->objects, artifact, &path, NULL, &err), err);
    return sc_strdup(sc_buf_cstr(&path));
}

static enum sc_rc try_local(struct world *w, const struct sc_artifact *artifact, struct sc_digest *ret_lost)
{
    SC_AUTO_BUF struct sc_buf path;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&path, 0);
    enum sc_rc rc = sc_objects_local(w->objects, artifact, &path, ret_lost, &err);
    if (rc == SC_OK)
        sc_objects_unpin(w->objects, artifact);
    return rc;
}

static void assert_tree_at(const char *path, const struct sc_artifact *artifact)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_tree tree;
    sc_arena_init(&arena);
    assert_ok(sc_hash_dir(path, NULL, &arena, &tree, &err), err);
    assert_true(sc_digest_eq(&tree.nodes.items[0].digest, &artifact->digest));
}

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

// ---- what steps are given

static void test_objects_local_file_is_the_object_itself(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_artifact artifact = text_artifact(w, "input", false);
    SC_AUTO_FREE char *want = object_path(w, &artifact.digest);
    SC_AUTO_FREE char *path = local(w, &artifact);
    assert_string_equal(path, want);
    sc_objects_unpin(w->objects, &artifact);
}

static void test_objects_local_executable_is_a_copy_made_once(void **state)
{
    struct world *w = *state;
    struct sc_artifact artifact = text_artifact(w, "#!/bin/sh\n", true);
    struct stat one, other;
    SC_AUTO_FREE char *path = local(w, &artifact);
    assert_int_equal(mode_of(path), 0555);
    assert_file(path, "#!/bin/sh\n");
    assert_int_equal(stat(path, &one), 0);
    assert_int_equal(one.st_nlink, 1);
    SC_AUTO_FREE char *again = local(w, &artifact);
    assert_string_equal(path, again);
    sc_objects_unpin(w->objects, &artifact);
    sc_objects_unpin(w->objects, &artifact);
    next_life(w);
    SC_AUTO_FREE char *later = local(w, &artifact);
    assert_int_equal(stat(later, &other), 0);
    assert_int_equal(one.st_ino, other.st_ino);
    flip_byte(later, 1, true); // noticed, and made again
    SC_AUTO_FREE char *healed = local(w, &artifact);
    assert_file(healed, "#!/bin/sh\n");
    sc_objects_unpin(w->objects, &artifact);
    sc_objects_unpin(w->objects, &artifact);
}

static void test_objects_local_inline_needs_no_store(void **state)
{
    struct world *w = *state;
    struct sc_artifact artifact = {.kind = SC_ARTIFACT_FILE,
                                   .has_inline = true,
                                   .bytes = 5,
                                   .files = 1,
                                   .inline_bytes = sc_slice_str("small")};
    digest_of_text("small", &artifact.digest);
    SC_AUTO_FREE char *path = local(w, &artifact);
    assert_file(path, "small");
    assert_int_equal(mode_of(path), 0444);
    sc_objects_unpin(w->objects, &artifact);
    artifact.exec = true;
    SC_AUTO_FREE char *run = local(w, &artifact);
    assert_file(run, "small");
    assert_int_equal(mode_of(run), 0555);
    sc_objects_unpin(w->objects, &artifact);
    artifact.exec = false;
    artifact.digest.bytes[0] ^= 1;
    assert_rc(try_local(w, &artifact, NULL), SC_CORRUPT);
}

static void test_objects_local_folder_is_laid_out_once_and_read_only(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    struct stat one, other, object;
    SC_AUTO_FREE char *path = local(w, &artifact);
    SC_AUTO_FREE char *dash = sc_scratch_path(path, "-rf");
    SC_AUTO_FREE char *run = sc_scratch_path(path, "sub/run");
    SC_AUTO_FREE char *sub = sc_scratch_path(path, "sub");
    struct sc_digest digest;
    digest_of_text("dash", &digest);
    assert_tree_at(path, &artifact);
    assert_int_equal(mode_of(path), 0555);
    assert_int_equal(mode_of(sub), 0555);
    assert_int_equal(mode_of(dash), 0444);
    assert_int_equal(mode_of(run), 0555);
    assert_int_equal(stat(dash, &one), 0);
    if (!sc_store_place_is_s3()) {
        SC_AUTO_FREE char *object_at = object_path(w, &digest);
        assert_int_equal(stat(object_at, &object), 0);
        assert_int_equal(one.st_ino, object.st_ino);
    }
    assert_int_equal(stat(path, &one), 0);
    for (int i = 0; i < 3; i++) {
        SC_AUTO_FREE char *again = local(w, &artifact);
        assert_string_equal(path, again);
        sc_objects_unpin(w->objects, &artifact);
    }
    sc_objects_unpin(w->objects, &artifact);
    sync_store(w);
    next_life(w);
    SC_AUTO_FREE char *later = local(w, &artifact);
    assert_int_equal(stat(later, &other), 0);
    assert_int_equal(one.st_ino, other.st_ino);
    sc_objects_unpin(w->objects, &artifact);
}

static void test_objects_damaged_layout_is_noticed_in_the_next_life_and_laid_out_again(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    static const char *const names[] = {"sub/run", "sub/link", "-rf", "empty"};
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        SC_AUTO_FREE char *path = local(w, &artifact);
        SC_AUTO_FREE char *at = sc_scratch_path(path, names[i]);
        sc_objects_unpin(w->objects, &artifact);
        sync_store(w);
        // a copy or a missing entry: the object itself stays good
        SC_AUTO_FREE char *parent = sc_asprintf("%.*s", (int)(strrchr(at, '/') - at), at);
        assert_int_equal(chmod(parent, 0755), 0);
        if (i == 0) {
            assert_int_equal(unlink(at), 0);
            write_text(at, "#!/bin/no\n");
        } else {
            assert_int_equal(remove(at), 0);
        }
        next_life(w);
        SC_AUTO_FREE char *again = local(w, &artifact);
        assert_tree_at(again, &artifact);
        sc_objects_unpin(w->objects, &artifact);
    }
}

static void test_objects_layout_whose_object_was_tampered_with_is_corrupt_and_names_it(void **state)
{
    struct world *w = *state;
    DIR_ONLY();
    struct sc_tree tree;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    struct sc_digest dash, lost = {{0}};
    digest_of_text("dash", &dash);
    SC_AUTO_FREE char *path = local(w, &artifact);
    SC_AUTO_FREE char *at = sc_scratch_path(path, "-rf");
    sc_objects_unpin(w->objects, &artifact);
    sync_store(w);
    flip_byte(at, 0, true); // the file is the object
    next_life(w);
    assert_rc(try_local(w, &artifact, &lost), SC_CORRUPT);
    assert_true(sc_digest_eq(&lost, &dash));
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, "input");
    assert_ok(sc_objects_put_tree(w->objects, root, &tree, false, true, &err), err);
    assert_rc(try_local(w, &artifact, &lost), SC_OK);
}

static void test_objects_fan_in_is_the_folder_that_its_entries_make(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    struct sc_artifact inlined = {.kind = SC_ARTIFACT_FILE,
                                  .has_inline = true,
                                  .bytes = 2,
                                  .files = 1,
                                  .inline_bytes = sc_slice_str("in")};
    digest_of_text("in", &inlined.digest);
    struct sc_fan_in_entry entries[] = {
        {sc_slice_str("lr=0.1"), put_folder(w, "input", &tree)},
        {sc_slice_str("lr=0.2"), text_artifact(w, "model", false)},
        {sc_slice_str("lr=0.3"), text_artifact(w, "#!run", true)},
        {sc_slice_str("lr=0.4"), inlined},
    };
    struct sc_artifact artifact = sc_fan_in_artifact(entries, 4);
    assert_int_equal(artifact.kind, SC_ARTIFACT_DIR);
    assert_int_equal(artifact.files, entries[0].artifact.files + 3);
    assert_int_equal(artifact.bytes, entries[0].artifact.bytes + 12);
    assert_ok(sc_objects_local_fan_in(w->objects, entries, 4, &path, NULL, &err), err);
    assert_tree_at(sc_buf_cstr(&path), &artifact);
    sc_objects_unpin(w->objects, &artifact);
    SC_AUTO_FREE char *object = object_name(&entries[1].artifact.digest, false);
    struct sc_digest lost;
    assert_rc(object_op(w->store, SC_STORE_REMOVE, object), SC_OK);
    // laid out in this life: still whole, whatever became of the object
    assert_ok(sc_objects_local_fan_in(w->objects, entries, 4, &path, &lost, &err), err);
    sc_objects_unpin(w->objects, &artifact);
    entries[3].name = sc_slice_str("lr=0.5");
    if (!sc_store_place_is_s3()) { // else the first layout left a copy here
        assert_rc(sc_objects_local_fan_in(w->objects, entries, 4, &path, &lost, &err), SC_NOT_FOUND);
        assert_true(sc_digest_eq(&lost, &entries[1].artifact.digest));
    }
    artifact = sc_fan_in_artifact(NULL, 0);
    assert_ok(sc_objects_local_fan_in(w->objects, NULL, 0, &path, &lost, &err), err);
    assert_tree_at(sc_buf_cstr(&path), &artifact);
    sc_objects_unpin(w->objects, &artifact);
}

// ---- the bound

static struct sc_artifact folder_of(struct world *w, int number, size_t bytes)
{
    char name[32];
    struct sc_tree tree;
    struct sc_error err = SC_ERROR_INIT;
    snprintf(name, sizeof name, "folder-%d", number);
    SC_AUTO_FREE char *root = sc_scratch_path(w->scratch, name);
    SC_AUTO_FREE char *file = sc_scratch_path(root, "f");
    SC_AUTO_FREE char *content = sc_calloc(bytes, 1);
    memset(content, 'a' + number, bytes);
    make_dir(root);
    write_bytes(file, content, bytes);
    assert_ok(sc_hash_dir(root, NULL, &w->arena, &tree, &err), err);
    assert_ok(sc_objects_put_tree(w->objects, root, &tree, false, false, &err), err);
    return sc_hash_dir_artifact(&tree);
}

static void test_objects_layouts_least_recently_used_leave_and_never_a_pinned_one(void **state)
{
    struct world *w = *state;
    end_life(w);
    w->layout_max_bytes = 250;
    begin_life(w);
    struct sc_artifact folders[5];
    char *paths[5];
    for (int i = 0; i < 5; i++)
        folders[i] = folder_of(w, i, 100);
    paths[0] = local(w, &folders[0]); // stays pinned
    paths[1] = local(w, &folders[1]);
    sc_objects_unpin(w->objects, &folders[1]);
    paths[2] = local(w, &folders[2]);
    sc_objects_unpin(w->objects, &folders[2]);
    assert_int_equal(access(paths[0], F_OK), 0);
    assert_int_not_equal(access(paths[1], F_OK), 0);
    assert_int_equal(access(paths[2], F_OK), 0);
    for (int i = 3; i < 5; i++)
        paths[i] = local(w, &folders[i]); // all pinned: more than the bound, and all stay
    assert_int_equal(access(paths[0], F_OK), 0);
    assert_int_not_equal(access(paths[2], F_OK), 0);
    assert_int_equal(access(paths[3], F_OK), 0);
    assert_int_equal(access(paths[4], F_OK), 0);
    SC_AUTO_FREE char *again = local(w, &folders[1]); // one that left is laid out again
    assert_tree_at(again, &folders[1]);
    for (int i = 0; i < 5; i++)
        free(paths[i]);
    for (int i = 0; i < 5; i++)
        if (i != 2)
            sc_objects_unpin(w->objects, &folders[i]);
}

struct other_handle {
    const struct world *w;
    struct sc_artifact pinned;
    int ready_fd, end_fd;
};

static int hold_a_pin(void *context)
{
    struct other_handle *o = context;
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf path;
    char byte = 1;
    sc_buf_init(&path, 0);
    if (sc_store_open(o->w->url, &store, &err) != SC_OK)
        return 1;
    struct sc_objects_config config = {
        .store = store, .domain = MAIN, .layout_folder = o->w->layout, .layout_max_bytes = 150};
    if (sc_objects_new(&config, &objects, &err) != SC_OK ||
        sc_objects_local(objects, &o->pinned, &path, NULL, &err) != SC_OK)
        return 2;
    if (write(o->ready_fd, &byte, 1) != 1 || read(o->end_fd, &byte, 1) != 1)
        return 3;
    _exit(0); // dies with its pin
}

static void test_objects_layout_pinned_by_another_process_stays_until_that_dies(void **state)
{
    struct world *w = *state;
    end_life(w);
    w->layout_max_bytes = 150;
    begin_life(w);
    struct sc_artifact theirs = folder_of(w, 0, 100), ours = folder_of(w, 1, 100),
                       last = folder_of(w, 2, 100);
    int ready[2], finish[2];
    char byte = 1;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(finish, O_CLOEXEC), 0);
    SC_AUTO_FREE char *path = local(w, &theirs);
    sc_objects_unpin(w->objects, &theirs);
    struct other_handle other = {w, theirs, ready[1], finish[0]};
    pid_t pid = start_child(hold_a_pin, &other);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    SC_AUTO_FREE char *second = local(w, &ours);
    assert_int_equal(access(second, F_OK), 0);
    sc_objects_unpin(w->objects, &ours);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(write(finish[1], &byte, 1), 1);
    assert_int_equal(wait_child(pid), 0);
    SC_AUTO_FREE char *third = local(w, &last);
    assert_int_equal(access(third, F_OK), 0);
    sc_objects_unpin(w->objects, &last);
    assert_int_not_equal(access(path, F_OK), 0);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(finish[i]);
    }
}

static int lay_out(void *context)
{
    struct other_handle *o = context;
    struct sc_store *store = NULL;
    struct sc_objects *objects = NULL;
    struct sc_error err = SC_ERROR_INIT;
    struct stat first, last;
    char byte = 1;
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, 0);
    enum sc_rc rc = sc_store_open(o->w->url, &store, &err);
    struct sc_objects_config config = {.store = store, .domain = MAIN, .layout_folder = o->w->layout};
    if (rc == SC_OK)
        rc = sc_objects_new(&config, &objects, &err);
    if (rc == SC_OK)
        rc = sc_objects_local(objects, &o->pinned, &path, NULL, &err);
    if (rc != SC_OK)
        fprintf(stderr, "%s\n", err.message);
    // It lies there, the same one, until all others have theirs, too.
    bool there = rc == SC_OK && lstat(sc_buf_cstr(&path), &first) == 0;
    bool told = write(o->ready_fd, &byte, 1) == 1 && read(o->end_fd, &byte, 1) == 1;
    bool stays = there && told && lstat(sc_buf_cstr(&path), &last) == 0 && last.st_ino == first.st_ino;
    sc_objects_free(objects);
    sc_store_close(store);
    return rc != SC_OK ? 2 : stays ? 0 : 3;
}

static void lay_out_at_once(struct world *w, const struct sc_artifact *artifact)
{
    enum { HANDLES = 6 };
    pid_t pids[HANDLES];
    int ready[2], finish[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(finish, O_CLOEXEC), 0);
    for (int i = 0; i < HANDLES; i++) {
        struct other_handle other = {w, *artifact, ready[1], finish[0]};
        pids[i] = start_child(lay_out, &other);
    }
    for (int i = 0; i < HANDLES; i++)
        assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(write(finish[1], "finish", HANDLES), HANDLES);
    for (int i = 0; i < HANDLES; i++)
        assert_int_equal(wait_child(pids[i]), 0);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(finish[i]);
    }
}

static void test_objects_folder_laid_out_by_several_at_once_is_whole(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    for (int round = 0; round < 20; round++) {
        SC_AUTO_FREE char *trees = sc_scratch_path(w->layout, "trees");
        struct sc_error err = SC_ERROR_INIT;
        assert_ok(sc_dir_remove(trees, &err), err);
        lay_out_at_once(w, &artifact);
    }
    SC_AUTO_FREE char *path = local(w, &artifact);
    assert_tree_at(path, &artifact);
    sc_objects_unpin(w->objects, &artifact);
}

static void test_objects_layout_on_another_file_system_is_a_copy(void **state)
{
    struct world *w = *state;
    struct sc_tree tree;
    end_life(w);
    bool mounted = mount_small(w->scratch, "layout", "size=8m");
    begin_life(w);
    if (!mounted)
        skip();
    struct sc_artifact artifact = put_folder(w, "input", &tree);
    SC_AUTO_FREE char *path = local(w, &artifact);
    assert_tree_at(path, &artifact);
    sc_objects_unpin(w->objects, &artifact);
    sync_store(w);
    next_life(w);
    SC_AUTO_FREE char *again = local(w, &artifact);
    assert_tree_at(again, &artifact);
    sc_objects_unpin(w->objects, &artifact);
    end_life(w);
    umount2(w->layout, MNT_DETACH);
    begin_life(w);
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

// ---- many small files, elsewhere

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

// ---- what a collector may remove is put again

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
        T(test_objects_bytes_come_back_and_are_put_once),
        T(test_objects_of_more_than_half_the_horizon_are_put_again),
        T(test_objects_of_a_folder_are_touched_when_a_writer_counts_on_old_ones),
        T(test_objects_that_a_writer_counts_on_are_there_whatever_a_collector_does),
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
        T(test_objects_local_file_is_the_object_itself),
        T(test_objects_local_executable_is_a_copy_made_once),
        T(test_objects_local_inline_needs_no_store),
        T(test_objects_local_folder_is_laid_out_once_and_read_only),
        T(test_objects_damaged_layout_is_noticed_in_the_next_life_and_laid_out_again),
        T(test_objects_layout_whose_object_was_tampered_with_is_corrupt_and_names_it),
        T(test_objects_fan_in_is_the_folder_that_its_entries_make),
        T(test_objects_layouts_least_recently_used_leave_and_never_a_pinned_one),
        T(test_objects_layout_pinned_by_another_process_stays_until_that_dies),
        T(test_objects_folder_laid_out_by_several_at_once_is_whole),
        T(test_objects_layout_on_another_file_system_is_a_copy),
        T(test_objects_presence_tells_missing_cut_and_inline),
        T(test_objects_flipped_byte_of_a_tree_object_is_corrupt_and_a_put_heals_it),
        T(test_objects_large_sparse_file_goes_in_and_out_sparse),
        T(test_objects_small_files_elsewhere_go_in_packs),
        T(test_objects_what_was_seen_elsewhere_is_believed_for_a_while_only),
        T(test_objects_damaged_pack_is_corrupt_and_a_forced_put_heals_it),
        T(test_objects_file_that_changed_is_busy_and_never_packed),
    };
    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
