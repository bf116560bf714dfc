#include "store/s3/url.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>

enum { MAX_BUCKET = 255, MAX_URL = 8192, MAX_PARAMS = 64 };

static bool is_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void sc_s3_encode(struct sc_buf *out, struct sc_slice text, bool slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (is_unreserved(c) || (slash && c == '/')) {
            sc_buf_add_byte(out, c);
        } else {
            const char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
            sc_buf_add(out, escape, sizeof escape);
        }
    }
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sc_s3_decode(struct sc_slice text, bool plus, struct sc_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        sc_buf_add_byte(out, c);
    }
    return !out->overflow;
}

// Takes what stands before the separator (or all) off the front.
static struct sc_slice cut(struct sc_slice *rest, char separator, bool *ret_found)
{
    const uint8_t *at = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct sc_slice head = {rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len};
    *rest = at ? sc_slice_from(*rest, head.len + 1) : sc_slice(rest->ptr + rest->len, 0);
    if (ret_found)
        *ret_found = at != NULL;
    return head;
}

// Old buckets and other servers allow more than AWS's rule for new ones; what would change a URL's meaning is refused.
static bool is_bucket(struct sc_slice name)
{
    if (name.len < 3 || name.len > MAX_BUCKET || name.ptr[0] == '.' || name.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_unreserved(name.ptr[i]) || name.ptr[i] == '~')
            return false;
    return true;
}

static bool is_prefix(struct sc_slice prefix)
{
    if (prefix.len > SC_LIMIT_KEY_PREFIX_BYTES || !sc_slice_is_utf8(prefix))
        return false;
    while (prefix.len) {
        struct sc_slice part = cut(&prefix, '/', NULL);
        if (part.len == 0 || sc_slice_eq_str(part, ".") || sc_slice_eq_str(part, ".."))
            return false;
    }
    return true;
}

bool sc_s3_region_is_valid(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (!is_unreserved((uint8_t)text[i]) || text[i] == '.' || text[i] == '~')
            return false;
    return len > 0 && len < SC_LIMIT_NAME_BYTES;
}

static enum sc_rc set_param(struct sc_s3_url *url, struct sc_slice name, const char *value,
                            struct sc_error *err)
{
    const char **texts[] = {&url->endpoint, &url->region, &url->ca, &url->profile, &url->client};
    static const char *const names[] = {"endpoint", "region", "ca", "profile", "client"};
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        if (!sc_slice_eq_str(name, names[i]))
            continue;
        if (!value[0])
            return sc_error_set(err, SC_INVALID, "%s= is empty", names[i]);
        if (texts[i] == &url->region && !sc_s3_region_is_valid(value))
            return sc_error_set(err, SC_INVALID, "region=%s: not the name of a region", value);
        if (texts[i] == &url->ca && value[0] != '/')
            return sc_error_set(err, SC_INVALID, "ca=%s: not an absolute path", value);
        if (texts[i] == &url->client && strcmp(value, "libs3") != 0)
            return sc_error_set(err, SC_INVALID, "client=%s: it is libs3, or left away", value);
        *texts[i] = value;
        return SC_OK;
    }
    if (sc_slice_eq_str(name, "style")) {
        if (strcmp(value, "path") != 0 && strcmp(value, "virtual") != 0)
            return sc_error_set(err, SC_INVALID, "style=%s: it is path or virtual", value);
        url->style = value[0] == 'p' ? SC_S3_STYLE_PATH : SC_S3_STYLE_VIRTUAL;
        return SC_OK;
    }
    bool *flags[] = {&url->anonymous, &url->unverified};
    static const char *const flag_names[] = {"anonymous", "unverified"};
    for (size_t i = 0; i < SC_COUNT(flags); i++) {
        if (!sc_slice_eq_str(name, flag_names[i]))
            continue;
        if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return sc_error_set(err, SC_INVALID, "%s=%s: it is 0 or 1", flag_names[i], value);
        *flags[i] = value[0] == '1';
        return SC_OK;
    }
    return sc_error_set(err, SC_INVALID, "unknown parameter " SC_SLICE_FMT, SC_SLICE_ARG(name));
}

static enum sc_rc parse_params(struct sc_slice query, struct sc_arena *arena, struct sc_s3_url *url,
                               struct sc_error *err)
{
    struct sc_slice seen[8];
    uint32_t count = 0;
    while (query.len) {
        struct sc_slice value = cut(&query, '&', NULL), name = cut(&value, '=', NULL);
        SC_AUTO_BUF struct sc_buf text;
        sc_buf_init(&text, MAX_URL);
        if (!sc_s3_decode(value, false, &text) || (text.len && memchr(text.ptr, 0, text.len)))
            return sc_error_set(err, SC_INVALID, SC_SLICE_FMT "=: broken percent-encoding",
                                SC_SLICE_ARG(name));
        for (uint32_t i = 0; i < count; i++)
            if (sc_slice_eq(seen[i], name))
                return sc_error_set(err, SC_INVALID, SC_SLICE_FMT "= stands twice", SC_SLICE_ARG(name));
        enum sc_rc rc = set_param(url, name, sc_arena_cstr(arena, sc_buf_slice(&text)), err);
        if (rc != SC_OK)
            return rc;
        SC_ASSERT(count < SC_COUNT(seen)); // each is known and stands once
        seen[count++] = name;
    }
    return SC_OK;
}

