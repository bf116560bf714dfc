#include "base/artifact.h"

#include "base/limits.h"
#include "base/memory.h"

static const struct sc_field pack_fields[] = {
    SC_FIELD(struct sc_pack_ref, bytes, SC_F_U64),
    SC_FIELD(struct sc_pack_ref, digest, SC_F_DIGEST),
};
static SC_SCHEMA(pack_schema, "pack", struct sc_pack_ref, pack_fields);

static const struct sc_field artifact_fields[] = {
    SC_FIELD(struct sc_artifact, bytes, SC_F_U64),
    SC_FIELD(struct sc_artifact, digest, SC_F_DIGEST),
    SC_FIELD(struct sc_artifact, exec, SC_F_BOOL),
    SC_FIELD_MAX(struct sc_artifact, ext, SC_F_TEXT, 24),
    SC_FIELD(struct sc_artifact, files, SC_F_U64),
    SC_FIELD(struct sc_artifact, has_inline, SC_F_BOOL),
    {"inline", SC_F_BIN, offsetof(struct sc_artifact, inline_bytes), NULL, SC_LIMIT_LOG_INLINE_BYTES},
    SC_FIELD_MAX(struct sc_artifact, kind, SC_F_ENUM, SC_ARTIFACT_LIST),
    SC_FIELD(struct sc_artifact, metadata, SC_F_TEXT),
    SC_FIELD_SUB(struct sc_artifact, packs, SC_F_LIST, &pack_schema, 10000),
};
SC_SCHEMA(sc_schema_artifact, "artifact", struct sc_artifact, artifact_fields);

void sc_artifact_copy(struct sc_arena *arena, const struct sc_artifact *from, struct sc_artifact *ret_to)
{
    struct sc_artifact copy = *from;
    copy.ext = sc_arena_copy(arena, from->ext);
    copy.metadata = sc_arena_copy(arena, from->metadata);
    copy.inline_bytes = sc_arena_copy(arena, from->inline_bytes);
    if (from->packs.count) {
        copy.packs.items = SC_NEW_ARRAY(arena, from->packs.count, struct sc_pack_ref);
        memcpy(copy.packs.items, from->packs.items, from->packs.count * sizeof *from->packs.items);
    }
    *ret_to = copy;
}

bool sc_artifact_same(const struct sc_artifact *a, const struct sc_artifact *b)
{
    return a->kind == b->kind && (a->kind != SC_ARTIFACT_FILE || a->exec == b->exec) &&
           sc_digest_eq(&a->digest, &b->digest);
}

static bool is_ext_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

struct sc_slice sc_artifact_ext(struct sc_slice path)
{
    struct sc_slice none = sc_slice(NULL, 0);
    while (path.len && path.ptr[path.len - 1] == '/')
        path.len--;
    size_t start = path.len, dot;
    while (start > 0 && path.ptr[start - 1] != '/')
        start--;
    for (dot = path.len; dot > start && is_ext_byte(path.ptr[dot - 1]); dot--)
        ;
    if (dot <= start + 1 || path.ptr[dot - 1] != '.' || dot == path.len || path.len - dot > 16)
        return none;
    static const char *const packed[] = {"gz", "bz2", "xz", "zst"};
    struct sc_slice ext = sc_slice_from(path, dot - 1);
    for (size_t i = 0; i < SC_COUNT(packed); i++)
        if (sc_slice_eq_str(sc_slice_from(ext, 1), packed[i]) && dot - 1 > start + 4 &&
            memcmp(path.ptr + dot - 5, ".tar", 4) == 0)
            return sc_slice_from(path, dot - 5);
    return ext;
}
