#include "store/s3/client.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "store/s3/wire.h"
#include "store/s3/xml.h"

#include <stdio.h>

struct bucket_region { // a bucket that turned out to lie elsewhere
    struct bucket_region *next;
    char *bucket, *region;
};

struct queue {
    struct sc_s3_call *first, *last;
};

struct sc_s3_client {
    char *region, *bucket, *prefix, *known_key;
    struct bucket_region *regions;
    struct sc_s3_provider *provider;
    struct sc_s3_wire *wire;
    struct sc_s3_pace pace;
    uint32_t generation; // of the credentials: counts what the server refused
    int64_t skew_ms;
    struct queue ready;    // in order
    struct queue waiting;  // for their due_ms
    struct queue unjudged; // until our rights are known
    enum sc_s3_rights rights;
    struct sc_s3_call rights_call;
    struct sc_s3_param rights_params[3];
    bool asks_rights;
    struct sc_s3_client_counts counts;
    uint32_t ended; // since the turn began
};

static char *copy(struct sc_slice text)
{
    return sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(text));
}

enum sc_rc sc_s3_client_new(const struct sc_s3_client_config *config, struct sc_s3_client **ret_client,
                            struct sc_error *err)
{
    const struct sc_s3_wire_kind *kind = config->wire ? config->wire : &sc_s3_wire_http;
    struct sc_s3_wire *wire;
    enum sc_rc rc = kind->open(config, &wire, err);
    if (rc != SC_OK)
        return rc;
    struct sc_s3_client *client = sc_calloc(1, sizeof *client);
    client->region = copy(config->region);
    client->bucket = copy(config->bucket);
    client->prefix = copy(config->prefix);
    client->known_key = copy(config->known_key);
    client->provider = config->provider;
    client->wire = wire;
    sc_s3_pace_init(&client->pace, config->window, config->patience_ms, config->seed, sc_clock_mono_ms());
    *ret_client = client;
    return SC_OK;
}

void sc_s3_client_free(struct sc_s3_client *client)
{
    if (!client)
        return;
    SC_ASSERT(!sc_s3_client_busy(client));
    while (client->regions) {
        struct bucket_region *region = client->regions;
        client->regions = region->next;
        free(region->bucket);
        free(region->region);
        free(region);
    }
    client->wire->kind->close(client->wire);
    free(client->region);
    free(client->bucket);
    free(client->prefix);
    free(client->known_key);
    free(client);
}

void sc_s3_call_init(struct sc_s3_call *call, enum sc_s3_ask ask)
{
    *call = (struct sc_s3_call){.ask = ask, .source = {.fd = -1}};
    sc_s3_exchange_init(&call->exchange);
    sc_s3_target_init(&call->target);
    sc_arena_init(&call->sign_arena);
}

void sc_s3_call_done(struct sc_s3_call *call)
{
    sc_s3_exchange_done(&call->exchange);
    sc_s3_target_done(&call->target);
    sc_arena_done(&call->sign_arena);
}

// ---- queues

static void push(struct queue *queue, struct sc_s3_call *call)
{
    call->next = NULL;
    if (queue->last)
        queue->last->next = call;
    else
        queue->first = call;
    queue->last = call;
}

static struct sc_s3_call *pop(struct queue *queue)
{
    struct sc_s3_call *call = queue->first;
    queue->first = call->next;
    if (!queue->first)
        queue->last = NULL;
    return call;
}

static void push_front(struct queue *queue, struct sc_s3_call *call)
{
    call->next = queue->first;
    queue->first = call;
    if (!queue->last)
        queue->last = call;
}

void sc_s3_client_writer(struct sc_s3_client *client, char ret_writer[33])
{
    snprintf(ret_writer, 33, "%016llx%016llx", (unsigned long long)sc_random_next(&client->pace.random),
             (unsigned long long)sc_random_next(&client->pace.random));
}

