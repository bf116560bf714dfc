// AWS Signature Version 4 in the Authorization header. Pure: the time is an argument. The key of a day, region and
// service is kept. One thread a signer.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"

// One header that is signed and sent. Names are in lower case.
struct sc_s3_header {
    struct sc_slice name, value;
};

enum { SC_S3_HEADERS_MAX = 24 };

// A request's headers; texts lie where their maker says.
struct sc_s3_headers {
    struct sc_s3_header items[SC_S3_HEADERS_MAX];
    uint32_t count;
};
// Asserts that there is room and that the name is lower case.
void sc_s3_headers_add(struct sc_s3_headers *headers, const char *name, struct sc_slice value);

struct sc_s3_signer { // zero: nothing kept yet
    char day[9];
    struct sc_digest scope; // of secret, region and service: what the key was made from
    uint8_t key[SC_DIGEST_BYTES];
};

// Who signs, and for what. Borrowed.
struct sc_s3_identity {
    struct sc_slice access_key, secret;
    struct sc_slice token;  // of a session; empty: none
    struct sc_slice region; // "us-east-1"
    const char *service;    // "s3", "sts"
};

struct sc_s3_message {
    const char *method;
    struct sc_slice path, query; // encoded, the query sorted: struct sc_s3_target
    const char *payload;         // the body's SHA-256 in hex
};

extern const char sc_s3_empty_sha256[]; // of no body

// Adds x-amz-date, for s3 x-amz-content-sha256, the session's token and the authorization to the headers; all that stood
// there before, `host` among them, is signed. What is added lies in the arena.
void sc_s3_sign(struct sc_s3_signer *signer, const struct sc_s3_identity *identity,
                const struct sc_s3_message *message, int64_t wall_ms, struct sc_arena *arena,
                struct sc_s3_headers *headers);
