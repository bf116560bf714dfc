#include "store/marks.h"

#include "base/memory.h"

#include <stdlib.h>

static uint64_t mark_of(const struct sc_digest *digest)
{
    uint64_t mark;
    memcpy(&mark, digest->bytes, sizeof mark);
    return mark;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort(struct sc_marks *marks)
{
    if (marks->sorted == marks->count)
        return;
    qsort(marks->items, marks->count, sizeof *marks->items, by_value);
    size_t kept = 0;
    for (size_t i = 0; i < marks->count; i++)
        if (kept == 0 || marks->items[kept - 1] != marks->items[i])
            marks->items[kept++] = marks->items[i];
    marks->count = marks->sorted = kept;
}

void sc_marks_done(struct sc_marks *marks)
{
    free(marks->items);
    *marks = (struct sc_marks){0};
}

// Most are added many times, so there is room for as many again before it is sorted.
static void make_room(struct sc_marks *marks)
{
    sort(marks);
    if (marks->room == SC_MARKS_MOST) {
        marks->full |= marks->count > SC_MARKS_MOST / 8 * 7;
        marks->count = marks->sorted = marks->full ? 0 : marks->count;
        return;
    }
    if (marks->room && marks->count <= marks->room / 2)
        return;
    marks->room = marks->room ? marks->room * 2 : 1024;
    marks->items = sc_realloc(marks->items, marks->room, sizeof *marks->items);
}

void sc_marks_add(struct sc_marks *marks, const struct sc_digest *digest)
{
    if (marks->count == marks->room)
        make_room(marks);
    marks->items[marks->count++] = mark_of(digest);
}

bool sc_marks_has(struct sc_marks *marks, const struct sc_digest *digest)
{
    uint64_t mark = mark_of(digest);
    sort(marks);
    return marks->count && bsearch(&mark, marks->items, marks->count, sizeof mark, by_value) != NULL;
}

size_t sc_marks_count(struct sc_marks *marks)
{
    sort(marks);
    return marks->count;
}
