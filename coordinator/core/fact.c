#include "coordinator/core/fact.h"

#include "base/memory.h"
#include "coordinator/core/core.h"

static const struct sc_field fields[] = {
    SC_FIELD(struct sc_fact, agent, SC_F_TEXT),
    SC_FIELD_SUB(struct sc_fact, artifact, SC_F_STRUCT, &sc_schema_artifact, 0),
    SC_FIELD(struct sc_fact, at, SC_F_I64),
    SC_FIELD(struct sc_fact, attempt, SC_F_U64),
    {"class", SC_F_STRUCT, offsetof(struct sc_fact, class_), &sc_schema_class, 0},
    SC_FIELD(struct sc_fact, group, SC_F_U32),
    SC_FIELD(struct sc_fact, identity, SC_F_RAW),
    SC_FIELD(struct sc_fact, index, SC_F_U32),
    SC_FIELD(struct sc_fact, instance, SC_F_U32),
    SC_FIELD(struct sc_fact, key, SC_F_DIGEST),
    SC_FIELD_MAX(struct sc_fact, kind, SC_F_ENUM, SC_FACT_KINDS - 1),
    SC_FIELD(struct sc_fact, need, SC_F_DIGEST),
    SC_FIELD(struct sc_fact, number, SC_F_U32),
    SC_FIELD_SUB(struct sc_fact, options, SC_F_STRUCT, &sc_schema_run_options, 0),
    SC_FIELD(struct sc_fact, plan, SC_F_DIGEST),
    SC_FIELD_SUB(struct sc_fact, result, SC_F_STRUCT, &sc_schema_result, 0),
    SC_FIELD(struct sc_fact, run, SC_F_TEXT),
    SC_FIELD_MAX(struct sc_fact, state, SC_F_ENUM, SC_END_SKIPPED),
    SC_FIELD(struct sc_fact, user, SC_F_TEXT),
};
SC_SCHEMA(sc_schema_fact, "fact", struct sc_fact, fields);

bool sc_core_fact_plan(struct sc_slice bytes, struct sc_digest *ret_plan)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_fact fact = {0};
    if (sc_decode(&sc_schema_fact, bytes, SC_DECODE_LENIENT, &arena, &fact, NULL) != SC_OK ||
        fact.kind != SC_FACT_RUN)
        return false;
    *ret_plan = fact.plan;
    return true;
}
