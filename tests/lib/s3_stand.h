// A stand-in for S3 of one test: objects in memory behind a small HTTP server, with faults where the test wants them. It
// knows what the store's S3 back end asks for (GET with ranges and conditions, PUT if absent, copies, multipart uploads,
// lists), checks bodies against the digest that is signed or their MD5, and checks no signatures: the real server does.
#pragma once

#include "tests/lib/http_server.h"

struct sc_s3_stand;

// What happens to requests of a method whose target contains `part`: after the first `skip` of them, to `times` of them.
struct sc_s3_fault_rule {
    const char *method, *part;
    uint32_t skip, times;
    bool after;          // it is carried out first
    int status;          // answered instead; 0: as it would be, but for `how`
    const char *headers; // further lines
    const char *code;    // of an error in S3's form; NULL: `body`
    const char *body;
    enum sc_http_how how;
    int64_t at;
    int64_t flip; // the byte of the body, from 1, that is flipped; 0: none
};

struct sc_s3_stand *sc_s3_stand_new(void);
void sc_s3_stand_free(struct sc_s3_stand *stand);
const char *sc_s3_stand_url(const struct sc_s3_stand *stand);
// Rules are looked at in order; the first that fits counts. Texts must outlive the stand-in.
void sc_s3_stand_fault(struct sc_s3_stand *stand, const struct sc_s3_fault_rule *rule);
// An object as if somebody had put it; `target` is "/bkt/key". `headers`: further lines of its answers.
void sc_s3_stand_put(struct sc_s3_stand *stand, const char *target, struct sc_slice bytes,
                     const char *headers);
// Its bytes, which the caller frees with sc_buf_done; false: none.
bool sc_s3_stand_get(struct sc_s3_stand *stand, const char *target, struct sc_buf *ret_bytes);
// A line for each request so far: "PUT /bkt/k if-none-match=*" with the headers that change its meaning; the caller frees.
char *sc_s3_stand_log(struct sc_s3_stand *stand);
// All header lines of the n-th request, from 1; the caller frees.
char *sc_s3_stand_head(struct sc_s3_stand *stand, uint32_t number);
uint32_t sc_s3_stand_count(struct sc_s3_stand *stand);   // of requests
uint32_t sc_s3_stand_uploads(struct sc_s3_stand *stand); // unfinished ones
uint32_t sc_s3_stand_most(struct sc_s3_stand *stand);    // connections
