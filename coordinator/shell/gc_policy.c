#include "coordinator/shell/gc_policy.h"

#include "pipeline/duration.h"
#include "pipeline/size.h"

#include <stdlib.h>

// ---- what was asked

static bool take(struct sc_slice arg, const char *name, struct sc_slice *ret_value)
{
    struct sc_slice prefix = sc_slice_str(name);
    if (!sc_slice_starts(arg, name) || arg.len <= prefix.len || arg.ptr[prefix.len] != '=')
        return false;
    *ret_value = sc_slice_from(arg, prefix.len + 1);
    return true;
}

static enum sc_rc wrong(struct sc_error *err, const char *option, struct sc_slice value, const char *wanted)
{
    return sc_error_set(err, SC_INVALID, "cache gc: --%s " SC_SLICE_FMT ": %s", option, SC_SLICE_ARG(value),
                        wanted);
}

static bool count_of(struct sc_slice text, uint32_t *ret_count)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i > 6)
            return false;
        n = n * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *ret_count = n;
    return n > 0;
}

static enum sc_rc take_arg(struct sc_gc_policy *policy, struct sc_slice arg, struct sc_error *err)
{
    struct sc_slice value;
    if (sc_slice_eq_str(arg, "delete")) {
        policy->apply = true;
    } else if (take(arg, "older-than", &value)) {
        if (sc_duration_parse(value, &policy->older_than_ms) != SC_DURATION_OK || policy->older_than_ms <= 0)
            return wrong(err, "older-than", value, "a duration of fixed length is wanted, like P30D");
    } else if (take(arg, "keep-last", &value)) {
        if (!count_of(value, &policy->keep_last))
            return wrong(err, "keep-last", value, "a number from 1 is wanted");
    } else if (take(arg, "max-bytes", &value)) {
        policy->has_max_bytes = true;
        if (!sc_size_parse(value, &policy->max_bytes))
            return wrong(err, "max-bytes", value, "a size is wanted, like 100GiB");
    } else if (take(arg, "namespace", &value)) {
        policy->has_namespace = true;
        policy->namespace_ = value;
    } else {
        return sc_error_set(err, SC_INVALID, "cache gc: it has no option " SC_SLICE_FMT, SC_SLICE_ARG(arg));
    }
    return SC_OK;
}

enum sc_rc sc_gc_policy_parse(const sc_text_list *args, struct sc_gc_policy *ret_policy, struct sc_error *err)
{
    struct sc_gc_policy policy = {0};
    for (uint32_t i = 0; i < args->count; i++) {
        enum sc_rc rc = take_arg(&policy, args->items[i], err);
        if (rc != SC_OK)
            return rc;
    }
    *ret_policy = policy;
    return SC_OK;
}

bool sc_gc_policy_drops(const struct sc_gc_policy *policy)
{
    return policy->older_than_ms || policy->keep_last || policy->has_namespace || policy->has_max_bytes;
}

// ---- what goes

static int by_group(const void *a, const void *b) // newest first
{
    const struct sc_gc_record *x = a, *y = b;
    int order = sc_digest_cmp(&x->group, &y->group);
    if (order)
        return order;
    return x->ended_at != y->ended_at ? (x->ended_at < y->ended_at ? 1 : -1)
                                      : sc_digest_cmp(&x->key, &y->key);
}

static double cost(const struct sc_gc_record *record) // of a byte
{
    return (double)record->wall_ms / (double)(record->bytes ? record->bytes : 1);
}

static int by_cost(const void *a, const void *b) // cheapest first, of those the oldest
{
    const struct sc_gc_record *x = a, *y = b;
    double p = cost(x), q = cost(y);
    if (p < q || p > q)
        return p < q ? -1 : 1;
    return x->ended_at != y->ended_at ? (x->ended_at < y->ended_at ? -1 : 1)
                                      : sc_digest_cmp(&x->key, &y->key);
}

static void drop_to_size(const struct sc_gc_policy *policy, struct sc_gc_record *records, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += records[i].in_namespace && !records[i].drop ? records[i].bytes : 0;
    qsort(records, count, sizeof *records, by_cost);
    for (size_t i = 0; i < count && bytes > policy->max_bytes; i++) {
        if (!records[i].may_go || records[i].drop || records[i].bytes == 0)
            continue;
        records[i].drop = true;
        bytes -= records[i].bytes;
    }
}

void sc_gc_policy_choose(const struct sc_gc_policy *policy, int64_t now_ms, struct sc_gc_record *records,
                         size_t count)
{
    bool all = !policy->older_than_ms && !policy->has_max_bytes && sc_gc_policy_drops(policy);
    if (count == 0)
        return;
    qsort(records, count, sizeof *records, by_group);
    uint32_t nth = 0;
    for (size_t i = 0; i < count; i++) {
        nth = i && sc_digest_eq(&records[i].group, &records[i - 1].group) ? nth + 1 : 0;
        records[i].may_go = records[i].in_namespace && !records[i].pinned && nth >= policy->keep_last;
        bool old = policy->older_than_ms && now_ms - records[i].ended_at > policy->older_than_ms;
        records[i].drop = records[i].may_go && (all || old);
    }
    if (policy->has_max_bytes)
        drop_to_size(policy, records, count);
}
