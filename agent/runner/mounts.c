#include "agent/runner/mounts.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TABLE_BYTES = 32 << 20, INFO_BYTES = 4096 };

// Undoes the kernel's \ooo for blanks, in place.
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned code;
        if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
            *to = (char)code;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

static enum sc_rc read_proc(int proc_fd, const char *name, size_t max_bytes, struct sc_buf *ret_text,
                            struct sc_error *err)
{
    SC_AUTO_CLOSE int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
    while (fd >= 0) {
        uint8_t *at = sc_buf_reserve(ret_text, INFO_BYTES);
        if (!at || ret_text->len > max_bytes)
            return sc_error_set(err, SC_LIMIT, "/proc/%s: too large", name);
        ssize_t n = read(fd, at, INFO_BYTES);
        if (n == 0)
            return SC_OK;
        if (n < 0)
            break;
        ret_text->len += (size_t)n;
    }
    return sc_error_errno(err, errno, "read /proc/%s", name);
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
static bool parse_line(char *line, struct sc_mount *ret_mount)
{
    char *fields[10] = {0};
    size_t count = 0;
    char *rest = line, *word;
    while ((word = strsep(&rest, " "))) {
        if (count == 6 && strcmp(word, "-") != 0)
            continue; // the optional fields
        if (count < SC_COUNT(fields))
            fields[count++] = word;
    }
    if (count < SC_COUNT(fields))
        return false;
    struct sc_mount m = {.root = fields[3], .point = fields[4], .type = fields[7], .options = fields[9]};
    if (sscanf(fields[0], "%d", &m.id) != 1 || sscanf(fields[2], "%u:%u", &m.major, &m.minor) != 2)
        return false;
    unescape(fields[3]);
    unescape(fields[4]);
    *ret_mount = m;
    return true;
}

enum sc_rc sc_mounts_read(int proc_fd, struct sc_arena *arena, struct sc_mounts *ret_mounts,
                          struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, TABLE_BYTES);
    enum sc_rc rc = read_proc(proc_fd, "self/mountinfo", TABLE_BYTES, &text, err);
    if (rc != SC_OK)
        return rc;
    char *copy = sc_arena_cstr(arena, sc_buf_slice(&text));
    size_t lines = 0;
    for (const char *c = copy; *c; c++)
        lines += *c == '\n';
    struct sc_mounts mounts = {SC_NEW_ARRAY(arena, lines + 1, struct sc_mount), 0};
    char *line;
    while ((line = strsep(&copy, "\n")) && *line) {
        if (!parse_line(line, &mounts.items[mounts.count]))
            return sc_error_set(err, SC_MALFORMED, "/proc/self/mountinfo: a line that is not understood");
        mounts.count++;
    }
    *ret_mounts = mounts;
    return SC_OK;
}

// The mount that a descriptor lies on.
static int mount_of_fd(int proc_fd, int fd)
{
    char name[64];
    snprintf(name, sizeof name, "self/fdinfo/%d", fd);
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, INFO_BYTES * 4);
    int id = -1;
    if (read_proc(proc_fd, name, INFO_BYTES, &text, NULL) != SC_OK)
        return -1;
    const char *line = strstr(sc_buf_cstr(&text), "mnt_id:");
    return line && sscanf(line, "mnt_id: %d", &id) == 1 ? id : -1;
}

// What follows the prefix in path, or NULL when path is not at or below it: ("/a", "/a/b") gives "/b".
static const char *below(const char *prefix, const char *path)
{
    size_t n = strcmp(prefix, "/") == 0 ? 0 : strlen(prefix);
    if (strncmp(prefix, path, n) != 0 || (path[n] != 0 && path[n] != '/'))
        return NULL;
    return strcmp(path + n, "/") == 0 ? "" : path + n;
}

static const char *join(struct sc_arena *arena, const char *prefix, const char *rest)
{
    if (strcmp(prefix, "/") == 0 && *rest)
        prefix = "";
    return (const char *)sc_arena_printf(arena, "%s%s%c", prefix, rest, 0).ptr;
}

static enum sc_rc add(struct sc_places *places, struct sc_place place, struct sc_error *err)
{
    if (places->count == SC_COUNT(places->items))
        return sc_error_set(err, SC_LIMIT, "more than %zu mounts below the hidden folders",
                            SC_COUNT(places->items));
    places->items[places->count++] = place;
    return SC_OK;
}

enum sc_rc sc_mounts_place(int proc_fd, const struct sc_mounts *mounts, const char *folder,
                           struct sc_arena *arena, struct sc_places *places, struct sc_error *err)
{
    SC_AUTO_FREE char *real = realpath(folder, NULL);
    SC_AUTO_CLOSE int fd = real ? open(real, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return sc_error_errno(err, errno, "hidden folder %s", folder);
    if (strcmp(real, "/") == 0)
        return sc_error_set(err, SC_INVALID, "hidden folder %s: is the root of all", folder);
    int id = mount_of_fd(proc_fd, fd);
    bool found = false;
    for (size_t i = 0; i < mounts->count; i++) {
        const struct sc_mount *m = &mounts->items[i];
        const char *rest = below(m->point, real);
        enum sc_rc rc = SC_OK;
        if (m->id == id && rest) {
            found = true;
            rc = add(places,
                     (struct sc_place){m->major, m->minor, join(arena, m->root, rest), st.st_dev, st.st_ino},
                     err);
        } else if (m->id != id && below(real, m->point)) {
            struct stat inner;
            if (lstat(m->point, &inner) == 0)
                rc = add(places, (struct sc_place){m->major, m->minor, m->root, inner.st_dev, inner.st_ino},
                         err);
        }
        if (rc != SC_OK)
            return rc;
    }
    return found ? SC_OK
                 : sc_error_set(err, SC_IO, "hidden folder %s: its mount is not in the table", folder);
}

const char *sc_mounts_shows(int proc_fd, const struct sc_mount *mount, const struct sc_place *place,
                            struct sc_arena *arena)
{
    if (mount->major != place->major || mount->minor != place->minor)
        return NULL;
    const char *rest = below(mount->root, place->path);
    bool part = !rest && below(place->path, mount->root);
    if (!rest && !part)
        return NULL;
    const char *path = join(arena, mount->point, rest ? rest : "");
    SC_AUTO_CLOSE int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return NULL;
    if (part)
        return mount_of_fd(proc_fd, fd) == mount->id ? path : NULL;
    return st.st_dev == place->dev && st.st_ino == place->ino ? path : NULL;
}
