// What steps are given: objects and folders laid out here, and the bound on those.
#include "tests/unit/objects_test.h"

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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv)
{
    if (!sc_store_place_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("objects_local", tests, NULL, NULL);
}
