// Messages from clients: what the core decides becomes its events, what only reads goes to the query thread. A run that
// a request names is resolved there first, since it may be named by a prefix, or by "latest".
#include "coordinator/shell/loop.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/log.h"
#include "coordinator/shell/copy.h"

#include <jansson.h>

static void put(struct sc_loop *loop, uint64_t client, const struct sc_message *message)
{
    struct sc_job *job = sc_job_new(SC_JOB_PUT);
    job->client = client;
    job->client_req = message->id;
    sc_copy_struct(sc_message_schema(SC_MESSAGE_PUT), &message->body.put, &job->arena, &job->u.put);
    sc_loop_post(loop, job);
}

static void submit(struct sc_loop *loop, uint64_t client, const struct sc_message *message)
{
    struct sc_event event = {.kind = SC_EVENT_SUBMIT, .client = client, .client_req = message->id};
    event.u.submit = &message->body.submit;
    sc_loop_feed(loop, &event);
}

static void ask(struct sc_loop *loop, uint64_t client, const struct sc_message *message, bool resolve)
{
    struct sc_job *job = sc_job_new(SC_JOB_QUERY);
    job->client = client;
    job->client_req = message->id;
    job->u.query.message = *message;
    job->u.query.resolve = resolve;
    sc_copy_struct(sc_message_schema(message->type), &message->body, &job->arena, &job->u.query.message.body);
    sc_loop_post(loop, job);
}

struct agent_rows {
    struct sc_arena *arena;
    struct sc_slice *rows;
    uint32_t count;
};

static void agent_row(void *context, const struct sc_core_agent_view *agent)
{
    struct agent_rows *rows = context;
    if (rows->count == SC_LIMIT_PEERS)
        return;
    json_t *row = json_object();
    json_object_set_new(row, "agent", json_stringn((const char *)agent->name.ptr, agent->name.len));
    json_object_set_new(row, "software",
                        json_stringn((const char *)agent->software.ptr, agent->software.len));
    json_object_set_new(row, "assurance",
                        json_stringn((const char *)agent->assurance.ptr, agent->assurance.len));
    json_object_set_new(row, "cpus_milli", json_integer(agent->cpus_milli));
    json_object_set_new(row, "used_cpus_milli", json_integer(agent->used_cpus_milli));
    json_object_set_new(row, "gpus", json_integer(agent->gpus));
    json_object_set_new(row, "memory_bytes", json_integer((json_int_t)agent->memory_bytes));
    json_object_set_new(row, "attempts", json_integer(agent->attempts));
    json_object_set_new(row, "heard_ms_ago", json_integer(agent->heard_ms));
    char *text = json_dumps(row, JSON_COMPACT);
    json_decref(row);
    if (text)
        rows->rows[rows->count++] = sc_arena_copy(rows->arena, sc_slice_str(text));
    free(text);
}

static void list_agents(struct sc_loop *loop, uint64_t client, const struct sc_message *message)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct agent_rows rows = {.arena = &arena, .rows = SC_NEW_ARRAY(&arena, SC_LIMIT_PEERS, struct sc_slice)};
    sc_core_agents(loop->core, agent_row, &rows);
    struct sc_message page = {.type = SC_MESSAGE_PAGE, .id = message->id};
    page.body.page.rows = (sc_text_list){rows.rows, rows.count};
    page.body.page.last = true;
    (void)sc_loop_send_client(loop, client, &page);
}

static void refuse(struct sc_loop *loop, uint64_t client, const struct sc_message *message)
{
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_error_set(&err, SC_INVALID, "a client does not send messages of type %s",
                                 sc_message_type_name(message->type));
    sc_loop_send_error(loop, client, message->id, rc, &err);
}

void sc_loop_client_message(struct sc_loop *loop, const struct sc_peer_id *from,
                            const struct sc_message *message)
{
    struct sc_peer *peer = sc_peers_get(&loop->clients, from);
    if (!peer) {
        sc_log(SC_LOG_WARN, "part=bus ignoring a client: more than %u are there", SC_LIMIT_PEERS);
        return;
    }
    uint64_t client = peer->number;
    switch (message->type) {
    case SC_MESSAGE_PUT:
        put(loop, client, message);
        return;
    case SC_MESSAGE_SUBMIT:
        submit(loop, client, message);
        return;
    case SC_MESSAGE_LIST:
        if (sc_slice_eq_str(message->body.list.what, "agents"))
            list_agents(loop, client, message);
        else
            ask(loop, client, message, false);
        return;
    case SC_MESSAGE_SHOW:
    case SC_MESSAGE_WATCH:
    case SC_MESSAGE_LOGS:
    case SC_MESSAGE_EXPLAIN:
    case SC_MESSAGE_CANCEL:
    case SC_MESSAGE_CACHE:
        ask(loop, client, message, true);
        return;
    case SC_MESSAGE_HELLO:
    case SC_MESSAGE_RENEW:
    case SC_MESSAGE_ACCEPTED:
    case SC_MESSAGE_REJECTED:
    case SC_MESSAGE_PROGRESS:
    case SC_MESSAGE_LOG:
    case SC_MESSAGE_PROBED:
    case SC_MESSAGE_REPORTED:
    case SC_MESSAGE_ENDED:
    case SC_MESSAGE_GOODBYE:
    case SC_MESSAGE_WELCOME:
    case SC_MESSAGE_PROBE:
    case SC_MESSAGE_ASSIGN:
    case SC_MESSAGE_REVOKE:
    case SC_MESSAGE_LISTEN:
    case SC_MESSAGE_DRAIN:
    case SC_MESSAGE_STARTED:
    case SC_MESSAGE_EVENT:
    case SC_MESSAGE_PAGE:
    case SC_MESSAGE_DONE:
    case SC_MESSAGE_ERROR:
    case SC_MESSAGE_COUNT:
        break;
    }
    refuse(loop, client, message);
}

void sc_loop_clients_gone(struct sc_loop *loop)
{
    struct sc_peer *client;
    while ((client = sc_peers_take_gone(&loop->clients))) {
        struct sc_event event = {.kind = SC_EVENT_CLIENT_GONE, .client = client->number};
        struct sc_job *job = sc_job_new(SC_JOB_PUT_DROP);
        job->client = client->number;
        sc_loop_post(loop, job);
        free(client);
        sc_loop_feed(loop, &event);
    }
}
