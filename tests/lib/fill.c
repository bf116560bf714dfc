#include "tests/lib/fill.h"

#include <stdio.h>

#include "base/memory.h"

struct list {
    void *items;
    uint32_t count;
};

struct filler {
    struct sc_arena *arena;
    uint32_t number; // of the value, so that no two are the same
};

static void fill_struct(struct filler *f, const struct sc_schema *schema, uint8_t *object);

static struct sc_slice fill_text(struct filler *f, const struct sc_field *field)
{
    struct sc_slice text = sc_arena_printf(f->arena, "%s %u", field->name, f->number);
    if (field->max && text.len > field->max)
        text.len = field->max;
    return text;
}

static void fill_field(struct filler *f, const struct sc_field *field, uint8_t *at)
{
    f->number++;
    switch (field->type) {
    case SC_F_BOOL:
        *(bool *)at = true;
        return;
    case SC_F_U32:
        *(uint32_t *)at = field->max && f->number > field->max ? field->max : f->number;
        return;
    case SC_F_ENUM:
        *(uint32_t *)at = field->max;
        return;
    case SC_F_U64:
        *(uint64_t *)at = (UINT64_C(1) << 32) + f->number;
        return;
    case SC_F_I64:
        *(int64_t *)at = -(int64_t)f->number;
        return;
    case SC_F_TEXT:
    case SC_F_BIN:
        *(struct sc_slice *)at = fill_text(f, field);
        return;
    case SC_F_RAW:
        *(struct sc_slice *)at = (struct sc_slice)SC_SLICE_LIT("\x92\xa3raw\x01");
        return;
    case SC_F_DIGEST:
        *(struct sc_digest *)at = sc_digest_of(fill_text(f, field));
        return;
    case SC_F_STRUCT:
        fill_struct(f, field->sub, at);
        return;
    case SC_F_LIST: {
        struct list list = {sc_arena_array(f->arena, 2, field->sub->size), 2};
        for (uint32_t i = 0; i < list.count; i++)
            fill_struct(f, field->sub, (uint8_t *)list.items + (size_t)i * field->sub->size);
        *(struct list *)at = list;
        return;
    }
    }
    SC_ASSERT(false);
}

static void fill_struct(struct filler *f, const struct sc_schema *schema, uint8_t *object)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        fill_field(f, &schema->fields[i], object + schema->fields[i].offset);
}

void sc_fill(const struct sc_schema *schema, struct sc_arena *arena, void *object)
{
    struct filler filler = {arena, 0};
    fill_struct(&filler, schema, object);
}

struct extent {
    size_t size, align;
};

static struct extent extent_of_struct(const struct sc_schema *schema);

static struct extent extent_of(const struct sc_field *field)
{
    switch (field->type) {
    case SC_F_BOOL:
        return (struct extent){sizeof(bool), _Alignof(bool)};
    case SC_F_U32:
    case SC_F_ENUM:
        return (struct extent){sizeof(uint32_t), _Alignof(uint32_t)};
    case SC_F_U64:
    case SC_F_I64:
        return (struct extent){sizeof(uint64_t), _Alignof(uint64_t)};
    case SC_F_TEXT:
    case SC_F_BIN:
    case SC_F_RAW:
        return (struct extent){sizeof(struct sc_slice), _Alignof(struct sc_slice)};
    case SC_F_DIGEST:
        return (struct extent){sizeof(struct sc_digest), _Alignof(struct sc_digest)};
    case SC_F_STRUCT:
        return extent_of_struct(field->sub);
    case SC_F_LIST:
        return (struct extent){sizeof(struct list), _Alignof(struct list)};
    }
    SC_ASSERT(false);
    return (struct extent){0, 1};
}

static struct extent extent_of_struct(const struct sc_schema *schema)
{
    struct extent all = {schema->size, 1};
    for (uint32_t i = 0; i < schema->field_count; i++) {
        size_t align = extent_of(&schema->fields[i]).align;
        all.align = align > all.align ? align : all.align;
    }
    return all;
}

static size_t align_up(size_t at, size_t align)
{
    return (at + align - 1) / align * align;
}

// The field that begins first at or after `at`, or NULL.
static const struct sc_field *field_from(const struct sc_schema *schema, size_t at)
{
    const struct sc_field *best = NULL;
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].offset >= at && (!best || schema->fields[i].offset < best->offset))
            best = &schema->fields[i];
    return best;
}

bool sc_fill_covers(const struct sc_schema *schema, struct sc_error *err)
{
    size_t at = 0;
    for (const struct sc_field *field; (field = field_from(schema, at));) {
        struct extent extent = extent_of(field);
        if (field->offset != align_up(at, extent.align)) {
            sc_error_set(err, SC_INVALID, "%s: a member before %s has no field", schema->name, field->name);
            return false;
        }
        at = field->offset + extent.size;
        if (field->sub && field->sub != schema && !sc_fill_covers(field->sub, err))
            return false;
    }
    if (align_up(at, extent_of_struct(schema).align) == schema->size)
        return true;
    sc_error_set(err, SC_INVALID, "%s: a member at the end has no field", schema->name);
    return false;
}
