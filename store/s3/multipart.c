// A multipart upload: begun, its parts sent several at once, completed; what fails is aborted, so that nothing half-way is left
// to pay for.
#include "store/s3/upload_impl.h"

#include "base/memory.h"
#include "store/s3/xml.h"

#include <stdio.h>

uint64_t sc_s3_multipart_part_start(const struct sc_s3_upload *u, uint32_t index)
{
    return index * u->part_bytes;
}

uint64_t sc_s3_multipart_part_size(const struct sc_s3_upload *u, uint32_t index)
{
    uint64_t left = u->size - sc_s3_multipart_part_start(u, index);
    return left < u->part_bytes ? left : u->part_bytes;
}

// ---- the end

static void aborted(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    sc_s3_upload_end(part->upload, part->upload->rc); // what could not be aborted is left to a sweep
}

void sc_s3_multipart_give_up(struct sc_s3_upload *u)
{
    if (u->in_flight)
        return;
    if (!u->id.len) {
        sc_s3_upload_end(u, u->rc);
        return;
    }
    struct sc_s3_call *call = sc_s3_upload_call(&u->main, SC_S3_ABORT, aborted);
    sc_s3_upload_add_param(call, "uploadId", u->id);
    sc_s3_upload_submit(call);
}

static void completed(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    sc_s3_upload_keep(u, call->rc, &call->err);
    if (call->rc != SC_OK) {
        sc_s3_multipart_give_up(u);
        return;
    }
    sc_s3_upload_take_marks(u, &call->exchange.answer);
    sc_s3_upload_end(u, SC_OK);
}

static enum sc_rc check_completed(struct sc_s3_call *call, struct sc_error *err)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_transfer *t = part->upload->transfer;
    struct sc_slice etag;
    enum sc_rc rc =
        sc_s3_xml_completed(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &etag, err);
    if (rc == SC_OK)
        t->etag = sc_arena_copy(&t->arena, etag);
    return rc;
}

static void complete(struct sc_s3_upload *u)
{
    sc_s3_xml_complete(&u->list, u->etags, u->part_count);
    struct sc_s3_call *call = sc_s3_upload_call(&u->main, SC_S3_COMPLETE, completed);
    sc_s3_upload_add_param(call, "uploadId", u->id);
    call->source.bytes = sc_buf_slice(&u->list);
    call->if_absent = u->transfer->if_absent;
    call->check = check_completed;
    call->stall_ms = SC_S3_SILENT_MS;
    sc_s3_upload_submit(call);
}

// ---- the parts

static void go_on(struct sc_s3_upload *u);

static void part_done(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    part->busy = false;
    u->in_flight--;
    u->done_count++;
    sc_s3_upload_keep(u, call->rc, &call->err);
    if (call->rc == SC_OK && !sc_s3_upload_is_copy(u))
        u->etags[part->index] = sc_arena_copy(&u->transfer->arena, call->exchange.answer.etag);
    go_on(u);
}

static struct sc_s3_upload_part *free_part(struct sc_s3_upload *u)
{
    struct sc_s3_upload_part *part = u->parts;
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

void sc_s3_multipart_submit(struct sc_s3_upload *u, const struct sc_digest *digest)
{
    struct sc_s3_upload_part *part = free_part(u);
    uint32_t index = u->next_index++;
    uint64_t start = sc_s3_multipart_part_start(u, index), size = sc_s3_multipart_part_size(u, index);
    struct sc_s3_call *call = sc_s3_upload_call(part, SC_S3_PART, part_done);
    call->writer = NULL;
    part->busy = true;
    part->index = index;
    part->sent = 0;
    snprintf(part->number, sizeof part->number, "%u", index + 1);
    sc_s3_upload_add_param(call, "partNumber", sc_slice_str(part->number));
    sc_s3_upload_add_param(call, "uploadId", u->id);
    if (sc_s3_upload_is_copy(u)) {
        sc_s3_copy_set_range(call, start, size);
    } else {
        part->digest = *digest;
        call->sha256 = &part->digest;
        sc_s3_upload_set_source(call, start, size);
    }
    u->in_flight++;
    sc_s3_upload_submit(call);
}

bool sc_s3_multipart_may_submit(const struct sc_s3_upload *u)
{
    return u->rc == SC_OK && u->next_index < u->part_count &&
           u->in_flight < sc_s3_mover_share(u->transfer->mover);
}

static void go_on(struct sc_s3_upload *u)
{
    if (u->rc != SC_OK) {
        sc_s3_multipart_give_up(u);
        return;
    }
    while (sc_s3_upload_is_copy(u) && sc_s3_multipart_may_submit(u))
        sc_s3_multipart_submit(u, NULL);
    if (sc_s3_multipart_may_submit(u))
        sc_s3_mover_wants_work(u->transfer);
    else if (u->done_count == u->part_count)
        complete(u);
}

static void begun(struct sc_s3_call *call)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    sc_s3_upload_keep(u, call->rc, &call->err);
    go_on(u);
}

static enum sc_rc check_id(struct sc_s3_call *call, struct sc_error *err)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    struct sc_slice id;
    enum sc_rc rc = sc_s3_xml_upload_id(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &id, err);
    if (rc == SC_OK)
        u->id = sc_arena_copy(&u->transfer->arena, id);
    return rc;
}

void sc_s3_multipart_begin(struct sc_s3_upload *u)
{
    u->etags = sc_calloc(u->part_count, sizeof *u->etags);
    struct sc_s3_call *call = sc_s3_upload_call(&u->main, SC_S3_BEGIN, begun);
    sc_s3_upload_add_param(call, "uploads", sc_slice_str(""));
    sc_s3_upload_add_digest(call);
    call->check = check_id;
    sc_s3_upload_submit(call);
}
