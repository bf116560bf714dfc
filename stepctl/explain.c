// stepctl explain: why a step ran, or did not: the coordinator's rows as people read them.
#include "base/memory.h"
#include "base/os/clock.h"
#include "stepctl/command.h"
#include "stepctl/render.h"
#include "stepctl/rows.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <unistd.h>

enum { VALUE_COLUMNS = 160, SHOWN_FILES = 50, SHOWN_LOG_BYTES = 2000 };

static void text(struct sc_buf *out, const char *value)
{
    sc_text_escape(out, sc_slice_str(value));
}

static const char *reason_words(const char *name)
{
    for (int i = 0; i < SC_REASON_COUNT; i++)
        if (strcmp(name, sc_reason_name((enum sc_reason)i)) == 0)
            return sc_render_reason_text((enum sc_reason)i);
    return name;
}

static void step_row(struct sc_buf *out, const json_t *row)
{
    const char *verdict = sc_row_text(row, "verdict"), *detail = sc_row_text(row, "detail");
    text(out, sc_row_text(row, "step"));
    sc_buf_add_str(out, " of run ");
    text(out, sc_row_text(row, "run"));
    sc_buf_add_str(out, ": ");
    text(out, *verdict ? verdict : "no verdict yet");
    const char *reason = reason_words(sc_row_text(row, "reason"));
    if (*reason) {
        sc_buf_add_str(out, ", ");
        text(out, reason);
    }
    if (*detail) {
        sc_buf_add_str(out, ": ");
        text(out, detail);
    }
    sc_buf_add_str(out, "; ");
    text(out, sc_row_text(row, "state"));
    if (sc_row_uint(row, "wall_ms")) {
        sc_buf_add_str(out, " after ");
        sc_text_duration(out, sc_row_uint(row, "wall_ms"));
    }
    sc_buf_add_byte(out, '\n');
    if (*sc_row_text(row, "key"))
        sc_buf_printf(out, "key %s\n", sc_row_text(row, "key"));
}

static void side(struct sc_buf *out, const char *sign, const char *value)
{
    sc_buf_add_str(out, sign);
    text(out, *value ? value : "(none)");
    sc_buf_add_byte(out, '\n');
}

static void files(struct sc_buf *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && i < SHOWN_FILES; i++) {
        const json_t *file = json_array_get(list, i);
        const char *change = sc_row_text(file, "change");
        sc_buf_add_str(out, *change == '+'   ? "    added    "
                            : *change == '-' ? "    removed  "
                                             : "    changed  ");
        text(out, sc_row_text(file, "path"));
        sc_buf_add_byte(out, '\n');
    }
    if (json_array_size(list) > SHOWN_FILES)
        sc_buf_printf(out, "    and %zu more: --json lists them\n", json_array_size(list) - SHOWN_FILES);
}

static void packages(struct sc_buf *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *package = json_array_get(list, i);
        const char *old = sc_row_text(package, "old"), *new = sc_row_text(package, "new");
        sc_buf_add_str(out, "    ");
        text(out, sc_row_text(package, "name"));
        sc_buf_add_byte(out, ' ');
        text(out, *old ? old : "(none)");
        sc_buf_add_str(out, " → ");
        text(out, *new ? new : "(none)");
        sc_buf_add_byte(out, '\n');
    }
}

static void changed_row(struct sc_buf *out, const json_t *row)
{
    sc_buf_add_str(out, "changed: ");
    text(out, sc_row_text(row, "label"));
    sc_buf_add_byte(out, '\n');
    const json_t *list = json_object_get(row, "packages");
    if (json_array_size(list)) {
        packages(out, list); // each says old and new by itself
        return;
    }
    side(out, "  - ", sc_row_text(row, "old"));
    side(out, "  + ", sc_row_text(row, "new"));
    files(out, json_object_get(row, "files"));
    if (*sc_row_text(row, "note")) {
        sc_buf_add_str(out, "    ");
        text(out, sc_row_text(row, "note"));
        sc_buf_add_byte(out, '\n');
    }
}

static void made_by_row(struct sc_buf *out, const json_t *row)
{
    sc_buf_add_str(out, "made by run ");
    text(out, sc_row_text(row, "run"));
    sc_buf_add_str(out, " (");
    text(out, sc_row_text(row, "pipeline"));
    sc_buf_add_byte(out, '/');
    text(out, sc_row_text(row, "step"));
    sc_buf_add_str(out, ") on ");
    text(out, sc_row_text(row, "agent"));
    sc_buf_add_byte(out, ' ');
    sc_text_ago(out, sc_row_time(row, "ended_at"), sc_clock_wall_ms());
    sc_buf_add_str(out, ", ");
    sc_text_time(out, sc_row_time(row, "ended_at"));
    sc_buf_add_str(out, "; it took ");
    sc_text_duration(out, sc_row_uint(row, "wall_ms"));
    sc_buf_add_str(out, ", ");
    sc_text_duration(out, sc_row_uint(row, "cpu_ms"));
    sc_buf_add_str(out, " of CPU, ");
    sc_text_bytes(out, sc_row_uint(row, "max_rss_bytes"));
    sc_buf_add_str(out, " of memory");
    if (json_object_get(row, "saved_ms")) {
        sc_buf_add_str(out, "; saved ");
        sc_text_duration(out, sc_row_uint(row, "saved_ms"));
    }
    sc_buf_add_str(out, "\nisolation: ");
    text(out, sc_row_text(row, "sandbox"));
    sc_buf_add_byte(out, '\n');
}

