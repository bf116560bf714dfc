#include "proto/places.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "base/os/log.h"

enum { SOCKET_PATH_BYTES = 100, LONGEST_SOCKET_NAME = sizeof "/0123456789ab/client.sock" - 1 };

static char *join(struct sc_arena *arena, const char *folder, const char *name)
{
    size_t len = strlen(folder), more = strlen(name);
    char *path = sc_arena_alloc(arena, len + more + 1);
    memcpy(path, folder, len);
    memcpy(path + len, name, more);
    return path;
}

// A folder of the environment counts only when it is absolute (XDG Base Directory Specification, "Environment variables").
static const char *absolute_env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

static enum sc_rc home_folder(struct sc_arena *arena, char **ret_home, struct sc_error *err)
{
    const char *home = absolute_env("HOME");
    if (home) {
        *ret_home = sc_arena_cstr(arena, sc_slice_str(home));
        return SC_OK;
    }
    struct passwd entry, *found = NULL;
    char text[4096];
    if (getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 && found && found->pw_dir[0] == '/') {
        *ret_home = sc_arena_cstr(arena, sc_slice_str(found->pw_dir));
        return SC_OK;
    }
    enum sc_rc rc = sc_error_set(err, SC_INVALID, "HOME is not set to an absolute path");
    sc_error_hint(err, "set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME");
    return rc;
}

static bool is_bucket(const char *store)
{
    return strncmp(store, "s3://", 5) == 0;
}

static enum sc_rc below_home(struct sc_arena *arena, const char *variable, const char *usual,
                             char **ret_folder, struct sc_error *err)
{
    const char *set = absolute_env(variable);
    if (set) {
        *ret_folder = join(arena, set, "/stepcache");
        return SC_OK;
    }
    char *home;
    enum sc_rc rc = home_folder(arena, &home, err);
    if (rc == SC_OK)
        *ret_folder = join(arena, home, usual);
    return rc;
}

// $XDG_RUNTIME_DIR where it is there and ours: after sudo it may still name another user's, whose folder is not to be
// filled with files of root. Else /tmp/stepcache-<uid>; with a hash of the name where that name is too long for a socket.
static char *runtime_folder(struct sc_arena *arena)
{
    const char *set = absolute_env("XDG_RUNTIME_DIR");
    struct stat st;
    if (!set || stat(set, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return sc_arena_cstr(arena, sc_arena_printf(arena, "/tmp/stepcache-%u", (unsigned)geteuid()));
    char *folder = join(arena, set, "/stepcache");
    if (strlen(folder) + LONGEST_SOCKET_NAME <= SOCKET_PATH_BYTES)
        return folder;
    struct sc_digest digest = sc_digest_of(sc_slice_str(folder));
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&digest, hex);
    return sc_arena_cstr(arena, sc_arena_printf(arena, "/tmp/stepcache-%u-%.16s", (unsigned)geteuid(), hex));
}

// After `sudo -E` HOME may still be another user's: what root leaves in their folders they cannot open afterwards.
static enum sc_rc check_own(const char *folder, struct sc_error *err)
{
    struct stat st;
    if (stat(folder, &st) || st.st_uid == geteuid())
        return SC_OK;
    enum sc_rc rc = sc_error_set(err, SC_DENIED, "%s: it belongs to another user (%u, and we are %u)", folder,
                                 (unsigned)st.st_uid, (unsigned)geteuid());
    sc_error_hint(err,
                  "set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME, to folders of this user's own; where sudo "
                  "left it so: chown -R it to its user");
    return rc;
}

static enum sc_rc check_runtime(const char *folder, struct sc_error *err)
{
    struct stat st;
    if (strlen(folder) + LONGEST_SOCKET_NAME > SOCKET_PATH_BYTES)
        return sc_error_set(err, SC_LIMIT, "%s: too long for sockets in it", folder);
    if (lstat(folder, &st))
        return sc_error_errno(err, errno, "the runtime folder %s", folder);
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 07777) == 0700)
        return SC_OK;
    enum sc_rc rc;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
        rc =
            sc_error_set(err, SC_DENIED, "%s: the runtime folder is not a folder of this user's own", folder);
        sc_error_hint(err, "set XDG_RUNTIME_DIR to a folder that is yours alone");
    } else {
        rc = sc_error_set(err, SC_DENIED, "%s: the runtime folder is open to others (mode %03o, not 700)",
                          folder, (unsigned)(st.st_mode & 07777));
        sc_error_hint(err, "look who made it so, then: chmod 700 %s", folder);
    }
    return rc;
}

// A folder by its real path, whatever it was called by; what is not there yet is named below what is.
static char *real_folder(struct sc_arena *arena, const char *folder)
{
    char *head = join(arena, folder, ""), *rest = join(arena, "", "");
    for (;;) {
        for (size_t len = strlen(head); len > 1 && head[len - 1] == '/'; len--)
            head[len - 1] = 0;
        SC_AUTO_FREE char *real = realpath(head, NULL);
        if (!real && strcmp(head, "/") == 0)
            return join(arena, folder, "");
        if (real)
            return *rest ? join(arena, real[1] ? real : "", rest) : join(arena, real, "");
        char *slash = strrchr(head, '/');
        rest = join(arena, slash, rest);
        slash[slash == head] = 0;
    }
}

