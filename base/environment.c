#include "base/environment.h"

#include "base/memory.h"

static const struct sc_field part_fields[] = {
    SC_FIELD_MAX(struct sc_environment_part, name, SC_F_TEXT, 64),
    SC_FIELD(struct sc_environment_part, value, SC_F_RAW),
};
static SC_SCHEMA_POSITIONAL(part_schema, "environment part", struct sc_environment_part, part_fields);
static const struct sc_field environment_fields[] = {
    SC_FIELD_SUB(struct sc_environment, parts, SC_F_LIST, &part_schema, 64),
};
SC_SCHEMA_POSITIONAL(sc_schema_environment, "environment", struct sc_environment, environment_fields);

void sc_environment_copy(struct sc_arena *arena, const struct sc_environment *from,
                         struct sc_environment *ret_to)
{
    struct sc_environment copy = {
        .parts = {SC_NEW_ARRAY(arena, from->parts.count, struct sc_environment_part), from->parts.count}};
    for (uint32_t i = 0; i < from->parts.count; i++) {
        copy.parts.items[i].name = sc_arena_copy(arena, from->parts.items[i].name);
        copy.parts.items[i].value = sc_arena_copy(arena, from->parts.items[i].value);
    }
    *ret_to = copy;
}

static bool is_in(const sc_text_list *names, struct sc_slice name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (sc_slice_eq(names->items[i], name))
            return true;
    return false;
}

struct sc_environment sc_environment_without(struct sc_arena *arena, const struct sc_environment *environment,
                                             const sc_text_list *ignored)
{
    struct sc_environment left = {
        .parts = {SC_NEW_ARRAY(arena, environment->parts.count, struct sc_environment_part), 0}};
    for (uint32_t i = 0; i < environment->parts.count; i++)
        if (!is_in(ignored, environment->parts.items[i].name))
            left.parts.items[left.parts.count++] = environment->parts.items[i];
    return left;
}

struct sc_digest sc_environment_digest(const struct sc_environment *environment)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_encode(&sc_schema_environment, environment, &buf);
    return sc_digest_of(sc_buf_slice(&buf));
}
