// A folder that is spoken to as a store elsewhere, and answers the latest question first: for tests of who asks for much
// at once. Takes the place of a handle's back end, which does the work; of the thread that the handle belongs to.
#pragma once

#include "store/backend.h"

enum { ODD_PENDING = 64, ODD_LOGGED = 400 };

struct odd_store {
    struct sc_store_backend backend; // first: found by the store's
    const struct sc_store_backend *real;
    void (*before)(struct odd_store *odd); // called by each dispatch; NULL: nothing to do
    struct sc_store_op *pending[ODD_PENDING];
    uint32_t pending_count, pending_most;
    bool clashed; // two of one name were under way
    // Puts and gets of names with this in them fail so, and so often; empty: none.
    char refused[128];
    enum sc_rc refuse_rc;
    uint32_t refuse_count;
    bool archived;         // objects' bytes: they are told of, and cannot be read
    char *log[ODD_LOGGED]; // what was done: "put v1/main/…", "sync "
    uint32_t log_count;
};

// Before the first operation. The odd one outlives the handle.
void odd_store_init(struct odd_store *odd, struct sc_store *store);
void odd_store_done(struct odd_store *odd);
void odd_store_refuse(struct odd_store *odd, const struct sc_digest *digest, enum sc_rc rc, uint32_t count);
// How many of the log's lines start so.
uint32_t odd_store_count(const struct odd_store *odd, const char *start);
// As what lies elsewhere, a back end has no paths here.
void odd_store_be_elsewhere(struct sc_store_backend *backend);
