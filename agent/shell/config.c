#include "agent/shell/config.h"

#include "agent/shell/machine.h"
#include "base/limits.h"
#include "base/memory.h"
#include "proto/places.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

enum { PRIVATE_LOCK_WAIT_MS = 5000, LABELS_MOST = 100, HIDE_MOST = 6 };

struct parser {
    struct sc_arena *arena;
    struct sc_agent_config *config;
    const char *shown;
    uint32_t line;
    uint32_t labels_room;
};

static struct sc_slice trim(struct sc_slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = sc_slice_from(s, 1);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r'))
        s.len--;
    return s;
}

static enum sc_rc wrong(struct parser *p, struct sc_error *err, const char *what, struct sc_slice value)
{
    return sc_error_set(err, SC_INVALID, "%s:%u: %s, not \"" SC_SLICE_FMT "\"", p->shown, p->line, what,
                        SC_SLICE_ARG(value));
}

// "2", "0.5": thousandths.
static bool parse_milli(struct sc_slice value, uint32_t *ret_milli)
{
    uint64_t milli = 0;
    uint32_t scale = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        if (c == '.' && scale == 0 && i > 0) {
            scale = 1;
            continue;
        }
        if (c < '0' || c > '9' || scale > 100 || milli > UINT32_MAX)
            return false;
        milli = scale ? milli + (uint64_t)(c - '0') * (100 / scale) : milli * 10 + (uint64_t)(c - '0') * 1000;
        scale *= 10;
    }
    if (milli == 0 || milli > UINT32_MAX)
        return false;
    *ret_milli = (uint32_t)milli;
    return true;
}

// "8GiB", "512MiB", "1000": bytes.
static bool parse_bytes(struct sc_slice value, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        uint32_t shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    uint64_t number = 0;
    size_t at = 0;
    for (; at < value.len && value.ptr[at] >= '0' && value.ptr[at] <= '9'; at++) {
        if (number > UINT64_MAX / 16)
            return false;
        number = number * 10 + (uint64_t)(value.ptr[at] - '0');
    }
    struct sc_slice unit = trim(sc_slice_from(value, at));
    for (size_t i = 0; at > 0 && i < SC_COUNT(units); i++) {
        if (!sc_slice_eq_str(unit, units[i].unit))
            continue;
        if (number > UINT64_MAX >> units[i].shift)
            return false;
        *ret_bytes = number << units[i].shift;
        return true;
    }
    return false;
}

static bool is_domain(struct sc_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i > 0)))
            return false;
    }
    return s.len > 0 && s.len <= SC_LIMIT_NAME_BYTES;
}

static void add_label(struct parser *p, struct sc_slice name, struct sc_slice value)
{
    struct sc_agent_config *c = p->config;
    if (!c->labels.items)
        c->labels.items = SC_NEW_ARRAY(p->arena, LABELS_MOST, struct sc_named_text);
    c->labels.items[c->labels.count++] =
        (struct sc_named_text){sc_arena_copy(p->arena, name), sc_arena_copy(p->arena, value)};
}

static bool add_hidden(struct sc_agent_config *config, size_t most, const char *folder)
{
    for (size_t i = 0; i < most; i++) {
        if (config->hidden[i])
            continue;
        config->hidden[i] = folder;
        return true;
    }
    return false;
}

