#include "base/codec.h"

#include "base/limits.h"
#include "base/memory.h"

static const struct sc_field text_fields[] = {{"text", SC_F_TEXT, 0, NULL, 0}};
static const struct sc_field digest_fields[] = {{"digest", SC_F_DIGEST, 0, NULL, 0}};
static const struct sc_field u32_fields[] = {{"u32", SC_F_U32, 0, NULL, 0}};
static const struct sc_field u64_fields[] = {{"u64", SC_F_U64, 0, NULL, 0}};
const struct sc_schema sc_schema_text = {"text", text_fields, 1, sizeof(struct sc_slice), true, true};
const struct sc_schema sc_schema_digest = {"digest", digest_fields, 1, sizeof(struct sc_digest), true, true};
const struct sc_schema sc_schema_u32 = {"u32", u32_fields, 1, sizeof(uint32_t), true, true};
const struct sc_schema sc_schema_u64 = {"u64", u64_fields, 1, sizeof(uint64_t), true, true};

struct list {
    uint8_t *items;
    uint32_t count;
};

static bool struct_is_absent(const struct sc_schema *schema, const uint8_t *object);

static inline bool is_absent(const struct sc_field *field, const uint8_t *at)
{
    switch (field->type) {
    case SC_F_BOOL:
        return !*(const bool *)at;
    case SC_F_U32:
    case SC_F_ENUM:
        return *(const uint32_t *)at == 0;
    case SC_F_U64:
    case SC_F_I64:
        return *(const uint64_t *)at == 0;
    case SC_F_TEXT:
    case SC_F_BIN:
    case SC_F_RAW:
        return ((const struct sc_slice *)at)->len == 0;
    case SC_F_DIGEST:
        return sc_digest_is_zero((const struct sc_digest *)at);
    case SC_F_STRUCT:
        return struct_is_absent(field->sub, at);
    case SC_F_LIST:
        return ((const struct list *)at)->count == 0;
    }
    SC_ASSERT(false);
    return false;
}

static bool struct_is_absent(const struct sc_schema *schema, const uint8_t *object)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (!is_absent(&schema->fields[i], object + schema->fields[i].offset))
            return false;
    return true;
}

static void encode_field(const struct sc_field *field, const uint8_t *at, struct sc_buf *out)
{
    switch (field->type) {
    case SC_F_BOOL:
        sc_mp_put_bool(out, *(const bool *)at);
        return;
    case SC_F_U32:
    case SC_F_ENUM:
        sc_mp_put_uint(out, *(const uint32_t *)at);
        return;
    case SC_F_U64:
        sc_mp_put_uint(out, *(const uint64_t *)at);
        return;
    case SC_F_I64:
        sc_mp_put_int(out, *(const int64_t *)at);
        return;
    case SC_F_TEXT:
        sc_mp_put_str(out, *(const struct sc_slice *)at);
        return;
    case SC_F_BIN:
        sc_mp_put_bin(out, *(const struct sc_slice *)at);
        return;
    case SC_F_RAW:
        if (is_absent(field, at))
            sc_mp_put_nil(out);
        else
            sc_buf_add_slice(out, *(const struct sc_slice *)at);
        return;
    case SC_F_DIGEST:
        if (is_absent(field, at))
            sc_mp_put_bin(out, sc_slice(NULL, 0));
        else
            sc_mp_put_digest(out, (const struct sc_digest *)at);
        return;
    case SC_F_STRUCT:
        sc_encode(field->sub, at, out);
        return;
    case SC_F_LIST: {
        const struct list *list = (const struct list *)at;
        sc_mp_put_array(out, list->count);
        for (uint32_t i = 0; i < list->count; i++)
            sc_encode(field->sub, list->items + (size_t)i * field->sub->size, out);
        return;
    }
    }
    SC_ASSERT(false);
}

void sc_encode(const struct sc_schema *schema, const void *object, struct sc_buf *out)
{
    const uint8_t *base = object;
    uint32_t count = schema->field_count;
    if (schema->positional) {
        if (!schema->bare)
            sc_mp_put_array(out, count);
        for (uint32_t i = 0; i < schema->field_count; i++)
            encode_field(&schema->fields[i], base + schema->fields[i].offset, out);
        return;
    }
    uint64_t present = 0; // most fields of a message are absent: looked at once
    for (uint32_t i = 0; i < count; i++)
        present |= (uint64_t)!is_absent(&schema->fields[i], base + schema->fields[i].offset) << i;
    sc_mp_put_map(out, (uint32_t)__builtin_popcountll(present));
    for (; present; present &= present - 1) {
        const struct sc_field *field = &schema->fields[__builtin_ctzll(present)];
        sc_mp_put_cstr(out, field->name);
        encode_field(field, base + field->offset, out);
    }
}

