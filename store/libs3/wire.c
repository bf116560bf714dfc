#include "store/libs3/wire.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "store/libs3/answer.h"
#include "store/s3/secret.h"
#include "store/s3/xml.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>

enum {
    BLIND_WAIT_MS = 10, // where curl names no descriptor to wait for
    LONGEST_WAIT_MS = 1000,
    ETAG_BYTES = 256,
};

struct libs3_wire {
    struct sc_s3_wire base;
    char *host;
    bool tls, virtual;
    struct sc_s3_provider *provider;
    S3RequestContext *context;
    uint32_t pending;
    struct request *first_over, *last_over; // ended, and not told yet
};

// One exchange; a LIST takes two of libs3's requests.
struct request {
    struct libs3_wire *wire;
    struct sc_s3_call *call;
    enum sc_s3_ask ask;
    struct request *next;
    uint64_t taken;  // of the body
    bool has_enough; // the call asked for the size alone
    // PUT, COPY
    bool answered; // its headers came
    bool looks_at_source;
    struct sc_slice from_bucket, from_key; // of a copy
    char etag[ETAG_BYTES];
    int64_t mtime_s;
    // LIST
    struct sc_slice prefix, after;
    int wants;               // keys, at most
    struct sc_buf key, last; // the last one and the one before it
    int count;
    bool confirms; // the second request
    bool differs;  // from the first
    int confirmed;
};

static struct libs3_wire *wire_of(struct sc_s3_wire *wire)
{
    return (struct libs3_wire *)wire;
}

static struct sc_s3_exchange *exchange_of(const struct request *r)
{
    return &r->call->exchange;
}

// ---- opening

static pthread_once_t once = PTHREAD_ONCE_INIT;
static S3Status initialized;

// Never undone: the module stays loaded, and other threads may use it.
static void initialize(void)
{
    initialized = S3_initialize("stepcache/" SC_RELEASE, SC_LIBS3_FLAGS, NULL);
}

static enum sc_rc check_tls(const struct sc_s3_client_config *config, struct sc_error *err)
{
    if (config->unverified && sc_libs3_verifies)
        return sc_error_set(err, SC_INVALID, "unverified=1: this libs3 always checks certificates");
    if (!config->endpoint.tls || config->unverified)
        return SC_OK;
    if (!sc_libs3_verifies) {
        sc_error_set(err, SC_UNSUPPORTED,
                     "this libs3 does not check TLS certificates: whoever answers would be believed");
        sc_error_hint(err,
                      "leave client= away, build against libs3 4, or write unverified=1 where the network is "
                      "to be trusted");
        return SC_UNSUPPORTED;
    }
    if (config->http.ca)
        return sc_error_set(err, SC_UNSUPPORTED,
                            "client=libs3 knows the system's certificate authorities alone, not %s (ca=, "
                            "AWS_CA_BUNDLE)",
                            config->http.ca);
    return SC_OK;
}

static enum sc_rc check_endpoint(const struct sc_s3_client_config *config, struct sc_error *err)
{
    const struct sc_s3_endpoint *endpoint = &config->endpoint;
    if (endpoint->aws) {
        sc_error_set(err, SC_UNSUPPORTED,
                     "client=libs3 is for servers that know signatures of version 2 alone; AWS does not");
        sc_error_hint(err, "leave client= away, or name such a server by endpoint=");
        return SC_UNSUPPORTED;
    }
    if (endpoint->base.len)
        return sc_error_set(err, SC_UNSUPPORTED,
                            "client=libs3 cannot speak to an endpoint with a path (" SC_SLICE_FMT ")",
                            SC_SLICE_ARG(endpoint->base));
    return check_tls(config, err);
}

static enum sc_rc libs3_open(const struct sc_s3_client_config *config, struct sc_s3_wire **ret_wire,
                             struct sc_error *err)
{
    enum sc_rc rc = check_endpoint(config, err);
    if (rc != SC_OK)
        return rc;
    pthread_once(&once, initialize);
    S3RequestContext *context;
    S3Status status = initialized;
    if (status == S3StatusOK)
        status = S3_create_request_context(&context);
    if (status != S3StatusOK)
        return sc_error_set(err, SC_IO, "libs3 does not start: %s", S3_get_status_name(status));
    struct libs3_wire *wire = sc_calloc(1, sizeof *wire);
    wire->base.kind = &sc_libs3_wire;
    wire->host = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(config->endpoint.host));
    wire->tls = config->endpoint.tls;
    wire->virtual = config->endpoint.style == SC_S3_STYLE_VIRTUAL;
    wire->provider = config->provider;
    wire->context = context;
    *ret_wire = &wire->base;
    return SC_OK;
}

