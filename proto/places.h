// Where a user's own (private) coordinator and agent live: sockets in the runtime folder (0700, owner checked), state and
// store below the XDG folders. Pure but for reading the environment and making the runtime folder.
#pragma once

// Below agent_state: a link whose target is the endpoint that the agent there works for.
#define SC_AGENT_ENDPOINT_LINK "agent.endpoint"

#include "base/arena.h"
#include "base/error.h"

struct sc_places {
    char *runtime;           // $XDG_RUNTIME_DIR/stepcache, else /tmp/stepcache-<uid>
    char *state;             // $XDG_STATE_HOME/stepcache, else ~/.local/state/stepcache
    char *cache;             // $XDG_CACHE_HOME/stepcache, else ~/.cache/stepcache
    char *store;             // <cache>/store
    char *client_endpoint;   // ipc://<runtime>/client.sock
    char *agent_endpoint;    // ipc://<runtime>/agent.sock
    char *tether;            // <runtime>/tether.sock
    char *coordinator_state; // <state>/coordinator
    char *
        agent_state; // <cache>/agent: work folders and laid-out inputs (same file system as the store), agent.lock
};
// Strings lie in the arena. Makes the folders 0700. SC_DENIED when the runtime folder belongs to somebody else or is open to
// others; SC_LIMIT when a socket's path would be longer than 100 bytes (falls back to /tmp/stepcache-<uid>-<hash> first).
SC_MUST_USE enum sc_rc sc_places_find(struct sc_arena *arena, struct sc_places *ret_places,
                                      struct sc_error *err);
