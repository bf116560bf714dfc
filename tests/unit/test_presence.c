#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "agent/shell/presence.h"
#include "base/os/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

struct fixture {
    char *folder, *lock;
    int fd;
    struct sc_presence presence;
};

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    f->folder = sc_scratch_new();
    f->lock = sc_scratch_path(f->folder, "coordinator.lock");
    f->fd = -1;
    f->presence.lock = f->lock;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->fd >= 0)
        sc_fd_close(f->fd);
    if (f->presence.seen)
        sc_fd_close(f->presence.fd);
    sc_scratch_remove(f->folder);
    free(f->lock);
    free(f);
    return 0;
}

static void hold(struct fixture *f)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_file_lock(f->lock, &f->fd, &err), err);
}

// When it counts as gone, asked as often as it wants to be, from this moment on; -1: not within an hour.
static int64_t gone_after(struct fixture *f, int64_t from_ms, bool welcomed)
{
    for (int64_t now = from_ms; now < from_ms + 3600000; now = sc_presence_next(&f->presence))
        if (sc_presence_is_gone(&f->presence, now, welcomed))
            return now - from_ms;
    return -1;
}

static void test_coordinator_that_never_was_is_gone_soon(void **state)
{
    assert_int_equal(gone_after(*state, 5000, false), 500);
}

static void test_coordinator_that_holds_its_lock_is_there_however_silent(void **state)
{
    struct fixture *f = *state;
    hold(f);
    assert_int_equal(gone_after(f, 5000, false), -1);
    assert_int_equal(gone_after(f, 10000000, true), -1);
}

static void test_one_that_fell_may_be_started_again(void **state)
{
    struct fixture *f = *state;
    hold(f);
    assert_false(sc_presence_is_gone(&f->presence, 5000, true));
    sc_fd_close(f->fd);
    assert_false(sc_presence_is_gone(&f->presence, 6000, true));
    assert_false(sc_presence_is_gone(&f->presence, 8900, true));
    hold(f);
    assert_false(sc_presence_is_gone(&f->presence, 9100, true));
    sc_fd_close(f->fd);
    f->fd = -1;
    assert_int_equal(gone_after(f, sc_presence_next(&f->presence), true), 3000);
}

static void test_one_whose_lock_file_was_removed_is_there_till_it_ends(void **state)
{
    struct fixture *f = *state;
    hold(f);
    assert_false(sc_presence_is_gone(&f->presence, 5000, false));
    assert_int_equal(unlink(f->lock), 0);
    assert_int_equal(gone_after(f, sc_presence_next(&f->presence), true), -1);
    sc_fd_close(f->fd);
    f->fd = -1;
    assert_int_equal(gone_after(f, sc_presence_next(&f->presence), true), 3000);
}

static void test_the_next_one_counts_though_the_lock_file_was_removed(void **state)
{
    struct fixture *f = *state;
    hold(f);
    assert_false(sc_presence_is_gone(&f->presence, 5000, true));
    assert_int_equal(unlink(f->lock), 0);
    sc_fd_close(f->fd);
    hold(f);
    assert_int_equal(gone_after(f, sc_presence_next(&f->presence), true), -1);
}

static void test_one_that_welcomed_and_whose_lock_was_never_seen_is_there(void **state)
{
    assert_int_equal(gone_after(*state, 5000, true), -1);
}

static void test_without_a_descriptor_nobody_is_gone(void **state)
{
    struct rlimit was, none;
    hold(*state);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){0, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int64_t stranger = gone_after(*state, 5000, false), host = gone_after(*state, 10000000, true);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(stranger, -1);
    assert_int_equal(host, -1);
}

static void test_without_a_lock_it_is_never_looked_at(void **state)
{
    struct fixture *f = *state;
    f->presence.lock = NULL;
    assert_int_equal(sc_presence_next(&f->presence), INT64_MAX);
    assert_false(sc_presence_is_gone(&f->presence, 5000, false));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_coordinator_that_never_was_is_gone_soon),
        TEST(test_coordinator_that_holds_its_lock_is_there_however_silent),
        TEST(test_one_that_fell_may_be_started_again),
        TEST(test_one_whose_lock_file_was_removed_is_there_till_it_ends),
        TEST(test_the_next_one_counts_though_the_lock_file_was_removed),
        TEST(test_one_that_welcomed_and_whose_lock_was_never_seen_is_there),
        TEST(test_without_a_descriptor_nobody_is_gone),
        TEST(test_without_a_lock_it_is_never_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
