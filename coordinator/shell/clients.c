// Messages from and to clients: what the core decides becomes its events, what only reads goes to the query thread. A run that
// a request names is resolved there first, since it may be named by a prefix, or by "latest".
#include "coordinator/shell/loop.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/log.h"
#include "coordinator/shell/copy.h"

#include <jansson.h>

// ---- to clients

bool sc_loop_send_client(struct sc_loop *loop, uint64_t number, const struct sc_message *message)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_peer *client = sc_peers_by_number(&loop->clients, number);
    if (!client)
        return false; // it went
    loop->sent = true;
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

// ---- from clients

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

static void query(struct sc_loop *loop, uint64_t client, const struct sc_message *message, bool resolve)
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
    int64_t now_ms;
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
    json_object_set_new(row, "heard_ms_ago", json_integer(rows->now_ms - agent->heard_ms));
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
    struct agent_rows rows = {.arena = &arena,
                              .rows = SC_NEW_ARRAY(&arena, SC_LIMIT_PEERS, struct sc_slice),
                              .now_ms = loop->mono_ms};
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
            query(loop, client, message, false);
        return;
    case SC_MESSAGE_SHOW:
    case SC_MESSAGE_WATCH:
    case SC_MESSAGE_LOGS:
    case SC_MESSAGE_EXPLAIN:
    case SC_MESSAGE_CANCEL:
    case SC_MESSAGE_CACHE:
        query(loop, client, message, true);
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

// ---- requests for an open run, after its id was resolved

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
    event.u.run = job->u.query.run;
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

// The last one's answer tells the client.
static void void_keys(struct sc_loop *loop, const struct sc_job *query)
{
    uint32_t count = query->u.query.void_count;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_job *job = sc_job_new(SC_JOB_WRITE_VOID);
        job->u.write_void.key = query->u.query.voids[i];
        job->u.write_void.reason = (struct sc_slice)SC_SLICE_LIT("removed by hand");
        job->u.write_void.wall_ms = loop->wall_ms;
        if (i + 1 == count) {
            job->client = query->client;
            job->client_req = query->client_req;
            job->u.write_void.row_count = count;
            job->u.write_void.rows = SC_NEW_ARRAY(&job->arena, count, struct sc_slice);
            for (uint32_t k = 0; k < count; k++)
                job->u.write_void.rows[k] = sc_arena_copy(&job->arena, query->u.query.rows[k]);
        }
        sc_loop_post(loop, job);
    }
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

void sc_loop_query_answered(struct sc_loop *loop, struct sc_job *job)
{
    const struct sc_message *message = &job->u.query.message;
    if (job->rc != SC_OK) {
        sc_loop_send_error(loop, job->client, job->client_req, job->rc, &job->err);
    } else if (job->u.query.void_count) {
        void_keys(loop, job);
    } else if (job->u.query.open && job->u.query.have_events) {
        sc_loop_follow(loop, job);
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
