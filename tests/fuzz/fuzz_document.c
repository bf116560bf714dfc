// A document of any bytes: compiling it never breaks, what is wrong with it has places, in order, and what comes out
// passes the check and goes through its encoding and back unchanged. What begins as an encoded plan does is read as one.
#include "pipeline/document.h"

#include "base/limits.h"
#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_diagnostics(const struct sc_diagnostics *d)
{
    SC_ASSERT(d->count > 0 && d->count <= SC_LIMIT_DOCUMENT_ERRORS);
    for (uint32_t i = 0; i < d->count; i++) {
        SC_ASSERT(d->items[i].rc == SC_DOCUMENT || d->items[i].rc == SC_LIMIT ||
                  d->items[i].rc == SC_UNSUPPORTED);
        SC_ASSERT(d->items[i].message.len > 0);
        // Only the last look says "plan:"; what it finds should have been told with its place.
        SC_ASSERT(!sc_slice_starts(d->items[i].message, "plan: "));
        SC_ASSERT(i == 0 || d->items[i - 1].line <= d->items[i].line);
    }
}

static void check_plan(const struct sc_plan *plan, struct sc_arena *arena)
{
    SC_AUTO_BUF struct sc_buf bytes = {0}, again = {0}, name = {0};
    struct sc_plan *decoded = NULL;
    struct sc_error err = SC_ERROR_INIT;
    sc_plan_encode(plan, &bytes);
    SC_ASSERT(!bytes.overflow && bytes.len <= SC_LIMIT_PLAN_BYTES);
    SC_ASSERT(sc_plan_decode(sc_buf_slice(&bytes), arena, &decoded, &err) == SC_OK);
    sc_plan_encode(decoded, &again);
    SC_ASSERT(sc_slice_eq(sc_buf_slice(&bytes), sc_buf_slice(&again)));
    for (uint32_t i = 0; i < plan->steps.count; i++) {
        const struct sc_plan_step *step = &plan->steps.items[i];
        uint32_t last = sc_plan_instances(step) - 1, found, instance;
        bool all;
        sc_buf_clear(&name);
        sc_plan_instance_name(step, last, &name);
        SC_ASSERT(sc_plan_find(plan, sc_buf_slice(&name), &found, &instance, &all));
        SC_ASSERT(found == i && instance == last && !all);
        if (step->code_patterns) {
            sc_code_matches(step->code_patterns, sc_slice_str("lib/a.py"));
            sc_code_may_contain(step->code_patterns, sc_slice_str("lib"));
        }
    }
    struct sc_digest one = sc_plan_template(plan), two = sc_plan_template(decoded);
    SC_ASSERT(sc_digest_eq(&one, &two));
}

// Bytes that decode to a plan are its one encoding.
static void read_plan(struct sc_slice bytes, struct sc_arena *arena)
{
    SC_AUTO_BUF struct sc_buf again = {0};
    struct sc_plan *plan = NULL;
    struct sc_error err = SC_ERROR_INIT;
    if (sc_plan_decode(bytes, arena, &plan, &err) != SC_OK) {
        SC_ASSERT(err.rc != SC_OK && err.message[0] != 0);
        return;
    }
    sc_plan_encode(plan, &again);
    SC_ASSERT(sc_slice_eq(bytes, sc_buf_slice(&again)));
    check_plan(plan, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { ARRAY_OF_SEVEN = 0x97 }; // in UTF-8 nothing begins with it
    SC_AUTO_ARENA struct sc_arena arena = {0};
    if (size > 0 && data[0] == ARRAY_OF_SEVEN) {
        read_plan(sc_slice(data, size), &arena);
        return 0;
    }
    struct sc_plan *plan = NULL;
    struct sc_diagnostics diagnostics;
    enum sc_rc rc = sc_document_compile(sc_slice(data, size), NULL, 0, &arena, &plan, &diagnostics);
    SC_ASSERT((rc == SC_OK) == (diagnostics.count == 0));
    if (rc == SC_OK)
        check_plan(plan, &arena);
    else
        check_diagnostics(&diagnostics);
    return 0;
}
