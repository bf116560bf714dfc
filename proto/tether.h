// A tether: a plain local stream socket that is open as long as its client lives, and says nothing. The server learns the
// instant a client is gone, however it went, which a message socket cannot tell. The client's first 32 bytes are its
// routing id, padded with zeros. A client may shut its end down and read: a byte when the server stays, else the end.
#pragma once

#include "proto/bus.h"

enum { SC_TETHER_BYTES = 32 };

SC_MUST_USE enum sc_rc sc_tether_listen(const char *path, int *ret_fd, struct sc_error *err); // non-blocking
// SC_UNREACHABLE when nobody listens.
SC_MUST_USE enum sc_rc sc_tether_connect(const char *path, const struct sc_peer_id *self, int *ret_fd,
                                         struct sc_error *err);
// The routing id in a client's first bytes; false when they are none.
bool sc_tether_peer(const uint8_t first[SC_TETHER_BYTES], struct sc_peer_id *ret_peer);
