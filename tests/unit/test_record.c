#include "tests/unit/store_test.h"

#include "base/limits.h"
#include "store/record.h"

#define MAIN sc_slice_str("main")
#define STR(text)                                                                                            \
    {                                                                                                        \
        (const uint8_t *)("" text), sizeof(text) - 1                                                         \
    }

// Every field is set, so that the golden bytes pin each of them.
static struct sc_record_field fields[] = {
    {STR("code"), STR("\xc4\x02\x01\x02")},
    {STR("command"), STR("\x92\xa2sh\x91\xa4true")},
    {STR("value.x"), STR("\xc0")}, // nil is read back as an empty value
};
static struct sc_record_output outputs[] = {
    {STR("model"),
     {.kind = SC_ARTIFACT_FILE,
      .exec = true,
      .digest = {{1, 2, 3}},
      .ext = STR(".bin"),
      .bytes = 70000,
      .files = 1}},
    {STR("report"), {.kind = SC_ARTIFACT_DIR, .digest = {{4, 5, 6}}, .bytes = 12345678901, .files = 20}},
    {STR("score"),
     {.kind = SC_ARTIFACT_FILE,
      .has_inline = true,
      .digest = {{7}},
      .bytes = 2,
      .files = 1,
      .inline_bytes = STR("{}")}},
};
static struct sc_record_value values[] = {{STR("accuracy"), STR("0.93")}};
static struct sc_record_input inputs[] = {{STR("data"), {{8, 8}}}, {STR("folds"), {{9, 9}}}};
static struct sc_record_signature signatures[] = {
    {STR("k1"), STR("0123456789012345678901234567890123456789012345678901234567890123")}};

static struct sc_record sample(void)
{
    return (struct sc_record){
        .v = STR("stepcache.record/1"),
        .domain = STR("main"),
        .key = {{0xab, 0xcd}},
        .generation = 2,
        .supersedes = 1,
        .fields = {fields, 3},
        .outputs = {outputs, 3},
        .values = {values, 1},
        .logs = {.stdout_ = {.has_inline = true,
                             .digest = {{1}},
                             .bytes = 3,
                             .files = 1,
                             .inline_bytes = STR("hi\n")}},
        .ended_at = 1700000000123,
        .wall_ms = 1500,
        .cpu_ms = 1400,
        .max_rss_bytes = 123456789,
        .assurance = {STR("namespaces"), STR("on")},
        .namespace_ = STR("default"),
        .pipeline = STR("retrain"),
        .step = STR("train[lr=0.1]"),
        .run = STR("r-1"),
        .agent = STR("a-1"),
        .attempt = 3,
        .inputs_from = {inputs, 2},
        .signatures = {signatures, 1},
    };
}

static struct sc_record smallest(void)
{
    return (struct sc_record){
        .v = STR("stepcache.record/1"), .domain = STR("main"), .key = {{0xab, 0xcd}}, .generation = 1};
}

static enum sc_rc decode(const struct sc_buf *bytes, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_digest key = {{0xab, 0xcd}};
    struct sc_record record;
    sc_arena_init(&arena);
    return sc_record_decode(sc_buf_slice(bytes), MAIN, &key, &arena, &record, err);
}

static void test_record_schema_is_well_formed(void **state)
{
    (void)state;
    assert_true(sc_schema_is_valid(&sc_schema_record));
}

static void test_record_bytes_are_pinned(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_record record = sample(), small = smallest();
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    assert_golden("record/full.hex", sc_buf_slice(&bytes));
    sc_buf_clear(&bytes);
    sc_record_encode(&small, &bytes);
    assert_golden("record/smallest.hex", sc_buf_slice(&bytes));
}

static void test_record_decode_gives_back_what_was_encoded(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes, again;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_record record = sample(), found;
    sc_buf_init(&bytes, 0);
    sc_buf_init(&again, 0);
    sc_arena_init(&arena);
    sc_record_encode(&record, &bytes);
    assert_ok(sc_record_decode(sc_buf_slice(&bytes), MAIN, &record.key, &arena, &found, &err), err);
    assert_int_equal(found.outputs.count, 3);
    assert_slice(found.outputs.items[1].name, "report");
    assert_int_equal(found.outputs.items[1].artifact.bytes, 12345678901);
    assert_slice(found.logs.stdout_.inline_bytes, "hi\n");
    assert_true(sc_digest_is_zero(&found.logs.stderr_.digest));
    assert_slice(found.step, "train[lr=0.1]");
    assert_int_equal(found.ended_at, 1700000000123);
    assert_slice(found.fields.items[1].label, "command");
    assert_int_equal(found.fields.items[2].value.len, 0);
    sc_record_encode(&found, &again);
    assert_true(sc_slice_eq(sc_buf_slice(&bytes), sc_buf_slice(&again)));
}

