// The field tables of the messages, for proto's own files: a struct's fields by their names on the wire, in byte order.
#pragma once

#include "base/limits.h"
#include "proto/message.h"

// Bounds of lists that base/limits does not name. Each is far above what a well-meant message holds.
enum {
    SC_MESSAGE_ATTEMPTS = 1 << 16,  // of one agent
    SC_MESSAGE_CLASSES = 256,       // of one agent: PATHs that steps asked for
    SC_MESSAGE_WORDS = 1 << 16,     // of a command, and pieces of a word
    SC_MESSAGE_FIELDS = 8192,       // of a key that changed
    SC_MESSAGE_EVENTS = 1 << 16,    // of one message
    SC_MESSAGE_PUBLISHED = 1 << 17, // of one run
    SC_MESSAGE_ROWS = 1 << 16,      // of one page
    SC_MESSAGE_ID_BYTES = 255,      // of ids and names that stand in a path
};

// name on the wire, struct, member, type; and where they apply a sub-schema and a bound.
#define SC_WIRE(text, type, member, field_type)                                                              \
    {                                                                                                        \
        text, field_type, (uint32_t)offsetof(type, member), NULL, 0                                          \
    }
#define SC_WIRE_MAX(text, type, member, field_type, max)                                                     \
    {                                                                                                        \
        text, field_type, (uint32_t)offsetof(type, member), NULL, max                                        \
    }
#define SC_WIRE_IN(text, type, member, sub)                                                                  \
    {                                                                                                        \
        text, SC_F_STRUCT, (uint32_t)offsetof(type, member), sub, 0                                          \
    }
#define SC_WIRE_LIST(text, type, member, sub, max)                                                           \
    {                                                                                                        \
        text, SC_F_LIST, (uint32_t)offsetof(type, member), sub, max                                          \
    }

extern const struct sc_schema sc_schema_named_artifact, sc_schema_named_text;
#define X(name, NAME) extern const struct sc_schema sc_schema_msg_##name;
SC_MESSAGE_TABLE(X)
#undef X
