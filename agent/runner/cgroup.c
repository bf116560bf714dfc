#include "agent/runner/cgroup.h"

#include "agent/runner/mounts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 20, REMOVE_TRIES = 100, CPU_PERIOD_US = 100000, CPU_LEAST_US = 1000 };
#define OWN_PREFIX "stepcache-runner-"
#define AGENT_FOLDER                                                                                         \
    "stepcache-agent" // where a v2 agent moves to, for a group with children holds no processes

static bool read_file(const char *folder, const char *name, struct sc_buf *ret_text)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/%s", folder, name);
    sc_buf_init(ret_text, FILE_BYTES * 2);
    return sc_file_read(path, FILE_BYTES, ret_text, NULL) == SC_OK;
}

static int write_file(const char *folder, const char *name, const char *text)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/%s", folder, name);
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) >= 0 ? 0 : errno;
}

// Whether the word stands in a list parted by blanks, commas and line ends.
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || strchr(" ,\n", at[-1])) && (at[n] == 0 || strchr(" ,\n", at[n])))
            return true;
    return false;
}

// This process's folder in a hierarchy: "7:pids:/a/b" of /proc/self/cgroup, as far as the mount shows it. v2 is the
// line "0::/a/b" (cgroups(7)).
static char *own_folder(const struct sc_mounts *mounts, const char *controller)
{
    bool is_v2 = *controller == 0;
    SC_AUTO_BUF struct sc_buf text;
    if (!read_file("/proc/self", "cgroup", &text))
        return NULL;
    SC_AUTO_FREE char *copy = sc_strdup(sc_buf_cstr(&text));
    char *rest = copy, *line, *path = NULL;
    while (!path && (line = strsep(&rest, "\n"))) {
        strsep(&line, ":");
        char *names = strsep(&line, ":");
        if (line && (is_v2 ? *names == 0 : has_word(names, controller)))
            path = line;
    }
    for (size_t i = 0; path && i < mounts->count; i++) {
        const struct sc_mount *m = &mounts->items[i];
        if (is_v2 ? strcmp(m->type, "cgroup2") != 0
                  : strcmp(m->type, "cgroup") != 0 || !has_word(m->options, controller))
            continue;
        size_t n = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);
        if (strncmp(path, m->root, n) == 0 && (path[n] == '/' || path[n] == 0))
            return sc_asprintf("%s%s", m->point, strcmp(path + n, "/") == 0 ? "" : path + n);
    }
    return NULL;
}

static void kill_all(const char *folder)
{
    if (write_file(folder, "cgroup.kill", "1") == 0)
        return;
    SC_AUTO_BUF struct sc_buf text;
    if (!read_file(folder, "cgroup.procs", &text))
        return;
    int pid, used;
    for (const char *at = sc_buf_cstr(&text); sscanf(at, "%d%n", &pid, &used) == 1; at += used)
        if (pid > 1 && pid != getpid()) // 0: of another pid namespace
            kill(pid, SIGKILL);
}

// Removes a group, and kills what is still in it.
static void end_group(const char *folder)
{
    for (int tries = 0; rmdir(folder) && tries < REMOVE_TRIES; tries++)
        kill_all(folder);
}

