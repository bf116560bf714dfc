#include "tests/lib/test.h"

#include <msgpack.h>
#include <stdio.h>

#include "base/mp.h"
#include "base/random.h"

#define BYTES(...) sc_slice((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void test_mp_integers_are_in_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        size_t bytes;
    } cases[] = {
        {0, 1},
        {127, 1},
        {128, 2},
        {255, 2},
        {256, 3},
        {65535, 3},
        {65536, 5},
        {UINT32_MAX, 5},
        {1LL << 32, 9},
        {INT64_MAX, 9},
        {-1, 1},
        {-32, 1},
        {-33, 2},
        {-128, 2},
        {-129, 3},
        {-32768, 3},
        {-32769, 5},
        {INT32_MIN, 5},
        {INT32_MIN - 1LL, 9},
        {INT64_MIN, 9},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_BUF struct sc_buf buf;
        sc_buf_init(&buf, 0);
        sc_mp_put_int(&buf, cases[i].value);
        assert_int_equal(buf.len, cases[i].bytes);
        struct sc_mp_reader reader = sc_mp_reader(sc_buf_slice(&buf));
        assert_int_equal(sc_mp_peek(&reader), cases[i].value < 0 ? SC_MP_INT : SC_MP_UINT);
        assert_true(sc_mp_get_int(&reader) == cases[i].value);
        assert_true(sc_mp_finished(&reader));
    }
}

static void test_mp_longer_forms_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint8_t bytes[20];
    } cases[] = {
        {2, {0xcc, 0x7f}},                                  // uint8 of a fixint
        {3, {0xcd, 0x00, 0xff}},                            // uint16 of a uint8
        {5, {0xce, 0x00, 0x00, 0xff, 0xff}},                // uint32 of a uint16
        {9, {0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},    // uint64 of a uint32
        {2, {0xd0, 0x05}},                                  // int8 of a positive
        {2, {0xd0, 0xe0}},                                  // int8 of a negative fixint
        {3, {0xd1, 0xff, 0x80}},                            // int16 of an int8
        {5, {0xd2, 0xff, 0xff, 0x80, 0x00}},                // int32 of an int16
        {9, {0xd3, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0}}, // int64 of an int32
        {9, {0xd3, 0, 0, 0, 0, 0, 0, 0, 1}},                // int64 of a positive
        {3, {0xd9, 0x01, 'a'}},                             // str8 of a fixstr
        {4, {0xda, 0x00, 0x01, 'a'}},                       // str16 of a fixstr
        {6, {0xdb, 0, 0, 0, 1, 'a'}},                       // str32 of a fixstr
        {4, {0xc5, 0x00, 0x01, 'a'}},                       // bin16 of a bin8
        {6, {0xc6, 0, 0, 0, 1, 'a'}},                       // bin32 of a bin8
        {4, {0xdc, 0x00, 0x01, 0xc0}},                      // array16 of a fixarray
        {6, {0xdd, 0, 0, 0, 1, 0xc0}},                      // array32 of a fixarray
        {5, {0xde, 0x00, 0x01, 0xa1, 'a'}},                 // map16 of a fixmap
        {7, {0xdf, 0, 0, 0, 1, 0xc0, 0xc0}},                // map32 of a fixmap
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_mp_reader reader = sc_mp_reader(sc_slice(cases[i].bytes, cases[i].len));
        sc_mp_skip(&reader, 16);
        if (!reader.failed)
            fail_msg("case %zu was taken", i);
    }
}

