#include "base/arena.h"

#include "base/memory.h"
#include "base/os/pages.h"

#include <stdarg.h>
#include <stdio.h>

struct sc_arena_block {
    struct sc_arena_block *previous;
    size_t bytes;  // of data
    size_t mapped; // bytes of the mapping that this is; 0: from the heap
    max_align_t data[];
};

enum { FIRST_BYTES = 1024, MOST_BYTES = SC_PAGES_HUGE_BYTES };

void sc_arena_init(struct sc_arena *arena)
{
    *arena = (struct sc_arena){0};
}

static void free_block(struct sc_arena_block *b)
{
    if (b->mapped)
        sc_pages_unmap(b, b->mapped);
    else
        free(b);
}

void sc_arena_done(struct sc_arena *arena)
{
    if (!arena)
        return;
    for (struct sc_arena_block *b = arena->head, *previous; b; b = previous) {
        previous = b->previous;
        free_block(b);
    }
    *arena = (struct sc_arena){0};
}

void sc_arena_reset(struct sc_arena *arena)
{
    struct sc_arena_block *kept = arena->head;
    if (!kept)
        return;
    for (struct sc_arena_block *b = kept->previous, *previous; b; b = previous) {
        previous = b->previous;
        arena->total_bytes -= b->bytes;
        free_block(b);
    }
    kept->previous = NULL;
    memset(kept->data, 0, (size_t)(arena->next - (uint8_t *)kept->data));
    arena->next = (uint8_t *)kept->data;
}

static void grow(struct sc_arena *arena, size_t bytes)
{
    const size_t head = sizeof(struct sc_arena_block);
    size_t want = arena->head ? arena->head->bytes * 2 : FIRST_BYTES, mapped = 0;
    if (want > MOST_BYTES - head)
        want = MOST_BYTES - head;
    if (want < bytes)
        want = bytes;
    SC_ASSERT(want <= SIZE_MAX - head);
    struct sc_arena_block *b;
    if (want + head >= SC_PAGES_HUGE_BYTES) {
        mapped = want + head;
        b = sc_pages_map(&mapped);
        want = mapped - head;
    } else {
        b = sc_calloc(1, head + want);
    }
    b->bytes = want;
    b->mapped = mapped;
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
    return take(arena, bytes, 8);
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
