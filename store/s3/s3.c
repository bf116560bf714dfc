// The S3 back end: the store's names are keys below a prefix of a bucket. Every operation becomes requests of one client
// (store/s3/client.h), as many at once as its pace allows; large objects go by store/s3/transfer.h.
#include "store/s3/s3.h"

#include "store/backend.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "store/s3/settings.h"
#include "store/s3/wire.h"
#include "store/s3/xml.h"

#include <sys/random.h>

enum {
    CONNECTIONS = 16,
    CONNECT_MS = 10 * 1000,
    STALL_MS = 20 * 1000,
    PATIENCE_MS = 60 * 1000, // of one request, from its first failure
};

struct job { // an operation under way
    struct s3_store *s3;
    struct sc_store_op *op;
    struct job *previous, *following; // in the order of submission
    struct sc_buf key, from, after;   // whole keys
    struct sc_s3_call call;           // HEAD, LIST, DELETE
    struct sc_s3_param params[8];
    struct sc_s3_transfer transfer; // GET, PUT, COPY
    struct sc_s3_list list;         // the answer to LIST
    struct sc_slice after_version;  // LIST of versions: where the page before ended within a key
    uint32_t room;                  // of the entries so far
    uint32_t at;                    // SWEEP: the next of the list
};

struct s3_store {
    struct sc_store base;
    struct sc_arena arena;
    struct sc_s3_settings settings;
    struct sc_s3_provider *provider;
    struct sc_s3_client *client;
    struct sc_s3_mover *mover;
    char *server;
    struct sc_store_op *first_new, *last_new; // submitted since the last dispatch
    struct job *first, *last;
    uint32_t syncs, ended;
};

static struct s3_store *s3_of(struct sc_store *store)
{
    return (struct s3_store *)store;
}

static void add_key(const struct s3_store *s3, struct sc_buf *key, struct sc_slice name)
{
    sc_buf_add_slice(key, s3->settings.url.prefix);
    if (s3->settings.url.prefix.len)
        sc_buf_add_byte(key, '/');
    sc_buf_add_slice(key, name);
}

// ---- the end of an operation

static void end_job(struct job *job, enum sc_rc rc)
{
    struct s3_store *s3 = job->s3;
    struct sc_store_op *op = job->op;
    if (job->previous)
        job->previous->following = job->following;
    else
        s3->first = job->following;
    if (job->following)
        job->following->previous = job->previous;
    else
        s3->last = job->previous;
    s3->syncs -= op->kind == SC_STORE_SYNC;
    sc_buf_done(&job->key);
    sc_buf_done(&job->from);
    sc_buf_done(&job->after);
    sc_s3_call_done(&job->call);
    sc_s3_transfer_done(&job->transfer);
    free(job);
    s3->ended++;
    op->rc = rc;
    if (op->done)
        op->done(op);
}

static enum sc_rc take_error(struct job *job, const struct sc_s3_call *call)
{
    if (call->rc != SC_OK)
        job->op->err = call->err;
    return call->rc;
}

static struct sc_s3_call *make_call(struct job *job, enum sc_s3_ask ask, sc_s3_call_fn done)
{
    struct sc_s3_call *call = &job->call;
    sc_s3_call_done(call);
    sc_s3_call_init(call, ask);
    call->bucket = job->s3->settings.url.bucket;
    call->key = sc_buf_slice(&job->key);
    call->done = done;
    call->context = job;
    return call;
}

// ---- HEAD

static struct sc_slice kept(struct sc_store_op *op, struct sc_slice text)
{
    return text.len ? sc_arena_copy(&op->arena, text) : text;
}

// The server's, which all that use the bucket have in common; ours where it tells none.
static int64_t store_clock(const struct sc_s3_answer *answer)
{
    return answer->date_ms ? answer->date_ms : sc_clock_wall_ms();
}

