// stepctl get: copies an output of a step to a file or folder of one's own. The coordinator tells which result a run has;
// the bytes come from the store, checked.
#include "base/memory.h"
#include "pipeline/suggest.h"
#include "stepctl/command.h"
#include "stepctl/look.h"
#include "stepctl/rows.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// "train[lr=0.1].model": the last dot parts the step from the output, since a matrix value may hold dots, and names none.
static bool split(const char *word, struct sc_slice *ret_step, struct sc_slice *ret_output)
{
    const char *dot = strrchr(word, '.');
    if (!dot || dot == word || !dot[1] || strchr(dot, ']'))
        return false;
    *ret_step = sc_slice(word, (size_t)(dot - word));
    *ret_output = sc_slice_str(dot + 1);
    return true;
}

static enum sc_rc no_such_output(const struct sc_record *record, struct sc_slice step, struct sc_slice output,
                                 struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf names;
    sc_buf_init(&names, 0);
    for (uint32_t i = 0; i < record->outputs.count; i++) {
        sc_buf_add_str(&names, i ? ", " : "");
        sc_text_escape(&names, record->outputs.items[i].name);
    }
    enum sc_rc rc = sc_error_set(err, SC_NOT_FOUND, "step " SC_SLICE_FMT " has no output " SC_SLICE_FMT,
                                 SC_SLICE_ARG(step), SC_SLICE_ARG(output));
    if (names.len)
        sc_error_hint(err, "it has: %s", sc_buf_cstr(&names));
    else
        sc_error_hint(err, "it has none");
    return rc;
}

static const struct sc_artifact *find_output(const struct sc_record *record, struct sc_slice output)
{
    for (uint32_t i = 0; i < record->outputs.count; i++)
        if (sc_slice_eq(record->outputs.items[i].name, output))
            return &record->outputs.items[i].artifact;
    return NULL;
}

// The key under which the run has the step's result.
static enum sc_rc find_key(const struct sc_rows *rows, struct sc_slice step, struct sc_digest *ret_key,
                           struct sc_error *err)
{
    const json_t *row = json_array_get(rows->items, 0);
    const char *state = sc_row_text(row, "state"), *run = sc_row_text(row, "run");
    if (sc_digest_parse(sc_slice_str(sc_row_text(row, "key")), ret_key)) {
        if (strcmp(state, "done") == 0)
            return SC_OK;
        return sc_error_set(err, SC_NOT_FOUND, "run %s: step " SC_SLICE_FMT " is %s: it has no outputs", run,
                            SC_SLICE_ARG(step), state);
    }
    enum sc_rc rc =
        sc_error_set(err, SC_NOT_FOUND, "run %s: step " SC_SLICE_FMT " left no result that is kept", run,
                     SC_SLICE_ARG(step));
    sc_error_hint(err, "results of steps whose cache is off are not kept");
    return rc;
}

static enum sc_rc copy(struct sc_client *client, const struct sc_options *options, const struct sc_rows *rows,
                       struct sc_slice step, struct sc_slice output, struct sc_error *err)
{
    struct sc_digest key;
    struct sc_record record;
    struct sc_look look = {.store = NULL};
    const char *dest = options->args[2];
    enum sc_rc rc = find_key(rows, step, &key, err);
    if (rc == SC_OK)
        rc = sc_look_open(&look, client, options, err);
    if (rc == SC_OK && (rc = sc_look_record(&look, &key, &record, err)) != SC_OK)
        sc_error_hint(err, "the result was removed since; run the pipeline again");
    const struct sc_artifact *artifact = rc == SC_OK ? find_output(&record, output) : NULL;
    if (rc == SC_OK && !artifact)
        rc = no_such_output(&record, step, output, err);
    if (rc == SC_OK) {
        rc = sc_objects_extract(look.objects, artifact, dest, err);
        if (rc == SC_CORRUPT || rc == SC_NOT_FOUND)
            sc_error_hint(err, "run the pipeline again: what is lost or damaged is made anew");
        // The request was good; it is the store that has not got it.
        if (rc == SC_NOT_FOUND)
            rc = err->rc = SC_CORRUPT;
    }
    if (rc == SC_OK && !options->json) {
        SC_AUTO_BUF struct sc_buf size;
        sc_buf_init(&size, 0);
        sc_text_bytes(&size, artifact->bytes);
        sc_say("%s: %s, %llu file%s", dest, sc_buf_cstr(&size), (unsigned long long)artifact->files,
               artifact->files == 1 ? "" : "s");
    }
    sc_look_done(&look);
    return rc;
}

int sc_command_get(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    struct sc_rows rows = {0};
    struct sc_slice step, output;
    if (!split(options->args[1], &step, &output)) {
        sc_error_set(&err, SC_INVALID, "%s: an output is named STEP.OUTPUT", options->args[1]);
        return sc_say_error(options->json, &err);
    }
    if (access(options->args[2], F_OK) == 0) {
        sc_error_set(&err, SC_EXISTS, "%s exists already, and nothing is ever overwritten", options->args[2]);
        sc_error_hint(&err, "name another file or folder, or remove it first");
        return sc_say_error(options->json, &err);
    }
    struct sc_message message = {.type = SC_MESSAGE_EXPLAIN,
                                 .body.explain = {.run = sc_slice_str(options->args[0]), .step = step}};
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK)
        rc = sc_rows_ask(&client, &message, NULL, &rows, &err);
    if (rc == SC_OK)
        rc = copy(&client, options, &rows, step, output, &err);
    sc_rows_done(&rows);
    sc_client_done(&client);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
