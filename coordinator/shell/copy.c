#include "coordinator/shell/copy.h"

#include "base/memory.h"

struct list {
    uint8_t *items;
    uint32_t count;
};

static void own(const struct sc_schema *schema, struct sc_arena *arena, uint8_t *object);

static void own_list(const struct sc_schema *element, struct sc_arena *arena, struct list *list)
{
    if (list->count == 0) {
        list->items = NULL;
        return;
    }
    uint8_t *items = sc_arena_array(arena, list->count, element->size);
    memcpy(items, list->items, (size_t)list->count * element->size);
    for (uint32_t i = 0; i < list->count; i++)
        own(element, arena, items + (size_t)i * element->size);
    list->items = items;
}

// The struct's own bytes are copied already; what they point at is not.
static void own(const struct sc_schema *schema, struct sc_arena *arena, uint8_t *object)
{
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sc_field *field = &schema->fields[i];
        uint8_t *at = object + field->offset;
        switch (field->type) {
        case SC_F_TEXT:
        case SC_F_BIN:
        case SC_F_RAW: {
            struct sc_slice *slice = (struct sc_slice *)at;
            *slice = slice->len ? sc_arena_copy(arena, *slice) : sc_slice(NULL, 0);
            break;
        }
        case SC_F_STRUCT:
            own(field->sub, arena, at);
            break;
        case SC_F_LIST:
            own_list(field->sub, arena, (struct list *)at);
            break;
        case SC_F_BOOL:
        case SC_F_U32:
        case SC_F_U64:
        case SC_F_I64:
        case SC_F_ENUM:
        case SC_F_DIGEST:
            break;
        }
    }
}

void sc_copy_struct(const struct sc_schema *schema, const void *from, struct sc_arena *arena, void *ret_to)
{
    SC_ASSERT(from != NULL);
    if (from != ret_to)
        memcpy(ret_to, from, schema->size);
    own(schema, arena, ret_to);
}
