#include "tests/unit/store_test.h"

#include "store/volume.h"

#include <linux/loop.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>

// What children end with.
enum { AS_IT_SHOULD = 0, WRONG = 1, CANNOT = 77 };

static struct sc_volume volume_at(const char *path)
{
    SC_AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    return fd >= 0 ? sc_volume_of(fd) : (struct sc_volume){0};
}

static bool may_mount(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void assert_child(int (*run)(void *), void *context)
{
    int status = wait_child(start_child(run, context));
    if (status == CANNOT)
        print_message("skipped: no such mount can be made here\n");
    else
        assert_int_equal(status, AS_IT_SHOULD);
}

static void test_volume_is_the_one_of_its_files(void **state)
{
    PATH(file, "f");
    write_text(file, "x");
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    struct sc_volume folder = volume_at(*state), of_file = volume_at(file);
    assert_true(folder.dev == (uint64_t)st.st_dev && of_file.dev == folder.dev);
    assert_true(folder.fsid == of_file.fsid && folder.trust == of_file.trust);
    struct statfs fs;
    assert_int_equal(statfs(file, &fs), 0);
    if (fs.f_type == EXT4_SUPER_MAGIC)
        assert_true(folder.fsid != 0);
}

static void test_volume_where_stores_leave_no_trace_is_told(void **state)
{
    (void)state;
    SC_AUTO_CLOSE int fd = memfd_create("stepcache-volume", MFD_CLOEXEC); // lies on a tmpfs
    assert_int_equal(sc_volume_of(fd).trust, SC_VOLUME_UNSTAMPED);
}

static int bind_read_only(void *folder)
{
    struct sc_volume before = volume_at(folder);
    if (before.trust != SC_VOLUME_STAMPS || !may_mount() || mount(folder, folder, NULL, MS_BIND, NULL) ||
        mount("none", folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
        return CANNOT;
    struct sc_volume after = volume_at(folder);
    return after.trust == SC_VOLUME_STAMPS && after.dev == before.dev && after.fsid == before.fsid
               ? AS_IT_SHOULD
               : WRONG;
}

// Others write to the file system, as where a container sees a folder of its host.
static void test_volume_that_is_read_only_here_alone_stamps(void **state)
{
    assert_child(bind_read_only, *state);
}

// An ext4 image on a loop device, which goes with its mount.
static bool mount_image(const char *folder, unsigned long flags)
{
    SC_AUTO_FREE char *image = sc_asprintf("%s/image", folder), *at = sc_asprintf("%s/at", folder);
    SC_AUTO_FREE char *make =
        sc_asprintf("truncate -s 4M '%s' && mke2fs -q -F -t ext4 '%s' 2>/dev/null", image, image);
    if (!may_mount() || system(make) != 0 || mkdir(at, 0755)) // NOLINT(cert-env33-c): names of our own
        return false;
    SC_AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    for (int tries = 0; control >= 0 && tries < 20; tries++) { // another may be faster
        char device[32];
        snprintf(device, sizeof device, "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
        SC_AUTO_CLOSE int loop = open(device, O_RDWR | O_CLOEXEC);
        SC_AUTO_CLOSE int file = open(image, O_RDWR | O_CLOEXEC);
        struct loop_config config = {.fd = (uint32_t)file, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
        if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
            return mount(device, at, "ext4", flags, NULL) == 0;
    }
    return false;
}

static int image(void *folder)
{
    SC_AUTO_FREE char *at = sc_asprintf("%s/at", (char *)folder);
    if (!mount_image(folder, 0))
        return CANNOT;
    struct sc_volume volume = volume_at(at);
    return volume.trust == SC_VOLUME_IMAGE && volume.fsid != volume_at(folder).fsid ? AS_IT_SHOULD : WRONG;
}

static int read_only_image(void *folder)
{
    SC_AUTO_FREE char *at = sc_asprintf("%s/at", (char *)folder);
    if (!mount_image(folder, MS_RDONLY))
        return CANNOT;
    return volume_at(at).trust == SC_VOLUME_READ_ONLY ? AS_IT_SHOULD : WRONG;
}

static void test_volume_in_a_file_is_told(void **state)
{
    assert_child(image, *state);
}

static void test_volume_that_nobody_writes_is_told(void **state)
{
    assert_child(read_only_image, *state);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_volume_is_the_one_of_its_files),
        T(test_volume_where_stores_leave_no_trace_is_told),
        T(test_volume_that_is_read_only_here_alone_stamps),
        T(test_volume_in_a_file_is_told),
        T(test_volume_that_nobody_writes_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
