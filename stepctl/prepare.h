// From a document to a plan that can be submitted: reads and compiles the file, resolves code patterns and local sources
// (hashing what lies beside the document), puts what the run needs into the store. Every mistake is told at once, with
// its place; `*err` has no message then.
#pragma once

#include "stepctl/upload.h"

struct sc_prepared {
    struct sc_arena arena;
    struct sc_buf text; // of the document: the plan borrows from it
    struct sc_plan *plan;
    struct sc_digest digest; // of the plan's encoding; zero when nothing was uploaded
};

enum sc_prepare_what {
    SC_PREPARE_CHECK, // compile only: no file beside the document is touched (graph)
    SC_PREPARE_PLAN,  // digests are known, the plan alone is uploaded (plan, key)
    SC_PREPARE_ALL,   // code and sources are uploaded too (run, submit)
};

// `upload` may be NULL with SC_PREPARE_CHECK. Done after any rc.
SC_MUST_USE enum sc_rc sc_prepare(const char *file, const struct sc_options *options,
                                  enum sc_prepare_what what, struct sc_upload *upload,
                                  struct sc_prepared *prepared, struct sc_error *err);
void sc_prepared_done(struct sc_prepared *prepared);
// Checks that a step (or one of its instances) is in the plan: SC_INVALID with the nearest name for `what` ("--only").
SC_MUST_USE enum sc_rc sc_prepare_step(const struct sc_plan *plan, struct sc_slice name, const char *what,
                                       struct sc_error *err);
