// TAKE: what a step left, once nothing of it runs any more: its outputs and values, its logs, the result; then its work
// folder goes. Outputs are moved into a private place first, and found below it without following a link out of it.
#include "agent/shell/outputs.h"

#include "agent/shell/keeper.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    PATH_BYTES = SC_LIMIT_PATH_BYTES,
    DISK_LEAST_BYTES = 64 << 10, // free; less is a full disk
};

// ---- the result

// A step that failed on a full disk fails in a way of its own; the disk tells better what happened.
static enum sc_outcome see_disk(const struct taking *t, enum sc_outcome outcome)
{
    struct statvfs fs;
    if ((outcome != SC_OUTCOME_EXIT && outcome != SC_OUTCOME_SIGNAL) || statvfs(t->work, &fs) ||
        (uint64_t)fs.f_bavail * fs.f_frsize >= DISK_LEAST_BYTES)
        return outcome;
    sc_agent_task_fail(
        t->task, SC_OUTCOME_DISK_FULL,
        "step " SC_SLICE_FMT " %s %u, and no space is left on the disk of the agent's work folder %s; "
        "free some space there",
        SC_SLICE_ARG(t->assignment->step),
        outcome == SC_OUTCOME_EXIT ? "exited with" : "was killed by signal",
        outcome == SC_OUTCOME_EXIT ? t->task->exit_code : t->task->signal, t->worker->config->place->root);
    return SC_OUTCOME_DISK_FULL;
}

static void say_exit(struct sc_agent_task *task, enum sc_outcome outcome)
{
    const struct sc_assignment *a = task->assignment;
    const char *name = sigabbrev_np((int)task->signal);
    switch (outcome) {
    case SC_OUTCOME_EXIT:
        sc_agent_task_fail(task, outcome, "step " SC_SLICE_FMT " exited with %u%s", SC_SLICE_ARG(a->step),
                           task->exit_code,
                           task->exit_code == 127   ? " (for a shell: a command was not found on its PATH)"
                           : task->exit_code == 126 ? " (for a shell: a command could not be executed)"
                                                    : "");
        return;
    case SC_OUTCOME_SIGNAL:
        sc_agent_task_fail(task, outcome, "step " SC_SLICE_FMT " was killed by signal %u (SIG%s)",
                           SC_SLICE_ARG(a->step), task->signal, name ? name : "?");
        return;
    case SC_OUTCOME_OUT_OF_MEMORY:
        sc_agent_task_fail(task, outcome,
                           "step " SC_SLICE_FMT
                           " ran out of memory (its limit is %llu MiB); raise resources.memory",
                           SC_SLICE_ARG(a->step), (unsigned long long)(a->memory_bytes >> 20));
        return;
    case SC_OUTCOME_TIMEOUT:
        sc_agent_task_fail(task, outcome,
                           "step " SC_SLICE_FMT " ran longer than its timeout of %.3g s and was ended",
                           SC_SLICE_ARG(a->step), (double)a->timeout_ms / 1000);
        return;
    case SC_OUTCOME_AGENT_LOST:
        sc_agent_task_fail(task, outcome, "step " SC_SLICE_FMT " was ended because its agent is leaving",
                           SC_SLICE_ARG(a->step));
        return;
    case SC_OUTCOME_CANCELLED:
        sc_agent_task_fail(task, outcome, "step " SC_SLICE_FMT " was cancelled", SC_SLICE_ARG(a->step));
        return;
    case SC_OUTCOME_OK:
    case SC_OUTCOME_OUTPUT_MISSING:
    case SC_OUTCOME_OUTPUT_NOT_ALLOWED:
    case SC_OUTCOME_DISK_FULL:
    case SC_OUTCOME_INPUT_LOST:
    case SC_OUTCOME_STORE:
    case SC_OUTCOME_START:
    case SC_OUTCOME_VALUE:
    case SC_OUTCOME_NOT_CACHED:
    case SC_OUTCOME_UPSTREAM:
    case SC_OUTCOME_PROBE:
    case SC_OUTCOME_ENVIRONMENT:
    case SC_OUTCOME_INTERNAL:
    case SC_OUTCOME_COUNT:
        sc_agent_task_fail(task, outcome, "step " SC_SLICE_FMT " failed: %s", SC_SLICE_ARG(a->step),
                           sc_outcome_name(outcome));
    }
}

// Copies the task's facts into its result; failed ones carry the last lines of the log and no outputs.
static void close_result(struct sc_agent_task *task)
{
    struct sc_result *result = &task->result;
    result->outcome = task->outcome;
    result->exit_code = task->exit_code;
    result->signal = task->signal;
    result->started_at = task->started_ms;
    result->ended_at = task->ended_ms;
    result->wall_ms = task->ended_ms > task->started_ms ? (uint64_t)(task->ended_ms - task->started_ms) : 0;
    result->cpu_ms = task->cpu_us / 1000;
    result->max_rss_bytes = task->max_rss_bytes;
    result->sandbox = task->sandbox;
    result->network = sc_slice_str("on");
    if (task->outcome == SC_OUTCOME_OK)
        return;
    result->message = task->failure;
    result->outputs.count = result->values.count = 0;
    result->log_tail = sc_attempt_logs_tail(&task->logs, &task->arena);
}

