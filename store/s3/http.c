#include "store/s3/http.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/s3/xml.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 128 << 10, // each way and connection; 16 KiB cost 1.6 times the processor time
    SLOW_BYTES_PER_S = 1024,
    EXPECT_BYTES = 1 << 20, // from here on the server may refuse before the body is sent
    LONGEST_MS = 6 * 3600 * 1000,
};

struct sc_s3_http {
    CURLM *multi;
    CURL **idle; // handles for the next exchanges
    uint32_t idle_count, idle_room;
    uint32_t pending;
    char *ca;
    bool ca_is_folder;
    struct sc_s3_http_config config;
};

static enum sc_rc look_at_ca(struct sc_s3_http *http, struct sc_error *err)
{
    struct stat st;
    if (!http->ca)
        return SC_OK;
    if (stat(http->ca, &st))
        return sc_error_errno(err, errno, "the file of certificate authorities %s", http->ca);
    http->ca_is_folder = S_ISDIR(st.st_mode);
    return SC_OK;
}

enum sc_rc sc_s3_http_new(const struct sc_s3_http_config *config, struct sc_s3_http **ret_http,
                          struct sc_error *err)
{
    // Counted and safe between threads since 7.84.
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return sc_error_set(err, SC_IO, "libcurl does not start");
    struct sc_s3_http *http = sc_calloc(1, sizeof *http);
    http->config = *config;
    http->ca = config->ca ? sc_strdup(config->ca) : NULL;
    http->config.ca = NULL;
    http->multi = curl_multi_init();
    SC_ASSERT(http->multi != NULL);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)config->connections);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)config->connections);
    enum sc_rc rc = look_at_ca(http, err);
    if (rc != SC_OK) {
        sc_s3_http_free(http);
        return rc;
    }
    *ret_http = http;
    return SC_OK;
}

void sc_s3_http_free(struct sc_s3_http *http)
{
    if (!http)
        return;
    SC_ASSERT(http->pending == 0);
    for (uint32_t i = 0; i < http->idle_count; i++)
        curl_easy_cleanup(http->idle[i]);
    free(http->idle);
    curl_multi_cleanup(http->multi);
    free(http->ca);
    free(http);
    curl_global_cleanup();
}

void sc_s3_exchange_init(struct sc_s3_exchange *exchange)
{
    *exchange = (struct sc_s3_exchange){.source = {.fd = -1}};
    sc_arena_init(&exchange->arena);
    sc_buf_init(&exchange->text, SC_LIMIT_S3_TEXT_BYTES);
}

void sc_s3_exchange_done(struct sc_s3_exchange *exchange)
{
    sc_arena_done(&exchange->arena);
    sc_buf_done(&exchange->text);
}

uint32_t sc_s3_http_pending(const struct sc_s3_http *http)
{
    return http->pending;
}

// ---- the answer

