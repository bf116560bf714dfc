#include "stepctl/view.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "stepctl/view_model.h"

#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DRAW_MS = 60, TICK_MS = 1000 };

struct sc_view {
    int fd;
    bool colour, ascii;
    uint32_t width, height;
    uint64_t drawn_revision;
    int64_t drawn_ms;  // mono; 0: never
    bool stale;        // something on the screen is not ours any more
    uint32_t *columns; // of each line of the picture that stands, to tell its rows after a resize
    uint32_t line_count;
    bool changed; // events came since the last draw
};

static void put(struct sc_view *view, struct sc_buf *buf)
{
    // A terminal that is gone is no error of the run.
    enum sc_rc ignored = sc_fd_write_all(view->fd, sc_buf_slice(buf), NULL);
    (void)ignored;
}

static void put_str(struct sc_view *view, const char *text)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_buf_add_str(&buf, text);
    put(view, &buf);
}

static void measure(struct sc_view *view)
{
    struct winsize size = {0};
    if (ioctl(view->fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){.ws_col = 80, .ws_row = 24};
    view->width = size.ws_col;
    view->height = size.ws_row;
}

struct sc_view *sc_view_open(int fd)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    if (!isatty(fd) || !term || !*term || strcmp(term, "dumb") == 0)
        return NULL;
    struct sc_view *view = sc_calloc(1, sizeof *view);
    view->fd = fd;
    view->colour = !no_colour || !*no_colour;
    setlocale(LC_CTYPE, "");
    view->ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    if (view->ascii)
        setlocale(LC_CTYPE, "C.UTF-8"); // names are UTF-8 all the same, and have a width
    measure(view);
    put_str(view, "\033[?25l");
    return view;
}

void sc_view_close(struct sc_view *view)
{
    if (!view)
        return;
    put_str(view, "\033[?25h");
    free(view->columns);
    free(view);
}

// Moves to where the picture begins and erases from there. The terminal may have become narrower, which folds lines that
// were wider than it is now: rows are counted by the width that is.
static void erase(struct sc_view *view, struct sc_buf *out)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < view->line_count; i++)
        rows += view->columns[i] <= view->width ? 1 : (view->columns[i] + view->width - 1) / view->width;
    if (rows > view->height)
        rows = view->height;
    sc_buf_add_str(out, "\r");
    if (rows > 1)
        sc_buf_printf(out, "\033[%uA", rows - 1);
    if (rows)
        sc_buf_add_str(out, "\033[J");
    view->line_count = 0;
}

static void paint(struct sc_view *view, const struct sc_model *model, uint32_t height, bool final)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    SC_AUTO_BUF struct sc_buf out;
    sc_buf_init(&out, 0);
    struct sc_view_style style = {.width = view->width > 1 ? view->width - 1
                                                           : 1, // the last column would fold the line
                                  .height = height,
                                  .colour = view->colour,
                                  .ascii = view->ascii,
                                  .final = final,
                                  .now_ms = sc_clock_wall_ms()};
    struct sc_view_lines lines = sc_view_layout(model, &style, &arena);
    erase(view, &out);
    view->columns = sc_realloc(view->columns, lines.items.count + 1, sizeof *view->columns);
    for (uint32_t i = 0; i < lines.items.count; i++) {
        sc_buf_add_str(&out, i ? "\n" : "");
        sc_buf_add_slice(&out, lines.items.items[i].text);
        view->columns[i] = lines.items.items[i].columns;
    }
    sc_buf_add_byte(&out, '\r');
    view->line_count = lines.items.count;
    put(view, &out);
}

void sc_view_draw(struct sc_view *view, const struct sc_model *model, bool force)
{
    int64_t now = sc_clock_mono_ms();
    view->changed = model->revision != view->drawn_revision;
    bool due = view->drawn_ms == 0 || (view->changed && now - view->drawn_ms >= DRAW_MS) ||
               now - view->drawn_ms >= TICK_MS || view->stale;
    if (!due && !force)
        return;
    paint(view, model, view->height, false);
    view->drawn_ms = now;
    view->drawn_revision = model->revision;
    view->changed = view->stale = false;
}

void sc_view_clear(struct sc_view *view)
{
    SC_AUTO_BUF struct sc_buf out;
    sc_buf_init(&out, 0);
    erase(view, &out);
    put(view, &out);
    view->stale = true;
}

void sc_view_finish(struct sc_view *view, const struct sc_model *model)
{
    enum { LEFT_LINES = 40 };
    // What stays may be higher than the terminal: it scrolls away, and all of it can be read.
    uint32_t height = view->height > LEFT_LINES ? view->height : LEFT_LINES;
    sc_view_clear(view);
    paint(view, model, height, true);
    put_str(view, "\n");
    view->line_count = 0;
}

void sc_view_suspend(struct sc_view *view)
{
    put_str(view, view->line_count ? "\n\033[?25h" : "\033[?25h");
    view->line_count = 0;
}

void sc_view_resume(struct sc_view *view)
{
    put_str(view, "\033[?25l");
    sc_view_resize(view);
}

void sc_view_resize(struct sc_view *view)
{
    measure(view);
    view->stale = true;
}

int sc_view_timeout(const struct sc_view *view)
{
    if (view->stale || view->drawn_ms == 0)
        return 0;
    int64_t wait = view->drawn_ms + (view->changed ? DRAW_MS : TICK_MS) - sc_clock_mono_ms();
    return wait < 0 ? 0 : (int)wait;
}

bool sc_view_colour(const struct sc_view *view)
{
    return view->colour;
}
