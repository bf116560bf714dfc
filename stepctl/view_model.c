#include "stepctl/view_model.h"

#include "base/memory.h"
#include "stepctl/render.h"
#include "stepctl/text.h"

#include <stdio.h>

// ---- states as glyphs and colours

struct look {
    const char *glyph, *ascii, *colour, *word;
};
static const struct look looks[SC_MODEL_STATE_COUNT] = {
    [SC_MODEL_WAITING] = {"·", ".", "2", "waits"},        [SC_MODEL_JOINED] = {"~", "~", "36", "joined"},
    [SC_MODEL_READY] = {"○", "o", "33", "ready"},         [SC_MODEL_RUNNING] = {"▶", ">", "34", "runs"},
    [SC_MODEL_BACKOFF] = {"↻", "r", "33", "retries"},     [SC_MODEL_HIT] = {"✓", "=", "32", "hit"},
    [SC_MODEL_DONE] = {"✔", "+", "32", "done"},           [SC_MODEL_FAILED] = {"✗", "x", "31", "failed"},
    [SC_MODEL_CANCELLED] = {"-", "-", "33", "cancelled"}, [SC_MODEL_SKIPPED] = {"-", "-", "2", "skipped"},
};

// One line as it grows: text with colours, and how many columns are left.
struct line {
    struct sc_buf *buf;
    const struct sc_view_style *style;
    uint32_t used;
};

static void add(struct line *line, struct sc_slice text, const char *colour)
{
    if (text.len == 0 || line->used >= line->style->width)
        return;
    if (line->style->colour && colour)
        sc_buf_printf(line->buf, "\033[%sm", colour);
    line->used += sc_text_fit(line->buf, text, line->style->width - line->used, line->style->ascii);
    if (line->style->colour && colour)
        sc_buf_add_str(line->buf, "\033[m");
}

static void add_str(struct line *line, const char *text, const char *colour)
{
    add(line, sc_slice_str(text), colour);
}

static void pad_to(struct line *line, uint32_t column)
{
    if (column > line->style->width)
        column = line->style->width;
    if (line->used >= column)
        return;
    sc_text_pad(line->buf, column - line->used);
    line->used = column;
}

// ---- one step

static uint64_t elapsed(const struct sc_model_step *step, const struct sc_view_style *style)
{
    return style->now_ms > step->since_ms ? (uint64_t)(style->now_ms - step->since_ms) : 0;
}

static void add_bar(struct line *line, const struct sc_model_step *step)
{
    enum { CELLS = 10 };
    if (step->total_bytes == 0 || line->style->width < 60)
        return;
    uint64_t done = step->done_bytes < step->total_bytes ? step->done_bytes : step->total_bytes;
    uint32_t full = (uint32_t)(done * CELLS / step->total_bytes);
    char bar[CELLS * 4 + 16];
    size_t at = 0;
    for (uint32_t i = 0; i < CELLS; i++) {
        const char *cell = i < full ? (line->style->ascii ? "#" : "█") : (line->style->ascii ? "-" : "░");
        memcpy(bar + at, cell, strlen(cell));
        at += strlen(cell);
    }
    snprintf(bar + at, sizeof bar - at, " %u%%", (unsigned)(done * 100 / step->total_bytes));
    add_str(line, "  ", NULL);
    add_str(line, bar, "34");
}

static void add_running(struct line *line, const struct sc_model_step *step)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    switch (step->phase) {
    case SC_PHASE_QUEUED:
    case SC_PHASE_RUNNING:
        break;
    case SC_PHASE_FETCHING:
        sc_buf_add_str(&text, "fetching ");
        break;
    case SC_PHASE_CHECKING:
        sc_buf_add_str(&text, "checking the environment ");
        break;
    case SC_PHASE_STORING:
        sc_buf_add_str(&text, "storing ");
        break;
    }
    sc_text_duration(&text, elapsed(step, line->style));
    add(line, sc_buf_slice(&text), "34");
    add_bar(line, step);
}

// "reading s3://data/raw 1.2 GiB of 8.0 GiB, 210 MiB/s, 33 s left"
static void add_reading(struct line *line, const struct sc_model_step *step)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_buf_add_str(&text, "reading ");
    sc_text_escape(&text, step->source);
    sc_buf_add_byte(&text, ' ');
    sc_text_bytes(&text, step->done_bytes);
    sc_buf_add_str(&text, " of ");
    sc_text_bytes(&text, step->total_bytes);
    uint64_t came = step->done_bytes - step->from_bytes, ms = (uint64_t)(step->told_ms - step->since_ms);
    uint64_t rate = ms ? came * 1000 / ms : 0; // a second
    if (rate) {
        sc_buf_add_str(&text, ", ");
        sc_text_bytes(&text, rate);
        sc_buf_add_str(&text, "/s, ");
        uint64_t rest = step->total_bytes > step->done_bytes ? step->total_bytes - step->done_bytes : 0;
        sc_text_duration(&text, rest / rate * 1000 + 1000);
        sc_buf_add_str(&text, " left");
    }
    add(line, sc_buf_slice(&text), "34");
}

