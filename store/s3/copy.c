// One object of S3 becomes another without its bytes coming here: whole, up to S3's bound, or range by range, each a part of a
// multipart upload.
#include "store/s3/upload_impl.h"

#include "store/s3/xml.h"

#include <stdio.h>

void sc_s3_copy_name_source(struct sc_s3_upload *u)
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

static void add_copy_headers(struct sc_s3_call *call)
{
    const struct sc_s3_upload_part *part = call->context;
    sc_s3_upload_add_header(call, "x-amz-copy-source", part->upload->source);
    if (part->upload->source_match.len)
        sc_s3_upload_add_header(call, "x-amz-copy-source-if-match", part->upload->source_match);
    call->stall_ms = SC_S3_SILENT_MS;
}

static enum sc_rc check_etag(struct sc_s3_call *call, struct sc_error *err)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_transfer *t = part->upload->transfer;
    struct sc_slice etag;
    enum sc_rc rc = sc_s3_xml_etag(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &etag, err);
    if (rc == SC_OK)
        t->etag = sc_arena_copy(&t->arena, etag);
    return rc;
}

void sc_s3_copy_single(struct sc_s3_upload *u)
{
    struct sc_s3_call *call = sc_s3_upload_call(&u->main, SC_S3_COPY, sc_s3_upload_single_done);
    add_copy_headers(call);
    call->if_absent = u->transfer->if_absent;
    if (call->if_absent) {
        sc_s3_upload_add_header(call, "x-amz-metadata-directive", sc_slice_str("REPLACE")); // with the writer
        sc_s3_upload_add_digest(call);
    } else {
        call->writer = NULL; // what is kept with the source is copied, too
    }
    call->check = check_etag;
    sc_s3_upload_submit(call);
}

static enum sc_rc check_part_copy(struct sc_s3_call *call, struct sc_error *err)
{
    struct sc_s3_upload_part *part = call->context;
    struct sc_s3_upload *u = part->upload;
    struct sc_slice etag;
    enum sc_rc rc = sc_s3_xml_etag(sc_buf_slice(&call->exchange.text), &call->exchange.arena, &etag, err);
    if (rc == SC_OK)
        u->etags[part->index] = sc_arena_copy(&u->transfer->arena, etag);
    return rc;
}

void sc_s3_copy_set_range(struct sc_s3_call *call, uint64_t start, uint64_t size)
{
    struct sc_s3_upload_part *part = call->context;
    snprintf(part->range, sizeof part->range, "bytes=%llu-%llu", (unsigned long long)start,
             (unsigned long long)(start + size - 1));
    add_copy_headers(call);
    sc_s3_upload_add_header(call, "x-amz-copy-source-range", sc_slice_str(part->range));
    call->check = check_part_copy;
}
