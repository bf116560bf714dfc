// Code patterns and local sources of a plan, resolved against the folder of its document.
#pragma once

#include "stepctl/upload.h"

struct sc_resolve {
    const char *file;   // the document's path, as diagnostics name it
    const char *folder; // where it lies
    bool json;          // how mistakes are told
    bool upload_files;  // else digests alone
    struct sc_upload *upload;
    struct sc_arena *arena; // of the plan
    uint32_t mistakes;      // told so far
};

// Fills in plan->steps[].code. Mistakes (a pattern that matches nothing, too much code) are told and counted; an rc other
// than SC_OK is trouble that is nobody's mistake.
SC_MUST_USE enum sc_rc sc_resolve_code(struct sc_resolve *resolve, struct sc_plan *plan,
                                       struct sc_error *err);
// Fills in plan->sources[].artifact of local sources.
SC_MUST_USE enum sc_rc sc_resolve_sources(struct sc_resolve *resolve, struct sc_plan *plan,
                                          struct sc_error *err);
// Tells a mistake in the document's line.
void sc_resolve_mistake(struct sc_resolve *resolve, uint32_t line, enum sc_rc rc, const char *hint,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));
