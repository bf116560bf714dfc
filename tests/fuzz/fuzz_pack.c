// Bytes as a pack: reading it never breaks, and what its index says of a frame is so.
#include "store/pack.h"

#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    SC_AUTO_BUF struct sc_buf plain = {0};
    struct sc_slice pack = sc_slice(data, size);
    struct sc_pack_index index;
    if (sc_pack_read_index(pack, &arena, &index, NULL) != SC_OK)
        return 0;
    uint64_t packed = 0;
    for (uint32_t i = 0; i < index.frames.count; i++) {
        const struct sc_pack_frame *frame = &index.frames.items[i];
        SC_ASSERT(frame->at == packed && frame->packed <= size - packed);
        packed += frame->packed;
        if (sc_pack_read_frame(pack, frame, &plain, NULL) == SC_OK)
            SC_ASSERT(plain.len == frame->plain);
    }
    for (uint32_t i = 0; i < index.entries.count; i++) {
        const struct sc_pack_entry *e = &index.entries.items[i];
        SC_ASSERT(e->frame < index.frames.count);
        SC_ASSERT(e->offset <= index.frames.items[e->frame].plain &&
                  e->bytes <= index.frames.items[e->frame].plain - e->offset);
    }
    return 0;
}
