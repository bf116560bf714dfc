#include "base/arena.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

struct sc_arena_block {
    struct sc_arena_block *previous;
    size_t bytes;
    max_align_t data[];
};

enum { FIRST_BYTES = 1024, MOST_BYTES = 1 << 20 };

void sc_arena_init(struct sc_arena *arena)
{
    *arena = (struct sc_arena){0};
}

void sc_arena_done(struct sc_arena *arena)
{
    if (!arena)
        return;
    for (struct sc_arena_block *b = arena->head, *previous; b; b = previous) {
        previous = b->previous;
        free(b);
    }
    *arena = (struct sc_arena){0};
}

static void grow(struct sc_arena *arena, size_t bytes)
{
    size_t want = arena->head ? arena->head->bytes * 2 : FIRST_BYTES;
    if (want > MOST_BYTES)
        want = MOST_BYTES;
    if (want < bytes)
        want = bytes;
    SC_ASSERT(want <= SIZE_MAX - sizeof(struct sc_arena_block));
    struct sc_arena_block *b = calloc(1, sizeof *b + want);
    SC_ASSERT(b != NULL);
    b->bytes = want;
    b->previous = arena->head;
    arena->head = b;
    arena->next = (uint8_t *)b->data;
    arena->end = arena->next + want;
    arena->total_bytes += want;
}

static void *take(struct sc_arena *arena, size_t bytes, size_t align)
{
    uintptr_t at = ((uintptr_t)arena->next + align - 1) & ~(uintptr_t)(align - 1);
    if (!arena->next || at > (uintptr_t)arena->end || (uintptr_t)arena->end - at < bytes) {
        SC_ASSERT(bytes <= SIZE_MAX - align);
        grow(arena, bytes + align);
        at = ((uintptr_t)arena->next + align - 1) & ~(uintptr_t)(align - 1);
    }
    arena->next = (uint8_t *)(at + bytes);
    return (void *)at;
}

void *sc_arena_alloc(struct sc_arena *arena, size_t bytes)
{
    return take(arena, bytes, 16);
}

void *sc_arena_array(struct sc_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    SC_ASSERT(!__builtin_mul_overflow(count, size, &bytes));
    return sc_arena_alloc(arena, bytes);
}

struct sc_slice sc_arena_copy(struct sc_arena *arena, struct sc_slice s)
{
    SC_ASSERT(s.len < SIZE_MAX);
    uint8_t *copy = take(arena, s.len + 1, 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return sc_slice(copy, s.len);
}

char *sc_arena_cstr(struct sc_arena *arena, struct sc_slice s)
{
    return (char *)sc_arena_copy(arena, s).ptr;
}

struct sc_slice sc_arena_printf(struct sc_arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    SC_ASSERT(len >= 0);
    char *text = take(arena, (size_t)len + 1, 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return sc_slice(text, (size_t)len);
}
