// SWEEP: uploads that nobody will complete are aborted.
#include "store/s3/job.h"

#include "store/s3/wire.h"

static void sweep_more(struct sc_s3_job *job);

static void sweep_answered(struct sc_s3_call *call)
{
    struct sc_s3_job *job = call->context;
    enum sc_rc rc = sc_s3_job_take_error(job, call);
    if (rc != SC_OK)
        sc_s3_job_end(job, rc);
    else
        sweep_more(job);
}

static enum sc_rc check_uploads(struct sc_s3_call *call, struct sc_error *err)
{
    struct sc_s3_job *job = call->context;
    struct sc_arena *arena = &job->op->arena;
    job->at = 0;
    return sc_s3_xml_uploads(sc_buf_slice(&call->exchange.text), arena, &job->list, err);
}

static void sweep_list(struct sc_s3_job *job)
{
    uint32_t n = 0;
    job->params[n++] = (struct sc_s3_param){sc_slice_str("uploads"), sc_slice_str("")};
    job->params[n++] = (struct sc_s3_param){sc_slice_str("encoding-type"), sc_slice_str("url")};
    job->params[n++] = (struct sc_s3_param){sc_slice_str("prefix"), sc_buf_slice(&job->key)};
    if (job->list.truncated) {
        job->params[n++] = (struct sc_s3_param){sc_slice_str("key-marker"), job->list.next};
        job->params[n++] = (struct sc_s3_param){sc_slice_str("upload-id-marker"), job->list.next_upload};
    }
    struct sc_s3_call *call = sc_s3_job_call(job, SC_S3_UPLOADS, sweep_answered);
    call->key = (struct sc_slice){NULL, 0};
    call->params = job->params;
    call->param_count = n;
    call->check = check_uploads;
    sc_s3_client_submit(job->s3->client, call);
}

static bool is_ours(const struct sc_s3_job *job, struct sc_slice key)
{
    struct sc_slice prefix = sc_buf_slice(&job->key);
    return key.len > prefix.len && (prefix.len == 0 || memcmp(key.ptr, prefix.ptr, prefix.len) == 0);
}

// One after another: there are few, and nobody waits.
static void sweep_more(struct sc_s3_job *job)
{
    while (job->at < job->list.count) {
        const struct sc_s3_listed *item = &job->list.items[job->at++];
        if (item->mtime_ms >= job->op->before_ms || !is_ours(job, item->key) || !item->upload_id.len)
            continue;
        job->params[0] = (struct sc_s3_param){sc_slice_str("uploadId"), item->upload_id};
        struct sc_s3_call *call = sc_s3_job_call(job, SC_S3_ABORT, sweep_answered);
        call->key = item->key;
        call->params = job->params;
        call->param_count = 1;
        sc_s3_client_submit(job->s3->client, call);
        return;
    }
    if (job->list.truncated)
        sweep_list(job);
    else
        sc_s3_job_end(job, SC_OK);
}

void sc_s3_start_sweep(struct sc_s3_job *job)
{
    if (sc_s3_client_wire(job->s3->client)->sizes->part == 0)
        sc_s3_job_end(job, SC_OK); // without uploads in parts nothing is left half-way
    else
        sweep_list(job);
}
