#include "coordinator/shell/placing.h"

#include "base/limits.h"
#include "base/memory.h"

#include <utlist.h>

enum { AT_ONCE = 16 }; // a small file in memory each, at most

struct place {
    struct sc_store_op op;
    struct placing *placing;
    struct sc_artifact artifact; // borrows its inline bytes
    struct sc_buf name, from, body;
    bool asking;
    struct place *prev, *next; // in the list of those that were answered
};

struct placing {
    struct sc_store *store;
    placing_bytes_fn bytes;
    void *context;
    uint32_t open;
    uint64_t written;
    struct place *answered;
    enum sc_rc rc;
    struct sc_error err;
};

struct placing *placing_new(struct sc_store *store, placing_bytes_fn bytes, void *context)
{
    struct placing *placing = sc_calloc(1, sizeof *placing);
    placing->store = store;
    placing->bytes = bytes;
    placing->context = context;
    return placing;
}

static void fail(struct placing *placing, enum sc_rc rc, const struct sc_error *err)
{
    if (placing->rc != SC_OK)
        return;
    placing->rc = rc;
    placing->err = *err;
}

static void free_place(struct place *place)
{
    place->placing->open--;
    sc_buf_done(&place->name);
    sc_buf_done(&place->from);
    sc_buf_done(&place->body);
    free(place);
}

static void answered(struct sc_store_op *op)
{
    struct place *place = op->context;
    DL_APPEND(place->placing->answered, place);
}

static void submit(struct place *place, enum sc_store_kind kind)
{
    struct sc_store_op *op = &place->op;
    sc_store_op_init(op, kind, sc_buf_slice(&place->name));
    place->asking = kind == SC_STORE_HEAD;
    op->done = answered;
    op->context = place;
    op->exec = place->artifact.exec;
    op->body = sc_buf_slice(&place->body);
    op->from = sc_buf_slice(&place->from);
    op->from_bytes = kind == SC_STORE_COPY ? place->artifact.bytes : 0;
    sc_store_submit(place->placing->store, op);
}

static void write(struct place *place)
{
    struct placing *placing = place->placing;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice bytes = {NULL, 0};
    if (place->from.len) {
        submit(place, SC_STORE_COPY);
        return;
    }
    enum sc_rc rc = placing->bytes(placing->context, &place->artifact, &bytes, &err);
    if (rc != SC_OK) {
        fail(placing, rc, &err);
        free_place(place);
        return;
    }
    sc_buf_add_slice(&place->body, bytes);
    submit(place, SC_STORE_PUT);
}

static void take_answer(struct placing *placing, struct place *place)
{
    enum sc_rc rc = place->op.rc;
    bool there = place->asking && rc == SC_OK && place->op.bytes == place->artifact.bytes;
    bool absent = place->asking && !there; // what cannot be asked for is told by the write
    if (!place->asking && rc == SC_OK)
        placing->written++;
    else if (!place->asking)
        fail(placing, rc, &place->op.err);
    sc_store_op_done(&place->op);
    if (absent && placing->rc == SC_OK)
        write(place);
    else
        free_place(place);
}

// Until at most so many are open.
static void wait(struct placing *placing, uint32_t most)
{
    for (;;) {
        struct place *place;
        while ((place = placing->answered)) {
            DL_DELETE(placing->answered, place);
            take_answer(placing, place);
        }
        if (placing->open <= most)
            return;
        sc_store_dispatch(placing->store, -1);
    }
}

void placing_add(struct placing *placing, struct sc_slice name, const struct sc_artifact *artifact,
                 struct sc_slice from, bool ask)
{
    wait(placing, AT_ONCE - 1);
    if (placing->rc != SC_OK)
        return;
    struct place *place = sc_calloc(1, sizeof *place);
    place->placing = placing;
    place->artifact = *artifact;
    sc_buf_init(&place->name, SC_LIMIT_PATH_BYTES);
    sc_buf_init(&place->from, SC_LIMIT_PATH_BYTES);
    sc_buf_init(&place->body, 0);
    sc_buf_add_slice(&place->name, name);
    sc_buf_add_slice(&place->from, from);
    placing->open++;
    if (ask)
        submit(place, SC_STORE_HEAD);
    else
        write(place);
}

enum sc_rc placing_finish(struct placing *placing, uint64_t *ret_written, struct sc_error *err)
{
    wait(placing, 0);
    enum sc_rc rc = placing->rc;
    if (rc != SC_OK && err)
        *err = placing->err;
    *ret_written = placing->written;
    free(placing);
    return rc;
}
