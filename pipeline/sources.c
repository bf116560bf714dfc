#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

static const struct sc_rule source_rules[] = {{"uri", NULL}, {"identity", NULL}};

// What comes before "://", or nothing.
static struct sc_slice scheme_of(struct sc_slice uri)
{
    size_t i = 0;
    while (i < uri.len && ((uri.ptr[i] | 32) >= 'a' && (uri.ptr[i] | 32) <= 'z'))
        i++;
    while (
        i > 0 && i < uri.len &&
        (((uri.ptr[i] | 32) >= 'a' && (uri.ptr[i] | 32) <= 'z') || (uri.ptr[i] >= '0' && uri.ptr[i] <= '9')))
        i++;
    return i > 0 && sc_slice_starts(sc_slice_from(uri, i), "://") ? sc_slice(uri.ptr, i) : sc_slice(NULL, 0);
}

static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// RFC 3986, 2.1. False for a "%" without two digits, and for %00.
static bool percent_decode(struct sc_compile *c, struct sc_slice *text)
{
    if (!memchr(text->ptr, '%', text->len))
        return true;
    uint8_t *to = sc_arena_alloc(c->arena, text->len);
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++) {
        uint8_t byte = text->ptr[i];
        if (byte == '%') {
            int high = i + 2 < text->len ? nibble(text->ptr[i + 1]) : -1,
                low = high < 0 ? -1 : nibble(text->ptr[i + 2]);
            if (low < 0 || (high | low) == 0)
                return false;
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        to[n++] = byte;
    }
    *text = sc_slice(to, n);
    return true;
}

// Takes "//", "/./" and a leading "./" out of a path, and the slash at its end. ".." stays where it is.
static struct sc_slice simplify(struct sc_compile *c, struct sc_slice path)
{
    uint8_t *to = sc_arena_alloc(c->arena, path.len + 1);
    size_t n = 0;
    bool absolute = path.len > 0 && path.ptr[0] == '/';
    for (size_t i = 0; i < path.len;) {
        size_t end = i;
        while (end < path.len && path.ptr[end] != '/')
            end++;
        bool nothing = end == i || (end == i + 1 && path.ptr[i] == '.');
        if (!nothing) {
            if (n > 0 || absolute)
                to[n++] = '/';
            memcpy(to + n, path.ptr + i, end - i);
            n += end - i;
        }
        i = end + 1;
    }
    if (n == 0)
        to[n++] = absolute ? '/' : '.';
    return sc_slice(to, n);
}

// file://[localhost]/path (RFC 8089).
static bool read_file_uri(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice rest,
                          struct sc_plan_source *source)
{
    if (sc_slice_starts(rest, "localhost/"))
        rest = sc_slice_from(rest, strlen("localhost"));
    if (!sc_slice_starts(rest, "/")) {
        SC_WRONG(c, node, "write file:///path", "a file:// source is an absolute path that all agents see");
        return false;
    }
    if (!percent_decode(c, &rest)) {
        SC_WRONG(c, node, "write %25 for a percent sign", "a malformed percent escape in a file:// source");
        return false;
    }
    if (!sc_plan_path_stays(rest)) {
        SC_WRONG(c, node, NULL, "a file:// source must not contain \"..\"");
        return false;
    }
    source->kind = SC_SOURCE_FILE;
    source->path = rest;
    return true;
}

// What stands behind "?": the version alone, percent-encoded as in any query.
static bool read_version(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice query,
                         struct sc_plan_source *source)
{
    static const char name[] = "versionId=";
    if (!sc_slice_starts(query, name)) {
        SC_WRONG(c, node,
                 "where the server is and by which credentials it is read is the agent's to say "
                 "(AWS_ENDPOINT_URL_S3, AWS_PROFILE, …)",
                 "an s3:// source takes no parameter but versionId");
        return false;
    }
    source->version = sc_slice_from(query, strlen(name));
    bool one = source->version.len && !memchr(source->version.ptr, '&', source->version.len);
    if (!one || !percent_decode(c, &source->version) || source->version.len > SC_LIMIT_ETAG_BYTES) {
        SC_WRONG(c, node, "write s3://bucket/key?versionId=ID", "versionId of an s3:// source is malformed");
        return false;
    }
    if (source->dir)
        SC_WRONG(c, node, "leave it out, or name the object", "a prefix has no versionId");
    return !source->dir;
}

// s3://bucket/key, s3://bucket/prefix/: bytes as they are, as S3's tools print and read them; nothing is normalised.
static bool read_s3_uri(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_slice uri,
                        struct sc_plan_source *source)
{
    const uint8_t *query = memchr(uri.ptr, '?', uri.len);
    struct sc_slice place = query ? sc_slice(uri.ptr, (size_t)(query - uri.ptr)) : uri, bucket, key;
    source->kind = SC_SOURCE_S3;
    source->dir = place.ptr[place.len - 1] == '/' && place.len > strlen("s3://");
    if (source->dir)
        place.len--;
    source->path = place;
    if (!sc_plan_s3_place(place, &bucket, &key) || (!source->dir && key.len == 0)) {
        SC_WRONG(c, node, "write s3://bucket/key, or s3://bucket/prefix/ for all that lies below it",
                 "malformed s3:// source: a bucket, and a key of which each part can be a file's name");
        return false;
    }
    return !query || read_version(c, node, sc_slice_from(uri, place.len + source->dir + 1), source);
}

