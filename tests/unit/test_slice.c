#include "tests/lib/test.h"

static void test_slice_utf8_table(void **state)
{
    (void)state;
    // Well-formed and ill-formed sequences after RFC 3629 and Unicode's table 3-7.
    static const struct {
        const char *bytes;
        bool good;
    } cases[] = {
        {"", true},
        {"plain ascii \x7f", true},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true}, // two, three and four bytes
        {"\xc2\x80", true},                             // U+0080
        {"\xdf\xbf", true},                             // U+07FF
        {"\xe0\xa0\x80", true},                         // U+0800
        {"\xed\x9f\xbf", true},                         // U+D7FF
        {"\xee\x80\x80", true},                         // U+E000
        {"\xef\xbf\xbf", true},                         // U+FFFF
        {"\xf0\x90\x80\x80", true},                     // U+10000
        {"\xf4\x8f\xbf\xbf", true},                     // U+10FFFF
        {"\x80", false},                                // a continuation alone
        {"a\xbf", false},
        {"\xc0\x80", false},         // overlong NUL
        {"\xc1\xbf", false},         // overlong U+007F
        {"\xe0\x9f\xbf", false},     // overlong U+07FF
        {"\xf0\x8f\xbf\xbf", false}, // overlong U+FFFF
        {"\xed\xa0\x80", false},     // surrogates
        {"\xed\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false}, // beyond U+10FFFF
        {"\xf5\x80\x80\x80", false},
        {"\xf8\x88\x80\x80\x80", false}, // five bytes
        {"\xfe", false},
        {"\xff", false},
        {"\xc3", false}, // cut
        {"\xe2\x82", false},
        {"\xf0\x9f\x98", false},
        {"\xc3(", false}, // no continuation
        {"\xe2(\xac", false},
        {"\xe2\x82(", false},
        {"\xf0\x9f\x98(", false},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        if (sc_slice_is_utf8(sc_slice_str(cases[i].bytes)) != cases[i].good)
            fail_msg("case %zu is %s", i, cases[i].good ? "well-formed" : "not well-formed");
}

static void test_slice_utf8_holds_every_code_point_and_no_surrogate(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c < 0x110000; c++) {
        uint8_t bytes[4];
        size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = len - 1; i > 0; i--)
            bytes[i] = (uint8_t)(0x80 | (c >> 6 * (len - 1 - i) & 0x3f));
        static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
        bytes[0] = (uint8_t)(lead[len] | c >> 6 * (len - 1));
        assert_int_equal(sc_slice_is_utf8(sc_slice(bytes, len)), c < 0xd800 || c > 0xdfff);
    }
}

static void test_slice_cmp_is_byte_order_with_a_prefix_first(void **state)
{
    (void)state;
    static const char *const sorted[] = {"", "A", "a", "a.b", "ab", "b", "\xc3\xa4", "\xff"};
    for (size_t i = 0; i < SC_COUNT(sorted); i++)
        for (size_t j = 0; j < SC_COUNT(sorted); j++) {
            int order = sc_slice_cmp(sc_slice_str(sorted[i]), sc_slice_str(sorted[j]));
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(sc_slice_eq(sc_slice_str(sorted[i]), sc_slice_str(sorted[j])), i == j);
        }
}

static void test_slice_of_null_is_empty(void **state)
{
    (void)state;
    assert_int_equal(sc_slice_str(NULL).len, 0);
    assert_true(sc_slice_eq(sc_slice_str(NULL), sc_slice_str("")));
    assert_int_equal(sc_slice_cmp(sc_slice(NULL, 0), sc_slice(NULL, 0)), 0);
    assert_true(sc_slice_is_utf8(sc_slice(NULL, 0)));
    assert_false(sc_slice_starts(sc_slice(NULL, 0), "a"));
}

static void test_slice_holds_nul_bytes(void **state)
{
    (void)state;
    struct sc_slice a = sc_slice("a\0b", 3), b = sc_slice("a\0c", 3);
    assert_false(sc_slice_eq(a, b));
    assert_true(sc_slice_cmp(a, b) < 0);
    assert_false(sc_slice_eq_str(a, "a"));
    assert_true(sc_slice_starts(a, "a"));
    assert_int_equal(sc_slice_from(a, 1).len, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_utf8_table),
        cmocka_unit_test(test_slice_utf8_holds_every_code_point_and_no_surrogate),
        cmocka_unit_test(test_slice_cmp_is_byte_order_with_a_prefix_first),
        cmocka_unit_test(test_slice_of_null_is_empty),
        cmocka_unit_test(test_slice_holds_nul_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
