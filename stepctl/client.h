// A connection to a coordinator: the user's own, started when it is not there, or one that was started by hand. One
// thread. Messages that come lie in the caller's arena.
#pragma once

#include "proto/bus.h"
#include "stepctl/options.h"
#include "stepctl/private.h"

struct sc_client {
    struct sc_arena arena;
    struct sc_places places;
    const char *endpoint; // of one started by hand; NULL: the user's own
    struct sc_private private;
    struct sc_peer_id self;
    struct sc_bus *bus; // NULL until connected
    int tether;         // -1: none
    uint64_t last_id;
};

// Finds places, and without an endpoint starts what is not there; does not wait. Done after any rc.
SC_MUST_USE enum sc_rc sc_client_begin(struct sc_client *client, const struct sc_options *options,
                                       bool wants_agent, struct sc_error *err);
// Waits until the coordinator listens and dials it.
SC_MUST_USE enum sc_rc sc_client_connect(struct sc_client *client, struct sc_error *err);
// Both, for commands that have nothing to do in between.
SC_MUST_USE enum sc_rc sc_client_open(struct sc_client *client, const struct sc_options *options,
                                      bool wants_agent, struct sc_error *err);
// After SC_CLOSED: starts the coordinator again and connects, under the same identity.
SC_MUST_USE enum sc_rc sc_client_again(struct sc_client *client, struct sc_error *err);
// When nothing will be asked after all: a coordinator that was started sees its client come and go, and leaves at once.
void sc_client_let_go(struct sc_client *client);
// Lets go of the user's own coordinator and waits until it and its agent have left; not when others need them, and no longer
// than 15 s or until a signal comes.
void sc_client_see_off(struct sc_client *client, int signals);
void sc_client_done(struct sc_client *client);

// Sends a request and gives it an id, which its answers carry.
SC_MUST_USE enum sc_rc sc_client_send(struct sc_client *client, struct sc_message *message,
                                      struct sc_error *err);
// The next message: SC_NOT_FOUND when there is none yet, SC_CLOSED when the coordinator is gone.
SC_MUST_USE enum sc_rc sc_client_next(struct sc_client *client, struct sc_arena *arena,
                                      struct sc_message *ret_message, struct sc_error *err);
// Waits until something may have come, on extra_fd (-1: none) too; timeout_ms -1 waits without end. True: extra_fd is
// readable. Call only after sc_client_next said SC_NOT_FOUND.
bool sc_client_wait(struct sc_client *client, int extra_fd, int timeout_ms);

// A question with its whole answer: pages or events, until `done`, the last page or an error, which is returned as it was
// said. Gives up with SC_TIMEOUT after 60 s of silence.
struct sc_answer {
    void (*row)(void *context, struct sc_slice row); // a JSON object
    void (*event)(void *context, const struct sc_event_body *event);
    void *context;
    bool patient; // silence may last: the answer follows something that runs
};
SC_MUST_USE enum sc_rc sc_client_ask(struct sc_client *client, struct sc_message *message,
                                     const struct sc_answer *answer, struct sc_error *err);
// The error that an error message tells.
enum sc_rc sc_client_error(const struct sc_msg_error *message, struct sc_error *err);
