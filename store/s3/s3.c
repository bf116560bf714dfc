// The S3 back end: the store's names are keys below a prefix of a bucket. Every operation becomes requests of one client
// (store/s3/client.h), as many at once as its pace allows; large objects go by store/s3/transfer.h.
#include "store/s3/s3.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "store/s3/job.h"
#include "store/s3/wire.h"

#include <sys/random.h>

enum {
    CONNECTIONS = 16,
    CONNECT_MS = 10 * 1000,
    STALL_MS = 20 * 1000,
    PATIENCE_MS = 60 * 1000, // of one request, from its first failure
};

static struct sc_s3_store *s3_of(struct sc_store *store)
{
    return (struct sc_s3_store *)store;
}

// ---- SYNC: what S3 has said yes to is durable, so it is over when the writes before it are

static bool is_write(const struct sc_store_op *op)
{
    return op->kind == SC_STORE_PUT || op->kind == SC_STORE_COPY;
}

static void end_syncs(struct sc_s3_store *s3)
{
    while (s3->syncs) {
        struct sc_s3_job *job = s3->first;
        while (job && !is_write(job->op) && job->op->kind != SC_STORE_SYNC)
            job = job->following;
        if (!job || job->op->kind != SC_STORE_SYNC)
            return;
        sc_s3_job_end(job, SC_OK);
    }
}

// ---- the table

static bool needs_name(enum sc_store_kind kind)
{
    return kind != SC_STORE_LIST && kind != SC_STORE_SYNC && kind != SC_STORE_SWEEP;
}

static enum sc_rc check_name(const struct sc_s3_store *s3, struct sc_slice name, struct sc_error *err)
{
    if (!sc_store_name_is_valid(name) || !sc_slice_is_utf8(name))
        return sc_error_set(err, SC_INVALID, SC_SLICE_FMT ": not a name in the store", SC_SLICE_ARG(name));
    if (name.len + s3->settings.url.prefix.len + 1 > SC_LIMIT_KEY_BYTES)
        return sc_error_set(err, SC_LIMIT, SC_SLICE_FMT ": a key of more than %u bytes", SC_SLICE_ARG(name),
                            SC_LIMIT_KEY_BYTES);
    return SC_OK;
}

static enum sc_rc check_prefix(struct sc_slice prefix, struct sc_error *err)
{
    const uint8_t *slash = prefix.len ? memrchr(prefix.ptr, '/', prefix.len) : NULL;
    bool good = sc_slice_is_utf8(prefix) && prefix.len <= SC_LIMIT_KEY_BYTES &&
                (prefix.len == 0 || !memchr(prefix.ptr, 0, prefix.len));
    if (good && slash)
        good = sc_store_name_is_valid(sc_slice(prefix.ptr, (size_t)(slash - prefix.ptr)));
    return good ? SC_OK
                : sc_error_set(err, SC_INVALID, SC_SLICE_FMT ": not a prefix of names", SC_SLICE_ARG(prefix));
}

static void begin(struct sc_s3_job *job)
{
    struct sc_s3_store *s3 = job->s3;
    struct sc_store_op *op = job->op;
    struct sc_store_counts *counts = &s3->base.counts;
    enum sc_rc rc = needs_name(op->kind) ? check_name(s3, op->name, &op->err) : SC_OK;
    if (rc == SC_OK && op->kind == SC_STORE_COPY && op->from_bucket.len == 0)
        rc = check_name(s3, op->from, &op->err);
    if (rc == SC_OK && op->kind == SC_STORE_LIST)
        rc = check_prefix(op->name, &op->err);
    if (rc != SC_OK) {
        sc_s3_job_end(job, rc);
        return;
    }
    sc_s3_add_key(s3, &job->key, op->name);
    switch (op->kind) {
    case SC_STORE_GET:
        counts->gets++;
        sc_s3_start_get(job);
        return;
    case SC_STORE_PUT:
        counts->puts++;
        sc_s3_start_put(job);
        return;
    case SC_STORE_COPY:
        counts->copies++;
        sc_s3_start_copy(job);
        return;
    case SC_STORE_HEAD:
        counts->heads++;
        sc_s3_start_head(job);
        return;
    case SC_STORE_REMOVE:
        counts->removes++;
        sc_s3_start_remove(job);
        return;
    case SC_STORE_LIST:
        counts->lists++;
        sc_s3_start_list(job);
        return;
    case SC_STORE_SYNC:
        counts->syncs++;
        return; // end_syncs
    case SC_STORE_SWEEP:
        sc_s3_start_sweep(job);
        return;
    }
    SC_ASSERT(false);
}

