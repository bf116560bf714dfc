// The step key, schema stepcache.key/1 (3-FORMATS): SHA-256 of ["stepcache.key/1", [[label, value] …]], sorted by label.
// Pure. One builder is used for many keys: it keeps its buffer.
#pragma once

#include "base/environment.h"
#include "pipeline/plan.h"

enum sc_key_input_kind { SC_KEY_INPUT_FILE, SC_KEY_INPUT_DIR, SC_KEY_INPUT_VALUE, SC_KEY_INPUT_VERSION };

// What an input is, for the key: in the order of the step's inputs.
struct sc_key_input {
    enum sc_key_input_kind kind;
    struct sc_digest digest; // file or folder
    bool exec;
    struct sc_slice ext;
    struct sc_slice text;     // of a value
    struct sc_slice identity; // of a version: sc_key_identity_is_sound
    struct sc_slice metadata; // JSON text; not keyed when empty
};

struct sc_key {
    struct sc_digest digest;
    struct sc_buf encoding; // the bytes that were hashed; valid until the next build
};

// What an agent tells of an s3:// source that is keyed by its versions, as it stands in the key: ["version", bucket, key,
// version id] or ["versions", bucket, prefix, digest], and the server where it is none of AWS's. True for nothing else: it
// can then be no other kind of input.
bool sc_key_identity_is_sound(struct sc_slice identity);

void sc_key_init(struct sc_key *key);
void sc_key_done(struct sc_key *key);
// inputs[i] belongs to step->inputs.items[i]. Asserts that nothing in the step is unresolved. With key.resources the
// processors are always keyed, since a step always has some.
void sc_key_build(struct sc_key *key, const struct sc_plan_step *step, uint32_t instance,
                  const struct sc_key_input *inputs, const struct sc_environment *environment);

// The labelled fields of an encoding, in order.
struct sc_key_field {
    struct sc_slice label;
    struct sc_slice
        value; // its MessagePack encoding; in records, one longer than SC_LIMIT_FIELD_INLINE_BYTES is replaced by its digest (bin)
};
struct sc_mp_reader sc_key_fields_begin(struct sc_slice encoding);
bool sc_key_fields_next(struct sc_mp_reader *reader, struct sc_key_field *ret_field); // false at the end
// A value as people read it: text bare, digests in hex, lists bracketed, at most max_bytes.
void sc_key_value_print(struct sc_slice value, size_t max_bytes, struct sc_buf *out);
// The part in which two values of one field differ, at most about 200 bytes each: the words of a command (with the flag before
// a lone value), the packages of an environment, the middle of a text. An empty value is a field that is not there.
void sc_key_change_print(struct sc_slice label, struct sc_slice old_value, struct sc_slice new_value,
                         struct sc_buf *ret_old, struct sc_buf *ret_new);
// The fields as a record keeps them (long ones as digests), in the arena.
extern const struct sc_schema sc_schema_key_field; // positional [label, value raw]
struct sc_key_fields {
    SC_LIST(struct sc_key_field, items);
};
struct sc_key_fields sc_key_fields_for_record(struct sc_slice encoding, struct sc_arena *arena);
