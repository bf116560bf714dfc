// The core thread: one loop over the sockets, the tethers and the workers' answers. It turns all of that into events for
// the core and lets the core's effects out, each when the journal allows. Everything here belongs to this thread but the
// mailboxes and the journal's numbers.
#pragma once

#include "coordinator/shell/config.h"
#include "coordinator/shell/journal.h"
#include "coordinator/shell/lanes.h"
#include "coordinator/shell/peers.h"
#include "coordinator/shell/queries.h"
#include "coordinator/shell/spending.h"
#include "coordinator/shell/storage.h"

struct sc_loop_tether {
    int fd;
    bool cut;    // its client is gone, or has shut its end down and waits to hear whether we go too
    uint8_t got; // bytes of the routing id so far
    uint8_t id[32];
    uint64_t client; // 0: not known yet
};

struct sc_loop_batch { // events for one request of one client, on their way into one message
    struct sc_loop_batch *next;
    struct sc_watching to;
    struct sc_event_body *events;
    uint32_t count;
    size_t bytes;
    struct sc_arena arena;
};

struct sc_loop_follow { // a client that gets the log of a step that has not ended
    struct sc_loop_follow *next;
    uint64_t client, client_req;
    bool follow, ended, any; // to the step's end; its end was told; something came
    int64_t began_ms, heard_ms;
    struct sc_job *job; // the query: asked again when the step ended before any of its log came
};

struct sc_loop {
    struct sc_config config;
    struct sc_core *core;
    struct sc_journal *journal;
    struct sc_storage *storage;
    struct sc_queries *queries;
    struct sc_spending *spending;
    struct sc_mailbox *answers; // of the workers; its descriptor wakes the loop, the journal rings it too
    struct sc_bus *clients_bus, *agents_bus;
    int tether_fd, signal_fd;
    struct sc_peers clients, agents;
    struct sc_lanes lanes;
    struct sc_loop_batch *batches, *spare_batch;
    struct sc_loop_follow *follows;
    struct sc_loop_tether *tethers;
    uint32_t tether_count, tether_room, cut_count;
    // time as the core sees it: the mono clock less what the program missed
    int64_t mono_ms, wall_ms, real_ms, missed_ms;
    int64_t deadline_ms; // the core's next; known until it is fed again
    bool deadline_known;
    uint64_t durable_seq;
    uint32_t reads_under_way;   // look-ups: their answers come within some 50 us
    uint32_t records_under_way; // to be written
    bool hurried;               // the writer knows that nothing else is coming
    uint32_t jobs_under_way;    // all
    // while a submit is handled: what its run's row starts with
    const struct sc_event *submitting;
    struct sc_job_run submitted;
    struct sc_open_run submitted_open;
    struct sc_arena submit_arena;
    // while a watch is handled: whether the core knew the run
    const struct sc_event *watching;
    bool watch_missed;
    bool had_client, leaving, stopping;
    bool store_trouble; // the store refuses
    int64_t started_ms;
    int64_t trim_ms; // when to give memory back; 0: there is none
    enum sc_rc rc;
};

// Restores the core from the journal, binds the sockets and runs until it is told to stop, or, when private, until nobody needs
// it. The storage's threads must not run yet; the loop starts them.
SC_MUST_USE enum sc_rc sc_loop_run(struct sc_loop *loop, struct sc_error *err);
void sc_loop_init(struct sc_loop *loop, const struct sc_config *config);
void sc_loop_done(struct sc_loop *loop);

// ---- between the loop's files, from the ground up: each calls those above it here, never one below

// follows.c
struct sc_loop_follow *sc_loop_follow_add(struct sc_loop *loop, struct sc_job *job); // takes the job over
void sc_loop_follow_free(struct sc_loop_follow *follow);
// Whether the event is for whom it goes to: of a watch that is a follow only the log of its step is.
bool sc_loop_follow_wants(struct sc_loop *loop, const struct sc_watching *to,
                          const struct sc_event_body *event);
void sc_loop_follow_done(struct sc_loop *loop, uint64_t client,
                         uint64_t client_req); // the core ended the watch
// One that is over, taken out: the caller's. NULL when there is none.
struct sc_loop_follow *sc_loop_follow_take_over(struct sc_loop *loop);
void sc_loop_follows_done(struct sc_loop *loop);

// tethers.c
void sc_loop_accept(struct sc_loop *loop);
void sc_loop_tether_ready(struct sc_loop *loop, uint32_t index);
void sc_loop_sweep_tethers(struct sc_loop *loop);

// outbox.c
void sc_loop_post(struct sc_loop *loop, struct sc_job *job); // to the worker whose job it is
void sc_loop_send_agent(struct sc_loop *loop, uint64_t agent, const struct sc_message *message);
bool sc_loop_send_client(struct sc_loop *loop, uint64_t client, const struct sc_message *message);
void sc_loop_send_error(struct sc_loop *loop, uint64_t client, uint64_t client_req, enum sc_rc rc,
                        const struct sc_error *err);
void sc_loop_send_done(struct sc_loop *loop, uint64_t client, uint64_t client_req);
void sc_loop_add_event(struct sc_loop *loop, const struct sc_watching *to, const struct sc_event_body *event);
void sc_loop_flush_events(struct sc_loop *loop);
void sc_loop_flush_events_of(struct sc_loop *loop, uint64_t client);

// effects.c: gives an event to the core and carries out what it wants, until it has no more to do.
void sc_loop_feed(struct sc_loop *loop, struct sc_event *event);
void sc_loop_release(struct sc_loop *loop); // what the journal is durable for

// take_up.c: what this coordinator's open runs left in the store and the journal does not know becomes durable rows and facts, as if
// the journal had held them. While the core is restored; `last_seq` moves on with each fact.
enum sc_rc sc_loop_take_up(struct sc_loop *loop, uint64_t *last_seq, struct sc_error *err);

// requests.c
void sc_loop_query_answered(struct sc_loop *loop, struct sc_job *job); // takes the job over
void sc_loop_voided(struct sc_loop *loop, const struct sc_job *job);
void sc_loop_follows_tick(struct sc_loop *loop);

// clients.c
void sc_loop_client_message(struct sc_loop *loop, const struct sc_peer_id *from,
                            const struct sc_message *message);
void sc_loop_clients_gone(struct sc_loop *loop);

// agents.c
void sc_loop_agent_message(struct sc_loop *loop, const struct sc_peer_id *from,
                           const struct sc_message *message);
void sc_loop_agents_gone(struct sc_loop *loop);
void sc_loop_drain_agents(struct sc_loop *loop);

// answers.c
void sc_loop_answers(struct sc_loop *loop);
