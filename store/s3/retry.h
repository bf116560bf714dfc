// The one place that decides what an answer means: done, again after a while, again with something mended, or final with
// a story. Pure: time and chance are arguments, nothing is sent from here.
//
// Rules (docs: S3 API reference, Error responses; AWS SDKs and tools reference, Retry behaviour):
//   what passes (5xx, 503 SlowDown, 409 of two at once, resets, stalls, truncation) is tried again with full jitter, as
//   long as the patience lasts; retries draw on a budget that fills with time and with successes, so that a server in
//   trouble is not kept there; 503 also halves how many requests are under way at once;
//   what can be mended (credentials that ran out, our clock, the region) is mended and tried again, twice at most;
//   everything else is final at once.
#pragma once

#include "base/error.h"
#include "base/random.h"
#include "base/slice.h"

#include <stdbool.h>

// X(name, what it is called in a story, the right that it needs)
#define SC_S3_ASK_TABLE(X)                                                                                   \
    X(GET, "GET", "s3:GetObject")                                                                            \
    X(HEAD, "HEAD", "s3:GetObject")                                                                          \
    X(PUT, "PUT", "s3:PutObject")                                                                            \
    X(COPY, "copy to", "s3:PutObject, and s3:GetObject on what is copied")                                   \
    X(DELETE, "DELETE", "s3:DeleteObject")                                                                   \
    X(LIST, "list", "s3:ListBucket")                                                                         \
    X(BEGIN, "begin upload of", "s3:PutObject")                                                              \
    X(PART, "upload part of", "s3:PutObject")                                                                \
    X(COMPLETE, "complete upload of", "s3:PutObject")                                                        \
    X(ABORT, "abort upload of", "s3:AbortMultipartUpload")                                                   \
    X(UPLOADS, "list uploads of", "s3:ListBucketMultipartUploads")

enum sc_s3_ask {
#define X(name, text, right) SC_S3_##name,
    SC_S3_ASK_TABLE(X)
#undef X
};

// What kept an answer from coming, or from coming whole.
enum sc_s3_failure {
    SC_S3_CAME,       // none: there is an answer
    SC_S3_NO_HOST,    // the name does not resolve
    SC_S3_NO_CONNECT, // nobody listens, or no way there
    SC_S3_NO_TRUST,   // the certificate, or our own list of authorities
    SC_S3_RESET,      // the connection ended before the answer, or during TLS
    SC_S3_CUT,        // the answer's body ended early
    SC_S3_STALLED,    // too slow, or too long
    SC_S3_OURS,       // our own source or sink failed
    SC_S3_ODD,        // anything else
};

// What we know of our rights below the prefix.
enum sc_s3_rights {
    SC_S3_RIGHTS_UNKNOWN,
    SC_S3_RIGHTS_LIST,    // we may list: what is absent is told as absent
    SC_S3_RIGHTS_OBJECTS, // we may read but not list: S3 answers 403 for what is absent
    SC_S3_RIGHTS_NONE,
};

// One attempt and what came of it.
struct sc_s3_attempt {
    enum sc_s3_ask ask;
    bool if_absent;
    uint32_t number;   // of this attempt, from 1
    int64_t now_ms;    // monotonic
    int64_t failed_ms; // when the first attempt of the request ended badly; 0: this one is the first
    int64_t wall_ms;   // our clock, uncorrected
    int64_t skew_ms;   // the correction that was used
    bool stale;        // it was signed with credentials that were replaced meanwhile
    bool unsure;       // an earlier attempt may have been carried out
    uint32_t mended;   // how often something was mended for this request
    uint32_t damaged;  // how often the server refused the body for its digest, this time not counted
    struct sc_slice used_region;
    enum sc_s3_rights rights;
    // the answer
    enum sc_s3_failure failure;
    struct sc_error own;                       // SC_S3_OURS: why. Others: the transport's words
    uint32_t status;                           // 0: none came
    bool broken;                               // a good status, but the body is not what it must be
    uint32_t wrong_bytes;                      // how often the body had another digest, this time included
    bool from_s3;                              // it has S3's marks: an error in S3's form, or a request id
    struct sc_slice code, message, request_id; // of S3; empty where it gave none, as for every HEAD
    struct sc_slice region;                    // that it names
    int64_t date_ms;                           // its Date; 0: none
    int64_t retry_after_ms;
};

enum sc_s3_action {
    SC_S3_DONE,
    SC_S3_FINAL,   // rc and the story are the end
    SC_S3_AGAIN,   // after wait_ms
    SC_S3_REFRESH, // the credentials; then again
    SC_S3_CLOCK,   // use skew_ms; then again
    SC_S3_REGION,  // use the region that it names; then again
    SC_S3_REASON,  // a HEAD has no words: ask for one byte by GET
    SC_S3_RIGHTS,  // learn our rights below the prefix, then judge anew
    SC_S3_COMPARE, // the name is taken, perhaps by an attempt of our own: look whose it is
};

struct sc_s3_verdict {
    enum sc_s3_action action;
    enum sc_rc rc;    // final
    bool archived;    // final: the object is there, and cannot be read
    bool empty;       // done: a range of an empty object was asked for
    bool unsure;      // again: this attempt may have been carried out
    bool damaged;     // the server refused the body for its digest
    int64_t wait_ms;  // again
    int64_t skew_ms;  // clock
    const char *hint; // final: what to check; may be NULL
};

// How fast a handle goes.
struct sc_s3_pace {
    uint32_t window, window_max; // requests under way at once
    uint32_t streak;             // successes since the window moved
    int64_t cut_ms;              // when it was last halved
    int64_t milli_tokens;        // of the retry budget; negative: retries wait
    int64_t filled_ms;
    int64_t patience_ms; // from the first failure of a request to its end
    bool
        met; // something of S3 has answered: before, a wrong address is likelier than a server that is away for long
    struct sc_random random;
};
void sc_s3_pace_init(struct sc_s3_pace *pace, uint32_t window_max, int64_t patience_ms, uint64_t seed,
                     int64_t now_ms);

struct sc_s3_verdict sc_s3_judge(const struct sc_s3_attempt *attempt, struct sc_s3_pace *pace);

// The story of a final verdict: what was asked of which bucket and key, S3's code, words and request id, how often it
// was tried, and what to check. Returns the verdict's rc.
enum sc_rc sc_s3_tell(const struct sc_s3_attempt *attempt, const struct sc_s3_verdict *verdict,
                      struct sc_slice bucket, struct sc_slice key, struct sc_error *err);
