// stepctl cache ls|show|rm|pin|unpin|gc|verify|stats: asks the coordinator, which holds the store.
#include "base/memory.h"
#include "base/os/clock.h"
#include "pipeline/suggest.h"
#include "stepctl/command.h"
#include "stepctl/rows.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <float.h>
#include <stdio.h>
#include <unistd.h>

enum { SHOWN_RESULTS = 20 }; // before they are removed

static void ls_row(struct sc_buf *out, const json_t *row)
{
    const char *key = sc_row_text(row, "key");
    sc_buf_printf(out, "%.16s  ", key);
    sc_text_escape(out, sc_slice_str(sc_row_text(row, "pipeline")));
    sc_buf_add_byte(out, '/');
    sc_text_escape(out, sc_slice_str(sc_row_text(row, "step")));
    sc_buf_add_str(out, "  ");
    if (sc_row_time(row, "ended_at")) {
        sc_text_ago(out, sc_row_time(row, "ended_at"), sc_clock_wall_ms());
        sc_buf_add_str(out, ", took ");
        sc_text_duration(out, sc_row_uint(row, "wall_ms"));
    }
    if (json_object_get(row, "bytes")) {
        sc_buf_add_str(out, ", ");
        sc_text_bytes(out, sc_row_uint(row, "bytes"));
    }
    sc_buf_add_byte(out, '\n');
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static void value(struct sc_buf *out, const char *name, const json_t *v)
{
    if (json_is_string(v)) {
        sc_text_escape(out, sc_slice_str(json_string_value(v)));
    } else if (json_is_integer(v) && has_suffix(name, "_ms")) {
        sc_text_duration(out, (uint64_t)json_integer_value(v));
    } else if (json_is_integer(v) && has_suffix(name, "bytes")) {
        sc_text_bytes(out, (uint64_t)json_integer_value(v));
    } else if (json_is_integer(v) && has_suffix(name, "_at")) {
        sc_text_time(out, json_integer_value(v));
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(DBL_DIG));
        sc_text_escape(out, sc_slice_str(text));
        free(text);
    }
}

// An object as indented lines, whatever it holds.
static void tree(struct sc_buf *out, const json_t *object, uint32_t indent)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, name, v)
    {
        sc_text_pad(out, indent);
        sc_text_escape(out, sc_slice_str(name));
        sc_buf_add_str(out, ":");
        if (json_is_object(v) && indent < 32) {
            sc_buf_add_byte(out, '\n');
            tree(out, v, indent + 2);
        } else if (json_is_array(v) && json_is_object(json_array_get(v, 0)) && indent < 32) {
            sc_buf_add_byte(out, '\n');
            for (size_t i = 0; i < json_array_size(v); i++)
                tree(out, json_array_get(v, i), indent + 2);
        } else {
            sc_buf_add_byte(out, ' ');
            value(out, name, v);
            sc_buf_add_byte(out, '\n');
        }
    }
}

// What deletes asks; where nobody can be asked it needs --yes.
static enum sc_rc ask(const struct sc_options *options, const json_t *meant, struct sc_error *err)
{
    size_t count = json_array_size(meant);
    if (options->yes || count == 0)
        return SC_OK;
    if (!isatty(STDIN_FILENO)) {
        enum sc_rc rc = sc_error_set(err, SC_INVALID, "cache rm removes %zu result%s for good", count,
                                     count == 1 ? "" : "s");
        sc_error_hint(err, "say --yes when that is what you want");
        return rc;
    }
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    for (size_t i = 0; i < count && i < SHOWN_RESULTS; i++)
        ls_row(&text, json_array_get(meant, i));
    if (count > SHOWN_RESULTS)
        sc_buf_printf(&text, "and %zu more\n", count - SHOWN_RESULTS);
    fprintf(stderr, "%sRemove %zu result%s? The steps will run again. [y/N] ", sc_buf_cstr(&text), count,
            count == 1 ? "" : "s");
    char answer[16] = "";
    if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
        return sc_error_set(err, SC_CANCELLED, "nothing was removed");
    return SC_OK;
}

static bool is_op(const struct sc_options *options, const char *op)
{
    return strcmp(options->args[0], op) == 0;
}