static enum sc_rc wrong(const struct sc_schema *schema, const char *field, const char *what,
                        struct sc_error *err)
{
    return sc_error_set(err, SC_MALFORMED, "%s: field %s: %s", schema->name, field, what);
}

static enum sc_rc decode_struct(const struct sc_schema *schema, struct sc_mp_reader *reader,
                                enum sc_decode_mode mode, int depth, struct sc_arena *arena, uint8_t *object,
                                struct sc_error *err);

static enum sc_rc decode_list(const struct sc_schema *schema, const struct sc_field *field,
                              struct sc_mp_reader *reader, enum sc_decode_mode mode, int depth,
                              struct sc_arena *arena, struct list *ret_list, struct sc_error *err)
{
    uint32_t count = sc_mp_get_array(reader);
    if (reader->failed)
        return wrong(schema, field->name, "not a list, or its count is wrong", err);
    if (field->max && count > field->max)
        return sc_error_set(err, SC_LIMIT, "%s: field %s: %u elements are more than %u", schema->name,
                            field->name, count, field->max);
    // The count is at most the bytes left, so a hostile one asks for at most its message's size times the struct's.
    uint8_t *items = count ? sc_arena_array(arena, count, field->sub->size) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        enum sc_rc rc = decode_struct(field->sub, reader, mode, depth - 1, arena,
                                      items + (size_t)i * field->sub->size, err);
        if (rc != SC_OK)
            return rc;
    }
    *ret_list = (struct list){items, count};
    return SC_OK;
}

static enum sc_rc decode_scalar(const struct sc_schema *schema, const struct sc_field *field,
                                struct sc_mp_reader *reader, uint8_t *at, struct sc_error *err)
{
    uint64_t number;
    struct sc_slice bytes;
    switch (field->type) {
    case SC_F_BOOL:
        *(bool *)at = sc_mp_get_bool(reader);
        break;
    case SC_F_U32:
    case SC_F_ENUM:
        number = sc_mp_get_uint(reader);
        if (number > (field->max || field->type == SC_F_ENUM ? field->max : UINT32_MAX))
            return wrong(schema, field->name, "the number is too large", err);
        *(uint32_t *)at = (uint32_t)number;
        break;
    case SC_F_U64:
        *(uint64_t *)at = sc_mp_get_uint(reader);
        break;
    case SC_F_I64:
        *(int64_t *)at = sc_mp_get_int(reader);
        break;
    case SC_F_TEXT:
        bytes = sc_mp_get_str(reader);
        if (bytes.len > (field->max ? field->max : SC_LIMIT_VALUE_BYTES))
            return wrong(schema, field->name, "the text is too long", err);
        *(struct sc_slice *)at = bytes;
        break;
    case SC_F_BIN:
        bytes = sc_mp_get_bin(reader);
        if (field->max && bytes.len > field->max)
            return wrong(schema, field->name, "too many bytes", err);
        *(struct sc_slice *)at = bytes;
        break;
    case SC_F_RAW:
        bytes = sc_mp_skip(reader, SC_LIMIT_MESSAGE_DEPTH);
        *(struct sc_slice *)at = bytes.len == 1 && bytes.ptr[0] == 0xc0 ? sc_slice(NULL, 0) : bytes;
        break;
    case SC_F_DIGEST:
        bytes = sc_mp_get_bin(reader);
        if (bytes.len == SC_DIGEST_BYTES)
            memcpy(at, bytes.ptr, SC_DIGEST_BYTES);
        else if (bytes.len != 0)
            return wrong(schema, field->name, "not a digest", err);
        break;
    case SC_F_STRUCT:
    case SC_F_LIST:
        SC_ASSERT(false);
    }
    return reader->failed
               ? wrong(schema, field->name, "not of the expected type, or not in its shortest form", err)
               : SC_OK;
}

static enum sc_rc decode_field(const struct sc_schema *schema, const struct sc_field *field,
                               struct sc_mp_reader *reader, enum sc_decode_mode mode, int depth,
                               struct sc_arena *arena, uint8_t *at, struct sc_error *err)
{
    if (field->type == SC_F_STRUCT)
        return decode_struct(field->sub, reader, mode, depth - 1, arena, at, err);
    if (field->type == SC_F_LIST)
        return decode_list(schema, field, reader, mode, depth, arena, (struct list *)at, err);
    return decode_scalar(schema, field, reader, at, err);
}

