// What changed between two values of one key field, as people read it: only the part that differs.
#include "pipeline/key.h"

#include "base/limits.h"
#include "base/memory.h"

enum { SHOWN_BYTES = 200, CONTEXT_BYTES = 16 };

struct items {
    struct sc_slice *texts;
    uint32_t count;
    bool set; // the order means nothing: packages
    char joint;
};

static void add_segment(struct sc_mp_reader *reader, struct sc_buf *out)
{
    if (sc_mp_peek(reader) == SC_MP_STR) {
        sc_buf_add_slice(out, sc_mp_get_str(reader));
        return;
    }
    uint32_t count = sc_mp_get_array(reader);
    struct sc_slice kind = sc_mp_get_str(reader),
                    text = count == 2 ? sc_mp_get_str(reader) : sc_slice(NULL, 0);
    bool in = sc_slice_eq_str(kind, "in"), port = in || sc_slice_eq_str(kind, "out");
    if (port)
        sc_buf_add_str(out, in ? "${inputs." : "${outputs.");
    sc_buf_add_slice(out, text);
    if (port)
        sc_buf_add_byte(out, '}');
}

// The text of [segments].
static struct sc_slice word_text(struct sc_mp_reader *reader, struct sc_arena *arena)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    uint32_t count = sc_mp_get_array(reader);
    for (uint32_t i = 0; i < count && !reader->failed; i++)
        add_segment(reader, &text);
    return sc_arena_copy(arena, sc_buf_slice(&text));
}

static struct items lines_of(struct sc_slice text, struct sc_arena *arena)
{
    struct items items = {.joint = ' '};
    items.texts = SC_NEW_ARRAY(arena, text.len + 1, struct sc_slice);
    while (text.len) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        items.texts[items.count++] = sc_slice(text.ptr, len);
        text = sc_slice_from(text, end ? len + 1 : len);
    }
    return items;
}

static struct items whole(struct sc_slice value, struct sc_arena *arena)
{
    struct items items = {.texts = SC_NEW(arena, struct sc_slice), .count = 1, .joint = ' '};
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_key_value_print(value, SC_LIMIT_VALUE_BYTES, &text);
    items.texts[0] = sc_arena_copy(arena, sc_buf_slice(&text));
    return items;
}

// A source by its versions, as people write it.
static struct items address(struct sc_slice identity, struct sc_arena *arena)
{
    struct items items = {.texts = SC_NEW(arena, struct sc_slice), .count = 1, .joint = ' '};
    struct sc_mp_reader reader = sc_mp_reader(identity);
    bool server = sc_mp_get_array(&reader) == 5, one = sc_slice_eq_str(sc_mp_get_str(&reader), "version");
    struct sc_slice bucket = sc_mp_get_str(&reader), key = sc_mp_get_str(&reader);
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_buf_printf(&text, "s3://" SC_SLICE_FMT "/" SC_SLICE_FMT "%s", SC_SLICE_ARG(bucket), SC_SLICE_ARG(key),
                  one       ? "?versionId="
                  : key.len ? "/ versions "
                            : " versions ");
    sc_key_value_print(sc_mp_skip(&reader, 1), SC_LIMIT_VALUE_BYTES, &text);
    if (server) {
        sc_buf_add_str(&text, " on ");
        sc_buf_add_slice(&text, sc_mp_get_str(&reader));
    }
    items.texts[0] = sc_arena_copy(arena, sc_buf_slice(&text));
    return items;
}

static bool is_command(struct sc_slice label)
{
    return sc_slice_eq_str(label, "command");
}

static struct items command_items(struct sc_mp_reader *reader, uint32_t count, struct sc_arena *arena)
{
    bool script = sc_slice_eq_str(sc_mp_get_str(reader), "sh");
    if (script)
        return lines_of(word_text(reader, arena), arena);
    struct items items = {.texts = SC_NEW_ARRAY(arena, count, struct sc_slice), .joint = ' '};
    for (uint32_t i = 1; i < count && !reader->failed; i++)
        items.texts[items.count++] = word_text(reader, arena);
    return items;
}

static struct items items_of(struct sc_slice label, struct sc_slice value, struct sc_arena *arena)
{
    struct sc_mp_reader reader = sc_mp_reader(value);
    if (value.len == 0)
        return (struct items){.joint = ' '};
    if (sc_slice_starts(label, "input.") && sc_key_identity_is_sound(value))
        return address(value, arena);
    if (sc_mp_peek(&reader) != SC_MP_ARRAY)
        return whole(value, arena);
    uint32_t count = sc_mp_get_array(&reader);
    if (is_command(label) && count > 0)
        return command_items(&reader, count, arena);
    if (sc_slice_starts(label, "env.")) {
        struct sc_mp_reader again = sc_mp_reader(value);
        struct items items = {.texts = SC_NEW(arena, struct sc_slice), .count = 1, .joint = ' '};
        items.texts[0] = word_text(&again, arena);
        return items;
    }
    struct items items = {.texts = SC_NEW_ARRAY(arena, count, struct sc_slice), .set = true, .joint = ','};
    for (; items.count < count && sc_mp_peek(&reader) == SC_MP_STR; items.count++)
        items.texts[items.count] = sc_mp_get_str(&reader);
    return items.count == count && sc_slice_starts(label, "environment.") ? items : whole(value, arena);
}