static struct sc_slice header(struct sc_s3_exchange *x, const char *name)
{
    struct curl_header *found;
    if (curl_easy_header(x->easy, name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK)
        return (struct sc_slice){NULL, 0};
    struct sc_slice value = sc_slice_str(found->value);
    while (value.len && value.ptr[value.len - 1] <= ' ') // of an empty one curl leaves the end of the line
        value.len--;
    return sc_arena_copy(&x->arena, value);
}

static int64_t number(struct sc_slice *rest)
{
    int64_t value = 0;
    size_t digits = 0;
    while (digits < rest->len && rest->ptr[digits] >= '0' && rest->ptr[digits] <= '9' && digits < 18)
        value = value * 10 + (rest->ptr[digits++] - '0');
    *rest = sc_slice_from(*rest, digits);
    return digits ? value : -1;
}

static bool skip(struct sc_slice *rest, const char *text)
{
    if (!sc_slice_starts(*rest, text))
        return false;
    *rest = sc_slice_from(*rest, strlen(text));
    return true;
}

// "bytes 0-4/10", "bytes */10".
static void read_range(struct sc_slice text, struct sc_s3_answer *answer)
{
    answer->range_first = answer->range_last = answer->range_total = -1;
    if (!skip(&text, "bytes "))
        return;
    int64_t first = -1, last = -1;
    if (!skip(&text, "*")) {
        first = number(&text);
        last = skip(&text, "-") ? number(&text) : -1;
    }
    if (!skip(&text, "/"))
        return;
    answer->range_first = first;
    answer->range_last = last;
    answer->range_total = number(&text);
}

static int64_t date(struct sc_slice text)
{
    time_t at = text.len ? curl_getdate((const char *)text.ptr, NULL) : -1;
    return at < 0 ? 0 : (int64_t)at * 1000;
}

// Base64 of 32 bytes. A checksum of checksums has the number of parts behind it, and says of itself that it is COMPOSITE;
// an object in parts has a dash in its etag. Nothing but what says FULL_OBJECT is taken.
static struct sc_digest full_checksum(struct sc_s3_exchange *x, struct sc_slice etag)
{
    struct sc_digest digest = {{0}};
    struct sc_slice text = header(x, "x-amz-checksum-sha256"), type = header(x, "x-amz-checksum-type");
    uint8_t bytes[33];
    bool whole = sc_slice_eq_str(type, "FULL_OBJECT") && text.len == 44 && text.ptr[43] == '=' &&
                 text.ptr[42] != '=' && etag.len && !memchr(etag.ptr, '-', etag.len);
    if (whole && EVP_DecodeBlock(bytes, text.ptr, 44) == sizeof bytes)
        memcpy(digest.bytes, bytes, sizeof digest.bytes);
    return digest;
}

static void read_answer(struct sc_s3_exchange *x)
{
    struct sc_s3_answer *a = &x->answer;
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    a->status = (uint32_t)status;
    curl_off_t length = -1;
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    a->length = length;
    read_range(header(x, "content-range"), a);
    a->date_ms = date(header(x, "date"));
    a->mtime_ms = date(header(x, "last-modified"));
    struct sc_slice retry = header(x, "retry-after");
    int64_t seconds = number(&retry);
    a->retry_after_ms = seconds > 0 && seconds < 86400 ? seconds * 1000 : 0;
    a->etag = sc_s3_etag(header(x, "etag"));
    a->version = header(x, "x-amz-version-id");
    a->checksum = full_checksum(x, a->etag);
    a->request_id = header(x, "x-amz-request-id");
    a->region = header(x, "x-amz-bucket-region");
    a->storage_class = header(x, "x-amz-storage-class");
    a->restore = header(x, "x-amz-restore");
    a->archive = header(x, "x-amz-archive-status");
    a->writer = header(x, "x-amz-meta-writer");
    a->sha256 = header(x, "x-amz-meta-sha256");
}

static bool is_good(const struct sc_s3_exchange *x)
{
    return x->answer.status >= 200 && x->answer.status < 300;
}

bool sc_s3_exchange_take(struct sc_s3_exchange *x, struct sc_slice piece)
{
    enum sc_rc rc = SC_OK;
    if (!x->begun) {
        x->begun = true;
        if (is_good(x) && x->sink.begin)
            rc = x->sink.begin(x->sink.context, &x->answer, &x->own);
    }
    if (rc == SC_OK && is_good(x) && x->sink.take) {
        rc = x->sink.take(x->sink.context, piece, &x->own);
    } else if (rc == SC_OK) {
        sc_buf_add_slice(&x->text, piece);
        if (x->text.overflow)
            rc = sc_error_set(&x->own, SC_LIMIT, "an answer of more than %u bytes", SC_LIMIT_S3_TEXT_BYTES);
    }
    x->own.rc = rc;
    return rc == SC_OK;
}

static size_t take_body(char *bytes, size_t one, size_t len, void *context)
{
    (void)one; // 1
    struct sc_s3_exchange *x = context;
    if (!x->begun)
        read_answer(x);
    return sc_s3_exchange_take(x, sc_slice(bytes, len)) ? len : CURL_WRITEFUNC_ERROR;
}

// ---- the body that is sent

uint64_t sc_s3_source_size(const struct sc_s3_source *source)
{
    return source->fd >= 0 ? source->size : source->bytes.len;
}

static bool read_file(struct sc_s3_exchange *x, void *bytes, size_t want, size_t *ret_len)
{
    const struct sc_s3_source *source = &x->source;
    for (;;) {
        ssize_t n = pread(source->fd, bytes, want, (off_t)(source->offset + x->sent));
        if (n > 0) {
            *ret_len = (size_t)n;
            return true;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            sc_error_errno(&x->own, errno, "read what is to be sent");
        else
            sc_error_set(&x->own, SC_BUSY, "the file became shorter while it was sent");
        return false;
    }
}

bool sc_s3_exchange_give(struct sc_s3_exchange *x, void *bytes, size_t room, size_t *ret_len)
{
    uint64_t left = sc_s3_source_size(&x->source) - x->sent;
    size_t want = left < room ? (size_t)left : room;
    *ret_len = want;
    if (want == 0)
        return true;
    if (x->source.fd < 0)
        memcpy(bytes, x->source.bytes.ptr + x->sent, want);
    else if (!read_file(x, bytes, want, ret_len))
        return false;
    x->sent += *ret_len;
    if (x->source.sent)
        x->source.sent(x->source.context, x->sent);
    return true;
}

static size_t give_body(char *bytes, size_t one, size_t room, void *context)
{
    (void)one; // 1
    size_t len;
    return sc_s3_exchange_give(context, bytes, room, &len) ? len : CURL_READFUNC_ABORT;
}

// A kept connection that turns out to be closed: curl sends the request again on a new one.
static int seek_body(void *context, curl_off_t offset, int origin)
{
    struct sc_s3_exchange *x = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > sc_s3_source_size(&x->source))
        return CURL_SEEKFUNC_FAIL;
    x->resent |= x->sent > 0;
    x->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

// ---- exchanges

static struct curl_slist *header_list(const struct sc_s3_exchange *x, bool body)
{
    SC_AUTO_BUF struct sc_buf line;
    sc_buf_init(&line, 64 << 10);
    struct curl_slist *list = curl_slist_append(NULL, "Accept:");
    if (!body || sc_s3_source_size(&x->source) < EXPECT_BYTES)
        list = curl_slist_append(list, "Expect:");
    for (uint32_t i = 0; i < x->headers->count; i++) {
        const struct sc_s3_header *h = &x->headers->items[i];
        sc_buf_clear(&line);
        sc_buf_add_slice(&line, h->name);
        sc_buf_add_str(&line, h->value.len ? ": " : ";"); // curl's way to send a header without a value
        sc_buf_add_slice(&line, h->value);
        list = curl_slist_append(list, sc_buf_cstr(&line));
        SC_ASSERT(list != NULL);
    }
    return list;
}

static void set_common(struct sc_s3_http *http, struct sc_s3_exchange *x)
{
    CURL *easy = x->easy;
    curl_easy_setopt(easy, CURLOPT_URL, x->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, strncmp(x->url, "https:", 6) == 0 ? "https" : "http");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "stepcache/" SC_RELEASE);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->config.connect_ms);
    uint32_t stall_ms = x->stall_ms ? x->stall_ms : http->config.stall_ms;
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_S);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(stall_ms + 999) / 1000);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)LONGEST_MS);
    if (http->ca)
        curl_easy_setopt(easy, http->ca_is_folder ? CURLOPT_CAPATH : CURLOPT_CAINFO, http->ca);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->words);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
}

