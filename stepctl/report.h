// What is said when a run is over: what failed and why, then the totals and where the outputs lie. Pure.
#pragma once

#include "stepctl/model.h"

struct sc_report_options {
    bool dry;   // of a plan: what would be
    bool quiet; // failures only
    bool colour;
    const char *get_hint; // how outputs are fetched, or NULL
};
void sc_report_failures(struct sc_buf *out, const struct sc_model *model);
void sc_report_summary(struct sc_buf *out, const struct sc_model *model,
                       const struct sc_report_options *options);
