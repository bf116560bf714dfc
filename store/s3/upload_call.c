#include "store/s3/upload_impl.h"

#include "base/memory.h"

#include <unistd.h>

bool sc_s3_upload_is_copy(const struct sc_s3_upload *u)
{
    return u->transfer->way == SC_S3_ACROSS;
}

void sc_s3_upload_end(struct sc_s3_upload *u, enum sc_rc rc)
{
    struct sc_s3_transfer *t = u->transfer;
    while (u->parts) {
        struct sc_s3_upload_part *part = u->parts;
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

void sc_s3_upload_keep(struct sc_s3_upload *u, enum sc_rc rc, const struct sc_error *err)
{
    struct sc_s3_transfer *t = u->transfer;
    if (u->rc != SC_OK || rc == SC_OK)
        return;
    u->rc = rc;
    t->err = *err;
    if (t->body_path)
        sc_error_wrap(&t->err, rc, "store %s", t->body_path);
}

const struct sc_s3_sizes *sc_s3_upload_sizes(const struct sc_s3_upload *u)
{
    return &u->transfer->mover->sizes;
}

const struct sc_s3_wire_kind *sc_s3_upload_wire(const struct sc_s3_upload *u)
{
    return sc_s3_client_wire(u->transfer->mover->client);
}

// ---- requests

static void sent(void *context, uint64_t so_far)
{
    struct sc_s3_upload_part *part = context;
    sc_s3_transfer_moved(part->upload->transfer, (int64_t)(so_far - part->sent));
    part->sent = so_far;
}

static void prepare(struct sc_s3_call *call)
{
    sent(call->context, 0);
}

struct sc_s3_call *sc_s3_upload_call(struct sc_s3_upload_part *part, enum sc_s3_ask ask, sc_s3_call_fn done)
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

void sc_s3_upload_add_param(struct sc_s3_call *call, const char *name, struct sc_slice value)
{
    struct sc_s3_upload_part *part = call->context;
    SC_ASSERT(call->param_count < SC_COUNT(part->params));
    part->params[call->param_count++] = (struct sc_s3_param){sc_slice_str(name), value};
}

void sc_s3_upload_add_header(struct sc_s3_call *call, const char *name, struct sc_slice value)
{
    struct sc_s3_upload_part *part = call->context;
    SC_ASSERT(call->header_count < SC_COUNT(part->headers));
    part->headers[call->header_count++] = (struct sc_s3_header){sc_slice_str(name), value};
}

void sc_s3_upload_set_source(struct sc_s3_call *call, uint64_t offset, uint64_t size)
{
    struct sc_s3_upload_part *part = call->context;
    const struct sc_s3_upload *u = part->upload;
    call->source = (struct sc_s3_source){.fd = u->fd, .sent = sent, .context = part};
    if (u->fd >= 0) {
        call->source.offset = offset;
        call->source.size = size;
    } else if (size) {
        call->source.bytes = sc_slice(u->transfer->body.ptr + offset, (size_t)size);
    }
    call->prepare = prepare;
}

void sc_s3_upload_submit(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    sc_s3_client_submit(part->upload->transfer->mover->client, call);
}

void sc_s3_upload_take_marks(struct sc_s3_upload *u, const struct sc_s3_answer *answer)
{
    struct sc_s3_transfer *t = u->transfer;
    if (answer->etag.len)
        t->etag = sc_arena_copy(&t->arena, answer->etag);
    t->version = sc_arena_copy(&t->arena, answer->version);
}

void sc_s3_upload_single_done(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    if (call->rc == SC_OK)
        sc_s3_upload_take_marks(u, &call->exchange.answer);
    sc_s3_upload_keep(u, call->rc, &call->err);
    sc_s3_upload_end(u, call->rc);
}

void sc_s3_upload_add_digest(struct sc_s3_call *call)
{
    const struct sc_s3_upload_part *part = call->context;
    if (part->upload->sha256[0])
        sc_s3_upload_add_header(call, "x-amz-meta-sha256", sc_slice_str(part->upload->sha256));
}
