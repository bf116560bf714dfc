#include "agent/shell/workplace.h"

#include "agent/shell/keeper.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LABEL_BYTES = 16 << 10 };

enum sc_rc sc_workplace_open(const char *root, struct sc_workplace *ret_place, struct sc_error *err)
{
    struct sc_workplace place = {.lock_fd = -1};
    enum sc_rc rc = sc_dir_make(root, 0700, err);
    if (rc != SC_OK)
        return rc;
    char *real = realpath(root, NULL); // what the runner binds and hides must be no link
    if (!real)
        return sc_error_errno(err, errno, "the work folder %s", root);
    place.root = real;
    SC_AUTO_FREE char *lock = sc_asprintf("%s/agent.lock", real);
    rc = sc_file_lock(lock, &place.lock_fd, err);
    if (rc == SC_BUSY) {
        rc = sc_error_wrap(err, rc, "another agent works in %s", real);
        sc_error_hint(err, "stop that agent, or give this one another `work` folder");
    }
    struct {
        char **path;
        const char *name;
    } const folders[] = {{&place.steps, "steps"},
                         {&place.inputs, "inputs"},
                         {&place.taken, "taken"},
                         {&place.logs, "logs"},
                         {&place.layout, "layout"}};
    for (size_t i = 0; i < SC_COUNT(folders); i++) {
        *folders[i].path = sc_asprintf("%s/%s", real, folders[i].name);
        if (rc == SC_OK)
            rc = sc_dir_make(*folders[i].path, 0700, err);
    }
    place.probe = sc_asprintf("%s/probe", real);
    place.classes = sc_asprintf("%s/classes", real);
    place.sources = sc_asprintf("%s/sources", real);
    place.pinned = sc_asprintf("%s/pinned", real);
    if (rc != SC_OK) {
        sc_workplace_close(&place);
        return rc;
    }
    *ret_place = place;
    return SC_OK;
}

void sc_workplace_close(struct sc_workplace *place)
{
    char *paths[] = {place->root,   place->steps, place->inputs,  place->taken,   place->logs,
                     place->layout, place->probe, place->classes, place->sources, place->pinned};
    for (size_t i = 0; i < SC_COUNT(paths); i++)
        free(paths[i]);
    if (place->lock_fd >= 0)
        sc_fd_close(place->lock_fd);
    *place = (struct sc_workplace){.lock_fd = -1};
}

static enum sc_rc names_in(const char *folder, struct sc_arena *arena, struct sc_slice **ret_names,
                           size_t *ret_count, struct sc_error *err)
{
    SC_AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sc_error_errno(err, errno, "open %s", folder);
    return sc_dir_names(fd, arena, ret_names, ret_count, err);
}

// The label beside a spool says whose it is; a spool without one is nobody's.
static enum sc_rc save_log(const struct sc_workplace *place, struct sc_store *store, struct sc_slice domain,
                           const char *name, struct sc_error *err)
{
    const char *dot = strrchr(name, '.');
    SC_AUTO_BUF struct sc_buf label;
    sc_buf_init(&label, LABEL_BYTES + 65536);
    SC_AUTO_FREE char *label_path = sc_asprintf("%s/%.*s.label", place->logs, (int)(dot - name), name);
    SC_AUTO_FREE char *path = sc_asprintf("%s/%s", place->logs, name);
    if (sc_file_read(label_path, LABEL_BYTES, &label, NULL) != SC_OK)
        return SC_OK;
    enum sc_stream stream = strcmp(dot, ".stdout") == 0 ? SC_STREAM_STDOUT : SC_STREAM_STDERR;
    return sc_keeper_put(store, domain, sc_buf_slice(&label), stream, path, sc_slice(NULL, 0), err);
}

static enum sc_rc save_logs(const struct sc_workplace *place, struct sc_store *store, struct sc_slice domain,
                            struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *names;
    size_t count;
    bool put = false;
    enum sc_rc rc = names_in(place->logs, &arena, &names, &count, err);
    for (size_t i = 0; rc == SC_OK && i < count; i++) {
        const char *name = (const char *)names[i].ptr, *dot = strrchr(name, '.');
        if (!dot || (strcmp(dot, ".stdout") != 0 && strcmp(dot, ".stderr") != 0))
            continue;
        struct sc_error why = SC_ERROR_INIT;
        if (save_log(place, store, domain, name, &why) == SC_OK)
            put = true;
        else
            sc_log(SC_LOG_WARN, "ignoring a log of an earlier life: %s", why.message);
    }
    if (rc == SC_OK && put) {
        struct sc_store_op op;
        sc_store_op_init(&op, SC_STORE_SYNC, sc_slice(NULL, 0));
        rc = sc_store_wait(store, &op);
        if (rc != SC_OK && err)
            *err = op.err;
        sc_store_op_done(&op);
    }
    return rc;
}

static enum sc_rc empty_folder(const char *folder, uint32_t *found, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *names;
    size_t count;
    enum sc_rc rc = names_in(folder, &arena, &names, &count, err);
    for (size_t i = 0; rc == SC_OK && i < count; i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/" SC_SLICE_FMT, folder, SC_SLICE_ARG(names[i]));
        rc = sc_dir_remove(path, err);
        *found += 1;
    }
    return rc;
}

enum sc_rc sc_workplace_clear(const struct sc_workplace *place, struct sc_store *store,
                              struct sc_slice domain, uint32_t *ret_found, struct sc_error *err)
{
    uint32_t found = 0, others = 0;
    enum sc_rc rc = save_logs(place, store, domain, err);
    if (rc == SC_OK)
        rc = empty_folder(place->steps, &found, err);
    const char *const rest[] = {place->inputs, place->taken, place->logs};
    for (size_t i = 0; rc == SC_OK && i < SC_COUNT(rest); i++)
        rc = empty_folder(rest[i], &others, err);
    if (rc == SC_OK)
        rc = sc_dir_remove(place->probe, err);
    if (rc == SC_OK)
        rc = sc_dir_remove(place->sources, err);
    if (rc == SC_OK)
        *ret_found = found;
    return rc;
}
