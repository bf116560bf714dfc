#include "store/names.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>

// Fourteen decimal digits reach the year 5138 and keep names of one length, so that byte order is time order.
#define LARGEST_MS INT64_C(99999999999999)
enum { TIME_DIGITS = 14, COMPONENT_BYTES = 200 };

bool sc_name_domain_is_valid(struct sc_slice domain)
{
    if (domain.len == 0 || domain.len > 63 || domain.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < domain.len; i++) {
        uint8_t c = domain.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

static void put_area(struct sc_buf *out, struct sc_slice domain, const char *area)
{
    SC_ASSERT(sc_name_domain_is_valid(domain));
    sc_buf_add_str(out, "v1/");
    sc_buf_add_slice(out, domain);
    sc_buf_add_byte(out, '/');
    sc_buf_add_str(out, area);
    sc_buf_add_byte(out, '/');
}

static void put_digest(struct sc_buf *out, struct sc_slice domain, const char *area,
                       const struct sc_digest *digest)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    put_area(out, domain, area);
    sc_buf_add(out, hex, 2);
    sc_buf_add_byte(out, '/');
    sc_buf_add(out, hex, sizeof hex - 1);
}

void sc_name_cas(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *digest)
{
    put_digest(out, domain, "cas", digest);
}

void sc_name_pack(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *digest)
{
    put_digest(out, domain, "pack", digest);
}

void sc_name_tree(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *root)
{
    put_digest(out, domain, "tree", root);
}

void sc_name_key(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *key)
{
    put_digest(out, domain, "key", key);
}

void sc_name_key_prefix(struct sc_buf *out, struct sc_slice domain)
{
    put_area(out, domain, "key");
}

static void put_time(struct sc_buf *out, int64_t wall_ms)
{
    int64_t distance = wall_ms < 0 ? LARGEST_MS : wall_ms > LARGEST_MS ? 0 : LARGEST_MS - wall_ms;
    sc_buf_printf(out, "%0*lld", TIME_DIGITS, (long long)distance);
}

// What S3 tools, shells and file systems all take as it is; the rest is percent-encoded. A component that would be too
// long for a file system is cut and ends in its digest.
static void put_component(struct sc_buf *out, struct sc_slice part)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t start = out->len;
    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = part.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '=' || c == ',' || c == '[' || c == ']' || c == '+' ||
                     (c == '.' && i > 0); // a leading dot hides a file, and "." and ".." are not names
        if (plain) {
            sc_buf_add_byte(out, c);
        } else {
            uint8_t code[3] = {'%', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15]};
            sc_buf_add(out, code, sizeof code);
        }
    }
    if (part.len == 0)
        sc_buf_add_byte(out, '%'); // no component is empty; a lone % is made by nothing else
    if (out->len - start > COMPONENT_BYTES && !out->overflow) {
        struct sc_digest digest = sc_digest_of(part);
        char hex[SC_DIGEST_HEX_BYTES];
        sc_digest_hex(&digest, hex);
        out->len = start + COMPONENT_BYTES - 17;
        sc_buf_add_byte(out, '~');
        sc_buf_add(out, hex, 16);
    }
}

static void put_rest(struct sc_buf *out, struct sc_slice rest)
{
    while (rest.len) {
        const uint8_t *slash = memchr(rest.ptr, '/', rest.len);
        size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
        sc_buf_add_byte(out, '/');
        put_component(out, sc_slice(rest.ptr, len));
        rest = sc_slice_from(rest, slash ? len + 1 : len);
    }
}

void sc_name_segment_prefix(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *template_)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(template_, hex);
    put_area(out, domain, "seg");
    sc_buf_add(out, hex, 16);
    sc_buf_add_byte(out, '/');
}

void sc_name_segment(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *template_,
                     int64_t wall_ms, struct sc_slice coordinator)
{
    sc_name_segment_prefix(out, domain, template_);
    put_time(out, wall_ms);
    sc_buf_add_byte(out, '-');
    // Parts are told by a dot (store/records.c), so a coordinator's name holds none.
    for (size_t i = 0; i < coordinator.len && i < 64; i++) {
        uint8_t c = coordinator.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        sc_buf_add_byte(out, plain ? c : '_');
    }
}

void sc_name_void_prefix(struct sc_buf *out, struct sc_slice domain)
{
    put_area(out, domain, "void");
}

