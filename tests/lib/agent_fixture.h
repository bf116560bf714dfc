// A coordinator in miniature, for tests of the agent's shell: it binds the socket, answers hello with welcome, assigns, and
// hears what is reported. The agent runs in a thread of the test, with a real store, a real runner and real processes.
// Waits on descriptors only.
#pragma once

#include "agent/shell/agent.h"
#include "proto/bus.h"
#include "store/object.h"

#include <pthread.h>

struct agent_fixture {
    char *folder, *store, *work, *endpoint; // below the folder
    struct sc_agent_config config;          // may be changed before the start
    struct sc_bus *bus;
    struct sc_peer_id peer;
    pthread_t thread;
    bool running;
    enum sc_rc rc; // of the agent's end
    struct sc_error err;
    int signals[2];
    struct sc_arena arena;     // of messages and of what tests build
    struct sc_message message; // the last one that came
    uint64_t attempt;          // of the last assignment
    struct sc_buf logs[2];     // log messages of the test, by stream
    uint32_t progresses[SC_PHASE_CHECKING + 1], hellos;
    // For what a test puts and reads itself.
    struct sc_store *handle;
    struct sc_objects *objects;
};

// Makes the folders and the store; false, having said so, when there is no runner to test with.
bool agent_fixture_make(struct agent_fixture *f);
// Starts the agent, and welcomes it.
void agent_fixture_start(struct agent_fixture *f);
void agent_fixture_welcome(struct agent_fixture *f);
// Signals the agent (as SIGTERM does) and waits for its end, hearing it out.
void agent_fixture_signal(struct agent_fixture *f);
void agent_fixture_join(struct agent_fixture *f);
void agent_fixture_done(struct agent_fixture *f);

void agent_fixture_send(struct agent_fixture *f, const struct sc_message *message);
// Waits for the next message of this type; renewals, progress and logs are counted and passed over.
const struct sc_message *agent_fixture_await(struct agent_fixture *f, enum sc_message_type type);
// Waits until the log so far of a listened attempt begins with the text.
void agent_fixture_await_log(struct agent_fixture *f, enum sc_stream stream, const char *text);
// A new assignment of a script, which is one text; `outputs` is a list "name=path" (a trailing / makes a folder), ended by
// NULL. In the arena.
struct sc_assignment *agent_fixture_script(struct agent_fixture *f, const char *script, ...)
    __attribute__((sentinel));
void agent_fixture_assign(struct agent_fixture *f, const struct sc_assignment *assignment);
// Assigns, and waits for the report.
const struct sc_result *agent_fixture_run(struct agent_fixture *f, const struct sc_assignment *assignment);
// Puts bytes as an object, durably; its artifact.
struct sc_artifact agent_fixture_put(struct agent_fixture *f, const char *bytes, const char *ext);
// An object's bytes as a C string, in the arena.
const char *agent_fixture_get(struct agent_fixture *f, const struct sc_digest *digest);
// A named object's bytes, or NULL when there is none.
const char *agent_fixture_named(struct agent_fixture *f, const char *name);
const struct sc_artifact *agent_fixture_output(const struct sc_result *result, const char *name);
// Nothing is left below a folder of the agent's work folder.
bool agent_fixture_is_empty(struct agent_fixture *f, const char *name);
// Nothing of any step is left: its work folder may wait for the next, as it was made.
bool agent_fixture_is_clean(struct agent_fixture *f);
void agent_fixture_input(struct agent_fixture *f, struct sc_assignment *assignment, const char *name,
                         struct sc_artifact artifact);
