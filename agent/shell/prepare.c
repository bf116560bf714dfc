// PREPARE: the work folder of a step: its code, the folders of its outputs, its inputs, and what its process will see.
#include "agent/shell/worker.h"

#include "agent/shell/command.h"
#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    PATH_BYTES = SC_LIMIT_PATH_BYTES,
};

struct preparation {
    struct sc_worker *worker;
    struct sc_agent_task *task;
    const struct sc_assignment *assignment;
    char *work;
    int work_fd;
    bool has_out; // from a step before
};

static bool fail_errno(struct preparation *p, int sys_errno, const char *what, const char *path)
{
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_error_errno(&err, sys_errno, "%s %s", what, path);
    sc_agent_task_fail(
        p->task, sc_agent_outcome_of(rc, SC_OUTCOME_INTERNAL),
        "step " SC_SLICE_FMT ": its work folder could not be made: %s%s", SC_SLICE_ARG(p->assignment->step),
        err.message, rc == SC_FULL ? "; free some space there, or give the agent another `work` folder" : "");
    return false;
}

// An object that cannot be had is lost, whatever was wrong with it; everything else is the store's failure.
static bool fail_fetch(struct preparation *p, const char *what, struct sc_slice name, enum sc_rc rc,
                       const struct sc_digest *lost, const struct sc_error *err)
{
    bool gone = rc == SC_NOT_FOUND || rc == SC_CORRUPT || rc == SC_MALFORMED || rc == SC_VERSION;
    enum sc_outcome outcome = gone ? SC_OUTCOME_INPUT_LOST : sc_agent_outcome_of(rc, SC_OUTCOME_STORE);
    if (gone)
        p->task->result.lost = *lost;
    sc_agent_task_fail(
        p->task, outcome, "step " SC_SLICE_FMT ": %s" SC_SLICE_FMT " %s: %s%s",
        SC_SLICE_ARG(p->assignment->step), what, SC_SLICE_ARG(name),
        gone ? "is not in the store any more, or not as it was" : "could not be fetched", err->message,
        outcome == SC_OUTCOME_DISK_FULL ? "; free some space for the agent's `work` folder" : "");
    return false;
}

