#include "store/s3/sign.h"

#include "base/memory.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <time.h>

const char sc_s3_empty_sha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

void sc_s3_headers_add(struct sc_s3_headers *headers, const char *name, struct sc_slice value)
{
    SC_ASSERT(headers->count < SC_S3_HEADERS_MAX);
    for (const char *c = name; *c; c++)
        SC_ASSERT(*c < 'A' || *c > 'Z');
    headers->items[headers->count++] = (struct sc_s3_header){sc_slice_str(name), value};
}

static void hmac(const uint8_t *key, size_t key_len, struct sc_slice text, uint8_t ret_mac[SC_DIGEST_BYTES])
{
    size_t len = 0;
    SC_ASSERT(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, text.ptr, text.len, ret_mac,
                        SC_DIGEST_BYTES, &len) != NULL);
    SC_ASSERT(len == SC_DIGEST_BYTES);
}

static struct sc_digest scope_of(const struct sc_s3_identity *identity)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 64 << 10);
    sc_buf_add_slice(&text, identity->region);
    sc_buf_add_byte(&text, 0);
    sc_buf_add_str(&text, identity->service);
    sc_buf_add_byte(&text, 0);
    sc_buf_add_slice(&text, identity->secret);
    struct sc_digest scope = sc_digest_of(sc_buf_slice(&text));
    explicit_bzero(text.ptr, text.len);
    return scope;
}

// HMAC over day, region, service and a constant, each with the former's result as its key.
static void make_key(struct sc_s3_signer *signer, const struct sc_s3_identity *identity, const char *day)
{
    struct sc_digest scope = scope_of(identity);
    if (strcmp(signer->day, day) == 0 && sc_digest_eq(&signer->scope, &scope))
        return;
    SC_AUTO_BUF struct sc_buf start;
    sc_buf_init(&start, 64 << 10);
    sc_buf_add_str(&start, "AWS4");
    sc_buf_add_slice(&start, identity->secret);
    uint8_t key[SC_DIGEST_BYTES];
    hmac(start.ptr, start.len, sc_slice_str(day), key);
    hmac(key, sizeof key, identity->region, key);
    hmac(key, sizeof key, sc_slice_str(identity->service), key);
    hmac(key, sizeof key, sc_slice_str("aws4_request"), signer->key);
    explicit_bzero(start.ptr, start.len);
    explicit_bzero(key, sizeof key);
    memcpy(signer->day, day, sizeof signer->day);
    signer->scope = scope;
}

// Without blanks at the ends, and runs of them as one.
static void add_collapsed(struct sc_buf *out, struct sc_slice value)
{
    bool blank = false, any = false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == ' ' || value.ptr[i] == '\t') {
            blank = any;
            continue;
        }
        if (blank)
            sc_buf_add_byte(out, ' ');
        sc_buf_add_byte(out, value.ptr[i]);
        blank = false;
        any = true;
    }
}

static int by_name(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct sc_s3_header *)a)->name, ((const struct sc_s3_header *)b)->name);
}

static void add_signed_names(struct sc_buf *out, const struct sc_s3_headers *sorted)
{
    for (uint32_t i = 0; i < sorted->count; i++) {
        if (i)
            sc_buf_add_byte(out, ';');
        sc_buf_add_slice(out, sorted->items[i].name);
    }
}

static struct sc_digest canonical_digest(const struct sc_s3_message *message,
                                         const struct sc_s3_headers *sorted)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 1 << 20);
    sc_buf_add_str(&text, message->method);
    sc_buf_add_byte(&text, '\n');
    sc_buf_add_slice(&text, message->path);
    sc_buf_add_byte(&text, '\n');
    sc_buf_add_slice(&text, message->query);
    sc_buf_add_byte(&text, '\n');
    for (uint32_t i = 0; i < sorted->count; i++) {
        sc_buf_add_slice(&text, sorted->items[i].name);
        sc_buf_add_byte(&text, ':');
        add_collapsed(&text, sorted->items[i].value);
        sc_buf_add_byte(&text, '\n');
    }
    sc_buf_add_byte(&text, '\n');
    add_signed_names(&text, sorted);
    sc_buf_add_byte(&text, '\n');
    sc_buf_add_str(&text, message->payload);
    SC_ASSERT(!text.overflow);
    return sc_digest_of(sc_buf_slice(&text));
}

static void add_hex(struct sc_buf *out, const uint8_t bytes[SC_DIGEST_BYTES])
{
    struct sc_digest digest;
    char hex[SC_DIGEST_HEX_BYTES];
    memcpy(digest.bytes, bytes, sizeof digest.bytes);
    sc_digest_hex(&digest, hex);
    sc_buf_add_str(out, hex);
}

static struct sc_slice authorization(struct sc_s3_signer *signer, const struct sc_s3_identity *identity,
                                     const struct sc_s3_message *message, const char time[17],
                                     struct sc_arena *arena, const struct sc_s3_headers *headers)
{
    struct sc_s3_headers sorted = *headers;
    qsort(sorted.items, sorted.count, sizeof *sorted.items, by_name);
    char day[9];
    memcpy(day, time, 8);
    day[8] = 0;
    make_key(signer, identity, day);
    struct sc_digest canonical = canonical_digest(message, &sorted);
    struct sc_slice scope = sc_arena_printf(arena, "%s/" SC_SLICE_FMT "/%s/aws4_request", day,
                                            SC_SLICE_ARG(identity->region), identity->service);
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 1 << 20);
    sc_buf_add_str(&text, "AWS4-HMAC-SHA256\n");
    sc_buf_add_str(&text, time);
    sc_buf_add_byte(&text, '\n');
    sc_buf_add_slice(&text, scope);
    sc_buf_add_byte(&text, '\n');
    add_hex(&text, canonical.bytes);
    uint8_t mac[SC_DIGEST_BYTES];
    hmac(signer->key, sizeof signer->key, sc_buf_slice(&text), mac);
    sc_buf_clear(&text);
    sc_buf_add_str(&text, "AWS4-HMAC-SHA256 Credential=");
    sc_buf_add_slice(&text, identity->access_key);
    sc_buf_add_byte(&text, '/');
    sc_buf_add_slice(&text, scope);
    sc_buf_add_str(&text, ",SignedHeaders=");
    add_signed_names(&text, &sorted);
    sc_buf_add_str(&text, ",Signature=");
    add_hex(&text, mac);
    SC_ASSERT(!text.overflow);
    return sc_arena_copy(arena, sc_buf_slice(&text));
}

void sc_s3_sign(struct sc_s3_signer *signer, const struct sc_s3_identity *identity,
                const struct sc_s3_message *message, int64_t wall_ms, struct sc_arena *arena,
                struct sc_s3_headers *headers)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char time[17];
    SC_ASSERT(gmtime_r(&seconds, &utc) != NULL);
    SC_ASSERT(strftime(time, sizeof time, "%Y%m%dT%H%M%SZ", &utc) == sizeof time - 1);
    sc_s3_headers_add(headers, "x-amz-date", sc_arena_copy(arena, sc_slice_str(time)));
    if (strcmp(identity->service, "s3") == 0)
        sc_s3_headers_add(headers, "x-amz-content-sha256",
                          sc_arena_copy(arena, sc_slice_str(message->payload)));
    if (identity->token.len)
        sc_s3_headers_add(headers, "x-amz-security-token", sc_arena_copy(arena, identity->token));
    sc_s3_headers_add(headers, "authorization",
                      authorization(signer, identity, message, time, arena, headers));
}
