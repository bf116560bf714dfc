#include "coordinator/shell/config.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "pipeline/duration.h"
#include "pipeline/plan.h"
#include "pipeline/plan_check.h"
#include "pipeline/suggest.h"
#include "proto/places.h"
#include "store/names.h"
#include "store/store.h"

#include <unistd.h>

enum { CONFIG_BYTES = 64 << 10, PATIENCE_MS = 5 * 60 * 1000, ALLOW_MOST = 1000 };

enum key {
    KEY_STATE,
    KEY_STORE,
    KEY_DOMAIN,
    KEY_NAME,
    KEY_CLIENT,
    KEY_AGENT,
    KEY_LOG,
    KEY_STORE_PATIENCE,
    KEY_HORIZON,
    KEY_TARIFF_PUT,
    KEY_TARIFF_GET,
    KEY_TARIFF_STORAGE,
    KEY_COUNT
};
static const char *const key_names[KEY_COUNT] = {"state",   "store",      "domain",     "name",
                                                 "client",  "agent",      "log",        "store_patience",
                                                 "horizon", "tariff_put", "tariff_get", "tariff_storage"};

struct parser {
    const char *name;
    unsigned line;
    struct sc_arena *arena;
    struct sc_error *err;
    unsigned seen[KEY_COUNT]; // the line that gave it; 0: none
};

#define WRONG(p, rc, format, ...)                                                                            \
    sc_error_set((p)->err, rc, "%s:%u: " format, (p)->name, (p)->line, __VA_ARGS__)

static struct sc_slice trimmed(struct sc_slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = sc_slice_from(s, 1);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r'))
        s.len--;
    return s;
}

static enum sc_rc unknown_key(const struct parser *p, struct sc_slice key)
{
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, key);
    for (size_t i = 0; i < KEY_COUNT; i++)
        sc_suggest_try(&suggest, sc_slice_str(key_names[i]));
    if (sc_suggest_found(&suggest))
        return WRONG(p, SC_INVALID, "unknown key '" SC_SLICE_FMT "': did you mean '" SC_SLICE_FMT "'?",
                     SC_SLICE_ARG(key), SC_SLICE_ARG(suggest.best));
    return WRONG(p, SC_INVALID,
                 "unknown key '" SC_SLICE_FMT
                 "': known are state, store, domain, name, client, agent, log, store_patience, horizon, "
                 "tariff_put, tariff_get, tariff_storage, allow.<namespace>",
                 SC_SLICE_ARG(key));
}

static enum sc_rc need_absolute(const struct parser *p, const char *key, struct sc_slice value)
{
    if (value.len && value.ptr[0] == '/')
        return SC_OK;
    return WRONG(p, SC_INVALID, "%s: '" SC_SLICE_FMT "' is not an absolute path", key, SC_SLICE_ARG(value));
}

static enum sc_rc need_endpoint(const struct parser *p, const char *key, struct sc_slice value)
{
    if (sc_slice_starts(value, "tcp://"))
        return WRONG(p, SC_UNSUPPORTED,
                     "%s: tcp:// endpoints are not built yet (they need CURVE): use ipc:///path/to/socket",
                     key);
    if (!sc_slice_starts(value, "ipc:///"))
        return WRONG(p, SC_INVALID, "%s: '" SC_SLICE_FMT "' is no endpoint: use ipc:///path/to/socket", key,
                     SC_SLICE_ARG(value));
    return SC_OK;
}

// Letters, digits and what hosts' names hold: it is a part of names in the store.
static bool name_is_valid(struct sc_slice s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    for (size_t i = 0; i < s.len; i++)
        if (!memchr(plain, s.ptr[i], sizeof plain - 1))
            return false;
    return s.len > 0 && s.len <= 63 && s.ptr[0] != '-' && s.ptr[0] != '.';
}

