#include "proto/message.h"
#include "proto/message_schema.h"

#include "base/memory.h"

static const struct {
    struct sc_slice name;
    const struct sc_schema *schema;
} types[SC_MESSAGE_COUNT] = {
#define X(name, NAME) [SC_MESSAGE_##NAME] = {SC_SLICE_LIT(#name), &sc_schema_msg_##name},
    SC_MESSAGE_TABLE(X)
#undef X
};

static const char *const outcome_names[SC_OUTCOME_COUNT] = {
#define X(NAME, text) [SC_OUTCOME_##NAME] = text,
    SC_OUTCOME_TABLE(X)
#undef X
};

static const char *const reason_names[SC_REASON_COUNT] = {
#define X(NAME, text) [SC_REASON_##NAME] = text,
    SC_REASON_TABLE(X)
#undef X
};

static const char *const event_names[SC_EV_COUNT] = {
    [SC_EV_RUN_STARTED] = "run.started",
    [SC_EV_STEP_VERDICT] = "step.verdict",
    [SC_EV_STEP_STARTED] = "step.started",
    [SC_EV_STEP_PROGRESS] = "step.progress",
    [SC_EV_STEP_LOG] = "step.log",
    [SC_EV_STEP_RETRY] = "step.retry",
    [SC_EV_STEP_FINISHED] = "step.finished",
    [SC_EV_RUN_FINISHED] = "run.finished",
    [SC_EV_ERROR] = "error",
    [SC_EV_NOTE] = "note",
};

static const char *const end_state_names[] = {
    [SC_END_NONE] = "",           [SC_END_DONE] = "done",
    [SC_END_FAILED] = "failed",   [SC_END_CANCELLED] = "cancelled",
    [SC_END_SKIPPED] = "skipped",
};

const char *sc_outcome_name(enum sc_outcome outcome)
{
    SC_ASSERT((unsigned)outcome < SC_OUTCOME_COUNT);
    return outcome_names[outcome];
}

const char *sc_reason_name(enum sc_reason reason)
{
    SC_ASSERT((unsigned)reason < SC_REASON_COUNT);
    return reason_names[reason];
}

const char *sc_event_type_name(enum sc_event_type type)
{
    SC_ASSERT((unsigned)type < SC_EV_COUNT);
    return event_names[type];
}

const char *sc_end_state_name(enum sc_end_state state)
{
    SC_ASSERT((unsigned)state < SC_COUNT(end_state_names));
    return end_state_names[state];
}

const char *sc_message_type_name(enum sc_message_type type)
{
    SC_ASSERT((unsigned)type < SC_MESSAGE_COUNT);
    return (const char *)types[type].name.ptr;
}

const struct sc_schema *sc_message_schema(enum sc_message_type type)
{
    SC_ASSERT((unsigned)type < SC_MESSAGE_COUNT);
    return types[type].schema;
}

void sc_message_encode(const struct sc_message *message, struct sc_buf *out)
{
    SC_ASSERT((unsigned)message->type < SC_MESSAGE_COUNT);
    sc_mp_put_array(out, 4);
    sc_mp_put_uint(out, SC_PROTO_VERSION);
    sc_mp_put_str(out, types[message->type].name);
    sc_mp_put_uint(out, message->id);
    sc_encode(types[message->type].schema, &message->body, out);
}

// The smallest struct on the wire is one byte (an empty map) and some hundred in memory, and a list's count is only
// bounded by the bytes that are left. A large frame may hold one map for every 8 of its bytes, which any well-meant
// message does by far: what is decoded then takes at most some 30 times the frame.
enum { DENSE_FREE_BYTES = 64 << 10, BYTES_A_MAP = 8 };

