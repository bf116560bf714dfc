#include "store/store.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/backend.h"

#include <stdatomic.h>

static struct {
    _Atomic uint64_t put, get, delete_;
} shared_requests;

bool sc_store_name_is_valid(struct sc_slice name)
{
    if (name.len == 0 || name.len >= SC_LIMIT_PATH_BYTES || memchr(name.ptr, 0, name.len))
        return false;
    for (size_t at = 0; at <= name.len;) {
        const uint8_t *slash = at < name.len ? memchr(name.ptr + at, '/', name.len - at) : NULL;
        size_t end = slash ? (size_t)(slash - name.ptr) : name.len, len = end - at;
        const uint8_t *part = name.ptr + at;
        if (len == 0 || len > SC_LIMIT_FILENAME_BYTES || (len == 1 && part[0] == '.') ||
            (len == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        at = end + 1;
    }
    return true;
}

// What the handle sent since the last call goes into the sum.
static void tell_requests(struct sc_store *store)
{
    struct sc_store_counts counts = sc_store_counts(store);
    atomic_fetch_add_explicit(&shared_requests.put, counts.requests_put - store->told.put,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&shared_requests.get, counts.requests_get - store->told.get,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&shared_requests.delete_, counts.requests_delete - store->told.delete_,
                              memory_order_relaxed);
    store->told =
        (struct sc_store_requests){counts.requests_put, counts.requests_get, counts.requests_delete};
}

struct sc_store_requests sc_store_requests(void)
{
    return (struct sc_store_requests){
        .put = atomic_load_explicit(&shared_requests.put, memory_order_relaxed),
        .get = atomic_load_explicit(&shared_requests.get, memory_order_relaxed),
        .delete_ = atomic_load_explicit(&shared_requests.delete_, memory_order_relaxed)};
}

void sc_store_close(struct sc_store *store)
{
    if (!store)
        return;
    tell_requests(store);
    char *url = store->url;
    store->backend->close(store);
    free(url);
}

void sc_store_op_init(struct sc_store_op *op, enum sc_store_kind kind, struct sc_slice name)
{
    *op = (struct sc_store_op){.kind = kind, .name = name, .to_fd = -1};
    sc_buf_init(&op->data, 0);
    sc_arena_init(&op->arena);
}

void sc_store_op_done(struct sc_store_op *op)
{
    if (!op)
        return;
    sc_buf_done(&op->data);
    sc_arena_done(&op->arena);
}

void sc_store_submit(struct sc_store *store, struct sc_store_op *op)
{
    op->next = NULL;
    op->rc = SC_OK;
    op->moved_bytes = 0;
    op->archived = false;
    store->backend->submit(store, op);
}

uint32_t sc_store_dispatch(struct sc_store *store, int wait_ms)
{
    uint32_t ended = store->backend->dispatch(store, wait_ms);
    if (store->backend->counts) // others send none
        tell_requests(store);
    return ended;
}

static void mark_ended(struct sc_store_op *op)
{
    op->ended = true;
}

enum sc_rc sc_store_wait(struct sc_store *store, struct sc_store_op *op)
{
    sc_store_done_fn done = op->done;
    op->done = mark_ended;
    op->ended = false;
    sc_store_submit(store, op);
    while (!op->ended)
        sc_store_dispatch(store, -1);
    op->done = done;
    if (done)
        done(op);
    return op->rc;
}

static void count_down(struct sc_store_op *op)
{
    uint32_t *under_way = op->context;
    --*under_way;
}

void sc_store_wait_all(struct sc_store *store, struct sc_store_op *ops, uint32_t count, uint32_t at_once)
{
    uint32_t under_way = 0;
    for (uint32_t i = 0; i < count; i++) {
        while (under_way >= at_once)
            sc_store_dispatch(store, -1);
        ops[i].done = count_down;
        ops[i].context = &under_way;
        under_way++;
        sc_store_submit(store, &ops[i]);
    }
    while (under_way)
        sc_store_dispatch(store, -1);
}

bool sc_store_local_path(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path)
{
    return store->backend->local_path(store, name, ret_path);
}

const char *sc_store_local_root(const struct sc_store *store)
{
    return store->backend->local_root(store);
}

const char *sc_store_url(const struct sc_store *store)
{
    return store->url;
}

bool sc_store_is_for_one_writer(const struct sc_store *store)
{
    return store->one_writer;
}

int64_t sc_store_horizon_ms(const struct sc_store *store)
{
    return store->horizon_ms;
}

const char *sc_store_server(const struct sc_store *store)
{
    return store->backend->server ? store->backend->server(store) : NULL;
}

struct sc_store_counts sc_store_counts(const struct sc_store *store)
{
    return store->backend->counts ? store->backend->counts(store) : store->counts;
}
