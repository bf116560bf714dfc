// Takes up what open runs lie in the store, for a coordinator whose disk is lost: once, at its start.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/log.h"
#include "store/names.h"

// Its summary is what a run leaves last.
static bool has_closed(struct sc_storage *storage, const struct sc_open_run *open, const struct sc_plan *plan)
{
    SC_AUTO_BUF struct sc_buf name;
    uint64_t bytes;
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    sc_name_run(&name, storage->config.domain, plan->namespace_, open->run, sc_slice_str("summary"));
    return storage_has_named(storage->reader.store, sc_buf_slice(&name), &bytes);
}

static enum sc_rc look_at(struct sc_storage *storage, struct sc_slice name,
                          const struct sc_open_visitor *visitor, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_open_run open;
    struct sc_loaded_plan *plan = NULL;
    enum sc_open_known known = SC_OPEN_UNKNOWN;
    enum sc_rc rc = storage_get_open_run(storage->reader.store, name, &arena, &open, err);
    if (rc == SC_OK)
        rc = visitor->known(visitor->context, open.run, &known, err);
    if (rc == SC_OK && known == SC_OPEN_OWN)
        return SC_OK;
    if (rc == SC_OK && known == SC_OPEN_UNKNOWN)
        rc = storage_load_plan(&storage->reader, &open.plan, &plan, err);
    if (rc != SC_OK) {
        sc_error_wrap(err, rc, "open run " SC_SLICE_FMT, SC_SLICE_ARG(name));
        return rc;
    }
    if (known == SC_OPEN_CLOSED || has_closed(storage, &open, plan->plan)) {
        sc_log(SC_LOG_INFO,
               "part=store run=" SC_SLICE_FMT " has ended: what lay in the store to go on with it is removed",
               SC_SLICE_ARG(open.run));
        sc_loaded_plan_free(plan);
        return storage_remove_named(storage->reader.store, name, err);
    }
    visitor->take(visitor->context, &open, plan);
    return SC_OK;
}

enum sc_rc sc_storage_open_runs(struct sc_storage *storage, const struct sc_open_visitor *visitor,
                                struct sc_error *err)
{
    SC_ASSERT(!storage->started);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct storage_names names = {0};
    enum sc_rc rc = storage_list_open_runs(storage, &arena, &names, err);
    for (uint32_t i = 0; rc == SC_OK && i < names.count; i++) {
        struct sc_error own = SC_ERROR_INIT;
        rc = look_at(storage, names.items[i], visitor, &own);
        // What passes is worth another start; the rest would stand in the way for ever.
        if (rc != SC_OK && storage_may_pass(rc, own.sys_errno)) {
            *err = own;
        } else if (rc != SC_OK) {
            sc_log(SC_LOG_WARN, "part=store left alone, and not taken up: %s", own.message);
            rc = SC_OK;
        }
    }
    free(names.items);
    return rc;
}
