#include "tests/lib/test.h"

#include <pthread.h>

#include "base/digest.h"

// FIPS 180-2, appendix B, and the empty text.
static const struct {
    const char *text, *hex;
} known[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_digest_of_known_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(known); i++) {
        char hex[SC_DIGEST_HEX_BYTES];
        struct sc_digest digest = sc_digest_of(sc_slice_str(known[i].text));
        sc_digest_hex(&digest, hex);
        assert_string_equal(hex, known[i].hex);
    }
}

static void test_digest_in_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    struct sc_hasher *hasher = sc_hasher_new();
    for (int round = 0; round < 3; round++) {
        sc_hasher_begin(hasher);
        sc_hasher_add(hasher, "a", 1);
        sc_hasher_add(hasher, NULL, 0);
        sc_hasher_add(hasher, "bc", 2);
        struct sc_digest got = sc_hasher_end(hasher), want = sc_digest_of(sc_slice_str("abc"));
        assert_true(sc_digest_eq(&got, &want));
    }
    sc_hasher_free(hasher);
    sc_hasher_free(NULL);
}

static void test_digest_parse_takes_lower_case_hex_of_64_alone(void **state)
{
    (void)state;
    struct sc_digest digest, want = sc_digest_of(sc_slice_str("abc"));
    assert_true(sc_digest_parse(sc_slice_str(known[1].hex), &digest));
    assert_true(sc_digest_eq(&digest, &want));
    char bad[SC_DIGEST_HEX_BYTES];
    memcpy(bad, known[1].hex, sizeof bad);
    assert_false(sc_digest_parse(sc_slice(bad, 63), &digest));
    assert_false(sc_digest_parse(sc_slice(bad, 65), &digest));
    assert_false(sc_digest_parse(sc_slice(NULL, 0), &digest));
    bad[0] = 'B';
    assert_false(sc_digest_parse(sc_slice_str(bad), &digest));
    bad[0] = 'g';
    assert_false(sc_digest_parse(sc_slice_str(bad), &digest));
    assert_true(sc_digest_eq(&digest, &want)); // untouched
}

static void test_digest_zero_is_none(void **state)
{
    (void)state;
    struct sc_digest digest = {{0}};
    assert_true(sc_digest_is_zero(&digest));
    digest.bytes[31] = 1;
    assert_false(sc_digest_is_zero(&digest));
}

static void *digest_in_a_thread(void *context)
{
    (void)context;
    for (size_t i = 0; i < 1000; i++) {
        char hex[SC_DIGEST_HEX_BYTES];
        struct sc_digest digest = sc_digest_of(sc_slice_str(known[i % SC_COUNT(known)].text));
        sc_digest_hex(&digest, hex);
        if (strcmp(hex, known[i % SC_COUNT(known)].hex) != 0)
            return (void *)1;
    }
    return NULL;
}

static void test_digest_of_in_many_threads(void **state)
{
    (void)state;
    pthread_t threads[8];
    for (size_t i = 0; i < SC_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, digest_in_a_thread, NULL), 0);
    for (size_t i = 0; i < SC_COUNT(threads); i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_of_known_texts),
        cmocka_unit_test(test_digest_in_pieces_is_that_of_the_whole),
        cmocka_unit_test(test_digest_parse_takes_lower_case_hex_of_64_alone),
        cmocka_unit_test(test_digest_zero_is_none),
        cmocka_unit_test(test_digest_of_in_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
