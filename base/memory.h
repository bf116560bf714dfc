// Memory: small allocations abort on failure (there is nothing sensible left to do); sizes that come from outside
// are bounded by base/limits.h before they come here. Cleanup attributes free on every way out.
#pragma once

#include <stddef.h>
#include <stdlib.h>

// Zeroed memory of count elements of size bytes; aborts when there is none or when the product overflows.
void *sc_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
// Grows or shrinks; aborts on failure or overflow.
void *sc_realloc(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *sc_strdup(const char *text) __attribute__((malloc, returns_nonnull));
// printf into fresh memory; the caller frees.
char *sc_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));

static inline void sc_free_ptr(void *p)
{
    free(*(void **)p);
}
#define SC_AUTO_FREE __attribute__((cleanup(sc_free_ptr)))

// Moves a pointer out of its variable, which is NULL afterwards: hands ownership past a cleanup.
static inline void *sc_steal_ptr(void *p)
{
    void *value = *(void **)p;
    *(void **)p = NULL;
    return value;
}
#define SC_STEAL(var) ((__typeof__(var))sc_steal_ptr(&(var)))

#define SC_COUNT(array) (sizeof(array) / sizeof *(array))

// A programmer's mistake; checked in release too, with the place.
_Noreturn void sc_assert_failed(const char *what, const char *file, int line);
#define SC_ASSERT(condition) ((condition) ? (void)0 : sc_assert_failed(#condition, __FILE__, __LINE__))
