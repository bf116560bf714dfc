// Rows of JSON objects, as the coordinator's pages hold them: asked for, kept, printed, read. Missing and ill-typed
// fields read as empty.
#pragma once

#include "stepctl/client.h"

#include <jansson.h>

struct sc_rows {
    json_t *items; // a list of objects
};

// Asks and gathers; with options->json the rows are printed as they came instead. Done after any rc.
SC_MUST_USE enum sc_rc sc_rows_ask(struct sc_client *client, struct sc_message *message,
                                   const struct sc_options *options, struct sc_rows *rows,
                                   struct sc_error *err);
void sc_rows_done(struct sc_rows *rows);
void sc_rows_print(const struct sc_rows *rows, struct sc_buf *out); // a line each
const char *sc_row_text(const json_t *row, const char *name);       // "" when absent
uint64_t sc_row_uint(const json_t *row, const char *name);
// A time in ms since 1970, from a number or an RFC 3339 text; 0 when absent.
int64_t sc_row_time(const json_t *row, const char *name);
