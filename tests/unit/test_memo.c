#include "tests/unit/store_test.h"

#include "store/memo.h"

#include <sys/mman.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

static const struct sc_volume here = {.dev = 7, .fsid = 1};

static struct stat stat_at(uint64_t ino, int64_t time_s)
{
    return (struct stat){
        .st_dev = 7, .st_ino = ino, .st_size = 10, .st_mtim = {time_s, 0}, .st_ctim = {time_s, 0}};
}

static int64_t moment_of(int fd)
{
    struct sc_volume volume = sc_volume_of(fd);
    return sc_memo_moment(fd, &volume);
}

static struct sc_digest number_digest(uint64_t number)
{
    return sc_digest_of(sc_slice(&number, sizeof number));
}

static void remember(struct sc_memo *memo, uint64_t ino)
{
    struct stat st = stat_at(ino, 100);
    struct sc_digest digest = number_digest(ino);
    sc_memo_remember(memo, &here, &st, 200 * SECOND, &digest);
}

static bool knows(struct sc_memo *memo, uint64_t ino)
{
    struct stat st = stat_at(ino, 100);
    struct sc_digest digest, want = number_digest(ino);
    return sc_memo_find(memo, &here, &st, &digest) && sc_digest_eq(&digest, &want);
}

static void test_memo_finds_after_save_and_open(void **state)
{
    PATH(path, "memo");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_memo *memo = sc_memo_open(path, 100000);
    for (uint64_t i = 1; i <= 5000; i++)
        remember(memo, i * i);
    assert_ok(sc_memo_save(memo, &err), err);
    sc_memo_close(memo);
    memo = sc_memo_open(path, 100000);
    for (uint64_t i = 1; i <= 5000; i++)
        assert_true(knows(memo, i * i));
    assert_false(knows(memo, 2));
    sc_memo_close(memo);
}

static void test_memo_any_change_of_identity_is_a_miss(void **state)
{
    PATH(path, "memo");
    struct sc_memo *memo = sc_memo_open(path, 10);
    struct sc_digest digest;
    remember(memo, 5);
    const struct stat was = stat_at(5, 100);
    struct stat st = was;
    assert_true(sc_memo_find(memo, &here, &st, &digest));
    st.st_size++;
    assert_false(sc_memo_find(memo, &here, &st, &digest));
    st = was;
    st.st_mtim.tv_nsec++;
    assert_false(sc_memo_find(memo, &here, &st, &digest));
    st = was;
    st.st_ctim.tv_nsec++;
    assert_false(sc_memo_find(memo, &here, &st, &digest));
    st = was;
    st.st_dev++;
    assert_false(sc_memo_find(memo, &here, &st, &digest));
    sc_memo_close(memo);
}

// As after another file system was mounted under the same device number.
static void test_memo_file_of_another_volume_is_a_miss(void **state)
{
    PATH(path, "memo");
    struct sc_memo *memo = sc_memo_open(path, 10);
    struct sc_digest digest, other = number_digest(6);
    struct sc_volume there = {.dev = here.dev, .fsid = here.fsid + 1},
                     elsewhere = {.dev = 8, .fsid = here.fsid};
    struct stat st = stat_at(5, 100);
    remember(memo, 5);
    assert_false(sc_memo_find(memo, &there, &st, &digest));
    assert_false(sc_memo_find(memo, &elsewhere, &st, &digest)); // and the file not where it was looked for
    assert_true(knows(memo, 5));
    sc_memo_remember(memo, &elsewhere, &st, 200 * SECOND, &other);
    assert_true(knows(memo, 5));
    sc_memo_remember(memo, &there, &st, 200 * SECOND, &other);
    assert_true(sc_memo_find(memo, &there, &st, &digest));
    assert_true(sc_digest_eq(&digest, &other));
    assert_false(knows(memo, 5));
    sc_memo_close(memo);
}

static void test_memo_racy_file_is_not_trusted(void **state)
{
    // A file written in the tick of the clock in which it was hashed can be written again without a trace.
    PATH(path, "memo");
    struct sc_memo *memo = sc_memo_open(path, 10);
    struct sc_digest digest = number_digest(1), found;
    struct stat st = stat_at(1, 100);
    st.st_mtim.tv_nsec = st.st_ctim.tv_nsec = 1;
    sc_memo_remember(memo, &here, &st, 100 * SECOND, &digest);
    assert_false(sc_memo_find(memo, &here, &st, &found));
    sc_memo_remember(memo, &here, &st, 100 * SECOND + 4000000, &digest);
    assert_false(sc_memo_find(memo, &here, &st, &found));
    st.st_mtim.tv_sec = 50; // an old mtime can be set; ctime cannot
    sc_memo_remember(memo, &here, &st, 100 * SECOND + 4000000, &digest);
    assert_false(sc_memo_find(memo, &here, &st, &found));
    sc_memo_remember(memo, &here, &st, 100 * SECOND + 20000000, &digest);
    assert_true(sc_memo_find(memo, &here, &st, &found));
    sc_memo_close(memo);
}

