// What a back end of the store gives: a table of functions, and a handle that starts with struct sc_store. Only
// store.c, open.c, the back ends and tests include this.
#pragma once

#include "store/store.h"

struct sc_store_backend {
    void (*close)(struct sc_store *store);
    void (*submit)(struct sc_store *store, struct sc_store_op *op);
    uint32_t (*dispatch)(struct sc_store *store, int wait_ms);
    bool (*local_path)(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path);
    const char *(*local_root)(const struct sc_store *store);
    const char *(*server)(const struct sc_store *store);            // NULL: none
    struct sc_store_counts (*counts)(const struct sc_store *store); // NULL: those of the handle
};

struct sc_store {
    const struct sc_store_backend *backend;
    char *url;
    bool one_writer;    // its puts carry no condition
    int64_t horizon_ms; // of stepcache.json; 0 before it was read
    struct sc_store_counts counts;
    struct sc_store_requests told; // of counts: what the process's sum has
};

// Whether it is a name of an object: no part is empty, "." or "..", or longer than a file's name may be; no NUL.
bool sc_store_name_is_valid(struct sc_slice name);

// The folder back end. `path` is absolute; the url is copied.
SC_MUST_USE enum sc_rc sc_store_dir_open(const char *path, const char *url, struct sc_store **ret_store,
                                         struct sc_error *err);
typedef enum sc_rc (*sc_store_open_fn)(const char *url, struct sc_store **ret_store, struct sc_error *err);
// A back end in a module of its own (stepcache-NAME.so), which is loaded when such a store is opened: what it links is not
// paid for by those who do not use it. It exports this, under the name sc_store_module.
struct sc_store_module {
    const char *release; // SC_RELEASE: module and program belong together
    sc_store_open_fn open;
};
// SC_UNSUPPORTED when there is none, or it is of another release; it stays loaded.
SC_MUST_USE enum sc_rc sc_store_module_load(const char *name, sc_store_open_fn *ret_open,
                                            struct sc_error *err);
