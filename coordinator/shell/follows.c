// Who follows the log of a step that has not ended: a watch of the run with its log lines, of which the client gets those of one
// step, until the step ends. Begun and ended in requests.c; the effects that go to clients pass by here.
#include "coordinator/shell/loop.h"

#include "base/memory.h"

enum {
    FIRST_MS = 500, // for the agent to be told to send, and to have sent
    QUIET_MS = 100,
    ALL_MS = 3000, // of a step that writes without end
    FOLLOWS_MOST = 1024,
};

void sc_loop_follow_free(struct sc_loop_follow *f)
{
    sc_job_free(f->job);
    free(f);
}

static struct sc_loop_follow *take(struct sc_loop_follow **at)
{
    struct sc_loop_follow *f = *at;
    *at = f->next;
    return f;
}

struct sc_loop_follow *sc_loop_follow_add(struct sc_loop *loop, struct sc_job *job)
{
    struct sc_loop_follow *f = sc_calloc(1, sizeof *f);
    uint32_t count = 0;
    for (const struct sc_loop_follow *other = loop->follows; other; other = other->next)
        count++;
    *f = (struct sc_loop_follow){.next = loop->follows,
                                 .client = job->client,
                                 .client_req = job->client_req,
                                 .follow = job->u.query.message.body.logs.follow,
                                 .ended = count >= FOLLOWS_MOST,
                                 .began_ms = loop->mono_ms,
                                 .heard_ms = loop->mono_ms,
                                 .job = job};
    loop->follows = f;
    return f;
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

void sc_loop_follow_done(struct sc_loop *loop, uint64_t client, uint64_t client_req)
{
    struct sc_loop_follow **at = &loop->follows;
    while (*at && ((*at)->client != client || (*at)->client_req != client_req))
        at = &(*at)->next;
    if (*at)
        sc_loop_follow_free(take(at));
}

// Without --follow it ends when nothing came for a moment: what was written so far was told then.
static bool is_over(const struct sc_loop *loop, const struct sc_loop_follow *f)
{
    bool told =
        loop->mono_ms - f->heard_ms > (f->any ? QUIET_MS : FIRST_MS) || loop->mono_ms - f->began_ms > ALL_MS;
    return f->ended || (!f->follow && told);
}

struct sc_loop_follow *sc_loop_follow_take_over(struct sc_loop *loop)
{
    for (struct sc_loop_follow **at = &loop->follows; *at;)
        if (!sc_peers_by_number(&loop->clients, (*at)->client))
            sc_loop_follow_free(take(at)); // its client went
        else if (is_over(loop, *at))
            return take(at);
        else
            at = &(*at)->next;
    return NULL;
}

void sc_loop_follows_done(struct sc_loop *loop)
{
    while (loop->follows)
        sc_loop_follow_free(take(&loop->follows));
}
