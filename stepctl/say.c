#include "stepctl/say.h"

#include "base/os/clock.h"
#include "base/os/file.h"
#include "stepctl/json.h"
#include "stepctl/text.h"

#include <stdio.h>
#include <unistd.h>

void sc_out_init(struct sc_out *out, int fd)
{
    *out = (struct sc_out){.fd = fd};
    sc_buf_init(&out->buf, 0);
}

void sc_out_flush(struct sc_out *out)
{
    if (out->buf.len && !out->broken && sc_fd_write_all(out->fd, sc_buf_slice(&out->buf), NULL) != SC_OK)
        out->broken = true;
    sc_buf_clear(&out->buf);
}

void sc_out_done(struct sc_out *out)
{
    sc_out_flush(out);
    sc_buf_done(&out->buf);
}

static void write_all(int fd, const struct sc_buf *buf)
{
    // There is nobody to tell when standard error cannot be written.
    enum sc_rc ignored = sc_fd_write_all(fd, sc_buf_slice(buf), NULL);
    (void)ignored;
}

int sc_say_error(bool json, const struct sc_error *err)
{
    int exit_code = sc_rc_exit_code(err->rc);
    if (!err->message[0])
        return exit_code;
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    if (json) {
        sc_json_error(&text, sc_clock_wall_ms(), err->rc, sc_slice_str(err->message), sc_slice_str(err->hint),
                      NULL, 0, 0);
        write_all(STDOUT_FILENO, &text);
        return exit_code;
    }
    sc_buf_add_str(&text, "stepctl: ");
    sc_text_escape(&text, sc_slice_str(err->message));
    sc_buf_add_byte(&text, '\n');
    if (err->hint[0]) {
        sc_buf_add_str(&text, "  ");
        sc_text_escape(&text, sc_slice_str(err->hint));
        sc_buf_add_byte(&text, '\n');
    }
    write_all(STDERR_FILENO, &text);
    return exit_code;
}

void sc_say_diagnostic(bool json, const char *file, const struct sc_diagnostic *d)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    if (json) {
        sc_json_error(&text, sc_clock_wall_ms(), d->rc, d->message, d->hint, file, d->line, d->column);
        write_all(STDOUT_FILENO, &text);
        return;
    }
    sc_text_escape(&text, sc_slice_str(file));
    if (d->line)
        sc_buf_printf(&text, ":%u", d->line);
    if (d->column)
        sc_buf_printf(&text, ":%u", d->column);
    sc_buf_add_str(&text, ": ");
    sc_text_escape(&text, d->message);
    if (d->hint.len) {
        sc_buf_add_str(&text, " (");
        sc_text_escape(&text, d->hint);
        sc_buf_add_byte(&text, ')');
    }
    sc_buf_add_byte(&text, '\n');
    write_all(STDERR_FILENO, &text);
}

void sc_say(const char *format, ...)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    va_list args;
    va_start(args, format);
    char line[2048];
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sc_buf_add_str(&text, "stepctl: ");
    sc_text_escape(&text, sc_slice_str(line));
    sc_buf_add_byte(&text, '\n');
    write_all(STDERR_FILENO, &text);
}
