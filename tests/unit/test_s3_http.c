// The HTTP engine against a small server that answers, breaks off and stalls as it is told.
#include "tests/unit/store_test.h"

#include "store/s3/http.h"
#include "tests/lib/http_server.h"

#include <signal.h>

struct world {
    struct sc_http_server *server;
    struct sc_s3_http *http;
    struct sc_http_reply say; // how the server answers; its texts are the test's
    const char *headers, *body;
    struct sc_slice bytes; // instead of body
    bool refuses_early;
    // what the server saw
    char method[16], target[256];
    struct sc_buf head, received;
    uint32_t requests, connections;
    // what the sink took
    struct sc_buf taken;
    enum sc_rc sink_rc;
    uint32_t begun, done;
    char *scratch;
};

static void handle(void *context, const struct sc_http_request *request, struct sc_http_reply *reply)
{
    struct world *w = context;
    snprintf(w->method, sizeof w->method, "%s", request->method);
    snprintf(w->target, sizeof w->target, "%s", request->target);
    sc_buf_clear(&w->head);
    sc_buf_add_str(&w->head, request->head);
    sc_buf_clear(&w->received);
    sc_buf_add_slice(&w->received, request->body);
    w->requests++;
    if (request->connection > w->connections)
        w->connections = request->connection;
    reply->status = w->say.status ? w->say.status : 200;
    reply->how = w->say.how;
    reply->at = w->say.at;
    sc_buf_add_str(&reply->headers, w->headers ? w->headers : "");
    sc_buf_add_slice(&reply->body, w->bytes.len ? w->bytes : sc_slice_str(w->body));
}

static bool early(void *context, const struct sc_http_request *request, struct sc_http_reply *reply)
{
    struct world *w = context;
    if (!w->refuses_early)
        return false;
    snprintf(w->method, sizeof w->method, "%s", request->method);
    reply->status = 412;
    return true;
}

static void new_http(struct world *w, const char *ca, uint32_t connections)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_http_config config = {
        .ca = ca, .connections = connections, .connect_ms = 5000, .stall_ms = 1000};
    assert_ok(sc_s3_http_new(&config, &w->http, &err), err);
}

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    *state = w;
    w->scratch = sc_scratch_new();
    sc_buf_init(&w->head, 0);
    sc_buf_init(&w->received, 0);
    sc_buf_init(&w->taken, 0);
    w->server = sc_http_server_new(handle, early, w);
    new_http(w, NULL, 4);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sc_s3_http_free(w->http);
    sc_http_server_free(w->server);
    sc_buf_done(&w->head);
    sc_buf_done(&w->received);
    sc_buf_done(&w->taken);
    sc_scratch_remove(w->scratch);
    free(w);
    return 0;
}

struct asking {
    struct sc_s3_exchange x;
    struct sc_s3_headers headers;
    char url[512];
};

static void count_done(struct sc_s3_exchange *x)
{
    ((struct world *)x->context)->done++;
}

static enum sc_rc sink_begin(void *context, const struct sc_s3_answer *answer, struct sc_error *err)
{
    struct world *w = context;
    assert_int_equal(answer->status / 100, 2);
    w->begun++;
    return w->sink_rc == SC_OK ? SC_OK : sc_error_set(err, w->sink_rc, "the sink does not want it");
}

static enum sc_rc sink_take(void *context, struct sc_slice bytes, struct sc_error *err)
{
    struct world *w = context;
    (void)err;
    sc_buf_add_slice(&w->taken, bytes);
    return SC_OK;
}

static void begin(struct world *w, struct asking *a, const char *method, const char *target)
{
    snprintf(a->url, sizeof a->url, "%s%s", sc_http_server_url(w->server), target);
    a->headers.count = 0;
    sc_s3_exchange_init(&a->x);
    a->x.method = method;
    a->x.url = a->url;
    a->x.headers = &a->headers;
    a->x.done = count_done;
    a->x.context = w;
}

// What was written before is seen by the handler, and what that wrote is seen afterwards.
static void meet(struct world *w)
{
    sc_http_server_lock(w->server);
    sc_http_server_unlock(w->server);
}

static void finish(struct world *w, struct asking *a)
{
    meet(w);
    uint32_t before = w->done;
    sc_s3_http_submit(w->http, &a->x);
    assert_int_equal(w->done, before); // never inside submit
    while (sc_s3_http_pending(w->http))
        sc_s3_http_turn(w->http, -1);
    meet(w);
    assert_int_equal(w->done, before + 1);
}