void sc_s3_client_submit(struct sc_s3_client *client, struct sc_s3_call *call)
{
    call->client = client;
    call->compares = call->by_get = call->looked = false;
    call->attempts = call->mended = call->damaged = 0;
    call->failed_ms = 0;
    call->unsure = call->archived = call->empty = false;
    call->rc = SC_OK;
    call->err = (struct sc_error)SC_ERROR_INIT;
    if (call->writer)
        memcpy(call->writer_text, call->writer, sizeof call->writer_text);
    else if (call->if_absent)
        sc_s3_client_writer(client, call->writer_text);
    push(&client->ready, call);
}

bool sc_s3_client_busy(const struct sc_s3_client *client)
{
    return client->ready.first || client->waiting.first || client->unjudged.first ||
           client->wire->kind->pending(client->wire);
}

const struct sc_s3_wire_kind *sc_s3_client_wire(const struct sc_s3_client *client)
{
    return client->wire->kind;
}

uint32_t sc_s3_client_window(const struct sc_s3_client *client)
{
    return client->pace.window_max;
}

struct sc_s3_client_counts sc_s3_client_counts(const struct sc_s3_client *client)
{
    return client->counts;
}

static void end(struct sc_s3_client *client, struct sc_s3_call *call, enum sc_rc rc)
{
    call->rc = rc;
    client->ended++;
    call->done(call);
}

// ---- sending

static struct sc_slice region_of(const struct sc_s3_client *client, struct sc_slice bucket)
{
    for (const struct bucket_region *r = client->regions; r; r = r->next)
        if (sc_slice_eq_str(bucket, r->bucket))
            return sc_slice_str(r->region);
    return sc_slice_str(client->region);
}

static void set_region(struct sc_s3_client *client, struct sc_slice bucket, struct sc_slice region)
{
    struct bucket_region *r = client->regions;
    while (r && !sc_slice_eq_str(bucket, r->bucket))
        r = r->next;
    if (!r) {
        r = sc_calloc(1, sizeof *r);
        r->bucket = copy(bucket);
        r->next = client->regions;
        client->regions = r;
    }
    free(r->region);
    r->region = copy(region);
}

// What is asked for now, which is not always what the caller asked.
static enum sc_s3_ask ask_of(const struct sc_s3_call *call)
{
    return call->by_get ? SC_S3_GET : call->compares ? SC_S3_HEAD : call->ask;
}

bool sc_s3_call_is_main(const struct sc_s3_call *call)
{
    return !call->by_get && !call->compares;
}

bool sc_s3_call_has_body(const struct sc_s3_call *call, enum sc_s3_ask ask)
{
    return sc_s3_call_is_main(call) && (ask == SC_S3_PUT || ask == SC_S3_PART || ask == SC_S3_COMPLETE ||
                                        ask == SC_S3_BEGIN || ask == SC_S3_COPY);
}

static void count(struct sc_s3_client *client, enum sc_s3_ask ask, bool again)
{
    switch (ask) {
    case SC_S3_GET:
    case SC_S3_HEAD:
        client->counts.gets++;
        break;
    case SC_S3_DELETE:
    case SC_S3_ABORT:
        client->counts.deletes++;
        break;
    case SC_S3_PUT:
    case SC_S3_COPY:
    case SC_S3_LIST:
    case SC_S3_BEGIN:
    case SC_S3_PART:
    case SC_S3_COMPLETE:
    case SC_S3_UPLOADS:
        client->counts.puts++;
        break;
    }
    client->counts.retries += again;
}

static void answered(struct sc_s3_exchange *exchange);

