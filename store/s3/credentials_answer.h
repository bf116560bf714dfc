// What the sources of credentials answer, made into credentials: JSON of a credential_process, a container's endpoint and
// the instance metadata; XML of STS. Pure. Nothing that an answer says is believed: sizes, characters, times.
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct sc_s3_found {
    struct sc_slice access_key, secret, token; // own memory; the token may be empty
    int64_t expires_ms;                        // wall; 0: never
};
void sc_s3_found_done(struct sc_s3_found *found); // cleanses
// Copies them in. SC_MALFORMED, saying which, unless they are printable ASCII without blanks (what goes into a header) and
// of bearable length.
SC_MUST_USE enum sc_rc sc_s3_found_set(struct sc_s3_found *ret_found, struct sc_slice access_key,
                                       struct sc_slice secret, struct sc_slice token, struct sc_error *err);

enum sc_s3_json {
    SC_S3_JSON_PROCESS, // Version 1, SessionToken; Expiration may be missing
    SC_S3_JSON_ENDPOINT, // Token and Expiration; Code other than Success is a refusal (SC_DENIED, with what it says)
};
SC_MUST_USE enum sc_rc sc_s3_found_json(struct sc_slice json, enum sc_s3_json kind,
                                        struct sc_s3_found *ret_found, struct sc_error *err);
// The answer of AssumeRole and AssumeRoleWithWebIdentity.
SC_MUST_USE enum sc_rc sc_s3_found_sts(struct sc_slice xml, struct sc_s3_found *ret_found,
                                       struct sc_error *err);
// The code and the message of an answer that refuses, each empty when there is none; the message is scrubbed. `ret_code`
// and `ret_message` are appended to.
void sc_s3_refusal_sts(struct sc_slice xml, struct sc_buf *ret_code, struct sc_buf *ret_message);
void sc_s3_refusal_json(struct sc_slice json, struct sc_buf *ret_code, struct sc_buf *ret_message);

// Appends what somebody else says in a form that is fit for errors and logs: one line, cut, and words that look like a
// key, a secret or a token left out.
void sc_s3_scrub(struct sc_slice text, struct sc_buf *ret_text);
