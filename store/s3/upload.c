// An object goes up, or across from another place in S3. Small ones are one request. Large ones are a multipart upload:
// parts are hashed in order (S3 checks each against the digest that is signed), sent several at once straight from the
// file, and completed; what fails is aborted, so that nothing half-way is left to pay for.
#include "store/s3/transfer_impl.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/s3/wire.h"
#include "store/s3/xml.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SILENT_MS = 15 * 60 * 1000 }; // copying and completing are silent for long

struct part {
    struct sc_s3_call call;
    struct upload *upload;
    struct part *next;
    bool busy;
    uint32_t index;
    uint64_t sent;
    struct sc_digest digest;
    char number[12], range[64];
    struct sc_s3_param params[2];
    struct sc_s3_header headers[4];
};

struct upload {
    struct sc_s3_transfer *transfer;
    int fd; // -1: the body is in memory, or comes from another place
    uint64_t size;
    struct part main; // the single request, and those around the parts
    char writer[33];
    struct sc_slice source, source_match; // headers of a copy
    char sha256[SC_DIGEST_HEX_BYTES];     // a header of what is written; "": not known
    // hashing
    struct sc_hasher *hasher, *whole; // of the part (or the single body); of everything, to compare
    uint64_t hashed;                  // up to here
    EVP_MD_CTX *md5_context;          // NULL: not wanted
    uint8_t md5[16];
    // parts
    struct sc_slice id;
    uint64_t part_bytes;
    uint32_t part_count, next_index, done_count, in_flight;
    struct sc_slice *etags;
    struct part *parts;
    struct sc_buf list; // the body of the completion
    enum sc_rc rc;      // the first failure
};

static bool is_copy(const struct upload *u)
{
    return u->transfer->way == SC_S3_ACROSS;
}

static void end(struct upload *u, enum sc_rc rc)
{
    struct sc_s3_transfer *t = u->transfer;
    while (u->parts) {
        struct part *part = u->parts;
        u->parts = part->next;
        sc_s3_call_done(&part->call);
        free(part);
    }
    sc_s3_call_done(&u->main.call);
    sc_hasher_free(u->hasher);
    sc_hasher_free(u->whole);
    EVP_MD_CTX_free(u->md5_context);
    sc_buf_done(&u->list);
    free(u->etags);
    if (u->fd >= 0)
        close(u->fd);
    free(u);
    t->state = NULL;
    sc_s3_mover_ended(t, rc);
}

static void keep(struct upload *u, enum sc_rc rc, const struct sc_error *err)
{
    struct sc_s3_transfer *t = u->transfer;
    if (u->rc != SC_OK || rc == SC_OK)
        return;
    u->rc = rc;
    t->err = *err;
    if (t->body_path)
        sc_error_wrap(&t->err, rc, "store %s", t->body_path);
}

static const struct sc_s3_sizes *sizes_of(const struct upload *u)
{
    return &u->transfer->mover->sizes;
}

static const struct sc_s3_wire_kind *wire_of(const struct upload *u)
{
    return sc_s3_client_wire(u->transfer->mover->client);
}

static uint64_t part_start(const struct upload *u, uint32_t index)
{
    return index * u->part_bytes;
}

static uint64_t part_size(const struct upload *u, uint32_t index)
{
    uint64_t left = u->size - part_start(u, index);
    return left < u->part_bytes ? left : u->part_bytes;
}

// ---- requests

static void sent(void *context, uint64_t so_far)
{
    struct part *part = context;
    sc_s3_transfer_moved(part->upload->transfer, (int64_t)(so_far - part->sent));
    part->sent = so_far;
}

static void prepare(struct sc_s3_call *call)
{
    sent(call->context, 0);
}

static struct sc_s3_call *make_call(struct part *part, enum sc_s3_ask ask, sc_s3_call_fn done)
{
    struct sc_s3_call *call = &part->call;
    const struct sc_s3_place *place = &part->upload->transfer->place;
    sc_s3_call_done(call);
    sc_s3_call_init(call, ask);
    call->bucket = place->bucket;
    call->key = place->key;
    call->writer = part->upload->writer;
    call->params = part->params;
    call->headers = part->headers;
    call->done = done;
    call->context = part;
    return call;
}

static void add_param(struct sc_s3_call *call, const char *name, struct sc_slice value)
{
    struct part *part = call->context;
    SC_ASSERT(call->param_count < SC_COUNT(part->params));
    part->params[call->param_count++] = (struct sc_s3_param){sc_slice_str(name), value};
}

