#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/file.h"
#include "proto/places.h"

static const char *const variables[] = {"HOME",
                                        "XDG_RUNTIME_DIR",
                                        "XDG_STATE_HOME",
                                        "XDG_CACHE_HOME",
                                        "STEPCACHE_STORE",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_PROFILE",
                                        "AWS_DEFAULT_PROFILE",
                                        "AWS_CONFIG_FILE"};

struct fixture {
    char *folder, *runtime, *saved[SC_COUNT(variables)];
    struct sc_arena arena;
    struct sc_places places;
    struct sc_error err;
};

// HOME and the runtime folder lie in the scratch folder, the other variables are not set.
static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    f->folder = sc_scratch_new();
    f->runtime = sc_scratch_path(f->folder, "run");
    sc_arena_init(&f->arena);
    for (size_t i = 0; i < SC_COUNT(variables); i++) {
        const char *value = getenv(variables[i]);
        f->saved[i] = value ? sc_strdup(value) : NULL;
        unsetenv(variables[i]);
    }
    setenv("HOME", f->folder, 1);
    setenv("XDG_RUNTIME_DIR", f->runtime, 1);
    *state = f;
    return mkdir(f->runtime, 0700);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < SC_COUNT(variables); i++) {
        if (f->saved[i])
            setenv(variables[i], f->saved[i], 1);
        else
            unsetenv(variables[i]);
        free(f->saved[i]);
    }
    sc_arena_done(&f->arena);
    free(f->runtime);
    sc_scratch_remove(f->folder);
    free(f);
    return 0;
}

static enum sc_rc find(struct fixture *f)
{
    return sc_places_find(&f->arena, &f->places, &f->err);
}

static void assert_below(struct fixture *f, const char *path, const char *rest)
{
    SC_AUTO_FREE char *want = sc_scratch_path(f->folder, rest);
    assert_string_equal(path, want);
}

static void assert_private(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_places_below_home_and_the_runtime_folder(void **state)
{
    struct fixture *f = *state;
    assert_ok(find(f), f->err);
    SC_AUTO_FREE char *client = sc_asprintf("ipc://%s/client.sock", f->places.sockets);
    SC_AUTO_FREE char *agent = sc_asprintf("ipc://%s/agent.sock", f->places.sockets);
    SC_AUTO_FREE char *tether = sc_asprintf("%s/tether.sock", f->places.sockets);
    assert_below(f, f->places.runtime, "run/stepcache");
    assert_below(f, f->places.state, ".local/state/stepcache");
    assert_below(f, f->places.cache, ".cache/stepcache");
    assert_below(f, f->places.store, ".cache/stepcache/store");
    assert_string_equal(f->places.tether, tether);
    assert_int_equal(strncmp(f->places.sockets, f->places.runtime, strlen(f->places.runtime)), 0);
    assert_below(f, f->places.coordinator_state, ".local/state/stepcache/coordinator");
    assert_below(f, f->places.agent_state, ".cache/stepcache/agent");
    assert_string_equal(f->places.client_endpoint, client);
    assert_string_equal(f->places.agent_endpoint, agent);
    assert_private(f->places.runtime);
    assert_private(f->places.store);
    assert_private(f->places.coordinator_state);
    assert_private(f->places.agent_state);
    assert_ok(find(f), f->err); // again, with everything there
}

// Two of one user below one runtime folder: neither's run is to be joined to the other's store.
static void test_places_another_home_is_another_session(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"};
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        assert_ok(find(f), f->err);
        SC_AUTO_FREE char *before = sc_strdup(f->places.sockets);
        SC_AUTO_FREE char *other = sc_scratch_path(f->folder, names[i]);
        setenv(names[i], other, 1);
        assert_ok(find(f), f->err);
        assert_string_not_equal(f->places.sockets, before);
    }
}

static void test_places_xdg_variables_win_and_relative_ones_do_not_count(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *cache = sc_scratch_path(f->folder, "elsewhere");
    setenv("XDG_CACHE_HOME", cache, 1);
    setenv("XDG_STATE_HOME", "relative/state", 1);
    assert_ok(find(f), f->err);
    assert_below(f, f->places.cache, "elsewhere/stepcache");
    assert_below(f, f->places.state, ".local/state/stepcache");
}

static void test_places_runtime_folder_open_to_others_is_refused(void **state)
{
    struct fixture *f = *state;
    static const mode_t modes[] = {0755, 0710, 0701, 0777, 01700};
    assert_ok(find(f), f->err);
    SC_AUTO_FREE char *runtime = sc_scratch_path(f->folder, "run/stepcache");
    for (size_t i = 0; i < SC_COUNT(modes); i++) {
        assert_int_equal(chmod(runtime, modes[i]), 0);
        assert_rc(find(f), SC_DENIED);
        assert_contains(f->err.message, runtime);
        assert_contains(f->err.hint, "chmod 700");
    }
}

