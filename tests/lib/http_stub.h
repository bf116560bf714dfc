// An HTTP server of a test, on a thread of its own: plays a script of exchanges in order on 127.0.0.1, one request a
// connection, and keeps what it was asked. A request that the script does not expect is answered 599 and fails the test
// at sc_http_stub_end.
#pragma once

#include <stdint.h>

enum sc_http_manner {
    SC_HTTP_WHOLE, // the head with the length, the body
    SC_HTTP_CUT,   // half the body, then the end
    SC_HTTP_STALL, // the head, then nothing until the client leaves
    SC_HTTP_MUTE,  // the end at once
    SC_HTTP_FLOOD, // a body of a MiB
};

struct sc_http_exchange {
    const char *request; // how the request's first line begins: "GET /role"
    int status;          // 0: 200
    const char *body;    // NULL: none
    enum sc_http_manner manner;
    const char *header; // one more of the answer, or NULL
};

struct sc_http_stub; // of the test's thread

struct sc_http_stub *sc_http_stub_new(void);
uint16_t sc_http_stub_port(const struct sc_http_stub *stub);
// Plays these next; texts are borrowed until sc_http_stub_end. The script before must have been played.
void sc_http_stub_play(struct sc_http_stub *stub, const struct sc_http_exchange *exchanges, uint32_t count);
// Fails the test unless the script was played to its end and nothing else was asked.
void sc_http_stub_check(struct sc_http_stub *stub);
// The whole text of the last request; valid until the next one.
const char *sc_http_stub_last(struct sc_http_stub *stub);
// Checks, ends the thread, frees.
void sc_http_stub_end(struct sc_http_stub *stub);
