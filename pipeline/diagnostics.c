#include "pipeline/diagnostics.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

_Static_assert(SC_COUNT(((struct sc_diagnostics *)0)->items) == SC_LIMIT_DOCUMENT_ERRORS,
               "as many as are reported");

enum { MESSAGE_BYTES = 1024 };

static int compare(const struct sc_diagnostic *a, uint32_t line, uint32_t column, struct sc_slice message)
{
    if (a->line != line)
        return a->line < line ? -1 : 1;
    if (a->column != column)
        return a->column < column ? -1 : 1;
    return sc_slice_cmp(a->message, message);
}

void sc_report_add(struct sc_report *report, struct sc_place place, enum sc_rc rc, struct sc_slice hint,
                   const char *format, ...)
{
    struct sc_diagnostics *list = report->list;
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    SC_ASSERT(len >= 0);
    struct sc_slice message = sc_slice(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
    uint32_t at = list->count;
    while (at > 0 && compare(&list->items[at - 1], place.line, place.column, message) > 0)
        at--;
    if (at > 0 && compare(&list->items[at - 1], place.line, place.column, message) == 0)
        return; // a default that is wrong is met once a step
    if (list->count == SC_LIMIT_DOCUMENT_ERRORS)
        list->more = true;
    if (at == SC_LIMIT_DOCUMENT_ERRORS)
        return;
    if (list->count < SC_LIMIT_DOCUMENT_ERRORS)
        list->count++;
    memmove(&list->items[at + 1], &list->items[at], (list->count - 1 - at) * sizeof *list->items);
    list->items[at] = (struct sc_diagnostic){.line = place.line,
                                             .column = place.column,
                                             .rc = rc,
                                             .message = sc_arena_copy(report->arena, message),
                                             .hint = sc_arena_copy(report->arena, hint)};
}
