// What a back end of the store gives: a table of functions, and a handle that starts with struct sc_store. Only
// store.c, open.c and the back ends include this.
#pragma once

#include "store/store.h"

struct sc_store_backend {
    void (*close)(struct sc_store *store);
    void (*submit)(struct sc_store *store, struct sc_store_op *op);
    uint32_t (*dispatch)(struct sc_store *store, int wait_ms);
    bool (*local_path)(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path);
    const char *(*local_root)(const struct sc_store *store);
};

struct sc_store {
    const struct sc_store_backend *backend;
    char *url;
    struct sc_store_counts counts;
};

// The folder back end. `path` is absolute; the url is copied.
SC_MUST_USE enum sc_rc sc_store_dir_open(const char *path, const char *url, struct sc_store **ret_store,
                                         struct sc_error *err);
