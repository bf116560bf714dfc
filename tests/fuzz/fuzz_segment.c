// Bytes as the payload of a segment's part, and as a compressed part: reading them never breaks, and a part that is
// whole in itself is written again as the very same bytes.
#include "store/compress.h"
#include "store/segment.h"

#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sc_rc compare(void *context, uint32_t part, struct sc_slice compressed, struct sc_error *err)
{
    const struct sc_slice *payload = context;
    SC_AUTO_BUF struct sc_buf plain = {0};
    enum sc_rc rc = sc_decompress(compressed, payload->len, &plain, err);
    SC_ASSERT(part == 0 && rc == SC_OK && sc_slice_eq(sc_buf_slice(&plain), *payload));
    return SC_OK;
}

static struct sc_slice domain_of(struct sc_slice payload)
{
    struct sc_mp_reader reader = sc_mp_reader(payload);
    sc_mp_get_array(&reader);
    sc_mp_get_str(&reader);
    return sc_mp_get_str(&reader);
}

static void check_packed(struct sc_slice packed, struct sc_slice payload)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    struct sc_segment_part part;
    struct sc_slice domain = domain_of(payload);
    if (sc_segment_decode(packed, domain, &arena, &part, NULL) != SC_OK)
        return;
    SC_ASSERT(part.part < part.parts);
    if (part.parts != 1)
        return;
    enum sc_rc rc =
        sc_segment_encode(domain, part.records.items, part.records.count, compare, &payload, NULL);
    SC_ASSERT(rc == SC_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SC_AUTO_BUF struct sc_buf packed = {0}, plain = {0};
    struct sc_slice bytes = sc_slice(data, size);
    sc_compress(bytes, &packed);
    check_packed(sc_buf_slice(&packed), bytes);
    if (sc_decompress(bytes, 1 << 20, &plain, NULL) == SC_OK)
        check_packed(bytes, sc_buf_slice(&plain));
    return 0;
}
