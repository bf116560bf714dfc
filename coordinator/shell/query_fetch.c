// Reading many objects, several at once, for queries.
#include "coordinator/shell/query_parts.h"

#include "base/memory.h"

enum { FETCHES_AT_ONCE = 32 };

struct fetch {
    struct sc_store_op op;
    struct query_fetches *fetches;
    struct sc_buf name;
    int64_t mtime_ms;
    const void *tag;
};

static void fetched(struct sc_store_op *op)
{
    struct fetch *fetch = op->context;
    struct query_fetches *f = fetch->fetches;
    struct query_fetched got = {.name = sc_buf_slice(&fetch->name),
                                .mtime_ms = fetch->mtime_ms,
                                .tag = fetch->tag,
                                .rc = op->rc,
                                .story = &op->err,
                                .body = sc_buf_slice(&op->data)};
    if (f->rc == SC_OK)
        f->rc = f->visit(f->context, &got, &f->err);
    f->open--;
    sc_store_op_done(op);
    sc_buf_done(&fetch->name);
    free(fetch);
}

static enum sc_rc wait(struct query_fetches *f, uint32_t most)
{
    while (f->open > most)
        sc_store_dispatch(f->queries->store, -1);
    return f->rc;
}

enum sc_rc query_fetch(struct query_fetches *f, struct sc_slice name, int64_t mtime_ms, const void *tag)
{
    enum sc_rc rc = wait(f, FETCHES_AT_ONCE - 1);
    if (rc != SC_OK)
        return rc;
    struct fetch *fetch = sc_calloc(1, sizeof *fetch);
    fetch->fetches = f;
    fetch->mtime_ms = mtime_ms;
    fetch->tag = tag;
    sc_buf_init(&fetch->name, 0);
    sc_buf_add_slice(&fetch->name, name);
    sc_store_op_init(&fetch->op, SC_STORE_GET, sc_buf_slice(&fetch->name));
    fetch->op.max_bytes = f->max_bytes;
    fetch->op.done = fetched;
    fetch->op.context = fetch;
    f->open++;
    sc_store_submit(f->queries->store, &fetch->op);
    return SC_OK;
}

enum sc_rc query_fetch_end(struct query_fetches *f, struct sc_error *err)
{
    enum sc_rc rc = wait(f, 0);
    if (rc != SC_OK && err)
        *err = f->err;
    return rc;
}