// A file system that keeps whole seconds (FAT: every other one) shows no change within them.
static void test_memo_file_with_coarse_times_is_trusted_two_seconds_later(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "/tmp/stepcache-memo-coarse-%d", (int)getpid());
    struct sc_memo *memo = sc_memo_open(path, 10);
    struct sc_digest digest = number_digest(1), found;
    struct stat st = stat_at(1, 100);
    sc_memo_remember(memo, &here, &st, 102 * SECOND, &digest);
    assert_false(sc_memo_find(memo, &here, &st, &found));
    sc_memo_remember(memo, &here, &st, 103 * SECOND, &digest);
    assert_true(sc_memo_find(memo, &here, &st, &found));
    sc_memo_close(memo);
}

static void test_memo_newer_digest_of_a_file_replaces_the_older(void **state)
{
    PATH(path, "memo");
    struct sc_memo *memo = sc_memo_open(path, 10);
    struct sc_digest other = number_digest(99), found;
    remember(memo, 5);
    struct stat st = stat_at(5, 150);
    sc_memo_remember(memo, &here, &st, 200 * SECOND, &other);
    assert_false(knows(memo, 5));
    assert_true(sc_memo_find(memo, &here, &st, &found));
    assert_true(sc_digest_eq(&found, &other));
    sc_memo_close(memo);
}

static void test_memo_least_recently_used_leave_past_the_bound(void **state)
{
    PATH(path, "memo");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_memo *memo = sc_memo_open(path, 100);
    for (uint64_t i = 1; i <= 100; i++)
        remember(memo, i);
    assert_ok(sc_memo_save(memo, &err), err);
    sc_memo_close(memo);
    memo = sc_memo_open(path, 100); // another life: those that it uses are the younger ones
    for (uint64_t i = 1; i <= 50; i++)
        assert_true(knows(memo, i));
    for (uint64_t i = 201; i <= 250; i++)
        remember(memo, i);
    assert_ok(sc_memo_save(memo, &err), err);
    sc_memo_close(memo);
    memo = sc_memo_open(path, 100);
    for (uint64_t i = 1; i <= 50; i++)
        assert_true(knows(memo, i) && knows(memo, i + 200));
    for (uint64_t i = 51; i <= 100; i++)
        assert_false(knows(memo, i));
    sc_memo_close(memo);
}

static void test_memo_stays_bounded_while_it_is_filled(void **state)
{
    PATH(path, "memo");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_memo *memo = sc_memo_open(path, 100);
    struct stat st;
    for (uint64_t i = 1; i <= 10000; i++)
        remember(memo, i);
    assert_true(knows(memo, 10000));
    assert_ok(sc_memo_save(memo, &err), err);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size <= 40 + 100 * 84);
    sc_memo_close(memo);
}

static void test_memo_damaged_file_is_an_empty_memo(void **state)
{
    PATH(path, "memo");
    struct sc_error err = SC_ERROR_INIT;
    static const off_t places[] = {0, 8, 16, 32, 40, 100, 799};
    for (size_t i = 0; i < SC_COUNT(places); i++) {
        struct sc_memo *memo = sc_memo_open(path, 100);
        for (uint64_t k = 1; k <= 10; k++)
            remember(memo, k);
        assert_ok(sc_memo_save(memo, &err), err);
        sc_memo_close(memo);
        flip_byte(path, places[i], false);
        memo = sc_memo_open(path, 100);
        assert_false(knows(memo, 1) || knows(memo, 10));
        sc_memo_close(memo);
    }
    assert_int_equal(truncate(path, 300), 0);
    struct sc_memo *memo = sc_memo_open(path, 100);
    assert_false(knows(memo, 1));
    sc_memo_close(memo);
}

static void test_memo_unchanged_is_not_written(void **state)
{
    PATH(path, "memo");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_memo *memo = sc_memo_open(path, 100);
    assert_ok(sc_memo_save(memo, &err), err);
    assert_int_not_equal(access(path, F_OK), 0);
    sc_memo_close(memo);
}

static void test_memo_save_tells_what_it_could_not_write(void **state)
{
    PATH(path, "missing/memo");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_memo *memo = sc_memo_open(path, 100);
    remember(memo, 1);
    assert_rc(sc_memo_save(memo, &err), SC_NOT_FOUND);
    assert_contains(err.message, "missing/memo");
    sc_memo_close(memo);
}

