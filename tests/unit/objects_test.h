// What the tests of store/object.h share: a store, a memo and a handle; what tests put and how they look at it.
#pragma once

#include "tests/unit/store_test.h"

#include "store/names.h"
#include "store/object.h"

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

static UNUSED_OK void begin_life(struct world *w)
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

static UNUSED_OK void end_life(struct world *w)
{
    struct sc_error err = SC_ERROR_INIT;
    sc_objects_free(w->objects);
    assert_ok(sc_memo_save(w->memo, &err), err);
    sc_memo_close(w->memo);
    sc_store_close(w->store);
}

static UNUSED_OK void next_life(struct world *w)
{
    end_life(w);
    begin_life(w);
}

static UNUSED_OK int setup(void **state)
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

static UNUSED_OK int teardown(void **state)
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

static UNUSED_OK char *object_name(const struct sc_digest *digest, bool tree)
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
static UNUSED_OK char *object_path(const struct world *w, const struct sc_digest *digest)
{
    SC_AUTO_BUF struct sc_buf path;
    SC_AUTO_FREE char *name = object_name(digest, false);
    sc_buf_init(&path, 0);
    assert_true(sc_store_local_path(w->store, sc_slice_str(name), &path));
    return sc_strdup(sc_buf_cstr(&path));
}

static UNUSED_OK bool is_stored(struct world *w, const char *name)
{
    return object_op(w->store, SC_STORE_HEAD, name) == SC_OK;
}

static UNUSED_OK struct sc_digest put_text(struct world *w, const char *text, bool force)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest digest;
    assert_ok(sc_objects_put_bytes(w->objects, sc_slice_str(text), force, &digest, &err), err);
    return digest;
}

static UNUSED_OK enum sc_rc get_text(struct world *w, const struct sc_digest *digest, const char *want)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&bytes, 0);
    enum sc_rc rc = sc_objects_get_bytes(w->objects, digest, 1 << 20, &bytes, &err);
    if (rc == SC_OK)
        assert_slice(sc_buf_slice(&bytes), want);
    return rc;
}

static UNUSED_OK void sync_store(struct world *w)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_objects_sync(w->objects, &err), err);
}

static UNUSED_OK uint64_t put_count(const struct world *w)
{
    return sc_store_counts(w->store).puts;
}

static UNUSED_OK struct sc_artifact text_artifact(struct world *w, const char *text, bool exec)
{
    struct sc_digest digest = put_text(w, text, false);
    return (struct sc_artifact){
        .kind = SC_ARTIFACT_FILE, .exec = exec, .digest = digest, .bytes = strlen(text), .files = 1};
}

// The name of the object that holds the folder's file with this text: itself, or elsewhere the folder's only pack.
static UNUSED_OK char *small_file_name(struct world *w, const struct sc_artifact *folder, const char *text)
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

static UNUSED_OK void lose_small_file(struct world *w, const struct sc_artifact *folder, const char *text)
{
    SC_AUTO_FREE char *name = small_file_name(w, folder, text);
    assert_rc(object_op(w->store, SC_STORE_REMOVE, name), SC_OK);
}

// A folder with all that a tree can hold, hashed and put.
static UNUSED_OK struct sc_artifact put_folder(struct world *w, const char *name, struct sc_tree *ret_tree)
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

static UNUSED_OK char *local(struct world *w, const struct sc_artifact *artifact)
{
    SC_AUTO_BUF struct sc_buf path;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&path, 0);
    assert_ok(sc_objects_local(w->objects, artifact, &path, NULL, &err), err);
    return sc_strdup(sc_buf_cstr(&path));
}

static UNUSED_OK enum sc_rc try_local(struct world *w, const struct sc_artifact *artifact,
                                      struct sc_digest *ret_lost)
{
    SC_AUTO_BUF struct sc_buf path;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&path, 0);
    enum sc_rc rc = sc_objects_local(w->objects, artifact, &path, ret_lost, &err);
    if (rc == SC_OK)
        sc_objects_unpin(w->objects, artifact);
    return rc;
}

static UNUSED_OK void assert_tree_at(const char *path, const struct sc_artifact *artifact)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_tree tree;
    sc_arena_init(&arena);
    assert_ok(sc_hash_dir(path, NULL, &arena, &tree, &err), err);
    assert_true(sc_digest_eq(&tree.nodes.items[0].digest, &artifact->digest));
}
