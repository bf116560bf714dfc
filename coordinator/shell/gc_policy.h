// Which results a collection drops before it looks what nobody reaches any more. Pure.
#pragma once

#include "base/codec.h"
#include "base/error.h"

// Pinned results stay, and so do the newest `keep_last` of each namespace, pipeline and step. Of the others go: those made
// more than older_than_ms ago; then, cheapest to make again for each byte first, as many as it takes until what is left
// names at most max_bytes; where neither is asked for, all.
struct sc_gc_policy {
    bool apply;            // else nothing is changed
    int64_t older_than_ms; // 0: not asked for
    uint32_t keep_last;    // 0: not asked for
    bool has_namespace, has_max_bytes;
    struct sc_slice namespace_; // only its results are dropped, and count for max_bytes
    uint64_t max_bytes;
};

// "delete", "older-than=P30D", "keep-last=3", "namespace=team", "max-bytes=100GiB", as stepctl sends them. Borrows.
SC_MUST_USE enum sc_rc sc_gc_policy_parse(const sc_text_list *args, struct sc_gc_policy *ret_policy,
                                          struct sc_error *err);
// Whether it drops anything at all.
bool sc_gc_policy_drops(const struct sc_gc_policy *policy);

struct sc_gc_record {
    struct sc_digest key, group; // group: of namespace, pipeline and step
    int64_t ended_at;
    uint64_t wall_ms, bytes; // bytes: of its outputs; what two share counts for each
    uint32_t namespace_;     // the caller's
    bool in_namespace, pinned;
    bool may_go, drop; // out: whether the policy may drop it at all, and whether it does
};
// Puts them into another order.
void sc_gc_policy_choose(const struct sc_gc_policy *policy, int64_t now_ms, struct sc_gc_record *records,
                         size_t count);
