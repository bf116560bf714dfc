// The agent program's loop: one thread that owns the bus, the runner's client and the core, and hands everything that
// blocks to workers (worker.h). In: messages, the runner's events, jobs that are done, what steps print, time. Each
// becomes an event of the core; its effects are carried out in their order.
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "proto/message.h"

struct sc_agent_config {
    const char *endpoint;  // of the coordinator
    const char *store;     // URL
    const char *work;      // folder
    const char *runner;    // program
    const char *checksums; // servers whose checksums are believed, with commas; or NULL
    struct sc_slice name, domain, path;
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes;
    uint64_t layout_max_bytes; // 0: no bound
    SC_LIST(struct sc_named_text, labels);
    const char *hidden[48]; // more folders that steps must not see; those that are not there are passed over
    const char
        *coordinator_lock; // the agent leaves when nobody holds it; NULL: it waits for a coordinator for ever
    int64_t lock_wait_ms;  // for another agent that is just leaving
    bool trace;
};

// Runs until it is told to leave; the signals in `signal_fd` (signalfd(2)) ask for that. SC_OK when it left in good
// order.
SC_MUST_USE enum sc_rc sc_agent_run(const struct sc_agent_config *config, int signal_fd,
                                    struct sc_error *err);