static void head_done(struct sc_s3_call *call)
{
    struct job *job = call->context;
    struct sc_store_op *op = job->op;
    const struct sc_s3_answer *answer = &call->exchange.answer;
    enum sc_rc rc = take_error(job, call);
    if (rc == SC_OK) {
        op->bytes = answer->length > 0 ? (uint64_t)answer->length : 0;
        op->mtime_ms = answer->mtime_ms;
        op->now_ms = store_clock(answer);
        op->etag = kept(op, answer->etag);
        op->version = kept(op, answer->version);
        op->archived = sc_s3_is_archived(answer);
        op->checksum = answer->checksum;
    }
    end_job(job, rc);
}

static void start_head(struct job *job)
{
    struct sc_s3_call *call = make_call(job, SC_S3_HEAD, head_done);
    call->version = job->op->from_version;
    call->if_match = job->op->from_etag;
    if (job->op->ask_checksum) {
        static const struct sc_s3_header mode = {SC_SLICE_LIT("x-amz-checksum-mode"),
                                                 SC_SLICE_LIT("ENABLED")};
        call->headers = &mode;
        call->header_count = 1;
    }
    sc_s3_client_submit(job->s3->client, call);
}

// ---- LIST

// Keys must come in byte order, behind what was asked for, below the prefix: whoever pages by names relies on it.
static enum sc_rc check_list(struct sc_s3_call *call, struct sc_error *err)
{
    struct job *job = call->context;
    struct sc_arena *arena = &call->exchange.arena;
    bool versions = job->op->versions;
    enum sc_rc rc = (versions ? sc_s3_xml_versions : sc_s3_xml_list)(sc_buf_slice(&call->exchange.text),
                                                                     arena, &job->list, err);
    struct sc_slice before = sc_buf_slice(&job->after), prefix = sc_buf_slice(&job->key);
    for (uint32_t i = 0; rc == SC_OK && i < job->list.count; i++) {
        struct sc_slice key = job->list.items[i].key;
        bool inside =
            key.len >= prefix.len && (prefix.len == 0 || memcmp(key.ptr, prefix.ptr, prefix.len) == 0);
        int order = before.len ? sc_slice_cmp(key, before) : 1; // the versions of one key follow each other
        if (!inside || order < 0 || (order == 0 && !versions))
            rc = sc_error_set(err, SC_MALFORMED, "keys that were not asked for, or out of order");
        before = key;
    }
    bool stands = versions && sc_slice_eq(job->list.next, sc_buf_slice(&job->after)) &&
                  sc_slice_eq(job->list.next_version, job->after_version);
    if (rc == SC_OK && job->list.truncated && (versions ? stands : job->list.count == 0))
        rc = sc_error_set(err, SC_MALFORMED, "a page that is not the last and leads no further");
    return rc;
}

static void add_entry(struct job *job, const struct sc_s3_listed *item)
{
    struct sc_store_op *op = job->op;
    size_t skip = job->key.len - op->name.len; // the store's prefix and its slash
    struct sc_slice name = sc_slice_from(item->key, skip);
    if (op->versions && !item->latest)
        return;
    if (!op->every_name && !sc_store_name_is_valid(name))
        return; // a folder's marker that other tools made, or nothing of ours
    if (op->entry_count == job->room) {
        job->room = job->room ? job->room * 2 : 64;
        op->entries = sc_realloc(op->entries, job->room, sizeof *op->entries);
    }
    op->entries[op->entry_count++] = (struct sc_store_entry){
        .name = sc_arena_copy(&op->arena, name),
        .bytes = item->bytes,
        .mtime_ms = item->mtime_ms,
        .etag = kept(op, item->etag),
        .version = kept(op, item->version),
    };
}

static void list_end(struct job *job, enum sc_rc rc)
{
    struct sc_store_op *op = job->op;
    struct sc_store_entry *entries = op->entries;
    op->entries = SC_NEW_ARRAY(&op->arena, op->entry_count, struct sc_store_entry);
    if (op->entry_count)
        memcpy(op->entries, entries, op->entry_count * sizeof *entries);
    free(entries);
    end_job(job, rc);
}

static void list_more(struct job *job);