static void add_state(struct line *line, const struct sc_model_step *step)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    switch (step->state) {
    case SC_MODEL_RUNNING:
        add_running(line, step);
        return;
    case SC_MODEL_HIT:
        sc_buf_add_str(&text, "saved ");
        sc_text_duration(&text, step->saved_ms);
        break;
    case SC_MODEL_DONE:
        sc_text_duration(&text, step->wall_ms);
        break;
    case SC_MODEL_FAILED:
    case SC_MODEL_BACKOFF:
        sc_render_outcome(&text, step->outcome, step->exit_code, step->signal);
        break;
    case SC_MODEL_SKIPPED:
        if (step->outcome == SC_OUTCOME_UPSTREAM)
            sc_buf_add_str(&text, "what it needs failed");
        break;
    case SC_MODEL_WAITING:
        if (step->source.len)
            add_reading(line, step);
        return;
    case SC_MODEL_JOINED:
    case SC_MODEL_READY:
    case SC_MODEL_CANCELLED:
    case SC_MODEL_STATE_COUNT:
        return;
    }
    add(line, sc_buf_slice(&text), NULL);
}

static void step_line(struct line *line, const struct sc_model_step *step, uint32_t name_columns)
{
    const struct look *look = &looks[step->state];
    uint32_t width = line->style->width;
    add_str(line, line->style->ascii ? look->ascii : look->glyph, look->colour);
    add_str(line, " ", NULL);
    add(line, step->name, NULL);
    if (width < 24)
        return;
    pad_to(line, name_columns + 3);
    add_str(line, " ", NULL);
    bool missed = step->verdict == SC_VERDICT_MISS && step->state != SC_MODEL_FAILED;
    add_str(line, missed && sc_model_is_final(step->state) ? "miss" : look->word, look->colour);
    pad_to(line, name_columns + 14);
    add_state(line, step);
    if (step->verdict == SC_VERDICT_HIT || step->verdict == SC_VERDICT_NONE || step->state == SC_MODEL_FAILED)
        return;
    bool alone = step->state == SC_MODEL_READY || step->state == SC_MODEL_JOINED;
    add_str(line, alone ? "" : "  ", NULL);
    add_str(line, sc_render_reason_text(step->reason), "2");
    if (step->detail.len) {
        add_str(line, ": ", "2");
        add(line, step->detail, "2");
    }
}

// ---- counts

static void add_counts(struct line *line, const uint32_t counts[SC_MODEL_STATE_COUNT])
{
    static const enum sc_model_state order[] = {
        SC_MODEL_FAILED, SC_MODEL_RUNNING, SC_MODEL_HIT,     SC_MODEL_DONE,    SC_MODEL_JOINED,
        SC_MODEL_READY,  SC_MODEL_BACKOFF, SC_MODEL_WAITING, SC_MODEL_SKIPPED, SC_MODEL_CANCELLED};
    bool first = true;
    for (size_t i = 0; i < SC_COUNT(order); i++) {
        uint32_t n = counts[order[i]];
        if (n == 0)
            continue;
        char text[64];
        bool hits = order[i] == SC_MODEL_HIT && n != 1;
        snprintf(text, sizeof text, "%s%u %s", first ? "" : ", ", n, hits ? "hits" : looks[order[i]].word);
        add_str(line, text, looks[order[i]].colour);
        first = false;
    }
}

static enum sc_model_state group_state(const struct sc_model_group *group)
{
    static const enum sc_model_state order[] = {SC_MODEL_FAILED,    SC_MODEL_RUNNING, SC_MODEL_BACKOFF,
                                                SC_MODEL_READY,     SC_MODEL_JOINED,  SC_MODEL_WAITING,
                                                SC_MODEL_CANCELLED, SC_MODEL_SKIPPED, SC_MODEL_DONE};
    for (size_t i = 0; i < SC_COUNT(order); i++)
        if (group->counts[order[i]])
            return order[i];
    return SC_MODEL_HIT;
}

static void group_line(struct line *line, const struct sc_model_group *group, uint32_t name_columns)
{
    const struct look *look = &looks[group_state(group)];
    char count[32];
    snprintf(count, sizeof count, " x%u", group->steps);
    add_str(line, line->style->ascii ? look->ascii : look->glyph, look->colour);
    add_str(line, " ", NULL);
    add(line, group->name, NULL);
    add_str(line, count, "2");
    if (line->style->width < 24)
        return;
    pad_to(line, name_columns + 3);
    add_str(line, " ", NULL);
    add_counts(line, group->counts);
}

