#include "coordinator/shell/query_parts.h"
enum sc_rc query_cache(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    (void)queries;
    (void)job;
    return sc_error_set(err, SC_UNSUPPORTED, "cache: not built yet");
}
