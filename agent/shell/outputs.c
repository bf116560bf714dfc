#include "agent/shell/outputs.h"

#include "agent/shell/value.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PATH_BYTES = SC_LIMIT_PATH_BYTES,
    VALUE_FILE_BYTES = 64 << 20, // of a file that values are read from
    VALUES_BYTES = 4 << 20,      // of all values together: a report is one message
    LISTED_MOST = 10,            // entries of out/ named with a missing output
};

// Follows links that stay inside.
static int open_linked(int dirfd, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd;
    do {
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    } while (fd < 0 && errno == EAGAIN); // openat2(2): a rename somewhere, while it was at a ".."
    return fd;
}

static void list_out(struct taking *t, struct sc_buf *text)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *names;
    size_t count;
    if (sc_dir_names(t->taken_fd, &arena, &names, &count, NULL) != SC_OK)
        return;
    if (count == 0)
        sc_buf_add_str(text, "out/ is empty");
    for (size_t i = 0; i < count && i < LISTED_MOST; i++) {
        sc_buf_add_str(text, i ? ", " : "out/ holds: ");
        sc_buf_add_slice(text, names[i]);
    }
    if (count > LISTED_MOST)
        sc_buf_printf(text, " and %zu more", count - LISTED_MOST);
}

static bool missing(struct taking *t, const struct sc_assigned_output *output)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 1024);
    list_out(t, &text);
    sc_agent_task_fail(
        t->task, SC_OUTCOME_OUTPUT_MISSING,
        "step " SC_SLICE_FMT ": output " SC_SLICE_FMT " is missing: nothing is at out/" SC_SLICE_FMT
        "%s; %s; write it to \"${outputs." SC_SLICE_FMT "}\", or correct its path",
        SC_SLICE_ARG(t->assignment->step), SC_SLICE_ARG(output->name), SC_SLICE_ARG(output->path),
        output->dir ? "/" : "", sc_buf_cstr(&text), SC_SLICE_ARG(output->name));
    return false;
}

static bool not_allowed(struct taking *t, const struct sc_assigned_output *output, const char *why)
{
    sc_agent_task_fail(t->task, SC_OUTCOME_OUTPUT_NOT_ALLOWED,
                       "step " SC_SLICE_FMT ": output " SC_SLICE_FMT " (out/" SC_SLICE_FMT "): %s",
                       SC_SLICE_ARG(t->assignment->step), SC_SLICE_ARG(output->name),
                       SC_SLICE_ARG(output->path), why);
    return false;
}

// A failure of the disk or the store while an output was read or put.
static bool failed(struct taking *t, const struct sc_assigned_output *output, enum sc_rc rc,
                   const struct sc_error *err)
{
    if (rc == SC_BUSY) {
        SC_AUTO_FREE char *why =
            sc_asprintf("%s: something writes to it though the step has ended", err->message);
        return not_allowed(t, output, why);
    }
    if (rc == SC_UNSUPPORTED || rc == SC_LIMIT)
        return not_allowed(t, output, err->message);
    enum sc_outcome outcome = sc_agent_outcome_of(rc, SC_OUTCOME_STORE);
    const char *hint = "";
    if (outcome == SC_OUTCOME_DISK_FULL)
        hint = "; free some space for the store and the agent's `work` folder";
    sc_agent_task_fail(t->task, outcome,
                       "step " SC_SLICE_FMT ": output " SC_SLICE_FMT " could not be stored: %s%s",
                       SC_SLICE_ARG(t->assignment->step), SC_SLICE_ARG(output->name), err->message, hint);
    return false;
}

// ---- finding

static const char *kind_of(mode_t mode)
{
    return S_ISFIFO(mode)   ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISCHR(mode)  ? "a character device"
           : S_ISBLK(mode)  ? "a block device"
           : S_ISDIR(mode)  ? "a folder"
           : S_ISREG(mode)  ? "a file"
                            : "no file";
}

static bool leads_out(struct taking *t, const struct sc_assigned_output *output, int sys_errno)
{
    char why[256];
    if (sys_errno == EXDEV)
        return not_allowed(
            t, output,
            "it is a link that leaves out/, or is absolute; write the file itself, or a relative link "
            "that stays in out/");
    if (sys_errno == ELOOP)
        return not_allowed(t, output, "its links form a loop");
    if (sys_errno == ENOSYS || sys_errno == EPERM)
        return not_allowed(t, output,
                           "it is a link, and this kernel, or the sandbox that the agent is in, has no "
                           "openat2 to follow it safely; write the file itself");
    snprintf(why, sizeof why, "it cannot be opened: %s", strerror(sys_errno));
    return not_allowed(t, output, why);
}

