#include "agent/shell/worker.h"

#include "base/memory.h"
#include "base/os/log.h"

enum { MEMO_ENTRIES = 200000 };

enum sc_rc sc_worker_open(const struct sc_worker_config *config, struct sc_slice domain, uint32_t index,
                          struct sc_worker *ret_worker, struct sc_error *err)
{
    struct sc_worker worker = {.config = config, .domain = domain, .index = index};
    enum sc_rc rc = sc_store_open(config->store_url, &worker.store, err);
    if (rc != SC_OK)
        return rc;
    worker.memo_path = sc_asprintf("%s/memo-%u", config->place->root, index);
    worker.memo = sc_memo_open(worker.memo_path, MEMO_ENTRIES);
    struct sc_objects_config objects = {.store = worker.store,
                                        .domain = domain,
                                        .memo = worker.memo,
                                        .layout_folder = config->place->layout,
                                        .layout_max_bytes = config->layout_max_bytes};
    rc = sc_objects_new(&objects, &worker.objects, err);
    if (rc != SC_OK) {
        sc_worker_close(&worker);
        return rc;
    }
    *ret_worker = worker;
    return SC_OK;
}

void sc_worker_close(struct sc_worker *worker)
{
    struct sc_error err = SC_ERROR_INIT;
    if (worker->memo && sc_memo_save(worker->memo, &err) != SC_OK)
        sc_log(SC_LOG_WARN, "ignoring that the memo was not saved: %s", err.message);
    sc_objects_free(worker->objects);
    sc_memo_close(worker->memo);
    sc_store_close(worker->bucket);
    sc_store_close(worker->store);
    free(worker->memo_path);
    *worker = (struct sc_worker){0};
}

void sc_worker_heavy(struct sc_worker *worker)
{
    if (worker->heavy)
        worker->heavy(worker->heavy_context);
}
