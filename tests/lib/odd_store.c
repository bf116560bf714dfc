#include "tests/lib/odd_store.h"

#include "base/memory.h"

static struct odd_store *odd_of(struct sc_store *store)
{
    return (struct odd_store *)store->backend;
}

static void odd_submit(struct sc_store *store, struct sc_store_op *op)
{
    struct odd_store *odd = odd_of(store);
    SC_ASSERT(odd->pending_count < ODD_PENDING);
    for (uint32_t i = 0; i < odd->pending_count; i++)
        odd->clashed |= sc_slice_eq(odd->pending[i]->name, op->name);
    odd->pending[odd->pending_count++] = op;
    if (odd->pending_count > odd->pending_most)
        odd->pending_most = odd->pending_count;
}

static const char *verb(const struct sc_store_op *op)
{
    return op->kind == SC_STORE_PUT    ? "put"
           : op->kind == SC_STORE_GET  ? "get"
           : op->kind == SC_STORE_HEAD ? "head"
           : op->kind == SC_STORE_SYNC ? "sync"
                                       : "other";
}

static bool is_refused(struct odd_store *odd, const struct sc_store_op *op)
{
    if (odd->refuse_count == 0 || (op->kind != SC_STORE_PUT && op->kind != SC_STORE_GET) ||
        !memmem(op->name.ptr, op->name.len, odd->refused, strlen(odd->refused)))
        return false;
    odd->refuse_count--;
    return true;
}

static uint32_t odd_dispatch(struct sc_store *store, int wait_ms)
{
    struct odd_store *odd = odd_of(store);
    if (odd->before)
        odd->before(odd);
    if (odd->pending_count == 0)
        return 0;
    struct sc_store_op *op = odd->pending[--odd->pending_count];
    SC_ASSERT(odd->log_count < ODD_LOGGED);
    odd->log[odd->log_count++] = sc_asprintf("%s " SC_SLICE_FMT, verb(op), SC_SLICE_ARG(op->name));
    if (is_refused(odd, op)) {
        op->rc = sc_error_set(&op->err, odd->refuse_rc, "refused");
        op->done(op);
        return 1;
    }
    op->archived =
        odd->archived && op->kind == SC_STORE_HEAD && memmem(op->name.ptr, op->name.len, "/cas/", 5);
    odd->real->submit(store, op);
    return odd->real->dispatch(store, wait_ms);
}

static bool no_path(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path)
{
    (void)store, (void)name, (void)ret_path;
    return false;
}

static const char *no_root(const struct sc_store *store)
{
    (void)store;
    return NULL;
}

void odd_store_be_elsewhere(struct sc_store_backend *backend)
{
    backend->local_path = no_path;
    backend->local_root = no_root;
}

void odd_store_init(struct odd_store *odd, struct sc_store *store)
{
    *odd = (struct odd_store){.real = store->backend, .backend = *store->backend};
    odd->backend.submit = odd_submit;
    odd->backend.dispatch = odd_dispatch;
    odd_store_be_elsewhere(&odd->backend);
    store->backend = &odd->backend;
}

void odd_store_done(struct odd_store *odd)
{
    for (uint32_t i = 0; i < odd->log_count; i++)
        free(odd->log[i]);
}

void odd_store_refuse(struct odd_store *odd, const struct sc_digest *digest, enum sc_rc rc, uint32_t count)
{
    _Static_assert(sizeof odd->refused >= SC_DIGEST_HEX_BYTES, "a digest fits");
    sc_digest_hex(digest, odd->refused);
    odd->refuse_rc = rc;
    odd->refuse_count = count;
}

uint32_t odd_store_count(const struct odd_store *odd, const char *start)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < odd->log_count; i++)
        count += strncmp(odd->log[i], start, strlen(start)) == 0;
    return count;
}
