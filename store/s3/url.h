// The one string that names a store in S3, and the URLs of requests to S3. Pure.
//
//     s3://bucket/prefix?endpoint=URL&region=R&style=path|virtual&ca=/path&profile=P&anonymous=1
//         &client=libs3&unverified=1
//
// Parameters are optional and percent-encoded; bucket and prefix stand as they are, as in an address that other tools
// print and read. Nothing is normalised: S3 signs and keeps a path byte for byte.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum sc_s3_style {
    SC_S3_STYLE_DEFAULT, // virtual for AWS itself, path for any other endpoint
    SC_S3_STYLE_PATH,    // https://host/bucket/key
    SC_S3_STYLE_VIRTUAL, // https://bucket.host/key
};

// What the string says, in the arena; NULL or default where it says nothing.
struct sc_s3_url {
    struct sc_slice bucket;
    struct sc_slice prefix; // without slashes at its ends; empty: the bucket's top
    const char *endpoint, *region, *ca, *profile, *client;
    enum sc_s3_style style;
    bool anonymous;
    bool unverified; // TLS without a look at certificates: only for a client that cannot
};

// SC_INVALID, naming the parameter or part that is wrong; parameters that are not known are refused.
SC_MUST_USE enum sc_rc sc_s3_url_parse(const char *text, struct sc_arena *arena, struct sc_s3_url *ret_url,
                                       struct sc_error *err);

// Where requests go.
struct sc_s3_endpoint {
    bool tls, aws; // aws: the host is made from the region
    enum sc_s3_style style;
    struct sc_slice host; // with the port unless it is the scheme's own, as the Host header has it
    struct sc_slice base; // a path before all others, "" or "/…"
};

// `text` NULL: AWS itself. SC_INVALID for what is no http or https URL. Texts lie in the arena. An endpoint of AWS that
// names a region (https://s3.eu-west-1.amazonaws.com) gives it in *ret_region (optional), else that is left alone.
SC_MUST_USE enum sc_rc sc_s3_endpoint_parse(const char *text, enum sc_s3_style style, struct sc_arena *arena,
                                            struct sc_s3_endpoint *ret_endpoint, const char **ret_region,
                                            struct sc_error *err);

bool sc_s3_region_is_valid(const char *region);
// The part of AWS that a region belongs to: "aws", "aws-cn" or "aws-us-gov". A bucket's name is unique in its partition, and
// may be somebody else's in another (S3 User Guide, "General purpose bucket naming rules").
const char *sc_s3_partition(struct sc_slice region);

struct sc_s3_param {
    struct sc_slice name, value; // not encoded
};

// One request's place in the encoded form that is both sent and signed.
struct sc_s3_target {
    struct sc_buf url; // whole; the other three point into it
    struct sc_slice host, path, query;
};
void sc_s3_target_init(struct sc_s3_target *target);
void sc_s3_target_done(struct sc_s3_target *target);
// bucket "" and key "" name the service and the bucket itself. The query is sorted and always has its '='.
void sc_s3_target_set(struct sc_s3_target *target, const struct sc_s3_endpoint *endpoint,
                      struct sc_slice region, struct sc_slice bucket, struct sc_slice key,
                      const struct sc_s3_param *params, uint32_t param_count);

// Appends with every byte but A-Z a-z 0-9 - . _ ~ (and '/' where `slash`) as %XX: RFC 3986's unreserved set, which is
// what SigV4 signs.
void sc_s3_encode(struct sc_buf *out, struct sc_slice text, bool slash);
// Decodes %XX and, where `plus`, '+' as a blank. False for a broken escape.
bool sc_s3_decode(struct sc_slice text, bool plus, struct sc_buf *out);
