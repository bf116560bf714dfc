#include "store/segment.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/compress.h"

static const char version[] = "stepcache.segment/1";

// A part is tried at this size before compression, and halved when it comes out too large. What is at most SURE_BYTES
// fits however badly it compresses.
enum {
    TRY_BYTES = 24 << 20,
    SURE_BYTES = SC_LIMIT_SEGMENT_BYTES - (128 << 10),
    MAX_PARTS = 10000,
    MAX_RECORDS = 1000000
};
_Static_assert(SC_LIMIT_RECORD_BYTES < SURE_BYTES, "any one record fits a part");

struct range {
    uint32_t first, count;
};

static void encode_part(struct sc_slice domain, const struct sc_slice *records, struct range range,
                        uint32_t part, uint32_t parts, struct sc_buf *ret_plain,
                        struct sc_buf *ret_compressed)
{
    sc_buf_clear(ret_plain);
    sc_mp_put_array(ret_plain, 5);
    sc_mp_put_cstr(ret_plain, version);
    sc_mp_put_str(ret_plain, domain);
    sc_mp_put_uint(ret_plain, part);
    sc_mp_put_uint(ret_plain, parts);
    sc_mp_put_array(ret_plain, range.count);
    for (uint32_t i = 0; i < range.count; i++)
        sc_mp_put_bin(ret_plain, records[range.first + i]);
    SC_ASSERT(!ret_plain->overflow);
    sc_buf_clear(ret_compressed);
    sc_compress(sc_buf_slice(ret_plain), ret_compressed);
    SC_ASSERT(!ret_compressed->overflow);
}

// The longest run of records from `first` whose bytes stay under the bound, at least one.
static struct range take(const struct sc_slice *records, uint32_t first, uint32_t count, size_t bound,
                         size_t *ret_bytes)
{
    size_t bytes = 0;
    uint32_t n = 0;
    while (first + n < count && (n == 0 || bytes + records[first + n].len + 8 <= bound))
        bytes += records[first + n++].len + 8;
    *ret_bytes = bytes;
    return (struct range){first, n};
}

enum sc_rc sc_segment_encode(struct sc_slice domain, const struct sc_slice *records, uint32_t count,
                             sc_segment_part_fn emit, void *context, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf plain, compressed;
    sc_buf_init(&plain, 0);
    sc_buf_init(&compressed, 0);
    SC_AUTO_FREE struct range *ranges = sc_calloc(MAX_PARTS, sizeof *ranges);
    uint32_t parts = 0;
    for (uint32_t first = 0; first < count || parts == 0;) {
        if (parts == MAX_PARTS)
            return sc_error_set(err, SC_LIMIT, "a segment of more than %d parts", MAX_PARTS);
        size_t bound = TRY_BYTES, bytes;
        struct range range = take(records, first, count, bound, &bytes);
        for (;;) {
            // A part is compressed to learn its size, and again when there are several: they tell their number.
            if (bytes > SURE_BYTES || range.count == count)
                encode_part(domain, records, range, 0, 1, &plain, &compressed);
            if (bytes <= SURE_BYTES || compressed.len <= SC_LIMIT_SEGMENT_BYTES)
                break;
            bound = bound / 2 > SURE_BYTES ? bound / 2 : SURE_BYTES;
            range = take(records, first, count, bound, &bytes);
        }
        ranges[parts++] = range;
        first += range.count;
    }
    for (uint32_t i = 0; i < parts; i++) {
        if (parts > 1)
            encode_part(domain, records, ranges[i], i, parts, &plain, &compressed);
        SC_ASSERT(compressed.len <= SC_LIMIT_SEGMENT_BYTES);
        enum sc_rc rc = emit(context, i, sc_buf_slice(&compressed), err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

static enum sc_rc decode_plain(struct sc_slice bytes, struct sc_slice domain, struct sc_arena *arena,
                               struct sc_segment_part *ret_segment, struct sc_error *err)
{
    struct sc_mp_reader reader = sc_mp_reader(bytes);
    uint32_t count = sc_mp_get_array(&reader);
    struct sc_slice v = sc_mp_get_str(&reader);
    if (!reader.failed && !sc_slice_eq_str(v, version) && sc_slice_starts(v, "stepcache.segment/"))
        return sc_error_set(err, SC_VERSION, "segment of the unknown version " SC_SLICE_FMT,
                            (int)(v.len < 64 ? v.len : 64), (const char *)v.ptr);
    struct sc_slice found = sc_mp_get_str(&reader);
    uint64_t part = sc_mp_get_uint(&reader), parts = sc_mp_get_uint(&reader);
    uint32_t records = sc_mp_get_array(&reader);
    if (reader.failed || count != 5 || !sc_slice_eq_str(v, version) || parts == 0 || parts > MAX_PARTS ||
        part >= parts || records > MAX_RECORDS)
        return sc_error_set(err, SC_MALFORMED, "segment: not of the form of %s", version);
    if (!sc_slice_eq(found, domain))
        return sc_error_set(err, SC_CORRUPT, "segment of another domain");
    struct sc_segment_part segment = {.part = (uint32_t)part, .parts = (uint32_t)parts};
    segment.records.items = SC_NEW_ARRAY(arena, records, struct sc_slice);
    segment.records.count = records;
    for (uint32_t i = 0; i < records; i++)
        segment.records.items[i] = sc_mp_get_bin(&reader);
    if (!sc_mp_finished(&reader))
        return sc_error_set(err, SC_MALFORMED, "segment: it ends early or late");
    *ret_segment = segment;
    return SC_OK;
}

enum sc_rc sc_segment_decode(struct sc_slice compressed, struct sc_slice domain, struct sc_arena *arena,
                             struct sc_segment_part *ret_segment, struct sc_error *err)
{
    if (compressed.len > SC_LIMIT_SEGMENT_BYTES)
        return sc_error_set(err, SC_CORRUPT, "segment part of %zu bytes", compressed.len);
    SC_AUTO_BUF struct sc_buf plain;
    sc_buf_init(&plain, 0);
    enum sc_rc rc = sc_decompress(compressed, (size_t)16 * SC_LIMIT_SEGMENT_BYTES, &plain, err);
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "segment");
    return decode_plain(sc_arena_copy(arena, sc_buf_slice(&plain)), domain, arena, ret_segment, err);
}
