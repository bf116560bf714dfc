// Stored logs of a step, for queries.
#include "coordinator/shell/query_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/names.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 << 10, TAIL_BYTES = 2048 };

enum sc_rc query_logs(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                      struct sc_error *err)
{
    (void)queries;
    (void)job;
    (void)run;
    return sc_error_set(err, SC_UNSUPPORTED, "logs: not built yet");
}
struct sc_slice query_log_tail(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                               const struct query_step *step, enum sc_stream stream)
{
    (void)queries;
    (void)job;
    (void)run;
    (void)step;
    (void)stream;
    return sc_slice(NULL, 0);
}