static void libs3_close(struct sc_s3_wire *base)
{
    struct libs3_wire *wire = wire_of(base);
    SC_ASSERT(wire->pending == 0);
    S3_destroy_request_context(wire->context);
    free(wire->host);
    free(wire);
}

// ---- who signs

// What libs3 wants as strings; it keeps none of them.
struct identity {
    S3BucketContext context;
    struct sc_buf access_key, secret, token;
    char *bucket, *region;
};

static void identity_done(struct identity *identity)
{
    sc_s3_secret_done(&identity->access_key);
    sc_s3_secret_done(&identity->secret);
    sc_s3_secret_done(&identity->token);
    free(identity->bucket);
    free(identity->region);
}

static const char *secret_text(struct sc_buf *buf, struct sc_slice text)
{
    sc_s3_secret_init(buf, text.len + 1);
    sc_buf_add_slice(buf, text);
    return sc_buf_cstr(buf);
}

static enum sc_rc identify(struct libs3_wire *wire, const struct sc_s3_call *call, struct sc_slice bucket,
                           struct identity *ret, struct sc_error *err)
{
    struct sc_s3_credentials credentials;
    int64_t wall_ms = sc_clock_wall_ms();
    enum sc_rc rc = sc_s3_provider_get(wire->provider, wall_ms, false, &credentials, err);
    if (rc != SC_OK)
        return rc;
    if (credentials.anonymous || (credentials.token.len && !sc_libs3_takes_tokens)) {
        rc = sc_error_set(err, SC_UNSUPPORTED, "client=libs3 %s",
                          credentials.anonymous ? "signs every request: anonymous=1 is not for it"
                                                : "knows no session tokens, in this version of libs3");
        sc_error_hint(err, "give it an access key and its secret, by the environment or by profile=");
        return rc;
    }
    bool dots = wire->tls && memchr(bucket.ptr, '.', bucket.len); // as in store/s3/url.c
    ret->bucket = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(bucket));
    ret->region = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(call->region));
    ret->context = (S3BucketContext){
        .hostName = wire->host,
        .bucketName = ret->bucket,
        .protocol = wire->tls ? S3ProtocolHTTPS : S3ProtocolHTTP,
        .uriStyle = wire->virtual && !dots ? S3UriStyleVirtualHost : S3UriStylePath,
        .accessKeyId = secret_text(&ret->access_key, credentials.access_key),
        .secretAccessKey = secret_text(&ret->secret, credentials.secret),
    };
    const char *token = secret_text(&ret->token, credentials.token);
    sc_libs3_set_session(&ret->context, credentials.token.len ? token : NULL, ret->region);
    return SC_OK;
}

// ---- the end of a request

static void over(struct request *r)
{
    r->next = NULL;
    if (r->wire->last_over)
        r->wire->last_over->next = r;
    else
        r->wire->first_over = r;
    r->wire->last_over = r;
}

static void request_free(struct request *r)
{
    sc_buf_done(&r->key);
    sc_buf_done(&r->last);
    free(r);
}

// libs3 takes a body that ends early for a whole one.
static void check_length(struct request *r)
{
    struct sc_s3_exchange *x = exchange_of(r);
    if (x->answer.failure != SC_S3_CAME || x->answer.status >= 300 || r->has_enough ||
        r->taken == (uint64_t)x->answer.length)
        return;
    x->answer.failure = SC_S3_CUT;
    sc_error_set(&x->answer.own, SC_UNREACHABLE, "the answer ended after %llu of %lld bytes",
                 (unsigned long long)r->taken, (long long)x->answer.length);
}

static void check_copied(struct request *r)
{
    struct sc_s3_exchange *x = exchange_of(r);
    if (x->answer.failure == SC_S3_CAME && x->answer.status < 300 && !sc_libs3_set_copied(x, r->etag))
        sc_libs3_set_error(x, 500, "InternalError");
}