static void test_record_under_another_key_or_domain_is_corrupt(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_record record = sample(), found;
    struct sc_digest other = {{1}};
    sc_buf_init(&bytes, 0);
    sc_arena_init(&arena);
    sc_record_encode(&record, &bytes);
    assert_rc(sc_record_decode(sc_buf_slice(&bytes), MAIN, &other, &arena, &found, &err), SC_CORRUPT);
    assert_contains(err.message, "abcd0000");
    assert_rc(
        sc_record_decode(sc_buf_slice(&bytes), sc_slice_str("other"), &record.key, &arena, &found, &err),
        SC_CORRUPT);
    assert_contains(err.message, "main");
}

// A body as somebody else would have written it: with its checksum.
static void seal(struct sc_buf *bytes)
{
    struct sc_digest sum = sc_digest_of(sc_buf_slice(bytes));
    sc_buf_add(bytes, sum.bytes, sizeof sum.bytes);
}

// Replaces one text in the body by another of the same length.
static void replace(struct sc_buf *bytes, const char *from, const char *to)
{
    bytes->len -= SC_DIGEST_BYTES;
    uint8_t *at = memmem(bytes->ptr, bytes->len, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    seal(bytes);
}

static void test_record_with_any_bit_flipped_is_corrupt(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_record record = sample();
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    for (size_t i = 0; i < bytes.len; i++) { // of the body, and of the checksum
        struct sc_error err = SC_ERROR_INIT;
        bytes.ptr[i] ^= (uint8_t)(1 << i % 8);
        assert_rc(decode(&bytes, &err), SC_CORRUPT);
        assert_contains(err.message, "checksum");
        bytes.ptr[i] ^= (uint8_t)(1 << i % 8);
    }
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(decode(&bytes, &err), err);
}

static void test_record_without_its_checksum_is_corrupt(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_record record = sample();
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    bytes.len -= SC_DIGEST_BYTES;
    assert_rc(decode(&bytes, &err), SC_CORRUPT);
}

static void test_record_of_an_unknown_version_or_field_is_told_by_name(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_record record = smallest();
    record.cpu_ms = 5;
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    replace(&bytes, "record/1", "record/7");
    assert_rc(decode(&bytes, &err), SC_VERSION);
    assert_contains(err.message, "stepcache.record/7");
    replace(&bytes, "cpu_ms", "cpu_xx");
    assert_rc(decode(&bytes, &err), SC_VERSION);
    assert_contains(err.message, "stepcache.record/7");
    replace(&bytes, "record/7", "record/1");
    assert_rc(decode(&bytes, &err), SC_VERSION);
    assert_contains(err.message, "cpu_xx");
}

static void test_record_lists_unsorted_or_twice_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } swaps[] = {{"command", "aommand"}, {"report", "modelx"}, {"score", "model"}, {"folds", "data\x61"}};
    for (size_t i = 0; i < SC_COUNT(swaps); i++) {
        SC_AUTO_BUF struct sc_buf bytes;
        struct sc_error err = SC_ERROR_INIT;
        struct sc_record record = sample();
        sc_buf_init(&bytes, 0);
        sc_record_encode(&record, &bytes);
        replace(&bytes, swaps[i].from, swaps[i].to);
        enum sc_rc rc = decode(&bytes, &err);
        // "modelx" and "dataa" are still in order; the others are not
        assert_rc(rc, i == 1 || i == 3 ? SC_OK : SC_MALFORMED);
    }
}

static void test_record_that_says_what_cannot_be_is_invalid(void **state)
{
    (void)state;
    struct sc_record record = sample();
    assert_true(sc_record_is_valid(&record));
    record.generation = 0;
    assert_false(sc_record_is_valid(&record));
    record = sample();
    record.supersedes = 2;
    assert_false(sc_record_is_valid(&record));
    record = sample();
    record.key = (struct sc_digest){{0}};
    assert_false(sc_record_is_valid(&record));
    record = sample();
    record.generation = SC_LIMIT_GENERATION;
    assert_true(sc_record_is_valid(&record));
    record.generation++;
    assert_false(sc_record_is_valid(&record));
    record = sample();
    record.ended_at = -1;
    assert_false(sc_record_is_valid(&record));
    record = sample();
    struct sc_record_output output = outputs[2];
    output.artifact.bytes = 3; // not the number of its inline bytes
    record.outputs.items = &output;
    record.outputs.count = 1;
    assert_false(sc_record_is_valid(&record));
    output = outputs[0];
    output.artifact.digest = (struct sc_digest){{0}};
    assert_false(sc_record_is_valid(&record));
    record = sample();
    record.logs.stderr_ = (struct sc_artifact){.has_inline = true, .bytes = 1};
    assert_false(sc_record_is_valid(&record));
}

