// The sources of credentials that are asked by HTTP: a container's endpoint (ECS, EKS pod identity), the instance metadata
// service (IMDSv2), STS. Blocking, each answer bounded in time and size, redirects never followed, TLS always verified;
// proxies only for STS. Any thread may call.
//
// SC_UNREACHABLE: no answer, or one that says to come again, after all tries. What else fails is final. Stories name the
// endpoint by its host alone: a path may be as good as a password (ECS).
#pragma once

#include "store/s3/credentials_answer.h"

// How long to wait for one answer, and how often to ask. Near is what this machine or its host answers.
struct sc_s3_patience {
    long near_connect_ms, near_ms, far_ms;
    int tries, pause_ms;
};
#define SC_S3_PATIENCE                                                                                       \
    {                                                                                                        \
        .near_connect_ms = 1000, .near_ms = 2000, .far_ms = 5000, .tries = 3, .pause_ms = 200                \
    }

// The URL of AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or else of .._FULL_URI (both as they are in the environment; NULL and
// empty: not set). SC_DENIED for a full one that is neither https nor of this machine or container: 127.0.0.0/8, ::1,
// localhost, 169.254.170.2 (ECS), 169.254.170.23 and fd00:ec2::23 (EKS). The results are appended to the buffers.
SC_MUST_USE enum sc_rc sc_s3_container_url(const char *relative, const char *full, struct sc_buf *ret_url,
                                           struct sc_buf *ret_host, struct sc_error *err);
// `authorization`: the value of that header, or empty.
SC_MUST_USE enum sc_rc sc_s3_container_ask(const char *url, struct sc_slice authorization,
                                           const struct sc_s3_patience *patience,
                                           struct sc_s3_found *ret_found, struct sc_error *err);

// `endpoint`: "http://169.254.169.254". The role's name is appended to ret_role. SC_NOT_FOUND: the service answers, and
// has no role to give.
SC_MUST_USE enum sc_rc sc_s3_metadata_ask(const char *endpoint, const struct sc_s3_patience *patience,
                                          struct sc_s3_found *ret_found, struct sc_buf *ret_role,
                                          struct sc_error *err);

struct sc_s3_web_identity {
    const char *endpoint; // of STS, a URL
    const char *ca;       // AWS_CA_BUNDLE, or NULL
    struct sc_slice role_arn, session_name, token;
};
SC_MUST_USE enum sc_rc sc_s3_web_identity_ask(const struct sc_s3_web_identity *identity,
                                              const struct sc_s3_patience *patience,
                                              struct sc_s3_found *ret_found, struct sc_error *err);

// AssumeRole, signed by other credentials.
struct sc_s3_role {
    const char *endpoint, *ca; // as above
    struct sc_slice region;    // empty: the global STS's
    struct sc_slice role_arn, session_name;
    struct sc_slice external_id, duration_s; // empty: not said
    const struct sc_s3_found *signer;
    int64_t wall_ms;
};
SC_MUST_USE enum sc_rc sc_s3_role_ask(const struct sc_s3_role *role, const struct sc_s3_patience *patience,
                                      struct sc_s3_found *ret_found, struct sc_error *err);
// "https://sts.<region>.amazonaws.com", without a region the global one. SC_INVALID for what cannot be a region's name.
SC_MUST_USE enum sc_rc sc_s3_sts_endpoint(struct sc_slice region, struct sc_buf *ret_url,
                                          struct sc_error *err);
