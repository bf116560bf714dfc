#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sc_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "stepcache: internal error: %s:%d: %s does not hold; please report this line\n", file,
            line, what);
    abort();
}

void *sc_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    SC_ASSERT(p != NULL);
    return p;
}

void *sc_realloc(void *old, size_t count, size_t size)
{
    void *p = reallocarray(old, count ? count : 1, size ? size : 1);
    SC_ASSERT(p != NULL);
    return p;
}

char *sc_strdup(const char *text)
{
    char *p = strdup(text);
    SC_ASSERT(p != NULL);
    return p;
}

char *sc_asprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    SC_ASSERT(len >= 0);
    return text;
}