static enum sc_rc decode_map(const struct sc_schema *schema, struct sc_mp_reader *reader,
                             enum sc_decode_mode mode, int depth, struct sc_arena *arena, uint8_t *object,
                             struct sc_error *err)
{
    uint32_t count = sc_mp_get_map(reader), next = 0;
    struct sc_slice previous = {NULL, 0};
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct sc_slice name = sc_mp_get_str(reader);
        if (reader->failed || (i > 0 && sc_slice_cmp(previous, name) >= 0))
            return sc_error_set(err, SC_MALFORMED, "%s: its keys are not texts in byte order", schema->name);
        previous = name;
        while (next < schema->field_count && sc_slice_cmp(sc_slice_str(schema->fields[next].name), name) < 0)
            next++;
        if (next < schema->field_count && sc_slice_eq_str(name, schema->fields[next].name)) {
            const struct sc_field *field = &schema->fields[next];
            enum sc_rc rc =
                decode_field(schema, field, reader, mode, depth, arena, object + field->offset, err);
            if (rc != SC_OK)
                return rc;
            if (mode == SC_DECODE_STRICT && is_absent(field, object + field->offset))
                return wrong(schema, field->name, "an empty value stands where none should", err);
        } else if (mode == SC_DECODE_STRICT) {
            return sc_error_set(err, SC_VERSION, "%s: unknown field " SC_SLICE_FMT, schema->name,
                                SC_SLICE_ARG(name));
        } else {
            sc_mp_skip(reader, depth);
        }
    }
    return reader->failed ? sc_error_set(err, SC_MALFORMED, "%s: it ends early or is not a map", schema->name)
                          : SC_OK;
}

static enum sc_rc decode_struct(const struct sc_schema *schema, struct sc_mp_reader *reader,
                                enum sc_decode_mode mode, int depth, struct sc_arena *arena, uint8_t *object,
                                struct sc_error *err)
{
    if (depth < 0)
        return sc_error_set(err, SC_MALFORMED, "%s: nested too deeply", schema->name);
    if (!schema->positional)
        return decode_map(schema, reader, mode, depth, arena, object, err);
    uint32_t count = schema->bare ? 1 : sc_mp_get_array(reader);
    if (reader->failed || count < schema->field_count)
        return sc_error_set(err, SC_MALFORMED, "%s: not an array of %u", schema->name, schema->field_count);
    if (mode == SC_DECODE_STRICT && count != schema->field_count)
        return sc_error_set(err, SC_VERSION, "%s: %u fields where %u are known", schema->name, count,
                            schema->field_count);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sc_field *field = &schema->fields[i];
        enum sc_rc rc = decode_field(schema, field, reader, mode, depth, arena, object + field->offset, err);
        if (rc != SC_OK)
            return rc;
    }
    for (uint32_t i = schema->field_count; i < count && !reader->failed; i++)
        sc_mp_skip(reader, depth);
    return reader->failed ? sc_error_set(err, SC_MALFORMED, "%s: it ends early", schema->name) : SC_OK;
}

enum sc_rc sc_decode_next(const struct sc_schema *schema, struct sc_mp_reader *reader,
                          enum sc_decode_mode mode, struct sc_arena *arena, void *ret_object,
                          struct sc_error *err)
{
    return decode_struct(schema, reader, mode, SC_LIMIT_MESSAGE_DEPTH, arena, ret_object, err);
}

enum sc_rc sc_decode(const struct sc_schema *schema, struct sc_slice bytes, enum sc_decode_mode mode,
                     struct sc_arena *arena, void *ret_object, struct sc_error *err)
{
    struct sc_mp_reader reader = sc_mp_reader(bytes);
    enum sc_rc rc = sc_decode_next(schema, &reader, mode, arena, ret_object, err);
    if (rc == SC_OK && !sc_mp_finished(&reader))
        return sc_error_set(err, SC_MALFORMED, "%s: bytes follow its end", schema->name);
    return rc;
}

static uint32_t size_of(const struct sc_field *field)
{
    switch (field->type) {
    case SC_F_BOOL:
        return sizeof(bool);
    case SC_F_U32:
    case SC_F_ENUM:
        return sizeof(uint32_t);
    case SC_F_U64:
    case SC_F_I64:
        return sizeof(uint64_t);
    case SC_F_TEXT:
    case SC_F_BIN:
    case SC_F_RAW:
        return sizeof(struct sc_slice);
    case SC_F_DIGEST:
        return sizeof(struct sc_digest);
    case SC_F_STRUCT:
        return field->sub->size;
    case SC_F_LIST:
        return sizeof(struct list);
    }
    return UINT32_MAX;
}

bool sc_schema_is_valid(const struct sc_schema *schema)
{
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sc_field *field = &schema->fields[i];
        bool nested = field->type == SC_F_STRUCT || field->type == SC_F_LIST;
        if (nested != (field->sub != NULL) || (field->type == SC_F_ENUM && field->max == 0))
            return false;
        if ((uint64_t)field->offset + size_of(field) > schema->size)
            return false;
        if (!schema->positional && i > 0 && strcmp(schema->fields[i - 1].name, field->name) >= 0)
            return false;
        if (nested && field->sub != schema && !sc_schema_is_valid(field->sub))
            return false;
    }
    return schema->field_count > 0 && schema->field_count <= 64 &&
           (!schema->bare || (schema->positional && schema->field_count == 1));
}
