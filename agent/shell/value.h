// A declared value: a part of a JSON output, as compact JSON text. Pure.
#pragma once

#include "base/arena.h"
#include "base/error.h"

// The part of the document that the pointer (RFC 6901; empty: all of it) names, written compactly: members in the order of
// the document, text as UTF-8, a real in the shortest form that reads back as the same. SC_MALFORMED when the document is
// no JSON (with line and column), SC_NOT_FOUND when the pointer leads nowhere, SC_LIMIT past SC_LIMIT_VALUE_BYTES.
SC_MUST_USE enum sc_rc sc_value_extract(struct sc_slice json, struct sc_slice pointer, struct sc_arena *arena,
                                        struct sc_slice *ret_text, struct sc_error *err);