static void list_done(struct sc_s3_call *call)
{
    struct job *job = call->context;
    struct sc_store_op *op = job->op;
    enum sc_rc rc = take_error(job, call);
    if (rc == SC_OK && !op->now_ms)
        op->now_ms = store_clock(&call->exchange.answer);
    for (uint32_t i = 0; rc == SC_OK && i < job->list.count && op->entry_count < op->max_entries; i++)
        add_entry(job, &job->list.items[i]);
    if (rc != SC_OK || !job->list.truncated || op->entry_count >= op->max_entries) {
        list_end(job, rc);
        return;
    }
    sc_buf_clear(&job->after);
    sc_buf_add_slice(&job->after, op->versions ? job->list.next : job->list.items[job->list.count - 1].key);
    job->after_version = kept(op, job->list.next_version);
    list_more(job);
}

static void add_param(struct job *job, uint32_t *n, const char *name, struct sc_slice value)
{
    job->params[(*n)++] = (struct sc_s3_param){sc_slice_str(name), value};
}

// Pages by key, not by continuation token: a token may run out, a key does not. A page of versions may end within a key.
static void list_more(struct job *job)
{
    bool versions = job->op->versions;
    uint32_t want = job->op->max_entries - job->op->entry_count, n = 0;
    uint32_t max = want < SC_LIMIT_S3_LIST_KEYS && !versions ? want : SC_LIMIT_S3_LIST_KEYS;
    add_param(job, &n, versions ? "versions" : "list-type", sc_slice_str(versions ? "" : "2"));
    add_param(job, &n, "encoding-type", sc_slice_str("url"));
    add_param(job, &n, "max-keys", sc_arena_printf(&job->op->arena, "%u", max));
    add_param(job, &n, "prefix", sc_buf_slice(&job->key));
    if (job->after.len)
        add_param(job, &n, versions ? "key-marker" : "start-after", sc_buf_slice(&job->after));
    if (job->after_version.len)
        add_param(job, &n, "version-id-marker", job->after_version);
    struct sc_s3_call *call = make_call(job, SC_S3_LIST, list_done);
    call->key = (struct sc_slice){NULL, 0};
    call->params = job->params;
    call->param_count = n;
    call->check = check_list;
    sc_s3_client_submit(job->s3->client, call);
}

static void start_list(struct job *job)
{
    struct sc_store_op *op = job->op;
    op->entries = NULL;
    op->entry_count = 0;
    if (op->after.len)
        add_key(job->s3, &job->after, op->after);
    if (op->max_entries == 0)
        list_end(job, SC_OK);
    else
        list_more(job);
}

// ---- REMOVE

static void remove_done(struct sc_s3_call *call)
{
    struct job *job = call->context;
    end_job(job, take_error(job, call));
}

// ---- GET, PUT, COPY

static void transfer_progress(struct sc_s3_transfer *transfer)
{
    struct job *job = transfer->context;
    struct sc_store_op *op = job->op;
    op->moved_bytes = transfer->moved_bytes;
    op->total_bytes = transfer->bytes;
    op->progress(op);
}

static void transfer_done(struct sc_s3_transfer *transfer)
{
    struct job *job = transfer->context;
    struct sc_store_op *op = job->op;
    struct sc_store_counts *counts = &job->s3->base.counts;
    if (transfer->rc == SC_OK) {
        op->bytes = transfer->bytes;
        op->etag = kept(op, transfer->etag);
        op->version = kept(op, transfer->version);
        counts->bytes_in += op->kind == SC_STORE_PUT ? op->bytes : 0;
        counts->bytes_out += op->kind == SC_STORE_GET ? op->bytes : 0;
    } else {
        op->err = transfer->err;
        op->archived = transfer->archived;
        sc_buf_clear(&op->data);
    }
    end_job(job, transfer->rc);
}

static struct sc_s3_transfer *make_transfer(struct job *job, enum sc_s3_way way)
{
    struct sc_s3_transfer *transfer = &job->transfer;
    transfer->way = way;
    transfer->place.bucket = job->s3->settings.url.bucket;
    transfer->place.key = sc_buf_slice(&job->key);
    transfer->sha256 = job->op->sha256;
    transfer->done = transfer_done;
    transfer->progress = job->op->progress ? transfer_progress : NULL;
    transfer->context = job;
    return transfer;
}