static enum sc_rc take_duration(const struct parser *p, enum key key, const char *like, struct sc_slice value,
                                int64_t *ret_ms)
{
    if (sc_duration_parse(value, ret_ms) == SC_DURATION_OK)
        return SC_OK;
    return WRONG(p, SC_INVALID, "%s: '" SC_SLICE_FMT "' is no duration of fixed length: like %s",
                 key_names[key], SC_SLICE_ARG(value), like);
}

static enum sc_rc take_horizon(const struct parser *p, struct sc_slice value, int64_t *ret_ms)
{
    enum sc_rc rc = take_duration(p, KEY_HORIZON, "P7D", value, ret_ms);
    if (rc != SC_OK || (*ret_ms >= SC_STORE_HORIZON_LEAST_MS && *ret_ms <= SC_STORE_HORIZON_MOST_MS))
        return rc;
    return WRONG(p, SC_INVALID, "horizon: '" SC_SLICE_FMT "' is not from PT1S to P3653D",
                 SC_SLICE_ARG(value));
}

// A decimal number to millionths: "0.0004".
static enum sc_rc take_price(const struct parser *p, const char *key, struct sc_slice value,
                             uint64_t *ret_millionths)
{
    enum { DECIMALS = 6, DIGITS = 12 };
    uint64_t millionths = 0;
    int decimals = -1, digits = 0;
    for (size_t i = 0; i < value.len; i++) {
        bool is_digit = value.ptr[i] >= '0' && value.ptr[i] <= '9';
        if ((!is_digit && (value.ptr[i] != '.' || decimals >= 0 || digits == 0)) || decimals == DECIMALS ||
            digits == DIGITS)
            return WRONG(p, SC_INVALID,
                         "%s: '" SC_SLICE_FMT "' is no price: like 0.005, of six decimals at most", key,
                         SC_SLICE_ARG(value));
        if (is_digit) {
            millionths = millionths * 10 + (uint64_t)(value.ptr[i] - '0');
            digits++;
        }
        decimals += decimals >= 0 || !is_digit;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < DECIMALS; i++)
        millionths *= 10;
    *ret_millionths = millionths;
    return SC_OK;
}

static enum sc_rc take(struct parser *p, enum key key, struct sc_slice value, struct sc_config *config)
{
    enum sc_rc rc = SC_OK;
    switch (key) {
    case KEY_STATE:
        rc = need_absolute(p, "state", value);
        config->state = sc_arena_cstr(p->arena, value);
        return rc;
    case KEY_STORE:
        if (!sc_slice_starts(value, "dir:") && !sc_slice_starts(value, "s3:"))
            rc = need_absolute(p, "store", value);
        config->store = sc_arena_cstr(p->arena, value);
        return rc;
    case KEY_DOMAIN:
        if (!sc_name_domain_is_valid(value))
            return WRONG(p, SC_INVALID,
                         "domain: '" SC_SLICE_FMT "' is not of the form [a-z0-9][a-z0-9-]{0,62}",
                         SC_SLICE_ARG(value));
        config->domain = sc_arena_cstr(p->arena, value);
        return SC_OK;
    case KEY_NAME:
        if (!name_is_valid(value))
            return WRONG(p, SC_INVALID,
                         "name: '" SC_SLICE_FMT "' is not of the form [A-Za-z0-9_][A-Za-z0-9_.-]{0,62}",
                         SC_SLICE_ARG(value));
        config->name = sc_arena_cstr(p->arena, value);
        return SC_OK;
    case KEY_CLIENT:
        config->client = sc_arena_cstr(p->arena, value);
        return need_endpoint(p, "client", value);
    case KEY_AGENT:
        config->agent = sc_arena_cstr(p->arena, value);
        return need_endpoint(p, "agent", value);
    case KEY_LOG:
        config->log = sc_arena_cstr(p->arena, value);
        return need_absolute(p, "log", value);
    case KEY_STORE_PATIENCE:
        return take_duration(p, key, "PT5M", value, &config->store_patience_ms);
    case KEY_HORIZON:
        return take_horizon(p, value, &config->horizon_ms);
    case KEY_TARIFF_PUT:
        return take_price(p, "tariff_put", value, &config->tariff.put);
    case KEY_TARIFF_GET:
        return take_price(p, "tariff_get", value, &config->tariff.get);
    case KEY_TARIFF_STORAGE:
        return take_price(p, "tariff_storage", value, &config->tariff.storage);
    case KEY_COUNT:
        break;
    }
    SC_ASSERT(false);
    return SC_INVALID;
}

