// Messages from strangers: whatever the bytes, decoding ends well or with a story, takes memory in proportion to them, and
// what was taken is written and read again the same.
#include "base/limits.h"
#include "base/memory.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SC_AUTO_ARENA struct sc_arena arena;
    SC_AUTO_BUF struct sc_buf first, second;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_message message, again;
    sc_arena_init(&arena);
    sc_buf_init(&first, 0);
    sc_buf_init(&second, 0);
    sc_message_peek_id(sc_slice(data, size));
    enum sc_rc rc =
        sc_message_decode(sc_slice(data, size), SC_LIMIT_MESSAGE_USER_BYTES, &arena, &message, &err);
    SC_ASSERT(arena.total_bytes <= (64u << 20) + 40 * size);
    if (rc != SC_OK) {
        SC_ASSERT(err.rc == rc && err.message[0]);
        return 0;
    }
    sc_message_encode(&message, &first);
    rc = sc_message_decode(sc_buf_slice(&first), SC_LIMIT_MESSAGE_AGENT_BYTES, &arena, &again, &err);
    SC_ASSERT(rc == SC_OK);
    sc_message_encode(&again, &second);
    SC_ASSERT(sc_slice_eq(sc_buf_slice(&first), sc_buf_slice(&second)));
    return 0;
}
