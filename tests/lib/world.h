// A coordinator's world for trace tests: the real core with a clock, a store and agents that do what the test says. What
// the core lets out is written down as one line an effect, so that a test asserts a whole conversation.
#pragma once

#include "tests/lib/test.h"

#include "coordinator/core/core.h"
#include "coordinator/core/fact.h"

// How a trace test begins: with a world `w` that ends when the test does.
#define WORLD                                                                                                \
    (void)state;                                                                                             \
    struct world w __attribute__((cleanup(world_done)));                                                     \
    world_init(&w)

struct world_record { // the store's
    struct sc_digest key;
    struct sc_core_record record;
    bool objects_lost;
};
struct world_attempt {
    uint64_t id;
    struct sc_slice step, run;
    char agent[32];
    bool open, force_upload, checks_environment;
};

enum { WORLD_RUNS = 2048 };
struct world {
    struct sc_core *core;
    struct sc_core_config config;
    struct sc_arena arena;
    int64_t mono_ms, wall_ms;
    struct sc_buf transcript;
    bool quiet; // write nothing down
    SC_LIST(struct world_record, records);
    SC_LIST(struct sc_slice, facts);
    SC_LIST(struct world_attempt, attempts);
    struct {
        struct sc_digest digest;
        struct sc_slice bytes;
    } plans[WORLD_RUNS];
    uint32_t plan_count;
    char agents[8][32];  // the agent of connection i + 1
    const char *told[8]; // packages of its environment; NULL: `packages`
    uint32_t agent_count;
    uint32_t gpus;                    // of agents that say hello from now on; each has 8 GiB of memory
    struct sc_slice runs[WORLD_RUNS]; // ids in order of their start
    uint32_t run_count;
    const char *packages; // of the agents' environment
    const char
        *agent_packages;     // of agents that say hello from now on; NULL: `packages`, whatever it is by then
    const char *zone;        // their label `zone`, or NULL
    const char *hello_class; // packages that a hello tells, or NULL for none
    const char *source;      // what a file holds that a probe asks for
    const char *version;     // and its version id; NULL: the agent knows of no versions
    bool never_reads;        // a source by version, whatever is asked
    bool empty_answers;      // probes are answered with nothing in them
    bool deaf;               // probes are not answered
    bool hold_probes;        // PROBE's answer, of the moment of the question, comes with world_record_answers
    uint32_t probes;         // that were asked
    bool look_ups_fail;      // the store cannot be read
    bool store_is_gone;      // and never will be
    struct sc_artifact log;  // of stdout, in the reports to come
    const char *ext;         // of the outputs in the reports to come; NULL: what their paths say
    int64_t agents_ahead_ms; // how far the agents' clocks are ahead
    uint64_t stored_ms;      // how long before the reports to come their outputs were stored
    bool hold_records;       // WRITE_RECORD is not answered until world_record_answers
    bool hold_look_ups;      // LOOK_UP is not answered until then
    struct sc_event held[64];
    uint32_t held_count;
    SC_LIST(struct sc_digest, gone); // digests of objects
    enum sc_rc gone_rc;              // what PRESENCE tells of them
    struct sc_digest unreadable;     // what agents that say INPUT_LOST could not have
    enum sc_end_state last_state;
    uint32_t cancelled_told, closed_told; // RUN_CANCELLED, RUN_CLOSED: for those who keep track of open runs
};

void world_init(struct world *world);
void world_done(struct world *world);
// Compiles the document (it must be good), submits it, and lets the core run until it waits for something.
void world_submit(struct world *world, const char *document, const struct sc_run_options *options);
void world_agent(struct world *world, const char *name, uint32_t cpus); // hello
void world_agent_holding(struct world *world, const char *name, uint32_t cpus, const uint64_t *held,
                         uint32_t held_count);
void world_agent_gone(struct world *world, const char *name);
// The newest open attempt of a step reports: all its outputs are files that hold `text`.
void world_report(struct world *world, const char *step, const char *text);
void world_fail(struct world *world, const char *step, enum sc_outcome outcome);
void world_progress(struct world *world, const char *step, enum sc_phase phase);
void world_ended(struct world *world, const char *step);
void world_cancel(struct world *world, uint32_t run);
void world_cancel_now(struct world *world, uint32_t run);
void world_client_gone(struct world *world, uint64_t client);
void world_pass(struct world *world, int64_t ms); // time goes by; deadlines are judged
void world_store_refuses(struct world *world, const char *why);
void world_record_answers(struct world *world);         // what was held
void world_lose(struct world *world, const char *text); // the object that holds it is gone from now on
// The process dies: what was journaled is what is left. A new core takes it up.
void world_restart(struct world *world);
const struct world_attempt *world_attempt(struct world *world, const char *step);
uint32_t world_open_attempts(const struct world *world);
// What was written down since the last call.
const char *world_said(struct world *world);
// Whether what was said since the last world_said holds this line.
bool world_says(struct world *world, const char *line);
