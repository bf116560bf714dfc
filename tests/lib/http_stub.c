#include "tests/lib/http_stub.h"

#include "tests/lib/test.h"

#include "base/buf.h"
#include "base/os/file.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_BYTES = 1 << 20, FLOOD_BYTES = 1 << 20 };

struct sc_http_stub {
    pthread_t thread;
    int listener, stop;
    uint16_t port;
    pthread_mutex_t lock; // of what follows
    const struct sc_http_exchange *exchanges;
    uint32_t count, next, unexpected;
    struct sc_buf last;
};

// True when fd can be read; false when the stub is to end, which waits for what has come in.
static bool await(struct sc_http_stub *stub, int fd)
{
    struct pollfd polls[2] = {{fd, POLLIN, 0}, {stub->stop, POLLIN, 0}};
    while (poll(polls, 2, -1) < 0)
        ;
    return polls[0].revents;
}

static bool is_whole(struct sc_buf *request)
{
    const char *text = sc_buf_cstr(request), *end = strstr(text, "\r\n\r\n");
    const char *length = end ? strcasestr(text, "\r\nContent-Length:") : NULL;
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return end && request->len >= (size_t)(end - text) + 4 + body;
}

static bool read_request(struct sc_http_stub *stub, int fd, struct sc_buf *request)
{
    while (!is_whole(request)) {
        if (!await(stub, fd))
            return false;
        uint8_t *at = sc_buf_reserve(request, 4096);
        ssize_t n = at ? read(fd, at, 4096) : -1;
        if (n <= 0)
            return false;
        request->len += (size_t)n;
    }
    return true;
}

static void send_all(int fd, struct sc_slice bytes)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return; // the client left, which is its right
        bytes = sc_slice_from(bytes, (size_t)n);
    }
}

static void answer(struct sc_http_stub *stub, int fd, const struct sc_http_exchange *exchange)
{
    SC_AUTO_BUF struct sc_buf head, body;
    sc_buf_init(&head, 0);
    sc_buf_init(&body, 0);
    if (exchange->manner == SC_HTTP_MUTE)
        return;
    sc_buf_add_str(&body, exchange->body ? exchange->body : "");
    while (exchange->manner == SC_HTTP_FLOOD && body.len < FLOOD_BYTES)
        sc_buf_add_byte(&body, 'x');
    sc_buf_printf(&head, "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\nConnection: close\r\n",
                  exchange->status ? exchange->status : 200, body.len);
    if (exchange->header)
        sc_buf_printf(&head, "%s\r\n", exchange->header);
    sc_buf_add_str(&head, "\r\n");
    send_all(fd, sc_buf_slice(&head));
    if (exchange->manner == SC_HTTP_CUT)
        body.len /= 2;
    if (exchange->manner != SC_HTTP_STALL)
        send_all(fd, sc_buf_slice(&body));
    else
        await(stub, fd); // the client says no more: it can only leave
}

static void serve(struct sc_http_stub *stub, int fd)
{
    static const struct sc_http_exchange refusal = {.status = 599};
    SC_AUTO_BUF struct sc_buf request;
    sc_buf_init(&request, REQUEST_BYTES);
    if (!read_request(stub, fd, &request))
        return;
    pthread_mutex_lock(&stub->lock);
    const struct sc_http_exchange *exchange = stub->next < stub->count ? &stub->exchanges[stub->next] : NULL;
    if (exchange && strncmp(sc_buf_cstr(&request), exchange->request, strlen(exchange->request)) == 0) {
        stub->next++;
    } else {
        exchange = &refusal;
        stub->unexpected++;
    }
    sc_buf_clear(&stub->last);
    sc_buf_add_slice(&stub->last, sc_buf_slice(&request));
    pthread_mutex_unlock(&stub->lock);
    answer(stub, fd, exchange);
}

static void *run(void *argument)
{
    struct sc_http_stub *stub = argument;
    while (await(stub, stub->listener)) {
        SC_AUTO_CLOSE int fd = accept4(stub->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(stub, fd);
    }
    return NULL;
}

struct sc_http_stub *sc_http_stub_new(void)
{
    struct sc_http_stub *stub = sc_calloc(1, sizeof *stub);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    stub->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    stub->stop = eventfd(0, EFD_CLOEXEC);
    sc_buf_init(&stub->last, REQUEST_BYTES + 1);
    pthread_mutex_init(&stub->lock, NULL);
    SC_ASSERT(stub->listener >= 0 && stub->stop >= 0);
    SC_ASSERT(bind(stub->listener, (struct sockaddr *)&at, len) == 0 && listen(stub->listener, 16) == 0);
    SC_ASSERT(getsockname(stub->listener, (struct sockaddr *)&at, &len) == 0);
    stub->port = ntohs(at.sin_port);
    SC_ASSERT(pthread_create(&stub->thread, NULL, run, stub) == 0);
    return stub;
}

uint16_t sc_http_stub_port(const struct sc_http_stub *stub)
{
    return stub->port;
}

void sc_http_stub_check(struct sc_http_stub *stub)
{
    pthread_mutex_lock(&stub->lock);
    uint32_t left = stub->count - stub->next, unexpected = stub->unexpected;
    const char *request = left ? stub->exchanges[stub->next].request : "";
    char line[200];
    snprintf(line, sizeof line, "%s", sc_buf_cstr(&stub->last));
    line[strcspn(line, "\r")] = 0;
    pthread_mutex_unlock(&stub->lock);
    if (left || unexpected)
        fail_msg("%u exchanges were not asked for, first %s; %u requests were not expected, last %s", left,
                 request, unexpected, line);
}

void sc_http_stub_play(struct sc_http_stub *stub, const struct sc_http_exchange *exchanges, uint32_t count)
{
    sc_http_stub_check(stub);
    pthread_mutex_lock(&stub->lock);
    stub->exchanges = exchanges;
    stub->count = count;
    stub->next = 0;
    pthread_mutex_unlock(&stub->lock);
}

const char *sc_http_stub_last(struct sc_http_stub *stub)
{
    pthread_mutex_lock(&stub->lock);
    const char *text = sc_buf_cstr(&stub->last);
    pthread_mutex_unlock(&stub->lock);
    return text;
}

void sc_http_stub_end(struct sc_http_stub *stub)
{
    uint64_t one = 1;
    SC_ASSERT(write(stub->stop, &one, sizeof one) == sizeof one);
    pthread_join(stub->thread, NULL);
    sc_http_stub_check(stub);
    close(stub->listener);
    close(stub->stop);
    sc_buf_done(&stub->last);
    pthread_mutex_destroy(&stub->lock);
    free(stub);
}