static void test_mp_floats_extensions_and_the_unused_byte_are_refused(void **state)
{
    (void)state;
    static const uint8_t leads[] = {0xc1, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
    for (size_t i = 0; i < SC_COUNT(leads); i++) {
        uint8_t bytes[32] = {leads[i]};
        struct sc_mp_reader reader = sc_mp_reader(sc_slice(bytes, sizeof bytes));
        assert_int_equal(sc_mp_peek(&reader), SC_MP_END);
        sc_mp_skip(&reader, 16);
        assert_true(reader.failed);
    }
}

static void test_mp_hostile_counts_are_refused(void **state)
{
    (void)state;
    struct sc_slice cases[] = {
        BYTES(0xdd, 0xff, 0xff, 0xff, 0xff),       // array32 of 2^32-1 with nothing behind
        BYTES(0xdd, 0x10, 0x00, 0x00, 0x00, 0xc0), // of 2^28 with one byte behind
        BYTES(0xdf, 0x10, 0x00, 0x00, 0x00, 0xc0, 0xc0),
        BYTES(0xdc, 0x00, 0x10, 0xc0),
        BYTES(0x92, 0xc0),             // one of two
        BYTES(0x82, 0xc0, 0xc0, 0xc0), // three of four
        BYTES(0xdb, 0xff, 0xff, 0xff, 0xff, 'a'),
        BYTES(0xc6, 0xff, 0xff, 0xff, 0xff, 'a'),
        BYTES(0xa2, 'a'),
        BYTES(0xc4),
        BYTES(0xcf, 1, 2, 3),
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_mp_reader reader = sc_mp_reader(cases[i]), other = reader;
        assert_int_equal(sc_mp_get_array(&reader), 0);
        assert_true(reader.failed);
        assert_int_equal(sc_mp_get_map(&other), 0);
        assert_true(other.failed);
        other = sc_mp_reader(cases[i]);
        assert_int_equal(sc_mp_skip(&other, 16).len, 0);
        assert_true(other.failed);
    }
}

static void test_mp_first_failure_sticks(void **state)
{
    (void)state;
    struct sc_mp_reader reader = sc_mp_reader(BYTES(0xa1, 'a', 0x05));
    assert_true(sc_mp_get_uint(&reader) == 0);
    assert_true(reader.failed);
    assert_int_equal(sc_mp_peek(&reader), SC_MP_END);
    assert_int_equal(sc_mp_get_str(&reader).len, 0);
    assert_false(sc_mp_get_bool(&reader));
    assert_false(sc_mp_finished(&reader));
}

static void test_mp_types_are_told_apart(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf buf;
    struct sc_digest digest = sc_digest_of(sc_slice_str("x"));
    sc_buf_init(&buf, 0);
    sc_mp_put_nil(&buf);
    sc_mp_put_bool(&buf, true);
    sc_mp_put_bool(&buf, false);
    sc_mp_put_uint(&buf, UINT64_MAX);
    sc_mp_put_cstr(&buf, "text");
    sc_mp_put_bin(&buf, sc_slice("\0\1", 2));
    sc_mp_put_digest(&buf, &digest);
    sc_mp_put_map(&buf, 0);
    struct sc_mp_reader reader = sc_mp_reader(sc_buf_slice(&buf));
    assert_int_equal(sc_mp_peek(&reader), SC_MP_NIL);
    sc_mp_get_nil(&reader);
    assert_int_equal(sc_mp_peek(&reader), SC_MP_BOOL);
    assert_true(sc_mp_get_bool(&reader));
    assert_false(sc_mp_get_bool(&reader));
    assert_true(sc_mp_get_uint(&reader) == UINT64_MAX);
    assert_int_equal(sc_mp_peek(&reader), SC_MP_STR);
    assert_slice(sc_mp_get_str(&reader), "text");
    assert_int_equal(sc_mp_peek(&reader), SC_MP_BIN);
    assert_int_equal(sc_mp_get_bin(&reader).len, 2);
    struct sc_digest back = sc_mp_get_digest(&reader);
    assert_true(sc_digest_eq(&back, &digest));
    assert_int_equal(sc_mp_peek(&reader), SC_MP_MAP);
    assert_int_equal(sc_mp_get_map(&reader), 0);
    assert_int_equal(sc_mp_peek(&reader), SC_MP_END);
    assert_true(sc_mp_finished(&reader));
}

static void test_mp_text_is_not_bytes(void **state)
{
    (void)state;
    struct sc_mp_reader reader = sc_mp_reader(BYTES(0xa1, 'a'));
    assert_int_equal(sc_mp_get_bin(&reader).len, 0);
    assert_true(reader.failed);
    reader = sc_mp_reader(BYTES(0xc4, 0x01, 'a'));
    assert_int_equal(sc_mp_get_str(&reader).len, 0);
    assert_true(reader.failed);
    reader = sc_mp_reader(BYTES(0xc4, 0x01, 'a'));
    struct sc_digest digest = sc_mp_get_digest(&reader); // not 32 bytes
    assert_true(sc_digest_is_zero(&digest) && reader.failed);
}

static void test_mp_integer_beyond_int64_is_no_int(void **state)
{
    (void)state;
    struct sc_mp_reader reader = sc_mp_reader(BYTES(0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0));
    assert_true(sc_mp_get_int(&reader) == 0);
    assert_true(reader.failed);
    reader = sc_mp_reader(BYTES(0xff));
    assert_true(sc_mp_get_uint(&reader) == 0); // -1 is no uint
    assert_true(reader.failed);
}

static void test_mp_skip_stops_at_its_depth(void **state)
{
    (void)state;
    uint8_t bytes[5] = {0x91, 0x91, 0x91, 0x91, 0xc0};
    struct sc_mp_reader reader = sc_mp_reader(sc_slice(bytes, sizeof bytes));
    assert_int_equal(sc_mp_skip(&reader, 4).len, sizeof bytes);
    reader = sc_mp_reader(sc_slice(bytes, sizeof bytes));
    assert_int_equal(sc_mp_skip(&reader, 3).len, 0);
    assert_true(reader.failed);
    static uint8_t deep[1 << 20];
    memset(deep, 0x91, sizeof deep);
    reader = sc_mp_reader(sc_slice(deep, sizeof deep));
    sc_mp_skip(&reader, 16);
    assert_true(reader.failed);
}

// ---- msgpack-c as the oracle

static bool is_ours(const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_BOOLEAN:
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
    case MSGPACK_OBJECT_EXT:
        return false;
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < object->via.array.size; i++)
            if (!is_ours(&object->via.array.ptr[i]))
                return false;
        return true;
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < object->via.map.size; i++)
            if (!is_ours(&object->via.map.ptr[i].key) || !is_ours(&object->via.map.ptr[i].val))
                return false;
        return true;
    }
    return false;
}

