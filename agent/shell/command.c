#include "agent/shell/command.h"

#include "base/memory.h"

#include <stdio.h>

struct variables { // of a script: one a distinct piece
    struct sc_piece *pieces;
    uint32_t count, room;
};

struct build {
    const struct sc_assignment *assignment;
    const struct sc_command_view *view;
    struct sc_arena *arena;
    struct sc_buf text;
    struct variables variables;
};

struct sc_slice sc_command_input_name(const struct sc_assigned_input *input, struct sc_arena *arena)
{
    if (input->kind != SC_INPUT_ARTIFACT || input->artifact.kind != SC_ARTIFACT_FILE)
        return input->name;
    return sc_arena_printf(arena, SC_SLICE_FMT SC_SLICE_FMT, SC_SLICE_ARG(input->name),
                           SC_SLICE_ARG(input->artifact.ext));
}

static enum sc_rc add_input(struct build *b, struct sc_slice name, struct sc_error *err)
{
    for (uint32_t i = 0; i < b->assignment->inputs.count; i++) {
        const struct sc_assigned_input *input = &b->assignment->inputs.items[i];
        if (!sc_slice_eq(input->name, name))
            continue;
        if (input->kind == SC_INPUT_VALUE) {
            sc_buf_add_slice(&b->text, input->text);
            return SC_OK;
        }
        sc_buf_add_slice(&b->text, b->view->work);
        sc_buf_add_str(&b->text, "/in/");
        sc_buf_add_slice(&b->text, sc_command_input_name(input, b->arena));
        return SC_OK;
    }
    return sc_error_set(err, SC_INVALID,
                        "the command names input " SC_SLICE_FMT ", which the step does not have",
                        SC_SLICE_ARG(name));
}

static enum sc_rc add_output(struct build *b, struct sc_slice name, struct sc_error *err)
{
    for (uint32_t i = 0; i < b->assignment->outputs.count; i++) {
        const struct sc_assigned_output *output = &b->assignment->outputs.items[i];
        if (!sc_slice_eq(output->name, name))
            continue;
        sc_buf_add_slice(&b->text, b->view->work);
        sc_buf_add_str(&b->text, "/out/");
        sc_buf_add_slice(&b->text, output->path);
        return SC_OK;
    }
    return sc_error_set(err, SC_INVALID,
                        "the command names output " SC_SLICE_FMT ", which the step does not have",
                        SC_SLICE_ARG(name));
}

static enum sc_rc add_piece(struct build *b, const struct sc_piece *piece, struct sc_error *err)
{
    switch (piece->kind) {
    case SC_PIECE_TEXT:
    case SC_PIECE_VALUE:
        sc_buf_add_slice(&b->text, piece->text);
        return SC_OK;
    case SC_PIECE_IN:
        return add_input(b, piece->text, err);
    case SC_PIECE_OUT:
        return add_output(b, piece->text, err);
    }
    SC_ASSERT(false);
    return SC_INVALID;
}

// The text built so far, checked and copied: an argument or NAME=value.
static enum sc_rc finish(struct build *b, const char *what, struct sc_slice *ret_text, struct sc_error *err)
{
    struct sc_slice text = sc_buf_slice(&b->text);
    if (b->text.overflow || text.len > SC_RUNNER_ARG_BYTES)
        return sc_error_set(err, SC_LIMIT, "%s is longer than the %u bytes that one may have", what,
                            SC_RUNNER_ARG_BYTES);
    if (text.len && memchr(text.ptr, 0, text.len))
        return sc_error_set(err, SC_INVALID, "%s holds a NUL byte, which no process can be given", what);
    *ret_text = sc_arena_copy(b->arena, text);
    sc_buf_clear(&b->text);
    return SC_OK;
}

static uint32_t variable_of(struct variables *v, const struct sc_piece *piece)
{
    for (uint32_t i = 0; i < v->count; i++)
        if (v->pieces[i].kind == piece->kind && sc_slice_eq(v->pieces[i].text, piece->text))
            return i + 1;
    if (v->count == v->room) {
        v->room = v->room ? v->room * 2 : 16;
        v->pieces = sc_realloc(v->pieces, v->room, sizeof *v->pieces);
    }
    v->pieces[v->count++] = *piece;
    return v->count;
}

