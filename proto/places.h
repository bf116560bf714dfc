// Where a user's own (private) coordinator and agent live: sockets in the runtime folder (0700, owner checked), state and
// store below the XDG folders. Pure but for reading the environment and making the runtime folder.
#pragma once

// Below agent_state: a link whose target is the endpoint that the agent there works for.
#define SC_AGENT_ENDPOINT_LINK "agent.endpoint"
// In the logs' folder of a store that is a folder elsewhere: a link to it, by which other sessions' agents know what to hide.
#define SC_STORE_LINK "store"

#include "base/arena.h"
#include "base/error.h"

// The user's own, whatever the store: what steps must not see.
//   runtime           $XDG_RUNTIME_DIR/stepcache, else /tmp/stepcache-<uid>
//   state             $XDG_STATE_HOME/stepcache, else ~/.local/state/stepcache
//   cache             $XDG_CACHE_HOME/stepcache, else ~/.cache/stepcache
// Of one store: each has a coordinator and an agent of its own. For <cache>/store they lie right in those folders, for
// another one (STEPCACHE_STORE) below a folder named by the digest of what it is: a folder's real path, or a bucket's address
// and what of the environment says on which server that is.
struct sc_places {
    char *runtime, *state, *cache;
    char *store;       // $STEPCACHE_STORE (a folder by its real path), else <cache>/store
    bool shared_store; // the former: others may use it, too
    char *sockets;     // <runtime>/<digest12 of state, cache and store>: client.sock, agent.sock, tether.sock
    char *client_endpoint; // ipc://…
    char *agent_endpoint;  // ipc://…
    char *tether;
    char *logs;              // <state>[/<digest12>]
    char *coordinator_state; // <logs>/coordinator
    char *
        agent_state; // <cache>[/<digest12>]/agent: work folders and laid-out inputs (same file system as the usual store), agent.lock
};
// Strings lie in the arena. Makes the folders 0700. SC_DENIED when the runtime folder, state or cache belongs to somebody else, or the first is open to
// others; SC_INVALID when STEPCACHE_STORE is neither an absolute folder nor s3://; SC_LIMIT when a socket's path would be longer than 100 bytes (falls back to /tmp/stepcache-<uid>-<hash> first).
SC_MUST_USE enum sc_rc sc_places_find(struct sc_arena *arena, struct sc_places *ret_places,
                                      struct sc_error *err);
