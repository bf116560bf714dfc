// What leaves the loop: jobs for the worker threads, messages for agents and clients, and events for clients, many in one message.
#include "coordinator/shell/loop.h"

#include "base/memory.h"
#include "base/os/log.h"
#include "coordinator/shell/copy.h"

enum { EVENTS_MOST = 256, EVENTS_BYTES = 384 << 10 };

void sc_loop_post(struct sc_loop *loop, struct sc_job *job)
{
    loop->jobs_under_way++;
    loop->reads_under_way += job->kind == SC_JOB_LOOK_UP;
    if (job->kind == SC_JOB_WRITE_RECORD) {
        loop->records_under_way++;
        loop->hurried = false;
    }
    if (job->kind == SC_JOB_QUERY)
        sc_queries_post(loop->queries, job);
    else
        sc_storage_post(loop->storage, job);
}

// ---- messages

void sc_loop_send_agent(struct sc_loop *loop, uint64_t number, const struct sc_message *message)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_peer *agent = sc_peers_by_number(&loop->agents, number);
    if (!agent)
        return; // the core is told that it is gone
    enum sc_rc rc = sc_bus_send(loop->agents_bus, &agent->id, message, &err);
    if (rc == SC_OK)
        return;
    sc_log(SC_LOG_INFO, "part=bus an agent is given up: %s", err.message);
    sc_peers_mark_gone(&loop->agents, agent);
}

bool sc_loop_send_client(struct sc_loop *loop, uint64_t number, const struct sc_message *message)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_peer *client = sc_peers_by_number(&loop->clients, number);
    if (!client)
        return false; // it went
    enum sc_rc rc = sc_bus_send(loop->clients_bus, &client->id, message, &err);
    if (rc == SC_OK)
        return true;
    sc_log(SC_LOG_INFO, "part=bus a client is given up: %s", err.message);
    sc_peers_mark_gone(&loop->clients, client);
    return false;
}

void sc_loop_send_error(struct sc_loop *loop, uint64_t client, uint64_t client_req, enum sc_rc rc,
                        const struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_ERROR, .id = client_req};
    message.body.error =
        (struct sc_msg_error){.code = sc_slice_str(sc_rc_name(rc)),
                              .message = sc_slice_str(err->message[0] ? err->message : sc_rc_text(rc)),
                              .hint = sc_slice_str(err->hint),
                              .rc = (uint32_t)-rc};
    (void)sc_loop_send_client(loop, client, &message);
}

void sc_loop_send_done(struct sc_loop *loop, uint64_t client, uint64_t client_req)
{
    struct sc_message message = {.type = SC_MESSAGE_DONE, .id = client_req};
    (void)sc_loop_send_client(loop, client, &message);
}

// ---- events to clients, many in one message

static size_t event_bytes(const struct sc_event_body *event)
{
    size_t bytes = 200 + event->step.len + event->detail.len + event->text.len + event->log_tail.len;
    for (uint32_t i = 0; i < event->fields.count; i++)
        bytes += event->fields.items[i].label.len + event->fields.items[i].old_.len +
                 event->fields.items[i].new_.len + 16;
    for (uint32_t i = 0; i < event->outputs.count; i++)
        bytes += 64 + event->outputs.items[i].name.len + event->outputs.items[i].uri.len;
    return bytes;
}

static void send_batch(struct sc_loop *loop, struct sc_loop_batch *batch)
{
    struct sc_message message = {.type = SC_MESSAGE_EVENT, .id = batch->to.client_req};
    message.body.event.events.items = batch->events;
    message.body.event.events.count = batch->count;
    (void)sc_loop_send_client(loop, batch->to.client, &message);
}

static void free_batch(struct sc_loop *loop, struct sc_loop_batch *batch)
{
    sc_arena_done(&batch->arena);
    batch->count = 0;
    batch->bytes = 0;
    if (!loop->spare_batch) {
        loop->spare_batch = batch;
        return;
    }
    free(batch->events);
    free(batch);
}

static void flush_at(struct sc_loop *loop, struct sc_loop_batch **at)
{
    struct sc_loop_batch *batch = *at;
    *at = batch->next;
    send_batch(loop, batch);
    free_batch(loop, batch);
}

void sc_loop_flush_events(struct sc_loop *loop)
{
    while (loop->batches)
        flush_at(loop, &loop->batches);
}

void sc_loop_flush_events_of(struct sc_loop *loop, uint64_t client)
{
    for (struct sc_loop_batch **at = &loop->batches; *at;)
        if ((*at)->to.client == client)
            flush_at(loop, at);
        else
            at = &(*at)->next;
}

static struct sc_loop_batch **batch_for(struct sc_loop *loop, const struct sc_watching *to)
{
    struct sc_loop_batch **at = &loop->batches;
    while (*at && ((*at)->to.client != to->client || (*at)->to.client_req != to->client_req))
        at = &(*at)->next;
    if (*at)
        return at;
    struct sc_loop_batch *batch =
        loop->spare_batch ? SC_STEAL(loop->spare_batch) : sc_calloc(1, sizeof *batch);
    if (!batch->events)
        batch->events = sc_calloc(EVENTS_MOST, sizeof *batch->events);
    batch->next = NULL;
    batch->to = *to;
    sc_arena_init(&batch->arena);
    *at = batch;
    return at;
}

void sc_loop_add_event(struct sc_loop *loop, const struct sc_watching *to, const struct sc_event_body *event)
{
    struct sc_loop_batch **at = batch_for(loop, to);
    struct sc_loop_batch *batch = *at;
    sc_copy_struct(&sc_schema_event_body, event, &batch->arena, &batch->events[batch->count++]);
    batch->bytes += event_bytes(event);
    if (batch->count == EVENTS_MOST || batch->bytes > EVENTS_BYTES)
        flush_at(loop, at);
}