static void start_get(struct job *job)
{
    struct sc_store_op *op = job->op;
    struct sc_s3_transfer *transfer = make_transfer(job, SC_S3_DOWN);
    transfer->place.version = op->from_version;
    transfer->place.etag = op->from_etag;
    transfer->to_fd = op->to_fd;
    if (op->to_fd < 0) {
        transfer->into = &op->data;
        transfer->max_bytes = op->max_bytes;
    }
    sc_s3_mover_submit(job->s3->mover, transfer);
}

static void start_put(struct job *job)
{
    const struct sc_store_op *op = job->op;
    struct sc_s3_transfer *transfer = make_transfer(job, SC_S3_UP);
    transfer->body = op->body;
    transfer->body_path = op->body_path;
    transfer->settled = op->move_body || !op->body_path;
    transfer->if_absent = op->if_absent;
    sc_s3_mover_submit(job->s3->mover, transfer);
}

static void start_copy(struct job *job)
{
    const struct sc_store_op *op = job->op;
    struct sc_s3_transfer *transfer = make_transfer(job, SC_S3_ACROSS);
    bool here = op->from_bucket.len == 0;
    if (here)
        add_key(job->s3, &job->from, op->from);
    else
        sc_buf_add_slice(&job->from, op->from);
    transfer->from = (struct sc_s3_place){.bucket = here ? job->s3->settings.url.bucket : op->from_bucket,
                                          .key = sc_buf_slice(&job->from),
                                          .version = op->from_version,
                                          .etag = op->from_etag};
    transfer->from_bytes = op->from_bytes;
    transfer->if_absent = op->if_absent;
    sc_s3_mover_submit(job->s3->mover, transfer);
}

// ---- SYNC: what S3 has said yes to is durable, so it is over when the writes before it are

static bool is_write(const struct sc_store_op *op)
{
    return op->kind == SC_STORE_PUT || op->kind == SC_STORE_COPY;
}

static void end_syncs(struct s3_store *s3)
{
    while (s3->syncs) {
        struct job *job = s3->first;
        while (job && !is_write(job->op) && job->op->kind != SC_STORE_SYNC)
            job = job->following;
        if (!job || job->op->kind != SC_STORE_SYNC)
            return;
        end_job(job, SC_OK);
    }
}

// ---- SWEEP: uploads that nobody will complete

static void sweep_more(struct job *job);

static void sweep_answered(struct sc_s3_call *call)
{
    struct job *job = call->context;
    enum sc_rc rc = take_error(job, call);
    if (rc != SC_OK)
        end_job(job, rc);
    else
        sweep_more(job);
}

static enum sc_rc check_uploads(struct sc_s3_call *call, struct sc_error *err)
{
    struct job *job = call->context;
    struct sc_arena *arena = &job->op->arena;
    job->at = 0;
    return sc_s3_xml_uploads(sc_buf_slice(&call->exchange.text), arena, &job->list, err);
}

static void sweep_list(struct job *job)
{
    uint32_t n = 0;
    job->params[n++] = (struct sc_s3_param){sc_slice_str("uploads"), sc_slice_str("")};
    job->params[n++] = (struct sc_s3_param){sc_slice_str("encoding-type"), sc_slice_str("url")};
    job->params[n++] = (struct sc_s3_param){sc_slice_str("prefix"), sc_buf_slice(&job->key)};
    if (job->list.truncated) {
        job->params[n++] = (struct sc_s3_param){sc_slice_str("key-marker"), job->list.next};
        job->params[n++] = (struct sc_s3_param){sc_slice_str("upload-id-marker"), job->list.next_upload};
    }
    struct sc_s3_call *call = make_call(job, SC_S3_UPLOADS, sweep_answered);
    call->key = (struct sc_slice){NULL, 0};
    call->params = job->params;
    call->param_count = n;
    call->check = check_uploads;
    sc_s3_client_submit(job->s3->client, call);
}

static bool is_ours(const struct job *job, struct sc_slice key)
{
    struct sc_slice prefix = sc_buf_slice(&job->key);
    return key.len > prefix.len && (prefix.len == 0 || memcmp(key.ptr, prefix.ptr, prefix.len) == 0);
}