static void test_record_that_is_not_valid_is_written_and_not_read(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_record record = smallest();
    record.logs.stdout_ = (struct sc_artifact){.kind = SC_ARTIFACT_DIR, .has_inline = true};
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    assert_rc(decode(&bytes, &err), SC_MALFORMED);
}

static void test_record_cut_anywhere_is_refused(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_record record = sample();
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    size_t whole = bytes.len;
    for (bytes.len = 0; bytes.len < whole; bytes.len++) {
        struct sc_error err = SC_ERROR_INIT;
        assert_rc(decode(&bytes, &err), SC_CORRUPT);
    }
    sc_buf_add_byte(&bytes, 0xc0);
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(decode(&bytes, &err), SC_CORRUPT);
}

static void test_record_cut_before_its_checksum_was_made_is_refused(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_record record = sample();
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    size_t body = bytes.len - SC_DIGEST_BYTES;
    for (size_t len = 0; len < body; len++) {
        SC_AUTO_BUF struct sc_buf cut;
        struct sc_error err = SC_ERROR_INIT;
        sc_buf_init(&cut, 0);
        sc_buf_add(&cut, bytes.ptr, len);
        seal(&cut);
        assert_rc(decode(&cut, &err), SC_MALFORMED);
    }
    bytes.len = body;
    sc_buf_add_byte(&bytes, 0xc0);
    seal(&bytes);
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(decode(&bytes, &err), SC_MALFORMED);
}

static void test_record_larger_than_the_limit_is_refused_unread(void **state)
{
    (void)state;
    SC_AUTO_FREE uint8_t *bytes = sc_calloc(SC_LIMIT_RECORD_BYTES + 1, 1);
    struct sc_buf large = {
        .ptr = bytes, .len = SC_LIMIT_RECORD_BYTES + 1, .capacity = SC_LIMIT_RECORD_BYTES + 1};
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(decode(&large, &err), SC_LIMIT);
}

static void test_record_same_result_looks_at_outputs_and_values_alone(void **state)
{
    (void)state;
    struct sc_record a = sample(), b = sample();
    struct sc_record_output other[3];
    memcpy(other, outputs, sizeof other);
    b.run = sc_slice_str("another");
    b.ended_at++;
    b.wall_ms = 1;
    assert_true(sc_record_same_result(&a, &b));
    b.outputs.items = other;
    assert_true(sc_record_same_result(&a, &b));
    other[0].artifact.digest.bytes[31] ^= 1;
    assert_false(sc_record_same_result(&a, &b));
    other[0] = outputs[0];
    other[0].artifact.exec = false;
    assert_false(sc_record_same_result(&a, &b));
    b = sample();
    b.values.count = 0;
    assert_false(sc_record_same_result(&a, &b));
    struct sc_record_value value = {values[0].name, STR("0.94")};
    b = sample();
    b.values.items = &value;
    assert_false(sc_record_same_result(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_schema_is_well_formed),
        cmocka_unit_test(test_record_bytes_are_pinned),
        cmocka_unit_test(test_record_decode_gives_back_what_was_encoded),
        cmocka_unit_test(test_record_under_another_key_or_domain_is_corrupt),
        cmocka_unit_test(test_record_of_an_unknown_version_or_field_is_told_by_name),
        cmocka_unit_test(test_record_lists_unsorted_or_twice_are_refused),
        cmocka_unit_test(test_record_that_says_what_cannot_be_is_invalid),
        cmocka_unit_test(test_record_that_is_not_valid_is_written_and_not_read),
        cmocka_unit_test(test_record_with_any_bit_flipped_is_corrupt),
        cmocka_unit_test(test_record_without_its_checksum_is_corrupt),
        cmocka_unit_test(test_record_cut_anywhere_is_refused),
        cmocka_unit_test(test_record_cut_before_its_checksum_was_made_is_refused),
        cmocka_unit_test(test_record_larger_than_the_limit_is_refused_unread),
        cmocka_unit_test(test_record_same_result_looks_at_outputs_and_values_alone),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
