#include "tests/lib/http_server.h"

#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 512, MAX_HEAD = 64 << 10 };

struct connection {
    struct sc_http_server *server;
    pthread_t thread;
    int fd;
    uint32_t number;
    uint8_t pending[MAX_HEAD]; // read and not used yet
    size_t pending_len;
};

struct sc_http_server {
    pthread_t thread;
    pthread_mutex_t mutex;
    int fd;
    char url[64];
    sc_http_handle_fn handle;
    sc_http_early_fn early;
    void *context;
    uint32_t requests;
    bool stops;
    struct connection *connections[MAX_CONNECTIONS];
    uint32_t count;
};

const char *sc_http_header(const struct sc_http_request *request, const char *name)
{
    static _Thread_local char value[8192];
    size_t len = strlen(name);
    value[0] = 0;
    for (const char *line = request->head; line && *line; line = strstr(line, "\r\n") + 2) {
        const char *end = strstr(line, "\r\n");
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *start = line + len + 1;
            while (*start == ' ')
                start++;
            snprintf(value, sizeof value, "%.*s", (int)(end - start), start);
        }
    }
    return value;
}

static bool send_all(int fd, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)bytes + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool read_some(struct connection *c)
{
    if (c->pending_len == sizeof c->pending - 1)
        return false;
    for (;;) {
        ssize_t n = recv(c->fd, c->pending + c->pending_len, sizeof c->pending - 1 - c->pending_len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        c->pending_len += (size_t)n;
        return true;
    }
}

static void drop(struct connection *c, size_t len)
{
    c->pending_len -= len;
    memmove(c->pending, c->pending + len, c->pending_len);
}

// The head up to its empty line, without it; the caller frees. NULL: the connection ended.
static char *read_head(struct connection *c)
{
    for (;;) {
        c->pending[c->pending_len] = 0;
        char *end = memmem(c->pending, c->pending_len, "\r\n\r\n", 4);
        if (end) {
            size_t len = (size_t)(end - (char *)c->pending) + 2;
            char *head = sc_asprintf("%.*s", (int)len, (const char *)c->pending);
            drop(c, len + 2);
            return head;
        }
        if (!read_some(c))
            return NULL;
    }
}

static bool read_body(struct connection *c, size_t len, struct sc_buf *body)
{
    while (body->len < len) {
        if (c->pending_len == 0 && !read_some(c))
            return false;
        size_t take = len - body->len < c->pending_len ? len - body->len : c->pending_len;
        sc_buf_add(body, c->pending, take);
        drop(c, take);
    }
    return true;
}

static void reset(int fd)
{
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void wait_for_end(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, 0) > 0) {}
}

// The client reads all that was sent before it sees the end: else a reset takes it away again.
static void wait_until_read(int fd)
{
    shutdown(fd, SHUT_WR);
    wait_for_end(fd);
}

static bool send_reply(struct connection *c, const struct sc_http_reply *reply, bool head)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    if (reply->at < 0) {
        if (reply->how == SC_HTTP_STALL)
            wait_for_end(c->fd);
        if (reply->how == SC_HTTP_CUT)
            wait_until_read(c->fd);
        else
            reset(c->fd);
        return false;
    }
    sc_buf_printf(&text, "HTTP/1.1 %d Said\r\n", reply->status);
    sc_buf_add_slice(&text, sc_buf_slice(&reply->headers));
    bool has_length = memmem(text.ptr, text.len, "Content-Length:", 15) != NULL;
    if (reply->how == SC_HTTP_CHUNKED)
        sc_buf_add_str(&text, "Transfer-Encoding: chunked\r\n");
    else if (!has_length && reply->status != 204)
        sc_buf_printf(&text, "Content-Length: %zu\r\n", reply->body.len);
    sc_buf_add_str(&text, "\r\n");
    if (!send_all(c->fd, text.ptr, text.len))
        return false;
    size_t len = head ? 0 : reply->body.len;
    bool breaks = reply->how == SC_HTTP_RESET || reply->how == SC_HTTP_CUT || reply->how == SC_HTTP_STALL ||
                  (reply->how == SC_HTTP_CHUNKED && reply->at > 0);
    if (breaks && (size_t)reply->at < len)
        len = (size_t)reply->at;
    for (size_t at = 0; reply->how == SC_HTTP_CHUNKED && at < len; at += 1000) {
        size_t piece = len - at < 1000 ? len - at : 1000;
        char size[32];
        int n = snprintf(size, sizeof size, "%zx\r\n", piece);
        if (!send_all(c->fd, size, (size_t)n) || !send_all(c->fd, reply->body.ptr + at, piece) ||
            !send_all(c->fd, "\r\n", 2))
            return false;
    }
    if (reply->how == SC_HTTP_CHUNKED && reply->at > 0) {
        wait_until_read(c->fd);
        return false;
    }
    if (reply->how == SC_HTTP_CHUNKED)
        return send_all(c->fd, "0\r\n\r\n", 5);
    if (len && !send_all(c->fd, reply->body.ptr, len))
        return false;
    if (reply->how == SC_HTTP_STALL)
        wait_for_end(c->fd);
    if (reply->how == SC_HTTP_RESET)
        reset(c->fd);
    if (reply->how == SC_HTTP_CUT || reply->how == SC_HTTP_CLOSE)
        wait_until_read(c->fd);
    return reply->how == SC_HTTP_WHOLE;
}