// A file that rests, on a file system that the memo serves; -1 after saying why not.
static int resting_file(const char *path)
{
    write_text(path, "0");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (moment_of(fd) != SC_MEMO_NEVER)
        return fd;
    print_message("skipped: the memo keeps nothing of the file system of %s\n", path);
    sc_fd_close(fd);
    return -1;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static void test_memo_moment_of_a_file_without_a_writer_is_now(void **state)
{
    PATH(path, "f");
    int fd = resting_file(path);
    if (fd < 0)
        return;
    int64_t before = now_ns(), moment = moment_of(fd);
    assert_true(before <= moment && moment <= now_ns());
    sc_fd_close(fd);
}

static void test_memo_moment_of_a_file_with_a_writer_is_never(void **state)
{
    PATH(path, "f");
    int fd = resting_file(path);
    if (fd < 0)
        return;
    int writer = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(moment_of(fd) == SC_MEMO_NEVER);
    sc_fd_close(writer);
    writer = open(path, O_RDWR | O_CLOEXEC);
    void *mapping = mmap(NULL, 1, PROT_READ, MAP_SHARED, writer, 0); // mprotect can make it writable
    assert_true(mapping != MAP_FAILED);
    sc_fd_close(writer);
    assert_true(moment_of(fd) == SC_MEMO_NEVER);
    munmap(mapping, 1);
    assert_true(moment_of(fd) != SC_MEMO_NEVER);
    sc_fd_close(fd);
}

static int moment_for_another_user(void *context)
{
    const int *fd = context;
    int64_t before = now_ns();
    if (setresuid(65534, 65534, 65534))
        return 2;
    int64_t moment = moment_of(*fd);
    return moment == SC_MEMO_NEVER ? 3 : moment > before - 59 * SECOND;
}

// Who may not take a lease is told of no writer: the pages are written back, and only an older file is remembered.
static void test_memo_moment_of_another_users_file_is_a_minute_ago_and_later_stores_stamp(void **state)
{
    PATH(path, "f");
    int fd = resting_file(path);
    if (fd < 0)
        return;
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        sc_fd_close(fd);
        return;
    }
    int writer = open(path, O_RDWR | O_CLOEXEC);
    volatile char *byte = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
    assert_true(byte != MAP_FAILED);
    struct stat st, then;
    *byte = '1';
    assert_int_equal(wait_child(start_child(moment_for_another_user, &fd)), 0);
    assert_int_equal(fstat(fd, &st), 0);
    do { // till the clock that stamps has moved on
        assert_int_equal(futimens(fd, (struct timespec[]){{0}, st.st_mtim}), 0);
        assert_int_equal(fstat(fd, &then), 0);
    } while (then.st_ctim.tv_sec == st.st_ctim.tv_sec && then.st_ctim.tv_nsec == st.st_ctim.tv_nsec);
    *byte = '2';
    assert_int_equal(fstat(fd, &then), 0);
    assert_true(then.st_mtim.tv_sec != st.st_mtim.tv_sec || then.st_mtim.tv_nsec != st.st_mtim.tv_nsec);
    munmap((void *)(uintptr_t)byte, 1);
    sc_fd_close(writer);
    sc_fd_close(fd);
}

static void test_memo_moment_where_stores_leave_no_trace_is_never(void **state)
{
    (void)state;
    int fd = memfd_create("stepcache-memo", MFD_CLOEXEC); // lies on a tmpfs
    assert_true(fd >= 0);
    assert_true(moment_of(fd) == SC_MEMO_NEVER);
    sc_fd_close(fd);
}

static void test_memo_digest_taken_at_no_moment_is_not_remembered(void **state)
{
    PATH(path, "memo");
    struct sc_memo *memo = sc_memo_open(path, 10);
    struct sc_digest digest = number_digest(1);
    struct stat st = stat_at(1, 100);
    sc_memo_remember(memo, &here, &st, SC_MEMO_NEVER, &digest);
    assert_false(sc_memo_find(memo, &here, &st, &digest));
    sc_memo_close(memo);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_memo_finds_after_save_and_open),
        T(test_memo_any_change_of_identity_is_a_miss),
        T(test_memo_file_of_another_volume_is_a_miss),
        T(test_memo_racy_file_is_not_trusted),
        T(test_memo_file_with_coarse_times_is_trusted_two_seconds_later),
        T(test_memo_newer_digest_of_a_file_replaces_the_older),
        T(test_memo_least_recently_used_leave_past_the_bound),
        T(test_memo_stays_bounded_while_it_is_filled),
        T(test_memo_damaged_file_is_an_empty_memo),
        T(test_memo_unchanged_is_not_written),
        T(test_memo_save_tells_what_it_could_not_write),
        T(test_memo_moment_of_a_file_without_a_writer_is_now),
        T(test_memo_moment_of_a_file_with_a_writer_is_never),
        T(test_memo_moment_of_another_users_file_is_a_minute_ago_and_later_stores_stamp),
        T(test_memo_moment_where_stores_leave_no_trace_is_never),
        T(test_memo_digest_taken_at_no_moment_is_not_remembered),
    };
    return cmocka_run_group_tests_name("memo", tests, NULL, NULL);
}
