#include "stepctl/text.h"

#include "tests/lib/test.h"

#include <locale.h>

static struct sc_buf out;

static const char *escaped(const char *bytes, size_t len)
{
    sc_buf_clear(&out);
    sc_text_escape(&out, sc_slice(bytes, len));
    return sc_buf_cstr(&out);
}

static void test_text_escape_leaves_printable_utf8_alone(void **state)
{
    (void)state;
    assert_string_equal(escaped("plain ü 漢", strlen("plain ü 漢")), "plain ü 漢");
}

static void test_text_escape_shows_what_moves_a_cursor_or_reorders_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *shown;
    } cases[] = {{"a\x1b[2Jb", "a\\x1b[2Jb"},
                 {"a\nb\tc\rd", "a\\nb\\tc\\rd"},
                 {"\x7f", "\\x7f"},
                 {"\xc2\x9b"
                  "1m",
                  "\\u009b1m"},
                 {"\xe2\x80\xae", "\\u202e"},
                 {"\xff\xfe", "\\xff\\xfe"},
                 {"\xc0\x80", "\\xc0\\x80"},
                 {"\xed\xa0\x80", "\\xed\\xa0\\x80"}};
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        assert_string_equal(escaped(cases[i].bytes, strlen(cases[i].bytes)), cases[i].shown);
    assert_string_equal(escaped("a\0b", 3), "a\\x00b");
}

static void test_text_escape_of_a_log_keeps_newlines_and_tabs(void **state)
{
    (void)state;
    sc_buf_clear(&out);
    sc_text_escape_log(&out, sc_slice_str("a\tb\n\x1b]0;t\a"));
    assert_string_equal(sc_buf_cstr(&out), "a\tb\n\\x1b]0;t\\x07");
}

static void test_text_width_counts_columns(void **state)
{
    (void)state;
    assert_int_equal(sc_text_width(sc_slice_str("abc")), 3);
    assert_int_equal(sc_text_width(sc_slice_str("漢字")), 4);
    assert_int_equal(sc_text_width(sc_slice_str("e\xcc\x81")), 1); // e and a combining acute
}

static void test_text_fit_never_takes_more_than_it_may(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "a", "train[lr=0.1]", "漢字漢字", "u\xcc\x81z\xcc\x81", "\x1b\x1b\x1b", "\xff\xff"};
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        for (uint32_t width = 0; width < 20; width++)
            for (int ascii = 0; ascii < 2; ascii++) {
                sc_buf_clear(&out);
                uint32_t took = sc_text_fit(&out, sc_slice_str(texts[i]), width, ascii);
                assert_true(took <= width);
                assert_int_equal(sc_text_width(sc_buf_slice(&out)), took);
            }
}

static void test_text_fit_marks_what_it_cut(void **state)
{
    (void)state;
    sc_buf_clear(&out);
    assert_int_equal(sc_text_fit(&out, sc_slice_str("abcdefgh"), 5, false), 5);
    assert_string_equal(sc_buf_cstr(&out), "abcd…");
    sc_buf_clear(&out);
    assert_int_equal(sc_text_fit(&out, sc_slice_str("abcdefgh"), 5, true), 5);
    assert_string_equal(sc_buf_cstr(&out), "abc..");
    sc_buf_clear(&out); // a wide character that would not fit whole is left out
    assert_int_equal(sc_text_fit(&out, sc_slice_str("漢字漢"), 4, false), 3);
    assert_string_equal(sc_buf_cstr(&out), "漢…");
}

static void test_text_durations(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0ms"},         {999, "999ms"},   {2149, "2.1s"},       {45000, "45s"},
                 {100000, "1m 40s"}, {1200000, "20m"}, {11100000, "3h 05m"}, {190800000, "2d 5h"}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        sc_buf_clear(&out);
        sc_text_duration(&out, cases[i].ms);
        assert_string_equal(sc_buf_cstr(&out), cases[i].text);
    }
}

static void test_text_ages(void **state)
{
    (void)state;
    static const struct {
        int64_t s;
        const char *text;
    } cases[] = {{-5, "just now"},     {0, "just now"},         {5, "5 seconds ago"},  {60, "1 minute ago"},
                 {3600, "1 hour ago"}, {86400, "24 hours ago"}, {172800, "2 days ago"}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        sc_buf_clear(&out);
        sc_text_ago(&out, 1000000000, 1000000000 + cases[i].s * 1000);
        assert_string_equal(sc_buf_cstr(&out), cases[i].text);
    }
}

static void test_text_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1536, "1.5 KiB"},
                 {150 << 10, "150 KiB"},
                 {1 << 20, "1.0 MiB"},
                 {UINT64_C(3435973836), "3.1 GiB"},
                 {UINT64_MAX, "15.9 EiB"}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        sc_buf_clear(&out);
        sc_text_bytes(&out, cases[i].bytes);
        assert_string_equal(sc_buf_cstr(&out), cases[i].text);
    }
}

static void test_text_json_is_always_valid_utf8(void **state)
{
    (void)state;
    sc_buf_clear(&out);
    sc_text_json(&out, sc_slice("a\"\\\n\x01\xff\x7f"
                                "ü\0",
                                10));
    assert_string_equal(sc_buf_cstr(&out), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\\u007fü\\u0000\"");
    assert_true(sc_slice_is_utf8(sc_buf_slice(&out)));
}

static void test_text_uint_writes_every_digit(void **state)
{
    (void)state;
    sc_buf_clear(&out);
    sc_text_uint(&out, 0);
    sc_buf_add_byte(&out, ' ');
    sc_text_uint(&out, UINT64_MAX);
    assert_string_equal(sc_buf_cstr(&out), "0 18446744073709551615");
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    sc_buf_init(&out, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_escape_leaves_printable_utf8_alone),
        cmocka_unit_test(test_text_escape_shows_what_moves_a_cursor_or_reorders_a_line),
        cmocka_unit_test(test_text_escape_of_a_log_keeps_newlines_and_tabs),
        cmocka_unit_test(test_text_width_counts_columns),
        cmocka_unit_test(test_text_fit_never_takes_more_than_it_may),
        cmocka_unit_test(test_text_fit_marks_what_it_cut),
        cmocka_unit_test(test_text_durations),
        cmocka_unit_test(test_text_ages),
        cmocka_unit_test(test_text_sizes),
        cmocka_unit_test(test_text_json_is_always_valid_utf8),
        cmocka_unit_test(test_text_uint_writes_every_digit),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sc_buf_done(&out);
    return failed;
}