// A runner's own group with its tasks'. What still stays goes with a later sweep.
static void end_own(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_type != DT_DIR || d->d_name[0] == '.')
            continue;
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s", folder, d->d_name);
        end_group(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

// Its path, or NULL.
static const char *make_own(const char *folder, struct sc_cgroups *cgroups)
{
    struct sc_claim *own = cgroups->own;
    while (own->path)
        own++;
    sc_claim_sweep(folder, OWN_PREFIX, end_own);
    return sc_claim_make(folder, OWN_PREFIX, 0755, own, NULL) == SC_OK ? own->path : NULL;
}

// cgroup-v2.rst, "no internal process constraint": only where the agent and this runner are alone in a group that was
// delegated to them may they move into a leaf of it.
static bool move_to_leaf(const char *folder)
{
    SC_AUTO_BUF struct sc_buf text;
    if (!read_file(folder, "cgroup.procs", &text))
        return false;
    int pids[2], count = 0, pid, used;
    for (const char *at = sc_buf_cstr(&text); sscanf(at, "%d%n", &pid, &used) == 1; at += used) {
        if ((pid != getpid() && pid != getppid()) || count == 2)
            return false;
        pids[count++] = pid;
    }
    SC_AUTO_FREE char *leaf = sc_asprintf("%s/" AGENT_FOLDER, folder);
    if (mkdir(leaf, 0755) && errno != EEXIST)
        return false;
    for (int i = 0; i < count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", pids[i]);
        if (write_file(leaf, "cgroup.procs", number))
            return false;
    }
    return true;
}

static bool enable(const char *folder, const char *controller)
{
    char text[16];
    snprintf(text, sizeof text, "+%s", controller);
    int error = write_file(folder, "cgroup.subtree_control", text);
    if (error == EBUSY && move_to_leaf(folder))
        error = write_file(folder, "cgroup.subtree_control", text);
    return error == 0;
}

static void open_v2(const struct sc_mounts *mounts, struct sc_cgroups *cgroups)
{
    SC_AUTO_FREE char *folder = own_folder(mounts, "");
    SC_AUTO_BUF struct sc_buf controllers = {0};
    if (!folder || !read_file(folder, "cgroup.controllers", &controllers))
        return;
    const char *has = sc_buf_cstr(&controllers);
    if (!has_word(has, "memory") && !has_word(has, "pids") && !has_word(has, "cpu"))
        return;
    // The leaf of an earlier runner of this agent: its groups are beside it.
    char *slash = strrchr(folder, '/');
    if (slash && strcmp(slash, "/" AGENT_FOLDER) == 0)
        *slash = 0;
    const char *own = make_own(folder, cgroups);
    if (!own)
        return;
    struct {
        const char *name, **place;
    } wanted[] = {{"memory", &cgroups->memory}, {"pids", &cgroups->processes}, {"cpu", &cgroups->cpu}};
    bool any = false;
    for (size_t i = 0; i < SC_COUNT(wanted); i++)
        if (enable(folder, wanted[i].name) && enable(own, wanted[i].name)) {
            *wanted[i].place = own;
            any = true;
        }
    if (any)
        cgroups->version = SC_RUNNER_CGROUP_V2;
    else
        sc_cgroups_close(cgroups);
}

static const char *open_v1(const struct sc_mounts *mounts, const char *controller, struct sc_cgroups *cgroups)
{
    SC_AUTO_FREE char *folder = own_folder(mounts, controller);
    return folder ? make_own(folder, cgroups) : NULL;
}

void sc_cgroups_open(struct sc_cgroups *ret_cgroups)
{
    *ret_cgroups =
        (struct sc_cgroups){.version = SC_RUNNER_CGROUP_NONE, .own = {{.fd = -1}, {.fd = -1}, {.fd = -1}}};
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_mounts mounts;
    SC_AUTO_CLOSE int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0 || sc_mounts_read(proc_fd, &arena, &mounts, NULL) != SC_OK)
        return;
    open_v2(&mounts, ret_cgroups);
    if (ret_cgroups->version != SC_RUNNER_CGROUP_NONE)
        return;
    ret_cgroups->memory = open_v1(&mounts, "memory", ret_cgroups);
    ret_cgroups->processes = open_v1(&mounts, "pids", ret_cgroups);
    ret_cgroups->cpu = open_v1(&mounts, "cpu", ret_cgroups);
    if (ret_cgroups->memory || ret_cgroups->processes || ret_cgroups->cpu)
        ret_cgroups->version = SC_RUNNER_CGROUP_V1;
}

