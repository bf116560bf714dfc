// stepctl uri: the address of a published output, as the run that published it told it.
#include "base/memory.h"
#include "pipeline/suggest.h"
#include "stepctl/command.h"
#include "stepctl/rows.h"
#include "stepctl/say.h"
#include "stepctl/text.h"
#include "store/names.h"

#include <string.h>
#include <unistd.h>

enum { RUNS_LOOKED_AT = 200, NAMES_SHOWN = 20 };

struct outputs { // of one run
    struct sc_arena arena;
    struct sc_slice run, namespace_, pipeline;
    struct sc_published *items;
    uint32_t count;
};

static void take(void *context, const struct sc_event_body *event)
{
    struct outputs *o = context;
    if (event->type == SC_EV_RUN_STARTED) {
        o->run = sc_arena_copy(&o->arena, event->run);
        o->namespace_ = sc_arena_copy(&o->arena, event->namespace_);
        o->pipeline = sc_arena_copy(&o->arena, event->pipeline);
    }
    if (event->type != SC_EV_RUN_FINISHED)
        return;
    o->items = SC_NEW_ARRAY(&o->arena, event->outputs.count, struct sc_published);
    o->count = event->outputs.count;
    for (uint32_t i = 0; i < o->count; i++) {
        o->items[i] = event->outputs.items[i];
        o->items[i].name = sc_arena_copy(&o->arena, o->items[i].name);
        o->items[i].uri = sc_arena_copy(&o->arena, o->items[i].uri);
    }
}

static enum sc_rc load(struct sc_client *client, struct sc_slice run, struct outputs *o, struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_SHOW, .body.show.run = run};
    const struct sc_answer answer = {.event = take, .context = o};
    sc_arena_done(&o->arena);
    *o = (struct outputs){.count = 0};
    sc_arena_init(&o->arena);
    return sc_client_ask(client, &message, &answer, err);
}

// What stands in an address of this step's output, whatever the store: "/out/…/<step>/<output>/<digest16>/".
static bool is_of(const struct outputs *o, const struct sc_published *output, struct sc_slice step,
                  struct sc_slice name)
{
    SC_AUTO_BUF struct sc_buf place, uri;
    sc_buf_init(&place, 0);
    sc_buf_init(&uri, 0);
    sc_name_out(&place, sc_slice_str("x"), o->namespace_, o->pipeline, step, name, &output->digest,
                sc_slice_str(""));
    sc_buf_add_byte(&place, '/');
    sc_buf_add_slice(&uri, output->uri);
    return strstr(sc_buf_cstr(&uri), sc_buf_cstr(&place) + strlen("v1/x")) != NULL;
}

static const struct sc_published *find(const struct outputs *o, const char *word)
{
    struct sc_slice wanted = sc_slice_str(word);
    for (uint32_t i = 0; i < o->count; i++)
        if (sc_slice_eq(o->items[i].name, wanted))
            return &o->items[i];
    const char *dot = strrchr(word, '.');
    for (uint32_t i = 0; dot && i < o->count; i++)
        if (is_of(o, &o->items[i], sc_slice(word, (size_t)(dot - word)), sc_slice_str(dot + 1)))
            return &o->items[i];
    return NULL;
}

static enum sc_rc not_published(const struct outputs *o, const char *word, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf names;
    struct sc_suggest suggest;
    sc_buf_init(&names, 0);
    sc_suggest_begin(&suggest, sc_slice_str(word));
    for (uint32_t i = 0; i < o->count; i++) {
        sc_suggest_try(&suggest, o->items[i].name);
        if (i < NAMES_SHOWN) {
            sc_buf_add_str(&names, i ? ", " : "");
            sc_text_escape(&names, o->items[i].name);
        }
    }
    if (o->count > NAMES_SHOWN)
        sc_buf_add_str(&names, ", …");
    enum sc_rc rc =
        sc_error_set(err, SC_NOT_FOUND, "run " SC_SLICE_FMT " published no %s", SC_SLICE_ARG(o->run), word);
    if (sc_suggest_found(&suggest))
        sc_error_hint(err, "did you mean " SC_SLICE_FMT "? It published: %s", SC_SLICE_ARG(suggest.best),
                      sc_buf_cstr(&names));
    else if (o->count)
        sc_error_hint(err, "it published: %s", sc_buf_cstr(&names));
    else
        sc_error_hint(err, "what a run publishes stands below `outputs` in its document");
    return rc;
}

// The newest run that published it. When there is none, the newest that published anything is told of.
static enum sc_rc search(struct sc_client *client, const char *word, struct outputs *o,
                         const struct sc_published **ret_output, struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_LIST,
                                 .body.list = {.what = SC_SLICE_LIT("runs"), .limit = RUNS_LOOKED_AT}};
    struct sc_rows rows = {0};
    const char *told = NULL;
    *ret_output = NULL;
    enum sc_rc rc = sc_rows_ask(client, &message, NULL, &rows, err);
    for (size_t i = 0; rc == SC_OK && !*ret_output && i < json_array_size(rows.items); i++) {
        const json_t *row = json_array_get(rows.items, i);
        const char *run = sc_row_text(row, "run");
        if (strcmp(sc_row_text(row, "state"), "open") == 0)
            continue;
        if (load(client, sc_slice_str(run), o, NULL) != SC_OK)
            continue; // its summary is gone: another may have it
        *ret_output = find(o, word);
        if (!told && o->count)
            told = run;
    }
    if (rc == SC_OK && !*ret_output && told) {
        rc = load(client, sc_slice_str(told), o, err);
        if (rc == SC_OK)
            rc = not_published(o, word, err);
    } else if (rc == SC_OK && !*ret_output) {
        rc = sc_error_set(err, SC_NOT_FOUND, "no run has published anything");
        sc_error_hint(err, "what a run publishes stands below `outputs` in its document");
    }
    sc_rows_done(&rows);
    return rc;
}

static void print(const struct sc_options *options, const struct outputs *o,
                  const struct sc_published *output)
{
    struct sc_out out;
    sc_out_init(&out, STDOUT_FILENO);
    if (options->json) {
        char hex[SC_DIGEST_HEX_BYTES];
        sc_digest_hex(&output->digest, hex);
        sc_buf_add_str(&out.buf, "{\"name\":");
        sc_text_json(&out.buf, output->name);
        sc_buf_add_str(&out.buf, ",\"run\":");
        sc_text_json(&out.buf, o->run);
        sc_buf_add_str(&out.buf, ",\"uri\":");
        sc_text_json(&out.buf, output->uri);
        sc_buf_printf(&out.buf, ",\"digest\":\"%s\",\"bytes\":%llu}", hex, (unsigned long long)output->bytes);
    } else {
        sc_text_escape(&out.buf, output->uri);
    }
    sc_buf_add_byte(&out.buf, '\n');
    sc_out_done(&out);
}

int sc_command_uri(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    struct outputs o = {.count = 0};
    const struct sc_published *output = NULL;
    const char *word = options->args[options->arg_count - 1];
    sc_arena_init(&o.arena);
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK && options->arg_count == 1) {
        rc = search(&client, word, &o, &output, &err);
    } else if (rc == SC_OK) {
        rc = load(&client, sc_slice_str(options->args[0]), &o, &err);
        output = rc == SC_OK ? find(&o, word) : NULL;
        if (rc == SC_OK && !output)
            rc = not_published(&o, word, &err);
    }
    sc_client_done(&client);
    if (rc == SC_OK)
        print(options, &o, output);
    sc_arena_done(&o.arena);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
