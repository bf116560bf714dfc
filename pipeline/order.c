// Steps in topological order. What a step needs comes before it; for the rest the document's order holds, so that a
// document in order stays as it is. Depth first with a stack of its own: a chain may have 100,000 steps.
#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

enum { NEW, OPEN, DONE };
enum { CIRCLE_SHOWN_MOST = 12 };

struct walk {
    struct sc_compile *c;
    uint8_t *state;
    uint32_t *stack, *next; // open steps, and for each which of its needs comes next
    uint32_t depth;
    uint32_t *order, count; // the document's indexes, in the new order
};

static const struct sc_plan_step *step_at(const struct walk *w, uint32_t index)
{
    return &w->c->plan->steps.items[index];
}

static void add_name(struct walk *w, struct sc_buf *out, uint32_t index)
{
    sc_buf_add_slice(out, step_at(w, index)->name);
}

// A need of the step on top is open already: from there to the top, and back.
static void report_circle(struct walk *w, uint32_t need, struct sc_place place)
{
    SC_AUTO_BUF struct sc_buf path = {0};
    uint32_t from = 0;
    while (w->stack[from] != need)
        from++;
    uint32_t length = w->depth - from;
    for (uint32_t i = from; i < w->depth; i++) {
        if (length > CIRCLE_SHOWN_MOST && i - from == CIRCLE_SHOWN_MOST / 2) {
            sc_buf_printf(&path, "… %u more … -> ", length - CIRCLE_SHOWN_MOST);
            i = w->depth - CIRCLE_SHOWN_MOST / 2;
        }
        add_name(w, &path, w->stack[i]);
        sc_buf_add_str(&path, " -> ");
    }
    add_name(w, &path, need);
    SC_REPORT(&w->c->report, place, SC_DOCUMENT, "each needs the next; take one of these needs away",
              "steps need each other in a circle: %s", sc_buf_cstr(&path));
}

// The k-th need of a step, or false behind the last.
static bool need_at(struct walk *w, uint32_t index, uint32_t *k, uint32_t *ret_need,
                    struct sc_place *ret_place)
{
    const struct sc_plan_step *step = step_at(w, index);
    const struct sc_wiring *wiring = &w->c->wirings[index];
    for (; *k < step->inputs.count; (*k)++)
        if (step->inputs.items[*k].from != SC_FROM_SOURCE) {
            *ret_need = step->inputs.items[*k].node;
            *ret_place = sc_yaml_place(wiring->references[*k]);
            (*k)++;
            return true;
        }
    if (*k - step->inputs.count >= step->after.count)
        return false;
    *ret_need = step->after.items[*k - step->inputs.count];
    *ret_place = sc_yaml_place(wiring->after);
    (*k)++;
    return true;
}

static void visit(struct walk *w, uint32_t root)
{
    w->stack[0] = root;
    w->next[0] = 0;
    w->depth = 1;
    w->state[root] = OPEN;
    while (w->depth > 0) {
        uint32_t top = w->stack[w->depth - 1], need;
        struct sc_place place;
        if (!need_at(w, top, &w->next[w->depth - 1], &need, &place)) {
            w->state[top] = DONE;
            w->order[w->count++] = top;
            w->depth--;
        } else if (w->state[need] == OPEN) {
            report_circle(w, need, place);
        } else if (w->state[need] == NEW) {
            w->state[need] = OPEN;
            w->stack[w->depth] = need;
            w->next[w->depth++] = 0;
        }
    }
}

static int compare_indexes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void rearrange(struct sc_plan *plan, const uint32_t *order)
{
    uint32_t count = plan->steps.count;
    struct sc_plan_step *old = sc_calloc(count, sizeof *old);
    uint32_t *place = sc_calloc(count, sizeof *place);
    memcpy(old, plan->steps.items, count * sizeof *old);
    for (uint32_t i = 0; i < count; i++) {
        plan->steps.items[i] = old[order[i]];
        place[order[i]] = i;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sc_plan_step *step = &plan->steps.items[i];
        for (uint32_t k = 0; k < step->inputs.count; k++)
            if (step->inputs.items[k].from != SC_FROM_SOURCE)
                step->inputs.items[k].node = place[step->inputs.items[k].node];
        for (uint32_t k = 0; k < step->after.count; k++)
            step->after.items[k] = place[step->after.items[k]];
        if (step->after.count > 1)
            qsort(step->after.items, step->after.count, sizeof(uint32_t), compare_indexes);
    }
    for (uint32_t i = 0; i < plan->outputs.count; i++)
        plan->outputs.items[i].step = place[plan->outputs.items[i].step];
    free(old);
    free(place);
}

void sc_order_steps(struct sc_compile *c)
{
    uint32_t count = c->plan->steps.count;
    struct walk w = {.c = c,
                     .state = sc_arena_alloc(&c->scratch, count),
                     .stack = SC_NEW_ARRAY(&c->scratch, count, uint32_t),
                     .next = SC_NEW_ARRAY(&c->scratch, count, uint32_t),
                     .order = SC_NEW_ARRAY(&c->scratch, count, uint32_t)};
    for (uint32_t i = 0; i < count; i++)
        if (w.state[i] == NEW)
            visit(&w, i);
    bool same = true;
    for (uint32_t i = 0; i < count; i++)
        same = same && w.order[i] == i;
    if (!same && c->report.list->count == 0)
        rearrange(c->plan, w.order);
}