static void check_match(struct request *r)
{
    struct sc_s3_exchange *x = exchange_of(r);
    struct sc_slice want = r->call->if_match;
    if (x->answer.failure == SC_S3_CAME && x->answer.status < 300 && want.len &&
        !sc_slice_eq(want, x->answer.etag))
        sc_libs3_set_error(x, 412, "PreconditionFailed");
}

static S3Status take_properties(const S3ResponseProperties *properties, void *context)
{
    struct request *r = context;
    r->answered = true;
    const struct sc_s3_call *call = r->call;
    struct sc_s3_exchange *x = exchange_of(r);
    sc_libs3_take_properties(x, properties);
    // libs3 does not tell a range from the whole; the mover asks for ranges that reach to the end.
    if (r->ask == SC_S3_GET && sc_s3_call_is_main(call) && call->range_first &&
        properties->contentLength == call->range_bytes) {
        x->answer.status = 206;
        x->answer.range_first = (int64_t)call->range_first;
        x->answer.range_total = (int64_t)(call->range_first + call->range_bytes);
        x->answer.range_last = x->answer.range_total - 1;
    }
    return S3StatusOK;
}

static enum sc_rc look(struct request *r, struct sc_slice bucket, struct sc_slice key, struct sc_error *err);

static void complete(S3Status status, const S3ErrorDetails *details, void *context)
{
    struct request *r = context;
    struct sc_s3_exchange *x = exchange_of(r);
    bool writes = r->ask == SC_S3_PUT || r->ask == SC_S3_COPY;
    bool silent = status == S3StatusOK || status == S3StatusConnectionFailed;
    if (writes && !r->answered && silent && x->own.rc == SC_OK &&
        look(r, r->call->bucket, r->call->key, &x->own) == SC_OK)
        return;
    sc_libs3_take_status(x, r->has_enough ? S3StatusOK : status, details);
    if (r->ask == SC_S3_GET)
        check_length(r);
    else if (r->ask == SC_S3_COPY)
        check_copied(r);
    else if (r->ask == SC_S3_HEAD)
        check_match(r);
    over(r);
}

// ---- what became of a write
//
// libs3 2.0 asks for the answer's status before there is one, where something is sent: of a write without an error in S3's
// words it knows nothing. What lies there tells: a PUT's ETag is the MD5 of what was sent, a copy's is its source's.

static bool is_md5(const char *etag, const uint8_t *md5)
{
    char hex[33];
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", md5[i]);
    return sc_slice_eq_str(sc_s3_etag(sc_slice_str(etag)), hex);
}

static S3Status look_properties(const S3ResponseProperties *properties, void *context)
{
    struct request *r = context;
    if (r->looks_at_source)
        snprintf(r->etag, sizeof r->etag, "%s", properties->eTag ? properties->eTag : "");
    else
        sc_libs3_take_properties(exchange_of(r), properties);
    return S3StatusOK;
}

static void not_written(struct request *r)
{
    struct sc_s3_exchange *x = exchange_of(r);
    x->answer.failure = SC_S3_RESET;
    sc_error_set(&x->answer.own, SC_UNREACHABLE, "it was sent, and what lies there is not it");
    over(r);
}

static void look_over(S3Status status, const S3ErrorDetails *details, void *context)
{
    struct request *r = context;
    struct sc_s3_exchange *x = exchange_of(r);
    if (status == S3StatusHttpErrorNotFound) {
        not_written(r);
        return;
    }
    bool copies = r->ask == SC_S3_COPY;
    if (status == S3StatusOK && copies && !r->looks_at_source) {
        r->looks_at_source = true;
        if (look(r, r->from_bucket, r->from_key, &x->own) == SC_OK)
            return;
    }
    sc_libs3_take_status(x, status, details);
    if (x->answer.failure != SC_S3_CAME || x->answer.status >= 300) {
        over(r);
        return;
    }
    const char *etag = sc_arena_cstr(&x->arena, x->answer.etag);
    bool same = copies ? sc_slice_eq(x->answer.etag, sc_s3_etag(sc_slice_str(r->etag))) &&
                             sc_libs3_set_copied(x, etag)
                       : is_md5(etag, r->call->md5);
    bool parts = copies && strchr(r->etag, '-'); // an etag that a copy need not have
    if (!same && parts) {
        x->answer.failure = SC_S3_OURS;
        sc_error_set(&x->answer.own, SC_UNSUPPORTED,
                     "libs3 cannot tell what became of a copy of an object in parts");
    } else if (!same) {
        not_written(r);
        return;
    }
    over(r);
}

