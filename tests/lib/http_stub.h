// A player on the HTTP server of tests: answers requests by a script, in order, and keeps the last one. A request that the
// script does not expect is answered 599 and fails the test at sc_http_stub_end.
#pragma once

#include "tests/lib/http_server.h"

struct sc_http_exchange {
    const char *request; // how the request's first line begins: "GET /role"
    int status;          // 0: 200
    const char *body;    // NULL: none
    uint32_t more;       // so many bytes of 'x' after the body
    enum sc_http_how how;
    int64_t at;
    const char *header; // one more of the answer, or NULL
};

struct sc_http_stub; // of the test's thread

struct sc_http_stub *sc_http_stub_new(void);
const char *sc_http_stub_host(const struct sc_http_stub *stub); // "127.0.0.1:PORT"
// Plays these next; texts are borrowed until sc_http_stub_end. The script before must have been played.
void sc_http_stub_play(struct sc_http_stub *stub, const struct sc_http_exchange *exchanges, uint32_t count);
// Fails the test unless the script was played to its end and nothing else was asked.
void sc_http_stub_check(struct sc_http_stub *stub);
// The whole text of the last request; valid until the next one.
const char *sc_http_stub_last(struct sc_http_stub *stub);
// Checks, once all that came in was looked at; ends the server, frees.
void sc_http_stub_end(struct sc_http_stub *stub);
