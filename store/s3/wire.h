// What carries a client's requests to S3 and its answers back: store/s3/wire.c signs and sends them itself, store/libs3
// hands them to that library. The client above judges, waits, mends and repeats; it never knows which one it has. A wire
// answers in S3's own form: status, headers, and a body as S3's XML. One thread; a call ends in `turn` alone, by the
// `done` of its exchange.
#pragma once

#include "store/s3/transfer.h"

struct sc_s3_wire; // a wire's own; begins with `kind`

struct sc_s3_wire_kind {
    const char *name; // what client= says in a store's URL; NULL: the one that is taken where it says nothing
    // What it cannot say to a server, the client does without: where writes carry no condition, it looks before and after
    // each, which has one winner among racers only when they do not meet between two looks.
    bool conditional;
    const struct sc_s3_sizes *sizes;
    // SC_UNSUPPORTED, by name, for an endpoint that it cannot speak to.
    enum sc_rc (*open)(const struct sc_s3_client_config *config, struct sc_s3_wire **ret_wire,
                       struct sc_error *err);
    void (*close)(struct sc_s3_wire *wire); // nothing is under way
    // Begins one attempt of a call, of which ask_of may differ from the call's own. After a failure, told in call->err,
    // nothing is under way.
    enum sc_rc (*send)(struct sc_s3_wire *wire, struct sc_s3_call *call, enum sc_s3_ask ask);
    uint32_t (*pending)(const struct sc_s3_wire *wire);
    // As sc_s3_http_turn.
    uint32_t (*turn)(struct sc_s3_wire *wire, int wait_ms);
};

struct sc_s3_wire {
    const struct sc_s3_wire_kind *kind;
};

extern const struct sc_s3_wire_kind sc_s3_wire_http;

// Whether this attempt is the call's own request, not one that the client asks to learn more.
bool sc_s3_call_is_main(const struct sc_s3_call *call);
// Whether the call's body goes with it.
bool sc_s3_call_has_body(const struct sc_s3_call *call, enum sc_s3_ask ask);