// Looks at what an output's path leads to, without opening it: a FIFO would block, a device might do something.
static bool find(struct taking *t, const struct sc_assigned_output *output, struct output *ret_found,
                 struct stat *ret_st, bool *ret_linked)
{
    char path[PATH_BYTES];
    if (output->path.len == 0 || output->path.len >= sizeof path ||
        memchr(output->path.ptr, 0, output->path.len))
        return not_allowed(t, output, "no file can have this path");
    memcpy(path, output->path.ptr, output->path.len);
    path[output->path.len] = 0;
    int fd = sc_open_beneath(t->taken_fd, path, O_PATH, 0);
    *ret_linked = fd < 0 ? errno == ELOOP : fstat(fd, ret_st) == 0 && S_ISLNK(ret_st->st_mode);
    if (*ret_linked) {
        sc_close_fd(&fd);
        fd = open_linked(t->taken_fd, path);
    }
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return missing(t, output);
    if (fd < 0)
        return leads_out(t, output, errno);
    ssize_t len = 0;
    char self[64];
    bool good = fstat(fd, ret_st) == 0;
    if (good && *ret_linked) { // proc(5): the path that the descriptor stands for
        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        len = readlink(self, ret_found->path, sizeof ret_found->path - 1);
        ret_found->path[len > 0 ? len : 0] = 0;
        good = len > 0;
    } else if (good) {
        len = snprintf(ret_found->path, sizeof ret_found->path, "%s/%s", t->taken, path);
        good = len < (ssize_t)sizeof ret_found->path;
    }
    close(fd);
    ret_found->dev = ret_st->st_dev;
    ret_found->ino = ret_st->st_ino;
    return good || not_allowed(t, output, "its path is too long");
}

// ---- reading

// A small file travels in the report; the coordinator stores it.
static bool read_inline(struct taking *t, const struct sc_assigned_output *output, const char *path,
                        const struct stat *st, struct sc_artifact *ret_artifact, bool *ret_done)
{
    *ret_done = false;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return leads_out(t, output, errno);
    uint8_t bytes[SC_LIMIT_INLINE_BYTES + 1];
    size_t used = 0;
    ssize_t n;
    while (used < sizeof bytes && (n = read(fd, bytes + used, sizeof bytes - used)) > 0)
        used += (size_t)n;
    close(fd);
    if (used == sizeof bytes)
        return true; // it grew: not small any more
    struct sc_slice all = sc_slice(bytes, used);
    *ret_artifact = (struct sc_artifact){.kind = SC_ARTIFACT_FILE,
                                         .exec = (st->st_mode & S_IXUSR) != 0,
                                         .has_inline = true,
                                         .digest = sc_digest_of(all),
                                         .bytes = used,
                                         .files = 1,
                                         .inline_bytes = sc_arena_copy(&t->task->arena, all)};
    *ret_done = true;
    return true;
}

static bool hash_output(struct taking *t, const struct sc_assigned_output *output, struct output *found,
                        const struct stat *st, struct sc_artifact *ret_artifact)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_hash_options options = {.ret_settled = &found->settled};
    enum sc_rc rc;
    if (output->dir || st->st_size > SC_LIMIT_INLINE_BYTES)
        sc_worker_heavy(t->worker);
    if (output->dir) {
        found->tree = SC_NEW(&t->task->arena, struct sc_tree);
        rc = sc_hash_dir(found->path, &options, &t->task->arena, found->tree, &err);
        if (rc == SC_OK)
            *ret_artifact = sc_hash_dir_artifact(found->tree);
        return rc == SC_OK || failed(t, output, rc, &err);
    }
    bool done = false;
    if (st->st_size <= SC_LIMIT_INLINE_BYTES && !read_inline(t, output, found->path, st, ret_artifact, &done))
        return false;
    if (!done) {
        rc = sc_hash_file(found->path, &options, ret_artifact, &err);
        if (rc != SC_OK)
            return failed(t, output, rc, &err);
    } else {
        found->path[0] = 0;
    }
    ret_artifact->ext = sc_artifact_ext(output->path);
    return true;
}

static bool read_output(struct taking *t, uint32_t index)
{
    const struct sc_assigned_output *output = &t->assignment->outputs.items[index];
    struct sc_named_artifact *named = &t->task->result.outputs.items[index];
    struct output *found = &t->outputs[index];
    struct stat st;
    bool linked;
    char why[160];
    named->name = output->name;
    if (!find(t, output, found, &st, &linked))
        return false;
    if (output->dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)) {
        snprintf(why, sizeof why, "it is %s, but declared as a %s%s", kind_of(st.st_mode),
                 output->dir ? "folder (its path ends in /)" : "file",
                 S_ISDIR(st.st_mode) ? "; end its path in / to make it a folder" : "");
        return not_allowed(t, output, why);
    }
    t->shared = t->shared || linked;
    return hash_output(t, output, found, &st, &named->artifact);
}

// An output that lies in another one, or is another one by a link, must stay where it is until all are put.
static void find_shared(struct taking *t)
{
    for (uint32_t i = 0; i < t->assignment->outputs.count && !t->shared; i++) {
        const struct sc_assigned_output *a = &t->assignment->outputs.items[i];
        for (uint32_t j = 0; a->dir && j < t->assignment->outputs.count; j++) {
            struct sc_slice b = t->assignment->outputs.items[j].path;
            if (i != j && b.len >= a->path.len && memcmp(b.ptr, a->path.ptr, a->path.len) == 0 &&
                (b.len == a->path.len || b.ptr[a->path.len] == '/'))
                t->shared = true;
        }
        for (uint32_t j = 0; !a->dir && j < i; j++)
            if (t->outputs[i].ino == t->outputs[j].ino && t->outputs[i].dev == t->outputs[j].dev)
                t->shared = true;
    }
}

