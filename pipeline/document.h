// The pipeline document (version 1): YAML text in, plan out. Pure: no file is touched; what needs files (code,
// local sources) is left in the plan as patterns and paths for the client to resolve. Every mistake is a diagnostic
// with its place; up to SC_LIMIT_DOCUMENT_ERRORS are collected before the compile gives up.
#pragma once

#include "pipeline/plan.h"

struct sc_diagnostic {
    uint32_t line, column;   // from 1; 0: the whole file
    enum sc_rc rc;           // SC_DOCUMENT, SC_LIMIT, SC_UNSUPPORTED
    struct sc_slice message; // what is wrong
    struct sc_slice hint;    // what would be right, or empty
};

struct sc_diagnostics {
    struct sc_diagnostic items[20]; // SC_LIMIT_DOCUMENT_ERRORS
    uint32_t count;
    bool more; // others were not kept
};

struct sc_param_override {
    struct sc_slice name, value; // -p name=value; the value is parsed by the declared type
};

// Compiles the document. On SC_OK the plan is complete but for code digests and local sources' artifacts. On any other
// rc nothing is returned and `ret_diagnostics` holds at least one entry, in the arena, sorted by place. The plan borrows
// from `text`, which must outlive it.
SC_MUST_USE enum sc_rc sc_document_compile(struct sc_slice text, const struct sc_param_override *params,
                                           uint32_t param_count, struct sc_arena *arena,
                                           struct sc_plan **ret_plan, struct sc_diagnostics *ret_diagnostics);

// Whether a file is code, by the step's patterns in their order: the last pattern that matches decides, "!" excludes,
// a trailing slash means the folder and all below, * and ? stay within a name, ** crosses folders. `.git`,
// `__pycache__`, `*.pyc` and `.stepcache` are never code. `path` is relative, without a leading "./".
bool sc_code_matches(const sc_text_list *patterns, struct sc_slice path);
// Whether something below the folder `path` could match: lets a walk leave out what can not.
bool sc_code_may_contain(const sc_text_list *patterns, struct sc_slice path);
