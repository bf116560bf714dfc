// Requests to S3 that come true or end with a story: each is signed, sent, judged by retry.c, and where that says so
// waited with, mended and sent again. Many are under way at once, as many as the pace allows; the rest waits in order.
// One thread; `done` is called from sc_s3_client_turn alone.
#pragma once

#include "base/digest.h"
#include "store/s3/credentials.h"
#include "store/s3/http.h"
#include "store/s3/url.h"

struct sc_s3_client;
struct sc_s3_wire_kind; // store/s3/wire.h

struct sc_s3_client_config {
    const struct sc_s3_wire_kind *wire; // NULL: sc_s3_wire_http
    bool unverified;                    // the user gave up the check of TLS certificates, by unverified=1
    struct sc_s3_endpoint endpoint;     // its texts outlive the client
    struct sc_slice region;             // copied, as all below
    struct sc_s3_provider *provider;    // outlives the client
    struct sc_slice bucket, prefix;     // of the store; what rights below it are learned from
    struct sc_slice known_key;          // an object that is there in every store
    struct sc_s3_http_config http;
    uint32_t window; // requests at once at most
    int64_t patience_ms;
    uint64_t seed;
};
SC_MUST_USE enum sc_rc sc_s3_client_new(const struct sc_s3_client_config *config,
                                        struct sc_s3_client **ret_client, struct sc_error *err);
void sc_s3_client_free(struct sc_s3_client *client); // nothing is under way

struct sc_s3_call;
typedef void (*sc_s3_call_fn)(struct sc_s3_call *call);

// One request. The caller owns it and all that it points at until `done`.
struct sc_s3_call {
    enum sc_s3_ask ask;
    struct sc_slice bucket, key;
    struct sc_slice version;  // of reads; empty: the newest
    struct sc_slice if_match; // of reads: an etag that it must have; SC_BUSY when it has another
    bool if_absent;           // of writes: SC_EXISTS when the name is taken
    const char *writer;       // of writes that several requests make: who makes it, 32 hex digits; else NULL
    uint64_t range_first, range_bytes; // of GET; range_bytes 0: all
    const struct sc_s3_param *params;
    uint32_t param_count;
    const struct sc_s3_header *headers; // further ones, at most 8
    uint32_t header_count;
    struct sc_s3_source source;
    const struct sc_digest *sha256; // of the source; NULL: made here, of bytes in memory alone
    const uint8_t *md5; // of the source, 16 bytes, where the mover made it (struct sc_s3_sizes); else NULL
    struct sc_s3_sink sink;
    uint32_t stall_ms; // 0: as usual
    // Before every attempt: may set the range anew for what is already there. May be NULL.
    void (*prepare)(struct sc_s3_call *call);
    // After a good status: whether the body is what S3 sends; if not, it is tried again. May be NULL.
    enum sc_rc (*check)(struct sc_s3_call *call, struct sc_error *err);
    sc_s3_call_fn done;
    void *context;
    // what came of it; the answer's texts hold until the call is done with
    enum sc_rc rc;
    struct sc_error err;
    bool archived, empty;
    struct sc_s3_exchange exchange;
    // the client's
    struct sc_s3_client *client;
    bool compares; // a write found its name taken, perhaps by itself: it looks whose it is
    bool looked;   // a wire without conditions: the name was free a moment ago
    bool by_get;   // a HEAD that got a refusal without words asks for one byte instead
    struct sc_s3_target target;
    struct sc_s3_headers sent_headers;
    struct sc_arena sign_arena;
    char range_text[64], writer_text[33];
    uint32_t attempts, mended, damaged;
    uint32_t generation; // of the credentials
    int64_t failed_ms, due_ms, skew_ms;
    struct sc_slice region; // in sign_arena
    bool unsure;
    struct sc_s3_call *next;
};
void sc_s3_call_init(struct sc_s3_call *call, enum sc_s3_ask ask);
void sc_s3_call_done(struct sc_s3_call *call);

void sc_s3_client_submit(struct sc_s3_client *client, struct sc_s3_call *call);
// A call that ended well, of whose object all came with another digest than it has, for the n-th time: it is submitted
// again, and SC_OK; or that is the end, and the story is in its err.
SC_MUST_USE enum sc_rc sc_s3_client_wrong_bytes(struct sc_s3_client *client, struct sc_s3_call *call,
                                                uint32_t times);
// Whether anything is under way or waits.
bool sc_s3_client_busy(const struct sc_s3_client *client);
// Goes on with all of it; waits up to wait_ms (-1: a second) when nothing ends at once. Returns how many ended.
uint32_t sc_s3_client_turn(struct sc_s3_client *client, int wait_ms);
const struct sc_s3_wire_kind *sc_s3_client_wire(const struct sc_s3_client *client);
uint32_t sc_s3_client_window(const struct sc_s3_client *client); // requests at once at most

// 32 hex digits that no other writer has.
void sc_s3_client_writer(struct sc_s3_client *client, char ret_writer[33]);

// Requests that were sent, by the classes of a price list, and how many of them were repetitions.
struct sc_s3_client_counts {
    uint64_t puts, gets, deletes, retries;
};
struct sc_s3_client_counts sc_s3_client_counts(const struct sc_s3_client *client);
