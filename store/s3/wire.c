#include "store/s3/wire.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "store/s3/transfer.h"

#include <stdio.h>

struct http_wire {
    struct sc_s3_wire base;
    struct sc_s3_endpoint endpoint;
    struct sc_s3_provider *provider;
    struct sc_s3_http *http;
    struct sc_s3_signer signer;
};

static struct http_wire *http_of(struct sc_s3_wire *wire)
{
    return (struct http_wire *)wire;
}

static enum sc_rc http_open(const struct sc_s3_client_config *config, struct sc_s3_wire **ret_wire,
                            struct sc_error *err)
{
    struct sc_s3_http *http;
    if (config->unverified)
        return sc_error_set(err, SC_INVALID,
                            "unverified=1 is for client=libs3; here certificates are always checked");
    enum sc_rc rc = sc_s3_http_new(&config->http, &http, err);
    if (rc != SC_OK)
        return rc;
    struct http_wire *wire = sc_calloc(1, sizeof *wire);
    wire->base.kind = &sc_s3_wire_http;
    wire->endpoint = config->endpoint;
    wire->provider = config->provider;
    wire->http = http;
    *ret_wire = &wire->base;
    return SC_OK;
}

static void http_close(struct sc_s3_wire *base)
{
    struct http_wire *wire = http_of(base);
    sc_s3_http_free(wire->http);
    explicit_bzero(&wire->signer, sizeof wire->signer);
    free(wire);
}

static uint32_t http_pending(const struct sc_s3_wire *base)
{
    return sc_s3_http_pending(((const struct http_wire *)base)->http);
}

static uint32_t http_turn(struct sc_s3_wire *base, int wait_ms)
{
    return sc_s3_http_turn(http_of(base)->http, wait_ms);
}

static const char *method_of(enum sc_s3_ask ask)
{
    switch (ask) {
    case SC_S3_GET:
    case SC_S3_LIST:
    case SC_S3_UPLOADS:
        return "GET";
    case SC_S3_HEAD:
        return "HEAD";
    case SC_S3_PUT:
    case SC_S3_COPY:
    case SC_S3_PART:
        return "PUT";
    case SC_S3_BEGIN:
    case SC_S3_COMPLETE:
        return "POST";
    case SC_S3_DELETE:
    case SC_S3_ABORT:
        return "DELETE";
    }
    SC_ASSERT(false);
    return "";
}

static void add_range(struct sc_s3_call *call, enum sc_s3_ask ask)
{
    uint64_t first = call->range_first, bytes = call->range_bytes;
    if (call->by_get)
        first = 0, bytes = 1;
    if (ask != SC_S3_GET || bytes == 0)
        return;
    snprintf(call->range_text, sizeof call->range_text, "bytes=%llu-%llu", (unsigned long long)first,
             (unsigned long long)(first + bytes - 1));
    sc_s3_headers_add(&call->sent_headers, "range", sc_slice_str(call->range_text));
}

static void add_headers(struct sc_s3_call *call, enum sc_s3_ask ask)
{
    struct sc_s3_headers *headers = &call->sent_headers;
    bool main = sc_s3_call_is_main(call);
    headers->count = 0;
    sc_s3_headers_add(headers, "host", call->target.host);
    add_range(call, ask);
    if (call->if_match.len && (ask == SC_S3_GET || ask == SC_S3_HEAD))
        sc_s3_headers_add(
            headers, "if-match",
            sc_arena_printf(&call->sign_arena, "\"" SC_SLICE_FMT "\"", SC_SLICE_ARG(call->if_match)));
    if (main && call->if_absent && ask != SC_S3_BEGIN)
        sc_s3_headers_add(headers, "if-none-match", sc_slice_str("*"));
    if (main && call->writer_text[0] && ask != SC_S3_COMPLETE)
        sc_s3_headers_add(headers, "x-amz-meta-writer", sc_slice_str(call->writer_text));
    for (uint32_t i = 0; main && i < call->header_count; i++)
        headers->items[headers->count++] = call->headers[i];
}

static void set_target(struct http_wire *wire, struct sc_s3_call *call)
{
    struct sc_s3_param params[16];
    uint32_t n = 0;
    for (uint32_t i = 0; i < call->param_count && sc_s3_call_is_main(call); i++) {
        SC_ASSERT(n < SC_COUNT(params) - 1);
        params[n++] = call->params[i];
    }
    if (call->version.len)
        params[n++] = (struct sc_s3_param){sc_slice_str("versionId"), call->version};
    sc_s3_target_set(&call->target, &wire->endpoint, call->region, call->bucket, call->key, params, n);
}

static enum sc_rc sign(struct http_wire *wire, struct sc_s3_call *call, const char *method,
                       const char *payload)
{
    struct sc_s3_credentials credentials;
    int64_t wall_ms = sc_clock_wall_ms() + call->skew_ms;
    enum sc_rc rc = sc_s3_provider_get(wire->provider, wall_ms, false, &credentials, &call->err);
    if (rc != SC_OK || credentials.anonymous)
        return rc;
    struct sc_s3_identity identity = {.access_key = credentials.access_key,
                                      .secret = credentials.secret,
                                      .token = credentials.token,
                                      .region = call->region,
                                      .service = "s3"};
    struct sc_s3_message message = {
        .method = method, .path = call->target.path, .query = call->target.query, .payload = payload};
    sc_s3_sign(&wire->signer, &identity, &message, wall_ms, &call->sign_arena, &call->sent_headers);
    return SC_OK;
}

static enum sc_rc http_send(struct sc_s3_wire *base, struct sc_s3_call *call, enum sc_s3_ask ask)
{
    struct http_wire *wire = http_of(base);
    const char *method = method_of(ask);
    bool body = sc_s3_call_has_body(call, ask);
    char hex[SC_DIGEST_HEX_BYTES];
    const char *payload = sc_s3_empty_sha256;
    if (body && (call->source.fd >= 0 || call->source.bytes.len)) {
        SC_ASSERT(call->sha256 || call->source.fd < 0);
        struct sc_digest digest = call->sha256 ? *call->sha256 : sc_digest_of(call->source.bytes);
        sc_digest_hex(&digest, hex);
        payload = hex;
    }
    set_target(wire, call);
    add_headers(call, ask);
    enum sc_rc rc = sign(wire, call, method, payload);
    if (rc != SC_OK)
        return rc;
    struct sc_s3_exchange *x = &call->exchange;
    x->method = method;
    x->url = (const char *)call->target.url.ptr;
    x->headers = &call->sent_headers;
    x->source = body ? call->source : (struct sc_s3_source){.fd = -1};
    sc_s3_http_submit(wire->http, x);
    return SC_OK;
}

const struct sc_s3_wire_kind sc_s3_wire_http = {
    .conditional = true,
    .sizes = &sc_s3_usual_sizes,
    .open = http_open,
    .close = http_close,
    .send = http_send,
    .pending = http_pending,
    .turn = http_turn,
};
