#include "tests/lib/compiled.h"

#include "tests/lib/test.h"

int compiled_setup(void **state)
{
    *state = sc_calloc(1, sizeof(struct compiled));
    return 0;
}

int compiled_teardown(void **state)
{
    struct compiled *c = *state;
    sc_arena_done(&c->arena);
    free(c);
    return 0;
}

void compile_with(struct compiled *c, struct sc_slice text, const struct sc_param_override *params,
                  uint32_t count)
{
    sc_arena_done(&c->arena);
    *c = (struct compiled){0};
    c->rc = sc_document_compile(text, params, count, &c->arena, &c->plan, &c->diagnostics);
    assert_int_equal(c->rc == SC_OK, c->diagnostics.count == 0);
}

void compile(struct compiled *c, const char *text)
{
    compile_with(c, sc_slice_str(text), NULL, 0);
}

void compile_good(struct compiled *c, const char *text)
{
    compile(c, text);
    if (c->rc != SC_OK)
        fail_msg("%u:%u: " SC_SLICE_FMT "\n%s", c->diagnostics.items[0].line, c->diagnostics.items[0].column,
                 SC_SLICE_ARG(c->diagnostics.items[0].message), text);
}

const struct sc_plan_step *step_of(const struct compiled *c, const char *name)
{
    uint32_t step, instance;
    bool all;
    if (!sc_plan_find(c->plan, sc_slice_str(name), &step, &instance, &all))
        fail_msg("no step %s", name);
    return &c->plan->steps.items[step];
}

// "line:column rc: message | hint", a line each.
void print_diagnostics(const struct sc_diagnostics *d, struct sc_buf *out)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct sc_diagnostic *item = &d->items[i];
        sc_buf_printf(out, "%u:%u %s: " SC_SLICE_FMT "%s" SC_SLICE_FMT "\n", item->line, item->column,
                      sc_rc_name(item->rc), SC_SLICE_ARG(item->message), item->hint.len ? " | " : "",
                      SC_SLICE_ARG(item->hint));
    }
    if (d->more)
        sc_buf_add_str(out, "and more\n");
}