static void add_header(struct sc_s3_call *call, const char *name, struct sc_slice value)
{
    struct part *part = call->context;
    SC_ASSERT(call->header_count < SC_COUNT(part->headers));
    part->headers[call->header_count++] = (struct sc_s3_header){sc_slice_str(name), value};
}

static void set_source(struct sc_s3_call *call, uint64_t offset, uint64_t size)
{
    struct part *part = call->context;
    const struct upload *u = part->upload;
    call->source = (struct sc_s3_source){.fd = u->fd, .sent = sent, .context = part};
    if (u->fd >= 0) {
        call->source.offset = offset;
        call->source.size = size;
    } else if (size) {
        call->source.bytes = sc_slice(u->transfer->body.ptr + offset, (size_t)size);
    }
    call->prepare = prepare;
}

static void submit(struct sc_s3_call *call)
{
    struct part *part = call->context;
    sc_s3_client_submit(part->upload->transfer->mover->client, call);
}

// The etag of what copies and completions made is in their body; where they had to look whether it was their own, in the
// headers, as everywhere else.
static void take_marks(struct upload *u, const struct sc_s3_answer *answer)
{
    struct sc_s3_transfer *t = u->transfer;
    if (answer->etag.len)
        t->etag = sc_arena_copy(&t->arena, answer->etag);
    t->version = sc_arena_copy(&t->arena, answer->version);
}

// ---- one request

static void single_done(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    if (call->rc == SC_OK)
        take_marks(u, &call->exchange.answer);
    keep(u, call->rc, &call->err);
    end(u, call->rc);
}

// Kept with the object: whoever reads it without knowing its digest can check it by that.
static void add_digest(struct sc_s3_call *call)
{
    const struct part *part = call->context;
    if (part->upload->sha256[0])
        add_header(call, "x-amz-meta-sha256", sc_slice_str(part->upload->sha256));
}

static void put_single(struct upload *u, const struct sc_digest *digest)
{
    sc_digest_hex(digest, u->sha256);
    u->main.digest = *digest;
    struct sc_s3_call *call = make_call(&u->main, SC_S3_PUT, single_done);
    set_source(call, 0, u->size);
    add_digest(call);
    call->sha256 = &u->main.digest;
    call->md5 = u->md5_context ? u->md5 : NULL;
    call->if_absent = u->transfer->if_absent;
    if (!call->if_absent)
        call->writer = NULL; // nobody will ask
    submit(call);
}

static void add_copy_headers(struct sc_s3_call *call)
{
    const struct part *part = call->context;
    add_header(call, "x-amz-copy-source", part->upload->source);
    if (part->upload->source_match.len)
        add_header(call, "x-amz-copy-source-if-match", part->upload->source_match);
    call->stall_ms = SILENT_MS;
}

static enum sc_rc check_etag(struct sc_s3_call *call, struct sc_error *err)
{
    struct part *part = call->context;
    struct sc_s3_transfer *t = part->upload->transfer;
    struct sc_slice etag;
    enum sc_rc rc = sc_s3_xml_etag(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &etag, err);
    if (rc == SC_OK)
        t->etag = sc_arena_copy(&t->arena, etag);
    return rc;
}

static void copy_single(struct upload *u)
{
    struct sc_s3_call *call = make_call(&u->main, SC_S3_COPY, single_done);
    add_copy_headers(call);
    call->if_absent = u->transfer->if_absent;
    if (call->if_absent) {
        add_header(call, "x-amz-metadata-directive", sc_slice_str("REPLACE")); // with the writer
        add_digest(call);
    } else {
        call->writer = NULL; // what is kept with the source is copied, too
    }
    call->check = check_etag;
    submit(call);
}

// ---- many requests: the end

static void aborted(struct sc_s3_call *call)
{
    struct part *part = call->context;
    end(part->upload, part->upload->rc); // what could not be aborted is left to a sweep
}

// A failure: nothing new is begun, and what is under way is waited for.
static void give_up(struct upload *u)
{
    if (u->in_flight)
        return;
    if (!u->id.len) {
        end(u, u->rc);
        return;
    }
    struct sc_s3_call *call = make_call(&u->main, SC_S3_ABORT, aborted);
    add_param(call, "uploadId", u->id);
    submit(call);
}

static void completed(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    keep(u, call->rc, &call->err);
    if (call->rc != SC_OK) {
        give_up(u);
        return;
    }
    take_marks(u, &call->exchange.answer);
    end(u, SC_OK);
}

