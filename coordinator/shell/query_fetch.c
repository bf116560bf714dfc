// Reading many objects, several at once, for queries.
#include "coordinator/shell/query_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/names.h"

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

static enum sc_rc read_page(void *context, const struct sc_store_op *list, struct sc_error *err)
{
    struct query_fetches *f = context;
    enum sc_rc rc = f->page ? f->page(f->page_context, err) : SC_OK;
    for (uint32_t i = 0; i < list->entry_count && rc == SC_OK; i++)
        rc = query_fetch(f, list->entries[i].name, list->entries[i].mtime_ms, NULL);
    enum sc_rc ended = query_fetch_end(f, f->rc != SC_OK ? err : NULL);
    return rc == SC_OK ? ended : rc;
}

enum sc_rc query_read_all(struct query_fetches *f, struct sc_slice prefix, struct sc_error *err)
{
    return query_each_page(f->queries, prefix, read_page, f, err);
}

// ---- records

static enum sc_rc visit_record(void *context, const struct query_fetched *got, struct sc_error *err)
{
    struct query_records *records = context;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct query_read_record read = {
        .name = got->name, .bytes = got->body, .rc = got->rc, .story = *got->story, .arena = &arena};
    SC_ASSERT(query_name_digest(got->name, &read.key));
    if (read.rc == SC_OK)
        read.rc = sc_record_decode(got->body, records->queries->config.domain, &read.key, &arena,
                                   &read.record, &read.story);
    return records->visit(records->context, &read, err);
}

struct record_names {
    struct query_records *records;
    struct query_fetches fetches;
};

static enum sc_rc fetch_records(void *context, const struct sc_store_op *list, struct sc_error *err)
{
    struct record_names *names = context;
    struct query_records *records = names->records;
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < list->entry_count && rc == SC_OK; i++) {
        struct sc_digest key;
        if (records->seen++ % records->sample != 0)
            continue;
        if (query_name_digest(list->entries[i].name, &key))
            rc = query_fetch(&names->fetches, list->entries[i].name, list->entries[i].mtime_ms, NULL);
        else
            records->strange++;
    }
    enum sc_rc ended = query_fetch_end(&names->fetches, names->fetches.rc != SC_OK ? err : NULL);
    return rc == SC_OK ? ended : rc;
}

enum sc_rc query_each_record(struct query_records *records, struct sc_error *err)
{
    struct record_names names = {.records = records,
                                 .fetches = {.queries = records->queries,
                                             .max_bytes = SC_LIMIT_RECORD_BYTES,
                                             .visit = visit_record,
                                             .context = records}};
    SC_AUTO_BUF struct sc_buf prefix;
    sc_buf_init(&prefix, 0);
    sc_name_key_prefix(&prefix, records->queries->config.domain);
    return query_each_page(records->queries, sc_buf_slice(&prefix), fetch_records, &names, err);
}