static void start(struct sc_s3_client *client, struct sc_s3_call *call)
{
    // A wire without conditions: whose is what lies there? Asked before a write, and after it.
    bool looks = call->if_absent && !client->wire->kind->conditional && !call->looked;
    call->compares |= looks;
    if (call->prepare && sc_s3_call_is_main(call))
        call->prepare(call);
    enum sc_s3_ask ask = ask_of(call);
    sc_arena_reset(&call->sign_arena);
    call->region = sc_arena_copy(&call->sign_arena, region_of(client, call->bucket));
    call->generation = client->generation;
    call->skew_ms = client->skew_ms;
    call->attempts += !looks;
    struct sc_s3_exchange *x = &call->exchange;
    x->sink = sc_s3_call_is_main(call) ? call->sink : (struct sc_s3_sink){.begin = NULL};
    x->stall_ms = call->stall_ms;
    x->done = answered;
    x->context = call;
    x->further = 0;
    enum sc_rc rc = client->wire->kind->send(client->wire, call, ask);
    if (rc != SC_OK)
        end(client, call, rc);
    else
        count(client, ask, !looks && call->attempts > 1);
}

// ---- judging

static struct sc_s3_attempt attempt_of(struct sc_s3_client *client, struct sc_s3_call *call)
{
    const struct sc_s3_answer *answer = &call->exchange.answer;
    struct sc_s3_attempt a = {.ask = ask_of(call),
                              .if_absent = call->if_absent,
                              .number = call->attempts,
                              .now_ms = sc_clock_mono_ms(),
                              .failed_ms = call->failed_ms,
                              .wall_ms = sc_clock_wall_ms(),
                              .skew_ms = call->skew_ms,
                              .stale = call->generation != client->generation,
                              .unsure = call->unsure || answer->resent,
                              .mended = call->mended,
                              .damaged = call->damaged,
                              .used_region = call->region,
                              .rights = SC_S3_RIGHTS_NONE,
                              .failure = answer->failure,
                              .own = answer->own,
                              .status = answer->status,
                              .request_id = answer->request_id,
                              .region = answer->region,
                              .date_ms = answer->date_ms,
                              .retry_after_ms = answer->retry_after_ms};
    bool own = sc_slice_eq_str(call->bucket, client->bucket) && sc_slice_starts(call->key, client->prefix);
    if (own && call != &client->rights_call) // whose own 403 is final
        a.rights = client->rights;
    return a;
}

static bool needs_etag(enum sc_s3_ask ask)
{
    return ask == SC_S3_PUT || ask == SC_S3_PART || ask == SC_S3_HEAD;
}

// Reads what the body says of an error, and whether a good one is what it must be.
static void read_body(struct sc_s3_call *call, struct sc_s3_attempt *a)
{
    struct sc_s3_exchange *x = &call->exchange;
    struct sc_s3_fault fault = {.code = {NULL, 0}};
    bool good = a->status >= 200 && a->status < 300;
    if (a->failure != SC_S3_CAME)
        return; // half a body says nothing
    // Two answer 200 before they know their end.
    bool late = a->ask == SC_S3_COPY || a->ask == SC_S3_COMPLETE || a->ask == SC_S3_PART;
    if (x->text.len && (!good || late) && sc_s3_xml_fault(sc_buf_slice(&x->text), &x->arena, &fault)) {
        a->code = fault.code;
        a->message = fault.message;
        if (fault.region.len)
            a->region = fault.region;
        if (!a->request_id.len)
            a->request_id = fault.request_id;
    }
    a->from_s3 = a->code.len || a->request_id.len;
    if (!good || a->code.len)
        return;
    if (needs_etag(a->ask) && !x->answer.etag.len && !call->check)
        a->broken = true;
    if (call->check && sc_s3_call_is_main(call))
        a->broken = call->check(call, &a->own) != SC_OK;
}

static void ask_rights(struct sc_s3_client *client);

static void wait_for(struct sc_s3_client *client, struct sc_s3_call *call, int64_t wait_ms)
{
    call->looked = false;
    call->due_ms = sc_clock_mono_ms() + wait_ms;
    if (wait_ms <= 0)
        push_front(&client->ready, call);
    else
        push(&client->waiting, call);
}

