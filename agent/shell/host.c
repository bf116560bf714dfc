#include "agent/shell/host.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"

#include <dirent.h>
#include <stdio.h>
#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#endif

enum { TEXT_BYTES = 64 << 10, GPUS_MOST = 64, LIBC_BYTES = 64 << 20 };

static bool read_text(const char *root, const char *file, struct sc_buf *ret_text)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s%s", root, file);
    sc_buf_clear(ret_text);
    return sc_file_read(path, TEXT_BYTES, ret_text, NULL) == SC_OK;
}

// os-release(5): NAME=value, which may be quoted.
static struct sc_slice os_field(struct sc_slice text, const char *name)
{
    size_t name_len = strlen(name);
    while (text.len) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        struct sc_slice line = sc_slice(text.ptr, end ? (size_t)(end - text.ptr) : text.len);
        text = sc_slice_from(text, line.len + (end ? 1 : 0));
        if (!sc_slice_starts(line, name) || line.len <= name_len || line.ptr[name_len] != '=')
            continue;
        line = sc_slice_from(line, name_len + 1);
        if (line.len >= 2 && (line.ptr[0] == '"' || line.ptr[0] == '\'') &&
            line.ptr[line.len - 1] == line.ptr[0])
            line = sc_slice(line.ptr + 1, line.len - 2);
        return line;
    }
    return sc_slice(NULL, 0);
}

static struct sc_slice look_os(const char *root, struct sc_arena *arena)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 2 * TEXT_BYTES);
    bool good = read_text(root, "/etc/os-release", &text) || read_text(root, "/usr/lib/os-release", &text);
    struct sc_slice id = good ? os_field(sc_buf_slice(&text), "ID") : sc_slice(NULL, 0);
    if (id.len == 0)
        return sc_slice_str("linux");
    struct sc_slice version = os_field(sc_buf_slice(&text), "VERSION_ID");
    return sc_arena_printf(arena, SC_SLICE_FMT "%s" SC_SLICE_FMT, SC_SLICE_ARG(id), version.len ? " " : "",
                           SC_SLICE_ARG(version));
}

#ifdef __GLIBC__
// The file of the C library as it was seen last. This program goes on with the one that it began with; steps get the one
// that lies there when they start.
static struct {
    pthread_mutex_t lock;
    struct stat shared_file;
    char shared_version[32];
} libc_seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

// glibc says in its own text: "GNU C Library (Debian GLIBC 2.36-9+deb12u9) stable release version 2.36."
static void read_libc_version(const char *path, char *version, size_t size)
{
    static const char label[] = "GNU C Library (", word[] = "version ";
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, LIBC_BYTES);
    snprintf(version, size, "unknown");
    if (sc_file_read(path, LIBC_BYTES, &bytes, NULL) != SC_OK)
        return;
    const uint8_t *end = bytes.ptr + bytes.len;
    const uint8_t *at = memmem(bytes.ptr, bytes.len, label, sizeof label - 1);
    const uint8_t *line_end = at ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    at = line_end ? memmem(at, (size_t)(line_end - at), word, sizeof word - 1) : NULL;
    if (!at)
        return;
    at += sizeof word - 1;
    while (line_end > at && (line_end[-1] < '0' || line_end[-1] > '9'))
        line_end--;
    snprintf(version, size, "%.*s", (int)(line_end - at), (const char *)at);
}
#endif

static struct sc_slice look_libc(struct sc_arena *arena)
{
#ifdef __GLIBC__
    Dl_info info;
    struct stat file;
    if (!dladdr((void *)(uintptr_t)gnu_get_libc_version, &info) || stat(info.dli_fname, &file))
        return sc_arena_printf(arena, "glibc %s", gnu_get_libc_version());
    pthread_mutex_lock(&libc_seen.lock);
    if (libc_seen.shared_version[0] == 0 || !is_same_file(&file, &libc_seen.shared_file))
        read_libc_version(info.dli_fname, libc_seen.shared_version, sizeof libc_seen.shared_version);
    libc_seen.shared_file = file;
    struct sc_slice libc = sc_arena_printf(arena, "glibc %s", libc_seen.shared_version);
    pthread_mutex_unlock(&libc_seen.lock);
    return libc;
#else
    (void)arena;
    return sc_slice_str("musl");
#endif
}