static enum sc_rc check_options(const struct sc_options *options, struct sc_error *err)
{
    bool gc = is_op(options, "gc");
    if (!gc && (options->older_than || options->keep_last || options->namespace_ || options->max_bytes ||
                options->dry_run || options->delete_))
        return sc_error_set(
            err, SC_INVALID,
            "--older-than, --keep-last, --namespace, --max-bytes, --dry-run and --delete are of "
            "cache gc");
    if (options->sample && !is_op(options, "verify"))
        return sc_error_set(err, SC_INVALID, "--sample is of cache verify");
    if (is_op(options, "verify") && options->arg_count > 1)
        return sc_error_set(err, SC_INVALID,
                            "cache verify names no results: it reads all, or with --sample N some");
    if (options->dry_run && options->delete_)
        return sc_error_set(err, SC_INVALID, "--dry-run and --delete exclude one another");
    return gc && options->arg_count > 1
               ? sc_error_set(err, SC_INVALID, "cache gc names no results; cache rm does")
               : SC_OK;
}

static enum sc_rc check(const struct sc_options *options, struct sc_error *err)
{
    static const struct {
        const char *op;
        uint32_t least;
    } ops[] = {{"ls", 0},    {"show", 1}, {"rm", 1},     {"pin", 1},
               {"unpin", 1}, {"gc", 0},   {"verify", 0}, {"stats", 0}};
    struct sc_suggest suggest;
    enum sc_rc rc = check_options(options, err);
    if (rc != SC_OK)
        return rc;
    sc_suggest_begin(&suggest, sc_slice_str(options->args[0]));
    for (size_t i = 0; i < SC_COUNT(ops); i++) {
        sc_suggest_try(&suggest, sc_slice_str(ops[i].op));
        if (strcmp(options->args[0], ops[i].op) != 0)
            continue;
        if (options->arg_count - 1 >= ops[i].least)
            return SC_OK;
        return sc_error_set(err, SC_INVALID, "cache %s: name a key", ops[i].op);
    }
    rc = sc_error_set(err, SC_INVALID, "cache has no operation \"%s\"", options->args[0]);
    if (sc_suggest_found(&suggest))
        sc_error_hint(err, "did you mean " SC_SLICE_FMT "?", SC_SLICE_ARG(suggest.best));
    else
        sc_error_hint(err, "there are ls, show, rm, pin, unpin, gc, verify and stats");
    return rc;
}

// Of verify: a row that tells of something wrong.
static bool is_problem(const json_t *row)
{
    const char *state = sc_row_text(row, "state");
    return json_object_get(row, "problem") || (*state && strcmp(state, "ok") != 0);
}

static void objects(struct sc_buf *out, const json_t *row, const char *count, const char *bytes)
{
    uint64_t n = sc_row_uint(row, count);
    sc_buf_printf(out, "%llu object%s, ", (unsigned long long)n, n == 1 ? "" : "s");
    sc_text_bytes(out, sc_row_uint(row, bytes));
}

static void gc_row(struct sc_buf *out, const json_t *row)
{
    bool deleted = json_is_true(json_object_get(row, "deleted"));
    if (strcmp(sc_row_text(row, "row"), "namespace") == 0) {
        sc_buf_printf(out, "  %llu of namespace ", (unsigned long long)sc_row_uint(row, "dropped"));
        sc_text_escape(out, sc_slice_str(sc_row_text(row, "namespace")));
        sc_buf_add_str(out, ", ");
        sc_text_bytes(out, sc_row_uint(row, "bytes"));
        sc_buf_add_byte(out, '\n');
        return;
    }
    sc_buf_printf(out, "%s ", deleted ? "removed" : "would remove");
    objects(out, row, "objects", "bytes");
    sc_buf_printf(out, "; %llu withdrawn results\n", (unsigned long long)sc_row_uint(row, "records"));
    if (sc_row_uint(row, "dropped")) {
        sc_buf_printf(out, "%s %llu results; what they alone reach goes when that is ",
                      deleted ? "withdrew" : "would withdraw",
                      (unsigned long long)sc_row_uint(row, "dropped"));
        sc_text_duration(out, sc_row_uint(row, "horizon_ms"));
        sc_buf_add_str(out, " ago: ");
        objects(out, row, "later_objects", "later_bytes");
        sc_buf_add_byte(out, '\n');
    }
    sc_buf_add_str(out, "not reached, and younger than ");
    sc_text_duration(out, sc_row_uint(row, "horizon_ms"));
    sc_buf_add_str(out, ": ");
    objects(out, row, "young_objects", "young_bytes");
    sc_buf_add_str(out, "\nin use: ");
    objects(out, row, "kept_objects", "kept_bytes");
    sc_buf_add_byte(out, '\n');
    if (sc_row_uint(row, "open_runs")) {
        sc_buf_printf(out, "%llu open runs; what was withdrawn since ",
                      (unsigned long long)sc_row_uint(row, "open_runs"));
        sc_text_time(out, sc_row_time(row, "open_since_at"));
        sc_buf_add_str(out, " stays for them\n");
    }
    if (!deleted)
        sc_buf_add_str(out, "nothing was changed; --delete does it\n");
}