static enum sc_rc parse(struct sc_slice rest, struct sc_arena *arena, struct sc_s3_url *url,
                        struct sc_error *err)
{
    struct sc_slice query = rest, place = cut(&query, '?', NULL);
    struct sc_slice prefix = place, bucket = cut(&prefix, '/', NULL);
    if (prefix.len && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    if (!is_bucket(bucket))
        return sc_error_set(err, SC_INVALID, "\"" SC_SLICE_FMT "\" is not the name of a bucket",
                            SC_SLICE_ARG(bucket));
    if (!is_prefix(prefix))
        return sc_error_set(err, SC_INVALID,
                            "\"" SC_SLICE_FMT "\" is not a prefix: UTF-8 of at most %u bytes, no part of it "
                            "empty, '.' or '..'",
                            SC_SLICE_ARG(prefix), SC_LIMIT_KEY_PREFIX_BYTES);
    url->bucket = sc_arena_copy(arena, bucket);
    url->prefix = sc_arena_copy(arena, prefix);
    return parse_params(query, arena, url, err);
}

enum sc_rc sc_s3_url_parse(const char *text, struct sc_arena *arena, struct sc_s3_url *ret_url,
                           struct sc_error *err)
{
    struct sc_slice all = sc_slice_str(text);
    struct sc_s3_url url = {.bucket = {NULL, 0}};
    enum sc_rc rc;
    if (all.len > MAX_URL || !sc_slice_starts(all, "s3://"))
        rc = sc_error_set(err, SC_INVALID, "not an s3:// URL");
    else
        rc = parse(sc_slice_from(all, 5), arena, &url, err);
    if (rc != SC_OK) {
        sc_error_wrap(err, rc, "%s", text);
        sc_error_hint(err, "write s3://bucket/prefix?endpoint=URL&region=NAME&style=path|virtual&ca=/FILE&"
                           "profile=NAME&anonymous=1&client=libs3; all parameters are optional");
        return rc;
    }
    *ret_url = url;
    return SC_OK;
}

// host[:port], and nothing that would read as another part of a URL.
static bool is_host(struct sc_slice host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!is_unreserved(host.ptr[i]) && !strchr("[]:", host.ptr[i]))
            return false;
    return host.len > 0 && host.ptr[0] != ':' && host.len < SC_LIMIT_FILENAME_BYTES;
}

static struct sc_slice without_port(struct sc_slice host, bool tls)
{
    const char *port = tls ? ":443" : ":80";
    size_t len = strlen(port);
    if (host.len > len && memcmp(host.ptr + host.len - len, port, len) == 0)
        host.len -= len;
    return host;
}

// "s3.amazonaws.com" and "s3.<region>.amazonaws.com[.cn]": then hosts are made from the region, which may turn out to be
// another one.
static bool is_aws(struct sc_slice host, struct sc_arena *arena, const char **ret_region)
{
    if (sc_slice_eq_str(host, "s3.amazonaws.com"))
        return true;
    if (!sc_slice_starts(host, "s3."))
        return false;
    struct sc_slice rest = sc_slice_from(host, 3), region = cut(&rest, '.', NULL);
    if (!sc_slice_eq_str(rest, "amazonaws.com") && !sc_slice_eq_str(rest, "amazonaws.com.cn"))
        return false;
    const char *text = sc_arena_cstr(arena, region);
    if (!sc_s3_region_is_valid(text))
        return false;
    if (ret_region)
        *ret_region = text;
    return true;
}

enum sc_rc sc_s3_endpoint_parse(const char *text, enum sc_s3_style style, struct sc_arena *arena,
                                struct sc_s3_endpoint *ret_endpoint, const char **ret_region,
                                struct sc_error *err)
{
    struct sc_s3_endpoint endpoint = {.tls = true, .aws = true};
    if (text) {
        struct sc_slice rest = sc_slice_str(text);
        endpoint.tls = sc_slice_starts(rest, "https://");
        if (!endpoint.tls && !sc_slice_starts(rest, "http://"))
            return sc_error_set(err, SC_INVALID, "%s: the endpoint is no http:// or https:// URL", text);
        rest = sc_slice_from(rest, endpoint.tls ? 8 : 7);
        bool path;
        struct sc_slice host = cut(&rest, '/', &path);
        while (rest.len && rest.ptr[rest.len - 1] == '/')
            rest.len--;
        if (!is_host(host) || rest.len > MAX_BUCKET || (rest.len && memchr(rest.ptr, '?', rest.len)))
            return sc_error_set(err, SC_INVALID, "%s: the endpoint is not SCHEME://HOST[:PORT][/PATH]", text);
        endpoint.host = sc_arena_copy(arena, without_port(host, endpoint.tls));
        endpoint.aws = is_aws(endpoint.host, arena, ret_region) && rest.len == 0;
        SC_AUTO_BUF struct sc_buf base;
        sc_buf_init(&base, 0);
        if (rest.len) {
            sc_buf_add_byte(&base, '/');
            sc_s3_encode(&base, rest, true);
        }
        endpoint.base = sc_arena_copy(arena, sc_buf_slice(&base));
    }
    endpoint.style = style;
    if (style == SC_S3_STYLE_DEFAULT)
        endpoint.style = endpoint.aws ? SC_S3_STYLE_VIRTUAL : SC_S3_STYLE_PATH;
    *ret_endpoint = endpoint;
    return SC_OK;
}

