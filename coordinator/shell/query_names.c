// Walking over the names of the store, for queries.
#include "coordinator/shell/query_parts.h"

#include "base/memory.h"

enum { LIST_NAMES = 1000 };

enum sc_rc query_each_name(struct sc_queries *queries, struct sc_slice prefix, query_name_fn visit,
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
        for (uint32_t i = 0; i < count && rc == SC_OK; i++)
            rc = sc_mailbox_closed(queries->box) ? sc_error_set(err, SC_CANCELLED, "the coordinator stops")
                                                 : visit(context, op.entries[i].name, err);
        SC_AUTO_BUF struct sc_buf last;
        sc_buf_init(&last, 0);
        if (count)
            sc_buf_add_slice(&last, op.entries[count - 1].name);
        sc_store_op_done(&op);
        if (rc != SC_OK || count < LIST_NAMES)
            return rc;
        sc_buf_clear(&after);
        sc_buf_add_slice(&after, sc_buf_slice(&last));
    }
}

bool query_name_digest(struct sc_slice name, struct sc_digest *ret_digest)
{
    return name.len >= 64 && sc_digest_parse(sc_slice_from(name, name.len - 64), ret_digest);
}
