// Open runs as objects of the store, below open/: put when a run is accepted, removed when it has closed.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/names.h"

// A submit with all its options fits a message, and what else stands there is small.
enum { OPEN_RUN_BYTES = 2 * SC_LIMIT_MESSAGE_USER_BYTES, LIST_NAMES = 1000 };

static enum sc_rc put(struct sc_objects *objects, struct sc_store *store, const struct sc_open_run *open,
                      struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf name, bytes;
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    sc_buf_init(&bytes, OPEN_RUN_BYTES);
    sc_name_open(&name, open->domain, open->coordinator, open->run);
    sc_open_run_encode(open, &bytes);
    if (bytes.overflow)
        return sc_error_set(err, SC_LIMIT, "the options of run " SC_SLICE_FMT " are too large",
                            SC_SLICE_ARG(open->run));
    enum sc_rc rc = storage_put_named(store, sc_buf_slice(&name), sc_buf_slice(&bytes), err);
    return rc == SC_OK ? sc_objects_sync(objects, err) : rc;
}

enum sc_rc storage_put_open_run(struct storage_reader *reader, const struct sc_open_run *open,
                                struct sc_error *err)
{
    enum sc_rc rc = put(reader->objects, reader->store, open, err);
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "the run is not begun: store what it needs");
}

enum sc_rc storage_get_open_run(struct sc_store *store, struct sc_slice name, struct sc_arena *arena,
                                struct sc_open_run *ret_open, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, OPEN_RUN_BYTES);
    enum sc_rc rc = storage_get_named(store, name, OPEN_RUN_BYTES, &bytes, err);
    return rc == SC_OK
               ? sc_open_run_decode(sc_arena_copy(arena, sc_buf_slice(&bytes)), name, arena, ret_open, err)
               : rc;
}

enum sc_rc storage_end_open_run(struct storage_writer *writer, const struct sc_job *job, struct sc_error *err)
{
    const struct sc_storage_config *config = &writer->storage->config;
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    sc_name_open(&name, config->domain, config->name, job->u.open_run.run);
    if (!job->u.open_run.cancelled)
        return storage_remove_named(writer->store, sc_buf_slice(&name), err);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_open_run open;
    enum sc_rc rc = storage_get_open_run(writer->store, sc_buf_slice(&name), &arena, &open, err);
    if (rc != SC_OK)
        return rc == SC_NOT_FOUND ? SC_OK : rc;
    open.cancelled = true;
    return put(writer->objects, writer->store, &open, err);
}

enum sc_rc storage_list_open_runs(struct sc_storage *storage, struct sc_arena *arena,
                                  struct storage_names *names, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf prefix;
    sc_buf_init(&prefix, SC_LIMIT_PATH_BYTES);
    sc_name_open_prefix(&prefix, storage->config.domain, storage->config.name);
    struct sc_slice after = {NULL, 0};
    for (uint32_t got = LIST_NAMES; got == LIST_NAMES;) {
        struct sc_store_op op;
        sc_store_op_init(&op, SC_STORE_LIST, sc_buf_slice(&prefix));
        op.after = after;
        op.max_entries = LIST_NAMES;
        enum sc_rc rc = sc_store_wait(storage->reader.store, &op);
        if (rc != SC_OK && err)
            *err = op.err;
        got = rc == SC_OK ? op.entry_count : 0;
        if (names->count + got > names->room) {
            names->room = (names->count + got) * 2;
            names->items = sc_realloc(names->items, names->room, sizeof *names->items);
        }
        for (uint32_t i = 0; i < got; i++)
            if (op.entries[i].name.len > prefix.len) // else a folder's marker, as some tools of S3 leave them
                names->items[names->count++] = after = sc_arena_copy(arena, op.entries[i].name);
        sc_store_op_done(&op);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}