static void s3_submit(struct sc_store *store, struct sc_store_op *op)
{
    struct sc_s3_store *s3 = s3_of(store);
    if (s3->last_new)
        s3->last_new->next = op;
    else
        s3->first_new = op;
    s3->last_new = op;
}

static void begin_new(struct sc_s3_store *s3)
{
    struct sc_store_op *op = s3->first_new;
    s3->first_new = s3->last_new = NULL;
    while (op) {
        struct sc_store_op *next = op->next;
        op->next = NULL;
        struct sc_s3_job *job = sc_calloc(1, sizeof *job);
        job->s3 = s3;
        job->op = op;
        sc_buf_init(&job->key, 2 * SC_LIMIT_KEY_BYTES);
        sc_buf_init(&job->from, 2 * SC_LIMIT_KEY_BYTES);
        sc_buf_init(&job->after, 2 * SC_LIMIT_KEY_BYTES);
        sc_s3_call_init(&job->call, SC_S3_HEAD);
        sc_s3_transfer_init(&job->transfer, SC_S3_DOWN);
        job->previous = s3->last;
        if (s3->last)
            s3->last->following = job;
        else
            s3->first = job;
        s3->last = job;
        s3->syncs += op->kind == SC_STORE_SYNC;
        begin(job);
        op = next;
    }
}

static uint32_t s3_dispatch(struct sc_store *store, int wait_ms)
{
    struct sc_s3_store *s3 = s3_of(store);
    int64_t until_ms = wait_ms < 0 ? INT64_MAX : sc_clock_mono_ms() + wait_ms;
    s3->ended = 0;
    for (;;) {
        begin_new(s3);
        bool hashes = sc_s3_mover_turn(s3->mover);
        end_syncs(s3);
        int64_t left_ms = until_ms - sc_clock_mono_ms();
        bool last = s3->ended || !s3->first || left_ms <= 0;
        // One look at what came, even in the last round: it may be complete.
        sc_s3_client_turn(s3->client, last || hashes ? 0 : left_ms < 1000 ? (int)left_ms : 1000);
        end_syncs(s3);
        if (last || s3->ended)
            return s3->ended;
    }
}

static bool s3_local_path(struct sc_store *store, struct sc_slice name, struct sc_buf *ret_path)
{
    (void)store;
    (void)name;
    (void)ret_path;
    return false;
}

static const char *s3_local_root(const struct sc_store *store)
{
    (void)store;
    return NULL;
}

static const char *s3_server(const struct sc_store *store)
{
    return ((const struct sc_s3_store *)store)->server;
}

static struct sc_store_counts s3_counts(const struct sc_store *store)
{
    const struct sc_s3_store *s3 = (const struct sc_s3_store *)store;
    struct sc_store_counts counts = store->counts;
    struct sc_s3_client_counts requests = sc_s3_client_counts(s3->client);
    counts.requests_put = requests.puts;
    counts.requests_get = requests.gets;
    counts.requests_delete = requests.deletes;
    counts.retries = requests.retries;
    return counts;
}

static void s3_close(struct sc_store *store)
{
    struct sc_s3_store *s3 = s3_of(store);
    SC_ASSERT(s3->first == NULL &&
              s3->first_new == NULL); // an operation belongs to its caller until it is done
    sc_s3_mover_free(s3->mover);
    sc_s3_client_free(s3->client);
    sc_s3_provider_free(s3->provider);
    sc_arena_done(&s3->arena);
    free(s3->server);
    free(s3);
}

