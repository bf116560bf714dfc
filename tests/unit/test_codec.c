#include "tests/lib/test.h"

#include "base/codec.h"
#include "base/limits.h"

enum color { RED, GREEN, BLUE };
struct pair {
    uint32_t number;
    struct sc_slice text;
};
struct all {
    struct sc_slice bin;
    bool flag;
    struct sc_digest digest;
    enum color color;
    int64_t i64;
    SC_LIST(struct pair, pairs);
    struct sc_slice raw;
    struct pair nested;
    sc_text_list texts;
    struct sc_slice text;
    uint32_t u32;
    uint64_t u64;
    SC_LIST(uint64_t, numbers);
};

static const struct sc_field pair_fields[] = {
    SC_FIELD(struct pair, number, SC_F_U32),
    SC_FIELD_MAX(struct pair, text, SC_F_TEXT, 8),
};
static SC_SCHEMA(pair_schema, "pair", struct pair, pair_fields);
static SC_SCHEMA_POSITIONAL(flat_pair_schema, "flat pair", struct pair, pair_fields);

#define ALL_FIELDS(pairs_schema)                                                                             \
    {                                                                                                        \
        SC_FIELD_MAX(struct all, bin, SC_F_BIN, 16), SC_FIELD_MAX(struct all, color, SC_F_ENUM, BLUE),       \
            SC_FIELD(struct all, digest, SC_F_DIGEST), SC_FIELD(struct all, flag, SC_F_BOOL),                \
            SC_FIELD(struct all, i64, SC_F_I64),                                                             \
            SC_FIELD_SUB(struct all, nested, SC_F_STRUCT, pairs_schema, 0),                                  \
            SC_FIELD_SUB(struct all, numbers, SC_F_LIST, &sc_schema_u64, 4),                                 \
            SC_FIELD_SUB(struct all, pairs, SC_F_LIST, pairs_schema, 3),                                     \
            SC_FIELD(struct all, raw, SC_F_RAW), SC_FIELD(struct all, text, SC_F_TEXT),                      \
            SC_FIELD_SUB(struct all, texts, SC_F_LIST, &sc_schema_text, 0),                                  \
            SC_FIELD_MAX(struct all, u32, SC_F_U32, 1000), SC_FIELD(struct all, u64, SC_F_U64),              \
    }
static const struct sc_field all_fields[] = ALL_FIELDS(&pair_schema);
static const struct sc_field flat_fields[] = ALL_FIELDS(&flat_pair_schema);
static SC_SCHEMA(all_schema, "all", struct all, all_fields);
static SC_SCHEMA_POSITIONAL(flat_schema, "flat", struct all, flat_fields);

struct fixture {
    struct sc_arena arena;
    struct sc_buf buf;
    struct sc_error err;
    struct all all;
};

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    sc_arena_init(&f->arena);
    sc_buf_init(&f->buf, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sc_arena_done(&f->arena);
    sc_buf_done(&f->buf);
    free(f);
    return 0;
}

static struct all sample(void)
{
    static struct pair pairs[] = {{1, SC_SLICE_LIT("one")}, {2, SC_SLICE_LIT("two")}};
    static struct sc_slice texts[] = {SC_SLICE_LIT("a"), SC_SLICE_LIT(""), SC_SLICE_LIT("c")};
    static uint64_t numbers[] = {0, 1, UINT64_MAX};
    return (struct all){
        .bin = SC_SLICE_LIT("\0\xff"),
        .flag = true,
        .digest = sc_digest_of(sc_slice_str("x")),
        .color = BLUE,
        .i64 = -5,
        .pairs = {pairs, 2},
        .raw = SC_SLICE_LIT("\x92\x01\x02"),
        .nested = {7, SC_SLICE_LIT("seven")},
        .texts = {texts, 3},
        .text = SC_SLICE_LIT("text"),
        .u32 = 1000,
        .u64 = UINT64_C(1) << 40,
        .numbers = {numbers, 3},
    };
}

