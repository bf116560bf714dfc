// stepctl runs and agents: tables of what the coordinator knows.
#include "base/memory.h"
#include "base/os/clock.h"
#include "stepctl/command.h"
#include "stepctl/rows.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <unistd.h>

enum { DEFAULT_LIMIT = 20 };

static void cell(struct sc_buf *out, const char *text, uint32_t width)
{
    struct sc_slice s = sc_slice_str(text);
    size_t before = out->len;
    sc_text_escape(out, s);
    uint32_t used = sc_text_width(sc_slice(out->ptr + before, out->len - before));
    sc_text_pad(out, used < width ? width - used : 2);
}

static void run_row(struct sc_buf *out, const json_t *row, int64_t now)
{
    const char *state = sc_row_text(row, "state");
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    cell(out, sc_row_text(row, "run"), 24);
    cell(out, *state && strcmp(state, "none") != 0 ? state : "open", 11);
    cell(out, sc_row_text(row, "pipeline"), 20);
    sc_text_ago(&text, sc_row_time(row, "started_at"), now);
    cell(out, sc_buf_cstr(&text), 18);
    sc_buf_printf(out, "%llu hits, %llu misses", (unsigned long long)sc_row_uint(row, "hits"),
                  (unsigned long long)sc_row_uint(row, "misses"));
    if (sc_row_uint(row, "failed"))
        sc_buf_printf(out, ", %llu failed", (unsigned long long)sc_row_uint(row, "failed"));
    if (sc_row_uint(row, "saved_ms")) {
        sc_buf_add_str(out, ", saved ");
        sc_text_duration(out, sc_row_uint(row, "saved_ms"));
    }
    sc_buf_add_byte(out, '\n');
}

static void agent_row(struct sc_buf *out, const json_t *row, int64_t now)
{
    (void)now;
    cell(out, sc_row_text(row, "agent"), 32);
    sc_buf_printf(
        out, "%g of %g cpus busy, %llu attempt%s, ", (double)sc_row_uint(row, "used_cpus_milli") / 1000,
        (double)sc_row_uint(row, "cpus_milli") / 1000, (unsigned long long)sc_row_uint(row, "attempts"),
        sc_row_uint(row, "attempts") == 1 ? "" : "s");
    sc_text_bytes(out, sc_row_uint(row, "memory_bytes"));
    sc_buf_add_str(out, ", isolation by ");
    sc_text_escape(out, sc_slice_str(sc_row_text(row, "assurance")));
    sc_buf_add_byte(out, '\n');
}

static int list(const struct sc_options *options, const char *what, const char *none,
                void (*print)(struct sc_buf *, const json_t *, int64_t))
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    struct sc_rows rows = {0};
    struct sc_message message = {.type = SC_MESSAGE_LIST,
                                 .body.list = {.what = sc_slice_str(what),
                                               .limit = options->limit ? options->limit : DEFAULT_LIMIT,
                                               .pipeline = sc_slice_str(options->pipeline)}};
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK)
        rc = sc_rows_ask(&client, &message, options, &rows, &err);
    sc_client_done(&client);
    if (rc == SC_OK && !options->json) {
        struct sc_out out;
        sc_out_init(&out, STDOUT_FILENO);
        for (size_t i = 0; i < json_array_size(rows.items); i++)
            print(&out.buf, json_array_get(rows.items, i), sc_clock_wall_ms());
        if (json_array_size(rows.items) == 0)
            sc_buf_add_str(&out.buf, none);
        sc_out_done(&out);
    }
    sc_rows_done(&rows);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}

int sc_command_runs(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    return list(options, "runs", "no runs yet\n", run_row);
}

int sc_command_agents(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    return list(options, "agents", "no agent is alive\n", agent_row);
}