static bool make_work_folder(struct preparation *p)
{
    const struct sc_artifact *code = &p->assignment->code;
    bool has_code = !sc_digest_is_zero(&code->digest), ready;
    p->task->folder = sc_yard_take(p->worker->config->yard, has_code, &ready);
    p->task->has_folder = true;
    p->has_out = ready;
    p->work = sc_yard_path(p->worker->config->yard, p->task->folder);
    if (has_code) {
        sc_worker_heavy(p->worker);
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc = sc_objects_extract(p->worker->objects, code, p->work, &err);
        if (rc != SC_OK)
            return fail_fetch(p, "its code", sc_slice(NULL, 0), rc, &code->digest, &err);
    } else if (!ready && mkdir(p->work, 0755)) {
        return fail_errno(p, errno, "make folder", p->work);
    }
    p->work_fd = open(p->work, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return p->work_fd >= 0 || fail_errno(p, errno, "open", p->work);
}

// Makes the folders of a path below the work folder, that of the last part too when `all`. The path came in a message:
// a part that a link of the code stands for must not lead out.
static bool make_folders(struct preparation *p, struct sc_slice path, bool all)
{
    char copy[PATH_BYTES];
    if (path.len >= sizeof copy || (path.len && memchr(path.ptr, 0, path.len)))
        return fail_errno(p, ENAMETOOLONG, "make the folder of an output below", p->work);
    memcpy(copy, path.ptr, path.len);
    copy[path.len] = 0;
    int at = openat(p->work_fd, "out", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool good = at >= 0;
    for (char *part = copy, *slash; good && *part; part = slash + 1) {
        slash = strchr(part, '/');
        if (!slash && !all)
            break;
        if (slash)
            *slash = 0;
        if (strcmp(part, "..") == 0 || strcmp(part, ".") == 0) {
            errno = EINVAL;
            good = false;
            break;
        }
        int next = -1;
        if (*part && (mkdirat(at, part, 0755) == 0 || errno == EEXIST))
            next = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(at);
        errno = saved;
        at = next;
        good = at >= 0;
        if (!slash)
            break;
    }
    int saved = errno;
    if (at >= 0)
        close(at);
    SC_AUTO_FREE char *shown = sc_asprintf("%s/out/" SC_SLICE_FMT, p->work, SC_SLICE_ARG(path));
    return good || fail_errno(p, saved, "make the folder of output", shown);
}

static bool make_out(struct preparation *p)
{
    if (!p->has_out && mkdirat(p->work_fd, "out", 0755) && errno != EEXIST)
        return fail_errno(p, errno, "make folder out in", p->work);
    for (uint32_t i = 0; i < p->assignment->outputs.count; i++) {
        const struct sc_assigned_output *output = &p->assignment->outputs.items[i];
        bool nested = memchr(output->path.ptr, '/', output->path.len) != NULL;
        if ((nested || output->dir) && !make_folders(p, output->path, output->dir))
            return false;
    }
    return true;
}

// ---- inputs

static void pin(struct preparation *p, const struct sc_artifact *artifact)
{
    struct sc_pins *pins = p->task->pins;
    if (!pins) {
        pins = p->task->pins = sc_calloc(1, sizeof *pins);
        pins->job.kind = SC_JOB_UNPIN;
        pins->worker = p->worker->index;
        sc_arena_init(&pins->arena);
    }
    struct sc_pin *pinned = SC_NEW(&pins->arena, struct sc_pin);
    pinned->artifact =
        (struct sc_artifact){.kind = artifact->kind, .exec = artifact->exec, .digest = artifact->digest};
    pinned->next = pins->first;
    pins->first = pinned;
}

// Bytes that came with the assignment: a file of this attempt's own.
static enum sc_rc write_inline(const struct sc_artifact *artifact, const char *path, struct sc_error *err)
{
    struct sc_digest digest = sc_digest_of(artifact->inline_bytes);
    if (!sc_digest_eq(&digest, &artifact->digest))
        return sc_error_set(err, SC_CORRUPT, "its bytes are not those of its digest");
    SC_AUTO_CLOSE int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, artifact->exec ? 0555 : 0444);
    if (fd < 0)
        return sc_error_errno(err, errno, "create %s", path);
    return sc_fd_write_all(fd, artifact->inline_bytes, err);
}

static enum sc_rc copy_to(struct preparation *p, const struct sc_artifact *artifact, const char *path,
                          struct sc_digest *ret_lost, struct sc_error *err)
{
    *ret_lost = artifact->digest;
    return artifact->has_inline ? write_inline(artifact, path, err)
                                : sc_objects_extract(p->worker->objects, artifact, path, err);
}

static const char *inputs_folder(struct preparation *p, struct sc_error *err)
{
    char *folder =
        (char *)(uintptr_t)sc_arena_printf(&p->task->arena, "%s/%llu", p->worker->config->place->inputs,
                                           (unsigned long long)p->task->attempt)
            .ptr;
    p->task->has_inputs_folder = true;
    if (mkdir(folder, 0700) == 0 || errno == EEXIST)
        return folder;
    (void)sc_error_errno(err, errno, "make folder %s", folder);
    return NULL;
}

// Where an artifact lies on this machine, to be bound; kept until the attempt is cleaned up.
static enum sc_rc locate(struct preparation *p, const struct sc_artifact *artifact, uint32_t index,
                         struct sc_slice *ret_path, struct sc_digest *ret_lost, struct sc_error *err)
{
    *ret_lost = artifact->digest;
    if (artifact->has_inline) {
        const char *folder = inputs_folder(p, err);
        if (!folder)
            return err->rc;
        struct sc_slice path = sc_arena_printf(&p->task->arena, "%s/%u", folder, index);
        enum sc_rc rc = write_inline(artifact, (const char *)path.ptr, err);
        if (rc == SC_OK)
            *ret_path = path;
        return rc;
    }
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, PATH_BYTES);
    sc_worker_heavy(p->worker);
    enum sc_rc rc = sc_objects_local(p->worker->objects, artifact, &path, NULL, err);
    if (rc != SC_OK)
        return rc;
    pin(p, artifact);
    *ret_path = sc_arena_copy(&p->task->arena, sc_buf_slice(&path));
    return SC_OK;
}

static bool is_plain_name(struct sc_slice name)
{
    return name.len > 0 && name.len <= SC_LIMIT_FILENAME_BYTES && !memchr(name.ptr, '/', name.len) &&
           !memchr(name.ptr, 0, name.len) && !sc_slice_eq_str(name, ".") && !sc_slice_eq_str(name, "..");
}