static void bottom_line(struct line *line, const struct sc_model *model)
{
    uint32_t finished = 0;
    for (int i = SC_MODEL_HIT; i < SC_MODEL_STATE_COUNT; i++)
        finished += model->counts[i];
    uint64_t total = model->step_total;
    char text[64];
    snprintf(text, sizeof text, "%u/%llu", finished, (unsigned long long)total);
    add_str(line, text, "1");
    SC_AUTO_BUF struct sc_buf rest;
    sc_buf_init(&rest, 0);
    if (model->started_ms && line->style->now_ms > model->started_ms) {
        sc_buf_add_str(&rest, "  ");
        sc_text_duration(&rest, (uint64_t)(line->style->now_ms - model->started_ms));
    }
    if (model->saved_ms) {
        sc_buf_add_str(&rest, "  saved ");
        sc_text_duration(&rest, model->saved_ms);
    }
    add(line, sc_buf_slice(&rest), NULL);
    add_str(line, "  ", NULL);
    add_counts(line, model->counts);
}

// ---- what is shown

// A row: a step, a group, or the line for what has no place.
struct row {
    const struct sc_model_step *step;
    const struct sc_model_group *group;
};
struct rows {
    struct row *items;
    uint32_t count;
};

static void row_add(struct rows *rows, const struct sc_model_step *step, const struct sc_model_group *group)
{
    rows->items[rows->count++] = (struct row){step, group};
}

static bool folded(const struct sc_model *model, const struct sc_model_step *step)
{
    return model->groups.items[step->group].steps > 1;
}

// All steps; or groups of more than one step as one row; in the order in which they came.
static void rows_all(const struct sc_model *model, bool fold, struct rows *rows)
{
    for (uint32_t i = 0, next_group = 0; i < model->steps.count; i++) {
        const struct sc_model_step *step = &model->steps.items[i];
        if (!fold || !folded(model, step)) {
            row_add(rows, step, NULL);
            if (step->group >= next_group)
                next_group = step->group + 1;
        } else if (step->group >= next_group) { // groups are numbered as they are first met
            row_add(rows, NULL, &model->groups.items[step->group]);
            next_group = step->group + 1;
        }
    }
}

// When there is no room: what failed, then what runs, then what waits for an attempt, as many as fit.
static void rows_chosen(const struct sc_model *model, uint32_t room, struct rows *rows)
{
    static const enum sc_model_state order[] = {SC_MODEL_FAILED, SC_MODEL_RUNNING, SC_MODEL_BACKOFF};
    for (size_t k = 0; k < SC_COUNT(order); k++) {
        if (model->counts[order[k]] == 0)
            continue;
        for (uint32_t i = 0; i < model->steps.count && rows->count < room; i++)
            if (model->steps.items[i].state == order[k])
                row_add(rows, &model->steps.items[i], NULL);
    }
}

static uint32_t name_columns(const struct rows *rows, const struct sc_view_style *style)
{
    uint32_t widest = 8, most = style->width / 2;
    for (uint32_t i = 0; i < rows->count; i++) {
        struct sc_slice name = rows->items[i].step ? rows->items[i].step->name : rows->items[i].group->name;
        uint32_t columns = sc_text_width(name) + (rows->items[i].group ? 6 : 0);
        if (columns > widest)
            widest = columns;
    }
    return widest < most ? widest : most;
}

static void line_end(struct line *line, struct sc_arena *arena, struct sc_view_lines *lines)
{
    lines->items.items[lines->items.count++] =
        (struct sc_view_line){sc_arena_copy(arena, sc_buf_slice(line->buf)), line->used};
    sc_buf_clear(line->buf);
    line->used = 0;
}

struct sc_view_lines sc_view_layout(const struct sc_model *model, const struct sc_view_style *style,
                                    struct sc_arena *arena)
{
    struct sc_view_lines lines = {0};
    if (style->height == 0 || style->width == 0)
        return lines;
    uint32_t room = style->height - 1; // the bottom line always stands
    lines.items.items = SC_NEW_ARRAY(arena, style->height, struct sc_view_line);
    struct rows rows = {0};
    uint32_t most = model->steps.count > room ? model->steps.count : room;
    // Only what may be shown is gathered: a run of 100,000 steps is drawn many times a second.
    bool fits = model->steps.count <= room, fold_fits = model->groups.count <= room;
    rows.items = SC_NEW_ARRAY(arena, (fits || fold_fits ? most : room) + 1, struct row);
    if (fits || fold_fits)
        rows_all(model, !fits, &rows);
    else
        rows_chosen(model, room, &rows);
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    struct line line = {&buf, style, 0};
    uint32_t columns = name_columns(&rows, style);
    for (uint32_t i = 0; i < rows.count && i < room; i++) {
        if (rows.items[i].step)
            step_line(&line, rows.items[i].step, columns);
        else
            group_line(&line, rows.items[i].group, columns);
        line_end(&line, arena, &lines);
    }
    bottom_line(&line, model);
    line_end(&line, arena, &lines);
    return lines;
}