static enum sc_rc set_key(struct parser *p, struct sc_slice key, struct sc_slice value, struct sc_error *err)
{
    struct sc_agent_config *c = p->config;
    struct {
        const char *key;
        const char **text;
        struct sc_slice *slice;
    } const texts[] = {
        {"coordinator", &c->endpoint, NULL}, {"store", &c->store, NULL}, {"work", &c->work, NULL},
        {"runner", &c->runner, NULL},        {"name", NULL, &c->name},   {"path", NULL, &c->path},
        {"checksums", &c->checksums, NULL},
    };
    for (size_t i = 0; i < SC_COUNT(texts); i++) {
        if (!sc_slice_eq_str(key, texts[i].key))
            continue;
        if (texts[i].text)
            *texts[i].text = sc_arena_cstr(p->arena, value);
        else
            *texts[i].slice = sc_arena_copy(p->arena, value);
        return SC_OK;
    }
    uint64_t number;
    if (sc_slice_eq_str(key, "domain")) {
        if (!is_domain(value))
            return wrong(p, err, "`domain` is 1 to 63 of a-z, 0-9 and -", value);
        c->domain = sc_arena_copy(p->arena, value);
    } else if (sc_slice_eq_str(key, "cpus")) {
        if (!parse_milli(value, &c->cpus_milli))
            return wrong(p, err, "`cpus` is a number as 4 or 0.5", value);
    } else if (sc_slice_eq_str(key, "memory")) {
        if (!parse_bytes(value, &c->memory_bytes) || c->memory_bytes == 0)
            return wrong(p, err, "`memory` is a size as 8GiB or 512MiB", value);
    } else if (sc_slice_eq_str(key, "cache")) {
        if (!parse_bytes(value, &c->layout_max_bytes))
            return wrong(p, err, "`cache` is a size as 8GiB or 512MiB", value);
    } else if (sc_slice_eq_str(key, "gpus")) {
        if (!parse_bytes(value, &number) || number > 1024)
            return wrong(p, err, "`gpus` is a number", value);
        c->gpus = (uint32_t)number;
    } else if (sc_slice_eq_str(key, "log")) {
        if (!sc_slice_eq_str(value, "info") && !sc_slice_eq_str(value, "debug"))
            return wrong(p, err, "`log` is info or debug", value);
        c->trace = sc_slice_eq_str(value, "debug");
    } else if (sc_slice_eq_str(key, "hide")) {
        if (value.ptr[0] != '/' || !add_hidden(c, HIDE_MOST, sc_arena_cstr(p->arena, value)))
            return wrong(p, err, "`hide` is the absolute path of a folder, at most six times", value);
    } else if (sc_slice_starts(key, "labels.") && key.len > 7 && c->labels.count < LABELS_MOST) {
        add_label(p, sc_slice_from(key, 7), value);
    } else {
        return sc_error_set(err, SC_INVALID,
                            "%s:%u: unknown key \"" SC_SLICE_FMT
                            "\"; known are coordinator, store, domain, name, work, "
                            "path, cpus, memory, gpus, cache, checksums, hide, runner, labels.NAME, log",
                            p->shown, p->line, SC_SLICE_ARG(key));
    }
    return SC_OK;
}

static enum sc_rc parse_line(struct parser *p, struct sc_slice line, struct sc_error *err)
{
    line = trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return SC_OK;
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    if (!colon)
        return wrong(p, err, "a line is `key: value`", line);
    struct sc_slice key = trim(sc_slice(line.ptr, (size_t)(colon - line.ptr)));
    struct sc_slice value = trim(sc_slice_from(line, (size_t)(colon + 1 - line.ptr)));
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = sc_slice(value.ptr + 1, value.len - 2);
    if (value.len == 0)
        return sc_error_set(err, SC_INVALID, "%s:%u: `" SC_SLICE_FMT "` has no value", p->shown, p->line,
                            SC_SLICE_ARG(key));
    return set_key(p, key, value, err);
}

