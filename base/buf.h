// A growing byte buffer with a maximum. Appending past the maximum sets `overflow` and appends nothing; the owner
// looks at that once, at the end. Not shared between threads.
#pragma once

#include "base/rc.h"
#include "base/slice.h"

struct sc_buf {
    uint8_t *ptr;
    size_t len, capacity;
    size_t max_bytes; // 0 means SC_LIMIT_BUF_BYTES
    bool overflow;
};

void sc_buf_init(struct sc_buf *buf, size_t max_bytes);
void sc_buf_done(struct sc_buf *buf);
// Room for `more` bytes after len; NULL (and overflow set) when the maximum forbids it. The caller adds to len.
uint8_t *sc_buf_reserve(struct sc_buf *buf, size_t more);
void sc_buf_add_slowly(struct sc_buf *buf, const void *bytes, size_t len); // sc_buf_add, when it must grow
static inline void sc_buf_add(struct sc_buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    if (buf->overflow || buf->capacity - buf->len < len ||
        (buf->max_bytes && buf->max_bytes - buf->len < len)) {
        sc_buf_add_slowly(buf, bytes, len);
        return;
    }
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}
static inline void sc_buf_add_slice(struct sc_buf *buf, struct sc_slice s)
{
    sc_buf_add(buf, s.ptr, s.len);
}
static inline void sc_buf_add_str(struct sc_buf *buf, const char *text)
{
    sc_buf_add(buf, text, strlen(text));
}
static inline void sc_buf_add_byte(struct sc_buf *buf, uint8_t byte)
{
    sc_buf_add(buf, &byte, 1);
}
void sc_buf_printf(struct sc_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void sc_buf_clear(struct sc_buf *buf)
{
    buf->len = 0;
    buf->overflow = false;
}
static inline struct sc_slice sc_buf_slice(const struct sc_buf *buf)
{
    return (struct sc_slice){buf->ptr, buf->len};
}
// The contents as a C string (a NUL is put after len); valid until the next append.
const char *sc_buf_cstr(struct sc_buf *buf);
#define SC_AUTO_BUF __attribute__((cleanup(sc_buf_done)))
