// Who speaks on a socket: routing ids and the numbers by which the core knows them. A number is never used again. The core thread.
#pragma once

#include "proto/bus.h"

#include <uthash.h>

struct sc_peer {
    struct sc_peer_id id; // the bytes past len are zero: the whole struct is the map's key
    uint64_t number;
    uint32_t tethers;            // open ones of a client
    bool gone;                   // to be told to the core
    struct sc_requests requests; // of an agent, as it told them last
    uint64_t used;               // order of the last use
    UT_hash_handle by_id, by_number;
};

struct sc_peers {
    struct sc_peer *by_id, *by_number;
    uint64_t last_number, uses;
    bool any_gone;
};

void sc_peers_done(struct sc_peers *peers);
struct sc_peer *sc_peers_find(struct sc_peers *peers, const struct sc_peer_id *id); // or NULL
// Finds or makes. With SC_LIMIT_PEERS of them the one without a tether that was silent longest is marked gone; NULL when
// there is none.
struct sc_peer *sc_peers_get(struct sc_peers *peers, const struct sc_peer_id *id);
struct sc_peer *sc_peers_by_number(struct sc_peers *peers, uint64_t number);
void sc_peers_mark_gone(struct sc_peers *peers, struct sc_peer *peer);
// One that is marked gone, unlinked; the caller frees it. NULL when there is none left.
struct sc_peer *sc_peers_take_gone(struct sc_peers *peers);
void sc_peers_remove(struct sc_peers *peers, struct sc_peer *peer);
uint32_t sc_peers_count(const struct sc_peers *peers);
