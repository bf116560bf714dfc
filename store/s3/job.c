#include "store/s3/job.h"

#include "base/memory.h"
#include "base/os/clock.h"

void sc_s3_add_key(const struct sc_s3_store *s3, struct sc_buf *key, struct sc_slice name)
{
    sc_buf_add_slice(key, s3->settings.url.prefix);
    if (s3->settings.url.prefix.len)
        sc_buf_add_byte(key, '/');
    sc_buf_add_slice(key, name);
}

void sc_s3_job_end(struct sc_s3_job *job, enum sc_rc rc)
{
    struct sc_s3_store *s3 = job->s3;
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

enum sc_rc sc_s3_job_take_error(struct sc_s3_job *job, const struct sc_s3_call *call)
{
    if (call->rc != SC_OK)
        job->op->err = call->err;
    return call->rc;
}

struct sc_s3_call *sc_s3_job_call(struct sc_s3_job *job, enum sc_s3_ask ask, sc_s3_call_fn done)
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

struct sc_slice sc_s3_job_kept(struct sc_store_op *op, struct sc_slice text)
{
    return text.len ? sc_arena_copy(&op->arena, text) : text;
}

int64_t sc_s3_store_clock(const struct sc_s3_answer *answer)
{
    return answer->date_ms ? answer->date_ms : sc_clock_wall_ms();
}