enum sc_rc sc_agent_config_parse(struct sc_slice text, const char *shown, struct sc_arena *arena,
                                 struct sc_agent_config *config, struct sc_error *err)
{
    struct parser p = {.arena = arena, .config = config, .shown = shown};
    while (text.len) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        struct sc_slice line = sc_slice(text.ptr, end ? (size_t)(end - text.ptr) : text.len);
        text = sc_slice_from(text, line.len + (end ? 1 : 0));
        p.line++;
        enum sc_rc rc = parse_line(&p, line, err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

// The user's other sessions: sockets where a login has them, when this one has its own elsewhere, and stores in folders of
// their own. Of such a folder only what is Stepcache's: it may be one in which the user works. (The last place is for
// hide_sockets.)
static void hide_others(struct sc_arena *arena, struct sc_agent_config *config,
                        const struct sc_places *places)
{
    enum { MOST = SC_COUNT(config->hidden) - 2 };
    const char *login =
        (const char *)sc_arena_printf(arena, "/run/user/%u/stepcache", (unsigned)geteuid()).ptr;
    if (strcmp(login, places->runtime) != 0)
        add_hidden(config, MOST, login);
    DIR *dir = opendir(places->state);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char store[SC_LIMIT_PATH_BYTES];
        SC_AUTO_FREE char *link = sc_asprintf("%s/%s/" SC_STORE_LINK, places->state, entry->d_name);
        ssize_t len = readlink(link, store, sizeof store - 1);
        if (len <= 0 || store[0] != '/')
            continue;
        store[len] = 0;
        static const char *const ours[] = {"v1", "tmp"};
        for (size_t i = 0; i < SC_COUNT(ours) && strcmp(store, places->store) != 0; i++)
            add_hidden(config, MOST, (const char *)sc_arena_printf(arena, "%s/%s", store, ours[i]).ptr);
    }
    if (dir)
        closedir(dir);
}

enum sc_rc sc_agent_config_private(struct sc_arena *arena, struct sc_agent_config *config,
                                   struct sc_error *err)
{
    struct sc_places places;
    enum sc_rc rc = sc_places_find(arena, &places, err);
    if (rc != SC_OK)
        return rc;
    config->endpoint = places.agent_endpoint;
    config->store = places.store;
    config->work = places.agent_state;
    config->hidden[0] = places.runtime;
    config->hidden[1] = places.state; // the coordinator's, and the logs of both
    config->hidden[2] = places.cache;
    hide_others(arena, config, &places);
    config->coordinator_lock =
        (const char *)sc_arena_printf(arena, "%s/coordinator.lock", places.coordinator_state).ptr;
    config->lock_wait_ms = PRIVATE_LOCK_WAIT_MS;
    return SC_OK;
}

// Beside this program, as built or as installed.
static const char *find_runner(struct sc_arena *arena)
{
    static const char *const places[] = {
        "step-runner", "../runner/step-runner", "../libexec/stepcache/step-runner",
        "../libexec/stepcache/stepcache-runner", "../runner/stepcache-runner"};
    char self[SC_LIMIT_PATH_BYTES];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return NULL;
    self[len] = 0;
    *strrchr(self, '/') = 0;
    for (size_t i = 0; i < SC_COUNT(places); i++) {
        const char *path = (const char *)sc_arena_printf(arena, "%s/%s", self, places[i]).ptr;
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

// Whoever reaches a socket there speaks as the agent. A home folder is no place of ours alone.
static void hide_sockets(struct sc_arena *arena, struct sc_agent_config *config)
{
    if (strncmp(config->endpoint, "ipc:///", 7) != 0)
        return;
    char *folder = sc_arena_cstr(arena, sc_slice_str(config->endpoint + 6));
    char *slash = strrchr(folder, '/');
    *slash = 0;
    const char *home = getenv("HOME");
    if (slash == folder || (home && strcmp(folder, home) == 0))
        return;
    for (size_t i = 0; i < SC_COUNT(config->hidden) - 1; i++) {
        if (config->hidden[i] && strcmp(config->hidden[i], folder) == 0)
            return;
        if (config->hidden[i])
            continue;
        config->hidden[i] = folder;
        return;
    }
}

enum sc_rc sc_agent_config_complete(struct sc_arena *arena, const char *shown, struct sc_agent_config *config,
                                    struct sc_error *err)
{
    const struct {
        const char *key, *value;
    } needed[] = {{"coordinator", config->endpoint}, {"store", config->store}, {"work", config->work}};
    for (size_t i = 0; i < SC_COUNT(needed); i++)
        if (!needed[i].value)
            return sc_error_set(err, SC_INVALID, "%s: `%s` is missing", shown, needed[i].key);
    struct sc_machine machine = sc_machine_look();
    config->cpus_milli = config->cpus_milli ? config->cpus_milli : machine.cpus_milli;
    config->memory_bytes = config->memory_bytes ? config->memory_bytes : machine.memory_bytes;
    config->gpus = config->gpus ? config->gpus : machine.gpus;
    hide_sockets(arena, config);
    if (config->name.len == 0)
        config->name = sc_machine_name(arena);
    if (config->domain.len == 0)
        config->domain = sc_slice_str("main");
    if (config->path.len == 0)
        config->path = sc_slice_str("/usr/local/bin:/usr/bin:/bin");
    if (!config->runner)
        config->runner = find_runner(arena);
    if (!config->runner)
        return sc_error_set(err, SC_NOT_FOUND,
                            "step-runner is not beside this program; install it, or name it as `runner`");
    return SC_OK;
}
