#include "stepctl/look.h"

#include "base/limits.h"
#include "base/memory.h"
#include "stepctl/rows.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Opening would make the folder where there is none.
static bool is_here(const char *url)
{
    const char *folder = strncmp(url, "dir:", 4) == 0 ? url + 4 : url;
    SC_AUTO_FREE char *path = sc_asprintf("%s/stepcache.json", folder);
    return strncmp(url, "s3://", 5) == 0 || access(path, R_OK) == 0;
}

// Fills the domain, too.
static enum sc_rc ask_store(struct sc_look *look, struct sc_client *client, const char **ret_url,
                            struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_LIST, .body.list.what = SC_SLICE_LIT("store")};
    struct sc_rows rows = {0};
    enum sc_rc rc = sc_rows_ask(client, &message, NULL, &rows, err);
    const json_t *row = json_array_get(rows.items, 0);
    const char *url = sc_arena_cstr(&look->arena, sc_slice_str(sc_row_text(row, "store")));
    if (rc == SC_OK && *sc_row_text(row, "domain"))
        look->domain = sc_arena_copy(&look->arena, sc_slice_str(sc_row_text(row, "domain")));
    if (rc == SC_OK && *url)
        *ret_url = url;
    sc_rows_done(&rows);
    return rc;
}

static enum sc_rc find_store(struct sc_look *look, struct sc_client *client, const struct sc_options *options,
                             const char **ret_url, struct sc_error *err)
{
    const char *asked = NULL;
    if (!client->endpoint) {
        *ret_url = client->places.store;
        return SC_OK;
    }
    enum sc_rc rc = ask_store(look, client, &asked, err);
    *ret_url = options->store ? options->store : asked;
    if (options->store || (rc == SC_OK && asked && is_here(asked)))
        return SC_OK;
    if (rc == SC_OK && asked)
        rc =
            sc_error_set(err, SC_INVALID, "the store of that coordinator, %s, is not on this machine", asked);
    else if (rc == SC_OK)
        rc = sc_error_set(err, SC_INVALID, "that coordinator does not say where its store lies");
    sc_error_hint(err, "say where it lies for you: --store FOLDER or --store s3://…");
    return rc;
}

enum sc_rc sc_look_open(struct sc_look *look, struct sc_client *client, const struct sc_options *options,
                        struct sc_error *err)
{
    const char *url;
    *look = (struct sc_look){.domain = SC_SLICE_LIT("main")};
    sc_arena_init(&look->arena);
    enum sc_rc rc = find_store(look, client, options, &url, err);
    if (rc == SC_OK)
        rc = sc_store_open(url, &look->store, err);
    if (rc != SC_OK)
        return rc;
    const struct sc_objects_config config = {.store = look->store, .domain = look->domain};
    return sc_objects_new(&config, &look->objects, err);
}

void sc_look_done(struct sc_look *look)
{
    if (look->objects)
        sc_objects_free(look->objects);
    if (look->store)
        sc_store_close(look->store);
    sc_arena_done(&look->arena);
    *look = (struct sc_look){.store = NULL};
}

enum sc_rc sc_look_record(struct sc_look *look, const struct sc_digest *key, struct sc_record *ret_record,
                          struct sc_error *err)
{
    struct sc_slice bytes;
    return sc_records_get(look->store, look->domain, key, &look->arena, &bytes, ret_record, err);
}

enum sc_rc sc_look_plan(struct sc_look *look, const struct sc_digest *digest, struct sc_plan **ret_plan,
                        struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, SC_LIMIT_PLAN_BYTES + 65536);
    enum sc_rc rc = sc_objects_get_bytes(look->objects, digest, SC_LIMIT_PLAN_BYTES, &bytes, err);
    if (rc != SC_OK)
        return rc;
    return sc_plan_decode(sc_arena_copy(&look->arena, sc_buf_slice(&bytes)), &look->arena, ret_plan, err);
}

struct sc_slice sc_look_value(struct sc_look *look, struct sc_slice label, struct sc_slice value)
{
    struct sc_mp_reader reader = sc_mp_reader(value);
    if (sc_slice_eq_str(label, "code") || sc_mp_peek(&reader) != SC_MP_BIN)
        return value; // `code` is a digest by itself
    struct sc_digest digest = sc_mp_get_digest(&reader);
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, SC_LIMIT_PLAN_BYTES + 65536);
    struct sc_error ignored = SC_ERROR_INIT;
    if (!sc_mp_finished(&reader) ||
        sc_objects_get_bytes(look->objects, &digest, SC_LIMIT_PLAN_BYTES, &bytes, &ignored) != SC_OK)
        return value;
    return sc_arena_copy(&look->arena, sc_buf_slice(&bytes));
}
