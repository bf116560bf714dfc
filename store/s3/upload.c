// An object goes up, or across from another place in S3. Small ones are one request. Large ones are a multipart upload:
// parts are hashed in order (S3 checks each against the digest that is signed) and sent several at once straight from the
// file (multipart.c).
#include "store/s3/upload_impl.h"

#include "base/memory.h"
#include "store/s3/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- one request

static void put_single(struct sc_s3_upload *u, const struct sc_digest *digest)
{
    sc_digest_hex(digest, u->sha256);
    u->main.digest = *digest;
    struct sc_s3_call *call = sc_s3_upload_call(&u->main, SC_S3_PUT, sc_s3_upload_single_done);
    sc_s3_upload_set_source(call, 0, u->size);
    sc_s3_upload_add_digest(call);
    call->sha256 = &u->main.digest;
    call->md5 = u->md5_context ? u->md5 : NULL;
    call->if_absent = u->transfer->if_absent;
    if (!call->if_absent)
        call->writer = NULL; // nobody will ask
    sc_s3_upload_submit(call);
}

// ---- hashing

static enum sc_rc hash_some(struct sc_s3_upload *u, uint64_t most, struct sc_error *err)
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
static enum sc_rc check_whole(struct sc_s3_upload *u, const struct sc_digest *last, struct sc_error *err)
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
    struct sc_s3_upload *u = t->state;
    struct sc_error err = SC_ERROR_INIT;
    bool single = u->part_count == 0;
    if (!single && !sc_s3_multipart_may_submit(u))
        return false;
    uint64_t end_at =
        single ? u->size
               : sc_s3_multipart_part_start(u, u->next_index) + sc_s3_multipart_part_size(u, u->next_index);
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
        sc_s3_upload_keep(u, rc, &err);
        sc_s3_multipart_give_up(u);
        return false;
    }
    sc_hasher_begin(u->hasher);
    if (u->md5_context)
        SC_ASSERT(EVP_DigestFinal_ex(u->md5_context, u->md5, NULL));
    if (single)
        put_single(u, &digest);
    else
        sc_s3_multipart_submit(u, &digest);
    return !single && sc_s3_multipart_may_submit(u);
}

// ---- the start

static void hash_first(struct sc_s3_upload *u)
{
    u->hasher = sc_hasher_new();
    sc_hasher_begin(u->hasher);
}

static void hash_md5(struct sc_s3_upload *u)
{
    u->md5_context = EVP_MD_CTX_new();
    SC_ASSERT(u->md5_context && EVP_DigestInit_ex(u->md5_context, EVP_md5(), NULL));
}

static void start_up(struct sc_s3_upload *u)
{
    struct sc_s3_transfer *t = u->transfer;
    bool known = !sc_digest_is_zero(&t->sha256), single = u->size <= sc_s3_upload_sizes(u)->single;
    if (single && known && !sc_s3_upload_sizes(u)->md5) {
        put_single(u, &t->sha256);
        return;
    }
    hash_first(u);
    if (single) {
        if (sc_s3_upload_sizes(u)->md5)
            hash_md5(u);
        sc_s3_mover_wants_work(t);
        return;
    }
    // The parts' digests say nothing of the whole's: a file that others may still write to is compared.
    if (known && !t->settled) {
        u->whole = sc_hasher_new();
        sc_hasher_begin(u->whole);
    }
    u->part_bytes = sc_s3_part_bytes(u->size, sc_s3_upload_sizes(u)->part);
    u->part_count = (uint32_t)((u->size + u->part_bytes - 1) / u->part_bytes);
    sc_s3_multipart_begin(u);
}

static void start_copy(struct sc_s3_upload *u)
{
    if (u->size <= sc_s3_upload_sizes(u)->copy_single) {
        sc_s3_copy_single(u);
        return;
    }
    u->part_bytes = sc_s3_part_bytes(u->size, sc_s3_upload_sizes(u)->copy_part);
    u->part_count = (uint32_t)((u->size + u->part_bytes - 1) / u->part_bytes);
    sc_s3_multipart_begin(u);
}