static enum sc_rc check_completed(struct sc_s3_call *call, struct sc_error *err)
{
    struct part *part = call->context;
    struct sc_s3_transfer *t = part->upload->transfer;
    struct sc_slice etag;
    enum sc_rc rc =
        sc_s3_xml_completed(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &etag, err);
    if (rc == SC_OK)
        t->etag = sc_arena_copy(&t->arena, etag);
    return rc;
}

static void complete(struct upload *u)
{
    sc_s3_xml_complete(&u->list, u->etags, u->part_count);
    struct sc_s3_call *call = make_call(&u->main, SC_S3_COMPLETE, completed);
    add_param(call, "uploadId", u->id);
    call->source.bytes = sc_buf_slice(&u->list);
    call->if_absent = u->transfer->if_absent;
    call->check = check_completed;
    call->stall_ms = SILENT_MS;
    submit(call);
}

// ---- many requests: the parts

static void go_on(struct upload *u);

static void part_done(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    part->busy = false;
    u->in_flight--;
    u->done_count++;
    keep(u, call->rc, &call->err);
    if (call->rc == SC_OK && !is_copy(u))
        u->etags[part->index] = sc_arena_copy(&u->transfer->arena, call->exchange.answer.etag);
    go_on(u);
}

static enum sc_rc check_part_copy(struct sc_s3_call *call, struct sc_error *err)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    struct sc_slice etag;
    enum sc_rc rc = sc_s3_xml_etag(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &etag, err);
    if (rc == SC_OK)
        u->etags[part->index] = sc_arena_copy(&u->transfer->arena, etag);
    return rc;
}

static struct part *free_part(struct upload *u)
{
    struct part *part = u->parts;
    while (part && part->busy)
        part = part->next;
    if (!part) {
        part = sc_calloc(1, sizeof *part);
        part->upload = u;
        sc_s3_call_init(&part->call, SC_S3_PART);
        part->next = u->parts;
        u->parts = part;
    }
    return part;
}

static void submit_part(struct upload *u, const struct sc_digest *digest)
{
    struct part *part = free_part(u);
    uint32_t index = u->next_index++;
    uint64_t start = part_start(u, index), size = part_size(u, index);
    struct sc_s3_call *call = make_call(part, SC_S3_PART, part_done);
    call->writer = NULL;
    part->busy = true;
    part->index = index;
    part->sent = 0;
    snprintf(part->number, sizeof part->number, "%u", index + 1);
    add_param(call, "partNumber", sc_slice_str(part->number));
    add_param(call, "uploadId", u->id);
    if (is_copy(u)) {
        snprintf(part->range, sizeof part->range, "bytes=%llu-%llu", (unsigned long long)start,
                 (unsigned long long)(start + size - 1));
        add_copy_headers(call);
        add_header(call, "x-amz-copy-source-range", sc_slice_str(part->range));
        call->check = check_part_copy;
    } else {
        part->digest = *digest;
        call->sha256 = &part->digest;
        set_source(call, start, size);
    }
    u->in_flight++;
    submit(call);
}

static bool may_submit(const struct upload *u)
{
    return u->rc == SC_OK && u->next_index < u->part_count &&
           u->in_flight < sc_s3_mover_share(u->transfer->mover);
}

static void go_on(struct upload *u)
{
    if (u->rc != SC_OK) {
        give_up(u);
        return;
    }
    while (is_copy(u) && may_submit(u))
        submit_part(u, NULL);
    if (may_submit(u))
        sc_s3_mover_wants_work(u->transfer);
    else if (u->done_count == u->part_count)
        complete(u);
}

static void begun(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    keep(u, call->rc, &call->err);
    go_on(u);
}

static enum sc_rc check_id(struct sc_s3_call *call, struct sc_error *err)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    struct sc_slice id;
    enum sc_rc rc = sc_s3_xml_upload_id(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &id, err);
    if (rc == SC_OK)
        u->id = sc_arena_copy(&u->transfer->arena, id);
    return rc;
}

static void begin(struct upload *u)
{
    u->etags = sc_calloc(u->part_count, sizeof *u->etags);
    struct sc_s3_call *call = make_call(&u->main, SC_S3_BEGIN, begun);
    add_param(call, "uploads", sc_slice_str(""));
    add_digest(call);
    call->check = check_id;
    submit(call);
}

// ---- hashing