static void assert_failure(struct world *w, struct asking *a, enum sc_s3_failure want)
{
    finish(w, a);
    if (a->x.answer.failure != want)
        fail_msg("failure %d (%s), not %d", (int)a->x.answer.failure, a->x.answer.own.message, (int)want);
    if (want != SC_S3_CAME)
        assert_true(a->x.answer.own.message[0]);
    sc_s3_exchange_done(&a->x);
}

// ---- answers

static void test_s3_http_answer_has_its_headers_read(void **state)
{
    struct world *w = *state;
    struct asking a;
    w->say.status = 206;
    w->headers =
        "ETag: \"abc-2\"\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\n"
        "Last-Modified: Thu, 23 May 2013 23:59:59 GMT\r\nContent-Range: bytes 10-14/4294967296000\r\n"
        "x-amz-request-id: REQ\r\nx-amz-version-id: v1\r\nx-amz-bucket-region: eu-west-1\r\n"
        "x-amz-storage-class: GLACIER\r\nx-amz-restore: ongoing-request=\"true\"\r\nRetry-After: 7\r\n"
        "X-Amz-Meta-Writer: w1\r\nx-amz-archive-status: ARCHIVE_ACCESS\r\n";
    w->body = "12345";
    begin(w, &a, "GET", "/k");
    finish(w, &a);
    const struct sc_s3_answer *answer = &a.x.answer;
    assert_int_equal(answer->failure, SC_S3_CAME);
    assert_int_equal(answer->status, 206);
    assert_int_equal(answer->length, 5);
    assert_slice(answer->etag, "abc-2");
    assert_int_equal(answer->date_ms, 1369353600000);
    assert_int_equal(answer->mtime_ms, 1369353599000);
    assert_int_equal(answer->range_first, 10);
    assert_int_equal(answer->range_last, 14);
    assert_int_equal(answer->range_total, 4294967296000);
    assert_slice(answer->request_id, "REQ");
    assert_slice(answer->version, "v1");
    assert_slice(answer->region, "eu-west-1");
    assert_slice(answer->storage_class, "GLACIER");
    assert_slice(answer->restore, "ongoing-request=\"true\"");
    assert_slice(answer->archive, "ARCHIVE_ACCESS");
    assert_slice(answer->writer, "w1");
    assert_int_equal(answer->retry_after_ms, 7000);
    assert_slice(sc_buf_slice(&a.x.text), "12345");
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_answer_without_headers_has_none_and_nonsense_is_none(void **state)
{
    struct world *w = *state;
    static const char *const odd[] = {
        "", "ETag: \r\nDate: yesterday\r\nContent-Range: bytes x-y/z\r\nRetry-After: soon\r\n",
        "Content-Range: bytes */\r\nRetry-After: -5\r\n", "Content-Range: items 1-2/3\r\n"};
    for (size_t i = 0; i < SC_COUNT(odd); i++) {
        struct asking a;
        w->headers = odd[i];
        begin(w, &a, "GET", "/k");
        finish(w, &a);
        const struct sc_s3_answer *answer = &a.x.answer;
        assert_int_equal(answer->failure, SC_S3_CAME);
        assert_int_equal(answer->length, 0);
        assert_int_equal(answer->etag.len, 0);
        assert_int_equal(answer->date_ms, 0);
        assert_int_equal(answer->mtime_ms, 0);
        assert_int_equal(answer->retry_after_ms, 0);
        assert_int_equal(answer->range_first, -1);
        assert_int_equal(answer->range_total, -1);
        sc_s3_exchange_done(&a.x);
    }
    struct asking a;
    w->headers = "Content-Range: bytes */5\r\n";
    begin(w, &a, "GET", "/k");
    finish(w, &a);
    assert_int_equal(a.x.answer.range_first, -1);
    assert_int_equal(a.x.answer.range_total, 5);
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_good_body_goes_to_the_sink_and_a_bad_one_to_the_text(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) {
        struct asking a;
        w->say.status = i ? 403 : 200;
        w->body = i ? "<Error/>" : "the object";
        begin(w, &a, "GET", "/k");
        a.x.sink = (struct sc_s3_sink){sink_begin, sink_take, w};
        finish(w, &a);
        assert_int_equal(a.x.answer.status, w->say.status);
        assert_slice(sc_buf_slice(&w->taken), "the object");
        assert_slice(sc_buf_slice(&a.x.text), i ? "<Error/>" : "");
        assert_int_equal(w->begun, 1);
        sc_s3_exchange_done(&a.x);
    }
}

static void test_s3_http_sink_that_refuses_ends_it_with_its_own_story(void **state)
{
    struct world *w = *state;
    struct asking a;
    w->body = "too much";
    w->sink_rc = SC_FULL;
    begin(w, &a, "GET", "/k");
    a.x.sink = (struct sc_s3_sink){sink_begin, sink_take, w};
    finish(w, &a);
    assert_int_equal(a.x.answer.failure, SC_S3_OURS);
    assert_rc(a.x.answer.own.rc, SC_FULL);
    assert_contains(a.x.answer.own.message, "does not want");
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_chunked_answer_comes_whole(void **state)
{
    struct world *w = *state;
    struct asking a;
    SC_AUTO_FREE char *body = sc_calloc(123456, 1);
    memset(body, 'c', 123456);
    w->bytes = sc_slice(body, 123456);
    w->say.how = SC_HTTP_CHUNKED;
    begin(w, &a, "GET", "/k");
    a.x.sink = (struct sc_s3_sink){sink_begin, sink_take, w};
    finish(w, &a);
    assert_int_equal(a.x.answer.failure, SC_S3_CAME);
    assert_int_equal(a.x.answer.length, -1);
    assert_true(sc_slice_eq(sc_buf_slice(&w->taken), w->bytes));
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_head_has_a_length_and_no_body(void **state)
{
    struct world *w = *state;
    struct asking a;
    w->headers = "Content-Length: 5368709120\r\n";
    begin(w, &a, "HEAD", "/k");
    finish(w, &a);
    assert_int_equal(a.x.answer.failure, SC_S3_CAME);
    assert_int_equal(a.x.answer.length, 5368709120);
    assert_int_equal(a.x.text.len, 0);
    assert_string_equal(w->method, "HEAD");
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_endless_error_is_cut_at_its_bound(void **state)
{
    struct world *w = *state;
    struct asking a;
    size_t len = (8 << 20) + 1;
    SC_AUTO_FREE char *body = sc_calloc(len, 1);
    w->bytes = sc_slice(body, len);
    w->say.status = 500;
    begin(w, &a, "GET", "/k");
    finish(w, &a);
    assert_int_equal(a.x.answer.failure, SC_S3_OURS);
    assert_rc(a.x.answer.own.rc, SC_LIMIT);
    sc_s3_exchange_done(&a.x);
}

// ---- what is sent

static void test_s3_http_path_query_and_headers_arrive_as_they_are(void **state)
{
    struct world *w = *state;
    struct asking a;
    begin(w, &a, "DELETE", "/b//a/../c/./%2E%2e/+~?x=&y=%2F");
    sc_s3_headers_add(&a.headers, "host", sc_slice_str("example.com:81"));
    sc_s3_headers_add(&a.headers, "x-amz-meta-a", sc_slice_str("two  blanks"));
    sc_s3_headers_add(&a.headers, "x-amz-meta-empty", sc_slice_str(""));
    finish(w, &a);
    assert_string_equal(w->method, "DELETE");
    assert_string_equal(w->target, "/b//a/../c/./%2E%2e/+~?x=&y=%2F");
    const char *head = sc_buf_cstr(&w->head);
    assert_contains(head, "Host: example.com:81\r\n");
    assert_contains(head, "x-amz-meta-a: two  blanks\r\n");
    assert_contains(head, "x-amz-meta-empty:\r\n");
    assert_contains(head, "User-Agent: stepcache/");
    assert_null(strstr(head, "Accept:"));
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_body_is_sent_from_memory_and_from_a_part_of_a_file(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *path = sc_scratch_path(w->scratch, "file");
    write_text(path, "0123456789");
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        static const char *const want[] = {"memory", "3456", ""};
        struct asking a;
        begin(w, &a, i == 1 ? "POST" : "PUT", "/k");
        if (i == 0)
            a.x.source.bytes = sc_slice_str("memory");
        if (i == 1)
            a.x.source = (struct sc_s3_source){.fd = fd, .offset = 3, .size = 4};
        finish(w, &a);
        assert_int_equal(a.x.answer.failure, SC_S3_CAME);
        assert_slice(sc_buf_slice(&w->received), want[i]);
        const char *head = sc_buf_cstr(&w->head);
        assert_contains(head, i == 0   ? "Content-Length: 6"
                              : i == 1 ? "Content-Length: 4"
                                       : "Content-Length: 0");
        assert_null(strstr(head, "Expect"));
        assert_null(strstr(head, "chunked"));
        sc_s3_exchange_done(&a.x);
    }
}

static void test_s3_http_file_that_became_shorter_is_our_own_failure(void **state)
{
    struct world *w = *state;
    struct asking a;
    SC_AUTO_FREE char *path = sc_scratch_path(w->scratch, "file");
    write_text(path, "0123456789");
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    begin(w, &a, "PUT", "/k");
    a.x.source = (struct sc_s3_source){.fd = fd, .offset = 0, .size = 20};
    finish(w, &a);
    assert_int_equal(a.x.answer.failure, SC_S3_OURS);
    assert_rc(a.x.answer.own.rc, SC_BUSY);
    assert_contains(a.x.answer.own.message, "shorter");
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_large_body_waits_for_the_servers_word(void **state)
{
    struct world *w = *state;
    size_t len = 3 << 20;
    SC_AUTO_FREE char *body = sc_calloc(len, 1);
    for (int refused = 0; refused < 2; refused++) {
        struct asking a;
        w->refuses_early = refused;
        begin(w, &a, "PUT", "/k");
        a.x.source.bytes = sc_slice(body, len);
        finish(w, &a);
        assert_int_equal(a.x.answer.failure, SC_S3_CAME);
        assert_int_equal(a.x.answer.status, refused ? 412 : 200);
        if (!refused)
            assert_int_equal(w->received.len, len);
        if (refused)
            assert_true(a.x.sent < len); // not sent in vain
        sc_s3_exchange_done(&a.x);
    }
    assert_int_equal(w->requests, 1);
}

struct sent {
    uint64_t last, calls;
};

static void note_sent(void *context, uint64_t so_far)
{
    struct sent *sent = context;
    sent->calls++;
    sent->last = so_far;
}

static void test_s3_http_sending_tells_how_far_it_is(void **state)
{
    struct world *w = *state;
    struct asking a;
    struct sent sent = {0, 0};
    size_t len = 1 << 20;
    SC_AUTO_FREE char *body = sc_calloc(len, 1);
    begin(w, &a, "PUT", "/k");
    a.x.source.bytes = sc_slice(body, len);
    a.x.source.sent = note_sent;
    a.x.source.context = &sent;
    finish(w, &a);
    assert_int_equal(sent.last, len);
    assert_true(sent.calls > 2);
    sc_s3_exchange_done(&a.x);
}

// ---- connections

static void test_s3_http_one_connection_serves_many_in_turn(void **state)
{
    struct world *w = *state;
    w->body = "x";
    for (int i = 0; i < 20; i++) {
        struct asking a;
        w->say.status = i % 3 ? 200 : 404;
        begin(w, &a, i % 2 ? "GET" : "PUT", "/k");
        finish(w, &a);
        sc_s3_exchange_done(&a.x);
    }
    assert_int_equal(w->requests, 20);
    assert_int_equal(w->connections, 1);
}

static void test_s3_http_many_at_once_share_the_bounded_connections(void **state)
{
    struct world *w = *state;
    enum { COUNT = 60 };
    struct asking *all = sc_calloc(COUNT, sizeof *all);
    w->body = "x";
    meet(w);
    for (int i = 0; i < COUNT; i++) {
        begin(w, &all[i], "GET", "/k");
        sc_s3_http_submit(w->http, &all[i].x);
    }
    assert_int_equal(sc_s3_http_pending(w->http), COUNT);
    while (sc_s3_http_pending(w->http))
        sc_s3_http_turn(w->http, -1);
    assert_int_equal(w->done, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(all[i].x.answer.status, 200);
        sc_s3_exchange_done(&all[i].x);
    }
    sc_http_server_lock(w->server);
    assert_int_equal(w->requests, COUNT);
    assert_true(w->connections <= 4);
    sc_http_server_unlock(w->server);
    free(all);
}

static void test_s3_http_kept_connection_that_was_closed_is_replaced_with_the_body_sent_again(void **state)
{
    struct world *w = *state;
    w->say.how = SC_HTTP_CLOSE;
    for (int i = 0; i < 5; i++) {
        struct asking a;
        begin(w, &a, "PUT", "/k");
        a.x.source.bytes = sc_slice_str("body");
        finish(w, &a);
        assert_int_equal(a.x.answer.failure, SC_S3_CAME);
        assert_slice(sc_buf_slice(&w->received), "body");
        sc_s3_exchange_done(&a.x);
    }
    assert_int_equal(w->requests, 5);
}

static void test_s3_http_redirect_is_told_and_not_followed(void **state)
{
    struct world *w = *state;
    struct asking a;
    w->say.status = 301;
    w->headers = "Location: http://127.0.0.1:1/elsewhere\r\n";
    begin(w, &a, "GET", "/k");
    finish(w, &a);
    assert_int_equal(a.x.answer.failure, SC_S3_CAME);
    assert_int_equal(a.x.answer.status, 301);
    assert_int_equal(w->requests, 1);
    sc_s3_exchange_done(&a.x);
}

// ---- what breaks

static void test_s3_http_answer_that_breaks_off_is_told_apart(void **state)
{
    struct world *w = *state;
    static const struct {
        enum sc_http_how how;
        int64_t at;
        enum sc_s3_failure want;
    } breaks[] = {
        {SC_HTTP_RESET, -1, SC_S3_RESET},   {SC_HTTP_CUT, 3, SC_S3_CUT},       {SC_HTTP_CUT, 0, SC_S3_CUT},
        {SC_HTTP_STALL, -1, SC_S3_STALLED}, {SC_HTTP_STALL, 3, SC_S3_STALLED},
    };
    w->body = "0123456789";
    for (size_t i = 0; i < SC_COUNT(breaks); i++) {
        struct asking a;
        w->say.how = breaks[i].how;
        w->say.at = breaks[i].at;
        sc_buf_clear(&w->taken);
        begin(w, &a, "GET", "/k");
        a.x.sink = (struct sc_s3_sink){sink_begin, sink_take, w};
        assert_failure(w, &a, breaks[i].want);
        assert_int_equal(w->taken.len,
                         breaks[i].at > 0 ? breaks[i].at : 0); // what came is kept: it can go on there
    }
}

static void test_s3_http_reset_in_the_middle_is_no_whole_answer(void **state)
{
    struct world *w = *state;
    struct asking a;
    w->body = "0123456789";
    w->say = (struct sc_http_reply){.how = SC_HTTP_RESET, .at = 3};
    begin(w, &a, "GET", "/k");
    finish(w, &a);
    // The reset may overtake what was sent before it.
    assert_true(a.x.answer.failure == SC_S3_CUT || a.x.answer.failure == SC_S3_RESET);
    sc_s3_exchange_done(&a.x);
}

static void test_s3_http_nobody_there_is_told_apart(void **state)
{
    struct world *w = *state;
    struct asking a;
    begin(w, &a, "GET", "/k");
    snprintf(a.url, sizeof a.url, "http://127.0.0.1:1/k");
    assert_failure(w, &a, SC_S3_NO_CONNECT);
    begin(w, &a, "GET", "/k");
    snprintf(a.url, sizeof a.url, "http://nowhere.invalid/k");
    assert_failure(w, &a, SC_S3_NO_HOST);
}

static void test_s3_http_answer_that_is_no_http_is_a_failure(void **state)
{
    struct world *w = *state;
    struct asking a;
    w->headers = "this is no header\r\n";
    begin(w, &a, "GET", "/k");
    finish(w, &a);
    assert_true(a.x.answer.failure != SC_S3_CAME || a.x.answer.status == 200); // never anything else
    sc_s3_exchange_done(&a.x);
    w->headers = "Content-Length: 99999999999999999999999\r\n";
    begin(w, &a, "GET", "/k");
    finish(w, &a);
    assert_int_not_equal(a.x.answer.failure, SC_S3_CAME);
    sc_s3_exchange_done(&a.x);
}

// ---- certificates: `openssl s_server` with one that nobody signed

static bool make_cert(const struct world *w, const char *name)
{
    SC_AUTO_FREE char *make =
        sc_asprintf("cd '%s' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                    "-keyout key-%s -out %s "
                    "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost >/dev/null 2>&1",
                    w->scratch, name, name);
    return system(make) == 0;
}

static pid_t start_tls(const struct world *w, char ret_url[64])
{
    int fds[2];
    if (!make_cert(w, "cert") || !make_cert(w, "other"))
        return -1;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(fds[1], 1);
        dup2(null, 2);
        if (chdir(w->scratch) == 0)
            execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "cert", "-key",
                   "key-cert", "-www", NULL);
        _exit(127);
    }
    close(fds[1]);
    FILE *out = fdopen(fds[0], "r");
    char line[256];
    unsigned port = 0;
    while (port == 0 && fgets(line, sizeof line, out))
        if (strncmp(line, "ACCEPT ", 7) == 0 && strrchr(line, ':'))
            port = (unsigned)strtoul(strrchr(line, ':') + 1, NULL, 10);
    fclose(out);
    snprintf(ret_url, 64, "https://localhost:%u/", port);
    return port ? pid : -1;
}

static void test_s3_http_certificate_is_always_checked(void **state)
{
    struct world *w = *state;
    char url[64];
    pid_t pid = start_tls(w, url);
    if (pid < 0)
        skip(); // no openssl
    SC_AUTO_FREE char *cert = sc_scratch_path(w->scratch, "cert");
    enum sc_s3_failure found[4];
    SC_AUTO_FREE char *other = sc_scratch_path(w->scratch, "other");
    for (int i = 0; i < 4;
         i++) { // by the system's list, by this one, by this one for another name, by another one
        struct asking a;
        sc_s3_http_free(w->http);
        new_http(w, i == 0 ? NULL : i == 3 ? other : cert, 4);
        begin(w, &a, "GET", "/");
        snprintf(a.url, sizeof a.url, "%s", url);
        if (i == 2)
            snprintf(a.url, sizeof a.url, "https://127.0.0.1:%s", strrchr(url, ':') + 1);
        finish(w, &a);
        found[i] = a.x.answer.failure;
        if (i == 1)
            assert_int_equal(a.x.answer.status, 200);
        sc_s3_exchange_done(&a.x);
    }
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    assert_int_equal(found[0], SC_S3_NO_TRUST);
    assert_int_equal(found[1], SC_S3_CAME);
    assert_int_equal(found[2], SC_S3_NO_TRUST);
    assert_int_equal(found[3], SC_S3_NO_TRUST);
}

static void test_s3_http_authorities_that_are_not_there_are_told_at_once(void **state)
{
    struct world *w = *state;
    struct sc_s3_http *http;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *missing = sc_scratch_path(w->scratch, "missing.pem");
    struct sc_s3_http_config config = {.ca = missing, .connections = 1, .connect_ms = 1000, .stall_ms = 1000};
    assert_rc(sc_s3_http_new(&config, &http, &err), SC_NOT_FOUND);
    assert_contains(err.message, missing);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_s3_http_answer_has_its_headers_read),
        T(test_s3_http_answer_without_headers_has_none_and_nonsense_is_none),
        T(test_s3_http_good_body_goes_to_the_sink_and_a_bad_one_to_the_text),
        T(test_s3_http_sink_that_refuses_ends_it_with_its_own_story),
        T(test_s3_http_chunked_answer_comes_whole),
        T(test_s3_http_head_has_a_length_and_no_body),
        T(test_s3_http_endless_error_is_cut_at_its_bound),
        T(test_s3_http_path_query_and_headers_arrive_as_they_are),
        T(test_s3_http_body_is_sent_from_memory_and_from_a_part_of_a_file),
        T(test_s3_http_file_that_became_shorter_is_our_own_failure),
        T(test_s3_http_large_body_waits_for_the_servers_word),
        T(test_s3_http_sending_tells_how_far_it_is),
        T(test_s3_http_one_connection_serves_many_in_turn),
        T(test_s3_http_many_at_once_share_the_bounded_connections),
        T(test_s3_http_kept_connection_that_was_closed_is_replaced_with_the_body_sent_again),
        T(test_s3_http_redirect_is_told_and_not_followed),
        T(test_s3_http_answer_that_breaks_off_is_told_apart),
        T(test_s3_http_reset_in_the_middle_is_no_whole_answer),
        T(test_s3_http_nobody_there_is_told_apart),
        T(test_s3_http_answer_that_is_no_http_is_a_failure),
        T(test_s3_http_certificate_is_always_checked),
        T(test_s3_http_authorities_that_are_not_there_are_told_at_once),
    };
    return cmocka_run_group_tests_name("s3_http", tests, NULL, NULL);
}
