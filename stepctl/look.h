// Reading the store without the coordinator: records, plans and outputs that it named. Every byte is checked against its
// digest. One thread.
#pragma once

#include "pipeline/key.h"
#include "stepctl/client.h"
#include "store/object.h"
#include "store/records.h"

struct sc_look {
    struct sc_arena arena; // of what is returned
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_slice domain;
};

// --store, or the store of the coordinator: of one that was started by hand it is asked for, and used when it is a bucket or a
// folder of this machine. Done after any rc.
SC_MUST_USE enum sc_rc sc_look_open(struct sc_look *look, struct sc_client *client,
                                    const struct sc_options *options, struct sc_error *err);
void sc_look_done(struct sc_look *look);
SC_MUST_USE enum sc_rc sc_look_record(struct sc_look *look, const struct sc_digest *key,
                                      struct sc_record *ret_record, struct sc_error *err);
SC_MUST_USE enum sc_rc sc_look_plan(struct sc_look *look, const struct sc_digest *digest,
                                    struct sc_plan **ret_plan, struct sc_error *err);
// A field's value in full: a long one stands in the record as its digest and lies in the store as an object. Where that is
// gone the digest is returned.
struct sc_slice sc_look_value(struct sc_look *look, struct sc_slice label, struct sc_slice value);
