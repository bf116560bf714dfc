// stepctl graph: the pipeline as DOT on standard output, or as SVG through Graphviz's dot.
#include "base/memory.h"
#include "base/os/file.h"
#include "stepctl/command.h"
#include "stepctl/prepare.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// A quoted DOT id: only the quote and the backslash mean something in it.
static void dot_id(struct sc_buf *out, struct sc_slice text)
{
    sc_buf_add_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            sc_buf_add_byte(out, '\\');
        sc_buf_add_byte(out, text.ptr[i]);
    }
    sc_buf_add_byte(out, '"');
}

static void step_node(struct sc_buf *out, const struct sc_plan_step *step)
{
    sc_buf_add_str(out, "  ");
    dot_id(out, step->name);
    uint32_t instances = sc_plan_instances(step);
    if (instances > 1 || step->matrix.count) {
        SC_AUTO_BUF struct sc_buf label;
        sc_buf_init(&label, 0);
        sc_buf_add_slice(&label, step->name);
        sc_buf_printf(&label, " x%u", instances);
        sc_buf_add_str(out, " [label=");
        dot_id(out, sc_buf_slice(&label));
        sc_buf_add_str(out, ", peripheries=2]");
    }
    sc_buf_add_str(out, ";\n");
}

static void edge(struct sc_buf *out, const char *from_prefix, struct sc_slice from, struct sc_slice to,
                 struct sc_slice label, bool dashed)
{
    SC_AUTO_BUF struct sc_buf id;
    sc_buf_init(&id, 0);
    sc_buf_add_str(&id, from_prefix);
    sc_buf_add_slice(&id, from);
    sc_buf_add_str(out, "  ");
    dot_id(out, sc_buf_slice(&id));
    sc_buf_add_str(out, " -> ");
    dot_id(out, to);
    if (label.len) {
        sc_buf_add_str(out, " [label=");
        dot_id(out, label);
        sc_buf_add_byte(out, ']');
    } else if (dashed)
        sc_buf_add_str(out, " [style=dashed]");
    sc_buf_add_str(out, ";\n");
}

static void step_edges(struct sc_buf *out, const struct sc_plan *plan, const struct sc_plan_step *step)
{
    for (uint32_t i = 0; i < step->inputs.count; i++) {
        const struct sc_plan_input *input = &step->inputs.items[i];
        switch (input->from) {
        case SC_FROM_SOURCE:
            edge(out, "sources.", plan->sources.items[input->node].name, step->name, input->name, false);
            break;
        case SC_FROM_OUTPUT:
        case SC_FROM_VALUE:
            edge(out, "", plan->steps.items[input->node].name, step->name, input->name, false);
            break;
        }
    }
    for (uint32_t i = 0; i < step->after.count; i++)
        edge(out, "", plan->steps.items[step->after.items[i]].name, step->name, (struct sc_slice){0}, true);
}

static void graph(struct sc_buf *out, const struct sc_plan *plan)
{
    sc_buf_add_str(out, "digraph ");
    dot_id(out, plan->name);
    sc_buf_add_str(out, " {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n"
                        "  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (uint32_t i = 0; i < plan->sources.count; i++) {
        SC_AUTO_BUF struct sc_buf id;
        sc_buf_init(&id, 0);
        sc_buf_add_str(&id, "sources.");
        sc_buf_add_slice(&id, plan->sources.items[i].name);
        sc_buf_add_str(out, "  ");
        dot_id(out, sc_buf_slice(&id));
        sc_buf_add_str(out, " [label=");
        dot_id(out, plan->sources.items[i].name);
        sc_buf_add_str(out, ", shape=folder];\n");
    }
    for (uint32_t i = 0; i < plan->steps.count; i++)
        step_node(out, &plan->steps.items[i]);
    for (uint32_t i = 0; i < plan->steps.count; i++)
        step_edges(out, plan, &plan->steps.items[i]);
    sc_buf_add_str(out, "}\n");
}

// dot reads from a pipe that we fill, and writes to our standard output.
static enum sc_rc through_dot(struct sc_slice text, struct sc_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return sc_error_errno(err, errno, "make a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    char name[] = "dot", option[] = "-Tsvg";
    char *argv[] = {name, option, NULL};
    pid_t pid;
    int failed = posix_spawnp(&pid, "dot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    sc_fd_close(ends[0]);
    if (failed) {
        sc_fd_close(ends[1]);
        enum sc_rc rc = sc_error_errno(err, failed, "start dot");
        sc_error_hint(err, "--svg needs Graphviz (apt install graphviz); without it DOT is printed");
        return rc;
    }
    signal(SIGPIPE, SIG_IGN);
    struct sc_error ignored = SC_ERROR_INIT;
    bool written = sc_fd_write_all(ends[1], text, &ignored) == SC_OK;
    sc_fd_close(ends[1]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!written || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return sc_error_set(err, SC_IO, "dot failed");
    return SC_OK;
}

int sc_command_graph(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_prepared prepared;
    struct sc_out out;
    sc_out_init(&out, STDOUT_FILENO);
    enum sc_rc rc = sc_prepare(options->args[0], options, SC_PREPARE_CHECK, NULL, &prepared, &err);
    if (rc == SC_OK) {
        graph(&out.buf, prepared.plan);
        if (options->svg) {
            rc = through_dot(sc_buf_slice(&out.buf), &err);
            sc_buf_clear(&out.buf);
        }
    }
    sc_prepared_done(&prepared);
    sc_out_done(&out);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
