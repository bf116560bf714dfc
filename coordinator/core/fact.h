// Facts: what the journal holds. From facts alone a restarted core rebuilds every open run: what was granted, reported,
// failed and cancelled. Hits are no facts: a restarted run looks them up again (docs/DECISIONS.md).
#pragma once

#include "proto/message.h"

enum sc_fact_kind {
    SC_FACT_NONE,
    SC_FACT_RUN, // a run was accepted: run, plan, options, user, at
    SC_FACT_PIN, // what a source is in this run: run, index, artifact; by version identity, and the artifact once it was read
    SC_FACT_CLASS,  // what an agent said of an environment (slot): agent, need, class or commands
    SC_FACT_GRANT,  // an attempt was given to an agent: attempt, run, group, instance, key, agent, number
    SC_FACT_LOST,   // an attempt ended without a report: attempt, key
    SC_FACT_REPORT, // attempt, key, run, group, instance, result
    SC_FACT_FAILED, // a step's final failure: run, group, instance, result (outcome and message), number
    SC_FACT_CANCEL, // run
    SC_FACT_CLOSED, // run, state
    SC_FACT_KINDS,
};

// `run`, `group` and `instance` are those of one step: of a flight, the step that owns it then.
struct sc_fact {
    enum sc_fact_kind kind;
    struct sc_slice run;
    struct sc_digest plan, key, need;
    struct sc_run_options options;
    struct sc_slice user, agent;
    int64_t at;
    uint32_t index, group, instance, number;
    uint64_t attempt;
    struct sc_artifact artifact;
    struct sc_slice identity; // encoded, as it stands in the key
    struct sc_class class_;
    struct sc_result result;
    enum sc_end_state state;
};

extern const struct sc_schema sc_schema_fact;
