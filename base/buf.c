#include "base/buf.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

void sc_buf_init(struct sc_buf *buf, size_t max_bytes)
{
    *buf = (struct sc_buf){.max_bytes = max_bytes};
}

void sc_buf_done(struct sc_buf *buf)
{
    if (!buf)
        return;
    free(buf->ptr);
    *buf = (struct sc_buf){.max_bytes = buf->max_bytes};
}

uint8_t *sc_buf_reserve(struct sc_buf *buf, size_t more)
{
    size_t max = buf->max_bytes ? buf->max_bytes : SC_LIMIT_BUF_BYTES;
    if (buf->overflow || more > max || buf->len > max - more) {
        buf->overflow = true;
        return NULL;
    }
    if (buf->capacity - buf->len < more) {
        size_t want = buf->capacity ? buf->capacity * 2 : 256;
        if (want < buf->len + more)
            want = buf->len + more;
        buf->ptr = sc_realloc(buf->ptr, want, 1);
        buf->capacity = want;
    }
    return buf->ptr + buf->len;
}

void sc_buf_add_slowly(struct sc_buf *buf, const void *bytes, size_t len)
{
    uint8_t *at = sc_buf_reserve(buf, len);
    if (!at)
        return;
    memcpy(at, bytes, len);
    buf->len += len;
}

void sc_buf_printf(struct sc_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    SC_ASSERT(len >= 0);
    uint8_t *at = sc_buf_reserve(buf, (size_t)len + 1);
    if (at) {
        vsnprintf((char *)at, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

const char *sc_buf_cstr(struct sc_buf *buf)
{
    if (buf->capacity == buf->len) {
        buf->capacity = buf->len + 64;
        buf->ptr = sc_realloc(buf->ptr, buf->capacity, 1);
    }
    buf->ptr[buf->len] = 0;
    return (const char *)buf->ptr;
}
