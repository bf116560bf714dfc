// A small HTTP/1.1 server of one test, on 127.0.0.1, that answers what the test's handler says, and breaks off where it
// says so. A thread a connection; the handler is called by one at a time, so what it keeps needs no lock of its own, but
// the test looks at that between sc_http_server_lock and unlock alone.
#pragma once

#include "base/buf.h"

struct sc_http_server;

struct sc_http_request {
    const char *method, *target; // "PUT", "/bkt/key?x="
    const char *head;            // all header lines, "name: value\r\n", names as they came
    struct sc_slice body;
    uint32_t connection, number; // of the connection, from 1; of the request among all, from 1
};
// The header's value, "" when absent; valid until the next call on this thread.
const char *sc_http_header(const struct sc_http_request *request, const char *name);

enum sc_http_how {
    SC_HTTP_WHOLE,
    SC_HTTP_CHUNKED, // without a length; at > 0: it ends after so many bytes, without the last chunk
    SC_HTTP_CLOSE,   // whole, and then the connection ends without having said so
    SC_HTTP_RESET,   // the connection is reset after `at` bytes of the body; at -1: before any answer
    SC_HTTP_CUT,     // it ends after `at` bytes of the body; at -1: before any answer
    SC_HTTP_STALL,   // nothing more comes after `at` bytes, until the client gives up; at -1: no answer
};

struct sc_http_reply {
    int status;
    struct sc_buf headers; // further lines, "name: value\r\n"
    struct sc_buf body;
    enum sc_http_how how;
    int64_t at;
};

typedef void (*sc_http_handle_fn)(void *context, const struct sc_http_request *request,
                                  struct sc_http_reply *reply);
// Before a body that is announced with Expect is read: true when the reply is to be sent instead of asking for it.
typedef bool (*sc_http_early_fn)(void *context, const struct sc_http_request *request,
                                 struct sc_http_reply *reply);

// Aborts when it cannot listen. `early` may be NULL.
struct sc_http_server *sc_http_server_new(sc_http_handle_fn handle, sc_http_early_fn early, void *context);
void sc_http_server_free(struct sc_http_server *server);
const char *sc_http_server_url(const struct sc_http_server *server); // "http://127.0.0.1:PORT"
void sc_http_server_lock(struct sc_http_server *server);
void sc_http_server_unlock(struct sc_http_server *server);
