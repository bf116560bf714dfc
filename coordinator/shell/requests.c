// Clients' requests after the query thread: what it found is carried out here, or asked of the core, which alone knows an open run.
#include "coordinator/shell/loop.h"

#include "base/memory.h"

// False when the core does not know it: it closed meanwhile.
static bool watch_run(struct sc_loop *loop, const struct sc_job *job, const struct sc_msg_watch *asked)
{
    struct sc_msg_watch watch = *asked;
    watch.run = job->u.query.run;
    struct sc_event event = {.kind = SC_EVENT_WATCH, .client = job->client, .client_req = job->client_req};
    event.u.watch = &watch;
    loop->watch_missed = false;
    loop->watching = &event;
    sc_loop_feed(loop, &event);
    loop->watching = NULL;
    return !loop->watch_missed;
}

static void cancel_run(struct sc_loop *loop, const struct sc_job *job)
{
    struct sc_event event = {.kind = SC_EVENT_CANCEL, .client = job->client, .client_req = job->client_req};
    event.u.cancel.run = job->u.query.run;
    event.u.cancel.now = job->u.query.message.body.cancel.now;
    sc_loop_feed(loop, &event);
}

struct event_list {
    struct sc_buf bytes;
    uint32_t count;
};

static void encode_event(void *context, const struct sc_event_body *event)
{
    struct event_list *list = context;
    sc_encode(&sc_schema_event_body, event, &list->bytes);
    list->count++;
}

// What the core tells of an open run goes with the query back to the query thread, which sends or explains it.
static void with_events(struct sc_loop *loop, struct sc_job *job)
{
    struct event_list list = {.count = 0};
    sc_buf_init(&list.bytes, 0);
    job->u.query.have_events = true; // none, when it closed meanwhile: its summary is there then
    if (sc_core_visit_events(loop->core, job->u.query.run, encode_event, &list)) {
        struct sc_buf whole;
        sc_buf_init(&whole, 0);
        sc_mp_put_array(&whole, list.count);
        sc_buf_add_slice(&whole, sc_buf_slice(&list.bytes));
        job->u.query.events = sc_arena_copy(&job->arena, sc_buf_slice(&whole));
        sc_buf_done(&whole);
    }
    sc_buf_done(&list.bytes);
    job->u.query.resolve = false;
    sc_loop_post(loop, job);
}

// ---- logs of a step that has not ended: a watch of the run, of which follows.c picks what the client gets

static void follow(struct sc_loop *loop, struct sc_job *job)
{
    static const struct sc_msg_watch with_logs = {.logs = true};
    struct sc_loop_follow *f = sc_loop_follow_add(loop, job);
    if (!f->ended && !watch_run(loop, job, &with_logs))
        f->ended = true; // the run closed meanwhile: the stored log is asked for in the next tick
}

static void unwatch(struct sc_loop *loop, const struct sc_loop_follow *f)
{
    struct sc_event event = {.kind = SC_EVENT_UNWATCH, .client = f->client, .client_req = f->client_req};
    event.u.run = f->job->u.query.run;
    sc_loop_feed(loop, &event);
}

static void ask_again(struct sc_loop *loop, struct sc_job *job)
{
    job->u.query.have_events = job->u.query.open = false;
    job->u.query.events = sc_slice(NULL, 0);
    job->u.query.resolve = true;
    sc_loop_post(loop, job);
}

void sc_loop_follows_tick(struct sc_loop *loop)
{
    struct sc_loop_follow *f;
    while ((f = sc_loop_follow_take_over(loop))) {
        unwatch(loop, f);
        sc_loop_flush_events_of(loop, f->client);
        if (f->any || !f->ended)
            sc_loop_send_done(loop, f->client, f->client_req);
        else
            ask_again(loop, SC_STEAL(f->job));
        sc_loop_follow_free(f);
    }
}

// ---- cache rm, gc

static void void_keys(struct sc_loop *loop, const struct sc_job *query)
{
    uint32_t count = query->u.query.void_count;
    struct sc_job *job = sc_job_new(SC_JOB_WRITE_VOID);
    job->client = query->client;
    job->client_req = query->client_req;
    job->u.write_void.keys = SC_NEW_ARRAY(&job->arena, count, struct sc_digest);
    memcpy(job->u.write_void.keys, query->u.query.voids, count * sizeof *job->u.write_void.keys);
    job->u.write_void.key_count = count;
    job->u.write_void.reason = sc_arena_copy(&job->arena, query->u.query.void_reason);
    job->u.write_void.keep = query->u.query.void_keeps;
    job->u.write_void.row_count = query->u.query.row_count;
    job->u.write_void.wall_ms = loop->wall_ms;
    job->u.write_void.rows = SC_NEW_ARRAY(&job->arena, query->u.query.row_count, struct sc_slice);
    for (uint32_t i = 0; i < query->u.query.row_count; i++)
        job->u.write_void.rows[i] = sc_arena_copy(&job->arena, query->u.query.rows[i]);
    sc_loop_post(loop, job);
}

void sc_loop_voided(struct sc_loop *loop, const struct sc_job *job)
{
    enum { ROWS_A_PAGE = 500 };
    if (!job->client)
        return; // the core's own
    if (job->rc != SC_OK) {
        sc_loop_send_error(loop, job->client, job->client_req, job->rc, &job->err);
        return;
    }
    for (uint32_t i = 0; i < job->u.write_void.row_count; i += ROWS_A_PAGE) {
        uint32_t left = job->u.write_void.row_count - i;
        struct sc_message page = {.type = SC_MESSAGE_PAGE, .id = job->client_req};
        page.body.page.rows =
            (sc_text_list){job->u.write_void.rows + i, left < ROWS_A_PAGE ? left : ROWS_A_PAGE};
        page.body.page.last = left <= ROWS_A_PAGE;
        (void)sc_loop_send_client(loop, job->client, &page);
    }
}

// ---- an answer of the query thread

void sc_loop_query_answered(struct sc_loop *loop, struct sc_job *job)
{
    const struct sc_message *message = &job->u.query.message;
    if (job->rc != SC_OK) {
        sc_loop_send_error(loop, job->client, job->client_req, job->rc, &job->err);
    } else if (job->u.query.void_count) {
        void_keys(loop, job);
    } else if (job->u.query.open && job->u.query.have_events) {
        follow(loop, job);
        return;
    } else if (job->u.query.open) {
        job->u.query.open = false;
        if (message->type == SC_MESSAGE_CANCEL) {
            cancel_run(loop, job);
        } else if (message->type != SC_MESSAGE_WATCH || !watch_run(loop, job, &message->body.watch)) {
            with_events(loop, job);
            return;
        }
    }
    sc_job_free(job);
}
