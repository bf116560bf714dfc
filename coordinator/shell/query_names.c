// Walking over the names of the store, for queries.
#include "coordinator/shell/query_parts.h"

#include "base/memory.h"

enum { LIST_NAMES = 1000 };

enum sc_rc query_each_page(struct sc_queries *queries, struct sc_slice prefix, query_page_fn visit,
                           void *context, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf after;
    sc_buf_init(&after, 0);
    for (;;) {
        struct sc_store_op op;
        sc_store_op_init(&op, SC_STORE_LIST, prefix);
        op.after = sc_buf_slice(&after);
        op.max_entries = LIST_NAMES;
        enum sc_rc rc = sc_store_wait(queries->store, &op);
        if (rc != SC_OK && err)
            *err = op.err;
        uint32_t count = op.entry_count;
        if (rc == SC_OK && count)
            rc = sc_mailbox_closed(queries->box) ? sc_error_set(err, SC_CANCELLED, "the coordinator stops")
                                                 : visit(context, &op, err);
        sc_buf_clear(&after);
        if (count)
            sc_buf_add_slice(&after, op.entries[count - 1].name);
        sc_store_op_done(&op);
        if (rc != SC_OK || count < LIST_NAMES)
            return rc;
    }
}

struct each_name {
    struct sc_queries *queries;
    query_name_fn visit;
    void *context;
};

static enum sc_rc visit_names(void *context, const struct sc_store_op *list, struct sc_error *err)
{
    const struct each_name *each = context;
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < list->entry_count && rc == SC_OK; i++)
        rc = sc_mailbox_closed(each->queries->box) ? sc_error_set(err, SC_CANCELLED, "the coordinator stops")
                                                   : each->visit(each->context, list->entries[i].name, err);
    return rc;
}

enum sc_rc query_each_name(struct sc_queries *queries, struct sc_slice prefix, query_name_fn visit,
                           void *context, struct sc_error *err)
{
    struct each_name each = {queries, visit, context};
    return query_each_page(queries, prefix, visit_names, &each, err);
}

bool query_name_digest(struct sc_slice name, struct sc_digest *ret_digest)
{
    return name.len >= 64 && sc_digest_parse(sc_slice_from(name, name.len - 64), ret_digest);
}
