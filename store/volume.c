#include "store/volume.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MAX_LAYERS = 8, SYSFS_BYTES = 320 }; // block devices on one another; a path of a device's folder

// These stamp a file when a page of it is first stored to through a mapping, and again after the page was written back
// (tests/unit/test_memo shows it). Others do not: tmpfs lets a page that was read be written without a word; overlayfs
// hides both the mapping and what lies below; a network's or FUSE's times are somebody else's; an image (squashfs) can be
// made anew with the same times.
static bool stamps_stores(const struct statfs *fs)
{
    return fs->f_type == EXT4_SUPER_MAGIC || fs->f_type == XFS_SUPER_MAGIC || fs->f_type == BTRFS_SUPER_MAGIC;
}

// An overlay grants a lease over a mapping, a network's file system over another machine's writer.
static bool tells_writers(const struct statfs *fs)
{
    return stamps_stores(fs) || fs->f_type == TMPFS_MAGIC;
}

struct mount {
    char source[PATH_MAX];
    bool writable; // the file system, though the mount be read-only
};

static bool mount_of(int fd, struct mount *ret_mount)
{
    struct statx x;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) || !(x.stx_mask & STATX_MNT_ID))
        return false;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    if (!mounts)
        return false;
    SC_AUTO_FREE char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (!found && getline(&line, &room, mounts) > 0) {
        char mode[3];
        const char *rest = strstr(line, " - "); // type, source, the file system's options
        found = strtoull(line, NULL, 10) == x.stx_mnt_id && rest &&
                sscanf(rest, " - %*s %4095s %2s", ret_mount->source, mode) == 2;
        if (found)
            ret_mount->writable = strcmp(mode, "rw") == 0;
    }
    fclose(mounts);
    return found;
}

static bool is_image(const char *device, int layers);

static bool has_image_below(const char *device, int layers)
{
    char path[SYSFS_BYTES];
    snprintf(path, sizeof path, "%s/slaves", device);
    DIR *below = opendir(path);
    if (!below) { // a partition: its disk's
        snprintf(path, sizeof path, "%s/../slaves", device);
        below = opendir(path);
    }
    if (!below)
        return false;
    bool image = false;
    for (const struct dirent *e; !image && (e = readdir(below));) {
        snprintf(path, sizeof path, "/sys/class/block/%s", e->d_name);
        image = e->d_name[0] != '.' && is_image(path, layers - 1);
    }
    closedir(below);
    return image;
}

// device: a link of sysfs to the device's folder, which lies in its disk's when it is a partition.
static bool is_image(const char *device, int layers)
{
    char folder[PATH_MAX];
    ssize_t len = readlink(device, folder, sizeof folder - 1);
    if (len < 0)
        return false; // not told: no sysfs here
    folder[len] = 0;
    return strstr(folder, "/block/loop") || strstr(folder, "/block/nbd") ||
           (layers > 0 && has_image_below(device, layers));
}

static bool is_image_device(dev_t dev)
{
    char device[SYSFS_BYTES];
    snprintf(device, sizeof device, "/sys/dev/block/%u:%u", major(dev), minor(dev));
    return major(dev) == LOOP_MAJOR || major(dev) == NBD_MAJOR || is_image(device, MAX_LAYERS);
}

// btrfs numbers its subvolumes itself: its device is what was mounted.
static bool is_image_source(const char *source)
{
    struct stat st;
    if (stat(source, &st) == 0 && S_ISBLK(st.st_mode))
        return is_image_device(st.st_rdev);
    return strncmp(source, "/dev/loop", 9) == 0 ||
           strncmp(source, "/dev/nbd", 8) == 0; // not in this container
}

static enum sc_volume_trust trust_of(int fd, const struct statfs *fs, dev_t dev)
{
    if (!stamps_stores(fs))
        return SC_VOLUME_UNSTAMPED;
    struct mount mount;
    bool read_only = fs->f_flags & ST_RDONLY, numbered = major(dev) == 0;
    bool known = (read_only || numbered) && mount_of(fd, &mount);
    if (read_only && !(known && mount.writable))
        return SC_VOLUME_READ_ONLY;
    if (numbered && !known)
        return SC_VOLUME_UNSTAMPED;
    return (numbered ? is_image_source(mount.source) : is_image_device(dev)) ? SC_VOLUME_IMAGE
                                                                             : SC_VOLUME_STAMPS;
}

struct sc_volume sc_volume_of(int fd)
{
    struct stat st;
    struct statfs fs;
    struct sc_volume volume = {.trust = SC_VOLUME_UNSTAMPED};
    if (fstat(fd, &st) || fstatfs(fd, &fs))
        return volume;
    volume.dev = (uint64_t)st.st_dev;
    memcpy(&volume.fsid, &fs.f_fsid, sizeof volume.fsid);
    volume.tells_writers = tells_writers(&fs);
    volume.trust = trust_of(fd, &fs, st.st_dev);
    return volume;
}