// ---- allow.<namespace>: s3://bucket/prefix, /folder, …

// Its own spelling alone: what is matched must be what people read.
static bool is_root(struct sc_slice root)
{
    struct sc_slice bucket, key;
    if (sc_slice_eq_str(root, "/"))
        return true;
    if (root.len && root.ptr[root.len - 1] == '/')
        root.len--;
    return (root.len > 1 && root.ptr[0] == '/' && sc_plan_path_stays(root)) ||
           sc_plan_s3_place(root, &bucket, &key);
}

static enum sc_rc take_allow(struct parser *p, struct sc_slice namespace_, struct sc_slice value,
                             struct sc_config *config)
{
    if (!sc_slice_eq_str(namespace_, "*") && !sc_plan_is_pipeline_name(namespace_))
        return WRONG(p, SC_INVALID, "allow.: '" SC_SLICE_FMT "' is no namespace, nor * for all others",
                     SC_SLICE_ARG(namespace_));
    for (uint32_t i = 0; i < config->allow.count; i++)
        if (sc_slice_eq(config->allow.items[i].namespace_, namespace_))
            return WRONG(p, SC_INVALID, "allow." SC_SLICE_FMT ": given before", SC_SLICE_ARG(namespace_));
    if (config->allow.count == ALLOW_MOST)
        return WRONG(p, SC_LIMIT, "more than %d lines of allow", ALLOW_MOST);
    if (!config->allow.items)
        config->allow.items = SC_NEW_ARRAY(p->arena, ALLOW_MOST, struct sc_allow);
    struct sc_allow *allow = &config->allow.items[config->allow.count++];
    allow->namespace_ = sc_arena_copy(p->arena, namespace_);
    allow->roots.items = SC_NEW_ARRAY(p->arena, value.len / 2 + 1, struct sc_slice);
    for (bool more = true; more;) {
        const uint8_t *comma = value.len ? memchr(value.ptr, ',', value.len) : NULL;
        struct sc_slice root = trimmed(comma ? sc_slice(value.ptr, (size_t)(comma - value.ptr)) : value);
        if (!is_root(root))
            return WRONG(p, SC_INVALID,
                         "allow." SC_SLICE_FMT ": '" SC_SLICE_FMT
                         "' is neither s3://bucket/prefix nor an absolute folder",
                         SC_SLICE_ARG(namespace_), SC_SLICE_ARG(root));
        allow->roots.items[allow->roots.count++] = sc_arena_copy(p->arena, root);
        more = comma != NULL;
        if (more)
            value = sc_slice_from(value, (size_t)(comma - value.ptr) + 1);
    }
    return SC_OK;
}

static enum sc_rc take_line(struct parser *p, struct sc_slice line, struct sc_config *config)
{
    line = trimmed(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return SC_OK;
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    if (!colon)
        return WRONG(p, SC_INVALID, "'" SC_SLICE_FMT "' is not of the form `key: value`", SC_SLICE_ARG(line));
    struct sc_slice key = trimmed(sc_slice(line.ptr, (size_t)(colon - line.ptr)));
    struct sc_slice value = trimmed(sc_slice_from(line, (size_t)(colon - line.ptr) + 1));
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        if (!sc_slice_eq_str(key, key_names[i]))
            continue;
        if (value.len == 0 || memchr(value.ptr, 0, value.len))
            return WRONG(p, SC_INVALID, "%s: it has no value", key_names[i]);
        if (p->seen[i])
            return WRONG(p, SC_INVALID, "%s: given before, in line %u", key_names[i], p->seen[i]);
        p->seen[i] = p->line;
        return take(p, (enum key)i, value, config);
    }
    if (sc_slice_starts(key, "allow.") && !memchr(value.ptr, 0, value.len))
        return take_allow(p, sc_slice_from(key, strlen("allow.")), value, config);
    return unknown_key(p, key);
}