// A bucket and its prefix, without the slash at the end that may stand there.
static char *bucket_address(struct sc_arena *arena, const char *store)
{
    size_t place = strcspn(store, "?"), len = place;
    while (len > strlen("s3://") && store[len - 1] == '/')
        len--;
    return sc_arena_cstr(arena, sc_arena_printf(arena, "%.*s%s", (int)len, store, store + place));
}

// What tells one store from another. The same address may be another bucket where the environment names the server, itself
// or by a profile.
static struct sc_slice identity_of(struct sc_arena *arena, const char *store)
{
    static const char *const others[] = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE"};
    if (!is_bucket(store))
        return sc_slice_str(store);
    const char *s3 = getenv("AWS_ENDPOINT_URL_S3"), *any = getenv("AWS_ENDPOINT_URL");
    struct sc_slice text = sc_arena_printf(arena, "%s\n%s", store, s3 ? s3 : any ? any : "");
    for (size_t i = 0; i < SC_COUNT(others); i++) {
        const char *value = getenv(others[i]);
        if (value && *value)
            text = sc_arena_printf(arena, SC_SLICE_FMT "\n%s=%s", SC_SLICE_ARG(text), others[i], value);
    }
    return text;
}

static enum sc_rc find_store(struct sc_arena *arena, struct sc_places *places, const char **ret_part,
                             struct sc_error *err)
{
    const char *asked = getenv("STEPCACHE_STORE");
    places->store = join(arena, places->cache, "/store");
    *ret_part = "";
    if (!asked || !*asked)
        return sc_dir_make(places->store, 0700, err);
    if (asked[0] != '/' && strncmp(asked, "dir:/", 5) != 0 && !is_bucket(asked)) {
        enum sc_rc rc = sc_error_set(err, SC_INVALID, "%s: not a store", asked);
        sc_error_hint(err, "STEPCACHE_STORE and --store take /absolute/folder or s3://bucket/prefix");
        return rc;
    }
    char *store = is_bucket(asked) ? bucket_address(arena, asked)
                                   : real_folder(arena, asked[0] == 'd' ? asked + strlen("dir:") : asked);
    if (strcmp(store, real_folder(arena, places->store)) == 0)
        return sc_dir_make(places->store, 0700, err);
    char hex[SC_DIGEST_HEX_BYTES];
    struct sc_digest digest = sc_digest_of(identity_of(arena, store));
    sc_digest_hex(&digest, hex);
    places->shared_store = true;
    places->store = store;
    *ret_part = sc_arena_cstr(arena, sc_arena_printf(arena, "/%.12s", hex));
    return SC_OK;
}

// Of what lies in these very folders: another HOME below the same runtime folder is another session.
static char *sockets_folder(struct sc_arena *arena, const struct sc_places *places, const char *part)
{
    char hex[SC_DIGEST_HEX_BYTES];
    struct sc_digest digest = sc_digest_of(sc_arena_printf(
        arena, "%s\n%s\n%s", real_folder(arena, places->state), real_folder(arena, places->cache), part));
    sc_digest_hex(&digest, hex);
    return sc_arena_cstr(arena, sc_arena_printf(arena, "%s/%.12s", places->runtime, hex));
}

// Without it others' steps see the store, which harms no run.
static void leave_link(struct sc_arena *arena, const struct sc_places *places)
{
    char *link = join(arena, places->logs, "/" SC_STORE_LINK);
    if (strcmp(places->logs, places->state) != 0 && !is_bucket(places->store) &&
        symlink(places->store, link) && errno != EEXIST)
        sc_log(SC_LOG_DEBUG, "ignoring that %s was not made: %s", link, strerror(errno));
}

enum sc_rc sc_places_find(struct sc_arena *arena, struct sc_places *ret_places, struct sc_error *err)
{
    struct sc_places places = {.runtime = runtime_folder(arena)};
    const char *part = "";
    enum sc_rc rc = below_home(arena, "XDG_STATE_HOME", "/.local/state/stepcache", &places.state, err);
    if (rc == SC_OK)
        rc = below_home(arena, "XDG_CACHE_HOME", "/.cache/stepcache", &places.cache, err);
    if (rc == SC_OK)
        rc = check_own(places.state, err);
    if (rc == SC_OK)
        rc = check_own(places.cache, err);
    if (rc == SC_OK)
        rc = find_store(arena, &places, &part, err);
    if (rc != SC_OK)
        return rc;
    places.sockets = sockets_folder(arena, &places, part);
    places.client_endpoint = join(arena, "ipc://", join(arena, places.sockets, "/client.sock"));
    places.agent_endpoint = join(arena, "ipc://", join(arena, places.sockets, "/agent.sock"));
    places.tether = join(arena, places.sockets, "/tether.sock");
    places.logs = join(arena, places.state, part);
    places.coordinator_state = join(arena, places.logs, "/coordinator");
    places.agent_state = join(arena, join(arena, places.cache, part), "/agent");
    const char *folders[] = {places.runtime, places.sockets, places.coordinator_state, places.agent_state};
    for (size_t i = 0; rc == SC_OK && i < SC_COUNT(folders); i++)
        rc = sc_dir_make(folders[i], 0700, err);
    if (rc == SC_OK)
        rc = check_runtime(places.runtime, err);
    if (rc == SC_OK)
        rc = check_runtime(places.sockets, err);
    if (rc != SC_OK)
        return rc;
    leave_link(arena, &places);
    *ret_places = places;
    return SC_OK;
}