// ---- bodies

static S3Status take_bytes(int len, const char *bytes, void *context)
{
    struct request *r = context;
    struct sc_s3_exchange *x = exchange_of(r);
    if (!sc_s3_call_is_main(r->call)) {
        r->has_enough = true;
        return S3StatusAbortedByCallback;
    }
    if (x->answer.length <= 0) { // then its end could not be told from a broken connection
        sc_error_set(&x->own, SC_UNSUPPORTED,
                     "the server does not say how long an object is, which client=libs3 must know");
        return S3StatusAbortedByCallback;
    }
    r->taken += (uint64_t)len;
    return sc_s3_exchange_take(x, sc_slice(bytes, (size_t)len)) ? S3StatusOK : S3StatusAbortedByCallback;
}

static int give_bytes(int room, char *bytes, void *context)
{
    const struct request *r = context;
    size_t len;
    return sc_s3_exchange_give(exchange_of(r), bytes, (size_t)room, &len) ? (int)len : -1;
}

// ---- LIST

// libs3 takes a list whose answer broke off for a whole one, and may miss that there is more. A page that is full needs no
// proof. Any other is asked for again from the last key but one: the last must come, and behind it nothing.
static S3Status take_keys(int truncated, const char *next, int count, const S3ListBucketContent *contents,
                          int prefix_count, const char **prefixes, void *context)
{
    (void)truncated;
    (void)next;
    (void)prefix_count;
    (void)prefixes;
    struct request *r = context;
    struct sc_s3_exchange *x = exchange_of(r);
    for (int i = 0; i < count; i++) {
        if (r->confirms) {
            if (r->count && r->confirmed == 0 && !sc_slice_eq_str(sc_buf_slice(&r->last), contents[i].key))
                r->differs = true;
            r->confirmed++;
            continue;
        }
        sc_libs3_list_add(&x->text, &contents[i]);
        struct sc_buf key = r->key;
        r->key = r->last;
        r->last = key;
        sc_buf_clear(&r->last);
        sc_buf_add_str(&r->last, contents[i].key);
        r->count++;
    }
    return S3StatusOK;
}

static S3Status pass_properties(const S3ResponseProperties *properties, void *context)
{
    (void)properties;
    (void)context;
    return S3StatusOK;
}

static void list_over(S3Status status, const S3ErrorDetails *details, void *context);

static enum sc_rc ask_for_keys(struct request *r, struct sc_error *err)
{
    static const S3ListBucketHandler handler = {{pass_properties, list_over}, take_keys};
    struct identity who = {.bucket = NULL};
    enum sc_rc rc = identify(r->wire, r->call, r->call->bucket, &who, err);
    if (rc == SC_OK) {
        struct sc_arena *arena = &r->call->sign_arena;
        struct sc_slice after = r->confirms && r->count > 1 ? sc_buf_slice(&r->key) : r->after;
        S3_list_bucket(&who.context, sc_arena_cstr(arena, r->prefix),
                       after.len ? sc_arena_cstr(arena, after) : NULL, NULL, r->confirms ? 2 : r->wants,
                       r->wire->context, SC_LIBS3_TIMEOUT & handler, r);
    }
    identity_done(&who);
    return rc;
}

static void end_list(struct request *r)
{
    struct sc_s3_exchange *x = exchange_of(r);
    if (x->answer.failure != SC_S3_CAME || x->answer.status >= 300) {
        over(r);
        return;
    }
    sc_libs3_list_end(&x->text, r->count >= r->wants || (r->count ? r->confirmed > 1 : r->confirmed > 0));
    if (r->differs || (r->confirms && r->count && r->confirmed == 0)) {
        x->answer.failure = SC_S3_CUT;
        sc_error_set(&x->answer.own, SC_UNREACHABLE, "two readings of a list differ");
    } else if (x->text.overflow) {
        x->answer.failure = SC_S3_OURS;
        sc_error_set(&x->answer.own, SC_LIMIT, "a list of more than %u bytes", SC_LIMIT_S3_TEXT_BYTES);
    }
    over(r);
}