static enum sc_rc hash_some(struct upload *u, uint64_t most, struct sc_error *err)
{
    const struct sc_s3_transfer *t = u->transfer;
    while (most) {
        size_t len = most < SC_S3_CHUNK_BYTES ? (size_t)most : SC_S3_CHUNK_BYTES;
        const uint8_t *bytes = u->fd >= 0 ? t->mover->chunk : t->body.ptr + u->hashed;
        enum sc_rc rc = u->fd >= 0 ? sc_s3_read_at(u->fd, t->mover->chunk, len, u->hashed, err) : SC_OK;
        if (rc != SC_OK)
            return rc;
        sc_hasher_add(u->hasher, bytes, len);
        if (u->whole)
            sc_hasher_add(u->whole, bytes, len);
        if (u->md5_context)
            SC_ASSERT(EVP_DigestUpdate(u->md5_context, bytes, len));
        u->hashed += len;
        most -= len;
    }
    return SC_OK;
}

// `last`: the digest of what was hashed last, a part or the single body.
static enum sc_rc check_whole(struct upload *u, const struct sc_digest *last, struct sc_error *err)
{
    bool single = u->part_count == 0;
    if (u->hashed < u->size || (single ? sc_digest_is_zero(&u->transfer->sha256) : !u->whole))
        return SC_OK;
    struct sc_digest found = single ? *last : sc_hasher_end(u->whole);
    if (sc_digest_eq(&found, &u->transfer->sha256))
        return SC_OK;
    return sc_error_set(err, SC_BUSY, "it changed between hashing and storing");
}

bool sc_s3_upload_work(struct sc_s3_transfer *t)
{
    struct upload *u = t->state;
    struct sc_error err = SC_ERROR_INIT;
    bool single = u->part_count == 0;
    if (!single && !may_submit(u))
        return false;
    uint64_t end_at = single ? u->size : part_start(u, u->next_index) + part_size(u, u->next_index);
    uint64_t left = end_at - u->hashed;
    enum sc_rc rc = hash_some(u, left < SC_S3_TURN_BYTES ? left : SC_S3_TURN_BYTES, &err);
    if (rc == SC_OK && u->hashed < end_at)
        return true;
    struct sc_digest digest;
    if (rc == SC_OK) {
        digest = sc_hasher_end(u->hasher);
        rc = check_whole(u, &digest, &err);
    }
    if (rc != SC_OK) {
        keep(u, rc, &err);
        give_up(u);
        return false;
    }
    sc_hasher_begin(u->hasher);
    if (u->md5_context)
        SC_ASSERT(EVP_DigestFinal_ex(u->md5_context, u->md5, NULL));
    if (single)
        put_single(u, &digest);
    else
        submit_part(u, &digest);
    return !single && may_submit(u);
}

// ---- the start

static void hash_first(struct upload *u)
{
    u->hasher = sc_hasher_new();
    sc_hasher_begin(u->hasher);
}

static void hash_md5(struct upload *u)
{
    u->md5_context = EVP_MD_CTX_new();
    SC_ASSERT(u->md5_context && EVP_DigestInit_ex(u->md5_context, EVP_md5(), NULL));
}

static void start_up(struct upload *u)
{
    struct sc_s3_transfer *t = u->transfer;
    bool known = !sc_digest_is_zero(&t->sha256), single = u->size <= sizes_of(u)->single;
    if (single && known && !sizes_of(u)->md5) {
        put_single(u, &t->sha256);
        return;
    }
    hash_first(u);
    if (single) {
        if (sizes_of(u)->md5)
            hash_md5(u);
        sc_s3_mover_wants_work(t);
        return;
    }
    // The parts' digests say nothing of the whole's: a file that others may still write to is compared.
    if (known && !t->settled) {
        u->whole = sc_hasher_new();
        sc_hasher_begin(u->whole);
    }
    u->part_bytes = sc_s3_part_bytes(u->size, sizes_of(u)->part);
    u->part_count = (uint32_t)((u->size + u->part_bytes - 1) / u->part_bytes);
    begin(u);
}

static void start_copy(struct upload *u)
{
    if (u->size <= sizes_of(u)->copy_single) {
        copy_single(u);
        return;
    }
    u->part_bytes = sc_s3_part_bytes(u->size, sizes_of(u)->copy_part);
    u->part_count = (uint32_t)((u->size + u->part_bytes - 1) / u->part_bytes);
    begin(u);
}

static void start(struct upload *u)
{
    const struct sc_s3_sizes *sizes = sizes_of(u);
    u->transfer->bytes = u->size;
    if (sizes->part == 0 && u->size > (is_copy(u) ? sizes->copy_single : sizes->single)) {
        struct sc_error err = SC_ERROR_INIT;
        sc_error_set(&err, SC_UNSUPPORTED,
                     "%llu bytes go to S3 in parts alone, which client=%s does not know",
                     (unsigned long long)u->size, wire_of(u)->name);
        sc_error_hint(&err, "leave client= away, if the server knows signatures of version 4");
        keep(u, SC_UNSUPPORTED, &err);
        end(u, SC_UNSUPPORTED);
        return;
    }
    if (is_copy(u))
        start_copy(u);
    else
        start_up(u);
}

