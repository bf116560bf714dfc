// What a coordinator needs to go on with a run that is open, as it lies in the store under open/<coordinator>/<run>: so that one
// with an empty disk takes up what was its own (docs/FORMATS.md, "The store"). Canonical MessagePack with a seal behind it. Pure.
#pragma once

#include "proto/message.h"

struct sc_open_run {
    struct sc_slice v;                   // "stepcache.open/1"
    struct sc_slice domain, coordinator; // where it lies, and whose it is: the coordinator's name
    struct sc_slice run, user;
    struct sc_digest plan;
    struct sc_run_options options;
    int64_t started_at;
    bool cancelled; // it was asked to end: whoever takes it up only ends it
};
extern const struct sc_schema sc_schema_open_run;

void sc_open_run_encode(const struct sc_open_run *open, struct sc_buf *out);
// What was found under `name`. SC_CORRUPT when the bytes are not what their seal says, or another's; SC_VERSION for an unknown
// version or field, which it names.
SC_MUST_USE enum sc_rc sc_open_run_decode(struct sc_slice bytes, struct sc_slice name, struct sc_arena *arena,
                                          struct sc_open_run *ret_open, struct sc_error *err);