static void list_over(S3Status status, const S3ErrorDetails *details, void *context)
{
    struct request *r = context;
    struct sc_s3_exchange *x = exchange_of(r);
    if (status == S3StatusOK && !r->confirms && r->count < r->wants) {
        r->confirms = true;
        if (ask_for_keys(r, &x->own) == SC_OK) {
            x->further++;
            x->further_ask = SC_S3_LIST;
            return;
        }
    }
    sc_libs3_take_status(x, status, details);
    end_list(r);
}

static enum sc_rc send_list(struct request *r)
{
    const struct sc_s3_call *call = r->call;
    r->wants = SC_LIMIT_S3_LIST_KEYS;
    for (uint32_t i = 0; i < call->param_count; i++) {
        const struct sc_s3_param *param = &call->params[i];
        if (sc_slice_eq_str(param->name, "prefix"))
            r->prefix = param->value;
        else if (sc_slice_eq_str(param->name, "start-after"))
            r->after = param->value;
        else if (sc_slice_eq_str(param->name, "max-keys"))
            r->wants = (int)strtol(sc_arena_cstr(&r->call->sign_arena, param->value), NULL, 10);
        else if (!sc_slice_eq_str(param->name, "list-type") && !sc_slice_eq_str(param->name, "encoding-type"))
            return sc_error_set(&r->call->err, SC_UNSUPPORTED,
                                "client=libs3 lists what is there, no more of it");
    }
    sc_libs3_list_begin(&exchange_of(r)->text);
    return ask_for_keys(r, &r->call->err);
}

// ---- the others

static enum sc_rc look(struct request *r, struct sc_slice bucket, struct sc_slice key, struct sc_error *err)
{
    static const S3ResponseHandler handler = {look_properties, look_over};
    struct identity who = {.bucket = NULL};
    enum sc_rc rc = identify(r->wire, r->call, bucket, &who, err);
    if (rc == SC_OK) {
        exchange_of(r)->further++;
        exchange_of(r)->further_ask = SC_S3_HEAD;
        S3_head_object(&who.context, sc_arena_cstr(&r->call->sign_arena, key), r->wire->context,
                       SC_LIBS3_TIMEOUT & handler, r);
    }
    identity_done(&who);
    return rc;
}

enum { METAS = 4 };

// What of the headers libs3 can send: x-amz-meta-…, and where a copy comes from.
struct sent {
    S3NameValue metas[METAS];
    S3PutProperties properties;
    char md5[32];
    struct sc_slice source;
    bool replaces;
};

static enum sc_rc read_headers(struct sc_s3_call *call, struct sent *ret, struct sc_error *err)
{
    static const char meta[] = "x-amz-meta-";
    struct sc_arena *arena = &call->sign_arena;
    int n = 0;
    ret->properties = (S3PutProperties){.expires = -1, .cannedAcl = S3CannedAclPrivate};
    if (call->writer_text[0])
        ret->metas[n++] = (S3NameValue){"writer", call->writer_text};
    for (uint32_t i = 0; i < call->header_count; i++) {
        const struct sc_s3_header *header = &call->headers[i];
        if (sc_slice_starts(header->name, meta)) {
            SC_ASSERT(n < METAS);
            ret->metas[n++] = (S3NameValue){sc_arena_cstr(arena, sc_slice_from(header->name, strlen(meta))),
                                            sc_arena_cstr(arena, header->value)};
        } else if (sc_slice_eq_str(header->name, "x-amz-copy-source")) {
            ret->source = header->value;
        } else if (sc_slice_eq_str(header->name, "x-amz-metadata-directive")) {
            ret->replaces = true;
        } else { // x-amz-copy-source-if-match
            return sc_error_set(err, SC_UNSUPPORTED, "client=libs3 copies what is there, no version of it");
        }
    }
    if (call->md5) {
        EVP_EncodeBlock((unsigned char *)ret->md5, call->md5, 16);
        ret->properties.md5 = ret->md5;
    }
    ret->properties.metaDataCount = n;
    ret->properties.metaData = ret->metas;
    return SC_OK;
}

static enum sc_rc send_put(struct request *r, const struct identity *who, const char *key)
{
    static const S3PutObjectHandler handler = {{take_properties, complete}, give_bytes};
    struct sent sent = {.replaces = false};
    enum sc_rc rc = read_headers(r->call, &sent, &r->call->err);
    if (rc == SC_OK)
        S3_put_object(&who->context, key, sc_s3_source_size(&r->call->source), &sent.properties,
                      r->wire->context, SC_LIBS3_TIMEOUT & handler, r);
    return rc;
}