static void test_places_runtime_folder_of_another_user_is_refused(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *runtime = sc_scratch_path(f->folder, "run/stepcache");
    if (geteuid() != 0)
        skip(); // only root can give a folder away
    assert_ok(find(f), f->err);
    assert_int_equal(chown(runtime, 65534, 65534), 0);
    assert_rc(find(f), SC_DENIED);
    assert_contains(f->err.message, runtime);
}

static void test_places_runtime_folder_that_is_a_link_is_refused(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *runtime = sc_scratch_path(f->folder, "run/stepcache");
    SC_AUTO_FREE char *target = sc_scratch_path(f->folder, "target");
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(symlink(target, runtime), 0);
    assert_rc(find(f), SC_DENIED);
}

static void assert_in_tmp(struct fixture *f, const char *rest)
{
    SC_AUTO_FREE char *want = sc_asprintf("/tmp/stepcache-%u%s", (unsigned)geteuid(), rest);
    if (strncmp(f->places.runtime, want, strlen(want)) != 0)
        fail_msg("%s is not at %s", f->places.runtime, want);
}

static void test_places_without_a_runtime_folder_are_in_tmp(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *none = sc_scratch_path(f->folder, "none");
    setenv("XDG_RUNTIME_DIR", none, 1); // named, but not there: never made by us
    assert_ok(find(f), f->err);
    assert_in_tmp(f, "");
    assert_int_equal(access(none, F_OK), -1);
    unsetenv("XDG_RUNTIME_DIR");
    assert_ok(find(f), f->err);
    assert_in_tmp(f, "");
}

// After `sudo -E` the variable names another user's folder; root leaves no files there.
static void test_places_another_users_runtime_folder_is_left_alone(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *inside = sc_scratch_path(f->runtime, "stepcache");
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(f->runtime, 65534, 65534), 0);
    assert_ok(find(f), f->err);
    assert_in_tmp(f, "");
    assert_int_equal(access(inside, F_OK), -1);
}

static void test_places_runtime_folder_with_a_long_name_gets_a_short_one(void **state)
{
    struct fixture *f = *state;
    char name[91];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    SC_AUTO_FREE char *first = sc_scratch_path(f->folder, name);
    name[0] = 'm';
    SC_AUTO_FREE char *second = sc_scratch_path(f->folder, name);
    assert_int_equal(mkdir(first, 0700) | mkdir(second, 0700), 0);
    setenv("XDG_RUNTIME_DIR", first, 1);
    assert_ok(find(f), f->err);
    assert_in_tmp(f, "-");
    SC_AUTO_FREE char *runtime = sc_strdup(f->places.runtime);
    assert_ok(find(f), f->err);
    assert_string_equal(f->places.runtime, runtime); // the same each time
    setenv("XDG_RUNTIME_DIR", second, 1);
    assert_ok(find(f), f->err);
    assert_string_not_equal(f->places.runtime, runtime); // and another for another
    assert_true(strlen(f->places.client_endpoint) <= 106);
    rmdir(runtime);
    rmdir(f->places.runtime);
}

// What lies in the folders of one store is nothing to another: index, journal, sockets, locks.
static void assert_apart(struct fixture *f, const char *store, const char *other)
{
    setenv("STEPCACHE_STORE", store, 1);
    assert_ok(find(f), f->err);
    struct sc_places first = f->places;
    setenv("STEPCACHE_STORE", other, 1);
    assert_ok(find(f), f->err);
    assert_string_not_equal(first.client_endpoint, f->places.client_endpoint);
    assert_string_not_equal(first.agent_endpoint, f->places.agent_endpoint);
    assert_string_not_equal(first.tether, f->places.tether);
    assert_string_not_equal(first.coordinator_state, f->places.coordinator_state);
    assert_string_not_equal(first.agent_state, f->places.agent_state);
    assert_string_not_equal(first.logs, f->places.logs);
    assert_string_equal(first.runtime, f->places.runtime);
    assert_string_equal(first.state, f->places.state);
    assert_string_equal(first.cache, f->places.cache);
    assert_private(f->places.sockets);
}

static void test_places_each_store_has_its_own(void **state)
{
    struct fixture *f = *state;
    assert_apart(f, "", "s3://bucket/prefix");
    assert_string_equal(f->places.store, "s3://bucket/prefix");
    assert_apart(f, "s3://bucket/prefix", "s3://bucket/other");
    assert_apart(f, "/nowhere/cache", "dir:/nowhere/other");
    assert_string_equal(f->places.store, "/nowhere/other");
    assert_int_equal(access("/nowhere/other", F_OK), -1); // whoever opens it makes it
    setenv("STEPCACHE_STORE", "s3://bucket/prefix", 1);
    assert_ok(find(f), f->err);
    SC_AUTO_FREE char *usual = sc_strdup(f->places.sockets);
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000", 1);
    assert_ok(find(f), f->err);
    assert_string_not_equal(f->places.sockets, usual); // another server
}