static bool read_uri(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_source *source)
{
    struct sc_slice uri, scheme;
    if (!sc_read_filled(c, node, "a source", &uri))
        return false;
    scheme = scheme_of(uri);
    if (sc_slice_eq_str(scheme, "s3"))
        return read_s3_uri(c, node, uri, source);
    if (scheme.len > 0 && !sc_slice_eq_str(scheme, "file")) {
        SC_REFUSE(c, node, "name a file or folder: ./data.csv, ./data/, file:///path, s3://bucket/key",
                  SC_SLICE_FMT ":// sources are not supported", SC_SLICE_ARG(scheme));
        return false;
    }
    if (uri.len == 0 || uri.len > SC_LIMIT_PATH_BYTES) {
        SC_WRONG(c, node, NULL, "a source must be a path of 1 to %d bytes", SC_LIMIT_PATH_BYTES);
        return false;
    }
    source->dir = uri.ptr[uri.len - 1] == '/';
    source->kind = SC_SOURCE_LOCAL;
    source->path = uri;
    if (scheme.len > 0 && !read_file_uri(c, node, sc_slice_from(uri, strlen("file://")), source))
        return false;
    if (scheme.len == 0 && uri.ptr[0] == '/') {
        SC_WRONG(c, node, "write file:///path when all agents see it, or a path relative to the document",
                 "an absolute path is not a local source");
        return false;
    }
    source->path = simplify(c, source->path);
    return true;
}

static bool read_identity(struct sc_compile *c, const struct sc_yaml_node *node, bool *ret_by_version)
{
    static const char *const names[] = {"content", "version"};
    uint32_t which;
    if (!sc_want_choice(c, node, "identity", names, SC_COUNT(names), &which))
        return false;
    *ret_by_version = which == 1;
    return true;
}

// Only a version id never names two contents: "null" is the one of a bucket that keeps no versions, and is written over.
static bool check_identity(struct sc_compile *c, const struct sc_yaml_node *node,
                           const struct sc_plan_source *source)
{
    if (!source->by_version)
        return true;
    if (source->kind != SC_SOURCE_S3)
        SC_WRONG(c, node, "leave it out: files are known by content",
                 "identity: version is for s3:// sources, which have versions");
    else if (sc_slice_eq_str(source->version, "null"))
        SC_WRONG(c, node, "leave identity out, or name another version",
                 "identity: version needs a real version id, and \"null\" is none");
    else
        return true;
    return false;
}

static bool read_source(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_source *source)
{
    const struct sc_yaml_node *uri = NULL, *identity = NULL;
    bool good = true;
    if (node->kind != SC_YAML_MAP)
        return read_uri(c, node, source);
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, source_rules, SC_COUNT(source_rules), "a source");
        good = good && rule >= 0;
        if (rule == 0)
            uri = key->next;
        if (rule == 1)
            identity = key->next;
    }
    if (!uri) {
        SC_WRONG(c, node, "write {uri: ./data.csv}", "a source needs `uri`");
        return false;
    }
    if (identity)
        good = read_identity(c, identity, &source->by_version) && good;
    return read_uri(c, uri, source) && good && check_identity(c, identity, source);
}

void sc_read_sources(struct sc_compile *c, const struct sc_yaml_node *node)
{
    const struct sc_entry *entries;
    if (!node)
        return;
    uint32_t count = sc_entries(c, (struct sc_maps){node, NULL}, "sources", SC_PLAN_SOURCES_MOST, &entries),
             kept = 0;
    struct sc_plan_source *sources = SC_NEW_ARRAY(c->arena, count, struct sc_plan_source);
    uint32_t other;
    sc_names_init(&c->sources, count);
    for (uint32_t i = 0; i < count; i++) {
        struct sc_plan_source *source = &sources[kept];
        const struct sc_yaml_node *key = entries[i].key;
        if (!sc_want_name(c, key, "sources"))
            continue;
        source->name = sc_yaml_text(key);
        source->line = key->line;
        // One that is wrong keeps its place, so that inputs which name it are not wrong too.
        if (!read_source(c, entries[i].value, source))
            *source = (struct sc_plan_source){
                .name = source->name, .path = sc_slice_str("."), .line = source->line};
        sc_names_add(&c->sources, source->name, kept, &other); // keys of a mapping: each once
        kept++;
    }
    c->plan->sources.items = sources;
    c->plan->sources.count = kept;
}