// True when msgpack-c reads the whole, finds only types of ours, and writes back the very same bytes: shortest forms.
static bool oracle_takes(struct sc_slice bytes)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    bool taken = msgpack_unpack_next(&unpacked, (const char *)bytes.ptr, bytes.len, &offset) ==
                     MSGPACK_UNPACK_SUCCESS &&
                 offset == bytes.len && is_ours(&unpacked.data);
    if (taken) {
        msgpack_sbuffer again;
        msgpack_packer packer;
        msgpack_sbuffer_init(&again);
        msgpack_packer_init(&packer, &again, msgpack_sbuffer_write);
        msgpack_pack_object(&packer, unpacked.data);
        taken = again.size == bytes.len && memcmp(again.data, bytes.ptr, bytes.len) == 0;
        msgpack_sbuffer_destroy(&again);
    }
    msgpack_unpacked_destroy(&unpacked);
    return taken;
}

static bool reader_takes(struct sc_slice bytes)
{
    struct sc_mp_reader reader = sc_mp_reader(bytes);
    sc_mp_skip(&reader, 31); // msgpack-c's own bound
    return sc_mp_finished(&reader);
}

// msgpack-c allocates by a count it has not checked: keep the counts in random bytes small.
static bool is_harmless(struct sc_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.ptr[i] == 0xdd || bytes.ptr[i] == 0xdf)
            return false;
    return true;
}