static void assert_sample(const struct all *all)
{
    struct all want = sample();
    assert_true(sc_slice_eq(all->bin, want.bin));
    assert_true(all->flag);
    assert_true(sc_digest_eq(&all->digest, &want.digest));
    assert_int_equal(all->color, BLUE);
    assert_true(all->i64 == -5);
    assert_int_equal(all->pairs.count, 2);
    assert_slice(all->pairs.items[1].text, "two");
    assert_true(sc_slice_eq(all->raw, want.raw));
    assert_int_equal(all->nested.number, 7);
    assert_int_equal(all->texts.count, 3);
    assert_slice(all->texts.items[2], "c");
    assert_slice(all->text, "text");
    assert_int_equal(all->u32, 1000);
    assert_true(all->u64 == UINT64_C(1) << 40);
    assert_int_equal(all->numbers.count, 3);
    assert_true(all->numbers.items[2] == UINT64_MAX);
}

static void test_codec_survives_in_both_shapes(void **state)
{
    struct fixture *f = *state;
    const struct sc_schema *schemas[] = {&all_schema, &flat_schema};
    struct all all = sample();
    for (size_t i = 0; i < SC_COUNT(schemas); i++) {
        struct all back = {0};
        assert_true(sc_schema_is_valid(schemas[i]));
        sc_buf_clear(&f->buf);
        sc_encode(schemas[i], &all, &f->buf);
        assert_ok(sc_decode(schemas[i], sc_buf_slice(&f->buf), SC_DECODE_STRICT, &f->arena, &back, &f->err),
                  f->err);
        assert_sample(&back);
    }
}

static void test_codec_absent_values_take_no_bytes_in_a_map(void **state)
{
    struct fixture *f = *state;
    struct all none = {0};
    sc_encode(&all_schema, &none, &f->buf);
    assert_int_equal(f->buf.len, 1);
    assert_int_equal(f->buf.ptr[0], 0x80);
    assert_ok(sc_decode(&all_schema, sc_buf_slice(&f->buf), SC_DECODE_STRICT, &f->arena, &f->all, &f->err),
              f->err);
    sc_buf_clear(&f->buf);
    sc_encode(&flat_schema, &none, &f->buf);
    assert_int_equal(f->buf.ptr[0], 0x90 | SC_COUNT(flat_fields));
    struct all back = {.flag = false};
    assert_ok(sc_decode(&flat_schema, sc_buf_slice(&f->buf), SC_DECODE_STRICT, &f->arena, &back, &f->err),
              f->err);
    assert_true(sc_digest_is_zero(&back.digest));
    assert_int_equal(back.raw.len, 0);
}

static enum sc_rc decode_hex(struct fixture *f, const struct sc_schema *schema, const char *bytes, size_t len,
                             enum sc_decode_mode mode)
{
    memset(&f->all, 0, sizeof f->all);
    return sc_decode(schema, sc_slice(bytes, len), mode, &f->arena, &f->all, &f->err);
}
#define DECODE(f, schema, lit, mode) decode_hex(f, schema, lit, sizeof(lit) - 1, mode)

static void test_codec_unknown_field_is_passed_over_or_named(void **state)
{
    struct fixture *f = *state;
    // {"aaa": [1, {"x": nil}], "flag": true, "zzz": 1}
    static const char bytes[] = "\x83\xa3"
                                "aaa\x92\x01\x81\xa1x\xc0\xa4"
                                "flag\xc3\xa3zzz\x01";
    assert_ok(DECODE(f, &all_schema, bytes, SC_DECODE_LENIENT), f->err);
    assert_true(f->all.flag);
    assert_rc(DECODE(f, &all_schema, bytes, SC_DECODE_STRICT), SC_VERSION);
    assert_contains(f->err.message, "aaa");
    assert_contains(f->err.message, "all");
}