static void assert_same(struct fixture *f, const char *store, const char *other)
{
    setenv("STEPCACHE_STORE", store, 1);
    assert_ok(find(f), f->err);
    char *sockets = f->places.sockets, *name = f->places.store;
    setenv("STEPCACHE_STORE", other, 1);
    assert_ok(find(f), f->err);
    assert_string_equal(f->places.sockets, sockets);
    assert_string_equal(f->places.store, name);
}

// One store by two names has one journal, one index and one coordinator.
static void test_places_a_store_is_one_whatever_it_is_called_by(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_FREE char *real = sc_scratch_path(f->folder, "b \303\251/store"),
                      *link = sc_scratch_path(f->folder, "link");
    SC_AUTO_FREE char *parent = sc_scratch_path(f->folder, "b \303\251"),
                      *slashes = sc_asprintf("%s//", real);
    SC_AUTO_FREE char *dir = sc_asprintf("dir:%s", real);
    SC_AUTO_FREE char *below = sc_asprintf("%s//store/", link);
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(symlink(parent, link), 0);
    assert_same(f, real, slashes);
    assert_same(f, real, dir);
    assert_same(f, real, below);
    assert_string_equal(f->places.store, real);
    SC_AUTO_FREE char *sockets = sc_strdup(f->places.sockets);
    assert_int_equal(mkdir(real, 0700), 0);
    assert_same(f, real, below);
    assert_same(f, link, parent);
    setenv("STEPCACHE_STORE", below, 1);
    assert_ok(find(f), f->err);
    assert_string_equal(f->places.sockets, sockets); // as before it was made
    assert_same(f, "s3://bucket/prefix/?region=eu", "s3://bucket/prefix?region=eu");
    assert_same(f, "s3://bucket/", "s3://bucket");
    SC_AUTO_FREE char *usual = sc_scratch_path(f->folder, ".cache/stepcache/store/");
    assert_same(f, "", usual);
    assert_same(f, "/", "//");
}

// A profile may name the server.
static void test_places_another_profile_is_another_store(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE"};
    setenv("STEPCACHE_STORE", "s3://bucket/prefix", 1);
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        assert_ok(find(f), f->err);
        char *usual = f->places.sockets;
        setenv(names[i], "other", 1);
        assert_ok(find(f), f->err);
        assert_string_not_equal(f->places.sockets, usual);
        unsetenv(names[i]);
    }
}

static void test_places_of_another_user_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {".local/state/stepcache", ".cache/stepcache"};
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        SC_AUTO_FREE char *folder = sc_scratch_path(f->folder, names[i]);
        assert_ok(find(f), f->err);
        assert_int_equal(chown(folder, 65534, 65534), 0);
        assert_rc(find(f), SC_DENIED);
        assert_contains(f->err.message, folder);
        assert_contains(f->err.hint, "sudo");
        assert_int_equal(chown(folder, 0, 0), 0);
    }
}

static void test_places_what_is_no_store_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const wrong[] = {"relative", "dir:relative", "http://x", "s3:/bucket"};
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        setenv("STEPCACHE_STORE", wrong[i], 1);
        assert_rc(find(f), SC_INVALID);
        assert_contains(f->err.message, wrong[i]);
    }
}

static void test_places_need_no_home_when_nothing_lies_below_it(void **state)
{
    struct fixture *f = *state;
    unsetenv("HOME");
    SC_AUTO_FREE char *cache = sc_scratch_path(f->folder, "c");
    SC_AUTO_FREE char *there = sc_scratch_path(f->folder, "s");
    setenv("XDG_CACHE_HOME", cache, 1);
    setenv("XDG_STATE_HOME", there, 1);
    assert_ok(find(f), f->err);
    assert_below(f, f->places.store, "c/stepcache/store");
    assert_below(f, f->places.state, "s/stepcache");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_places_below_home_and_the_runtime_folder),
        TEST(test_places_another_home_is_another_session),
        TEST(test_places_xdg_variables_win_and_relative_ones_do_not_count),
        TEST(test_places_runtime_folder_open_to_others_is_refused),
        TEST(test_places_runtime_folder_of_another_user_is_refused),
        TEST(test_places_runtime_folder_that_is_a_link_is_refused),
        TEST(test_places_without_a_runtime_folder_are_in_tmp),
        TEST(test_places_another_users_runtime_folder_is_left_alone),
        TEST(test_places_runtime_folder_with_a_long_name_gets_a_short_one),
        TEST(test_places_each_store_has_its_own),
        TEST(test_places_a_store_is_one_whatever_it_is_called_by),
        TEST(test_places_another_profile_is_another_store),
        TEST(test_places_of_another_user_are_refused),
        TEST(test_places_what_is_no_store_is_refused),
        TEST(test_places_need_no_home_when_nothing_lies_below_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
