// LIST: pages of keys, or of their versions, until enough are there.
#include "store/s3/job.h"

#include "base/limits.h"
#include "base/memory.h"

// Keys must come in byte order, behind what was asked for, below the prefix: whoever pages by names relies on it.
static enum sc_rc check_list(struct sc_s3_call *call, struct sc_error *err)
{
    struct sc_s3_job *job = call->context;
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

static void add_entry(struct sc_s3_job *job, const struct sc_s3_listed *item)
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
        .etag = sc_s3_job_kept(op, item->etag),
        .version = sc_s3_job_kept(op, item->version),
    };
}

static void list_end(struct sc_s3_job *job, enum sc_rc rc)
{
    struct sc_store_op *op = job->op;
    struct sc_store_entry *entries = op->entries;
    op->entries = SC_NEW_ARRAY(&op->arena, op->entry_count, struct sc_store_entry);
    if (op->entry_count)
        memcpy(op->entries, entries, op->entry_count * sizeof *entries);
    free(entries);
    sc_s3_job_end(job, rc);
}

static void list_more(struct sc_s3_job *job);

static void list_done(struct sc_s3_call *call)
{
    struct sc_s3_job *job = call->context;
    struct sc_store_op *op = job->op;
    enum sc_rc rc = sc_s3_job_take_error(job, call);
    if (rc == SC_OK && !op->now_ms)
        op->now_ms = sc_s3_store_clock(&call->exchange.answer);
    for (uint32_t i = 0; rc == SC_OK && i < job->list.count && op->entry_count < op->max_entries; i++)
        add_entry(job, &job->list.items[i]);
    if (rc != SC_OK || !job->list.truncated || op->entry_count >= op->max_entries) {
        list_end(job, rc);
        return;
    }
    sc_buf_clear(&job->after);
    sc_buf_add_slice(&job->after, op->versions ? job->list.next : job->list.items[job->list.count - 1].key);
    job->after_version = sc_s3_job_kept(op, job->list.next_version);
    list_more(job);
}

static void add_param(struct sc_s3_job *job, uint32_t *n, const char *name, struct sc_slice value)
{
    job->params[(*n)++] = (struct sc_s3_param){sc_slice_str(name), value};
}

// Pages by key, not by continuation token: a token may run out, a key does not. A page of versions may end within a key.
static void list_more(struct sc_s3_job *job)
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
    struct sc_s3_call *call = sc_s3_job_call(job, SC_S3_LIST, list_done);
    call->key = (struct sc_slice){NULL, 0};
    call->params = job->params;
    call->param_count = n;
    call->check = check_list;
    sc_s3_client_submit(job->s3->client, call);
}

void sc_s3_start_list(struct sc_s3_job *job)
{
    struct sc_store_op *op = job->op;
    op->entries = NULL;
    op->entry_count = 0;
    if (op->after.len)
        sc_s3_add_key(job->s3, &job->after, op->after);
    if (op->max_entries == 0)
        list_end(job, SC_OK);
    else
        list_more(job);
}
