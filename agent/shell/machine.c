#include "agent/shell/machine.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096 };

static bool read_text(const char *path, char ret_text[TEXT_BYTES])
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 2 << 16);
    if (sc_file_read(path, TEXT_BYTES - 1, &buf, NULL) != SC_OK)
        return false;
    memcpy(ret_text, buf.ptr, buf.len);
    ret_text[buf.len] = 0;
    return true;
}

static uint64_t read_number(const char *path, uint64_t otherwise)
{
    char text[TEXT_BYTES];
    unsigned long long value;
    return read_text(path, text) && sscanf(text, "%llu", &value) == 1 ? value : otherwise;
}

// This process's folder in the hierarchy of a controller (cgroups(7), /proc/pid/cgroup); v2 when the name is empty.
static bool cgroup_folder(const char *controller, const char *mount, char *ret_path, size_t room)
{
    char text[TEXT_BYTES];
    if (!read_text("/proc/self/cgroup", text))
        return false;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        names++;
        bool wanted = *controller == 0 && *names == 0;
        for (char *name; *controller && names && (name = strsep(&names, ","));)
            wanted = wanted || strcmp(name, controller) == 0;
        if (wanted)
            return snprintf(ret_path, room, "%s%s", mount, strcmp(path, "/") == 0 ? "" : path) < (int)room;
    }
    return false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// A limit counts wherever it stands on the way up.
static uint64_t cgroup_memory(void)
{
    char folder[1024], path[1100];
    uint64_t limit = UINT64_MAX;
    static const char *const files[][3] = {{"", "/sys/fs/cgroup", "memory.max"},
                                           {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"}};
    for (size_t i = 0; i < SC_COUNT(files); i++) {
        if (!cgroup_folder(files[i][0], files[i][1], folder, sizeof folder))
            continue;
        while (strlen(folder) >= strlen(files[i][1])) {
            snprintf(path, sizeof path, "%s/%s", folder, files[i][2]);
            limit = least(limit, read_number(path, UINT64_MAX));
            *strrchr(folder, '/') = 0;
        }
    }
    return limit;
}

static uint64_t cgroup_cpus_milli(void)
{
    char folder[1024], path[1100], text[TEXT_BYTES];
    uint64_t limit = UINT64_MAX;
    unsigned long long quota, period;
    if (cgroup_folder("", "/sys/fs/cgroup", folder, sizeof folder)) {
        snprintf(path, sizeof path, "%s/cpu.max", folder);
        if (read_text(path, text) && sscanf(text, "%llu %llu", &quota, &period) == 2 && period)
            limit = least(limit, quota * 1000 / period);
    }
    if (cgroup_folder("cpu", "/sys/fs/cgroup/cpu", folder, sizeof folder)) {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
        quota = read_number(path, 0); // -1, no limit, reads as a huge number
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        period = read_number(path, 0);
        if (quota && period && quota < UINT32_MAX)
            limit = least(limit, quota * 1000 / period);
    }
    return limit;
}

static uint32_t count_gpus(void)
{
    DIR *dir = opendir("/proc/driver/nvidia/gpus");
    uint32_t count = 0;
    if (!dir)
        return 0;
    for (struct dirent *e; (e = readdir(dir));)
        count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

struct sc_machine sc_machine_look(void)
{
    cpu_set_t set;
    uint64_t cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint64_t)CPU_COUNT(&set)
                                                                : (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t milli = least(cpus * 1000, cgroup_cpus_milli());
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return (struct sc_machine){.cpus_milli = (uint32_t)(milli < 1 ? 1 : milli),
                               .gpus = count_gpus(),
                               .memory_bytes = least(memory, cgroup_memory())};
}

uint64_t sc_machine_disk_bytes(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

struct sc_slice sc_machine_name(struct sc_arena *arena)
{
    char name[64] = "";
    if (gethostname(name, sizeof name - 1) || !name[0])
        snprintf(name, sizeof name, "agent");
    for (char *c = name; *c; c++) {
        bool fit = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                   *c == '-' || *c == '.' || *c == '_';
        *c = fit ? *c : '-';
    }
    return sc_arena_copy(arena, sc_slice_str(name));
}
