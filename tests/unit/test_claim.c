#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/claim.h"

static void remove_folder(const char *path)
{
    (void)rmdir(path);
}

static void test_claims_of_one_parent_are_folders_of_their_own(void **state)
{
    struct sc_claim one, other;
    struct sc_error err = SC_ERROR_INIT;
    struct stat st;
    SC_AUTO_FREE char *prefix = sc_scratch_path(*state, "a-");
    assert_ok(sc_claim_make(*state, "a-", 0700, &one, &err), err);
    assert_ok(sc_claim_make(*state, "a-", 0700, &other, &err), err);
    assert_string_not_equal(one.path, other.path);
    assert_memory_equal(one.path, prefix, strlen(prefix));
    assert_int_equal(stat(one.path, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    sc_claim_done(&one);
    sc_claim_done(&other);
    sc_claim_done(&other); // no claim any more
}

static void test_claim_in_a_missing_folder_fails_and_names_it(void **state)
{
    struct sc_claim claim;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *none = sc_scratch_path(*state, "none");
    assert_rc(sc_claim_make(none, "a-", 0700, &claim, &err), SC_NOT_FOUND);
    assert_contains(err.message, none);
}

static void test_sweep_spares_the_living_and_other_names(void **state)
{
    struct sc_claim living, other;
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_claim_make(*state, "a-", 0700, &living, &err), err);
    assert_ok(sc_claim_make(*state, "b-", 0700, &other, &err), err);
    SC_AUTO_FREE char *path = sc_strdup(living.path), *other_path = sc_strdup(other.path);
    sc_claim_done(&other);
    sc_claim_sweep(*state, "a-", remove_folder);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(access(other_path, F_OK), 0);
    sc_claim_done(&living);
    sc_claim_sweep(*state, "a-", remove_folder);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(other_path, F_OK), 0);
}

// As it stays in a container whose first process does not reap.
static void test_sweep_takes_a_killed_holder_for_dead_before_it_is_reaped(void **state)
{
    int up[2];
    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sc_claim claim;
        if (sc_claim_make(*state, "a-", 0700, &claim, NULL) != SC_OK ||
            write(up[1], claim.path, strlen(claim.path)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    char path[4096] = "";
    close(up[1]);
    assert_true(read(up[0], path, sizeof path - 1) > 0);
    sc_claim_sweep(*state, "a-", remove_folder);
    assert_int_equal(access(path, F_OK), 0);
    siginfo_t info;
    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(kill(child, 0), 0); // its pid is still there
    sc_claim_sweep(*state, "a-", remove_folder);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(up[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_claims_of_one_parent_are_folders_of_their_own),
        TEST(test_claim_in_a_missing_folder_fails_and_names_it),
        TEST(test_sweep_spares_the_living_and_other_names),
        TEST(test_sweep_takes_a_killed_holder_for_dead_before_it_is_reaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