static void add_text(struct sc_buf *out, struct sc_slice text)
{
    for (size_t i = 0; i < text.len && out->len < SHOWN_BYTES; i++) {
        uint8_t c = text.ptr[i];
        if (c == '\n')
            sc_buf_add_str(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            sc_buf_printf(out, "\\x%02x", c);
        else
            sc_buf_add_byte(out, c);
    }
    while (out->len >= SHOWN_BYTES && (out->ptr[out->len - 1] & 0xC0) == 0x80)
        out->len--;
    if (out->len >= SHOWN_BYTES) {
        out->len--;
        sc_buf_add_str(out, "…");
    }
}

static void add_items(struct sc_buf *out, const struct items *items, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to && out->len < SHOWN_BYTES; i++) {
        if (i > from)
            sc_buf_add_str(out, items->joint == ',' ? ", " : " ");
        add_text(out, items->texts[i]);
    }
}

static int by_text(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

// What only one of two sorted sets holds.
static void add_only(struct sc_buf *out, const struct items *these, const struct items *others)
{
    bool first = true;
    for (uint32_t i = 0; i < these->count && out->len < SHOWN_BYTES; i++) {
        if (bsearch(&these->texts[i], others->texts, others->count, sizeof *others->texts, by_text))
            continue;
        if (!first)
            sc_buf_add_str(out, ", ");
        first = false;
        add_text(out, these->texts[i]);
    }
}

static size_t to_character(struct sc_slice text, size_t at)
{
    while (at > 0 && at < text.len && (text.ptr[at] & 0xC0) == 0x80)
        at--;
    return at;
}

// One text beside another: what they share at both ends is left out, but for a little context.
static void add_difference(struct sc_buf *out, struct sc_slice text, size_t prefix, size_t suffix)
{
    size_t from = prefix > CONTEXT_BYTES ? to_character(text, prefix - CONTEXT_BYTES) : 0;
    size_t to = suffix > CONTEXT_BYTES ? to_character(text, text.len - suffix + CONTEXT_BYTES) : text.len;
    if (text.len <= SHOWN_BYTES / 2) {
        from = 0;
        to = text.len;
    }
    if (from > 0)
        sc_buf_add_str(out, "…");
    add_text(out, sc_slice(text.ptr + from, to - from));
    if (to < text.len && out->len < SHOWN_BYTES)
        sc_buf_add_str(out, "…");
}

static void two_texts(struct sc_slice a, struct sc_slice b, struct sc_buf *ret_a, struct sc_buf *ret_b)
{
    size_t least = a.len < b.len ? a.len : b.len, prefix = 0, suffix = 0;
    while (prefix < least && a.ptr[prefix] == b.ptr[prefix])
        prefix++;
    while (suffix < least - prefix && a.ptr[a.len - 1 - suffix] == b.ptr[b.len - 1 - suffix])
        suffix++;
    add_difference(ret_a, a, prefix, suffix);
    add_difference(ret_b, b, prefix, suffix);
}

void sc_key_change_print(struct sc_slice label, struct sc_slice old_value, struct sc_slice new_value,
                         struct sc_buf *ret_old, struct sc_buf *ret_new)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct items old = items_of(label, old_value, &arena), new = items_of(label, new_value, &arena);
    if (old.set && new.set) {
        add_only(ret_old, &old, &new);
        add_only(ret_new, &new, &old);
        return;
    }
    uint32_t least = old.count < new.count ? old.count : new.count, prefix = 0, suffix = 0;
    while (prefix < least && sc_slice_eq(old.texts[prefix], new.texts[prefix]))
        prefix++;
    while (suffix < least - prefix &&
           sc_slice_eq(old.texts[old.count - 1 - suffix], new.texts[new.count - 1 - suffix]))
        suffix++;
    if (old.count - prefix - suffix == 1 && new.count - prefix - suffix == 1) {
        // A flag says what its value is: `--depth 5`.
        if (is_command(label) && prefix > 0 && old.texts[prefix - 1].len &&
            old.texts[prefix - 1].ptr[0] == '-')
            for (int side = 0; side < 2; side++) {
                add_text(side ? ret_new : ret_old, old.texts[prefix - 1]);
                sc_buf_add_byte(side ? ret_new : ret_old, ' ');
            }
        two_texts(old.texts[prefix], new.texts[prefix], ret_old, ret_new);
        return;
    }
    add_items(ret_old, &old, prefix, old.count - suffix);
    add_items(ret_new, &new, prefix, new.count - suffix);
}
