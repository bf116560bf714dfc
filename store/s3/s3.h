// The S3 back end: store/store.h over S3's HTTP interface.
#pragma once

#include "store/store.h"

// url: "s3://bucket/prefix?…" (store/s3/url.h).
struct sc_s3_wire_kind;
// By a client (store/s3/wire.h) that the URL names, too.
SC_MUST_USE enum sc_rc sc_store_s3_open_by(const struct sc_s3_wire_kind *wire, const char *url,
                                           struct sc_store **ret_store, struct sc_error *err);
// By our own.
SC_MUST_USE enum sc_rc sc_store_s3_open(const char *url, struct sc_store **ret_store, struct sc_error *err);