static void remove_folder(const char *parent, uint64_t attempt)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%llu", parent, (unsigned long long)attempt);
    if (rmdir(path) == 0) // the usual case, and one call
        return;
    struct sc_error err = SC_ERROR_INIT;
    if (sc_dir_remove(path, &err) != SC_OK)
        sc_log(SC_LOG_WARN, "attempt=%llu ignoring that a folder stays: %s", (unsigned long long)attempt,
               err.message);
}

// Outputs that travel in the report are most often all that is there.
static void remove_small(struct taking *t)
{
    for (uint32_t i = 0; i < t->task->result.outputs.count; i++) {
        char path[PATH_BYTES];
        struct sc_slice name = t->assignment->outputs.items[i].path;
        if (!t->task->result.outputs.items[i].artifact.has_inline || memchr(name.ptr, '/', name.len))
            continue;
        memcpy(path, name.ptr, name.len); // its length was checked when it was found
        path[name.len] = 0;
        unlinkat(t->taken_fd, path, 0);
    }
}

// What inputs were bound over, so that the folder is as it was made.
static void remove_mount_points(const struct sc_agent_task *task, const char *work)
{
    char path[PATH_BYTES];
    if (task->launch.inputs.count == 0)
        return;
    for (uint32_t i = 0; i < task->launch.inputs.count; i++) {
        int len = snprintf(path, sizeof path, "%s/in/" SC_SLICE_FMT, work,
                           SC_SLICE_ARG(task->launch.inputs.items[i].name));
        if (len < (int)sizeof path && unlink(path) && errno == EISDIR)
            rmdir(path);
    }
    snprintf(path, sizeof path, "%s/in", work);
    rmdir(path);
}

void sc_worker_clean(struct sc_worker *worker, struct sc_agent_task *task)
{
    if (task->has_folder) {
        SC_AUTO_FREE char *work = sc_yard_path(worker->config->yard, task->folder);
        bool contained = worker->config->binds_inputs;
        if (contained)
            remove_mount_points(task, work);
        sc_yard_give(worker->config->yard, task->folder, contained);
        task->has_folder = false;
    }
    if (task->has_inputs_folder)
        remove_folder(worker->config->place->inputs, task->attempt);
}

void sc_worker_unpin(struct sc_worker *worker, struct sc_pins *pins)
{
    SC_ASSERT(pins->worker == worker->index);
    for (; pins->first; pins->first = pins->first->next)
        sc_objects_unpin(worker->objects, &pins->first->artifact);
}

void sc_worker_take(struct sc_worker *worker, struct sc_agent_task *task)
{
    struct sc_store_counts before = sc_store_counts(worker->store);
    struct taking t = {.worker = worker, .task = task, .assignment = task->assignment, .taken_fd = -1};
    t.work = sc_yard_path(worker->config->yard, task->folder);
    t.taken = sc_asprintf("%s/%llu", worker->config->place->taken, (unsigned long long)task->attempt);
    task->needs_sync = false;
    task->taken_ms = sc_clock_mono_ms();
    task->taken_wall_ms = sc_clock_wall_ms();
    if (task->outcome == SC_OUTCOME_OK)
        (void)sc_outputs_take(&t);
    else if (task->failure.len == 0 && see_disk(&t, task->outcome) != SC_OUTCOME_DISK_FULL)
        say_exit(task, task->outcome);
    close_result(task);
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_keeper_keep(worker, task, &err);
    if (rc != SC_OK && task->outcome == SC_OUTCOME_OK) {
        sc_agent_task_fail(task, sc_agent_outcome_of(rc, SC_OUTCOME_STORE), "step " SC_SLICE_FMT ": %s",
                           SC_SLICE_ARG(task->assignment->step), err.message);
        close_result(task);
    } else if (rc != SC_OK) {
        sc_log(SC_LOG_WARN, "attempt=%llu ignoring: %s", (unsigned long long)task->attempt, err.message);
    }
    if (t.taken_fd >= 0) {
        remove_small(&t);
        close(t.taken_fd);
    }
    if (t.moved)
        remove_folder(worker->config->place->taken, task->attempt);
    sc_worker_clean(worker, task);
    task->result.bytes_up = sc_store_counts(worker->store).bytes_in - before.bytes_in;
    free(t.outputs);
    free(t.taken);
    free(t.work);
}

void sc_worker_synced(struct sc_agent_task *task, enum sc_rc rc, const struct sc_error *err)
{
    task->needs_sync = false;
    if (rc == SC_OK)
        return;
    if (task->outcome == SC_OUTCOME_OK)
        sc_agent_task_fail(task, sc_agent_outcome_of(rc, SC_OUTCOME_STORE),
                           "step " SC_SLICE_FMT ": its outputs could not be made durable: %s",
                           SC_SLICE_ARG(task->assignment->step), err->message);
    close_result(task);
}
