#include "agent/runner/task.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <stdarg.h>
#include <stdio.h>

bool sc_failure_set(struct sc_failure *failure, int sys_errno, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (sys_errno && at < sizeof failure->text)
        snprintf(failure->text + at, sizeof failure->text - at, ": %s", strerror(sys_errno));
    failure->sys_errno = sys_errno;
    return false;
}

static bool has_nul(struct sc_slice s)
{
    return s.len && memchr(s.ptr, 0, s.len);
}

static bool is_component(struct sc_slice name)
{
    return name.len && !has_nul(name) && !memchr(name.ptr, '/', name.len) && !sc_slice_eq_str(name, ".") &&
           !sc_slice_eq_str(name, "..");
}

static bool is_absolute(struct sc_slice path)
{
    return path.len && path.ptr[0] == '/' && !has_nul(path);
}

static bool is_valid(const struct sc_launch *launch, bool binds_inputs, struct sc_failure *failure)
{
    if (launch->argv.count == 0 || launch->argv.items[0].len == 0)
        return sc_failure_set(failure, 0, "launch: no command");
    for (uint32_t i = 0; i < launch->argv.count; i++)
        if (has_nul(launch->argv.items[i]))
            return sc_failure_set(failure, 0, "launch: argument %u holds a NUL", i);
    for (uint32_t i = 0; i < launch->env.count; i++)
        if (has_nul(launch->env.items[i]) || !memchr(launch->env.items[i].ptr, '=', launch->env.items[i].len))
            return sc_failure_set(failure, 0, "launch: variable %u is not NAME=value", i);
    if (!is_absolute(launch->work))
        return sc_failure_set(failure, 0, "launch: the work folder is not an absolute path");
    if (launch->network == SC_RUNNER_NETWORK_NONE)
        return sc_failure_set(failure, 0, "launch: network none is not supported");
    if (launch->inputs.count && !binds_inputs)
        return sc_failure_set(failure, 0, "launch: inputs cannot be bound here, they are to be copied");
    for (uint32_t i = 0; i < launch->inputs.count; i++) {
        const struct sc_runner_input *input = &launch->inputs.items[i];
        if (!is_component(input->name) || !is_absolute(input->source))
            return sc_failure_set(failure, 0,
                                  "launch: input %u: its name is not one path component, or its "
                                  "source not an absolute path",
                                  i);
    }
    return true;
}

static char **strings(struct sc_arena *arena, const struct sc_slice *items, uint32_t count, uint32_t more)
{
    char **all = SC_NEW_ARRAY(arena, (size_t)count + more + 1, char *);
    for (uint32_t i = 0; i < count; i++)
        all[i] = sc_arena_cstr(arena, items[i]);
    return all;
}

static void copy(struct sc_task *task, const struct sc_launch *launch, const char *home)
{
    struct sc_arena *arena = &task->arena;
    task->argv = strings(arena, launch->argv.items, launch->argv.count, 0);
    task->env = strings(arena, launch->env.items, launch->env.count, 1);
    task->work = sc_arena_cstr(arena, launch->work);
    task->path = "/usr/local/bin:/usr/bin:/bin";
    bool has_home = false;
    for (uint32_t i = 0; i < launch->env.count; i++) {
        has_home = has_home || strncmp(task->env[i], "HOME=", 5) == 0;
        if (strncmp(task->env[i], "PATH=", 5) == 0)
            task->path = task->env[i] + 5;
    }
    if (!has_home)
        task->env[launch->env.count] =
            sc_arena_cstr(arena, sc_arena_printf(arena, "HOME=%s", home ? home : task->work));
    task->inputs = SC_NEW_ARRAY(arena, (size_t)launch->inputs.count + 1, struct sc_task_input);
    task->input_count = launch->inputs.count;
    for (uint32_t i = 0; i < launch->inputs.count; i++)
        task->inputs[i] = (struct sc_task_input){sc_arena_cstr(arena, launch->inputs.items[i].name),
                                                 sc_arena_cstr(arena, launch->inputs.items[i].source)};
    task->limits = launch->limits;
}

struct sc_task *sc_task_new(struct sc_runner_packet *packet, const char *home, bool binds_inputs,
                            uint64_t *ret_id, struct sc_failure *failure)
{
    SC_AUTO_ARENA struct sc_arena scratch;
    sc_arena_init(&scratch);
    struct sc_launch launch = {0};
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc =
        sc_decode(&sc_schema_runner_launch, packet->body, SC_DECODE_LENIENT, &scratch, &launch, &err);
    *ret_id = launch.task;
    if (rc != SC_OK) {
        sc_failure_set(failure, 0, "%s", err.message);
        return NULL;
    }
    if (packet->fd_count != 2) {
        sc_failure_set(failure, 0, "launch: %u descriptors, not standard output and error", packet->fd_count);
        return NULL;
    }
    if (!is_valid(&launch, binds_inputs, failure))
        return NULL;
    struct sc_task *task = sc_calloc(1, sizeof *task);
    sc_arena_init(&task->arena);
    task->id = launch.task;
    task->after = launch.after;
    copy(task, &launch, home);
    task->out = packet->fds[0];
    task->err = packet->fds[1];
    packet->fd_count = 0;
    return task;
}

void sc_task_free(struct sc_task *task)
{
    if (!task)
        return;
    if (task->out >= 0)
        sc_fd_close(task->out);
    if (task->err >= 0)
        sc_fd_close(task->err);
    sc_arena_done(&task->arena);
    free(task);
}
