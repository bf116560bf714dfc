// Collecting diagnostics: the earliest SC_LIMIT_DOCUMENT_ERRORS by place are kept, sorted, each once. Messages lie in
// the arena. Not shared between threads.
#pragma once

#include "pipeline/document.h"

struct sc_place {
    uint32_t line, column; // from 1; 0: the whole document
};

struct sc_report {
    struct sc_diagnostics *list;
    struct sc_arena *arena;
};

// Adds a diagnostic. The hint may be empty; it is copied.
void sc_report_add(struct sc_report *report, struct sc_place place, enum sc_rc rc, struct sc_slice hint,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
// The same where the hint is a literal; NULL for none.
#define SC_REPORT(report, place, rc, hint, ...)                                                              \
    sc_report_add((report), (place), (rc), sc_slice_str(hint), __VA_ARGS__)
