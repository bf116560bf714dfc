#include "tests/lib/http_stub.h"

#include "tests/lib/test.h"

#include <stdio.h>

struct sc_http_stub {
    struct sc_http_server *server; // what follows is under its lock
    const struct sc_http_exchange *exchanges;
    uint32_t count, next, unexpected;
    char surprise[200]; // the last of the unexpected
    struct sc_buf last;
};

static void play(void *context, const struct sc_http_request *request, struct sc_http_reply *reply)
{
    struct sc_http_stub *stub = context;
    sc_buf_clear(&stub->last);
    sc_buf_printf(&stub->last, "%s %s HTTP/1.1\r\n%s\r\n", request->method, request->target, request->head);
    sc_buf_add_slice(&stub->last, request->body);
    const struct sc_http_exchange *exchange = stub->next < stub->count ? &stub->exchanges[stub->next] : NULL;
    if (!exchange || strncmp(sc_buf_cstr(&stub->last), exchange->request, strlen(exchange->request)) != 0) {
        stub->unexpected++;
        snprintf(stub->surprise, sizeof stub->surprise, "%s %s", request->method, request->target);
        reply->status = 599;
        return;
    }
    stub->next++;
    reply->status = exchange->status ? exchange->status : 200;
    reply->how = exchange->how;
    reply->at = exchange->at;
    sc_buf_add_str(&reply->body, exchange->body ? exchange->body : "");
    for (uint32_t i = 0; i < exchange->more; i++)
        sc_buf_add_byte(&reply->body, 'x');
    if (exchange->header)
        sc_buf_printf(&reply->headers, "%s\r\n", exchange->header);
}

struct sc_http_stub *sc_http_stub_new(void)
{
    struct sc_http_stub *stub = sc_calloc(1, sizeof *stub);
    sc_buf_init(&stub->last, 0);
    stub->server = sc_http_server_new(play, NULL, stub);
    return stub;
}

const char *sc_http_stub_host(const struct sc_http_stub *stub)
{
    return sc_http_server_url(stub->server) + strlen("http://");
}

static void check(const struct sc_http_stub *stub)
{
    uint32_t left = stub->count - stub->next;
    if (left || stub->unexpected)
        fail_msg("%u exchanges were not asked for, first %s; %u requests were not expected, last %s", left,
                 left ? stub->exchanges[stub->next].request : "", stub->unexpected, stub->surprise);
}

void sc_http_stub_check(struct sc_http_stub *stub)
{
    sc_http_server_lock(stub->server);
    struct sc_http_stub seen = *stub;
    sc_http_server_unlock(stub->server);
    check(&seen); // which may leave by a jump
}

void sc_http_stub_play(struct sc_http_stub *stub, const struct sc_http_exchange *exchanges, uint32_t count)
{
    sc_http_stub_check(stub);
    sc_http_server_lock(stub->server);
    stub->exchanges = exchanges;
    stub->count = count;
    stub->next = 0;
    sc_http_server_unlock(stub->server);
}

const char *sc_http_stub_last(struct sc_http_stub *stub)
{
    sc_http_server_lock(stub->server);
    const char *text = sc_buf_cstr(&stub->last);
    sc_http_server_unlock(stub->server);
    return text;
}

void sc_http_stub_end(struct sc_http_stub *stub)
{
    sc_http_server_free(stub->server);
    check(stub);
    sc_buf_done(&stub->last);
    free(stub);
}
