#include "tests/unit/store_test.h"

#include "base/limits.h"
#include "store/names.h"

#define MAIN sc_slice_str("main")
#define HEX  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static struct sc_digest abc(void)
{
    return sc_digest_of(sc_slice_str("abc"));
}

static void assert_name(struct sc_buf *name, const char *text)
{
    assert_false(name->overflow);
    assert_string_equal(sc_buf_cstr(name), text);
    sc_buf_clear(name);
}

static void test_names_are_those_of_the_bucket(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf name;
    struct sc_digest digest = abc();
    sc_buf_init(&name, 0);
    sc_name_cas(&name, MAIN, &digest);
    assert_name(&name, "v1/main/cas/ba/" HEX);
    sc_name_tree(&name, MAIN, &digest);
    assert_name(&name, "v1/main/tree/ba/" HEX);
    sc_name_key(&name, sc_slice_str("team-2"), &digest);
    assert_name(&name, "v1/team-2/key/ba/" HEX);
    sc_name_key_prefix(&name, MAIN);
    assert_name(&name, "v1/main/key/");
    sc_name_segment(&name, MAIN, &digest, 1700000000000, sc_slice_str("c-1.x/y"));
    assert_name(&name, "v1/main/seg/ba7816bf8f01cfea/98299999999999-c-1_x_y");
    sc_name_segment_prefix(&name, MAIN, &digest);
    assert_name(&name, "v1/main/seg/ba7816bf8f01cfea/");
    sc_name_void(&name, MAIN, 1700000000000, &digest, 12);
    assert_name(&name, "v1/main/void/98299999999999-" HEX "-12");
    sc_name_out_latest(&name, MAIN, sc_slice_str("default"), sc_slice_str("retrain"));
    assert_name(&name, "v1/main/out/default/retrain/latest.json");
}

static void test_names_later_times_sort_first(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MAX, 99999999999999, 1700000000001, 1700000000000, 1, 0, -5};
    SC_AUTO_BUF struct sc_buf one, other;
    struct sc_digest digest = abc();
    sc_buf_init(&one, 0);
    sc_buf_init(&other, 0);
    for (size_t i = 1; i < SC_COUNT(times); i++) {
        sc_buf_clear(&one);
        sc_buf_clear(&other);
        sc_name_void(&one, MAIN, times[i - 1], &digest, 1);
        sc_name_void(&other, MAIN, times[i], &digest, 1);
        assert_true(sc_slice_cmp(sc_buf_slice(&one), sc_buf_slice(&other)) <= 0);
        assert_int_equal(one.len, other.len);
    }
}

static void test_names_void_parse_gives_back_key_time_and_generation(void **state)
{
    (void)state;
    static const uint64_t generations[] = {1, 10, SC_LIMIT_GENERATION};
    SC_AUTO_BUF struct sc_buf name;
    struct sc_digest digest = abc(), key;
    sc_buf_init(&name, 0);
    for (size_t i = 0; i < SC_COUNT(generations); i++) {
        int64_t at = 0;
        uint64_t generation = 0;
        sc_buf_clear(&name);
        sc_name_void(&name, MAIN, 1700000000123, &digest, generations[i]);
        assert_true(sc_name_void_parse(sc_buf_slice(&name), &at, &key, &generation));
        assert_int_equal(at, 1700000000123);
        assert_int_equal(generation, generations[i]);
        assert_true(sc_digest_eq(&key, &digest));
    }
}

static void test_names_void_parse_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "v1/main/void/",
        "v1/main/void/98299999999999-"
        "ba7816",
        "v1/main/void/98299999999999-" HEX,
        "v1/main/void/98299999999999-" HEX "-",
        "v1/main/void/98299999999999-" HEX "-0",
        "v1/main/void/98299999999999-" HEX "-01",
        "v1/main/void/98299999999999-" HEX "-1x",
        "v1/main/void/98299999999999-" HEX "--1",
        "v1/main/void/98299999999999-" HEX "-1000000000001",
        "v1/main/void/98299999999999-" HEX "-18446744073709551617",
        "v1/main/key/98299999999999-" HEX "-1",
        "v1//void/98299999999999-" HEX "-1",
        "v1/MAIN/void/98299999999999-" HEX "-1",
        "v1/main/void/9829999999999x-" HEX "-1",
        "v1/main/void/98299999999999_" HEX "-1",
        "v1/main/void/98299999999999-" HEX "0-1",
        "v1/main/void/x/98299999999999-" HEX "-1",
        "v2/main/void/98299999999999-" HEX "-1",
    };
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        int64_t at = 7;
        uint64_t generation = 7;
        struct sc_digest key;
        assert_false(sc_name_void_parse(sc_slice_str(wrong[i]), &at, &key, &generation));
        assert_int_equal(at, 7);
        assert_int_equal(generation, 7);
    }
}

static void test_names_encode_what_tools_trip_over(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf name;
    struct sc_digest digest = abc();
    sc_buf_init(&name, 0);
    sc_name_run(&name, MAIN, sc_slice_str("default"), sc_slice_str("r-1"),
                sc_slice_str("train[lr=0.1]/3/stdout"));
    assert_name(&name, "v1/main/run/default/r-1/train[lr=0.1]/3/stdout");
    sc_name_run(&name, MAIN, sc_slice_str("default"), sc_slice_str("r-1"),
                sc_slice_str("t[a=x y%z\n\"]/../plan"));
    assert_name(&name, "v1/main/run/default/r-1/t[a=x%20y%25z%0A%22]/%2E./plan");
    sc_name_run(&name, MAIN, sc_slice_str("d"), sc_slice_str("r"), sc_slice_str("a//b\xff"));
    assert_name(&name, "v1/main/run/d/r/a/%/b%FF");
    sc_name_out(&name, MAIN, sc_slice_str("default"), sc_slice_str("retrain"),
                sc_slice_str("train[depth=3,lr=0.1]"), sc_slice_str("model"), &digest,
                sc_slice_str("model.bin"));
    assert_name(&name, "v1/main/out/default/retrain/train[depth=3,lr=0.1]/model/ba7816bf8f01cfea/model.bin");
}

static void test_names_of_long_parts_stay_short_and_differ(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf one, other;
    char part[1000];
    sc_buf_init(&one, 0);
    sc_buf_init(&other, 0);
    memset(part, ' ', sizeof part);
    sc_name_run(&one, MAIN, sc_slice_str("d"), sc_slice_str("r"), sc_slice(part, sizeof part));
    part[999] = 'x';
    sc_name_run(&other, MAIN, sc_slice_str("d"), sc_slice_str("r"), sc_slice(part, sizeof part));
    assert_true(one.len < 255);
    assert_int_equal(one.len, other.len);
    assert_memory_not_equal(one.ptr, other.ptr, one.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_those_of_the_bucket),
        cmocka_unit_test(test_names_later_times_sort_first),
        cmocka_unit_test(test_names_void_parse_gives_back_key_time_and_generation),
        cmocka_unit_test(test_names_void_parse_refuses_what_is_none),
        cmocka_unit_test(test_names_encode_what_tools_trip_over),
        cmocka_unit_test(test_names_of_long_parts_stay_short_and_differ),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