static void mended(struct sc_s3_client *client, struct sc_s3_call *call)
{
    call->looked = false;
    call->mended++;
    push_front(&client->ready, call);
}

static void refresh(struct sc_s3_client *client, struct sc_s3_call *call)
{
    struct sc_s3_credentials credentials;
    enum sc_rc rc = sc_s3_provider_get(client->provider, sc_clock_wall_ms() + client->skew_ms, true,
                                       &credentials, &call->err);
    client->generation++;
    if (rc != SC_OK)
        end(client, call, rc);
    else
        mended(client, call);
}

// It succeeded. A HEAD that had to ask by GET has its size in the range; a name that was taken tells by whom.
static void succeed(struct sc_s3_client *client, struct sc_s3_call *call, const struct sc_s3_verdict *verdict)
{
    struct sc_s3_answer *answer = &call->exchange.answer;
    call->empty = verdict->empty;
    if (sc_s3_call_is_main(call) && call->looked) { // unconditional: did another write meanwhile?
        call->looked = false;
        push_front(&client->ready, call);
        return;
    }
    if (call->by_get)
        answer->length = verdict->empty ? 0 : answer->range_total >= 0 ? answer->range_total : answer->length;
    if (call->compares && !sc_slice_eq_str(answer->writer, call->writer_text)) {
        end(client, call,
            sc_error_set(&call->err, SC_EXISTS, "s3://" SC_SLICE_FMT "/" SC_SLICE_FMT " is there already",
                         SC_SLICE_ARG(call->bucket), SC_SLICE_ARG(call->key)));
        return;
    }
    end(client, call, SC_OK);
}

static void judge(struct sc_s3_client *client, struct sc_s3_call *call)
{
    struct sc_s3_attempt a = attempt_of(client, call);
    read_body(call, &a);
    struct sc_s3_verdict verdict = sc_s3_judge(&a, &client->pace);
    // What is asked for was not there, or was removed meanwhile: the name is free.
    bool is_free = verdict.action == SC_S3_FINAL && call->compares && verdict.rc == SC_NOT_FOUND;
    if (verdict.action != SC_S3_DONE && !is_free && !call->failed_ms)
        call->failed_ms = a.now_ms;
    call->unsure |= verdict.unsure;
    call->damaged += verdict.damaged;
    switch (verdict.action) {
    case SC_S3_DONE:
        succeed(client, call, &verdict);
        return;
    case SC_S3_FINAL:
        if (is_free) {
            call->compares = call->by_get = call->unsure = false;
            call->looked = !client->wire->kind->conditional;
            push_front(&client->ready, call);
            return;
        }
        call->archived = verdict.archived;
        end(client, call, sc_s3_tell(&a, &verdict, call->bucket, call->key, &call->err));
        return;
    case SC_S3_AGAIN:
        wait_for(client, call, verdict.wait_ms);
        return;
    case SC_S3_REFRESH:
        refresh(client, call);
        return;
    case SC_S3_CLOCK:
        client->skew_ms = verdict.skew_ms;
        mended(client, call);
        return;
    case SC_S3_REGION:
        set_region(client, call->bucket, a.region);
        mended(client, call);
        return;
    case SC_S3_REASON:
        call->by_get = true;
        push_front(&client->ready, call);
        return;
    case SC_S3_COMPARE:
        call->compares = true;
        push_front(&client->ready, call);
        return;
    case SC_S3_RIGHTS:
        push(&client->unjudged, call);
        ask_rights(client);
        return;
    }
    SC_ASSERT(false);
}

enum sc_rc sc_s3_client_wrong_bytes(struct sc_s3_client *client, struct sc_s3_call *call, uint32_t times)
{
    struct sc_s3_attempt a = attempt_of(client, call);
    a.wrong_bytes = times;
    struct sc_s3_verdict verdict = sc_s3_judge(&a, &client->pace);
    if (verdict.action == SC_S3_FINAL)
        return sc_s3_tell(&a, &verdict, call->bucket, call->key, &call->err);
    SC_ASSERT(verdict.action == SC_S3_AGAIN);
    wait_for(client, call, verdict.wait_ms);
    return SC_OK;
}

