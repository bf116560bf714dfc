// A coordinator is cattle: what its open runs need lies in the store, and one that has lost its disk goes on with them.
#include "coordinator/shell/loop.h"

#include "base/os/log.h"
#include "coordinator/core/fact.h"

struct taking_up {
    struct sc_loop *loop;
    uint64_t seq;
};

static enum sc_rc known(void *context, struct sc_slice run, enum sc_open_known *ret_known,
                        struct sc_error *err)
{
    const struct taking_up *t = context;
    bool is_known, closed;
    enum sc_rc rc = sc_journal_find_run(t->loop->journal, run, &is_known, &closed, err);
    *ret_known = closed ? SC_OPEN_CLOSED : is_known ? SC_OPEN_OWN : SC_OPEN_UNKNOWN;
    return rc;
}

static void add_fact(struct taking_up *t, const struct sc_fact *fact, struct sc_loaded_plan *plan)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    sc_encode(&sc_schema_fact, fact, &bytes);
    struct sc_event event = {.kind = SC_EVENT_RESTORE_ROW};
    event.u.restore.seq = ++t->seq;
    event.u.restore.fact = sc_buf_slice(&bytes);
    event.u.restore.plan = plan;
    sc_journal_add_fact(t->loop->journal, t->seq, sc_slice(NULL, 0), sc_buf_slice(&bytes), false);
    sc_loop_feed(t->loop, &event);
}

static void take(void *context, const struct sc_open_run *open, struct sc_loaded_plan *plan)
{
    struct taking_up *t = context;
    struct sc_job_run row = {
        .run = open->run, .user = open->user, .started_at = open->started_at, .plan = open->plan};
    sc_job_run_name(&row, plan->plan);
    sc_journal_add_run(t->loop->journal, &row);
    sc_log(SC_LOG_INFO, "part=loop run=" SC_SLICE_FMT " taken up from the store%s", SC_SLICE_ARG(open->run),
           open->cancelled ? " to be ended: it was cancelled" : "");
    struct sc_fact begun = {.kind = SC_FACT_RUN,
                            .run = open->run,
                            .plan = open->plan,
                            .options = open->options,
                            .user = open->user,
                            .at = open->started_at};
    add_fact(t, &begun, plan);
    struct sc_fact cancelled = {.kind = SC_FACT_CANCEL, .run = open->run};
    if (open->cancelled)
        add_fact(t, &cancelled, NULL);
}

enum sc_rc sc_loop_take_up(struct sc_loop *loop, uint64_t *last_seq, struct sc_error *err)
{
    struct taking_up t = {loop, *last_seq};
    const struct sc_open_visitor visitor = {.known = known, .take = take, .context = &t};
    struct sc_error own = SC_ERROR_INIT;
    enum sc_rc rc = sc_storage_open_runs(loop->storage, &visitor, &own);
    *last_seq = t.seq;
    if (rc == SC_DENIED) { // works without, as it does without the list of what was withdrawn
        sc_log(SC_LOG_WARN, "part=loop open runs of an earlier life cannot be taken up: %s", own.message);
        return SC_OK;
    }
    if (rc == SC_OK) // they can be asked for as soon as there is a socket
        return sc_journal_commit_first(loop->journal, err);
    *err = own;
    return sc_error_wrap(err, rc, "look for open runs of an earlier life in the store");
}