// The source is in another bucket than the one that is written to, perhaps.
static enum sc_rc send_copy(struct request *r, const char *key)
{
    static const S3ResponseHandler handler = {take_properties, complete};
    struct sc_s3_call *call = r->call;
    struct sc_arena *arena = &call->sign_arena;
    struct sent sent = {.replaces = false};
    enum sc_rc rc = read_headers(call, &sent, &call->err);
    const uint8_t *slash =
        rc == SC_OK && sent.source.len ? memchr(sent.source.ptr, '/', sent.source.len) : NULL;
    if (!slash)
        return rc;
    struct sc_slice bucket = sc_slice(sent.source.ptr, (size_t)(slash - sent.source.ptr));
    SC_AUTO_BUF struct sc_buf from;
    sc_buf_init(&from, 2 * SC_LIMIT_KEY_BYTES);
    SC_ASSERT(sc_s3_decode(sc_slice_from(sent.source, bucket.len + 1), false, &from)); // encoded by ourselves
    r->from_bucket = bucket;
    r->from_key = sc_arena_copy(arena, sc_buf_slice(&from));
    struct identity who = {.bucket = NULL};
    rc = identify(r->wire, call, bucket, &who, &call->err);
    if (rc == SC_OK) // libs3 sends the source as it is given: it is encoded already
        S3_copy_object(&who.context, sc_arena_cstr(arena, sc_slice_from(sent.source, bucket.len + 1)),
                       sc_arena_cstr(arena, call->bucket), key, sent.replaces ? &sent.properties : NULL,
                       &r->mtime_s, sizeof r->etag, r->etag, r->wire->context, SC_LIBS3_TIMEOUT & handler, r);
    identity_done(&who);
    return rc;
}

static void send_get(struct request *r, const struct identity *who, const char *key)
{
    static const S3GetObjectHandler handler = {{take_properties, complete}, take_bytes};
    struct sc_s3_call *call = r->call;
    S3GetConditions conditions = {.ifModifiedSince = -1, .ifNotModifiedSince = -1};
    if (call->if_match.len)
        conditions.ifMatchETag =
            sc_arena_cstr(&call->sign_arena, sc_arena_printf(&call->sign_arena, "\"" SC_SLICE_FMT "\"",
                                                             SC_SLICE_ARG(call->if_match)));
    S3_get_object(&who->context, key, &conditions, sc_s3_call_is_main(call) ? call->range_first : 0, 0,
                  r->wire->context, SC_LIBS3_TIMEOUT & handler, r);
}

static enum sc_rc send_object(struct request *r)
{
    static const S3ResponseHandler handler = {take_properties, complete};
    struct sc_s3_call *call = r->call;
    const char *key = sc_arena_cstr(&call->sign_arena, call->key);
    struct identity who = {.bucket = NULL};
    enum sc_rc rc = identify(r->wire, call, call->bucket, &who, &call->err);
    if (rc == SC_OK && r->ask == SC_S3_GET)
        send_get(r, &who, key);
    else if (rc == SC_OK && r->ask == SC_S3_PUT)
        rc = send_put(r, &who, key);
    else if (rc == SC_OK && r->ask == SC_S3_HEAD)
        S3_head_object(&who.context, key, r->wire->context, SC_LIBS3_TIMEOUT & handler, r);
    else if (rc == SC_OK)
        S3_delete_object(&who.context, key, r->wire->context, SC_LIBS3_TIMEOUT & handler, r);
    identity_done(&who);
    return rc;
}

static enum sc_rc check_call(const struct sc_s3_call *call, struct sc_error *err)
{
    bool blank = call->key.len && memchr(call->key.ptr, ' ', call->key.len);
    if (call->version.len)
        return sc_error_set(err, SC_UNSUPPORTED, "client=libs3 reads what is there, no version of it");
    if (blank && !sc_libs3_takes_blanks)
        return sc_error_set(err, SC_UNSUPPORTED,
                            SC_SLICE_FMT ": this libs3 cannot name an object with a blank in its key",
                            SC_SLICE_ARG(call->key));
    return SC_OK;
}