static void test_codec_positional_tells_missing_and_added_fields(void **state)
{
    struct fixture *f = *state;
    assert_rc(DECODE(f, &flat_pair_schema, "\x91\x01", SC_DECODE_LENIENT), SC_MALFORMED);
    assert_ok(DECODE(f, &flat_pair_schema, "\x93\x01\xa1x\xc3", SC_DECODE_LENIENT), f->err);
    assert_rc(DECODE(f, &flat_pair_schema, "\x93\x01\xa1x\xc3", SC_DECODE_STRICT), SC_VERSION);
}

static void test_codec_strict_refuses_what_has_two_encodings(void **state)
{
    struct fixture *f = *state;
    // {"flag": false}: absent is the one way to say it
    assert_rc(DECODE(f, &all_schema,
                     "\x81\xa4"
                     "flag\xc2",
                     SC_DECODE_STRICT),
              SC_MALFORMED);
    assert_contains(f->err.message, "flag");
    assert_ok(DECODE(f, &all_schema,
                     "\x81\xa4"
                     "flag\xc2",
                     SC_DECODE_LENIENT),
              f->err);
    // keys out of order, and twice
    assert_rc(DECODE(f, &pair_schema, "\x82\xa4text\xa1x\xa6number\x01", SC_DECODE_LENIENT), SC_MALFORMED);
    assert_rc(DECODE(f, &pair_schema, "\x82\xa6number\x01\xa6number\x01", SC_DECODE_LENIENT), SC_MALFORMED);
}

static void test_codec_wrong_types_and_bounds_name_the_field(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *field;
        enum sc_rc rc;
    } cases[] = {
#define CASE(lit, field, rc) {lit, sizeof(lit) - 1, field, rc}
        CASE("\x81\xa5"
             "color\x03",
             "color", SC_MALFORMED),
        CASE("\x81\xa5"
             "color\xff",
             "color", SC_MALFORMED),
        CASE("\x81\xa3"
             "u32\xcd\x03\xe9",
             "u32", SC_MALFORMED),
        CASE("\x81\xa3"
             "u32\xa1"
             "1",
             "u32", SC_MALFORMED),
        CASE("\x81\xa3"
             "u64\xff",
             "u64", SC_MALFORMED),
        CASE("\x81\xa3"
             "i64\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
             "i64", SC_MALFORMED),
        CASE("\x81\xa3"
             "bin\xa1x",
             "bin", SC_MALFORMED),
        CASE("\x81\xa3"
             "bin\xc4\x11"
             "0123456789abcdefg",
             "bin", SC_MALFORMED),
        CASE("\x81\xa6"
             "digest\xc4\x01x",
             "digest", SC_MALFORMED),
        CASE("\x81\xa4"
             "flag\x01",
             "flag", SC_MALFORMED),
        CASE("\x81\xa6"
             "nested\x81\xa4text\xa9"
             "123456789",
             "text", SC_MALFORMED),
        CASE("\x81\xa5"
             "pairs\x94\x80\x80\x80\x80",
             "pairs", SC_LIMIT),
        CASE("\x81\xa5"
             "pairs\x80",
             "pairs", SC_MALFORMED),
        CASE("\x81\xa5"
             "pairs\xdd\xff\xff\xff\xff",
             "pairs", SC_MALFORMED),
        CASE("\x81\xa4"
             "text\xd9\x01x",
             "text", SC_MALFORMED),
        CASE("\x81\xa3"
             "raw\xca\x00\x00\x00\x00",
             "raw", SC_MALFORMED),
        CASE("\x81\xa3"
             "raw",
             "raw", SC_MALFORMED),
#undef CASE
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        enum sc_rc rc = decode_hex(f, &all_schema, cases[i].bytes, cases[i].len, SC_DECODE_LENIENT);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %s", i, sc_rc_name(rc));
        assert_contains(f->err.message, cases[i].field);
    }
}