// Where a server ignores the condition on what large objects and copies need, this look is what there is; elsewhere it
// spares sending a body in vain.
static void looked(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    if (call->rc == SC_NOT_FOUND) {
        start(u);
        return;
    }
    if (call->rc == SC_OK)
        sc_error_set(&call->err, SC_EXISTS, "s3://" SC_SLICE_FMT "/" SC_SLICE_FMT " is there already",
                     SC_SLICE_ARG(call->bucket), SC_SLICE_ARG(call->key));
    enum sc_rc rc = call->rc == SC_OK ? SC_EXISTS : call->rc;
    keep(u, rc, &call->err);
    end(u, rc);
}

static void look(struct upload *u)
{
    bool single = !is_copy(u) && u->size <= sizes_of(u)->single;
    if (!u->transfer->if_absent || single || !wire_of(u)->conditional) { // the client looks by itself
        start(u);
        return;
    }
    struct sc_s3_call *call = make_call(&u->main, SC_S3_HEAD, looked);
    call->writer = NULL;
    submit(call);
}

static void measured(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct upload *u = part->upload;
    const struct sc_s3_answer *answer = &call->exchange.answer;
    keep(u, call->rc, &call->err);
    if (call->rc != SC_OK) {
        u->transfer->archived = call->archived;
        end(u, call->rc);
        return;
    }
    u->size = answer->length > 0 ? (uint64_t)answer->length : 0;
    if (!u->source_match.len && answer->etag.len &&
        wire_of(u)->conditional) // what was measured is what is copied
        u->source_match =
            sc_arena_printf(&u->transfer->arena, "\"" SC_SLICE_FMT "\"", SC_SLICE_ARG(answer->etag));
    look(u);
}

static void measure(struct upload *u)
{
    const struct sc_s3_place *from = &u->transfer->from;
    struct sc_s3_call *call = make_call(&u->main, SC_S3_HEAD, measured);
    call->writer = NULL;
    call->bucket = from->bucket;
    call->key = from->key;
    call->version = from->version;
    call->if_match = from->etag;
    submit(call);
}

static void name_source(struct upload *u)
{
    struct sc_s3_transfer *t = u->transfer;
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 64 << 10);
    sc_s3_encode(&text, t->from.bucket, false);
    sc_buf_add_byte(&text, '/');
    sc_s3_encode(&text, t->from.key, true);
    if (t->from.version.len) {
        sc_buf_add_str(&text, "?versionId=");
        sc_s3_encode(&text, t->from.version, false);
    }
    u->source = sc_arena_copy(&t->arena, sc_buf_slice(&text));
    if (t->from.etag.len)
        u->source_match = sc_arena_printf(&t->arena, "\"" SC_SLICE_FMT "\"", SC_SLICE_ARG(t->from.etag));
}

static enum sc_rc open_body(struct upload *u, struct sc_error *err)
{
    const struct sc_s3_transfer *t = u->transfer;
    struct stat st;
    u->size = t->body.len;
    if (!t->body_path)
        return SC_OK;
    u->fd = open(t->body_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (u->fd < 0 || fstat(u->fd, &st))
        return sc_error_errno(err, errno, "open it");
    if (!S_ISREG(st.st_mode))
        return sc_error_set(err, SC_UNSUPPORTED, "not a regular file");
    u->size = (uint64_t)st.st_size;
    return SC_OK;
}

void sc_s3_upload_start(struct sc_s3_transfer *t)
{
    struct upload *u = sc_calloc(1, sizeof *u);
    struct sc_error err = SC_ERROR_INIT;
    t->state = u;
    u->transfer = t;
    u->fd = -1;
    u->main.upload = u;
    sc_s3_call_init(&u->main.call, SC_S3_PUT);
    sc_buf_init(&u->list, 4 << 20);
    sc_s3_client_writer(t->mover->client, u->writer);
    if (!sc_digest_is_zero(&t->sha256))
        sc_digest_hex(&t->sha256, u->sha256);
    if (is_copy(u)) {
        name_source(u);
        u->size = t->from_bytes;
        if (u->size)
            look(u);
        else
            measure(u);
        return;
    }
    enum sc_rc rc = open_body(u, &err);
    if (rc != SC_OK) {
        keep(u, rc, &err);
        end(u, rc);
        return;
    }
    look(u);
}
