// Workers' answers: events for the core, messages for clients.
#include "coordinator/shell/loop.h"

#include "base/memory.h"
#include "base/os/log.h"

static struct sc_event answer_event(const struct sc_job *job, enum sc_event_kind kind)
{
    return (struct sc_event){.kind = kind,
                             .req = job->req,
                             .rc = job->rc,
                             .message = sc_slice_str(job->rc == SC_OK ? "" : job->err.message)};
}

static void note_latest(struct sc_loop *loop, struct sc_job_latest *latest)
{
    sc_latest_note(sc_storage_latest(loop->storage), latest);
    sc_journal_add_latest(loop->journal, latest);
}

static void plan_loaded(struct sc_loop *loop, struct sc_job *job)
{
    struct sc_event event = answer_event(job, SC_EVENT_PLAN_LOADED);
    if (job->rc == SC_OK && job->u.load_plan.has_row) {
        sc_job_run_name(&job->u.load_plan.row, job->u.load_plan.plan->plan);
        sc_journal_add_run(loop->journal, &job->u.load_plan.row);
    }
    event.u.plan_loaded = SC_STEAL(job->u.load_plan.plan);
    sc_loop_feed(loop, &event);
}

static void looked_up(struct sc_loop *loop, struct sc_job *job)
{
    struct sc_event event = answer_event(job, SC_EVENT_LOOKED_UP);
    SC_ASSERT(loop->reads_under_way > 0);
    loop->reads_under_way--;
    for (uint32_t i = 0; i < job->u.look_up.latest_count; i++)
        note_latest(loop, &job->u.look_up.latest[i]);
    event.u.looked_up.items = job->u.look_up.found;
    event.u.looked_up.count = job->u.look_up.count;
    sc_loop_feed(loop, &event);
}

static void presence_told(struct sc_loop *loop, const struct sc_job *job)
{
    struct sc_event event = answer_event(job, SC_EVENT_PRESENCE);
    event.u.presence.rets = job->u.presence.rets;
    event.u.presence.count = job->u.presence.count;
    sc_loop_feed(loop, &event);
}

static void recorded(struct sc_loop *loop, struct sc_job *job)
{
    struct sc_event event = answer_event(job, SC_EVENT_RECORDED);
    SC_ASSERT(loop->records_under_way > 0);
    if (--loop->records_under_way == 0)
        loop->hurried = false;
    switch (job->u.write_record.put) {
    case SC_RECORD_WON:
        event.u.recorded.put = SC_RECORDED_WON;
        break;
    case SC_RECORD_SAME:
        event.u.recorded.put = SC_RECORDED_SAME;
        break;
    case SC_RECORD_LOST:
        event.u.recorded.put = SC_RECORDED_LOST;
        break;
    }
    if (job->rc == SC_OK && job->u.write_record.latest.number)
        note_latest(loop, &job->u.write_record.latest);
    sc_loop_feed(loop, &event);
}

static void store_trouble(struct sc_loop *loop, const struct sc_job *job)
{
    loop->store_trouble = job->rc != SC_OK;
    struct sc_event event = {
        .kind = SC_EVENT_STORE_TROUBLE, .rc = job->rc, .message = sc_slice_str(job->err.message)};
    sc_loop_feed(loop, &event);
}

static void closed_out(struct sc_loop *loop, struct sc_job *job)
{
    struct sc_event event = answer_event(job, SC_EVENT_CLOSED_OUT);
    if (job->rc != SC_OK)
        sc_log(SC_LOG_WARN, "part=store run=" SC_SLICE_FMT " its results could not all be written: %s",
               SC_SLICE_ARG(job->u.close_out.what.run), job->err.message);
    if (job->rc != SC_OK)
        job->u.close_out.row.state = SC_END_FAILED;
    sc_journal_add_run(loop->journal,
                       &job->u.close_out.row); // goes with the core's fact that the run is closed
    event.u.closed_out.outputs = job->u.close_out.outputs;
    event.u.closed_out.count = job->u.close_out.output_count;
    sc_loop_feed(loop, &event);
}

static void put_answered(struct sc_loop *loop, const struct sc_job *job)
{
    if (job->rc == SC_OK)
        sc_loop_send_done(loop, job->client, job->client_req);
    else
        sc_loop_send_error(loop, job->client, job->client_req, job->rc, &job->err);
}

static void take_answer(struct sc_loop *loop, struct sc_job *job)
{
    if (job->kind != SC_JOB_ANSWER && job->kind != SC_JOB_TROUBLE) {
        SC_ASSERT(loop->jobs_under_way > 0);
        loop->jobs_under_way--;
    }
    switch (job->kind) {
    case SC_JOB_LOAD_PLAN:
        plan_loaded(loop, job);
        break;
    case SC_JOB_LOOK_UP:
        looked_up(loop, job);
        break;
    case SC_JOB_PRESENCE:
        presence_told(loop, job);
        break;
    case SC_JOB_WRITE_RECORD:
        recorded(loop, job);
        break;
    case SC_JOB_CLOSE_OUT:
        closed_out(loop, job);
        break;
    case SC_JOB_PUT:
        put_answered(loop, job);
        break;
    case SC_JOB_QUERY:
        sc_loop_query_answered(loop, job);
        return;
    case SC_JOB_ANSWER:
        (void)sc_loop_send_client(loop, job->client, &job->u.answer.message);
        break;
    case SC_JOB_WRITE_VOID:
        sc_loop_voided(loop, job);
        break;
    case SC_JOB_TROUBLE:
        store_trouble(loop, job);
        break;
    case SC_JOB_OPEN_RUN:
    case SC_JOB_PUT_DROP:
    case SC_JOB_HURRY:
        break;
    }
    sc_job_free(job);
}

void sc_loop_answers(struct sc_loop *loop)
{
    struct sc_job *job = sc_mailbox_take(loop->answers, 0);
    while (job) {
        struct sc_job *next = job->next;
        take_answer(loop, job);
        job = next;
    }
}