static bool serve_one(struct connection *c)
{
    struct sc_http_server *server = c->server;
    SC_AUTO_FREE char *head = read_head(c);
    if (!head)
        return false;
    SC_AUTO_BUF struct sc_buf body;
    struct sc_http_reply reply = {.status = 200};
    sc_buf_init(&body, 0);
    sc_buf_init(&reply.headers, 0);
    sc_buf_init(&reply.body, 0);
    char *lines = strstr(head, "\r\n") + 2, *target = strchr(head, ' ');
    lines[-2] = 0;
    SC_ASSERT(target != NULL);
    *target++ = 0;
    char *version = strchr(target, ' ');
    SC_ASSERT(version != NULL && strcmp(version, " HTTP/1.1") == 0);
    *version = 0;
    struct sc_http_request request = {
        .method = head, .target = target, .head = lines, .connection = c->number};
    size_t length = strtoull(sc_http_header(&request, "content-length"), NULL, 10);
    bool expects = sc_http_header(&request, "expect")[0], early = false;
    if (expects && server->early) {
        pthread_mutex_lock(&server->mutex);
        early = server->early(server->context, &request, &reply);
        pthread_mutex_unlock(&server->mutex);
    }
    bool good = true;
    if (!early) {
        if (expects)
            good = send_all(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        good = good && read_body(c, length, &body);
        request.body = sc_buf_slice(&body);
        if (good) {
            pthread_mutex_lock(&server->mutex);
            request.number = ++server->requests;
            server->handle(server->context, &request, &reply);
            pthread_mutex_unlock(&server->mutex);
        }
    }
    good = good && send_reply(c, &reply, strcmp(head, "HEAD") == 0) && !early;
    sc_buf_done(&reply.headers);
    sc_buf_done(&reply.body);
    return good;
}

static void *serve(void *context)
{
    struct connection *c = context;
    while (serve_one(c)) {}
    // Closed by the one who joins, so that nobody else's descriptor is shut down by mistake; a reset is due at once.
    struct linger linger;
    socklen_t len = sizeof linger;
    if (getsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff) {
        pthread_mutex_lock(&c->server->mutex);
        close(c->fd);
        c->fd = -1;
        pthread_mutex_unlock(&c->server->mutex);
    } else {
        shutdown(c->fd, SHUT_RDWR);
    }
    return NULL;
}

static void *listen_loop(void *context)
{
    struct sc_http_server *server = context;
    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        pthread_mutex_lock(&server->mutex);
        bool stops = server->stops || fd < 0;
        if (!stops) {
            SC_ASSERT(server->count < MAX_CONNECTIONS);
            struct connection *c = sc_calloc(1, sizeof *c);
            c->server = server;
            c->fd = fd;
            c->number = server->count + 1;
            server->connections[server->count++] = c;
            SC_ASSERT(pthread_create(&c->thread, NULL, serve, c) == 0);
        }
        pthread_mutex_unlock(&server->mutex);
        if (stops) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
    }
}

struct sc_http_server *sc_http_server_new(sc_http_handle_fn handle, sc_http_early_fn early, void *context)
{
    struct sc_http_server *server = sc_calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    server->handle = handle;
    server->early = early;
    server->context = context;
    pthread_mutex_init(&server->mutex, NULL);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SC_ASSERT(server->fd >= 0);
    SC_ASSERT(bind(server->fd, (struct sockaddr *)&address, sizeof address) == 0);
    SC_ASSERT(listen(server->fd, 512) == 0);
    SC_ASSERT(getsockname(server->fd, (struct sockaddr *)&address, &len) == 0);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    SC_ASSERT(pthread_create(&server->thread, NULL, listen_loop, server) == 0);
    return server;
}

void sc_http_server_free(struct sc_http_server *server)
{
    if (!server)
        return;
    pthread_mutex_lock(&server->mutex);
    server->stops = true;
    shutdown(server->fd, SHUT_RDWR); // ends accept
    pthread_mutex_unlock(&server->mutex);
    pthread_join(server->thread, NULL);
    for (uint32_t i = 0; i < server->count; i++) {
        struct connection *c = server->connections[i];
        pthread_mutex_lock(&server->mutex);
        if (c->fd >= 0)
            shutdown(c->fd, SHUT_RDWR);
        pthread_mutex_unlock(&server->mutex);
        pthread_join(c->thread, NULL);
        if (c->fd >= 0)
            close(c->fd);
        free(c);
    }
    close(server->fd);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

const char *sc_http_server_url(const struct sc_http_server *server)
{
    return server->url;
}

void sc_http_server_lock(struct sc_http_server *server)
{
    pthread_mutex_lock(&server->mutex);
}

void sc_http_server_unlock(struct sc_http_server *server)
{
    pthread_mutex_unlock(&server->mutex);
}
