// The table of what objects of others' buckets hold.
#include "tests/unit/store_test.h"

#include "store/pinned.h"

static struct sc_digest digest_of(uint32_t n)
{
    return sc_digest_of(sc_slice(&n, sizeof n));
}

static const struct sc_pin_of of = {.server = "http://s3",
                                    .bucket = SC_SLICE_LIT("bucket"),
                                    .key = SC_SLICE_LIT("a/key"),
                                    .version = SC_SLICE_LIT("v"),
                                    .etag = SC_SLICE_LIT("e"),
                                    .bytes = 7,
                                    .mtime_s = 1700000000};

static void test_a_pin_is_another_when_anything_of_it_is(void **state)
{
    (void)state;
    struct sc_pin_of others[8] = {of, of, of, of, of, of, of, of};
    others[0].server = "http://s4";
    others[1].bucket = sc_slice_str("bucke");
    others[2].key = sc_slice_str("ta/key");
    others[3].version = sc_slice_str("");
    others[4].etag = sc_slice_str("f");
    others[5].bytes = 8;
    others[6].mtime_s++;
    struct sc_digest pin = sc_pin(&of);
    for (size_t i = 0; i < 7; i++) {
        struct sc_digest other = sc_pin(&others[i]);
        assert_false(sc_digest_eq(&pin, &other));
    }
    struct sc_digest same = sc_pin(&others[7]);
    assert_true(sc_digest_eq(&pin, &same));
}

static void test_what_was_remembered_is_found_in_the_next_life(void **state)
{
    PATH(path, "pinned");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest found, pin = digest_of(1), digest = digest_of(2), other = digest_of(3);
    struct sc_pinned *pinned = sc_pinned_open(path, 10);
    assert_false(sc_pinned_find(pinned, &pin, &found));
    sc_pinned_remember(pinned, &pin, &digest);
    assert_ok(sc_pinned_save(pinned, &err), err);
    sc_pinned_close(pinned);
    pinned = sc_pinned_open(path, 10);
    assert_true(sc_pinned_find(pinned, &pin, &found));
    assert_true(sc_digest_eq(&found, &digest));
    assert_false(sc_pinned_find(pinned, &digest, &found));
    sc_pinned_remember(pinned, &pin, &other);
    assert_true(sc_pinned_find(pinned, &pin, &found));
    assert_true(sc_digest_eq(&found, &other));
    sc_pinned_close(pinned);
}

static void test_what_was_not_asked_for_longest_leaves(void **state)
{
    PATH(path, "pinned");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest found, pins[4], digest = digest_of(9);
    struct sc_pinned *pinned = sc_pinned_open(path, 3);
    for (uint32_t i = 0; i < 3; i++) {
        pins[i] = digest_of(i);
        sc_pinned_remember(pinned, &pins[i], &digest);
    }
    assert_true(sc_pinned_find(pinned, &pins[0], &found));
    pins[3] = digest_of(3);
    sc_pinned_remember(pinned, &pins[3], &digest);
    for (int life = 0; life < 2; life++) {
        assert_false(sc_pinned_find(pinned, &pins[1], &found));
        assert_true(sc_pinned_find(pinned, &pins[0], &found));
        assert_true(sc_pinned_find(pinned, &pins[2], &found));
        assert_true(sc_pinned_find(pinned, &pins[3], &found));
        assert_ok(sc_pinned_save(pinned, &err), err);
        sc_pinned_close(pinned);
        pinned = sc_pinned_open(path, 3);
    }
    sc_pinned_close(pinned);
}

static void test_a_damaged_file_is_an_empty_one(void **state)
{
    PATH(path, "pinned");
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest found, pin = digest_of(1), digest = digest_of(2);
    struct sc_pinned *pinned = sc_pinned_open(path, 10);
    sc_pinned_remember(pinned, &pin, &digest);
    assert_ok(sc_pinned_save(pinned, &err), err);
    sc_pinned_close(pinned);
    SC_AUTO_BUF struct sc_buf bytes = {0};
    assert_ok(sc_file_read(path, 1 << 20, &bytes, &err), err);
    for (size_t i = 0; i <= bytes.len; i++) { // each byte flipped, then a cut
        FILE *file = fopen(path, "wb");
        if (i < bytes.len)
            bytes.ptr[i] ^= 1;
        assert_int_equal(fwrite(bytes.ptr, 1, bytes.len - (i == bytes.len), file),
                         bytes.len - (i == bytes.len));
        if (i < bytes.len)
            bytes.ptr[i] ^= 1;
        fclose(file);
        pinned = sc_pinned_open(path, 10);
        assert_false(sc_pinned_find(pinned, &pin, &found));
        sc_pinned_close(pinned);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_pin_is_another_when_anything_of_it_is),
        T(test_what_was_remembered_is_found_in_the_next_life),
        T(test_what_was_not_asked_for_longest_leaves),
        T(test_a_damaged_file_is_an_empty_one),
    };
    return cmocka_run_group_tests_name("pinned", tests, NULL, NULL);
}
