// Borrowed bytes or text: a pointer and a length, passed by value. A slice owns nothing; whoever made the bytes
// says how long they live. Text is UTF-8 by agreement, names are bytes; neither is NUL-terminated.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sc_slice {
    const uint8_t *ptr;
    size_t len;
};

#define SC_SLICE_FMT    "%.*s"
#define SC_SLICE_ARG(s) (int)(s).len, (const char *)(s).ptr
// A slice of a string literal, fit for static tables.
#define SC_SLICE_LIT(lit)                                                                                    \
    {                                                                                                        \
        (const uint8_t *)("" lit), sizeof(lit) - 1                                                           \
    }

static inline struct sc_slice sc_slice(const void *ptr, size_t len)
{
    return (struct sc_slice){ptr, len};
}
static inline struct sc_slice sc_slice_str(const char *text)
{
    return (struct sc_slice){(const uint8_t *)text, text ? strlen(text) : 0};
}
static inline bool sc_slice_eq(struct sc_slice a, struct sc_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool sc_slice_eq_str(struct sc_slice a, const char *b)
{
    return sc_slice_eq(a, sc_slice_str(b));
}
// Byte order, a prefix first: the order of names and labels everywhere.
static inline int sc_slice_cmp(struct sc_slice a, struct sc_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}
static inline bool sc_slice_starts(struct sc_slice s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && (n == 0 || memcmp(s.ptr, prefix, n) == 0);
}
static inline struct sc_slice sc_slice_from(struct sc_slice s, size_t start)
{
    return (struct sc_slice){s.ptr + start, s.len - start};
}
// True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool sc_slice_is_utf8(struct sc_slice s);