static void print(const struct sc_options *options, const json_t *rows, struct sc_buf *out)
{
    size_t count = json_array_size(rows);
    bool ls =
        is_op(options, "ls") || is_op(options, "rm") || is_op(options, "pin") || is_op(options, "unpin");
    if (!is_op(options, "ls") && ls)
        sc_buf_printf(out, "%s:\n",
                      is_op(options, "rm")    ? "removed"
                      : is_op(options, "pin") ? "pinned"
                                              : "unpinned");
    for (size_t i = 0; i < count; i++) {
        if (is_op(options, "gc"))
            gc_row(out, json_array_get(rows, i));
        else if (ls)
            ls_row(out, json_array_get(rows, i));
        else {
            sc_buf_add_str(out, i ? "\n" : "");
            tree(out, json_array_get(rows, i), 0);
        }
    }
    if (is_op(options, "ls") && count == 0)
        sc_buf_add_str(out, "nothing is cached yet\n");
    if (strcmp(options->args[0], "verify") == 0 && count == 0)
        sc_buf_add_str(out, "all is well\n");
}

static void gc_args(const struct sc_options *options, struct sc_arena *arena, sc_text_list *args)
{
    const struct {
        const char *name, *value;
    } given[] = {{"older-than", options->older_than},
                 {"keep-last", options->keep_last},
                 {"namespace", options->namespace_},
                 {"max-bytes", options->max_bytes}};
    args->items = SC_NEW_ARRAY(arena, SC_COUNT(given) + 1, struct sc_slice);
    for (size_t i = 0; i < SC_COUNT(given); i++)
        if (given[i].value)
            args->items[args->count++] = sc_arena_printf(arena, "%s=%s", given[i].name, given[i].value);
    if (options->delete_)
        args->items[args->count++] = sc_slice_str("delete");
}

// Those that rm would remove, as the coordinator understands the names.
static enum sc_rc ask_for_those(const struct sc_options *options, struct sc_client *client,
                                struct sc_message message, struct sc_error *err)
{
    struct sc_rows meant = {0};
    message.body.cache.op = sc_slice_str("ls");
    enum sc_rc rc = options->yes ? SC_OK : sc_rows_ask(client, &message, NULL, &meant, err);
    if (rc == SC_OK)
        rc = ask(options, meant.items, err);
    sc_rows_done(&meant);
    return rc;
}

int sc_command_cache(const struct sc_options *options, struct sc_arena *arena)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    struct sc_rows rows = {0};
    if (check(options, &err) != SC_OK)
        return sc_say_error(options->json, &err);
    struct sc_message message = {.type = SC_MESSAGE_CACHE, .body.cache.op = sc_slice_str(options->args[0])};
    message.body.cache.args.items = SC_NEW_ARRAY(arena, options->arg_count + 1, struct sc_slice);
    for (uint32_t i = 1; i < options->arg_count; i++)
        message.body.cache.args.items[message.body.cache.args.count++] = sc_slice_str(options->args[i]);
    if (options->sample)
        message.body.cache.args.items[message.body.cache.args.count++] =
            sc_arena_printf(arena, "%u", options->sample);
    if (is_op(options, "gc"))
        gc_args(options, arena, &message.body.cache.args);
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK && is_op(options, "rm"))
        rc = ask_for_those(options, &client, message, &err);
    if (rc == SC_OK)
        rc = sc_rows_ask(&client, &message, NULL, &rows, &err);
    sc_client_done(&client);
    struct sc_out out;
    sc_out_init(&out, STDOUT_FILENO);
    if (rc == SC_OK && options->json)
        sc_rows_print(&rows, &out.buf);
    else if (rc == SC_OK)
        print(options, rows.items, &out.buf);
    if (rc == SC_OK && strcmp(options->args[0], "verify") == 0)
        for (size_t i = 0; i < json_array_size(rows.items) && rc == SC_OK; i++)
            if (is_problem(json_array_get(rows.items, i)))
                rc = sc_error_set(
                    &err, SC_CORRUPT,
                    "the store holds what is not whole: the steps that made it run again when needed");
    sc_out_done(&out);
    sc_rows_done(&rows);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