void sc_name_void(struct sc_buf *out, struct sc_slice domain, int64_t wall_ms, const struct sc_digest *key,
                  uint64_t generation)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(key, hex);
    sc_name_void_prefix(out, domain);
    put_time(out, wall_ms);
    sc_buf_printf(out, "-%s-%llu", hex, (unsigned long long)generation);
}

// Decimal digits; without a sign, without leading zeros.
static bool take_number(struct sc_slice *rest, size_t most_digits, bool padded, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t n = 0;
    while (n < rest->len && n < most_digits && rest->ptr[n] >= '0' && rest->ptr[n] <= '9')
        number = number * 10 + (uint64_t)(rest->ptr[n++] - '0');
    if (n == 0 || (padded ? n != most_digits : rest->ptr[0] == '0'))
        return false;
    *ret_number = number;
    *rest = sc_slice_from(*rest, n);
    return true;
}

bool sc_name_take_time(struct sc_slice *rest, int64_t *ret_wall_ms)
{
    uint64_t distance;
    if (!take_number(rest, TIME_DIGITS, true, &distance) || rest->len == 0 || rest->ptr[0] != '-')
        return false;
    *rest = sc_slice_from(*rest, 1);
    *ret_wall_ms = LARGEST_MS - (int64_t)distance;
    return true;
}

bool sc_name_void_parse(struct sc_slice name, int64_t *ret_wall_ms, struct sc_digest *ret_key,
                        uint64_t *ret_generation)
{
    static const char area[] = "/void/";
    enum { AREA = sizeof area - 1, HEX = SC_DIGEST_HEX_BYTES - 1, GENERATION_DIGITS = 13 };
    if (!sc_slice_starts(name, "v1/"))
        return false;
    struct sc_slice rest = sc_slice_from(name, 3);
    const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    size_t domain = slash ? (size_t)(slash - rest.ptr) : 0;
    if (!sc_name_domain_is_valid(sc_slice(rest.ptr, domain)))
        return false;
    rest = sc_slice_from(rest, domain);
    int64_t wall_ms;
    struct sc_digest key;
    uint64_t generation;
    if (!sc_slice_starts(rest, area))
        return false;
    rest = sc_slice_from(rest, AREA);
    if (!sc_name_take_time(&rest, &wall_ms) || rest.len <= HEX || rest.ptr[HEX] != '-' ||
        !sc_digest_parse(sc_slice(rest.ptr, HEX), &key))
        return false;
    rest = sc_slice_from(rest, HEX + 1);
    if (!take_number(&rest, GENERATION_DIGITS, false, &generation) || rest.len ||
        generation > SC_LIMIT_GENERATION)
        return false;
    *ret_wall_ms = wall_ms;
    *ret_key = key;
    *ret_generation = generation;
    return true;
}

void sc_name_run(struct sc_buf *out, struct sc_slice domain, struct sc_slice namespace_, struct sc_slice run,
                 struct sc_slice rest)
{
    put_area(out, domain, "run");
    put_component(out, namespace_);
    sc_buf_add_byte(out, '/');
    put_component(out, run);
    put_rest(out, rest);
}

void sc_name_open_prefix(struct sc_buf *out, struct sc_slice domain, struct sc_slice coordinator)
{
    put_area(out, domain, "open");
    put_component(out, coordinator);
    sc_buf_add_byte(out, '/');
}

void sc_name_open(struct sc_buf *out, struct sc_slice domain, struct sc_slice coordinator,
                  struct sc_slice run)
{
    sc_name_open_prefix(out, domain, coordinator);
    put_component(out, run);
}

void sc_name_out(struct sc_buf *out, struct sc_slice domain, struct sc_slice namespace_,
                 struct sc_slice pipeline, struct sc_slice step, struct sc_slice output,
                 const struct sc_digest *digest, struct sc_slice rest)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    const struct sc_slice parts[] = {namespace_, pipeline, step, output};
    put_area(out, domain, "out");
    for (size_t i = 0; i < SC_COUNT(parts); i++) {
        put_component(out, parts[i]);
        sc_buf_add_byte(out, '/');
    }
    sc_buf_add(out, hex, 16);
    put_rest(out, rest);
}

void sc_name_out_latest(struct sc_buf *out, struct sc_slice domain, struct sc_slice namespace_,
                        struct sc_slice pipeline)
{
    put_area(out, domain, "out");
    put_component(out, namespace_);
    sc_buf_add_byte(out, '/');
    put_component(out, pipeline);
    sc_buf_add_str(out, "/latest.json");
}
