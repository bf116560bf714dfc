#include "tests/unit/store_test.h"

#include "base/limits.h"
#include "store/compress.h"
#include "store/segment.h"

#define MAIN sc_slice_str("main")

struct parts {
    struct sc_buf items[16];
    uint32_t count;
    uint32_t fail_at; // 0: never
};

static enum sc_rc keep_part(void *context, uint32_t part, struct sc_slice compressed, struct sc_error *err)
{
    struct parts *parts = context;
    assert_int_equal(part, parts->count);
    assert_true(compressed.len <= SC_LIMIT_SEGMENT_BYTES);
    if (parts->fail_at && part + 1 == parts->fail_at)
        return sc_error_set(err, SC_FULL, "full");
    assert_true(parts->count < SC_COUNT(parts->items));
    sc_buf_init(&parts->items[parts->count], 0);
    sc_buf_add_slice(&parts->items[parts->count++], compressed);
    return SC_OK;
}

static void parts_done(struct parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++)
        sc_buf_done(&parts->items[i]);
}

static enum sc_rc decode(const struct sc_buf *part, struct sc_arena *arena,
                         struct sc_segment_part *ret_segment)
{
    struct sc_error err = SC_ERROR_INIT;
    return sc_segment_decode(sc_buf_slice(part), MAIN, arena, ret_segment, &err);
}

static void test_segment_payload_bytes_are_pinned(void **state)
{
    (void)state;
    struct parts parts = {.count = 0};
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf plain;
    const struct sc_slice records[] = {sc_slice_str("first"), sc_slice_str("second"), sc_slice_str("")};
    sc_buf_init(&plain, 0);
    assert_ok(sc_segment_encode(MAIN, records, 3, keep_part, &parts, &err), err);
    assert_int_equal(parts.count, 1);
    assert_ok(sc_decompress(sc_buf_slice(&parts.items[0]), 1000, &plain, &err), err);
    assert_golden("segment/three.hex", sc_buf_slice(&plain));
    parts_done(&parts);
}

static void test_segment_decode_gives_back_the_records(void **state)
{
    (void)state;
    struct parts parts = {.count = 0};
    struct sc_error err = SC_ERROR_INIT;
    struct sc_segment_part segment;
    SC_AUTO_ARENA struct sc_arena arena;
    const struct sc_slice records[] = {sc_slice_str("first"), sc_slice_str("second")};
    sc_arena_init(&arena);
    assert_ok(sc_segment_encode(MAIN, records, 2, keep_part, &parts, &err), err);
    assert_rc(decode(&parts.items[0], &arena, &segment), SC_OK);
    assert_int_equal(segment.part, 0);
    assert_int_equal(segment.parts, 1);
    assert_int_equal(segment.records.count, 2);
    assert_slice(segment.records.items[1], "second");
    assert_rc(sc_segment_decode(sc_buf_slice(&parts.items[0]), sc_slice_str("other"), &arena, &segment, &err),
              SC_CORRUPT);
    parts_done(&parts);
}

static void test_segment_of_no_records_is_one_empty_part(void **state)
{
    (void)state;
    struct parts parts = {.count = 0};
    struct sc_error err = SC_ERROR_INIT;
    struct sc_segment_part segment;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    assert_ok(sc_segment_encode(MAIN, NULL, 0, keep_part, &parts, &err), err);
    assert_int_equal(parts.count, 1);
    assert_rc(decode(&parts.items[0], &arena, &segment), SC_OK);
    assert_int_equal(segment.records.count, 0);
    parts_done(&parts);
}

static void test_segment_too_large_for_one_part_becomes_several_each_within_the_limit(void **state)
{
    (void)state;
    // 30 MiB that no compression makes smaller, then 30 MiB that become next to nothing.
    enum { RECORDS = 240, BYTES = 256 << 10 };
    struct parts parts = {.count = 0};
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_ARENA struct sc_arena arena;
    SC_AUTO_FREE uint64_t *random = sc_calloc(RECORDS / 2, BYTES);
    SC_AUTO_FREE uint8_t *zeros = sc_calloc(BYTES, 1);
    struct sc_slice records[RECORDS];
    uint64_t x = 88172645463325252u;
    sc_arena_init(&arena);
    for (size_t i = 0; i < (size_t)RECORDS / 2 * BYTES / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        random[i] = x;
    }
    for (uint32_t i = 0; i < RECORDS; i++)
        records[i] =
            i < RECORDS / 2 ? sc_slice(random + (size_t)i * BYTES / 8, BYTES) : sc_slice(zeros, BYTES);
    assert_ok(sc_segment_encode(MAIN, records, RECORDS, keep_part, &parts, &err), err);
    assert_true(parts.count >= 4 && parts.count <= 8);
    uint32_t at = 0;
    for (uint32_t i = 0; i < parts.count; i++) {
        struct sc_segment_part segment;
        assert_rc(decode(&parts.items[i], &arena, &segment), SC_OK);
        assert_int_equal(segment.part, i);
        assert_int_equal(segment.parts, parts.count);
        for (uint32_t k = 0; k < segment.records.count; k++)
            assert_true(sc_slice_eq(segment.records.items[k], records[at++]));
    }
    assert_int_equal(at, RECORDS);
    parts_done(&parts);
}

