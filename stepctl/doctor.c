// stepctl doctor: looks at what a run would need, and says what is wrong and what to do. Starts nothing.
#include "stepctl/doctor.h"

#include "base/memory.h"
#include "base/os/child.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "stepctl/command.h"
#include "stepctl/private.h"
#include "stepctl/text.h"
#include "store/object.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *file_system(long type)
{
    static const struct {
        long type;
        const char *name;
    } known[] = {{0xef53, "ext4"},          {0x58465342, "xfs"}, {0x9123683e, "btrfs"}, {0x01021994, "tmpfs"},
                 {0x794c7630, "overlayfs"}, {0x2fc12fc1, "zfs"}, {0x6969, "NFS"},       {0xff534d42, "SMB"},
                 {0x65735546, "FUSE"},      {0x01021997, "9p"},  {0xf2f52010, "f2fs"}};
    for (size_t i = 0; i < SC_COUNT(known); i++)
        if (known[i].type == type)
            return known[i].name;
    return "another file system";
}

static void check_space(struct sc_doctor *doctor, const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_text_bytes(&text, free_bytes);
    bool little = free_bytes < (UINT64_C(1) << 30) || (fs.f_files && fs.f_favail < 10000);
    sc_doctor_say(doctor, little ? SC_DOCTOR_WARN : SC_DOCTOR_OK, "space",
                  "results need room: free some, or set XDG_CACHE_HOME to a larger disk",
                  "%s free in the store's file system", sc_buf_cstr(&text));
}

// Writes an object and reads it back, as a step's output would be.
static enum sc_rc try_store(const char *url, struct sc_error *err)
{
    struct sc_store *store = NULL;
    struct sc_objects *objects = NULL;
    enum sc_rc rc = sc_store_open(url, &store, err);
    const struct sc_objects_config config = {.store = store, .domain = SC_SLICE_LIT("main")};
    if (rc == SC_OK)
        rc = sc_objects_new(&config, &objects, err);
    struct sc_digest digest;
    SC_AUTO_BUF struct sc_buf back;
    sc_buf_init(&back, 0);
    struct sc_slice text = SC_SLICE_LIT("stepctl doctor was here\n");
    if (rc == SC_OK)
        rc = sc_objects_put_bytes(objects, text, true, &digest, err);
    if (rc == SC_OK)
        rc = sc_objects_sync(objects, err);
    if (rc == SC_OK)
        rc = sc_objects_get_bytes(objects, &digest, 1024, &back, err);
    if (rc == SC_OK && !sc_slice_eq(sc_buf_slice(&back), text))
        rc = sc_error_set(err, SC_CORRUPT, "what was written came back otherwise");
    if (objects)
        sc_objects_free(objects);
    if (store)
        sc_store_close(store);
    return rc;
}

static void check_store(struct sc_doctor *doctor, const char *store)
{
    struct sc_error err = SC_ERROR_INIT;
    int64_t before = sc_clock_mono_ms();
    if (try_store(store, &err) != SC_OK) {
        sc_doctor_say(doctor, SC_DOCTOR_FAIL, "store",
                      err.hint[0] ? err.hint : "make the folder writable, or set XDG_CACHE_HOME elsewhere",
                      "%s: %s", store, err.message);
        return;
    }
    struct statfs fs = {0};
    statfs(store, &fs);
    sc_doctor_say(doctor, SC_DOCTOR_OK, "store", NULL,
                  "%s on %s: an object was written, made durable and read back in %lld ms", store,
                  file_system((long)fs.f_type), (long long)(sc_clock_mono_ms() - before));
    check_space(doctor, store);
}

// The file system's clock against ours: the memo of unchanged files and expiry both rest on it.
static void check_clock(struct sc_doctor *doctor, const struct sc_places *places)
{
    const int64_t year_2024 = INT64_C(1704067200000);
    int64_t now = sc_clock_wall_ms();
    char text[32];
    sc_clock_rfc3339(now, text);
    if (now < year_2024) {
        sc_doctor_say(doctor, SC_DOCTOR_FAIL, "clock",
                      "set it: results would count as expired, or never expire", "the clock says %s", text);
        return;
    }
    SC_AUTO_FREE char *path = sc_asprintf("%s/doctor-XXXXXX", places->cache);
    SC_AUTO_CLOSE int fd = mkostemp(path, O_CLOEXEC);
    struct stat st;
    if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &st) != 0) {
        sc_doctor_say(doctor, SC_DOCTOR_FAIL, "clock", "make the folder writable",
                      "%s: a file could not be made there", places->cache);
        return;
    }
    unlink(path);
    int64_t skew = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000 - now;
    bool far = skew > 2000 || skew < -2000;
    sc_doctor_say(doctor, far ? SC_DOCTOR_WARN : SC_DOCTOR_OK, "clock",
                  "files' times come from another clock than ours: keep them together (NTP)",
                  "%s, the file system's clock differs by %lld ms", text,
                  (long long)(skew < 0 ? -skew : skew));
}