// All entries came with the assignment: a folder of this attempt's own.
static enum sc_rc write_entries(struct preparation *p, const struct sc_assigned_input *input,
                                const char *folder, struct sc_digest *ret_lost, struct sc_error *err)
{
    if (mkdir(folder, 0755))
        return sc_error_errno(err, errno, "make folder %s", folder);
    for (uint32_t i = 0; i < input->entries.count; i++) {
        const struct sc_named_artifact *entry = &input->entries.items[i];
        if (!is_plain_name(entry->name))
            return sc_error_set(err, SC_INVALID, "entry " SC_SLICE_FMT " has a name that no file can have",
                                SC_SLICE_ARG(entry->name));
        SC_AUTO_FREE char *path = sc_asprintf("%s/" SC_SLICE_FMT, folder, SC_SLICE_ARG(entry->name));
        enum sc_rc rc = copy_to(p, &entry->artifact, path, ret_lost, err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

// Entries in the store are laid out once for all steps that take the same. Those that came along are put there first, and
// made durable, since a layout names objects.
static enum sc_rc locate_fan_in(struct preparation *p, const struct sc_assigned_input *input, uint32_t index,
                                struct sc_slice *ret_path, struct sc_digest *ret_lost, struct sc_error *err)
{
    uint32_t count = input->entries.count, own = 0;
    for (uint32_t i = 0; i < count; i++)
        own += input->entries.items[i].artifact.has_inline;
    if (own == count) {
        const char *folder = inputs_folder(p, err);
        if (!folder)
            return err->rc;
        struct sc_slice path = sc_arena_printf(&p->task->arena, "%s/%u", folder, index);
        enum sc_rc rc = write_entries(p, input, (const char *)path.ptr, ret_lost, err);
        if (rc == SC_OK)
            *ret_path = path;
        return rc;
    }
    sc_worker_heavy(p->worker);
    struct sc_fan_in_entry *entries = SC_NEW_ARRAY(&p->task->arena, count, struct sc_fan_in_entry);
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_named_artifact *entry = &input->entries.items[i];
        entries[i] = (struct sc_fan_in_entry){entry->name, entry->artifact};
        if (!entry->artifact.has_inline)
            continue;
        struct sc_digest digest;
        rc = sc_objects_put_bytes(p->worker->objects, entry->artifact.inline_bytes, false, &digest, err);
        if (rc != SC_OK)
            return rc;
    }
    if (own)
        rc = sc_objects_sync(p->worker->objects, err);
    SC_AUTO_BUF struct sc_buf path;
    sc_buf_init(&path, PATH_BYTES);
    if (rc == SC_OK)
        rc = sc_objects_local_fan_in(p->worker->objects, entries, count, &path, ret_lost, err);
    if (rc != SC_OK)
        return rc;
    struct sc_artifact artifact = sc_fan_in_artifact(entries, count);
    pin(p, &artifact);
    *ret_path = sc_arena_copy(&p->task->arena, sc_buf_slice(&path));
    return SC_OK;
}

// Without namespaces nothing can be bound: the step gets bytes of its own.
static enum sc_rc copy_input(struct preparation *p, const struct sc_assigned_input *input,
                             struct sc_slice name, struct sc_digest *ret_lost, struct sc_error *err)
{
    if (mkdirat(p->work_fd, "in", 0755) && errno != EEXIST)
        return sc_error_errno(err, errno, "make folder in");
    SC_AUTO_FREE char *path = sc_asprintf("%s/in/" SC_SLICE_FMT, p->work, SC_SLICE_ARG(name));
    return input->kind == SC_INPUT_FAN_IN ? write_entries(p, input, path, ret_lost, err)
                                          : copy_to(p, &input->artifact, path, ret_lost, err);
}

static bool make_inputs(struct preparation *p)
{
    struct sc_launch *launch = &p->task->launch;
    uint32_t count = p->assignment->inputs.count;
    launch->inputs.items = count ? SC_NEW_ARRAY(&p->task->arena, count, struct sc_runner_input) : NULL;
    launch->inputs.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_assigned_input *input = &p->assignment->inputs.items[i];
        if (input->kind == SC_INPUT_VALUE)
            continue;
        struct sc_error err = SC_ERROR_INIT;
        struct sc_digest lost = {0};
        struct sc_slice path = {0}, name = sc_command_input_name(input, &p->task->arena);
        enum sc_rc rc = SC_OK;
        if (!is_plain_name(name))
            rc = sc_error_set(&err, SC_INVALID, "no file can have this name");
        else if (!p->worker->config->binds_inputs)
            rc = copy_input(p, input, name, &lost, &err);
        else if (input->kind == SC_INPUT_FAN_IN)
            rc = locate_fan_in(p, input, i, &path, &lost, &err);
        else
            rc = locate(p, &input->artifact, i, &path, &lost, &err);
        if (rc != SC_OK)
            return fail_fetch(p, "input ", input->name, rc, &lost, &err);
        if (path.len)
            launch->inputs.items[launch->inputs.count++] = (struct sc_runner_input){name, path};
    }
    return true;
}

static bool make_command(struct preparation *p)
{
    struct sc_launch *launch = &p->task->launch;
    const struct sc_worker_config *config = p->worker->config;
    struct sc_command_view view = {.work = config->binds_inputs ? sc_slice_str(SC_RUNNER_WORK_PATH)
                                                                : sc_slice_str(p->work),
                                   .path = config->path};
    struct sc_error err = SC_ERROR_INIT;
    launch->task = p->task->attempt;
    launch->work = sc_arena_copy(&p->task->arena, sc_slice_str(p->work));
    launch->limits.cpus_milli = p->assignment->cpus_milli;
    launch->limits.memory_bytes = p->assignment->memory_bytes;
    if (sc_command_build(p->assignment, &view, &p->task->arena, launch, &err) == SC_OK)
        return true;
    sc_agent_task_fail(p->task, SC_OUTCOME_START, "step " SC_SLICE_FMT ": %s",
                       SC_SLICE_ARG(p->assignment->step), err.message);
    return false;
}

void sc_worker_prepare(struct sc_worker *worker, struct sc_agent_task *task)
{
    struct sc_store_counts before = sc_store_counts(worker->store);
    struct preparation p = {.worker = worker, .task = task, .assignment = task->assignment, .work_fd = -1};
    if (task->outcome == SC_OUTCOME_OK && make_work_folder(&p) && make_out(&p) && make_inputs(&p))
        make_command(&p);
    if (p.work_fd >= 0)
        close(p.work_fd);
    free(p.work);
    task->result.bytes_down = sc_store_counts(worker->store).bytes_out - before.bytes_out;
}
