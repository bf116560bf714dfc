#include "stepctl/look.h"

#include "base/limits.h"

#include <stdlib.h>

static const struct sc_slice domain = SC_SLICE_LIT("main");

enum sc_rc sc_look_open(struct sc_look *look, const struct sc_client *client,
                        const struct sc_options *options, struct sc_error *err)
{
    *look = (struct sc_look){.store = NULL};
    sc_arena_init(&look->arena);
    const char *url = options->store ? options->store : client->endpoint ? NULL : client->places.store;
    if (!url) {
        sc_error_set(err, SC_INVALID, "where the store of that coordinator lies is not known here");
        sc_error_hint(err, "say --store FOLDER or --store s3://…; `stepctl cache stats` names it");
        return SC_INVALID;
    }
    enum sc_rc rc = sc_store_open(url, &look->store, err);
    if (rc != SC_OK)
        return rc;
    const struct sc_objects_config config = {.store = look->store, .domain = domain};
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
    return sc_records_get(look->store, domain, key, &look->arena, &bytes, ret_record, err);
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