// One after another: there are few, and nobody waits.
static void sweep_more(struct job *job)
{
    while (job->at < job->list.count) {
        const struct sc_s3_listed *item = &job->list.items[job->at++];
        if (item->mtime_ms >= job->op->before_ms || !is_ours(job, item->key) || !item->upload_id.len)
            continue;
        job->params[0] = (struct sc_s3_param){sc_slice_str("uploadId"), item->upload_id};
        struct sc_s3_call *call = make_call(job, SC_S3_ABORT, sweep_answered);
        call->key = item->key;
        call->params = job->params;
        call->param_count = 1;
        sc_s3_client_submit(job->s3->client, call);
        return;
    }
    if (job->list.truncated)
        sweep_list(job);
    else
        end_job(job, SC_OK);
}

// ---- the table

static bool needs_name(enum sc_store_kind kind)
{
    return kind != SC_STORE_LIST && kind != SC_STORE_SYNC && kind != SC_STORE_SWEEP;
}

static enum sc_rc check_name(const struct s3_store *s3, struct sc_slice name, struct sc_error *err)
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

static void begin(struct job *job)
{
    struct s3_store *s3 = job->s3;
    struct sc_store_op *op = job->op;
    struct sc_store_counts *counts = &s3->base.counts;
    enum sc_rc rc = needs_name(op->kind) ? check_name(s3, op->name, &op->err) : SC_OK;
    if (rc == SC_OK && op->kind == SC_STORE_COPY && op->from_bucket.len == 0)
        rc = check_name(s3, op->from, &op->err);
    if (rc == SC_OK && op->kind == SC_STORE_LIST)
        rc = check_prefix(op->name, &op->err);
    if (rc != SC_OK) {
        end_job(job, rc);
        return;
    }
    add_key(s3, &job->key, op->name);
    switch (op->kind) {
    case SC_STORE_GET:
        counts->gets++;
        start_get(job);
        return;
    case SC_STORE_PUT:
        counts->puts++;
        start_put(job);
        return;
    case SC_STORE_COPY:
        counts->copies++;
        start_copy(job);
        return;
    case SC_STORE_HEAD:
        counts->heads++;
        start_head(job);
        return;
    case SC_STORE_REMOVE:
        counts->removes++;
        sc_s3_client_submit(s3->client, make_call(job, SC_S3_DELETE, remove_done));
        return;
    case SC_STORE_LIST:
        counts->lists++;
        start_list(job);
        return;
    case SC_STORE_SYNC:
        counts->syncs++;
        return; // end_syncs
    case SC_STORE_SWEEP:
        if (sc_s3_client_wire(s3->client)->sizes->part == 0)
            end_job(job, SC_OK); // without uploads in parts nothing is left half-way
        else
            sweep_list(job);
        return;
    }
    SC_ASSERT(false);
}

static void s3_submit(struct sc_store *store, struct sc_store_op *op)
{
    struct s3_store *s3 = s3_of(store);
    if (s3->last_new)
        s3->last_new->next = op;
    else
        s3->first_new = op;
    s3->last_new = op;
}

static void begin_new(struct s3_store *s3)
{
    struct sc_store_op *op = s3->first_new;
    s3->first_new = s3->last_new = NULL;
    while (op) {
        struct sc_store_op *next = op->next;
        op->next = NULL;
        struct job *job = sc_calloc(1, sizeof *job);
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
    struct s3_store *s3 = s3_of(store);
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
    return ((const struct s3_store *)store)->server;
}

static struct sc_store_counts s3_counts(const struct sc_store *store)
{
    const struct s3_store *s3 = (const struct s3_store *)store;
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
    struct s3_store *s3 = s3_of(store);
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

static enum sc_rc make_client(struct s3_store *s3, const struct sc_s3_wire_kind *wire, struct sc_error *err)
{
    const struct sc_s3_url *url = &s3->settings.url;
    SC_AUTO_BUF struct sc_buf known;
    sc_buf_init(&known, 2 * SC_LIMIT_KEY_BYTES);
    add_key(s3, &known, sc_slice_str("stepcache.json"));
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
    struct s3_store *s3 = sc_calloc(1, sizeof *s3);
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