static const struct sc_store_backend s3_backend = {
    .close = s3_close,
    .submit = s3_submit,
    .dispatch = s3_dispatch,
    .local_path = s3_local_path,
    .local_root = s3_local_root,
    .server = s3_server,
    .counts = s3_counts,
};

static uint64_t seed(void)
{
    uint64_t value;
    return getrandom(&value, sizeof value, 0) == sizeof value ? value : (uint64_t)sc_clock_mono_us();
}

static enum sc_rc make_client(struct sc_s3_store *s3, const struct sc_s3_wire_kind *wire,
                              struct sc_error *err)
{
    const struct sc_s3_url *url = &s3->settings.url;
    SC_AUTO_BUF struct sc_buf known;
    sc_buf_init(&known, 2 * SC_LIMIT_KEY_BYTES);
    sc_s3_add_key(s3, &known, sc_slice_str("stepcache.json"));
    struct sc_s3_provider_config provider = {
        .profile = url->profile, .anonymous = url->anonymous, .region = url->region};
    s3->provider = sc_s3_provider_new(&provider);
    struct sc_s3_client_config config = {
        .wire = wire,
        .unverified = url->unverified,
        .endpoint = s3->settings.endpoint,
        .region = sc_slice_str(url->region),
        .provider = s3->provider,
        .bucket = url->bucket,
        .prefix = url->prefix,
        .known_key = sc_buf_slice(&known),
        .http = {.ca = url->ca, .connections = CONNECTIONS, .connect_ms = CONNECT_MS, .stall_ms = STALL_MS},
        .window = CONNECTIONS,
        .patience_ms = PATIENCE_MS,
        .seed = seed(),
    };
    return sc_s3_client_new(&config, &s3->client, err);
}

static enum sc_rc check_name_of_client(const struct sc_s3_url *url, const struct sc_s3_wire_kind *wire,
                                       struct sc_error *err)
{
    const char *said = url->client ? url->client : "", *is = wire->name ? wire->name : "";
    return strcmp(said, is) == 0
               ? SC_OK
               : sc_error_set(err, SC_INVALID, "write client=libs3 as it stands, without percent-encoding");
}

enum sc_rc sc_store_s3_open(const char *url, struct sc_store **ret_store, struct sc_error *err)
{
    return sc_store_s3_open_by(&sc_s3_wire_http, url, ret_store, err);
}

enum sc_rc sc_store_s3_open_by(const struct sc_s3_wire_kind *wire, const char *url,
                               struct sc_store **ret_store, struct sc_error *err)
{
    struct sc_s3_store *s3 = sc_calloc(1, sizeof *s3);
    s3->base.backend = &s3_backend;
    s3->base.one_writer = !wire->conditional;
    sc_arena_init(&s3->arena);
    enum sc_rc rc = sc_s3_settings_find(url, &s3->arena, &s3->settings, err);
    if (rc == SC_OK)
        rc = check_name_of_client(&s3->settings.url, wire, err);
    if (rc == SC_OK)
        rc = make_client(s3, wire, err);
    if (rc != SC_OK) {
        s3_close(&s3->base);
        return rc;
    }
    const struct sc_s3_endpoint *endpoint = &s3->settings.endpoint;
    s3->server = endpoint->aws && endpoint->tls
                     ? sc_strdup(sc_s3_partition(sc_slice_str(s3->settings.url.region)))
                     : sc_asprintf("%s://" SC_SLICE_FMT SC_SLICE_FMT, endpoint->tls ? "https" : "http",
                                   SC_SLICE_ARG(endpoint->host), SC_SLICE_ARG(endpoint->base));
    s3->mover = sc_s3_mover_new(s3->client, wire->sizes);
    s3->base.url = sc_strdup(url);
    *ret_store = &s3->base;
    return SC_OK;
}
