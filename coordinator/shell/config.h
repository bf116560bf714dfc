// The coordinator's settings: from a file of `key: value` lines, or the places of a user's own (private) coordinator.
// Texts lie in the arena that they were made from.
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/shell/spending.h"

struct sc_config {
    bool private_;     // leaves by itself when nobody needs it
    const char *state; // absolute folder
    const char *store; // URL or absolute folder
    const char *domain;
    // Who this coordinator is in the store, over losses of its disk. NULL of a private one: it is called by its journal in
    // a store that others may use, and has no name there where it has the store to itself.
    const char *name;
    bool shared_store;  // a private one's
    const char *client; // ipc:// endpoints
    const char *agent;
    const char *tether; // path of the tether socket: beside the client's socket
    const char *log;    // file; NULL: standard error
    int64_t store_patience_ms;
    struct sc_tariff tariff;
    int64_t horizon_ms; // of the store's collection; 0: whatever the store has
    sc_allow_list allow;
};

// Pure: the text of a file that is called `name` in messages. SC_INVALID with "name:line: …", the nearest key suggested;
// SC_UNSUPPORTED for tcp:// endpoints. `name` is NULL when it is not given.
SC_MUST_USE enum sc_rc sc_config_parse(const char *name, struct sc_slice text, struct sc_arena *arena,
                                       struct sc_config *ret_config, struct sc_error *err);
// A name that is not given is made of the host's and the state folder's path.
SC_MUST_USE enum sc_rc sc_config_read(const char *path, struct sc_arena *arena, struct sc_config *ret_config,
                                      struct sc_error *err);
// Of proto/places.h; makes the folders.
SC_MUST_USE enum sc_rc sc_config_private(struct sc_arena *arena, struct sc_config *ret_config,
                                         struct sc_error *err);
