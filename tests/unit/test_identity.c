// What data in a bucket is by its versions: what goes into keys, byte for byte, and what can never be the same.
#include "tests/lib/test.h"

#include "base/memory.h"
#include "pipeline/key.h"
#include "store/identity.h"

static struct sc_slice text(const char *s)
{
    return sc_slice_str(s);
}

static void identify(const char *server, const char *bucket, const char *key, const char *version,
                     struct sc_buf *out)
{
    struct sc_identity_of of = {server, text(bucket), text(key)};
    sc_buf_init(out, 0);
    sc_identity_of_object(&of, text(version), out);
}

static void test_an_object_of_aws_is_bucket_key_and_version_and_nothing_else(void **state)
{
    static const char golden[] = "\x94\xa7version\xa4"
                                 "data\xa1"
                                 "k\xa2v1";
    static const char elsewhere[] = "\x95\xa7version\xa4"
                                    "data\xa1"
                                    "k\xa2v1\xa8http://h";
    SC_AUTO_BUF struct sc_buf aws, other;
    (void)state;
    identify("aws", "data", "k", "v1", &aws);
    identify("http://h", "data", "k", "v1", &other);
    assert_int_equal(aws.len, sizeof golden - 1);
    assert_memory_equal(aws.ptr, golden, aws.len);
    assert_int_equal(other.len, sizeof elsewhere - 1);
    assert_memory_equal(other.ptr, elsewhere, other.len);
    assert_true(sc_key_identity_is_sound(sc_buf_slice(&aws)));
    assert_true(sc_key_identity_is_sound(sc_buf_slice(&other)));
    assert_true(sc_slice_eq(sc_identity_version(sc_buf_slice(&aws)), text("v1")));
}

// Whatever differs, or moves from one part to the next, makes another.
static void test_what_differs_is_never_the_same(void **state)
{
    static const char *const cases[][4] = {
        {"aws", "data", "k", "v1"},  {"http://h", "data", "k", "v1"}, {"http://i", "data", "k", "v1"},
        {"aws", "data", "k/", "v1"}, {"aws", "data", "kv", "1"},      {"aws", "datak", "k", "v1"},
        {"aws", "data", "k", "v2"},  {"aws", "dat", "ak", "v1"},      {"v1", "data", "k", "http://h"},
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        for (size_t k = 0; k < i; k++) {
            SC_AUTO_BUF struct sc_buf a, b;
            identify(cases[i][0], cases[i][1], cases[i][2], cases[i][3], &a);
            identify(cases[k][0], cases[k][1], cases[k][2], cases[k][3], &b);
            assert_false(sc_slice_eq(sc_buf_slice(&a), sc_buf_slice(&b)));
        }
}

static void identify_prefix(const char *const (*entries)[2], uint32_t count, struct sc_buf *out)
{
    struct sc_identity_of of = {"aws", text("data"), text("d")};
    struct sc_identity_digest digest;
    sc_identity_digest_begin(&digest, count);
    for (uint32_t i = 0; i < count; i++)
        sc_identity_digest_add(&digest, text(entries[i][0]), text(entries[i][1]));
    sc_buf_init(out, 0);
    sc_identity_of_prefix(&of, &digest, out);
}

static void test_a_prefix_is_all_its_names_and_versions(void **state)
{
    static const char *const one[][2] = {{"a", "1"}, {"b", "2"}},
                             *const others[][2] = {{"a", "2"}, {"b", "1"}},
                             *const joined[][2] = {{"a1b", "2"}, {"", ""}};
    // ["stepcache.versions/1", [[h'61', "1"], [h'62', "2"]]]
    static const char golden[] = "\x92\xb4stepcache.versions/1\x92\x92\xc4\x01"
                                 "a\xa1"
                                 "1\x92\xc4\x01"
                                 "b\xa1"
                                 "2";
    SC_AUTO_BUF struct sc_buf a, b, c, d;
    (void)state;
    identify_prefix(one, 2, &a);
    identify_prefix(others, 2, &b);
    identify_prefix(one, 1, &c);
    identify_prefix(joined, 2, &d);
    const struct sc_buf *all[] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; i++) {
        assert_true(sc_key_identity_is_sound(sc_buf_slice(all[i])));
        assert_int_equal(sc_identity_version(sc_buf_slice(all[i])).len, 0);
        for (int k = 0; k < i; k++)
            assert_false(sc_slice_eq(sc_buf_slice(all[i]), sc_buf_slice(all[k])));
    }
    struct sc_digest digest = sc_digest_of(sc_slice((const uint8_t *)golden, sizeof golden - 1));
    assert_memory_equal(a.ptr + a.len - SC_DIGEST_BYTES, digest.bytes, SC_DIGEST_BYTES);
}

static void test_null_and_what_no_server_means_are_no_versions(void **state)
{
    (void)state;
    assert_true(sc_identity_is_version(text("3HL4kqtJvjVBH40Nrjfkd")));
    assert_false(sc_identity_is_version(text("")));
    assert_false(sc_identity_is_version(text("null")));
    assert_false(sc_identity_is_version(text("a b")));
    assert_false(sc_identity_is_version(text("\xff")));
}

static void test_no_other_kind_of_input_passes_for_a_version(void **state)
{
    static const struct sc_slice others[] = {
        SC_SLICE_LIT(""),
        SC_SLICE_LIT("\x92\xa5value\xa1v"),
        SC_SLICE_LIT("\x94\xa4"
                     "file\xa1"
                     "b\xa1k\xa2v1"),
        SC_SLICE_LIT("\x94\xa7version\xa1"
                     "b\xa1k\xa4null"),
        SC_SLICE_LIT("\x94\xa7version\xa1"
                     "b\xa1k\xa0"),
        SC_SLICE_LIT("\x94\xa7version\xa1"
                     "b\xa0\xa1v"),
        SC_SLICE_LIT("\x94\xa8versions\xa1"
                     "b\xa1k\xa2v1"),
        SC_SLICE_LIT("\x93\xa7version\xa1"
                     "b\xa1k"),
        SC_SLICE_LIT("\x94\xa7version\xa1"
                     "b\xa1k\xa2v1\xa1x"),
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(others); i++)
        assert_false(sc_key_identity_is_sound(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_of_aws_is_bucket_key_and_version_and_nothing_else),
        cmocka_unit_test(test_what_differs_is_never_the_same),
        cmocka_unit_test(test_a_prefix_is_all_its_names_and_versions),
        cmocka_unit_test(test_null_and_what_no_server_means_are_no_versions),
        cmocka_unit_test(test_no_other_kind_of_input_passes_for_a_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