static void test_segment_encode_stops_where_a_part_cannot_be_written(void **state)
{
    (void)state;
    struct parts parts = {.count = 0, .fail_at = 1};
    struct sc_error err = SC_ERROR_INIT;
    const struct sc_slice records[] = {sc_slice_str("first")};
    assert_rc(sc_segment_encode(MAIN, records, 1, keep_part, &parts, &err), SC_FULL);
    assert_string_equal(err.message, "full");
}

static enum sc_rc decode_plain(const struct sc_buf *plain)
{
    SC_AUTO_BUF struct sc_buf packed;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_segment_part segment;
    sc_buf_init(&packed, 0);
    sc_arena_init(&arena);
    sc_compress(sc_buf_slice(plain), &packed);
    return decode(&packed, &arena, &segment);
}

static void test_segment_container_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        uint32_t fields, part, parts, claimed;
        enum sc_rc rc;
    } cases[] = {
        {"stepcache.segment/1", 5, 0, 1, 1, SC_OK},
        {"stepcache.segment/1", 5, 1, 2, 1, SC_OK},
        {"stepcache.segment/2", 5, 0, 1, 1, SC_VERSION},
        {"something", 5, 0, 1, 1, SC_MALFORMED},
        {"stepcache.segment/1", 6, 0, 1, 1, SC_MALFORMED},
        {"stepcache.segment/1", 5, 1, 1, 1, SC_MALFORMED},
        {"stepcache.segment/1", 5, 0, 0, 1, SC_MALFORMED},
        {"stepcache.segment/1", 5, 0, 20000, 1, SC_MALFORMED},
        {"stepcache.segment/1", 5, 0, 1, 2, SC_MALFORMED},
        {"stepcache.segment/1", 5, 0, 1, 0, SC_MALFORMED},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_BUF struct sc_buf plain;
        sc_buf_init(&plain, 0);
        sc_mp_put_array(&plain, cases[i].fields);
        sc_mp_put_cstr(&plain, cases[i].version);
        sc_mp_put_cstr(&plain, "main");
        sc_mp_put_uint(&plain, cases[i].part);
        sc_mp_put_uint(&plain, cases[i].parts);
        sc_mp_put_array(&plain, cases[i].claimed);
        sc_mp_put_bin(&plain, sc_slice_str("record"));
        assert_rc(decode_plain(&plain), cases[i].rc);
    }
}

static void test_segment_that_is_no_single_whole_frame_is_corrupt(void **state)
{
    (void)state;
    struct parts parts = {.count = 0};
    struct sc_error err = SC_ERROR_INIT;
    struct sc_segment_part segment;
    SC_AUTO_ARENA struct sc_arena arena;
    const struct sc_slice records[] = {sc_slice_str("first")};
    sc_arena_init(&arena);
    assert_ok(sc_segment_encode(MAIN, records, 1, keep_part, &parts, &err), err);
    struct sc_buf *part = &parts.items[0];
    for (size_t len = 0; len < part->len; len++)
        assert_rc(sc_segment_decode(sc_slice(part->ptr, len), MAIN, &arena, &segment, &err), SC_CORRUPT);
    sc_buf_add(part, part->ptr, part->len / 2);
    assert_rc(decode(part, &arena, &segment), SC_CORRUPT);
    parts_done(&parts);
}

// Rot of what is compressed may come out as other bytes in a container that is whole: the records' own checksums tell.
static void test_segment_with_any_bit_flipped_gives_the_record_or_none(void **state)
{
    (void)state;
    struct parts parts = {.count = 0};
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_digest key = {{1}};
    struct sc_record_value value = {SC_SLICE_LIT("accuracy"), SC_SLICE_LIT("0.125")};
    struct sc_record record = {.v = SC_SLICE_LIT("stepcache.record/1"),
                               .domain = MAIN,
                               .key = key,
                               .generation = 1,
                               .values = {&value, 1}};
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    struct sc_slice records[] = {sc_buf_slice(&bytes)};
    assert_ok(sc_segment_encode(MAIN, records, 1, keep_part, &parts, &err), err);
    uint32_t whole = 0, refused = 0;
    for (size_t i = 0; i < parts.items[0].len * 8; i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_segment_part segment;
        struct sc_record found;
        sc_arena_init(&arena);
        parts.items[0].ptr[i / 8] ^= (uint8_t)(1 << i % 8);
        if (decode(&parts.items[0], &arena, &segment) == SC_OK && segment.records.count == 1) {
            enum sc_rc rc = sc_record_decode(segment.records.items[0], MAIN, &key, &arena, &found, &err);
            assert_true(rc != SC_OK || sc_slice_eq(segment.records.items[0], records[0]));
            refused += rc != SC_OK;
        }
        whole++;
        parts.items[0].ptr[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_true(refused > whole / 2); // most of a segment is its records' bytes
    parts_done(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segment_payload_bytes_are_pinned),
        cmocka_unit_test(test_segment_decode_gives_back_the_records),
        cmocka_unit_test(test_segment_of_no_records_is_one_empty_part),
        cmocka_unit_test(test_segment_too_large_for_one_part_becomes_several_each_within_the_limit),
        cmocka_unit_test(test_segment_encode_stops_where_a_part_cannot_be_written),
        cmocka_unit_test(test_segment_container_is_strict),
        cmocka_unit_test(test_segment_that_is_no_single_whole_frame_is_corrupt),
        cmocka_unit_test(test_segment_with_any_bit_flipped_gives_the_record_or_none),
    };
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