static void failure_row(struct sc_buf *out, const json_t *row)
{
    sc_buf_add_str(out, "failed: ");
    text(out, sc_row_text(row, "outcome"));
    if (json_object_get(row, "exit"))
        sc_buf_printf(out, " with code %llu", (unsigned long long)sc_row_uint(row, "exit"));
    if (json_object_get(row, "signal"))
        sc_buf_printf(out, " by signal %llu", (unsigned long long)sc_row_uint(row, "signal"));
    sc_buf_add_byte(out, '\n');
    sc_render_indented(out, "  ", sc_slice_str(sc_row_text(row, "message")));
}

static void output_row(struct sc_buf *out, const json_t *row)
{
    sc_buf_add_str(out, "output ");
    text(out, sc_row_text(row, "name"));
    sc_buf_printf(out, ": %s ", sc_row_text(row, "kind"));
    text(out, sc_row_text(row, "digest"));
    sc_buf_add_str(out, ", ");
    sc_text_bytes(out, sc_row_uint(row, "bytes"));
    sc_buf_add_byte(out, '\n');
}

static void named_row(struct sc_buf *out, const char *what, const char *name, const char *value)
{
    sc_buf_add_str(out, what);
    text(out, name);
    sc_buf_add_str(out, ": ");
    sc_text_fit(out, sc_slice_str(value), VALUE_COLUMNS, false);
    sc_buf_add_byte(out, '\n');
}

static void log_row(struct sc_buf *out, const json_t *row)
{
    struct sc_slice tail = sc_slice_str(sc_row_text(row, "tail"));
    if (tail.len > SHOWN_LOG_BYTES)
        tail = sc_slice_from(tail, tail.len - SHOWN_LOG_BYTES);
    sc_buf_printf(out, "the end of its %s:\n", sc_row_text(row, "stream"));
    sc_render_indented(out, "  ", tail);
}

// What every reader should know of how the key was made.
static void remarks(struct sc_buf *out, const json_t *rows)
{
    uint32_t parts = 0;
    bool arch = false;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(sc_row_text(row, "row"), "field") != 0)
            continue;
        const char *label = sc_row_text(row, "label");
        parts += strncmp(label, "environment.", 12) == 0;
        arch |= strcmp(label, "environment.arch") == 0;
        if (strcmp(label, "ignored") == 0) {
            sc_buf_add_str(out, "ignored: ");
            text(out, sc_row_text(row, "value"));
            sc_buf_add_str(out, " is in no key: a hit may serve what another value of it made\n");
        }
    }
    if (parts == 1 && arch)
        sc_buf_add_str(out, "environment: any: the architecture alone is in the key\n");
}

static void render_row(struct sc_buf *out, const json_t *row)
{
    const char *kind = sc_row_text(row, "row");
    if (strcmp(kind, "step") == 0)
        step_row(out, row);
    else if (strcmp(kind, "changed") == 0)
        changed_row(out, row);
    else if (strcmp(kind, "made_by") == 0)
        made_by_row(out, row);
    else if (strcmp(kind, "failure") == 0)
        failure_row(out, row);
    else if (strcmp(kind, "output") == 0)
        output_row(out, row);
    else if (strcmp(kind, "value") == 0)
        named_row(out, "value ", sc_row_text(row, "name"), sc_row_text(row, "value"));
    else if (strcmp(kind, "input") == 0)
        named_row(out, "input ", sc_row_text(row, "name"), sc_row_text(row, "from_key"));
    else if (strcmp(kind, "log") == 0)
        log_row(out, row);
}

static void render(struct sc_buf *out, const json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        render_row(out, json_array_get(rows, i));
    remarks(out, rows);
    bool first = true;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(sc_row_text(row, "row"), "field") != 0)
            continue;
        sc_buf_add_str(out, first ? "the key's fields:\n" : "");
        first = false;
        named_row(out, "  ", sc_row_text(row, "label"), sc_row_text(row, "value"));
    }
}

int sc_command_explain(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    struct sc_rows rows = {0};
    bool named = options->arg_count == 2;
    struct sc_message message = {.type = SC_MESSAGE_EXPLAIN,
                                 .body.explain = {.run = sc_slice_str(named ? options->args[0] : "latest"),
                                                  .step = sc_slice_str(options->args[named])}};
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK)
        rc = sc_rows_ask(&client, &message, options, &rows, &err);
    sc_client_done(&client);
    if (rc == SC_OK && !options->json) {
        struct sc_out out;
        sc_out_init(&out, STDOUT_FILENO);
        render(&out.buf, rows.items);
        sc_out_done(&out);
    }
    sc_rows_done(&rows);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
