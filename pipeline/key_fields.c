// A key's labelled fields: read back, kept in records, shown to people.
#include "pipeline/key.h"

#include "base/limits.h"
#include "base/memory.h"

struct sc_mp_reader sc_key_fields_begin(struct sc_slice encoding)
{
    struct sc_mp_reader reader = sc_mp_reader(encoding);
    uint32_t parts = sc_mp_get_array(&reader);
    struct sc_slice schema = sc_mp_get_str(&reader);
    sc_mp_get_array(&reader);
    if (parts != 2 || !sc_slice_eq_str(schema, "stepcache.key/1"))
        reader = (struct sc_mp_reader){reader.end, reader.end, true};
    return reader;
}

bool sc_key_fields_next(struct sc_mp_reader *reader, struct sc_key_field *ret_field)
{
    struct sc_key_field field;
    if (sc_mp_peek(reader) != SC_MP_ARRAY || sc_mp_get_array(reader) != 2)
        return false;
    field.label = sc_mp_get_str(reader);
    field.value = sc_mp_skip(reader, SC_LIMIT_MESSAGE_DEPTH);
    if (reader->failed)
        return false;
    *ret_field = field;
    return true;
}

static const struct sc_field key_field_fields[] = {
    SC_FIELD(struct sc_key_field, label, SC_F_TEXT),
    SC_FIELD(struct sc_key_field, value, SC_F_RAW),
};
SC_SCHEMA_POSITIONAL(sc_schema_key_field, "key field", struct sc_key_field, key_field_fields);

struct sc_key_fields sc_key_fields_for_record(struct sc_slice encoding, struct sc_arena *arena)
{
    struct sc_key_fields fields = {0};
    struct sc_mp_reader counting = sc_key_fields_begin(encoding), reader = counting;
    struct sc_key_field field;
    uint32_t count = 0;
    while (sc_key_fields_next(&counting, &field))
        count++;
    SC_ASSERT(sc_mp_finished(&counting));
    fields.items.items = SC_NEW_ARRAY(arena, count, struct sc_key_field);
    fields.items.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_key_field *to = &fields.items.items[i];
        SC_ASSERT(sc_key_fields_next(&reader, &field));
        to->label = sc_arena_copy(arena, field.label);
        if (field.value.len <= SC_LIMIT_FIELD_INLINE_BYTES) {
            to->value = sc_arena_copy(arena, field.value);
            continue;
        }
        struct sc_digest digest = sc_digest_of(field.value);
        SC_AUTO_BUF struct sc_buf encoded = {0};
        sc_mp_put_digest(&encoded, &digest);
        to->value = sc_arena_copy(arena, sc_buf_slice(&encoded));
    }
    return fields;
}

static void print_text(struct sc_slice text, struct sc_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '\n')
            sc_buf_add_str(out, "\\n");
        else if (c == '\t')
            sc_buf_add_str(out, "\\t");
        else if (c < 0x20 || c == 0x7f)
            sc_buf_printf(out, "\\x%02x", c);
        else
            sc_buf_add_byte(out, c);
    }
}

static void print_bytes(struct sc_slice bytes, struct sc_buf *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        sc_buf_add_byte(out, (uint8_t)digits[bytes.ptr[i] >> 4]);
        sc_buf_add_byte(out, (uint8_t)digits[bytes.ptr[i] & 15]);
    }
}

static void print_value(struct sc_mp_reader *reader, int depth, struct sc_buf *out)
{
    switch (sc_mp_peek(reader)) {
    case SC_MP_STR:
        print_text(sc_mp_get_str(reader), out);
        return;
    case SC_MP_BIN:
        print_bytes(sc_mp_get_bin(reader), out);
        return;
    case SC_MP_UINT:
        sc_buf_printf(out, "%ju", (uintmax_t)sc_mp_get_uint(reader));
        return;
    case SC_MP_INT:
        sc_buf_printf(out, "%jd", (intmax_t)sc_mp_get_int(reader));
        return;
    case SC_MP_BOOL:
        sc_buf_add_str(out, sc_mp_get_bool(reader) ? "true" : "false");
        return;
    case SC_MP_NIL:
        sc_mp_get_nil(reader);
        sc_buf_add_str(out, "null");
        return;
    case SC_MP_ARRAY: {
        uint32_t count = sc_mp_get_array(reader);
        sc_buf_add_byte(out, '[');
        for (uint32_t i = 0; i < count && depth > 0 && !reader->failed; i++) {
            if (i > 0)
                sc_buf_add_str(out, ", ");
            print_value(reader, depth - 1, out);
        }
        sc_buf_add_byte(out, ']');
        return;
    }
    case SC_MP_MAP: {
        uint32_t count = sc_mp_get_map(reader);
        sc_buf_add_byte(out, '{');
        for (uint32_t i = 0; i < count && depth > 0 && !reader->failed; i++) {
            if (i > 0)
                sc_buf_add_str(out, ", ");
            print_value(reader, depth - 1, out);
            sc_buf_add_str(out, ": ");
            print_value(reader, depth - 1, out);
        }
        sc_buf_add_byte(out, '}');
        return;
    }
    case SC_MP_END:
        reader->failed = true;
        return;
    }
}

// The longest prefix of at most `most` bytes that does not cut a character (RFC 3629).
static size_t cut(struct sc_slice text, size_t most)
{
    if (text.len <= most)
        return text.len;
    while (most > 0 && (text.ptr[most] & 0xC0) == 0x80)
        most--;
    return most;
}

void sc_key_value_print(struct sc_slice value, size_t max_bytes, struct sc_buf *out)
{
    static const char ellipsis[] = "…";
    SC_AUTO_BUF struct sc_buf text = {0};
    struct sc_mp_reader reader = sc_mp_reader(value);
    print_value(&reader, SC_LIMIT_MESSAGE_DEPTH, &text);
    struct sc_slice whole = sc_buf_slice(&text);
    if (whole.len <= max_bytes) {
        sc_buf_add_slice(out, whole);
        return;
    }
    size_t room = max_bytes > sizeof ellipsis - 1 ? max_bytes - (sizeof ellipsis - 1) : 0;
    sc_buf_add(out, whole.ptr, cut(whole, room));
    if (room > 0)
        sc_buf_add_str(out, ellipsis);
}