static void test_codec_bytes_after_the_end_are_an_error_and_a_cursor_goes_on(void **state)
{
    struct fixture *f = *state;
    static const char two[] = "\x81\xa6number\x05\x81\xa6number\x06";
    assert_rc(DECODE(f, &pair_schema, two, SC_DECODE_LENIENT), SC_MALFORMED);
    struct sc_mp_reader reader = sc_mp_reader(sc_slice(two, sizeof two - 1));
    struct pair first = {0}, second = {0};
    assert_ok(sc_decode_next(&pair_schema, &reader, SC_DECODE_STRICT, &f->arena, &first, &f->err), f->err);
    assert_ok(sc_decode_next(&pair_schema, &reader, SC_DECODE_STRICT, &f->arena, &second, &f->err), f->err);
    assert_int_equal(first.number, 5);
    assert_int_equal(second.number, 6);
    assert_true(sc_mp_finished(&reader));
}

static void test_codec_every_cut_is_malformed(void **state)
{
    struct fixture *f = *state;
    struct all all = sample();
    const struct sc_schema *schemas[] = {&all_schema, &flat_schema};
    for (size_t i = 0; i < SC_COUNT(schemas); i++) {
        sc_buf_clear(&f->buf);
        sc_encode(schemas[i], &all, &f->buf);
        for (size_t len = 0; len < f->buf.len; len++) {
            SC_AUTO_FREE uint8_t *exact = sc_calloc(len ? len : 1, 1); // its end is seen by the sanitizer
            memcpy(exact, f->buf.ptr, len);
            memset(&f->all, 0, sizeof f->all);
            assert_rc(
                sc_decode(schemas[i], sc_slice(exact, len), SC_DECODE_LENIENT, &f->arena, &f->all, &f->err),
                SC_MALFORMED);
        }
    }
}

struct chain {
    SC_LIST(struct chain, next);
};
static const struct sc_schema chain_schema;
static const struct sc_field chain_fields[] = {SC_FIELD_SUB(struct chain, next, SC_F_LIST, &chain_schema, 0)};
static const struct sc_schema chain_schema = {.name = "chain",
                                              .fields = chain_fields,
                                              .field_count = 1,
                                              .size = sizeof(struct chain),
                                              .positional = true};

static void test_codec_nesting_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct chain back = {0};
    uint8_t bytes[200];
    memset(bytes, 0x91, sizeof bytes);
    bytes[sizeof bytes - 1] = 0x90;
    assert_rc(
        sc_decode(&chain_schema, sc_slice(bytes, sizeof bytes), SC_DECODE_LENIENT, &f->arena, &back, &f->err),
        SC_MALFORMED);
    assert_contains(f->err.message, "deep");
}

static void test_codec_schema_faults_are_seen(void **state)
{
    (void)state;
    const struct sc_field unsorted[] = {pair_fields[1], pair_fields[0]};
    struct sc_schema schema = pair_schema;
    assert_true(sc_schema_is_valid(&schema));
    schema.fields = unsorted;
    assert_false(sc_schema_is_valid(&schema));
    schema = pair_schema;
    schema.size = 8; // a field lies outside
    assert_false(sc_schema_is_valid(&schema));
    schema = pair_schema;
    schema.field_count = 0;
    assert_false(sc_schema_is_valid(&schema));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_codec_survives_in_both_shapes),
        TEST(test_codec_absent_values_take_no_bytes_in_a_map),
        TEST(test_codec_unknown_field_is_passed_over_or_named),
        TEST(test_codec_positional_tells_missing_and_added_fields),
        TEST(test_codec_strict_refuses_what_has_two_encodings),
        TEST(test_codec_wrong_types_and_bounds_name_the_field),
        TEST(test_codec_bytes_after_the_end_are_an_error_and_a_cursor_goes_on),
        TEST(test_codec_every_cut_is_malformed),
        TEST(test_codec_nesting_is_bounded),
        TEST(test_codec_schema_faults_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