static enum sc_rc send_request(struct request *r)
{
    switch (r->ask) {
    case SC_S3_GET:
    case SC_S3_PUT:
    case SC_S3_HEAD:
    case SC_S3_DELETE:
        return send_object(r);
    case SC_S3_LIST:
        return send_list(r);
    case SC_S3_COPY:
        return send_copy(r, sc_arena_cstr(&r->call->sign_arena, r->call->key));
    case SC_S3_BEGIN:
    case SC_S3_PART:
    case SC_S3_COMPLETE:
    case SC_S3_ABORT:
    case SC_S3_UPLOADS:
        break; // its sizes say that nothing goes in parts
    }
    SC_ASSERT(false);
    return SC_INVALID;
}

static enum sc_rc libs3_send(struct sc_s3_wire *base, struct sc_s3_call *call, enum sc_s3_ask ask)
{
    struct sc_s3_exchange *x = &call->exchange;
    enum sc_rc rc = check_call(call, &call->err);
    if (rc != SC_OK)
        return rc;
    struct request *r = sc_calloc(1, sizeof *r);
    r->wire = wire_of(base);
    r->call = call;
    r->ask = ask;
    sc_buf_init(&r->key, 2 * SC_LIMIT_KEY_BYTES);
    sc_buf_init(&r->last, 2 * SC_LIMIT_KEY_BYTES);
    sc_s3_exchange_begin(x);
    x->source = sc_s3_call_has_body(call, ask) ? call->source : (struct sc_s3_source){.fd = -1};
    rc = send_request(r); // which may be over already, but is told in a turn
    if (rc == SC_OK)
        r->wire->pending++;
    else
        request_free(r);
    return rc;
}

// ---- the turn

static uint32_t libs3_pending(const struct sc_s3_wire *base)
{
    return ((const struct libs3_wire *)base)->pending;
}

static uint32_t tell(struct libs3_wire *wire)
{
    uint32_t count = 0;
    struct request *r = wire->first_over;
    wire->first_over = wire->last_over = NULL;
    while (r) {
        struct request *next = r->next;
        struct sc_s3_exchange *x = exchange_of(r);
        request_free(r);
        wire->pending--;
        count++;
        x->done(x); // may send anew
        r = next;
    }
    return count;
}

static void run(struct libs3_wire *wire)
{
    int left;
    S3Status status = S3_runonce_request_context(wire->context, &left);
    SC_ASSERT(status == S3StatusOK); // curl's multi handle is broken, or there is no memory
}

static void wait_for_bytes(struct libs3_wire *wire, int wait_ms)
{
    fd_set reads, writes, errors;
    int last = -1;
    FD_ZERO(&reads);
    FD_ZERO(&writes);
    FD_ZERO(&errors);
    int64_t wait = wait_ms < 0 || wait_ms > LONGEST_WAIT_MS ? LONGEST_WAIT_MS : wait_ms;
    if (wire->pending) {
        SC_ASSERT(S3_get_request_context_fdsets(wire->context, &reads, &writes, &errors, &last) ==
                  S3StatusOK);
        int64_t asked = S3_get_request_context_timeout(wire->context);
        wait = asked >= 0 && asked < wait ? asked : wait;
        if (last < 0 && wait > BLIND_WAIT_MS) // no connection yet, or one beyond what select can name
            wait = BLIND_WAIT_MS;
    }
    struct timeval time = {wait / 1000, wait % 1000 * 1000};
    select(last + 1, &reads, &writes, &errors, &time); // whatever it says, a look follows
}

static uint32_t libs3_turn(struct sc_s3_wire *base, int wait_ms)
{
    struct libs3_wire *wire = wire_of(base);
    run(wire);
    uint32_t count = tell(wire);
    if (count || wait_ms == 0)
        return count;
    wait_for_bytes(wire, wait_ms);
    run(wire);
    return tell(wire);
}

// Nothing goes in parts, of which 2.0 knows nothing, and nothing comes in parts, since it tells no range from the whole.
static const struct sc_s3_sizes sizes = {
    .single = (uint64_t)5 << 30, // what S3 takes in one request
    .copy_single = (uint64_t)5 << 30,
    .md5 = true,
};

const struct sc_s3_wire_kind sc_libs3_wire = {
    .name = "libs3",
    .conditional = false,
    .sizes = &sizes,
    .open = libs3_open,
    .close = libs3_close,
    .send = libs3_send,
    .pending = libs3_pending,
    .turn = libs3_turn,
};