// ---- values

static bool value_failed(struct taking *t, const struct sc_assigned_value *value, const char *path,
                         const char *why)
{
    sc_agent_task_fail(t->task, SC_OUTCOME_VALUE,
                       "step " SC_SLICE_FMT ": value " SC_SLICE_FMT
                       " could not be read from out/%s#" SC_SLICE_FMT ": %s",
                       SC_SLICE_ARG(t->assignment->step), SC_SLICE_ARG(value->name), path,
                       SC_SLICE_ARG(value->pointer), why);
    return false;
}

static bool read_values(struct taking *t)
{
    struct sc_result *result = &t->task->result;
    uint32_t count = t->assignment->values.count;
    size_t total = 0;
    if (count == 0)
        return true;
    result->values.items = SC_NEW_ARRAY(&t->task->arena, count, struct sc_named_text);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_assigned_value *value = &t->assignment->values.items[i];
        if (value->output >= result->outputs.count)
            return value_failed(t, value, "?", "it names an output that the step does not have");
        const struct sc_artifact *artifact = &result->outputs.items[value->output].artifact;
        SC_AUTO_FREE char *path =
            sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(t->assignment->outputs.items[value->output].path));
        if (artifact->kind != SC_ARTIFACT_FILE)
            return value_failed(t, value, path, "it is a folder");
        struct sc_error err = SC_ERROR_INIT;
        SC_AUTO_BUF struct sc_buf bytes;
        sc_buf_init(&bytes, VALUE_FILE_BYTES + 65536);
        struct sc_slice json = artifact->inline_bytes;
        if (!artifact->has_inline) {
            if (sc_file_read(t->outputs[value->output].path, VALUE_FILE_BYTES, &bytes, &err) != SC_OK)
                return value_failed(t, value, path, err.message);
            json = sc_buf_slice(&bytes);
            struct sc_digest digest = sc_digest_of(json);
            if (!sc_digest_eq(&digest, &artifact->digest)) // a value must be of the file that is stored
                return value_failed(t, value, path, "the file changed after the step had ended");
        }
        struct sc_named_text *text = &result->values.items[i];
        text->name = value->name;
        if (sc_value_extract(json, value->pointer, &t->task->arena, &text->text, &err) != SC_OK)
            return value_failed(t, value, path, err.message);
        total += text->text.len;
        if (total > VALUES_BYTES)
            return value_failed(t, value, path, "the step's values are more than 4 MiB together");
    }
    result->values.count = count;
    return true;
}

// ---- putting

static bool put_outputs(struct taking *t)
{
    for (uint32_t i = 0; i < t->assignment->outputs.count; i++) {
        const struct output *found = &t->outputs[i];
        const struct sc_artifact *artifact = &t->task->result.outputs.items[i].artifact;
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc = SC_OK;
        if (artifact->has_inline)
            continue;
        t->task->needs_sync = true;
        // A step may have given a descriptor away. The store takes no file that somebody can still write to: a copy of it.
        bool move = !t->shared && found->settled;
        if (found->tree)
            rc = sc_objects_put_tree(t->worker->objects, found->path, found->tree, move,
                                     t->assignment->force_upload, &err);
        else
            rc = sc_objects_put_new_file(t->worker->objects, found->path, artifact, move,
                                         t->assignment->force_upload, &err);
        if (rc != SC_OK)
            return failed(t, &t->assignment->outputs.items[i], rc, &err);
    }
    return true;
}

bool sc_outputs_take(struct taking *t)
{
    struct sc_result *result = &t->task->result;
    uint32_t count = t->assignment->outputs.count;
    if (count == 0)
        return true;
    if (t->worker->config->binds_inputs) { // contained: no process is left that could know the path
        free(t->taken);
        t->taken = sc_asprintf("%s/out", t->work);
    } else {
        SC_AUTO_FREE char *out = sc_asprintf("%s/out", t->work);
        t->moved = rename(out, t->taken) == 0;
    }
    t->taken_fd = open(t->taken, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (t->taken_fd < 0) {
        sc_agent_task_fail(t->task, SC_OUTCOME_OUTPUT_MISSING,
                           "step " SC_SLICE_FMT
                           ": its folder out/ is gone (%s); outputs are written below it",
                           SC_SLICE_ARG(t->assignment->step), strerror(errno));
        return false;
    }
    result->outputs.items = SC_NEW_ARRAY(&t->task->arena, count, struct sc_named_artifact);
    result->outputs.count = count;
    t->outputs = sc_calloc(count, sizeof *t->outputs);
    for (uint32_t i = 0; i < count; i++)
        if (!read_output(t, i))
            return false;
    find_shared(t);
    return read_values(t) && put_outputs(t);
}
