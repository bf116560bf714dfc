#include "coordinator/shell/query_parts.h"
enum sc_rc query_explain(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                         struct sc_error *err)
{
    (void)queries;
    (void)job;
    (void)run;
    return sc_error_set(err, SC_UNSUPPORTED, "explain: not built yet");
}