static bool check_sockets(struct sc_doctor *doctor, struct sc_arena *arena, struct sc_places *places)
{
    struct sc_error err = SC_ERROR_INIT;
    if (sc_places_find(arena, places, &err) != SC_OK) {
        sc_doctor_say(doctor, SC_DOCTOR_FAIL, "sockets",
                      err.hint[0] ? err.hint
                                  : "the folder must be yours alone (chmod 700), or set XDG_RUNTIME_DIR",
                      "%s", err.message);
        return false;
    }
    struct sc_peer_id self = {.bytes = "doctor", .len = 6};
    int tether = -1;
    bool runs = sc_tether_connect(places->tether, &self, &tether, &err) == SC_OK;
    if (runs)
        sc_fd_close(tether);
    sc_doctor_say(doctor, SC_DOCTOR_OK, "sockets", NULL, "%s is yours alone; %s", places->runtime,
                  runs ? "your coordinator runs" : "no coordinator runs, `stepctl run` starts one");
    return true;
}

static void check_program(struct sc_doctor *doctor, const char *name, const char *folder, const char *other)
{
    SC_AUTO_FREE char *path = sc_private_program(name, folder);
    if (!path && other)
        path = sc_private_program(name, other);
    if (path)
        sc_doctor_say(doctor, SC_DOCTOR_OK, "programs", NULL, "%s is %s", name, path);
    else
        sc_doctor_say(doctor, SC_DOCTOR_FAIL, "programs",
                      "install it beside stepctl, or put its folder on PATH", "%s was not found", name);
}

// Whether the kernel lets this user make the namespaces that keep steps apart: tried in a child, which ends.
static void check_sandbox(struct sc_doctor *doctor)
{
    int wanted = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(wanted) == 0 ? 0 : errno & 0x7f);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        sc_doctor_say(doctor, SC_DOCTOR_OK, "sandbox", NULL,
                      "namespaces can be made: inputs are read-only, what a step leaves behind ends with it");
        return;
    }
    char reason[128];
    sc_doctor_say(
        doctor, SC_DOCTOR_WARN, "sandbox",
        "steps get copies of their inputs, and `sandbox: strict` is refused; allow it: sysctl "
        "user.max_user_namespaces, "
        "kernel.unprivileged_userns_clone=1, or a container with less restrictive seccomp",
        "namespaces cannot be made: %s",
        strerror_r(pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EPERM, reason, sizeof reason));
}

static void check_kernel(struct sc_doctor *doctor)
{
    if (sc_child_end_is_told())
        sc_doctor_say(doctor, SC_DOCTOR_OK, "kernel", NULL, "it tells of a process's end");
    else
        sc_doctor_say(
            doctor, SC_DOCTOR_WARN, "kernel",
            "probes and a credential_process take up to 10 ms longer, nothing else changes; allow pidfd_open "
            "in the "
            "container's seccomp filter, or use Linux 5.3 or later",
            "it does not tell of a process's end: %s", strerror(errno));
}

static void check_environment(struct sc_doctor *doctor)
{
    struct utsname machine;
    if (uname(&machine) != 0)
        machine = (struct utsname){0};
    bool python = access("/usr/bin/python3", X_OK) == 0 || access("/usr/local/bin/python3", X_OK) == 0;
    sc_doctor_say(
        doctor, python ? SC_DOCTOR_OK : SC_DOCTOR_WARN, "environment",
        "the key of `environment: host` then has no interpreter and no packages; steps that call python3 "
        "fail",
        "%s %s, %s", machine.sysname, machine.machine,
        python ? "python3 is there" : "no python3 in /usr/bin or /usr/local/bin");
}

int sc_command_doctor(const struct sc_options *options, struct sc_arena *arena)
{
    struct sc_doctor doctor = {.json = options->json};
    struct sc_places places;
    sc_out_init(&doctor.out, STDOUT_FILENO);
    bool mine = check_sockets(&doctor, arena, &places);
    const char *store = options->store ? options->store : mine ? places.store : NULL;
    bool in_s3 = store && strncmp(store, "s3://", 5) == 0;
    if (in_s3)
        sc_doctor_bucket(&doctor, store);
    else if (store)
        check_store(&doctor, strncmp(store, "dir:", 4) == 0 ? store + 4 : store);
    if (mine && !in_s3)
        check_clock(&doctor, &places);
    check_program(&doctor, "step-coordinator", "coordinator/shell", NULL);
    check_program(&doctor, "step-agent", "agent/shell", NULL);
    check_program(&doctor, "stepcache-runner", "agent/runner", "libexec/stepcache");
    check_sandbox(&doctor);
    check_kernel(&doctor);
    check_environment(&doctor);
    if (!doctor.json && doctor.failures + doctor.warnings)
        sc_buf_printf(&doctor.out.buf, "%u failed, %u to look at\n", doctor.failures, doctor.warnings);
    else if (!doctor.json)
        sc_buf_add_str(&doctor.out.buf, "all is well\n");
    sc_out_done(&doctor.out);
    return doctor.failures ? sc_rc_exit_code(SC_UNREACHABLE) : 0;
}
