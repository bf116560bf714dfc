#include "coordinator/core/allow.h"

static const struct sc_allow *find(const struct sc_core_config *config, struct sc_slice namespace_)
{
    const struct sc_allow *others = NULL;
    for (uint32_t i = 0; i < config->allow.count; i++) {
        const struct sc_allow *allow = &config->allow.items[i];
        if (sc_slice_eq(allow->namespace_, namespace_))
            return allow;
        if (sc_slice_eq_str(allow->namespace_, "*"))
            others = allow;
    }
    return others;
}

// The root itself, or what lies below it: whole parts.
static bool is_below(struct sc_slice path, struct sc_slice root)
{
    if (root.len && root.ptr[root.len - 1] == '/')
        root.len--;
    return path.len >= root.len && (root.len == 0 || memcmp(path.ptr, root.ptr, root.len) == 0) &&
           (path.len == root.len || path.ptr[root.len] == '/');
}

static bool is_allowed(const struct sc_allow *allow, const struct sc_plan_source *source)
{
    if (source->kind == SC_SOURCE_LOCAL) // the client's own bytes, which it sends
        return true;
    for (uint32_t i = 0; i < allow->roots.count; i++)
        if (is_below(source->path, allow->roots.items[i]))
            return true;
    return false;
}

static struct sc_slice roots_text(const struct sc_allow *allow, struct sc_arena *arena)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    for (uint32_t i = 0; i < allow->roots.count; i++) {
        sc_buf_add_str(&text, i ? ", " : "");
        sc_buf_add_slice(&text, allow->roots.items[i]);
    }
    return sc_arena_copy(arena, sc_buf_slice(&text));
}

bool allow_refuses(const struct sc_core_config *config, const struct sc_plan *plan, struct sc_arena *arena,
                   struct sc_slice *ret_why)
{
    const struct sc_allow *allow = find(config, plan->namespace_);
    for (uint32_t i = 0; allow && i < plan->sources.count; i++) {
        const struct sc_plan_source *source = &plan->sources.items[i];
        if (is_allowed(allow, source))
            continue;
        *ret_why =
            sc_arena_printf(arena,
                            "source " SC_SLICE_FMT " (line %u): " SC_SLICE_FMT
                            " is not among what namespace " SC_SLICE_FMT " may name here: " SC_SLICE_FMT,
                            SC_SLICE_ARG(source->name), source->line, SC_SLICE_ARG(source->path),
                            SC_SLICE_ARG(plan->namespace_), SC_SLICE_ARG(roots_text(allow, arena)));
        return true;
    }
    return false;
}
