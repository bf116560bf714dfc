// The record, stepcache.record/1: one result under one key, strict and canonical. Valid only under the key and domain
// that its body names. Its bytes are the body and, behind it, the SHA-256 of the body: a record that rotted anywhere is
// told by its own bytes, wherever they lie.
#pragma once

#include "base/artifact.h"

struct sc_record_field { // [label, value]; a value longer than SC_LIMIT_FIELD_INLINE_BYTES is its digest
    struct sc_slice label, value;
};
struct sc_record_output {
    struct sc_slice name;
    struct sc_artifact artifact;
};
struct sc_record_value {
    struct sc_slice name, json;
};
struct sc_record_input { // where an input came from: the producing step's key
    struct sc_slice name;
    struct sc_digest key;
};
struct sc_record_logs {
    struct sc_artifact stdout_, stderr_; // zero digest: none was kept
};
struct sc_record_assurance {
    struct sc_slice sandbox, network; // "namespaces", "none" …; "on"
};
struct sc_record_signature { // reserved: who signed, over "stepcache.record/1\0" + body without signatures
    struct sc_slice key_id, ed25519;
};

struct sc_record {
    struct sc_slice v; // "stepcache.record/1"
    struct sc_slice domain;
    struct sc_digest key;
    uint64_t generation; // 1 for the first; a key's records are told apart and voided by it
    uint64_t supersedes; // the generation that it replaced; 0 for none
    SC_LIST(struct sc_record_field, fields);
    SC_LIST(struct sc_record_output, outputs); // sorted by name, as values and inputs_from
    SC_LIST(struct sc_record_value, values);
    struct sc_record_logs logs;
    int64_t ended_at; // wall ms, never negative. What replaces what is told by generations
    uint64_t wall_ms, cpu_ms, max_rss_bytes;
    struct sc_record_assurance assurance;
    struct sc_slice namespace_, pipeline, step, run, agent;
    uint64_t attempt;
    SC_LIST(struct sc_record_input, inputs_from);
    SC_LIST(struct sc_record_signature, signatures);
};

extern const struct sc_schema sc_schema_record;

// Writes whatever it is given; what is not valid is refused when it is read.
void sc_record_encode(const struct sc_record *record, struct sc_buf *out);
// Strict: SC_CORRUPT for bytes that are not what their checksum says and for a wrong key or domain, SC_VERSION for an
// unknown version or field (named), SC_MALFORMED. Borrows bytes.
SC_MUST_USE enum sc_rc sc_record_decode(struct sc_slice bytes, struct sc_slice domain,
                                        const struct sc_digest *key, struct sc_arena *arena,
                                        struct sc_record *ret_record, struct sc_error *err);
bool sc_record_is_valid(const struct sc_record *record);
// Two records of one key say the same: equal outputs and values.
bool sc_record_same_result(const struct sc_record *a, const struct sc_record *b);