static void remove_group(struct sc_cgroup *cgroup)
{
    for (int i = 0; i < SC_CGROUP_HIERARCHIES; i++) {
        if (cgroup->procs_fds[i] >= 0)
            close(cgroup->procs_fds[i]);
        if (cgroup->folders[i])
            end_group(cgroup->folders[i]); // what still stays goes with sc_cgroups_close
        free(cgroup->folders[i]);
    }
    if (cgroup->folder_fd >= 0)
        close(cgroup->folder_fd);
    free(cgroup->memory);
    *cgroup = (struct sc_cgroup){.procs_fds = {-1, -1, -1}, .folder_fd = -1};
}

void sc_cgroups_close(struct sc_cgroups *cgroups)
{
    while (cgroups->idle_count)
        remove_group(&cgroups->idle[--cgroups->idle_count]);
    for (size_t i = 0; i < SC_COUNT(cgroups->own); i++) {
        if (cgroups->own[i].path)
            end_own(cgroups->own[i].path);
        sc_claim_done(&cgroups->own[i]);
    }
}

static int set_memory(bool is_v2, const char *folder, uint64_t bytes)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, bytes);
    int error = write_file(folder, is_v2 ? "memory.max" : "memory.limit_in_bytes", text);
    // A step that swaps is neither fast nor stopped. Kernels without swap accounting lack the files.
    if (is_v2)
        (void)write_file(folder, "memory.swap.max", "0");
    else
        (void)write_file(folder, "memory.memsw.limit_in_bytes", text);
    return error;
}

static int set_processes(const char *folder, uint64_t processes)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, processes + 1);
    return write_file(folder, "pids.max", text);
}

static int set_cpu(bool is_v2, const char *folder, uint64_t cpus_milli)
{
    uint64_t quota_us = cpus_milli * CPU_PERIOD_US / 1000;
    quota_us = quota_us < CPU_LEAST_US ? CPU_LEAST_US : quota_us;
    char text[64];
    if (is_v2) {
        snprintf(text, sizeof text, "%" PRIu64 " %d", quota_us, CPU_PERIOD_US);
        return write_file(folder, "cpu.max", text);
    }
    snprintf(text, sizeof text, "%d", CPU_PERIOD_US);
    int error = write_file(folder, "cpu.cfs_period_us", text);
    snprintf(text, sizeof text, "%" PRIu64, quota_us);
    return error ? error : write_file(folder, "cpu.cfs_quota_us", text);
}

// The group's folder in one hierarchy; in v2 the same for all. NULL and errno.
static const char *make_folder(bool is_v2, const char *own, uint64_t number, struct sc_cgroup *cgroup)
{
    int at = 0;
    while (!is_v2 && cgroup->folders[at])
        at++;
    if (cgroup->folders[at])
        return cgroup->folders[at];
    char *folder = sc_asprintf("%s/t%" PRIu64, own, number);
    if (mkdir(folder, 0755)) {
        free(folder);
        return NULL;
    }
    cgroup->folders[at] = folder;
    SC_AUTO_FREE char *procs = sc_asprintf("%s/cgroup.procs", folder);
    if (is_v2)
        cgroup->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cgroup->procs_fds[at] = open(procs, O_WRONLY | O_CLOEXEC);
    return cgroup->procs_fds[at] < 0 ? NULL : folder;
}