void sc_s3_exchange_begin(struct sc_s3_exchange *x)
{
    x->sent = 0;
    x->begun = x->resent = false;
    x->own = (struct sc_error)SC_ERROR_INIT;
    x->words[0] = 0;
    x->answer = (struct sc_s3_answer){.length = -1, .range_first = -1, .range_last = -1, .range_total = -1};
    sc_buf_clear(&x->text);
    sc_arena_reset(&x->arena);
}

void sc_s3_http_submit(struct sc_s3_http *http, struct sc_s3_exchange *x)
{
    bool body = strcmp(x->method, "PUT") == 0 || strcmp(x->method, "POST") == 0;
    x->http = http;
    x->easy = http->idle_count ? http->idle[--http->idle_count] : curl_easy_init();
    SC_ASSERT(x->easy != NULL);
    sc_s3_exchange_begin(x);
    set_common(http, x);
    if (body) {
        curl_easy_setopt(x->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(x->easy, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(x->easy, CURLOPT_READDATA, x);
        curl_easy_setopt(x->easy, CURLOPT_SEEKFUNCTION, seek_body);
        curl_easy_setopt(x->easy, CURLOPT_SEEKDATA, x);
        curl_easy_setopt(x->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)sc_s3_source_size(&x->source));
    }
    if (strcmp(x->method, "HEAD") == 0)
        curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
    else if (strcmp(x->method, "GET") != 0)
        curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, x->method);
    x->list = header_list(x, body);
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->list);
    SC_ASSERT(curl_multi_add_handle(http->multi, x->easy) == CURLM_OK);
    http->pending++;
}

