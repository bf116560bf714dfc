// The socket wrapper over ZeroMQ. A server binds one ROUTER and hears from peers, each known by its routing id; a client
// dials one DEALER, which reconnects with jitter and survives its server's restart. One thread owns a socket. A queue of
// our own per peer (SC_LIMIT_PEER_QUEUE_BYTES) stands before a ROUTER that would block, since a plain ROUTER drops silently
// (ROUTER_MANDATORY is on). ipc:// endpoints only for now: their folder must be 0700; tcp:// is refused by name until CURVE comes.
#pragma once

#include "base/error.h"
#include "proto/message.h"

struct sc_bus;
struct sc_peer_id { // a routing id
    uint8_t bytes[32];
    uint8_t len;
};

// SC_DENIED when the socket's folder is not this user's own or is open to others; SC_UNSUPPORTED for tcp.
SC_MUST_USE enum sc_rc sc_bus_bind(const char *endpoint, struct sc_bus **ret_bus, struct sc_error *err);
// `identity`: the routing id to be known by, 1 to 32 bytes, not starting or ending with 0. Nobody need be there yet.
SC_MUST_USE enum sc_rc sc_bus_dial(const char *endpoint, struct sc_slice identity, struct sc_bus **ret_bus,
                                   struct sc_error *err);
void sc_bus_close(struct sc_bus *bus); // waits at most 200 ms for what was sent
// To poll for reading; when it is readable, call sc_bus_flush, and sc_bus_receive until it says SC_NOT_FOUND. It stays
// readable until then, whatever was sent in between (ZMQ_FD itself is edge-triggered and forgets).
int sc_bus_fd(const struct sc_bus *bus);
// peer is ignored by a client. The message is copied. SC_OK: sent or queued. SC_UNREACHABLE: the peer is gone, or was
// dropped. SC_LIMIT of a server: the peer's queue is full and the peer is dropped: what waited for it is forgotten, one
// error message with the id of the one that did not fit tells it so, and nothing is sent to it until it sends something.
// SC_LIMIT of a client: not sent, the rest waits on. SC_INVALID: larger than any message may be.
SC_MUST_USE enum sc_rc sc_bus_send(struct sc_bus *bus, const struct sc_peer_id *peer,
                                   const struct sc_message *message, struct sc_error *err);
// One message, if there is one: SC_NOT_FOUND when there is none. What is malformed, of an unknown version or too large is
// answered with one error message by a server, counted, and not returned. The frame lies in the arena.
SC_MUST_USE enum sc_rc sc_bus_receive(struct sc_bus *bus, size_t max_bytes, struct sc_arena *arena,
                                      struct sc_peer_id *ret_peer, struct sc_message *ret_message,
                                      struct sc_error *err);
// Sends what waits in the peers' queues; call it when the fd is readable or every second.
void sc_bus_flush(struct sc_bus *bus);
uint64_t sc_bus_refused(const struct sc_bus *bus); // messages counted as bad
