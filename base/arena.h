// An arena: memory for one message, plan or run, freed whole. Pointers stay valid until done or reset. An arena has
// one owner thread at a time. Allocation aborts when there is no memory, so bound sizes from outside first.
#pragma once

#include "base/slice.h"

struct sc_arena_block;
struct sc_arena {
    struct sc_arena_block *head;
    uint8_t *next, *end;
    size_t total_bytes; // what the blocks take together
};

void sc_arena_init(struct sc_arena *arena);
void sc_arena_done(struct sc_arena *arena);
// Empties it and keeps its newest block, so that an arena of a turn asks for memory once.
void sc_arena_reset(struct sc_arena *arena);
// Zeroed, 8-byte aligned: nothing here holds anything wider.
void *sc_arena_alloc(struct sc_arena *arena, size_t bytes) __attribute__((returns_nonnull));
// An array of count elements; aborts when the product overflows.
void *sc_arena_array(struct sc_arena *arena, size_t count, size_t size) __attribute__((returns_nonnull));
// Copies bytes without alignment; the copy is followed by a NUL that its length does not count.
struct sc_slice sc_arena_copy(struct sc_arena *arena, struct sc_slice s);
char *sc_arena_cstr(struct sc_arena *arena, struct sc_slice s);
struct sc_slice sc_arena_printf(struct sc_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define SC_NEW(arena, type)          ((type *)sc_arena_alloc((arena), sizeof(type)))
#define SC_NEW_ARRAY(arena, n, type) ((type *)sc_arena_array((arena), (n), sizeof(type)))
#define SC_AUTO_ARENA                __attribute__((cleanup(sc_arena_done)))