static enum sc_rc build_script(struct build *b, struct sc_launch *launch, struct sc_error *err)
{
    static const char *const shell[] = {"/bin/sh", "-eu", "-c"};
    launch->argv.items = SC_NEW_ARRAY(b->arena, SC_COUNT(shell) + 1, struct sc_slice);
    for (size_t i = 0; i < SC_COUNT(shell); i++)
        launch->argv.items[i] = sc_slice_str(shell[i]);
    launch->argv.count = SC_COUNT(shell) + 1;
    for (uint32_t w = 0; w < b->assignment->command.count; w++) {
        const struct sc_pieces *word = &b->assignment->command.items[w];
        for (uint32_t i = 0; i < word->items.count; i++) {
            const struct sc_piece *piece = &word->items.items[i];
            if (piece->kind == SC_PIECE_TEXT)
                sc_buf_add_slice(&b->text, piece->text);
            else
                sc_buf_printf(&b->text, "${SC_%u}", variable_of(&b->variables, piece));
        }
    }
    return finish(b, "the script", &launch->argv.items[SC_COUNT(shell)], err);
}

static enum sc_rc build_argv(struct build *b, struct sc_launch *launch, struct sc_error *err)
{
    uint32_t count = b->assignment->command.count;
    if (count == 0)
        return sc_error_set(err, SC_INVALID, "the step has no command");
    launch->argv.items = SC_NEW_ARRAY(b->arena, count, struct sc_slice);
    launch->argv.count = count;
    for (uint32_t w = 0; w < count; w++) {
        const struct sc_pieces *word = &b->assignment->command.items[w];
        for (uint32_t i = 0; i < word->items.count; i++) {
            enum sc_rc rc = add_piece(b, &word->items.items[i], err);
            if (rc != SC_OK)
                return rc;
        }
        char what[64];
        snprintf(what, sizeof what, "argument %u of the command", w);
        enum sc_rc rc = finish(b, what, &launch->argv.items[w], err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

static bool is_declared(const struct sc_assignment *assignment, const char *name)
{
    for (uint32_t i = 0; i < assignment->env.count; i++)
        if (sc_slice_eq_str(assignment->env.items[i].name, name))
            return true;
    return false;
}

static void add_fixed(struct build *b, struct sc_launch *launch, const char *name, struct sc_slice value)
{
    if (is_declared(b->assignment, name))
        return;
    launch->env.items[launch->env.count++] =
        sc_arena_printf(b->arena, "%s=" SC_SLICE_FMT, name, SC_SLICE_ARG(value));
}

static enum sc_rc build_env(struct build *b, struct sc_launch *launch, struct sc_error *err)
{
    enum { FIXED = 4 };
    const struct sc_assignment *a = b->assignment;
    launch->env.items =
        SC_NEW_ARRAY(b->arena, (size_t)FIXED + a->env.count + b->variables.count, struct sc_slice);
    launch->env.count = 0;
    add_fixed(b, launch, "PATH", b->view->path);
    add_fixed(b, launch, "HOME", b->view->work);
    add_fixed(b, launch, "LANG", sc_slice_str("C.UTF-8"));
    add_fixed(b, launch, "TZ", sc_slice_str("UTC"));
    for (uint32_t i = 0; i < a->env.count; i++) {
        const struct sc_assigned_env *env = &a->env.items[i];
        sc_buf_add_slice(&b->text, env->name);
        sc_buf_add_byte(&b->text, '=');
        for (uint32_t p = 0; p < env->value.items.count; p++) {
            enum sc_rc rc = add_piece(b, &env->value.items.items[p], err);
            if (rc != SC_OK)
                return rc;
        }
        char what[160];
        snprintf(what, sizeof what, "the variable %.*s", (int)(env->name.len < 100 ? env->name.len : 100),
                 (const char *)env->name.ptr);
        enum sc_rc rc = finish(b, what, &launch->env.items[launch->env.count++], err);
        if (rc != SC_OK)
            return rc;
    }
    for (uint32_t i = 0; i < b->variables.count; i++) {
        sc_buf_printf(&b->text, "SC_%u=", i + 1);
        enum sc_rc rc = add_piece(b, &b->variables.pieces[i], err);
        if (rc == SC_OK)
            rc = finish(b, "a value that the script is given", &launch->env.items[launch->env.count++], err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

enum sc_rc sc_command_build(const struct sc_assignment *assignment, const struct sc_command_view *view,
                            struct sc_arena *arena, struct sc_launch *launch, struct sc_error *err)
{
    struct build b = {.assignment = assignment, .view = view, .arena = arena};
    sc_buf_init(&b.text, 4 * SC_RUNNER_ARG_BYTES);
    enum sc_rc rc = assignment->script ? build_script(&b, launch, err) : build_argv(&b, launch, err);
    if (rc == SC_OK)
        rc = build_env(&b, launch, err);
    sc_buf_done(&b.text);
    free(b.variables.pieces);
    return rc;
}