static void add_model(struct sc_slice text, struct sc_buf *out)
{
    static const char label[] = "Model:";
    const uint8_t *at = text.len ? memmem(text.ptr, text.len, label, sizeof label - 1) : NULL;
    if (!at)
        return;
    at += sizeof label - 1;
    const uint8_t *end = text.ptr + text.len;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    const uint8_t *stop = at;
    while (stop < end && *stop != '\n')
        stop++;
    sc_buf_add_str(out, ", ");
    sc_buf_add(out, at, (size_t)(stop - at));
}

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat …": the first word that begins with a digit and has a dot.
static struct sc_slice driver_version(struct sc_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || (i > 0 && text.ptr[i - 1] != ' '))
            continue;
        size_t end = i;
        while (end < text.len && ((text.ptr[end] >= '0' && text.ptr[end] <= '9') || text.ptr[end] == '.'))
            end++;
        if (memchr(text.ptr + i, '.', end - i))
            return sc_slice(text.ptr + i, end - i);
    }
    return sc_slice(NULL, 0);
}

static struct sc_slice look_gpu(const char *root, struct sc_arena *arena)
{
    SC_AUTO_BUF struct sc_buf text, out;
    sc_buf_init(&text, 2 * TEXT_BYTES);
    sc_buf_init(&out, TEXT_BYTES);
    if (!read_text(root, "/proc/driver/nvidia/version", &text))
        return sc_slice_str("none");
    struct sc_slice version = driver_version(sc_buf_slice(&text));
    sc_buf_printf(&out, "nvidia " SC_SLICE_FMT, SC_SLICE_ARG(version));
    SC_AUTO_FREE char *gpus = sc_asprintf("%s/proc/driver/nvidia/gpus", root);
    SC_AUTO_CLOSE int fd = open(gpus, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sc_slice *names = NULL;
    size_t count = 0;
    if (fd >= 0 && sc_dir_names(fd, arena, &names, &count, NULL) != SC_OK)
        count = 0;
    for (size_t i = 0; i < count && i < GPUS_MOST; i++) {
        SC_AUTO_FREE char *path =
            sc_asprintf("/proc/driver/nvidia/gpus/" SC_SLICE_FMT "/information", SC_SLICE_ARG(names[i]));
        if (read_text(root, path, &text))
            add_model(sc_buf_slice(&text), &out);
    }
    return sc_arena_copy(arena, sc_buf_slice(&out));
}

struct sc_slice sc_host_arch(struct sc_arena *arena)
{
    struct utsname names;
    return uname(&names) == 0 ? sc_arena_copy(arena, sc_slice_str(names.machine)) : sc_slice_str("unknown");
}

struct sc_host sc_host_look(const char *root, bool gpu, struct sc_arena *arena)
{
    struct sc_host host = {.os = look_os(root, arena), .arch = sc_host_arch(arena), .libc = look_libc(arena)};
    if (gpu)
        host.gpu = look_gpu(root, arena);
    return host;
}

const char *sc_host_find(struct sc_slice path, const char *name, struct sc_arena *arena,
                         sc_text_list *ret_looked)
{
    uint32_t count = 1;
    for (size_t i = 0; i < path.len; i++)
        count += path.ptr[i] == ':';
    sc_text_list looked = {SC_NEW_ARRAY(arena, count, struct sc_slice), 0};
    const char *found = NULL;
    while (path.len && !found) {
        const uint8_t *colon = memchr(path.ptr, ':', path.len);
        struct sc_slice dir = sc_slice(path.ptr, colon ? (size_t)(colon - path.ptr) : path.len);
        path = sc_slice_from(path, dir.len + (colon ? 1 : 0));
        if (dir.len == 0 || dir.ptr[0] != '/') // relative to a fresh work folder: nothing is there
            continue;
        struct sc_slice file = sc_arena_printf(arena, SC_SLICE_FMT "/%s", SC_SLICE_ARG(dir), name);
        looked.items[looked.count++] = file;
        struct stat st;
        if (stat((const char *)file.ptr, &st) == 0 && S_ISREG(st.st_mode) &&
            access((const char *)file.ptr, X_OK) == 0)
            found = (const char *)file.ptr;
    }
    *ret_looked = looked;
    return found;
}
