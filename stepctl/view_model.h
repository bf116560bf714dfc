// The live view's pure part: a model, a width, a height and the time in; lines out. One line a step; when they do not fit
// a group (the instances of a matrix) is one line with counts; when those do not fit, what failed and what runs comes
// first and the rest is one line. The bottom line has the totals.
#pragma once

#include "stepctl/model.h"

struct sc_view_style {
    uint32_t width, height;
    bool colour;
    bool ascii; // no characters beyond ASCII of our own
    bool final; // the last picture: nothing is said to wait, all failures are shown
    int64_t now_ms;
};

struct sc_view_line {
    struct sc_slice text; // with colours
    uint32_t columns;
};
struct sc_view_lines {
    SC_LIST(struct sc_view_line, items);
};

// At most style->height lines, each at most style->width columns; in the arena.
struct sc_view_lines sc_view_layout(const struct sc_model *model, const struct sc_view_style *style,
                                    struct sc_arena *arena);
