#include "stepctl/rows.h"

#include "base/os/clock.h"
#include "stepctl/say.h"

#include <float.h>
#include <stdio.h>
#include <unistd.h>

struct gather {
    json_t *items;
    struct sc_out out;
    bool print;
};

static void take(void *context, struct sc_slice row)
{
    struct gather *g = context;
    if (g->print) {
        sc_buf_add_slice(&g->out.buf, row);
        sc_buf_add_byte(&g->out.buf, '\n');
        sc_out_maybe_flush(&g->out);
        return;
    }
    json_t *object = json_loadb((const char *)row.ptr, row.len, JSON_ALLOW_NUL, NULL);
    if (json_is_object(object))
        json_array_append_new(g->items, object);
    else
        json_decref(object);
}

enum sc_rc sc_rows_ask(struct sc_client *client, struct sc_message *message, const struct sc_options *options,
                       struct sc_rows *rows, struct sc_error *err)
{
    struct gather g = {.items = json_array(), .print = options && options->json};
    sc_out_init(&g.out, STDOUT_FILENO);
    const struct sc_answer answer = {.row = take, .context = &g};
    enum sc_rc rc = sc_client_ask(client, message, &answer, err);
    sc_out_done(&g.out);
    rows->items = g.items;
    return rc;
}

void sc_rows_done(struct sc_rows *rows)
{
    json_decref(rows->items);
    rows->items = NULL;
}

const char *sc_row_text(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

uint64_t sc_row_uint(const json_t *row, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(row, name));
    return value < 0 ? 0 : (uint64_t)value;
}

int64_t sc_row_time(const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);
    if (json_is_integer(value))
        return json_integer_value(value);
    int64_t wall_ms = 0;
    return sc_clock_of_rfc3339(sc_slice_str(json_string_value(value)), &wall_ms) ? wall_ms : 0;
}

void sc_rows_print(const struct sc_rows *rows, struct sc_buf *out)
{
    for (size_t i = 0; i < json_array_size(rows->items); i++) {
        char *text = json_dumps(json_array_get(rows->items, i),
                                JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(DBL_DIG));
        sc_buf_add_str(out, text);
        sc_buf_add_byte(out, '\n');
        free(text);
    }
}