static uint64_t count_maps(struct sc_mp_reader *reader, int depth)
{
    enum sc_mp_type type = sc_mp_peek(reader);
    if (type != SC_MP_MAP && type != SC_MP_ARRAY) {
        sc_mp_skip(reader, 0);
        return 0;
    }
    bool map = type == SC_MP_MAP;
    uint64_t count = map ? 2 * (uint64_t)sc_mp_get_map(reader) : sc_mp_get_array(reader), maps = map;
    if (depth == 0)
        reader->failed = true;
    for (uint64_t i = 0; i < count && !reader->failed; i++)
        maps += count_maps(reader, depth - 1);
    return maps;
}

static enum sc_rc check_density(struct sc_slice frame, struct sc_error *err)
{
    if (frame.len <= DENSE_FREE_BYTES)
        return SC_OK;
    struct sc_mp_reader reader = sc_mp_reader(frame);
    uint64_t maps = count_maps(&reader, SC_LIMIT_MESSAGE_DEPTH + 2);
    if (!sc_mp_finished(&reader))
        return sc_error_set(err, SC_MALFORMED, "message: not one value, or nested too deeply");
    if (maps * BYTES_A_MAP > frame.len)
        return sc_error_set(err, SC_LIMIT, "message: %ju maps in %zu bytes are too many", (uintmax_t)maps,
                            frame.len);
    return SC_OK;
}

// Reads [version, type, id and leaves the reader at the body.
static enum sc_rc read_head(struct sc_mp_reader *reader, enum sc_message_type *ret_type, uint64_t *ret_id,
                            struct sc_error *err)
{
    uint32_t count = sc_mp_get_array(reader);
    uint64_t version = sc_mp_get_uint(reader);
    if (reader->failed || count == 0)
        return sc_error_set(err, SC_MALFORMED, "message: not an array that begins with a version");
    if (version != SC_PROTO_VERSION)
        return sc_error_set(err, SC_VERSION, "message of version %ju where %d is known", (uintmax_t)version,
                            SC_PROTO_VERSION);
    struct sc_slice name = sc_mp_get_str(reader);
    uint64_t id = sc_mp_get_uint(reader);
    if (reader->failed || count != 4)
        return sc_error_set(err, SC_MALFORMED, "message: not [version, type, id, body]");
    for (int i = 0; i < SC_MESSAGE_COUNT; i++)
        if (sc_slice_eq(types[i].name, name)) {
            *ret_type = (enum sc_message_type)i;
            *ret_id = id;
            return SC_OK;
        }
    if (name.len > SC_LIMIT_NAME_BYTES || !sc_slice_is_utf8(name))
        return sc_error_set(err, SC_VERSION, "message of an unknown type");
    return sc_error_set(err, SC_VERSION, "message of unknown type \"" SC_SLICE_FMT "\"", SC_SLICE_ARG(name));
}

enum sc_rc sc_message_decode(struct sc_slice frame, size_t max_bytes, struct sc_arena *arena,
                             struct sc_message *ret_message, struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_ERROR};
    if (frame.len > max_bytes)
        return sc_error_set(err, SC_LIMIT, "message of %zu bytes where %zu are allowed", frame.len,
                            max_bytes);
    struct sc_mp_reader reader = sc_mp_reader(frame);
    enum sc_rc rc = read_head(&reader, &message.type, &message.id, err);
    if (rc != SC_OK)
        return rc;
    rc = check_density(frame, err);
    if (rc != SC_OK)
        return rc;
    rc = sc_decode_next(types[message.type].schema, &reader, SC_DECODE_LENIENT, arena, &message.body, err);
    if (rc != SC_OK)
        return rc;
    if (!sc_mp_finished(&reader))
        return sc_error_set(err, SC_MALFORMED, "message: bytes follow its end");
    *ret_message = message;
    return SC_OK;
}

uint64_t sc_message_peek_id(struct sc_slice frame)
{
    struct sc_mp_reader reader = sc_mp_reader(frame);
    sc_mp_get_array(&reader);
    sc_mp_skip(&reader, 0);
    sc_mp_skip(&reader, 0);
    uint64_t id = sc_mp_get_uint(&reader);
    return reader.failed ? 0 : id;
}