static const char *beside(struct sc_arena *arena, const char *endpoint, const char *name)
{
    const char *path = endpoint + strlen("ipc://"), *slash = strrchr(path, '/');
    return (const char *)sc_arena_printf(arena, "%.*s/%s", (int)(slash - path), path, name).ptr;
}

enum sc_rc sc_config_parse(const char *name, struct sc_slice text, struct sc_arena *arena,
                           struct sc_config *ret_config, struct sc_error *err)
{
    struct parser p = {.name = name, .arena = arena, .err = err};
    struct sc_config config = {.domain = "main", .store_patience_ms = PATIENCE_MS, .tariff = SC_TARIFF_USUAL};
    while (text.len) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        p.line++;
        enum sc_rc rc = take_line(&p, sc_slice(text.ptr, len), &config);
        if (rc != SC_OK)
            return rc;
        text = sc_slice_from(text, end ? len + 1 : len);
    }
    static const enum key needed[] = {KEY_STATE, KEY_STORE, KEY_CLIENT, KEY_AGENT};
    for (size_t i = 0; i < SC_COUNT(needed); i++)
        if (!p.seen[needed[i]])
            return sc_error_set(err, SC_INVALID, "%s: the key '%s' is missing", name, key_names[needed[i]]);
    if (strcmp(config.client, config.agent) == 0)
        return sc_error_set(err, SC_INVALID, "%s: client and agent need endpoints of their own", name);
    config.tether = beside(arena, config.client, "tether.sock");
    *ret_config = config;
    return SC_OK;
}

// The host and the state folder, by its path: it stays when what lies in the folder is lost, and two coordinators of one host
// have two.
static const char *default_name(struct sc_arena *arena, const char *state)
{
    enum { HOST_BYTES = 48 };
    char host[256] = "", hex[SC_DIGEST_HEX_BYTES];
    (void)gethostname(host, sizeof host - 1); // without one it is called by the folder alone
    host[HOST_BYTES] = 0;
    for (char *c = host; *c; c++)
        if (!name_is_valid(sc_slice(c, 1)) && (c == host || (*c != '-' && *c != '.')))
            *c = '_';
    struct sc_digest folder = sc_digest_of(sc_slice_str(state));
    sc_digest_hex(&folder, hex);
    return (const char *)sc_arena_printf(arena, "%s%s%.8s", host, *host ? "-" : "", hex).ptr;
}

enum sc_rc sc_config_read(const char *path, struct sc_arena *arena, struct sc_config *ret_config,
                          struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    enum sc_rc rc = sc_file_read(path, CONFIG_BYTES, &text, err);
    if (rc == SC_OK)
        rc = sc_config_parse(path, sc_buf_slice(&text), arena, ret_config, err);
    if (rc == SC_OK && !ret_config->name)
        ret_config->name = default_name(arena, ret_config->state);
    return rc;
}

enum sc_rc sc_config_private(struct sc_arena *arena, struct sc_config *ret_config, struct sc_error *err)
{
    struct sc_places places;
    enum sc_rc rc = sc_places_find(arena, &places, err);
    if (rc != SC_OK)
        return rc;
    *ret_config = (struct sc_config){
        .private_ = true,
        .state = places.coordinator_state,
        .store = places.store,
        .shared_store = places.shared_store,
        .domain = "main",
        .client = places.client_endpoint,
        .agent = places.agent_endpoint,
        .tether = places.tether,
        .store_patience_ms = PATIENCE_MS,
        .tariff = SC_TARIFF_USUAL,
    };
    return SC_OK;
}