static enum sc_s3_failure failure_of(CURLcode code, const struct sc_s3_exchange *x)
{
    switch ((int)code) { // of curl's hundred codes these can come
    case CURLE_OK:
        return SC_S3_CAME;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SC_S3_NO_HOST;
    case CURLE_COULDNT_CONNECT:
        return SC_S3_NO_CONNECT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
        return SC_S3_NO_TRUST;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_FAIL_REWIND:
        return SC_S3_RESET;
    case CURLE_RECV_ERROR:
        return x->begun ? SC_S3_CUT : SC_S3_RESET;
    case CURLE_PARTIAL_FILE:
        return SC_S3_CUT;
    case CURLE_OPERATION_TIMEDOUT:
        return SC_S3_STALLED;
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
        return SC_S3_OURS;
    default: // a broken answer, most of all
        return SC_S3_RESET;
    }
}

static void finish(struct sc_s3_http *http, struct sc_s3_exchange *x, CURLcode code)
{
    curl_multi_remove_handle(http->multi, x->easy);
    if (!x->begun)
        read_answer(x);
    x->answer.resent = x->resent;
    x->answer.failure = failure_of(code, x);
    if (x->answer.failure != SC_S3_CAME) {
        if (x->own.rc != SC_OK)
            x->answer.failure = SC_S3_OURS;
        else
            sc_error_set(&x->own, SC_UNREACHABLE, "%s", x->words[0] ? x->words : curl_easy_strerror(code));
        x->answer.own = x->own;
    }
    curl_slist_free_all(x->list);
    x->list = NULL;
    curl_easy_reset(x->easy);
    if (http->idle_count == http->idle_room) {
        http->idle_room = http->idle_room ? http->idle_room * 2 : 16;
        http->idle = sc_realloc(http->idle, http->idle_room, sizeof(CURL *));
    }
    http->idle[http->idle_count++] = x->easy;
    x->easy = NULL;
    http->pending--;
}

static uint32_t collect(struct sc_s3_http *http)
{
    struct sc_s3_exchange *first = NULL, **last = &first;
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct sc_s3_exchange *x = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        finish(http, x, message->data.result);
        x->next = NULL;
        *last = x;
        last = &x->next;
    }
    uint32_t count = 0;
    while (first) {
        struct sc_s3_exchange *x = first;
        first = x->next;
        count++;
        x->done(x); // may submit it anew
    }
    return count;
}

uint32_t sc_s3_http_turn(struct sc_s3_http *http, int wait_ms)
{
    int running;
    SC_ASSERT(curl_multi_perform(http->multi, &running) == CURLM_OK);
    uint32_t count = collect(http);
    if (count || wait_ms == 0)
        return count;
    enum { LONGEST_WAIT_MS = 1000 };
    SC_ASSERT(curl_multi_poll(http->multi, NULL, 0, wait_ms < 0 ? LONGEST_WAIT_MS : wait_ms, NULL) ==
              CURLM_OK);
    SC_ASSERT(curl_multi_perform(http->multi, &running) == CURLM_OK);
    return collect(http);
}
