// The rules of names, paths and bounds that the document's compiler and the check of a decoded plan share.
#pragma once

#include "pipeline/plan.h"

enum {
    SC_PLAN_SEGMENTS_MOST = 10000,   // of one word
    SC_PLAN_ARGUMENTS_MOST = 10000,  // of one command
    SC_PLAN_LIST_MOST = 1000,        // env variables, labels, matrix keys, probes, code patterns of a step
    SC_PLAN_IGNORED_MOST = 3000,     // key.ignore: every input, every variable, every part
    SC_PLAN_PATTERN_PARTS_MOST = 60, // of a code pattern
    SC_PLAN_PARAMS_MOST = 10000,
    SC_PLAN_SOURCES_MOST = 100000,
    SC_PLAN_ENV_NAME_BYTES = 255,
    SC_PLAN_CPUS_MILLI_MOST = 1000000000,
    SC_PLAN_GPUS_MOST = 1000000,
    SC_PLAN_RETRY_ALL = (1 << 9) - 1,
};
#define SC_PLAN_BYTES_MOST (UINT64_C(1) << 60) // of memory or disk

bool sc_plan_is_name(struct sc_slice s); // [A-Za-z0-9_][A-Za-z0-9_-]{0,62}: steps, inputs, outputs, params
bool sc_plan_is_pipeline_name(struct sc_slice s); // [a-z0-9][a-z0-9-]{0,62}: pipelines and namespaces
bool sc_plan_is_env_name(struct sc_slice s);      // [A-Za-z_][A-Za-z0-9_]*
bool sc_plan_is_label_name(struct sc_slice s);    // [A-Za-z0-9_][A-Za-z0-9_./-]{0,62}
// A relative path in its simplest form: no empty parts, no "." and "..", no NUL, parts of at most 255 bytes.
bool sc_plan_is_path(struct sc_slice s);
bool sc_plan_is_pointer(struct sc_slice s); // RFC 6901
// Finds a name in a sorted list whose elements begin with it; count when it is not there.
uint32_t sc_plan_search(const void *items, uint32_t count, size_t size, struct sc_slice name);
// Two outputs that are the same path or lie one in the other; false: there are none. The first lies above the second.
bool sc_plan_outputs_clash(const struct sc_plan_output *outputs, uint32_t count, uint32_t *ret_first,
                           uint32_t *ret_second);
// The bytes of the longest label of a step's instances.
size_t sc_plan_label_bytes(const struct sc_plan_step *step);
// The product of the matrix, or UINT64_MAX when it is more than 32 bits hold.
uint64_t sc_plan_combinations(const struct sc_plan_step *step);
// Whether key.ignore may name this part of the step's environment.
bool sc_plan_has_part(const struct sc_plan_step *step, struct sc_slice part);
