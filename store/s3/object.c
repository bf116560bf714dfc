// Operations on one object: HEAD, REMOVE, GET, PUT, COPY.
#include "store/s3/job.h"

// ---- HEAD

static void head_done(struct sc_s3_call *call)
{
    struct sc_s3_job *job = call->context;
    struct sc_store_op *op = job->op;
    const struct sc_s3_answer *answer = &call->exchange.answer;
    enum sc_rc rc = sc_s3_job_take_error(job, call);
    if (rc == SC_OK) {
        op->bytes = answer->length > 0 ? (uint64_t)answer->length : 0;
        op->mtime_ms = answer->mtime_ms;
        op->now_ms = sc_s3_store_clock(answer);
        op->etag = sc_s3_job_kept(op, answer->etag);
        op->version = sc_s3_job_kept(op, answer->version);
        op->archived = sc_s3_is_archived(answer);
        op->checksum = answer->checksum;
    }
    sc_s3_job_end(job, rc);
}

void sc_s3_start_head(struct sc_s3_job *job)
{
    struct sc_s3_call *call = sc_s3_job_call(job, SC_S3_HEAD, head_done);
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

// ---- REMOVE

static void remove_done(struct sc_s3_call *call)
{
    struct sc_s3_job *job = call->context;
    sc_s3_job_end(job, sc_s3_job_take_error(job, call));
}

void sc_s3_start_remove(struct sc_s3_job *job)
{
    sc_s3_client_submit(job->s3->client, sc_s3_job_call(job, SC_S3_DELETE, remove_done));
}

// ---- GET, PUT, COPY

static void transfer_progress(struct sc_s3_transfer *transfer)
{
    struct sc_s3_job *job = transfer->context;
    struct sc_store_op *op = job->op;
    op->moved_bytes = transfer->moved_bytes;
    op->total_bytes = transfer->bytes;
    op->progress(op);
}

static void transfer_done(struct sc_s3_transfer *transfer)
{
    struct sc_s3_job *job = transfer->context;
    struct sc_store_op *op = job->op;
    struct sc_store_counts *counts = &job->s3->base.counts;
    if (transfer->rc == SC_OK) {
        op->bytes = transfer->bytes;
        op->etag = sc_s3_job_kept(op, transfer->etag);
        op->version = sc_s3_job_kept(op, transfer->version);
        counts->bytes_in += op->kind == SC_STORE_PUT ? op->bytes : 0;
        counts->bytes_out += op->kind == SC_STORE_GET ? op->bytes : 0;
    } else {
        op->err = transfer->err;
        op->archived = transfer->archived;
        sc_buf_clear(&op->data);
    }
    sc_s3_job_end(job, transfer->rc);
}

static struct sc_s3_transfer *make_transfer(struct sc_s3_job *job, enum sc_s3_way way)
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

void sc_s3_start_get(struct sc_s3_job *job)
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

void sc_s3_start_put(struct sc_s3_job *job)
{
    const struct sc_store_op *op = job->op;
    struct sc_s3_transfer *transfer = make_transfer(job, SC_S3_UP);
    transfer->body = op->body;
    transfer->body_path = op->body_path;
    transfer->settled = op->move_body || !op->body_path;
    transfer->if_absent = op->if_absent;
    sc_s3_mover_submit(job->s3->mover, transfer);
}

void sc_s3_start_copy(struct sc_s3_job *job)
{
    const struct sc_store_op *op = job->op;
    struct sc_s3_transfer *transfer = make_transfer(job, SC_S3_ACROSS);
    bool here = op->from_bucket.len == 0;
    if (here)
        sc_s3_add_key(job->s3, &job->from, op->from);
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
