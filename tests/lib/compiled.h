// A document that a test had compiled, good or not.
#pragma once

#include "pipeline/document.h"

struct compiled {
    struct sc_arena arena;
    struct sc_plan *plan;
    struct sc_diagnostics diagnostics;
    enum sc_rc rc;
};

int compiled_setup(void **state); // of cmocka: a struct compiled
int compiled_teardown(void **state);
// Each frees what was compiled before.
void compile_with(struct compiled *c, struct sc_slice text, const struct sc_param_override *params,
                  uint32_t count);
void compile(struct compiled *c, const char *text);
void compile_good(struct compiled *c, const char *text); // fails the test when it is not
const struct sc_plan_step *step_of(const struct compiled *c, const char *name);
// "line:column rc: message | hint", a line each.
void print_diagnostics(const struct sc_diagnostics *diagnostics, struct sc_buf *out);