static void answered(struct sc_s3_exchange *exchange)
{
    struct sc_s3_call *call = exchange->context;
    for (uint32_t i = 0; i < exchange->further; i++)
        count(call->client, exchange->further_ask, false);
    judge(call->client, call);
}

// ---- rights: asked once, when a 403 could mean either

static void rights_known(struct sc_s3_client *client, enum sc_s3_rights rights)
{
    struct queue calls = client->unjudged;
    client->rights = rights;
    client->asks_rights = false;
    client->unjudged = (struct queue){NULL, NULL};
    sc_s3_call_done(&client->rights_call);
    while (calls.first)
        judge(client, pop(&calls));
}

static void known_read(struct sc_s3_call *call)
{
    struct sc_s3_client *client = call->client;
    client->ended--; // nobody's but ours
    rights_known(client, call->rc == SC_OK ? SC_S3_RIGHTS_OBJECTS : SC_S3_RIGHTS_NONE);
}

static void listed(struct sc_s3_call *call)
{
    struct sc_s3_client *client = call->client;
    client->ended--;
    if (call->rc == SC_OK) {
        rights_known(client, SC_S3_RIGHTS_LIST);
        return;
    }
    sc_s3_call_done(call);
    sc_s3_call_init(call, SC_S3_GET);
    call->bucket = sc_slice_str(client->bucket);
    call->key = sc_slice_str(client->known_key);
    call->done = known_read;
    sc_s3_client_submit(client, call);
}

static void ask_rights(struct sc_s3_client *client)
{
    if (client->asks_rights)
        return;
    client->asks_rights = true;
    struct sc_s3_param *params = client->rights_params;
    params[0] = (struct sc_s3_param){sc_slice_str("list-type"), sc_slice_str("2")};
    params[1] = (struct sc_s3_param){sc_slice_str("max-keys"), sc_slice_str("1")};
    params[2] = (struct sc_s3_param){sc_slice_str("prefix"), sc_slice_str(client->prefix)};
    struct sc_s3_call *call = &client->rights_call;
    sc_s3_call_init(call, SC_S3_LIST);
    call->bucket = sc_slice_str(client->bucket);
    call->params = params;
    call->param_count = 3;
    call->done = listed;
    sc_s3_client_submit(client, call);
}

// ---- the turn

// Those whose time has come, to the front; returns in how many ms the next one is due, or -1.
static int64_t wake(struct sc_s3_client *client)
{
    int64_t now_ms = sc_clock_mono_ms(), next_ms = -1;
    struct queue waiting = client->waiting;
    client->waiting = (struct queue){NULL, NULL};
    while (waiting.first) {
        struct sc_s3_call *call = pop(&waiting);
        int64_t left_ms = call->due_ms - now_ms;
        if (left_ms <= 0) {
            push_front(&client->ready, call);
            continue;
        }
        push(&client->waiting, call);
        if (next_ms < 0 || left_ms < next_ms)
            next_ms = left_ms;
    }
    return next_ms;
}

static void start_ready(struct sc_s3_client *client)
{
    while (client->ready.first && client->wire->kind->pending(client->wire) < client->pace.window)
        start(client, pop(&client->ready));
}

uint32_t sc_s3_client_turn(struct sc_s3_client *client, int wait_ms)
{
    client->ended = 0;
    int64_t next_ms = wake(client);
    start_ready(client);
    if (client->ended)
        wait_ms = 0;
    if (next_ms >= 0 && (wait_ms < 0 || next_ms < wait_ms))
        wait_ms = (int)next_ms;
    if (client->wire->kind->turn(client->wire, wait_ms))
        start_ready(client); // what waited can go on while the caller looks at what ended
    return client->ended;
}
