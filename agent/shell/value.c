#include "agent/shell/value.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>

enum { DEPTH_MOST = 512, TOKEN_BYTES = 1024 };

// Of "1.5e-07".
static int exponent_of(const char *text)
{
    const char *e = strchr(text, 'e');
    return e ? (int)strtol(e + 1, NULL, 10) : 0;
}

// The fewest digits that read back as the same, written as Python's repr does: plain from 1e-4 up to 1e16, else with an
// exponent.
static void put_real(double value, struct sc_buf *out)
{
    char text[40];
    int decimals = 0;
    for (; decimals < 17; decimals++) {
        snprintf(text, sizeof text, "%.*e", decimals, value);
        if (strtod(text, NULL) == value)
            break;
    }
    int exponent = exponent_of(text);
    if (exponent >= -4 && exponent < 16)
        snprintf(text, sizeof text, "%.*f", decimals > exponent ? decimals - exponent : 1, value);
    sc_buf_add_str(out, text);
}

static void put_string(const char *bytes, size_t len, struct sc_buf *out)
{
    sc_buf_add_byte(out, '"');
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)bytes[i];
        static const char plain[] = {'b', 't', 'n', 0, 'f', 'r'}; // of 8 to 13
        if (c == '"' || c == '\\') {
            sc_buf_add_byte(out, '\\');
            sc_buf_add_byte(out, c);
        } else if (c >= 8 && c <= 13 && plain[c - 8]) {
            sc_buf_add_byte(out, '\\');
            sc_buf_add_byte(out, (uint8_t)plain[c - 8]);
        } else if (c < 0x20) {
            sc_buf_printf(out, "\\u%04x", c);
        } else {
            sc_buf_add_byte(out, c);
        }
    }
    sc_buf_add_byte(out, '"');
}

// False when it is nested too deeply.
static bool put_json(const json_t *json, int depth, struct sc_buf *out)
{
    const char *key;
    json_t *member;
    size_t index;
    bool first = true;
    if (depth == 0 || out->overflow)
        return depth != 0;
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        sc_buf_add_byte(out, '{');
        json_object_foreach((json_t *)(uintptr_t)json, key, member)
        {
            if (!first)
                sc_buf_add_byte(out, ',');
            first = false;
            put_string(key, strlen(key), out);
            sc_buf_add_byte(out, ':');
            if (!put_json(member, depth - 1, out))
                return false;
        }
        sc_buf_add_byte(out, '}');
        return true;
    case JSON_ARRAY:
        sc_buf_add_byte(out, '[');
        json_array_foreach(json, index, member)
        {
            if (index)
                sc_buf_add_byte(out, ',');
            if (!put_json(member, depth - 1, out))
                return false;
        }
        sc_buf_add_byte(out, ']');
        return true;
    case JSON_STRING:
        put_string(json_string_value(json), json_string_length(json), out);
        return true;
    case JSON_INTEGER:
        sc_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return true;
    case JSON_REAL:
        put_real(json_real_value(json), out);
        return true;
    case JSON_TRUE:
        sc_buf_add_str(out, "true");
        return true;
    case JSON_FALSE:
        sc_buf_add_str(out, "false");
        return true;
    case JSON_NULL:
        sc_buf_add_str(out, "null");
        return true;
    }
    return false;
}

// RFC 6901, section 4: ~1 is /, ~0 is ~.
static bool unescape(struct sc_slice token, char ret_text[TOKEN_BYTES])
{
    size_t used = 0;
    for (size_t i = 0; i < token.len; i++) {
        char c = (char)token.ptr[i];
        if (c == '~') {
            if (++i == token.len || (token.ptr[i] != '0' && token.ptr[i] != '1'))
                return false;
            c = token.ptr[i] == '0' ? '~' : '/';
        }
        if (used + 1 >= TOKEN_BYTES || c == 0)
            return false;
        ret_text[used++] = c;
    }
    ret_text[used] = 0;
    return true;
}

static const json_t *element(const json_t *array, const char *token)
{
    size_t index = 0;
    if (!*token || (token[0] == '0' && token[1]))
        return NULL;
    for (; *token; token++) {
        if (*token < '0' || *token > '9' || index > (SIZE_MAX - 9) / 10)
            return NULL;
        index = index * 10 + (size_t)(*token - '0');
    }
    return json_array_get(array, index);
}

static const json_t *follow(const json_t *json, struct sc_slice pointer)
{
    while (json && pointer.len) {
        char token[TOKEN_BYTES];
        if (pointer.ptr[0] != '/')
            return NULL;
        struct sc_slice rest = sc_slice_from(pointer, 1);
        const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
        size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
        if (!unescape(sc_slice(rest.ptr, len), token))
            return NULL;
        pointer = sc_slice_from(rest, len);
        json = json_is_array(json) ? element(json, token) : json_object_get(json, token);
    }
    return json;
}

enum sc_rc sc_value_extract(struct sc_slice json, struct sc_slice pointer, struct sc_arena *arena,
                            struct sc_slice *ret_text, struct sc_error *err)
{
    json_error_t bad;
    json_t *document = json_loadb((const char *)json.ptr, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &bad);
    if (!document)
        return sc_error_set(err, SC_MALFORMED, "line %d, column %d: no JSON: %s", bad.line, bad.column,
                            bad.text);
    const json_t *part = follow(document, pointer);
    enum sc_rc rc = SC_OK;
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, SC_LIMIT_VALUE_BYTES);
    if (!part)
        rc = sc_error_set(err, SC_NOT_FOUND, "nothing is at " SC_SLICE_FMT, SC_SLICE_ARG(pointer));
    else if (!put_json(part, DEPTH_MOST, &text))
        rc = sc_error_set(err, SC_LIMIT, "nested more than %d levels deep", DEPTH_MOST);
    else if (text.overflow)
        rc = sc_error_set(err, SC_LIMIT, "longer than the %u bytes that a value may have",
                          SC_LIMIT_VALUE_BYTES);
    else
        *ret_text = sc_arena_copy(arena, sc_buf_slice(&text));
    json_decref(document);
    return rc;
}