static enum sc_rc make(struct sc_cgroups *cgroups, const struct sc_runner_limits *limits,
                       struct sc_cgroup *cgroup, struct sc_error *err)
{
    uint64_t number = ++cgroups->made;
    bool is_v2 = cgroups->version == SC_RUNNER_CGROUP_V2;
    const char *folder;
    int error;
    if (limits->memory_bytes && cgroups->memory) {
        folder = make_folder(is_v2, cgroups->memory, number, cgroup);
        error = folder ? set_memory(is_v2, folder, limits->memory_bytes) : errno;
        if (error)
            return sc_error_errno(err, error, "limit memory to %" PRIu64 " bytes", limits->memory_bytes);
        cgroup->memory = sc_strdup(folder);
    }
    if (limits->processes && cgroups->processes) {
        folder = make_folder(is_v2, cgroups->processes, number, cgroup);
        error = folder ? set_processes(folder, limits->processes) : errno;
        if (error)
            return sc_error_errno(err, error, "limit processes to %" PRIu64, limits->processes);
    }
    if (limits->cpus_milli && cgroups->cpu) {
        folder = make_folder(is_v2, cgroups->cpu, number, cgroup);
        error = folder ? set_cpu(is_v2, folder, limits->cpus_milli) : errno;
        if (error)
            return sc_error_errno(err, error, "limit cpus to %" PRIu64 " thousandths", limits->cpus_milli);
    }
    return SC_OK;
}

static bool take_idle(struct sc_cgroups *cgroups, const struct sc_runner_limits *limits,
                      struct sc_cgroup *ret_cgroup)
{
    bool counts_memory = limits->memory_bytes && cgroups->memory;
    for (uint32_t i = cgroups->idle_count; !counts_memory && i-- > 0;) {
        const struct sc_cgroup *idle = &cgroups->idle[i];
        if (idle->cpus_milli != limits->cpus_milli || idle->processes != limits->processes)
            continue;
        *ret_cgroup = *idle;
        cgroups->idle[i] = cgroups->idle[--cgroups->idle_count];
        return true;
    }
    return false;
}

enum sc_rc sc_cgroup_make(struct sc_cgroups *cgroups, const struct sc_runner_limits *limits,
                          struct sc_cgroup *ret_cgroup, struct sc_error *err)
{
    if (take_idle(cgroups, limits, ret_cgroup))
        return SC_OK;
    struct sc_cgroup cgroup = {.cpus_milli = limits->cpus_milli,
                               .processes = limits->processes,
                               .procs_fds = {-1, -1, -1},
                               .folder_fd = -1};
    enum sc_rc rc = make(cgroups, limits, &cgroup, err);
    if (rc == SC_OK)
        *ret_cgroup = cgroup;
    else
        remove_group(&cgroup);
    return rc;
}

bool sc_cgroup_join(const struct sc_cgroup *cgroup)
{
    for (int i = 0; i < SC_CGROUP_HIERARCHIES; i++)
        if (cgroup->procs_fds[i] >= 0 && write(cgroup->procs_fds[i], "0", 1) != 1)
            return false;
    return true;
}

static uint64_t read_number(const char *folder, const char *name, const char *label)
{
    SC_AUTO_BUF struct sc_buf text;
    if (!read_file(folder, name, &text))
        return 0;
    const char *at = sc_buf_cstr(&text);
    if (*label) {
        at = strstr(at, label);
        at = at ? at + strlen(label) : "";
    }
    uint64_t number = 0;
    return sscanf(at, "%" SCNu64, &number) == 1 ? number : 0;
}

void sc_cgroup_end(struct sc_cgroups *cgroups, struct sc_cgroup *cgroup, bool is_empty, bool *ret_oom,
                   uint64_t *ret_peak_bytes)
{
    bool is_v2 = cgroups->version == SC_RUNNER_CGROUP_V2;
    *ret_oom = false;
    *ret_peak_bytes = 0;
    if (cgroup->memory) {
        *ret_oom =
            read_number(cgroup->memory, is_v2 ? "memory.events" : "memory.oom_control", "oom_kill ") > 0;
        *ret_peak_bytes =
            read_number(cgroup->memory, is_v2 ? "memory.peak" : "memory.max_usage_in_bytes", "");
    } else if (is_empty && cgroups->idle_count < SC_CGROUP_IDLE_MOST) {
        cgroups->idle[cgroups->idle_count++] = *cgroup;
        *cgroup = (struct sc_cgroup){.procs_fds = {-1, -1, -1}, .folder_fd = -1};
        return;
    }
    remove_group(cgroup);
}
