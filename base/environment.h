// What the machine that runs a step is, as the key sees it (3-FORMATS, environment.<part>). host: arch, gpu (when asked),
// libc, os, packages, path, python; any: arch; probe: probe.0 …. Parts are sorted by name, without the "environment."
// prefix. A value is its MessagePack encoding: a str, or for packages an array of str "name==version", sorted.
#pragma once

#include "base/codec.h"

struct sc_environment_part {
    struct sc_slice name, value;
};
struct sc_environment {
    SC_LIST(struct sc_environment_part, parts);
};
extern const struct sc_schema sc_schema_environment;

void sc_environment_copy(struct sc_arena *arena, const struct sc_environment *from,
                         struct sc_environment *ret_to);
// The parts that are left when these are taken out (named without a prefix), borrowed. In the arena.
struct sc_environment sc_environment_without(struct sc_arena *arena, const struct sc_environment *environment,
                                             const sc_text_list *ignored);
// Of the encoding: equal environments, equal digests.
struct sc_digest sc_environment_digest(const struct sc_environment *environment);
