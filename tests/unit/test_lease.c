#include "tests/unit/store_test.h"

#include "store/lease.h"

#include <errno.h>
#include <sys/mman.h>

static int open_new(const char *path)
{
    write_text(path, "leased");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void test_lease_of_a_file_with_a_writer_is_refused(void **state)
{
    PATH(path, "f");
    int fd = open_new(path), writer = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(sc_lease_take(fd), SC_LEASE_WRITER);
    sc_fd_close(writer);
    assert_int_equal(sc_lease_take(fd), SC_LEASE_HELD);
    sc_lease_drop(fd);
    sc_fd_close(fd);
}

static int open_for_writing(void *context)
{
    int fd = open(context, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 ? 0 : errno;
}

// The kernel sends a signal to whoever holds it; we are still here, and the writer gets the file once it is dropped.
static void test_lease_that_a_writer_breaks_does_not_end_the_holder(void **state)
{
    PATH(path, "f");
    int fd = open_new(path);
    assert_int_equal(sc_lease_take(fd), SC_LEASE_HELD);
    assert_int_equal(wait_child(start_child(open_for_writing, path)), EWOULDBLOCK);
    sc_lease_drop(fd);
    assert_int_equal(wait_child(start_child(open_for_writing, path)), 0);
    sc_fd_close(fd);
}

static void test_lease_of_what_has_none_is_unknown(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(sc_lease_take(ends[0]), SC_LEASE_UNKNOWN);
    sc_fd_close(ends[0]);
    sc_fd_close(ends[1]);
}

static void assert_free_unless_mapped(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), writer = open(path, O_RDWR | O_CLOEXEC);
    struct sc_volume volume = sc_volume_of(fd), unknown = {.dev = volume.dev};
    assert_true(fd >= 0 && writer >= 0);
    if (!volume.tells_writers) {
        print_message("skipped: %s does not lie where leases tell of writers\n", path);
    } else {
        assert_false(sc_lease_is_free(fd, &volume));
        void *mapped = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
        assert_true(mapped != MAP_FAILED);
        sc_close_fd(&writer);
        assert_false(sc_lease_is_free(fd, &volume));
        assert_int_equal(munmap(mapped, 1), 0);
        assert_true(sc_lease_is_free(fd, &volume));
        assert_false(sc_lease_is_free(fd, &unknown));
    }
    sc_close_fd(&writer);
    sc_fd_close(fd);
}

static void test_lease_tells_of_descriptors_and_of_mappings_without_one(void **state)
{
    PATH(path, "f");
    write_text(path, "leased");
    assert_free_unless_mapped(path);
    int memory = memfd_create("stepcache-lease", MFD_CLOEXEC); // lies on a tmpfs
    assert_int_equal(ftruncate(memory, 1), 0);
    SC_AUTO_FREE char *self = sc_asprintf("/proc/self/fd/%d", memory);
    int reader = open(self, O_RDONLY | O_CLOEXEC);
    SC_AUTO_FREE char *by_reader = sc_asprintf("/proc/self/fd/%d", reader);
    sc_fd_close(memory);
    assert_free_unless_mapped(by_reader);
    sc_fd_close(reader);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_lease_of_a_file_with_a_writer_is_refused),
        T(test_lease_that_a_writer_breaks_does_not_end_the_holder),
        T(test_lease_of_what_has_none_is_unknown),
        T(test_lease_tells_of_descriptors_and_of_mappings_without_one),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
