// Who we are to S3: access keys, found where AWS's own tools find them and in their order, and renewed before they run out.
// The order is botocore's (what the AWS CLI uses): environment, role of a profile, web identity, IAM Identity Center,
// credentials file, console login, credential_process, config file, container, instance metadata. A source that is not
// configured is passed over; one that is and fails is an error that names it, never a silent fall to the next.
//
// Secrets reach neither logs nor errors, and are cleansed from memory when others take their place.
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "store/s3/credentials_http.h"

struct sc_s3_credentials {
    struct sc_slice access_key, secret, token; // borrowed from the provider until its next call
    int64_t expires_ms;                        // wall; 0: never
    bool anonymous;                            // the rest is empty: sign nothing
};

struct sc_s3_provider; // one thread

struct sc_s3_provider_config {
    // Named for this store by the user: then the environment's own keys and web identity do not count, as with the CLI's
    // --profile. NULL: AWS_PROFILE, AWS_DEFAULT_PROFILE, "default"; do not fill those in here.
    const char *profile;
    bool anonymous;
    const char *region; // whose STS is asked; NULL: the global one
};

// Copies the config; finds nothing out yet.
struct sc_s3_provider *sc_s3_provider_new(const struct sc_s3_provider_config *config);
void sc_s3_provider_free(struct sc_s3_provider *provider); // cleanses
// Those that hold now; asks anew when they run out within five minutes, or when `refresh` says that the server refused
// them. Many requests that are refused together cost one question: credentials that came in the last ten seconds count as
// new. May block for some seconds (a credential_process: a minute). While the old ones hold, a failed refresh is logged and
// they serve on; those that the server refused do not. The source that gave some once is the one that is asked from then
// on, files read anew: a program does not become somebody else while it runs.
//
// SC_DENIED, with a story that names the source that failed or lists where was looked. SC_UNREACHABLE when that source
// could not be asked this time, SC_UNSUPPORTED when it is one that this version does not know. A failure is remembered for
// some seconds of wall_ms, so that a thousand waiting requests do not each wait for the same timeout.
SC_MUST_USE enum sc_rc sc_s3_provider_get(struct sc_s3_provider *provider, int64_t wall_ms, bool refresh,
                                          struct sc_s3_credentials *ret, struct sc_error *err);
// The source in use, in words: "profile team in ~/.aws/credentials", "instance metadata, role x, until
// 2026-01-02T12:30:00Z"; without one, what was tried. Appended.
void sc_s3_provider_describe(const struct sc_s3_provider *provider, struct sc_buf *ret_text);
// For tests: how long to wait for HTTP answers, instead of SC_S3_PATIENCE.
void sc_s3_provider_set_patience(struct sc_s3_provider *provider, struct sc_s3_patience patience);
