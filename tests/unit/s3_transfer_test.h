// What the tests of transfers share: objects up, down and across in parts, against a stand-in for S3 with faults. Sizes are small
// here: parts of 16 KiB.
#pragma once

#include "tests/unit/store_test.h"

#include "base/random.h"
#include "store/s3/transfer.h"
#include "tests/lib/s3_stand.h"

enum { KIB = 1024, PART = 16 * KIB, SINGLE = 64 * KIB, LARGE = 10 * PART + 123, WINDOW = 4 };

struct world {
    struct sc_s3_stand *stand;
    struct sc_s3_provider *provider;
    struct sc_s3_client *client;
    struct sc_s3_mover *mover;
    struct sc_arena arena;
    char *scratch;
    uint8_t *bytes; // LARGE of them, random
    struct sc_digest digest;
    uint32_t ended;
    uint64_t progress; // the last that was told
};

static UNUSED_OK int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_endpoint endpoint;
    struct sc_random random;
    *state = w;
    setenv("AWS_ACCESS_KEY_ID", "KEY1", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    sc_arena_init(&w->arena);
    w->scratch = sc_scratch_new();
    w->bytes = sc_calloc(LARGE + 8, 1);
    sc_random_init(&random, 5);
    for (size_t i = 0; i < LARGE; i += 8) {
        uint64_t value = sc_random_next(&random);
        memcpy(w->bytes + i, &value, 8);
    }
    w->digest = sc_digest_of(sc_slice(w->bytes, LARGE));
    w->stand = sc_s3_stand_new();
    struct sc_s3_provider_config provider = {.region = "us-east-1"};
    w->provider = sc_s3_provider_new(&provider);
    assert_ok(
        sc_s3_endpoint_parse(sc_s3_stand_url(w->stand), SC_S3_STYLE_PATH, &w->arena, &endpoint, NULL, &err),
        err);
    struct sc_s3_client_config config = {
        .endpoint = endpoint,
        .region = sc_slice_str("us-east-1"),
        .provider = w->provider,
        .bucket = sc_slice_str("bkt"),
        .prefix = sc_slice_str(""),
        .known_key = sc_slice_str("stepcache.json"),
        .http = {.connections = WINDOW, .connect_ms = 5000, .stall_ms = 1000},
        .window = WINDOW,
        .patience_ms = 20000,
        .seed = 1,
    };
    assert_ok(sc_s3_client_new(&config, &w->client, &err), err);
    static const struct sc_s3_sizes sizes = {
        .single = SINGLE, .part = PART, .copy_single = 100 * KIB, .copy_part = 50 * KIB};
    w->mover = sc_s3_mover_new(w->client, &sizes);
    return 0;
}

static UNUSED_OK int teardown(void **state)
{
    struct world *w = *state;
    sc_s3_mover_free(w->mover);
    sc_s3_client_free(w->client);
    sc_s3_provider_free(w->provider);
    sc_s3_stand_free(w->stand);
    sc_arena_done(&w->arena);
    sc_scratch_remove(w->scratch);
    free(w->bytes);
    free(w);
    return 0;
}

static UNUSED_OK void count_end(struct sc_s3_transfer *t)
{
    ((struct world *)t->context)->ended++;
}

static UNUSED_OK void note_progress(struct sc_s3_transfer *t)
{
    ((struct world *)t->context)->progress = t->moved_bytes;
}

static UNUSED_OK void begin(struct world *w, struct sc_s3_transfer *t, enum sc_s3_way way, const char *key)
{
    sc_s3_transfer_init(t, way);
    t->place.bucket = sc_slice_str("bkt");
    t->place.key = sc_slice_str(key);
    t->done = count_end;
    t->progress = note_progress;
    t->context = w;
}

static UNUSED_OK void turn(struct world *w)
{
    bool hashes = sc_s3_mover_turn(w->mover);
    sc_s3_client_turn(w->client, hashes ? 0 : 1000);
}

static UNUSED_OK enum sc_rc finish(struct world *w, struct sc_s3_transfer *t)
{
    uint32_t before = w->ended;
    sc_s3_mover_submit(w->mover, t);
    while (w->ended == before)
        turn(w);
    assert_int_equal(w->ended, before + 1);
    assert_false(sc_s3_client_busy(w->client));
    return t->rc;
}

static UNUSED_OK void fault(struct world *w, struct sc_s3_fault_rule rule)
{
    sc_s3_stand_fault(w->stand, &rule);
}

static UNUSED_OK void serve(struct world *w, const char *headers)
{
    sc_s3_stand_put(w->stand, "/bkt/k", sc_slice(w->bytes, LARGE), headers);
}

static UNUSED_OK char *log_of(struct world *w)
{
    return sc_s3_stand_log(w->stand);
}

static UNUSED_OK uint32_t count_in(const char *text, const char *part)
{
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static UNUSED_OK void assert_stored(struct world *w, const char *target, const void *bytes, size_t len)
{
    SC_AUTO_BUF struct sc_buf found;
    assert_true(sc_s3_stand_get(w->stand, target, &found));
    assert_int_equal(found.len, len);
    if (len)
        assert_memory_equal(found.ptr, bytes, len);
}