static void start(struct sc_s3_upload *u)
{
    const struct sc_s3_sizes *sizes = sc_s3_upload_sizes(u);
    u->transfer->bytes = u->size;
    if (sizes->part == 0 && u->size > (sc_s3_upload_is_copy(u) ? sizes->copy_single : sizes->single)) {
        struct sc_error err = SC_ERROR_INIT;
        sc_error_set(&err, SC_UNSUPPORTED,
                     "%llu bytes go to S3 in parts alone, which client=%s does not know",
                     (unsigned long long)u->size, sc_s3_upload_wire(u)->name);
        sc_error_hint(&err, "leave client= away, if the server knows signatures of version 4");
        sc_s3_upload_keep(u, SC_UNSUPPORTED, &err);
        sc_s3_upload_end(u, SC_UNSUPPORTED);
        return;
    }
    if (sc_s3_upload_is_copy(u))
        start_copy(u);
    else
        start_up(u);
}

// Where a server ignores the condition on what large objects and copies need, this look is what there is; elsewhere it
// spares sending a body in vain.
static void looked(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    if (call->rc == SC_NOT_FOUND) {
        start(u);
        return;
    }
    if (call->rc == SC_OK)
        sc_error_set(&call->err, SC_EXISTS, "s3://" SC_SLICE_FMT "/" SC_SLICE_FMT " is there already",
                     SC_SLICE_ARG(call->bucket), SC_SLICE_ARG(call->key));
    enum sc_rc rc = call->rc == SC_OK ? SC_EXISTS : call->rc;
    sc_s3_upload_keep(u, rc, &call->err);
    sc_s3_upload_end(u, rc);
}

static void look(struct sc_s3_upload *u)
{
    bool single = !sc_s3_upload_is_copy(u) && u->size <= sc_s3_upload_sizes(u)->single;
    if (!u->transfer->if_absent || single ||
        !sc_s3_upload_wire(u)->conditional) { // the client looks by itself
        start(u);
        return;
    }
    struct sc_s3_call *call = sc_s3_upload_call(&u->main, SC_S3_HEAD, looked);
    call->writer = NULL;
    sc_s3_upload_submit(call);
}

static void measured(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    const struct sc_s3_answer *answer = &call->exchange.answer;
    sc_s3_upload_keep(u, call->rc, &call->err);
    if (call->rc != SC_OK) {
        u->transfer->archived = call->archived;
        sc_s3_upload_end(u, call->rc);
        return;
    }
    u->size = answer->length > 0 ? (uint64_t)answer->length : 0;
    if (!u->source_match.len && answer->etag.len &&
        sc_s3_upload_wire(u)->conditional) // what was measured is what is copied
        u->source_match =
            sc_arena_printf(&u->transfer->arena, "\"" SC_SLICE_FMT "\"", SC_SLICE_ARG(answer->etag));
    look(u);
}

static void measure(struct sc_s3_upload *u)
{
    const struct sc_s3_place *from = &u->transfer->from;
    struct sc_s3_call *call = sc_s3_upload_call(&u->main, SC_S3_HEAD, measured);
    call->writer = NULL;
    call->bucket = from->bucket;
    call->key = from->key;
    call->version = from->version;
    call->if_match = from->etag;
    sc_s3_upload_submit(call);
}

static enum sc_rc open_body(struct sc_s3_upload *u, struct sc_error *err)
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
    struct sc_s3_upload *u = sc_calloc(1, sizeof *u);
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
    if (sc_s3_upload_is_copy(u)) {
        sc_s3_copy_name_source(u);
        u->size = t->from_bytes;
        if (u->size)
            look(u);
        else
            measure(u);
        return;
    }
    enum sc_rc rc = open_body(u, &err);
    if (rc != SC_OK) {
        sc_s3_upload_keep(u, rc, &err);
        sc_s3_upload_end(u, rc);
        return;
    }
    look(u);
}