static void test_mp_reader_agrees_with_msgpack_c_on_random_bytes(void **state)
{
    (void)state;
    static const uint8_t leads[] = {0x80, 0x81, 0x90, 0x91, 0x92, 0xa0, 0xa1, 0xa3, 0xc0, 0xc2,
                                    0xc3, 0xc4, 0xc5, 0xcc, 0xcd, 0xce, 0xd0, 0xd1, 0xd2, 0xd9,
                                    0xda, 0xdc, 0xde, 0x00, 0x01, 0x7f, 0xe0, 0xff};
    struct sc_random random;
    uint32_t taken = 0;
    sc_random_init(&random, 1);
    for (uint32_t i = 0; i < 300000; i++) {
        uint8_t bytes[24];
        size_t len = 1 + sc_random_below(&random, i % 4 ? 5 : sizeof bytes);
        for (size_t k = 0; k < len; k++)
            bytes[k] = sc_random_below(&random, 3) ? leads[sc_random_below(&random, sizeof leads)]
                                                   : (uint8_t)sc_random_next(&random);
        struct sc_slice slice = sc_slice(bytes, len);
        if (!is_harmless(slice))
            continue;
        bool ours = reader_takes(slice);
        taken += ours;
        if (ours != oracle_takes(slice)) {
            char hex[2 * sizeof bytes + 1];
            for (size_t k = 0; k < len; k++)
                snprintf(hex + 2 * k, 3, "%02x", bytes[k]);
            fail_msg("%s is %s", hex, ours ? "taken by the reader alone" : "taken by msgpack-c alone");
        }
    }
    assert_true(taken > 10000); // the test is about both kinds
}

static void put_random(struct sc_random *random, struct sc_buf *out, int depth)
{
    static const uint64_t sizes[] = {0, 1, 15, 16, 31, 32, 255, 256};
    static const uint8_t zeros[256];
    uint64_t size = sizes[sc_random_below(random, SC_COUNT(sizes))];
    switch (sc_random_below(random, depth > 0 ? 8 : 6)) {
    case 0:
        sc_mp_put_nil(out);
        return;
    case 1:
        sc_mp_put_bool(out, sc_random_below(random, 2));
        return;
    case 2:
        sc_mp_put_uint(out, sc_random_next(random) >> sc_random_below(random, 64));
        return;
    case 3:
        sc_mp_put_int(out, (int64_t)sc_random_next(random) >> sc_random_below(random, 64));
        return;
    case 4:
        sc_mp_put_str(out, sc_slice(zeros, size));
        return;
    case 5:
        sc_mp_put_bin(out, sc_slice(zeros, size));
        return;
    case 6:
        size %= 20;
        sc_mp_put_array(out, (uint32_t)size);
        break;
    default:
        size %= 20;
        sc_mp_put_map(out, (uint32_t)size);
        size *= 2;
        break;
    }
    for (uint64_t i = 0; i < size; i++)
        put_random(random, out, depth - 1);
}

static void test_mp_what_is_written_is_what_msgpack_c_would_write(void **state)
{
    (void)state;
    struct sc_random random;
    SC_AUTO_BUF struct sc_buf buf;
    sc_random_init(&random, 2);
    sc_buf_init(&buf, 0);
    for (int i = 0; i < 3000; i++) {
        sc_buf_clear(&buf);
        put_random(&random, &buf, 3);
        assert_true(oracle_takes(sc_buf_slice(&buf)));
        assert_true(reader_takes(sc_buf_slice(&buf)));
        if (buf.len > 1) // every proper prefix ends early
            assert_false(reader_takes(sc_slice(buf.ptr, sc_random_below(&random, buf.len))));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mp_integers_are_in_their_shortest_form),
        cmocka_unit_test(test_mp_longer_forms_are_refused),
        cmocka_unit_test(test_mp_floats_extensions_and_the_unused_byte_are_refused),
        cmocka_unit_test(test_mp_hostile_counts_are_refused),
        cmocka_unit_test(test_mp_first_failure_sticks),
        cmocka_unit_test(test_mp_types_are_told_apart),
        cmocka_unit_test(test_mp_text_is_not_bytes),
        cmocka_unit_test(test_mp_integer_beyond_int64_is_no_int),
        cmocka_unit_test(test_mp_skip_stops_at_its_depth),
        cmocka_unit_test(test_mp_reader_agrees_with_msgpack_c_on_random_bytes),
        cmocka_unit_test(test_mp_what_is_written_is_what_msgpack_c_would_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
