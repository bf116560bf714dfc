// Logs of steps that have not ended: a watch of the run with its log lines, of which the client gets those of one step, until the
// step ends. Without --follow it ends when nothing came for a moment: what was written so far was told then.
#include "coordinator/shell/loop.h"

#include "base/memory.h"
#include "coordinator/shell/copy.h"

enum {
    FIRST_MS = 500, // for the agent to be told to send, and to have sent
    QUIET_MS = 100,
    ALL_MS = 3000, // of a step that writes without end
    FOLLOWS_MOST = 1024,
};

struct sc_loop_follow {
    struct sc_loop_follow *next;
    uint64_t client, client_req;
    bool follow, ended, any;
    int64_t began_ms, heard_ms;
    struct sc_job *job; // the query: asked again when the step ended before any of its log came
};

static void unwatch(struct sc_loop *loop, const struct sc_loop_follow *f)
{
    struct sc_event event = {.kind = SC_EVENT_UNWATCH, .client = f->client, .client_req = f->client_req};
    event.u.run = f->job->u.query.run;
    sc_loop_feed(loop, &event);
}

static void forget(struct sc_loop_follow **at)
{
    struct sc_loop_follow *f = *at;
    *at = f->next;
    sc_job_free(f->job);
    free(f);
}

void sc_loop_follow(struct sc_loop *loop, struct sc_job *job)
{
    struct sc_loop_follow *f = sc_calloc(1, sizeof *f);
    const struct sc_msg_logs *logs = &job->u.query.message.body.logs;
    uint32_t count = 0;
    for (const struct sc_loop_follow *other = loop->follows; other; other = other->next)
        count++;
    *f = (struct sc_loop_follow){.next = loop->follows,
                                 .client = job->client,
                                 .client_req = job->client_req,
                                 .follow = logs->follow,
                                 .began_ms = loop->mono_ms,
                                 .heard_ms = loop->mono_ms,
                                 .job = job};
    loop->follows = f;
    struct sc_msg_watch watch = {.run = job->u.query.run, .logs = true};
    struct sc_event event = {.kind = SC_EVENT_WATCH, .client = job->client, .client_req = job->client_req};
    event.u.watch = &watch;
    loop->watch_missed = count >= FOLLOWS_MOST;
    loop->watching = &event;
    if (!loop->watch_missed)
        sc_loop_feed(loop, &event);
    loop->watching = NULL;
    if (loop->watch_missed) // the run closed meanwhile: the stored log is asked for in the next tick
        f->ended = true;
}

bool sc_loop_follow_wants(struct sc_loop *loop, const struct sc_watching *to,
                          const struct sc_event_body *event)
{
    struct sc_loop_follow *f = loop->follows;
    while (f && (f->client != to->client || f->client_req != to->client_req))
        f = f->next;
    if (!f)
        return true; // a watch of its own
    const struct sc_msg_logs *logs = &f->job->u.query.message.body.logs;
    if (!sc_slice_eq(event->step, logs->step) || f->ended)
        return false;
    if (event->type == SC_EV_STEP_FINISHED)
        f->ended = true;
    if (event->type != SC_EV_STEP_LOG || (logs->attempt && event->attempt != logs->attempt))
        return false;
    f->any = true;
    f->heard_ms = loop->mono_ms;
    return true;
}

// The core said the last word of the watch.
void sc_loop_follow_done(struct sc_loop *loop, uint64_t client, uint64_t client_req)
{
    for (struct sc_loop_follow **at = &loop->follows; *at; at = &(*at)->next)
        if ((*at)->client == client && (*at)->client_req == client_req) {
            forget(at);
            return;
        }
}

static void ask_again(struct sc_loop *loop, struct sc_loop_follow *f)
{
    struct sc_job *job = f->job;
    f->job = NULL;
    job->u.query.have_events = job->u.query.open = false;
    job->u.query.events = sc_slice(NULL, 0);
    job->u.query.resolve = true;
    sc_loop_post(loop, job);
}

static bool was_told(const struct sc_loop *loop, const struct sc_loop_follow *f)
{
    return loop->mono_ms - f->heard_ms > (f->any ? QUIET_MS : FIRST_MS) ||
           loop->mono_ms - f->began_ms > ALL_MS;
}

void sc_loop_follows_tick(struct sc_loop *loop)
{
    for (struct sc_loop_follow **at = &loop->follows; *at;) {
        struct sc_loop_follow *f = *at;
        bool quiet = !f->follow && was_told(loop, f);
        if (!sc_peers_by_number(&loop->clients, f->client)) {
            forget(at);
            continue;
        }
        if (!f->ended && !quiet) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        unwatch(loop, f);
        sc_loop_flush_events_of(loop, f->client);
        if (f->any || !f->ended)
            sc_loop_send_done(loop, f->client, f->client_req);
        else
            ask_again(loop, f);
        sc_job_free(f->job);
        free(f);
    }
}

void sc_loop_follows_done(struct sc_loop *loop)
{
    while (loop->follows)
        forget(&loop->follows);
}
