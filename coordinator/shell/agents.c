// Messages from and to agents. An agent is known by its connection's number, from its hello on.
#include "coordinator/shell/loop.h"

#include "base/os/log.h"

static void say_hello_first(struct sc_loop *loop, const struct sc_peer_id *from, uint64_t id)
{
    struct sc_error ignored = SC_ERROR_INIT;
    struct sc_message message = {.type = SC_MESSAGE_ERROR, .id = id};
    message.body.error = (struct sc_msg_error){.code = sc_slice_str(sc_rc_name(SC_CLOSED)),
                                               .message = SC_SLICE_LIT("this connection is not known here"),
                                               .hint = SC_SLICE_LIT("say hello"),
                                               .rc = (uint32_t)-SC_CLOSED};
    if (sc_bus_send(loop->agents_bus, from, &message, &ignored) != SC_OK)
        sc_log(SC_LOG_DEBUG, "part=bus ignoring: %s", ignored.message);
}

static void stranger(struct sc_loop *loop, const struct sc_peer_id *from)
{
    sc_log(SC_LOG_WARN,
           "part=bus ignoring an agent's connection: more than %u bytes of routing id or too many peers",
           (unsigned)from->len);
    (void)loop;
}

static bool event_of(const struct sc_message *message, struct sc_event *event)
{
    switch (message->type) {
    case SC_MESSAGE_HELLO:
        event->kind = SC_EVENT_HELLO;
        event->u.hello = &message->body.hello;
        return true;
    case SC_MESSAGE_RENEW:
        event->kind = SC_EVENT_RENEW;
        event->u.renew = &message->body.renew;
        return true;
    case SC_MESSAGE_ACCEPTED:
        event->kind = SC_EVENT_ACCEPTED;
        event->u.accepted = &message->body.accepted;
        return true;
    case SC_MESSAGE_REJECTED:
        event->kind = SC_EVENT_REJECTED;
        event->u.rejected = &message->body.rejected;
        return true;
    case SC_MESSAGE_PROGRESS:
        event->kind = SC_EVENT_PROGRESS;
        event->u.progress = &message->body.progress;
        return true;
    case SC_MESSAGE_LOG:
        event->kind = SC_EVENT_LOG;
        event->u.log = &message->body.log;
        return true;
    case SC_MESSAGE_PROBED:
        event->kind = SC_EVENT_PROBED;
        event->req = message->body.probed.probe;
        event->u.probed = &message->body.probed;
        return true;
    case SC_MESSAGE_REPORTED:
        event->kind = SC_EVENT_REPORTED;
        event->u.reported = &message->body.reported;
        return true;
    case SC_MESSAGE_ENDED:
        event->kind = SC_EVENT_ENDED;
        event->u.ended = &message->body.ended;
        return true;
    case SC_MESSAGE_GOODBYE:
        event->kind = SC_EVENT_AGENT_GONE;
        return true;
    case SC_MESSAGE_WELCOME:
    case SC_MESSAGE_PROBE:
    case SC_MESSAGE_ASSIGN:
    case SC_MESSAGE_REVOKE:
    case SC_MESSAGE_LISTEN:
    case SC_MESSAGE_DRAIN:
    case SC_MESSAGE_PUT:
    case SC_MESSAGE_SUBMIT:
    case SC_MESSAGE_LIST:
    case SC_MESSAGE_SHOW:
    case SC_MESSAGE_WATCH:
    case SC_MESSAGE_LOGS:
    case SC_MESSAGE_CANCEL:
    case SC_MESSAGE_EXPLAIN:
    case SC_MESSAGE_CACHE:
    case SC_MESSAGE_STARTED:
    case SC_MESSAGE_EVENT:
    case SC_MESSAGE_PAGE:
    case SC_MESSAGE_DONE:
    case SC_MESSAGE_ERROR:
    case SC_MESSAGE_COUNT:
        break;
    }
    return false;
}

// The agent counts from its hello on.
static void hear_requests(struct sc_loop *loop, struct sc_peer *agent, const struct sc_requests *now)
{
    struct sc_requests last = agent->requests;
    if (now->put < last.put || now->get < last.get || now->delete_ < last.delete_)
        return; // not an agent of ours
    struct sc_requests more = {now->put - last.put, now->get - last.get, now->delete_ - last.delete_};
    agent->requests = *now;
    sc_spending_add(loop->spending, &more);
}

void sc_loop_agent_message(struct sc_loop *loop, const struct sc_peer_id *from,
                           const struct sc_message *message)
{
    struct sc_event event = {0};
    struct sc_peer *agent = sc_peers_find(&loop->agents, from);
    if (message->type == SC_MESSAGE_ERROR) {
        sc_log(SC_LOG_WARN, "part=bus an agent says: " SC_SLICE_FMT,
               SC_SLICE_ARG(message->body.error.message));
        return;
    }
    if (!event_of(message, &event)) {
        sc_log(SC_LOG_WARN, "part=bus ignoring a message of type %s from an agent",
               sc_message_type_name(message->type));
        return;
    }
    if (!agent && event.kind == SC_EVENT_AGENT_GONE)
        return;
    if (!agent && event.kind != SC_EVENT_HELLO) {
        say_hello_first(loop, from, message->id);
        return;
    }
    bool known = agent != NULL; // one that hears nothing says hello again, every few seconds
    if (!agent && !(agent = sc_peers_get(&loop->agents, from))) {
        stranger(loop, from);
        return;
    }
    event.agent = agent->number;
    if (message->type == SC_MESSAGE_RENEW)
        hear_requests(loop, agent, &message->body.renew.requests);
    else if (message->type == SC_MESSAGE_REPORTED)
        hear_requests(loop, agent, &message->body.reported.requests);
    else if (message->type == SC_MESSAGE_GOODBYE)
        hear_requests(loop, agent, &message->body.goodbye.requests);
    if (event.kind == SC_EVENT_AGENT_GONE) {
        sc_peers_mark_gone(&loop->agents, agent); // told to the core with the others
        return;
    }
    if (event.kind == SC_EVENT_HELLO) {
        agent->requests = (struct sc_requests){0};
        sc_log(known ? SC_LOG_DEBUG : SC_LOG_INFO, "part=bus agent=" SC_SLICE_FMT " says hello",
               SC_SLICE_ARG(message->body.hello.agent));
    }
    sc_loop_feed(loop, &event);
}

void sc_loop_agents_gone(struct sc_loop *loop)
{
    struct sc_peer *agent;
    while ((agent = sc_peers_take_gone(&loop->agents))) {
        struct sc_event event = {.kind = SC_EVENT_AGENT_GONE, .agent = agent->number};
        free(agent);
        sc_loop_feed(loop, &event);
    }
}

void sc_loop_drain_agents(struct sc_loop *loop)
{
    struct sc_message message = {.type = SC_MESSAGE_DRAIN, .body.drain = {.now = true}};
    struct sc_peer *agent, *next;
    HASH_ITER (by_number, loop->agents.by_number, agent, next)
        sc_loop_send_agent(loop, agent->number, &message);
}
