// One codec for every structure that is stored or sent: a table of fields tells where each lies in the C struct and
// how it is encoded. A struct is a MessagePack map with its field names as keys in byte order, or, where the table
// says `positional`, an array of its fields in the table's order (compact: plans, facts).
//
// Absent values are not written in a map and read back as zero: a false, 0, empty text, zero digest, empty list. In a
// positional struct everything is written. Decoding borrows texts and bytes from the input, which must outlive the
// result; lists and nested structs lie in the arena. Counts are bounded by `max` and by the bytes that are left.
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/mp.h"

enum sc_field_type {
    SC_F_BOOL,   // bool
    SC_F_U32,    // uint32_t
    SC_F_U64,    // uint64_t
    SC_F_I64,    // int64_t
    SC_F_ENUM,   // an int-sized enum, 0 to max
    SC_F_TEXT,   // struct sc_slice, str, at most max bytes (0: SC_LIMIT_VALUE_BYTES)
    SC_F_BIN,    // struct sc_slice, bin, at most max bytes (0: no bound but the message's)
    SC_F_RAW,    // struct sc_slice holding one encoded value, copied as it is (nil when empty)
    SC_F_DIGEST, // struct sc_digest, bin of 32; zero means absent (an empty bin in a positional struct)
    SC_F_STRUCT, // a nested struct, in place
    SC_F_LIST,   // pointer and uint32_t count: {T *items; uint32_t count;} adjacent, as SC_LIST declares
};

struct sc_schema;
struct sc_field {
    const char *name;
    enum sc_field_type type;
    uint32_t offset;
    const struct sc_schema *sub; // of a struct, and of a list's elements
    uint32_t max;
};

struct sc_schema {
    const char *name; // "record", for error messages
    const struct sc_field *fields;
    uint32_t field_count;
    uint32_t size; // of the C struct
    bool positional;
    bool bare; // one field, encoded as itself without a map or array around it (a list of texts)
};

// Declares a list member: a pointer and its count, laid out as the codec expects.
#define SC_LIST(type, name)                                                                                  \
    struct {                                                                                                 \
        type *items;                                                                                         \
        uint32_t count;                                                                                      \
    } name

#define SC_FIELD(struct_type, member, field_type)                                                            \
    {                                                                                                        \
#member, field_type, (uint32_t)offsetof(struct_type, member), NULL, 0                                \
    }
#define SC_FIELD_MAX(struct_type, member, field_type, max)                                                   \
    {                                                                                                        \
#member, field_type, (uint32_t)offsetof(struct_type, member), NULL, max                              \
    }
#define SC_FIELD_SUB(struct_type, member, field_type, sub, max)                                              \
    {                                                                                                        \
#member, field_type, (uint32_t)offsetof(struct_type, member), sub, max                               \
    }
#define SC_SCHEMA(var, text, struct_type, table)                                                             \
    const struct sc_schema var = {                                                                           \
        .name = text, .fields = table, .field_count = SC_COUNT(table), .size = sizeof(struct_type)}
#define SC_SCHEMA_POSITIONAL(var, text, struct_type, table)                                                  \
    const struct sc_schema var = {.name = text,                                                              \
                                  .fields = table,                                                           \
                                  .field_count = SC_COUNT(table),                                            \
                                  .size = sizeof(struct_type),                                               \
                                  .positional = true}

// Elements of lists of plain texts and digests.
extern const struct sc_schema sc_schema_text;   // struct sc_slice
extern const struct sc_schema sc_schema_digest; // struct sc_digest
extern const struct sc_schema sc_schema_u32;    // uint32_t
extern const struct sc_schema sc_schema_u64;    // uint64_t
typedef struct {
    struct sc_slice *items;
    uint32_t count;
} sc_text_list; // the one typedef: SC_LIST makes anonymous types

enum sc_decode_mode {
    SC_DECODE_LENIENT, // unknown fields are passed over (messages)
    SC_DECODE_STRICT,  // unknown fields are an error that names them (signed and keyed structures)
};

void sc_encode(const struct sc_schema *schema, const void *object, struct sc_buf *out);
// Reads one value into the zeroed struct at ret_object. SC_MALFORMED with the field's name, or SC_VERSION for an
// unknown field in strict mode. Bytes after the value are an error.
SC_MUST_USE enum sc_rc sc_decode(const struct sc_schema *schema, struct sc_slice bytes,
                                 enum sc_decode_mode mode, struct sc_arena *arena, void *ret_object,
                                 struct sc_error *err);
// The same from a cursor, which may stand in the middle of something.
SC_MUST_USE enum sc_rc sc_decode_next(const struct sc_schema *schema, struct sc_mp_reader *reader,
                                      enum sc_decode_mode mode, struct sc_arena *arena, void *ret_object,
                                      struct sc_error *err);
// True when the table is well-formed: names in byte order for maps, sizes plausible. For tests.
bool sc_schema_is_valid(const struct sc_schema *schema);