const char *sc_s3_partition(struct sc_slice region)
{
    return sc_slice_starts(region, "cn-")       ? "aws-cn"
           : sc_slice_starts(region, "us-gov-") ? "aws-us-gov"
                                                : "aws";
}

void sc_s3_target_init(struct sc_s3_target *target)
{
    *target = (struct sc_s3_target){.host = {NULL, 0}};
    sc_buf_init(&target->url, 64 << 10);
}

void sc_s3_target_done(struct sc_s3_target *target)
{
    sc_buf_done(&target->url);
}

static void add_host(struct sc_buf *out, const struct sc_s3_endpoint *endpoint, struct sc_slice region)
{
    if (!endpoint->aws) {
        sc_buf_add_slice(out, endpoint->host);
        return;
    }
    sc_buf_add_str(out, "s3.");
    sc_buf_add_slice(out, region);
    sc_buf_add_str(out, sc_slice_starts(region, "cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
}

static int by_name(const void *a, const void *b)
{
    const struct sc_slice *x = a, *y = b;
    return sc_slice_cmp(*x, *y);
}

// SigV4 sorts by the encoded bytes: name first, then value. '=' sorts between bytes that occur in both, so "name=value"
// as one text would not do ("a-b=1" comes before "a=1").
static void add_query(struct sc_buf *out, const struct sc_s3_param *params, uint32_t count)
{
    SC_ASSERT(count <= MAX_PARAMS);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice pairs[MAX_PARAMS];
    for (uint32_t i = 0; i < count; i++) {
        SC_AUTO_BUF struct sc_buf pair;
        sc_buf_init(&pair, 64 << 10);
        sc_s3_encode(&pair, params[i].name, false);
        sc_buf_add_byte(&pair, 0); // below every byte of a name
        sc_s3_encode(&pair, params[i].value, false);
        pairs[i] = sc_arena_copy(&arena, sc_buf_slice(&pair));
    }
    qsort(pairs, count, sizeof *pairs, by_name);
    for (uint32_t i = 0; i < count; i++) {
        struct sc_slice value = pairs[i], name = cut(&value, 0, NULL);
        if (i)
            sc_buf_add_byte(out, '&');
        sc_buf_add_slice(out, name);
        sc_buf_add_byte(out, '=');
        sc_buf_add_slice(out, value);
    }
}

void sc_s3_target_set(struct sc_s3_target *target, const struct sc_s3_endpoint *endpoint,
                      struct sc_slice region, struct sc_slice bucket, struct sc_slice key,
                      const struct sc_s3_param *params, uint32_t param_count)
{
    struct sc_buf *url = &target->url;
    // A certificate's wildcard covers one label: a bucket with dots in its name has none as a host.
    bool dots = endpoint->tls && bucket.len && memchr(bucket.ptr, '.', bucket.len);
    bool virtual = endpoint->style == SC_S3_STYLE_VIRTUAL && bucket.len && !dots;
    sc_buf_clear(url);
    sc_buf_add_str(url, endpoint->tls ? "https://" : "http://");
    size_t host = url->len;
    if (virtual) {
        sc_buf_add_slice(url, bucket);
        sc_buf_add_byte(url, '.');
    }
    add_host(url, endpoint, region);
    size_t path = url->len;
    sc_buf_add_slice(url, endpoint->base);
    sc_buf_add_byte(url, '/');
    if (!virtual && bucket.len) {
        sc_s3_encode(url, bucket, false);
        if (key.len)
            sc_buf_add_byte(url, '/');
    }
    sc_s3_encode(url, key, true);
    size_t path_end = url->len, query = path_end;
    if (param_count) {
        sc_buf_add_byte(url, '?');
        query = url->len;
        add_query(url, params, param_count);
    }
    (void)sc_buf_cstr(url);
    target->host = sc_slice(url->ptr + host, path - host);
    target->path = sc_slice(url->ptr + path, path_end - path);
    target->query = sc_slice(url->ptr + query, url->len - query);
}
