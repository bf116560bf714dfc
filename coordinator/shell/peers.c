#include "coordinator/shell/peers.h"

#include "base/limits.h"
#include "base/memory.h"

static struct sc_peer_id plain(const struct sc_peer_id *id)
{
    struct sc_peer_id key = {.len = id->len};
    SC_ASSERT(id->len <= sizeof key.bytes);
    memcpy(key.bytes, id->bytes, id->len);
    return key;
}

static void unlink_peer(struct sc_peers *peers, struct sc_peer *peer)
{
    if (!peer->gone)
        HASH_DELETE(by_id, peers->by_id, peer);
    HASH_DELETE(by_number, peers->by_number, peer);
}

void sc_peers_remove(struct sc_peers *peers, struct sc_peer *peer)
{
    unlink_peer(peers, peer);
    free(peer);
}

void sc_peers_done(struct sc_peers *peers)
{
    struct sc_peer *peer, *next;
    HASH_ITER (by_number, peers->by_number, peer, next)
        sc_peers_remove(peers, peer);
}

struct sc_peer *sc_peers_find(struct sc_peers *peers, const struct sc_peer_id *id)
{
    struct sc_peer_id key = plain(id);
    struct sc_peer *peer;
    HASH_FIND(by_id, peers->by_id, &key, sizeof key, peer);
    if (peer)
        peer->used = ++peers->uses;
    return peer;
}

struct sc_peer *sc_peers_by_number(struct sc_peers *peers, uint64_t number)
{
    struct sc_peer *peer;
    HASH_FIND(by_number, peers->by_number, &number, sizeof number, peer);
    return peer && !peer->gone ? peer : NULL;
}

uint32_t sc_peers_count(const struct sc_peers *peers)
{
    return HASH_CNT(by_id, peers->by_id);
}

static void drop_silent(struct sc_peers *peers)
{
    struct sc_peer *peer, *next, *silent = NULL;
    HASH_ITER (by_number, peers->by_number, peer, next)
        if (!peer->gone && peer->tethers == 0 && (!silent || peer->used < silent->used))
            silent = peer;
    if (silent)
        sc_peers_mark_gone(peers, silent);
}

struct sc_peer *sc_peers_get(struct sc_peers *peers, const struct sc_peer_id *id)
{
    struct sc_peer_id key = plain(id);
    struct sc_peer *peer = sc_peers_find(peers, id);
    if (peer)
        return peer;
    if (sc_peers_count(peers) >= SC_LIMIT_PEERS)
        drop_silent(peers);
    if (sc_peers_count(peers) >= SC_LIMIT_PEERS)
        return NULL;
    peer = sc_calloc(1, sizeof *peer);
    peer->id = key;
    peer->number = ++peers->last_number;
    peer->used = ++peers->uses;
    HASH_ADD(by_id, peers->by_id, id, sizeof peer->id, peer);
    HASH_ADD(by_number, peers->by_number, number, sizeof peer->number, peer);
    return peer;
}

void sc_peers_mark_gone(struct sc_peers *peers, struct sc_peer *peer)
{
    if (peer->gone)
        return;
    HASH_DELETE(by_id, peers->by_id, peer); // should it come again, it is a new one
    peer->gone = true;
    peers->any_gone = true;
}

struct sc_peer *sc_peers_take_gone(struct sc_peers *peers)
{
    struct sc_peer *peer, *next;
    if (!peers->any_gone)
        return NULL;
    HASH_ITER (by_number, peers->by_number, peer, next) {
        if (!peer->gone)
            continue;
        unlink_peer(peers, peer);
        return peer;
    }
    peers->any_gone = false;
    return NULL;
}
